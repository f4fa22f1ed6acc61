//! The subscribers. Each has its own cursor on the same log, and what it has learnt in `Desks`.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tidings::{Bus, Context, Event, StateError, SubscribeError, Subscription};

use crate::{
    events::{Discussion, Issue, IssueComment, Other, PullRequest, Push, Release, Ticket},
    ingest::Unreadable,
};

/// What the subscribers have learnt in this run.
#[derive(Debug, Default)]
pub(crate) struct Learnt {
    pub(crate) release_notes: Vec<String>,
    /// Open tickets, as repository and number, with their titles.
    pub(crate) triage: BTreeMap<(String, u64), String>,
    /// How often each event came.
    pub(crate) audit: BTreeMap<&'static str, u64>,
    /// Events by repository, earlier runs on the same log included.
    pub(crate) statistics: BTreeMap<String, u64>,
    pub(crate) unreadable: BTreeSet<(u64, String)>,
}

/// All subscribers, running.
#[derive(Debug)]
pub(crate) struct Desks {
    learnt: Shared,
    pub(crate) audit: Subscription,
    pub(crate) others: Vec<Subscription>,
}

#[derive(Debug, Clone, Default)]
struct Shared(Arc<Mutex<Learnt>>);

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Learnt> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Desks {
    pub(crate) fn open(bus: &Bus) -> Result<Self, SubscribeError> {
        let learnt = Shared::default();
        Ok(Self {
            audit: audit(bus, &learnt)?,
            others: vec![
                release_notes(bus, &learnt)?,
                triage(bus, &learnt)?,
                statistics(bus, &learnt)?,
                unreadable(bus, &learnt)?,
            ],
            learnt,
        })
    }

    pub(crate) fn learnt(&self) -> MutexGuard<'_, Learnt> {
        self.learnt.lock()
    }
}

fn release_notes(bus: &Bus, learnt: &Shared) -> Result<Subscription, SubscribeError> {
    let (releases, merges) = (learnt.clone(), learnt.clone());
    bus.subscribe("release-notes")
        .on(move |event: &Release| {
            if event.action == "published" && !event.release.prerelease {
                let note = format!("{} {}", event.repository(), event.release.tag_name);
                releases.lock().release_notes.push(note);
            }
        })
        .on(move |event: &PullRequest| {
            if event.action == "closed" && event.pull_request.merged == Some(true) {
                let (number, title) = (event.pull_request.number, &event.pull_request.title);
                let note = format!("{} #{number} {title}", event.repository());
                merges.lock().release_notes.push(note);
            }
        })
        .start()
}

fn triage(bus: &Bus, learnt: &Shared) -> Result<Subscription, SubscribeError> {
    let (issues, pulls, discussions) = (learnt.clone(), learnt.clone(), learnt.clone());
    bus.subscribe("triage")
        .on(move |event: &Issue| {
            file(&issues, event.repository(), &event.action, &event.issue);
        })
        .on(move |event: &PullRequest| {
            let ticket = &event.pull_request;
            file(&pulls, event.repository(), &event.action, ticket);
        })
        .on(move |event: &Discussion| {
            let ticket = &event.discussion;
            file(&discussions, event.repository(), &event.action, ticket);
        })
        .start()
}

/// Puts a ticket into the triage queue, or takes it out.
fn file(learnt: &Shared, repository: &str, action: &str, ticket: &Ticket) {
    let key = (repository.to_owned(), ticket.number);
    let queue = &mut learnt.lock().triage;
    match action {
        "opened" | "reopened" | "created" | "ready_for_review" => {
            queue.insert(key, ticket.title.clone());
        }
        "closed" | "deleted" | "transferred" | "converted_to_draft" => {
            queue.remove(&key);
        }
        _ => {}
    }
}

fn audit(bus: &Bus, learnt: &Shared) -> Result<Subscription, SubscribeError> {
    bus.subscribe("audit")
        .on(audited::<Push>(learnt))
        .on(audited::<PullRequest>(learnt))
        .on(audited::<Issue>(learnt))
        .on(audited::<Discussion>(learnt))
        .on(audited::<IssueComment>(learnt))
        .on(audited::<Release>(learnt))
        .on(audited::<Other>(learnt))
        .on(audited::<Unreadable>(learnt))
        .start()
}

fn audited<E: Event>(learnt: &Shared) -> impl Fn(&E) + Send + Sync + use<E> {
    let learnt = learnt.clone();
    move |_| *learnt.lock().audit.entry(E::NAME).or_default() += 1
}

fn statistics(bus: &Bus, learnt: &Shared) -> Result<Subscription, SubscribeError> {
    bus.subscribe("statistics")
        .on(counted::<Push>(learnt))
        .on(counted::<PullRequest>(learnt))
        .on(counted::<Issue>(learnt))
        .on(counted::<Discussion>(learnt))
        .on(counted::<IssueComment>(learnt))
        .on(counted::<Release>(learnt))
        .on(counted::<Other>(learnt))
        .start()
}

/// Counts by repository, which is the key. The count is state of the subscription: it commits with
/// the acknowledgement, so that no restart counts an event twice or not at all.
fn counted<E: Event>(
    learnt: &Shared,
) -> impl Fn(&E, &mut Context) -> Result<(), StateError> + Send + Sync + use<E> {
    let learnt = learnt.clone();
    move |_, ctx| {
        let repository = ctx.key().map_or("(none)".into(), ToString::to_string);
        let count = ctx.state().get::<u64>("events")?.unwrap_or(0) + 1;
        ctx.state().put("events", &count)?;
        learnt.lock().statistics.insert(repository, count);
        Ok(())
    }
}

fn unreadable(bus: &Bus, learnt: &Shared) -> Result<Subscription, SubscribeError> {
    let learnt = learnt.clone();
    bus.subscribe("unreadable")
        .on(move |event: &Unreadable| {
            let seen = (event.line, event.error.clone());
            learnt.lock().unreadable.insert(seen);
        })
        .start()
}
