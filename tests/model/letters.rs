//! What is done about dead letters while all goes on.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    sync::atomic::Ordering::Relaxed,
    time::Duration,
};

use tidings::{
    Bus, DeadLetter, DeadLetterError, DeadLetterReason, DeadLetters, Event, Ledger, Letters,
    Position, Rerun, Subscription,
    testing::{Ending, Fact},
};

use crate::{
    flow::{self, Source},
    publishing::Publishing,
    subscriptions::{SUBSCRIPTIONS, Scene},
};

/// When virtual time starts, in nanoseconds.
pub(crate) const EPOCH: u64 = 1_767_225_600_000_000_000;

/// Whoever looks after dead letters.
pub(crate) struct Undertaker {
    scene: Scene,
    /// The letters that were there at the last look, and when they died.
    seen: RefCell<BTreeMap<&'static str, BTreeMap<u64, Duration>>>,
    /// Letters that were gone before they were old.
    gone_young: RefCell<BTreeSet<(&'static str, u64)>>,
    reruns: RefCell<Vec<Rerun>>,
}

impl Undertaker {
    pub(crate) fn new(scene: Scene) -> Self {
        Self {
            scene,
            seen: RefCell::default(),
            gone_young: RefCell::default(),
            reruns: RefCell::default(),
        }
    }

    fn draw(&self, below: u64) -> u64 {
        self.scene.draw(below)
    }

    /// A process ends. What of the letters was not synced may be gone with the power.
    pub(crate) fn end(&self, with_power: bool) {
        self.reruns.take();
        if with_power {
            self.seen.take();
        }
    }

    /// Does something about the letters of a subscription.
    pub(crate) fn mend(&self, bus: &Bus, publishing: &Publishing, subscription: &Subscription) {
        let draws = &self.scene.draws;
        let by = subscription.name();
        let letters = bus.dead_letters(by);
        let Ok(list) = letters.list() else { return };
        self.note(&list);
        match self.draw(9) {
            0 if draws.edits => self.edit(&letters, by, &list, publishing),
            1 if draws.dry_runs => self.dry_run(&letters, subscription),
            2..4 if draws.reruns => self.retry_some(&letters, by, &list),
            4 => self.discard(&letters, by, &list),
            5 if draws.reruns => self.discard_some(&letters, by),
            _ => {
                self.revive(by, &list);
                letters.retry_all().ok();
            }
        }
    }

    /// A subscription does not run, and is to begin with some of its letters.
    pub(crate) fn retry_at_start(&self, bus: &Bus, by: &str) {
        let letters = bus.dead_letters(by);
        let Ok(list) = letters.list() else { return };
        let Some(letter) = self.pick(&list).filter(|_| self.scene.draws.reruns) else { return };
        self.revive(by, &list);
        if letters.retry_at_start(letter.position()).is_ok() {
            self.scene.notes.note("letters tried again at a start");
        }
    }

    /// Which events were put behind dead letters, and never came to a handler.
    pub(crate) fn note_behind(&self, bus: &Bus, by: &str) {
        let Ok(list) = bus.dead_letters(by).list() else { return };
        let behind = list.iter().filter(|letter| letter.reason() == DeadLetterReason::Behind);
        let mut behind: BTreeSet<_> = behind.map(flow::event_of).collect();
        if behind.is_empty() {
            return;
        }
        for fact in self.scene.history.facts() {
            // Those that were handled may be about to be letters no more.
            if let Fact::Returned { subscription, event, ending: Ending::Handled } = fact
                && *subscription == *by
            {
                behind.remove(&event);
            }
        }
        for event in behind {
            self.scene.history.add(Fact::Dead { subscription: by.into(), event });
        }
    }

    fn note(&self, list: &[DeadLetter]) {
        for letter in list {
            match letter.reason() {
                DeadLetterReason::Behind => self.scene.notes.note("letters behind others"),
                DeadLetterReason::Crashed => self.scene.notes.note("letters of crashes"),
                _ => {}
            }
        }
    }

