//! Starting a subscription: finding where it stopped, and setting its lanes to work.

use std::{
    collections::BTreeSet,
    sync::{Arc, OnceLock, atomic::AtomicU64},
};

use parking_lot::{Mutex, RwLock};
use serde::{Deserialize, Serialize};

use super::{
    AlarmHook, DeadLetterStore, Probed, Run, Subscriber,
    careful::Careful,
    conductor::Conductor,
    cursor::{Cursor, Layer},
    dead_letter::Alarm,
    effects::Effects,
    formation::Formation,
    gate::{Gate, Protection},
    handler::Form,
    idempotency::Inbox,
    inline::{self, InlineSide},
    keys,
    lag::Lag,
    lane::{Lane, Post},
    ledger::Tally,
    loss::{self, Loss},
    muster::Muster,
    quarantine::Quarantine,
    replay::{ReplayPlan, Replayed},
    status::Counters,
    subscriber::{Policy, Registered},
    sweep::Sweep,
    watch::Watches,
};
use crate::{
    contract::{EventType, NameId},
    event::Key,
    journal::{Journal, Mistake, Overrun, Rouse, Seat},
    message::Position,
    policy::{LagObjective, Lanes, Overflow, Start},
    runtime::{PoolId, Task, Timestamp},
    storage::{Filter, StorageError, Write},
};

/// A subscription as its builder describes it.
#[derive(Clone)]
pub(crate) struct Plan {
    pub(crate) name: Arc<str>,
    pub(crate) handlers: Vec<(Arc<EventType>, Arc<Run>)>,
    /// Events that it once handled and no longer wants.
    pub(crate) ignored: BTreeSet<String>,
    pub(crate) lanes: Lanes,
    pub(crate) pool: PoolId,
    pub(crate) start: Start,
    pub(crate) policy: Policy,
    /// Told when dead letters pile up.
    pub(crate) alarm: Option<AlarmHook>,
    pub(crate) protection: Protection,
    pub(crate) objective: Option<LagObjective>,
    /// Leaves nothing behind: no cursor, no stored dead letters.
    pub(crate) ephemeral: bool,
    /// It goes through a part of the past, and no further.
    pub(crate) replay: Option<ReplayPlan>,
    /// Its lanes take nothing: it is there to be asked.
    pub(crate) paused: bool,
    /// Of the whole bus.
    pub(crate) quarantine: Arc<Quarantine>,
    pub(crate) probed: Probed,
}

/// What is stored of a subscription besides its cursors.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Meta {
    pub(super) lanes: u32,
    /// Every event that it was ever to get, less the ignored ones.
    pub(super) events: BTreeSet<String>,
    pub(super) layers: Vec<Layer>,
    /// Events before it have come before, or may have: it was rewound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) repeats_before: Option<Position>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) replay: Option<Replayed>,
}

impl Meta {
    pub(super) fn new(lanes: u32, events: BTreeSet<String>) -> Self {
        Self { lanes, events, layers: Vec::new(), repeats_before: None, replay: None }
    }
}

