//! Whoever waits for readers to rest, beside readers that work.

use loom::sync::atomic::{AtomicBool, Ordering::Relaxed};

use super::{super::sync::Mutex, *};

/// What a reader was sent other than through the ring, and whether it was looked at.
#[derive(Default)]
struct Letter {
    is_there: Mutex<bool>,
    is_read: AtomicBool,
}

impl Letter {
    fn send(&self, ring: &Stage, group: GroupId) {
        *self.is_there.lock() = true;
        ring.poke(group, 0);
    }

    /// One turn of the reader: it looks at what it was sent, and rests.
    fn read(&self, reader: &mut Reader) -> bool {
        reader.seat.begin();
        // Whatever it has found, somebody may ask before it says so.
        reader.ring.step();
        if *self.is_there.lock() {
            self.is_read.store(true, Relaxed);
        }
        reader.read();
        reader.seat.rest(&reader.ring, Phase::Settled, true)
    }
}

/// A reader that has rested, and a letter for it.
fn at_rest(route: &Arc<Route>) -> (Reader, Arc<Letter>) {
    let ring = ring(1);
    let mut reader = Reader::join(&ring, route, Overrun::Wait);
    assert!(reader.read_or_sleep() && ring.is_quiet(false));
    (reader, Arc::default())
}

#[test]
fn a_reader_that_was_poked_is_not_quiet_before_it_has_looked() {
    model(3, || {
        let (mut reader, letter) = at_rest(&route(0));
        let (ring, group) = (Tracked::clone(&reader.ring), reader.group);
        letter.send(&ring, group);
        let read = Arc::clone(&letter);
        let thread = thread::spawn(move || assert!(read.read(&mut reader)));
        if ring.is_quiet(false) {
            assert!(letter.is_read.load(Relaxed), "it is at rest, and has not looked");
        }
        thread.join().unwrap();
        assert!(ring.is_quiet(false) && letter.is_read.load(Relaxed));
    });
}

#[test]
fn a_reader_that_is_poked_while_it_works_does_not_rest_before_it_has_looked_again() {
    model(3, || {
        let (mut reader, letter) = at_rest(&route(0));
        let (ring, group) = (Tracked::clone(&reader.ring), reader.group);
        ring.poke(group, 0);
        let sent = Arc::clone(&letter);
        let sender = thread::spawn(move || sent.send(&ring, group));
        let rests = letter.read(&mut reader);
        let is_quiet = reader.ring.is_quiet(false);
        sender.join().unwrap();
        assert!(rests || !is_quiet);
        if !letter.is_read.load(Relaxed) {
            assert!(!reader.ring.is_quiet(false), "what it was sent is overlooked");
            assert!(!reader.seat.rest(&reader.ring, Phase::Settled, true), "it rests all the same");
        }
    });
}

/// What `wait_idle` promises to whoever has published.
#[test]
fn what_was_published_is_read_before_its_reader_is_quiet() {
    model(3, || {
        let route = route(0);
        let (mut reader, _) = at_rest(&route);
        let (ring, is_read) = (Tracked::clone(&reader.ring), Arc::new(AtomicBool::new(false)));
        let seen = Arc::clone(&is_read);
        let thread = thread::spawn(move || {
            publish(&ring, &route, 10).unwrap();
            ring.is_quiet(false) && !seen.load(Relaxed)
        });
        for _ in 0..2 {
            reader.seat.begin();
            while reader.read() {
                is_read.store(true, Relaxed);
            }
            reader.seat.rest(&reader.ring, Phase::Settled, true);
        }
        assert!(!thread.join().unwrap(), "it is at rest, and has not read what is there");
    });
}
