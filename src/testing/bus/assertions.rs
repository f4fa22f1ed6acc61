//! What is to hold of every bus under test: books that add up, and no dead letters.

use super::TestBus;

impl TestBus {
    /// No subscription has dead letters, running or not.
    ///
    /// # Panics
    /// One has. The message shows them all.
    #[track_caller]
    pub fn assert_no_dead_letters(&self) {
        let letters = self.describe_letters();
        assert!(letters.is_empty(), "there are dead letters:\n  {}", letters.join("\n  "));
    }

    /// Every subscription knows where each of its events is, as [`Ledger`](crate::Ledger) says. Checked
    /// at the end of a test in any case.
    ///
    /// # Panics
    /// One does not: a bug of this crate.
    #[track_caller]
    pub fn assert_ledgers_balance(&self) {
        for subscription in self.bus.running() {
            let (name, ledger) = (subscription.name(), subscription.ledger());
            assert!(
                ledger.is_balanced(),
                "the ledger of `{name}` does not balance: {ledger}. Please report this as a bug; \
                 the seed is {}",
                self.seed()
            );
        }
    }

    #[track_caller]
    fn describe_letters(&self) -> Vec<String> {
        let stored = self.bus.stored_subscriptions();
        let stored = stored.unwrap_or_else(|error| panic!("storage could not be read: {error}"));
        let mut names: Vec<_> = stored.into_iter().map(|stored| stored.name).collect();
        names.extend(self.bus.running().iter().map(|one| one.name().to_owned()));
        names.sort();
        names.dedup();
        names.iter().flat_map(|name| self.describe_letters_of(name)).collect()
    }

    #[track_caller]
    fn describe_letters_of(&self, name: &str) -> Vec<String> {
        let letters = self.bus.dead_letters(name).list();
        let letters = letters.unwrap_or_else(|error| panic!("`{name}`: {error}"));
        letters
            .iter()
            .map(|letter| {
                let (position, event, reason) =
                    (letter.position(), letter.event(), letter.reason());
                let payload = String::from_utf8_lossy(letter.payload());
                let error = letter.error();
                format!("{name}: {event} {position:?} {payload}, {reason}: {error}")
            })
            .collect()
    }
}