/// Starts a subscription. It resumes where its name stopped, or starts where the plan says.
pub(crate) fn register(
    journal: &Arc<Journal>,
    plan: Plan,
    on_stop: Option<Box<dyn FnOnce() + Send>>,
) -> Result<Arc<Subscriber>, StorageError> {
    let kept = plan.clone();
    // What an earlier subscription of this name has on its way to storage is to be seen here.
    journal.write(Vec::new())?;
    let is_stored = journal.is_durable() && !plan.ephemeral;
    let contract = journal.contract();
    let kind = |(event, run): &(Arc<EventType>, Arc<Run>)| match run.inline {
        Some(_) => contract.name_id(&inline::detour(&plan.name, event)),
        None => event.id,
    };
    let own: Vec<_> = plan.handlers.iter().map(kind).collect();
    let stored = plan.handlers.iter().filter(|(_, run)| !run.is_inline());
    let events: BTreeSet<_> = stored.map(|(event, _)| event.name.to_string()).collect();
    let (meta, cursors) = if is_stored {
        resume(journal, &plan, events)?
    } else {
        let start = start_position(journal, plan.start)?;
        let lanes = plan.lanes.least();
        (Meta::new(lanes, events).of_replay(journal, &plan), fresh(lanes, start))
    };
    let owed = meta.events.iter().map(|name| contract.name_id(&name.as_str().into()));
    let kinds: BTreeSet<_> = owed.chain(own.iter().copied()).collect();
    let names = meta.events.iter().map(|name| name.as_str().into()).collect();
    let effects_of = plan.effects_of();
    let key = plan.replay.as_ref().and_then(|replay| replay.key.clone());
    let is_called = |(_, run): &(Arc<EventType>, Arc<Run>)| matches!(run.form, Form::Called { .. });
    let alone = plan.lanes.most() == 1 && plan.handlers.iter().all(is_called);
    let low = cursors.iter().map(Cursor::low).min().and_then(Position::new);
    let low = low.unwrap_or(Position::FIRST);
    let died = cursors.iter().map(|cursor| cursor.tally).sum::<Tally>().dead();
    let has_inline = plan.handlers.iter().any(|(_, run)| run.is_inline());
    let handlers = own.into_iter().zip(plan.handlers);
    let registered = |(kind, (event, run)): (NameId, (Arc<EventType>, Arc<Run>))| {
        let inbox =
            |idempotency| Inbox::open(journal, &plan.name, &event.name, idempotency, is_stored);
        let inbox = run.idempotency.as_ref().map(inbox).transpose()?;
        Ok((kind, Registered { route: journal.route(kind), event, run, inbox }))
    };
    let handlers: Result<_, StorageError> = handlers.map(registered).collect();
    let formation = Formation {
        group: journal.ring().new_group(),
        lanes: cursors.iter().map(|_| Arc::default()).collect(),
        layers: meta.layers.clone().into(),
        muster: Arc::new(Muster::new(cursors.len())),
    };
    let shed = plan.policy.precedence.is_sheddable.then(|| (journal.runtime().clone(), plan.pool));
    let subscriber = Arc::new(Subscriber {
        dead: DeadLetterStore::open(journal, &plan.name, is_stored)?,
        alarm: Alarm::new(&plan.name, plan.policy.max_dead_letters, plan.alarm),
        sweep: OnceLock::new(),
        lag: Lag::new(plan.objective),
        effects: Effects::open(journal, &plan.name, is_stored)?,
        careful: if is_stored {
            Careful::begin(journal, &plan.name, low, plan.policy.max_crashes)?
        } else {
            None
        },
        protection: plan.protection.describe(),
        gate: Gate::new(plan.protection, &plan.name, shed, journal.planted()),
        effects_of,
        name: plan.name,
        journal: Arc::clone(journal),
        formation: RwLock::new(Arc::new(formation)),
        lanes: plan.lanes,
        conductor: OnceLock::new(),
        handlers: handlers?,
        inline: has_inline.then(|| InlineSide::new(journal.ring())),
        kinds: kinds.clone(),
        filter: Filter { names, key, ..Filter::default() },
        policy: plan.policy,
        starts: AtomicU64::new(0),
        alone,
        counters: Counters::default(),
        lost_before: Mutex::new(Position::FIRST),
        is_stored,
        memory: Mutex::default(),
        quarantine: plan.quarantine,
        probed: plan.probed,
        watches: Watches::default(),
        on_stop: Mutex::new(on_stop),
        plan: kept,
        repeats_before: meta.repeats_before(),
        until: meta.replay.map(|replay| replay.to),
        successor: OnceLock::new(),
        paused: plan.paused.into(),
        stopping: false.into(),
        failed: false.into(),
        failure: Mutex::default(),
    });
    if is_stored {
        subscriber.counters.discarded.add(died.saturating_sub(subscriber.dead.count()));
        let losses = loss::list(journal, &subscriber.name)?;
        subscriber.counters.lost.add(losses.iter().map(Loss::positions).sum());
    }
    go(&subscriber, kinds, cursors, plan.pool)?;
    Ok(subscriber)
}

