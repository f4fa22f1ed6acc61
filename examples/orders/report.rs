//! What the example prints: a progress bar while it runs, a table at the end.

use std::{
    io::{self, IsTerminal, Write},
    time::{Duration, Instant},
};

use tidings::Subscription;

use crate::{books::Books, latency::Latencies};

/// A bar on a terminal, a line now and then elsewhere.
pub struct Progress {
    total: u64,
    shown: Option<Instant>,
    is_terminal: bool,
}

impl Progress {
    pub fn new(total: u64) -> Self {
        Self { total, shown: None, is_terminal: io::stderr().is_terminal() }
    }

    pub fn show(&mut self, done: u64) {
        let pause = Duration::from_millis(if self.is_terminal { 50 } else { 1000 });
        if self.shown.is_some_and(|shown| shown.elapsed() < pause) {
            return;
        }
        self.shown = Some(Instant::now());
        self.print(done);
    }

    pub fn finish(&self, done: u64) {
        self.print(done);
        if self.is_terminal {
            eprintln!();
        }
    }

    fn print(&self, done: u64) {
        let share = done as f64 / self.total.max(1) as f64;
        if self.is_terminal {
            let full = (share * 40.0) as usize;
            let bar = format!("{}{}", "█".repeat(full), "░".repeat(40_usize.saturating_sub(full)));
            eprint!("\r{bar} {:>3.0} %  {} orders", share * 100.0, grouped(done));
            io::stderr().flush().ok();
        } else {
            eprintln!("{:>3.0} %  {} orders", share * 100.0, grouped(done));
        }
    }
}

pub struct Run<'a> {
    pub subscriptions: &'a [Subscription],
    pub books: &'a Books,
    pub latencies: &'a Latencies,
    /// How many events this run of the process added to the log, and in what time.
    pub added: u64,
    pub took: Duration,
}

impl Run<'_> {
    pub fn print(&self) {
        println!(
            "\n{:<14}{:>12}{:>12}{:>15}",
            "subscription", "handled", "retried", "dead-lettered"
        );
        for subscription in self.subscriptions {
            let status = subscription.status();
            println!(
                "{:<14}{:>12}{:>12}{:>15}",
                subscription.name(),
                grouped(status.handled),
                grouped(status.retried),
                grouped(status.dead_letters)
            );
        }
        println!("\n{:<20}{:>12}", "published", "events");
        for (event, count) in &self.books.events {
            println!("{event:<20}{:>12}", grouped(*count));
        }
        self.print_totals();
    }

    fn print_totals(&self) {
        let total = |what: &str, value: String| println!("{what:<20}{value:>12}");
        println!();
        total("events in all", grouped(self.books.published()));
        total("added in this run", grouped(self.added));
        total("compensated", grouped(self.books.count("payments.refunded")));
        total("seconds", format!("{:.2}", self.took.as_secs_f64()));
        total("events/s", grouped((self.added as f64 / self.took.as_secs_f64()) as u64));
        let millis =
            |share| format!("{:.1} ms", self.latencies.quantile(share).as_secs_f64() * 1e3);
        total("order to end, p50", millis(0.50));
        total("order to end, p99", millis(0.99));
        println!();
        total("money taken", euros(self.books.taken()));
        total("orders shipped", euros(self.books.shipped()));
        total("refunds", euros(self.books.refunded()));
    }
}

fn euros(cents: u64) -> String {
    format!("{}.{:02}", grouped(cents / 100), cents % 100)
}

/// A number with its thousands apart.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
