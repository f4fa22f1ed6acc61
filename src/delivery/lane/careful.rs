//! A lane after a process that did not end cleanly.

use super::{Held, Lane};
use crate::{delivery::dead_letter::Verdict, message::Position, runtime::Tick};

impl Lane {
    /// Whether an event may have been under way when the last process ended.
    pub(super) fn is_careful(&mut self, held: &Held) -> bool {
        let Some(careful) = &self.subscriber.careful else { return false };
        if held.is_suspect || held.is_revived() || self.careful == 0 {
            return held.is_suspect;
        }
        if !careful.concerns(held.position()) {
            self.careful = 0;
        }
        self.careful > 0
    }

    /// Takes note, in storage, that an event is about to be handled, or says that it is not to be: too
    /// many processes have ended with it.
    pub(super) fn take_care(&mut self, held: &mut Held) -> Option<Verdict> {
        let careful = self.subscriber.careful.as_ref()?;
        self.careful = self.careful.saturating_sub(1);
        held.is_suspect = false;
        held.crashes = careful.crashes(held.position());
        if let Some(verdict) = careful.verdict(held.position()) {
            return Some(verdict);
        }
        let running = self.running.keys().copied();
        let under_way: Vec<Position> = running.chain([held.position()]).collect();
        if let Err(error) = careful.note(self.number, &under_way) {
            // Storage that takes nothing stops the subscription at its next commit.
            tracing::warn!(subscription = &*self.subscriber.name, position = %held.position(), %error,
                "what is about to be handled could not be stored");
        }
        // So that what succeeds is acknowledged before the next one is tried.
        self.turn_end = Tick::ZERO;
        None
    }
}