/// Sets everything going that a subscription consists of.
fn go(
    subscriber: &Arc<Subscriber>,
    kinds: BTreeSet<NameId>,
    cursors: Vec<Cursor>,
    pool: PoolId,
) -> Result<(), StorageError> {
    subscriber.alarm.look(|| subscriber.dead.count());
    if let Some(gate) = &subscriber.gate {
        gate.begin(subscriber);
    }
    subscriber.lag.begin(subscriber);
    let marked = subscriber.dead.marked()?;
    let ready = subscriber.dead.ready_keys();
    if subscriber.lanes.is_adaptive() {
        Conductor::start(subscriber, pool);
    }
    set_to_work(subscriber, kinds, cursors, pool);
    attach(subscriber);
    if let Some(age) = subscriber.policy.dead_letter_retention {
        Sweep::start(subscriber, age);
    }
    retry_letters(subscriber, ready, marked);
    Ok(())
}

/// Has dead letters tried again whose turn has come: what was put behind one that is gone, and what is
/// to be retried at the start.
fn retry_letters(subscriber: &Subscriber, ready: Vec<Key>, marked: Vec<Position>) {
    let ready = ready.into_iter().filter(|_| !subscriber.is_planted(Mistake::ForgetReady));
    for key in ready {
        subscriber.follow(key);
    }
    for position in marked {
        if let Err(error) = subscriber.revive(position) {
            tracing::error!(subscription = &*subscriber.name, %position, %error,
                "a dead letter was to be tried again, and cannot be read");
        }
    }
}

/// Has inline handlers called from now on.
fn attach(subscriber: &Arc<Subscriber>) {
    let Some(side) = &subscriber.inline else { return };
    let handlers = subscriber.handlers.iter();
    let attach = |(kind, registered): (&NameId, &Registered)| {
        let handler = registered.run.inline.as_ref()?;
        handler.attach(subscriber, subscriber.journal.route(*kind))
    };
    side.attached(handlers.filter_map(attach).collect());
}

/// Whether storage knows a subscription of that name.
pub(crate) fn is_known(journal: &Journal, name: &str) -> Result<bool, StorageError> {
    Ok(journal.is_durable() && journal.get(&keys::subscription(name))?.is_some())
}

/// Gives each lane its seat and its task, and starts them.
fn set_to_work(
    subscriber: &Arc<Subscriber>,
    kinds: BTreeSet<NameId>,
    cursors: Vec<Cursor>,
    pool: PoolId,
) {
    let (journal, formation) = (&subscriber.journal, subscriber.formation());
    let mut seats = journal.seats(kinds, formation.count());
    if subscriber.lanes.is_adaptive() {
        seats = seats.divided();
    }
    let lanes = (0..).zip(Seat::of(&seats)).zip(cursors).zip(&formation.lanes);
    let readers: Vec<_> = lanes
        .map(|((at, cursor), handle)| {
            let position = journal.is_durable().then_some(cursor.frontier);
            let task = Post::task(subscriber, handle, &formation.muster, at.0, pool);
            let (subscriber, handle) = (Arc::clone(subscriber), Arc::clone(handle));
            let lane = Lane::new(subscriber, Arc::clone(&formation), handle, at, cursor);
            formation.muster.come_in(lane);
            (position, task)
        })
        .collect();
    let overrun = match subscriber.policy.overflow {
        _ if journal.is_durable() => Overrun::Leave,
        Overflow::Block => Overrun::Wait,
        Overflow::Fail => Overrun::Fail,
        Overflow::Skip => Overrun::Skip,
    };
    let tasks: Vec<_> = readers.iter().map(|(_, task)| Arc::clone(task)).collect();
    let readers = readers.into_iter().map(|(at, task)| (at, task as Arc<dyn Rouse>));
    journal.ring().join(formation.group, seats, overrun, readers.collect());
    tasks.iter().for_each(Task::wake);
}

