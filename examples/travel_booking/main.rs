//! Travel booking: a flight, a hotel and a car are booked side by side, then the card is charged, which is the
//! point of no return, then the tickets are sent. Some flights are full, some hotels never answer, some cards are
//! declined: then whatever was booked, or may have been, is cancelled.
//!
//! ```sh
//! cargo run --release --example travel_booking             # 500 trips, and the books
//! cargo run --release --example travel_booking -- --crash  # a process dies in the middle, another goes on
//! cargo run --release --example travel_booking -- --draw   # the saga as Mermaid text
//! ```
#![allow(missing_docs)]

mod books;
mod trip;

use std::{
    env, fs,
    path::Path,
    process::{self, Command, ExitCode},
    thread,
    time::{Duration, Instant},
};

use books::Books;
use tidings::{
    Bus, Message,
    saga::{LinearSaga, Saga},
};
use trip::{BookTrip, Booking, TicketsSent};

const TRIPS: u64 = 500;

type Problem = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    match run() {
        Ok(problems) if problems.is_empty() => ExitCode::SUCCESS,
        Ok(problems) => {
            println!("THE BOOKS DO NOT BALANCE:\n{}", problems.join("\n"));
            ExitCode::FAILURE
        }
        Err(error) => {
            println!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<Vec<String>, Problem> {
    let arguments: Vec<_> = env::args().skip(1).collect();
    match &*arguments {
        [draw] if draw == "--draw" => {
            print!("{}", LinearSaga::<Booking>::graph().to_mermaid());
            return Ok(Vec::new());
        }
        [die, data] if die == "--die" => die_midway(Path::new(data))?,
        _ => {}
    }
    let data = env::temp_dir().join(format!("tidings-travel-{}", process::id()));
    if arguments.iter().any(|argument| argument == "--crash") {
        let child = Command::new(env::current_exe()?).arg("--die").arg(&data).status()?;
        println!("a process has died midway ({child}); another one goes on");
    }
    let problems = book_all(&data);
    fs::remove_dir_all(&data)?;
    problems
}

fn book_all(data: &Path) -> Result<Vec<String>, Problem> {
    let (bus, books, begun) = (Bus::open(data)?, Books::default(), Instant::now());
    trip::start(&bus, 4)?;
    books.read(&bus)?;
    book(&bus, TRIPS)?;
    // Hotels that do not answer cost two seconds; nobody waits for them but their own trips.
    let mut problems = vec![String::new()];
    while !problems.is_empty() && begun.elapsed() < Duration::from_mins(1) {
        thread::sleep(Duration::from_millis(100));
        problems = (0..TRIPS).filter_map(|trip| books.problem(trip)).collect();
    }
    let done = (0..TRIPS).filter(|trip| books.count("tickets.sent", *trip) == 1).count() as u64;
    println!("{done} trips booked, {} cancelled, in {:.1?}", TRIPS - done, begun.elapsed());
    bus.shutdown(Duration::from_secs(5))?;
    Ok(problems)
}

/// The idempotency key has a trip booked once, also by the process that goes on.
fn book(bus: &Bus, trips: u64) -> Result<(), Problem> {
    let book = |trip| Message::new(BookTrip { trip }).idempotency_key(format!("trip-{trip}"));
    let booked: Result<Vec<_>, _> = (0..trips).map(|trip| bus.enqueue(book(trip))).collect();
    for pending in booked? {
        pending.wait()?;
    }
    Ok(())
}

fn die_midway(data: &Path) -> Result<(), Problem> {
    let bus = Bus::open(data)?;
    trip::start(&bus, 4)?;
    let die = |sent: &TicketsSent| {
        if sent.trip > TRIPS / 4 {
            process::abort();
        }
    };
    bus.subscribe("death").on(die).start()?;
    book(&bus, TRIPS / 2)?;
    thread::sleep(Duration::from_mins(1));
    Err("nobody has died".into())
}
