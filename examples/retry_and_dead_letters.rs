//! What becomes of events that cannot be handled: retried with growing delays, rejected at once,
//! kept as dead letters, and handled after all once the cause is gone.
//!
//! ```text
//! cargo run --example retry_and_dead_letters
//! ```

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};
use tidings::{Backoff, Bus, Context, Event, HandlerError, SubscribeError, Subscription};

const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug, Serialize, Deserialize, Event)]
#[event(name = "invoices.issued", key = "number")]
struct InvoiceIssued {
    number: u32,
    email: String,
}

/// A mail server that is busy twice, and knows no recipients until somebody configures them.
#[derive(Default)]
struct MailServer {
    recipients_known: AtomicBool,
}

impl MailServer {
    fn send(&self, invoice: &InvoiceIssued, attempt: u32) -> Result<(), HandlerError> {
        if invoice.number == 1 && attempt <= 2 {
            // Passes by itself: try again, by the subscription's policy.
            return Err(HandlerError::retry("the mail server is busy"));
        }
        if invoice.number == 2 && !self.recipients_known.load(Ordering::Relaxed) {
            // Stays wrong until somebody does something: do not try again.
            return Err(HandlerError::reject(format!("{} is unknown", invoice.email)));
        }
        Ok(())
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let bus = Bus::volatile();
    let server = Arc::new(MailServer::default());
    let mailer = start_mailer(&bus, Arc::clone(&server))?;
    for (number, email) in [(1, "ada@example.com"), (2, "bob@example.com")] {
        let email = email.into();
        bus.publish(InvoiceIssued { number, email })?;
    }
    check(bus.wait_idle(PATIENCE), "the bus came to rest")?;

    let letters = bus.dead_letters("mailer");
    println!("\ndead letters:");
    for letter in letters.list()? {
        println!(
            "  {} at position {}: {} after {} attempt, {}",
            letter.event(),
            letter.position(),
            letter.reason(),
            letter.attempts(),
            letter.error()
        );
    }
    check(letters.list()?.len() == 1, "only the rejected one is dead")?;

    println!("\nthe recipients are configured; again:");
    server.recipients_known.store(true, Ordering::Relaxed);
    letters.retry_all()?;
    check(bus.wait_idle(PATIENCE), "the bus came to rest again")?;

    let left = letters.list()?.len();
    println!("\n{left} dead letters left, {:#?}", mailer.status());
    check(left == 0, "no dead letter is left")?;
    check(mailer.status().handled == 2, "both were handled")?;
    bus.shutdown(Duration::from_secs(5))?;
    Ok(())
}

fn start_mailer(bus: &Bus, server: Arc<MailServer>) -> Result<Subscription, SubscribeError> {
    let started = Instant::now();
    bus.subscribe("mailer")
        .retry(Backoff::exponential(Duration::from_millis(50)).max_attempts(5))
        .on(move |invoice: &InvoiceIssued, ctx: &mut Context| {
            let outcome = server.send(invoice, ctx.attempt());
            let told = match &outcome {
                Ok(()) => "sent".to_owned(),
                Err(error) => error.to_string(),
            };
            println!(
                "{:>4} ms  invoice {}, attempt {}: {told}",
                started.elapsed().as_millis(),
                invoice.number,
                ctx.attempt(),
            );
            outcome
        })
        .start()
}

fn check(holds: bool, claim: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(format!("not so: {claim}")) }
}