/// The stored state of a subscription, brought in line with the plan.
fn resume(
    journal: &Journal,
    plan: &Plan,
    events: BTreeSet<String>,
) -> Result<(Meta, Vec<Cursor>), StorageError> {
    let Some(stored) = load_meta(journal, &plan.name)? else {
        let start = start_position(journal, plan.start)?;
        let lanes = plan.lanes.least();
        let meta = Meta::new(lanes, events).of_replay(journal, plan);
        let cursors = fresh(lanes, start);
        store(journal, plan, &meta, Some(&cursors))?;
        return Ok((meta, cursors));
    };
    let mut cursors = load_cursors(journal, &plan.name, stored.lanes)?;
    let missed = loss::missed(journal, &cursors)?;
    if loss::clip(&mut cursors, journal.first()) || !missed.is_empty() {
        for loss in &missed {
            loss.report(&plan.name);
        }
        let losses = missed.iter().map(|loss| loss.write(&plan.name));
        journal.write(losses.collect())?;
    }
    let mut meta = stored.clone();
    meta.events.extend(events);
    meta.events.retain(|event| !plan.ignored.contains(event));
    meta.lanes = plan.lanes.nearest(stored.lanes);
    if meta.lanes != stored.lanes {
        let tally = cursors.iter_mut().map(|cursor| std::mem::take(&mut cursor.tally)).sum();
        let layer = Layer { cursors };
        let low = layer.low();
        if !journal.is_planted(Mistake::ForgetLayer) {
            meta.layers.push(layer);
        }
        let mut cursors = fresh(meta.lanes, Position::new(low).unwrap_or(Position::FIRST));
        if let Some(first) = cursors.first_mut() {
            first.tally = tally;
        }
        store(journal, plan, &meta, Some(&cursors))?;
        return Ok((meta, cursors));
    }
    let low = cursors.iter().map(Cursor::low).min().unwrap_or(1);
    let drops_all = journal.is_planted(Mistake::DropLayers);
    meta.layers.retain(|layer| layer.high() > low && !drops_all);
    if meta != stored {
        store(journal, plan, &meta, None)?;
    }
    Ok((meta, cursors))
}

pub(super) fn load_meta(journal: &Journal, name: &str) -> Result<Option<Meta>, StorageError> {
    let stored = journal.get(&keys::subscription(name))?;
    stored.map(|bytes| serde_json::from_slice(&bytes).map_err(|_| damaged())).transpose()
}

fn fresh(lanes: u32, start: Position) -> Vec<Cursor> {
    (0..lanes).map(|_| Cursor::at(start)).collect()
}

pub(super) fn load_cursors(
    journal: &Journal,
    name: &str,
    lanes: u32,
) -> Result<Vec<Cursor>, StorageError> {
    let load = |lane| {
        let bytes = journal.get(&keys::cursor(name, lane))?.ok_or_else(damaged)?;
        serde_json::from_slice(&bytes).map_err(|_| damaged())
    };
    (0..lanes).map(load).collect()
}

/// Stores the meta and, if given, the cursors in place of all earlier ones.
fn store(
    journal: &Journal,
    plan: &Plan,
    meta: &Meta,
    cursors: Option<&[Cursor]>,
) -> Result<(), StorageError> {
    let mut writes = vec![Write::put(keys::subscription(&plan.name), json(meta)?)];
    if let Some(cursors) = cursors {
        let old = journal.scan(&keys::cursors(&plan.name))?;
        writes.extend(old.into_iter().map(|(key, _)| Write::remove(key)));
        for (lane, cursor) in (0..).zip(cursors) {
            writes.push(Write::put(keys::cursor(&plan.name, lane), json(cursor)?));
        }
    }
    journal.write(writes)
}

pub(super) fn json(value: &impl Serialize) -> Result<Vec<u8>, StorageError> {
    serde_json::to_vec(value).map_err(|_| damaged())
}

fn damaged() -> StorageError {
    let reason = "what is stored of a subscription does not decode";
    StorageError::Corrupt { file: "state".into(), offset: 0, reason }
}

pub(super) fn start_position(journal: &Journal, start: Start) -> Result<Position, StorageError> {
    match start {
        Start::Earliest => Ok(journal.first()),
        Start::Latest => Ok(journal.end()),
        Start::Position(position) => Ok(position.min(journal.end()).max(journal.first())),
        Start::Time(time) => first_since(journal, time),
    }
}

/// The first event published at that time or later.
fn first_since(journal: &Journal, time: Timestamp) -> Result<Position, StorageError> {
    let (mut from, end) = (journal.first(), journal.end());
    let filter = Filter { since: Some(time), ..Filter::default() };
    while from < end {
        let (entries, next) = journal.read(from, end, &filter)?;
        if let Some(found) = entries.first() {
            return Ok(found.position);
        }
        if next <= from {
            break;
        }
        from = next;
    }
    Ok(end)
}
