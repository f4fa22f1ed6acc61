//! A lane after a process that did not end cleanly.

use super::{Held, Lane, intake::IN_PLACE};
use crate::{
    delivery::{dead_letter::Verdict, handler::Form},
    message::Position,
};

/// What is to become of an event that may have been under way when the last process ended.
pub(super) enum Care {
    Handle,
    /// Others are being handled that it must not be handled beside.
    Wait,
    /// Too many processes have ended with it.
    Bury(Verdict),
}

impl Lane {
    /// Takes note, in storage, that an event is about to be handled, if it may have been under way when
    /// the last process ended.
    pub(super) fn take_care(&mut self, held: &mut Held) -> Care {
        if !self.is_careful(held) {
            return Care::Handle;
        }
        let Some(careful) = &self.subscriber.careful else { return Care::Handle };
        held.crashes = careful.crashes(held.position());
        held.is_suspect |= held.crashes > 0; // until it has its turn, however long that takes
        if let Some(verdict) = careful.verdict(held.position()) {
            return Care::Bury(verdict);
        }
        held.stay = self.subscriber.quarantine.enter(held.crashes > 0);
        if held.stay.is_none() {
            return Care::Wait;
        }
        self.careful = self.careful.saturating_sub(self.weight(held));
        held.is_suspect = false;
        self.note_under_way(Some(held.position()), None);
        Care::Handle
    }

    fn is_careful(&mut self, held: &Held) -> bool {
        let Some(careful) = &self.subscriber.careful else { return false };
        if held.is_suspect || held.is_revived() || self.careful == 0 {
            return held.is_suspect;
        }
        if !careful.concerns(held.position()) {
            self.careful = 0;
        }
        self.careful > 0
    }

    /// Fewer events fit into a turn where their handler is not called in place.
    fn weight(&self, held: &Held) -> usize {
        let form = self.subscriber.handlers.get(&held.entry.kind).map(|known| &known.run.form);
        let is_in_place = matches!(form, Some(Form::Called { in_place: Some(_), .. }));
        if is_in_place { 1 } else { IN_PLACE }
    }

    /// Its handler is not called after all.
    pub(super) fn leave_care(&mut self, held: &mut Held) {
        if held.stay.take().is_none() {
            return;
        }
        (held.crashes, held.is_suspect) = (0, true); // noted again before it is called
        if self.careful > 0 {
            self.careful += self.weight(held);
        }
        self.note_under_way(None, None);
    }

    /// The process has outlived an event's handler.
    pub(super) fn end_care(&mut self, held: &mut Held) {
        let crashes = std::mem::take(&mut held.crashes);
        held.attempts += crashes; // from now on as if they had failed
        self.batch.changed |= crashes > 0;
        if held.stay.take().is_some() && crashes > 0 {
            self.note_under_way(None, Some(held.position()));
        }
    }

    fn note_under_way(&self, also: Option<Position>, outlived: Option<Position>) {
        let Some(careful) = &self.subscriber.careful else { return };
        let careful_with = self.running.values().filter(|held| held.stay.is_some());
        let under_way: Vec<_> = careful_with.map(Held::position).chain(also).collect();
        if let Err(error) = careful.note(self.number, &under_way, outlived) {
            // Storage that takes nothing stops the subscription at its next commit.
            tracing::warn!(subscription = &*self.subscriber.name, %error,
                "what is being handled could not be stored");
        }
    }
}