    fn pick<'a>(&self, list: &'a [DeadLetter]) -> Option<&'a DeadLetter> {
        list.get(self.draw(list.len().max(1) as u64) as usize)
    }

    fn revive(&self, by: &str, list: &[DeadLetter]) {
        for letter in list {
            let event = flow::event_of(letter);
            self.scene.history.add(Fact::Revived { subscription: by.into(), event });
        }
    }

    /// One, or some at once, or some one after the other. Where keys are held, others come first.
    fn retry_some(&self, letters: &DeadLetters, by: &str, list: &[DeadLetter]) {
        let some = self.draw_filter();
        self.revive(by, list);
        match self.draw(3) {
            0 => {
                let Some(letter) = self.pick(list) else { return };
                letters.retry(letter.position()).ok();
            }
            1 => {
                let retried = letters.retry_where(&some).unwrap_or(0);
                self.scene.notes.add("letters retried by a filter", retried as u64);
            }
            _ => {
                let Ok(rerun) = letters.retry_at(&some, 1 + self.draw(20) as u32) else { return };
                self.scene.notes.add("letters retried in runs", rerun.progress().total);
                self.reruns.borrow_mut().push(rerun);
                if self.draw(3) == 0 {
                    drop(self.reruns.borrow_mut().remove(0));
                }
            }
        }
    }

    fn draw_filter(&self) -> Letters {
        let all = Letters::all();
        match self.draw(5) {
            0 => all.key(1 + self.draw(self.scene.draws.keys)),
            1 => all.at_most(self.draw(4) as usize),
            2 => all.reason(DeadLetterReason::Exhausted),
            3 => all.error("drawn").event(Source::NAME),
            _ => all,
        }
    }

    fn discard(&self, letters: &DeadLetters, by: &str, list: &[DeadLetter]) {
        let Some(letter) = self.pick(list) else { return };
        let event = flow::event_of(letter);
        // Where the disk breaks, nobody knows whether it is gone.
        match letters.discard(letter.position()) {
            Ok(()) => self.discarded(by, event, true),
            Err(DeadLetterError::Storage(_)) => self.discarded(by, event, false),
            Err(_) => {}
        }
    }

    /// Gives up letters that others wait behind, which are to follow. False where there are none.
    pub(crate) fn give_up_first(&self, bus: &Bus) -> bool {
        let mut given_up = false;
        for by in SUBSCRIPTIONS {
            let letters = bus.dead_letters(by);
            let list = letters.list().unwrap();
            let is_behind = |it: &&DeadLetter| it.reason() == DeadLetterReason::Behind;
            let Some(behind) = list.iter().find(is_behind) else { continue };
            let key = &behind.envelope().key;
            for before in list.iter().filter(|it| it.position() < behind.position()) {
                if before.envelope().key == *key {
                    letters.discard(before.position()).unwrap();
                    self.discarded(by, flow::event_of(before), true);
                    given_up = true;
                }
            }
        }
        given_up
    }

    fn discard_some(&self, letters: &DeadLetters, by: &str) {
        let some = self.draw_filter().at_most(2);
        let Ok(list) = letters.list_where(&some) else { return };
        if list.len() > 1 {
            // The key of one goes on while the next one is being given up.
            for letter in &list {
                self.discarded(by, flow::event_of(letter), false);
            }
        }
        let result = letters.discard_where(&some);
        let is_certain = result.is_ok_and(|count| count == list.len());
        for letter in &list {
            self.discarded(by, flow::event_of(letter), is_certain);
        }
        if is_certain && !list.is_empty() {
            self.scene.notes.note("letters given up by a filter");
        }
    }

    fn discarded(&self, by: &str, event: u64, certain: bool) {
        // A letter that is ready to be pulled again may come though it is given up.
        let certain = certain && !(by == "pulled" && self.scene.draws.pulls);
        self.scene.history.add(Fact::Discarded { subscription: by.into(), event, certain });
    }

    /// Nothing changes by it.
    fn dry_run(&self, letters: &DeadLetters, subscription: &Subscription) {
        let look = || (letters.list().ok().map(|list| story(&list)), taken(subscription.ledger()));
        let before = look();
        self.scene.dry.store(true, Relaxed);
        let result = letters.dry_run(&self.draw_filter());
        self.scene.dry.store(false, Relaxed);
        let after = look();
        assert_eq!(after.1, before.1, "a dry run has settled something");
        // A broken disk need not tell.
        if let (Some(before), Some(after)) = (before.0, after.0) {
            assert_eq!(after, before, "a dry run has changed a letter");
        }
        if let Ok(dry_run) = result {
            self.scene.notes.add("letters tried without effect", dry_run.verdicts.len() as u64);
        }
    }

    fn edit(&self, letters: &DeadLetters, by: &str, list: &[DeadLetter], publishing: &Publishing) {
        let Some(letter) = self.pick(list).filter(|it| it.event() == Source::NAME) else { return };
        let old: Source = serde_json::from_slice(letter.payload()).unwrap();
        let new = publishing.begin_edited(&old);
        let edit = |source: &mut Source| source.clone_from(&new);
        let result = letters.edit_and_retry(letter.position(), edit);
        match &result {
            Ok(_) => {
                self.scene.notes.note("letters edited");
                self.discarded(by, old.event, true);
            }
            Err(DeadLetterError::Publish(_)) => self.discarded(by, old.event, false),
            Err(_) => {}
        }
        publishing.record_edited(new.event, result);
    }

    /// Looks which letters are gone, and takes note of those that were old. Those that were not must
    /// have been handled, or given up by somebody.
    pub(crate) fn watch(&self, bus: &Bus, by: &'static str) {
        let Some(age) = self.scene.draws.letters_kept else { return };
        let Ok(list) = bus.dead_letters(by).list() else { return };
        let died_at =
            |letter: &DeadLetter| Duration::from_nanos(letter.died_at().as_nanos() - EPOCH);
        let now_there = list.iter().map(|letter| (flow::event_of(letter), died_at(letter)));
        let now_there: BTreeMap<_, _> = now_there.collect();
        let before = self.seen.borrow_mut().insert(by, now_there.clone()).unwrap_or_default();
        let gone = before.iter().filter(|(event, _)| !now_there.contains_key(event));
        for (event, died_at) in gone {
            if self.scene.sim.elapsed() < *died_at + age {
                self.gone_young.borrow_mut().insert((by, *event));
                continue;
            }
            self.scene.notes.note("letters gone when they were old");
            let (subscription, event) = (by.into(), *event);
            self.scene.history.add(Fact::Discarded { subscription, event, certain: false });
        }
    }

    /// Whether an event may have been a letter that was given up because it was old.
    pub(crate) fn may_be_too_old(&self, by: &'static str, event: u64) -> bool {
        self.scene.draws.letters_kept.is_some() && !self.gone_young.borrow().contains(&(by, event))
    }
}

/// Where the events are that were taken. What is still to be taken is read in the log, of which a
/// broken disk need not tell.
fn taken(mut ledger: Ledger) -> Ledger {
    ledger.matched -= ledger.waiting;
    ledger.waiting = 0;
    ledger
}

/// What is to be seen of letters.
fn story(list: &[DeadLetter]) -> Vec<(Position, u32, String)> {
    let of = |letter: &DeadLetter| (letter.position(), letter.attempts(), letter.error().into());
    list.iter().map(of).collect()
}
