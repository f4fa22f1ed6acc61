//! The handlers of a saga's subscription: they load an instance, step it, and stage what comes of it.

use std::{any::Any, sync::Arc};

use super::{
    events::{Operation, TimerFired},
    instance::{self, Unreadable},
};
use crate::{
    bus::SubscriptionBuilder,
    delivery::{Area, Context, HandlerError},
    event::{Event, Key},
    saga::{
        definition::Saga,
        machine::{Arrived, Command, Instance, Machine, Moment, Outcome, Step, WaitingEvent},
        schedule,
    },
};

/// The name of an instance's record.
pub(super) const INSTANCE: &str = "";

/// The name of the record of events that wait for an instance.
pub(super) const PARKED: &str = "parked";

/// Is told when an instance halts.
pub(super) type HaltHook = Box<dyn Fn(&Key, &str) + Send + Sync>;

/// Steps the instances of a saga.
pub(crate) struct Runner<S: Saga> {
    pub(super) machine: Machine<S>,
    pub(super) on_halt: Option<HaltHook>,
}

/// Has the subscription handle an event.
pub(crate) fn subscribe<S: Saga, E: Event>(
    subscription: SubscriptionBuilder,
    runner: Arc<Runner<S>>,
) -> SubscriptionBuilder {
    subscription.on(move |event: &E, ctx: &mut Context| runner.handle(E::NAME, event, ctx))
}

/// What is stored under a key.
enum Stored<S> {
    Nothing,
    Instance(Instance<S>),
    Unreadable(Unreadable),
}

impl<S: Saga> Runner<S> {
    fn handle(
        &self,
        name: &'static str,
        event: &dyn Any,
        ctx: &mut Context,
    ) -> Result<(), HandlerError> {
        if ctx.is_replay() {
            return Ok(()); // what came of it is in the instance
        }
        let key = self.key_of(name, event, ctx)?;
        let arrived = Arrived { name, id: ctx.id(), event };
        let moment = moment(ctx);
        match load(ctx, &key)? {
            Stored::Instance(instance) => {
                let step = self.machine.event(&key, instance, arrived, moment)?;
                self.apply(step, ctx)
            }
            Stored::Nothing => {
                let parked = parked(ctx, &key)?;
                let had_parked = !parked.is_empty();
                match self.machine.first_event(&key, parked.clone(), arrived, moment)? {
                    Outcome::PassedOver => Ok(()),
                    Outcome::Park(waiting) => park(ctx, &key, parked, waiting),
                    Outcome::Step(step) => {
                        if had_parked {
                            ctx.write_record(Area::Saga, &key, PARKED, None)?;
                        }
                        self.apply(*step, ctx)
                    }
                }
            }
            Stored::Unreadable(why) => self.wait_for_reader(&key, arrived, moment, &why, ctx),
        }
    }

    fn key_of(
        &self,
        name: &'static str,
        event: &dyn Any,
        ctx: &Context,
    ) -> Result<Key, HandlerError> {
        let key = self.machine.key_of(name, event, ctx.key().cloned());
        let key = key.filter(|key| key.as_str().len() <= Key::MAX_LEN);
        key.ok_or_else(|| {
            let saga = S::NAME;
            HandlerError::reject(format!("`{name}` names no instance of `{saga}`: it has no key"))
        })
    }

    /// The instance's state cannot be read: the event waits, and others go on.
    fn wait_for_reader(
        &self,
        key: &Key,
        arrived: Arrived<'_>,
        moment: Moment,
        why: &Unreadable,
        ctx: &mut Context,
    ) -> Result<(), HandlerError> {
        let (saga, error) = (S::NAME, &why.error);
        tracing::error!(saga, %key, error, "the state of an instance cannot be read");
        let parked = parked(ctx, key)?;
        if parked.iter().any(|other| other.id == arrived.id) {
            return Ok(());
        }
        if parked.len() >= self.machine.define.limits.waiting {
            return Err(HandlerError::reject(format!(
                "the state of `{key}` cannot be read: {error}"
            )));
        }
        let waiting = self.machine.waiting(arrived, moment)?;
        park(ctx, key, parked, waiting)
    }

    pub(super) fn fire(&self, fired: &TimerFired, ctx: &mut Context) -> Result<(), HandlerError> {
        let Some(key) = ctx.key().cloned().filter(|_| !ctx.is_replay()) else { return Ok(()) };
        match load(ctx, &key)? {
            Stored::Instance(instance) => {
                let timer = (&fired.timer, fired.epoch);
                let step = self.machine.timer(&key, instance, timer, moment(ctx))?;
                self.apply(step, ctx)
            }
            // Its instance is not kept any longer.
            Stored::Nothing => Ok(()),
            // Dropped, it would be a timer that never goes off.
            Stored::Unreadable(why) => Err(HandlerError::reject(format!(
                "the state of `{key}` cannot be read: {}",
                why.error
            ))),
        }
    }

    pub(super) fn operate(
        &self,
        operation: &Operation,
        ctx: &mut Context,
    ) -> Result<(), HandlerError> {
        let Some(key) = ctx.key().cloned().filter(|_| !ctx.is_replay()) else { return Ok(()) };
        let parked = parked(ctx, &key)?;
        match load(ctx, &key)? {
            Stored::Instance(instance) => {
                if !parked.is_empty() {
                    ctx.write_record(Area::Saga, &key, PARKED, None)?;
                }
                let stored = (instance, parked);
                let step = self.machine.operate(&key, stored, &operation.command, moment(ctx))?;
                self.apply(step, ctx)
            }
            Stored::Nothing if operation.command == Command::DiscardParked => {
                let (saga, events) = (S::NAME, parked.len());
                tracing::warn!(saga, %key, events, "an operator has discarded parked events");
                Ok(ctx.write_record(Area::Saga, &key, PARKED, None)?)
            }
            Stored::Nothing => Ok(()),
            Stored::Unreadable(why) => Err(HandlerError::reject(format!(
                "the state of `{key}` cannot be read: {}",
                why.error
            ))),
        }
    }

    /// Stages what a step comes to; all of it commits with the acknowledgement.
    fn apply(&self, mut step: Step<S>, ctx: &mut Context) -> Result<(), HandlerError> {
        for scheduled in &step.stopped {
            schedule::stop(ctx, scheduled);
        }
        for (epoch, after) in std::mem::take(&mut step.set) {
            let timers = &mut step.instance.timers;
            let Some(timer) = timers.iter_mut().find(|timer| timer.epoch == epoch) else {
                continue;
            };
            let saga = S::NAME.to_owned();
            let fired = TimerFired { saga, timer: timer.id.clone(), epoch };
            timer.scheduled = Some(schedule::set(ctx, fired, &step.key, after)?);
        }
        for event in std::mem::take(&mut step.sends) {
            event.publish(ctx)?;
        }
        if let Some(why) = &step.halted {
            self.tell_halted(&step.key, why);
        }
        if step.purge {
            return self.purge(&step, ctx);
        }
        let slots = u64::from(self.machine.define.limits.history);
        for entry in &step.history {
            let name = slot(entry.revision % slots);
            let entry = serde_json::to_vec(entry).map_err(HandlerError::reject)?;
            ctx.write_record(Area::SagaHistory, &step.key, &name, Some(entry))?;
        }
        let instance = serde_json::to_vec(&step.instance).map_err(HandlerError::reject)?;
        ctx.write_record(Area::Saga, &step.key, INSTANCE, Some(instance))?;
        Ok(())
    }

    fn purge(&self, step: &Step<S>, ctx: &mut Context) -> Result<(), HandlerError> {
        ctx.write_record(Area::Saga, &step.key, INSTANCE, None)?;
        let slots = u64::from(self.machine.define.limits.history);
        for number in 0..slots.min(step.instance.revision + 1) {
            ctx.write_record(Area::SagaHistory, &step.key, &slot(number), None)?;
        }
        Ok(())
    }

    fn tell_halted(&self, key: &Key, why: &str) {
        let saga = S::NAME;
        tracing::error!(saga, %key, why, "an instance has halted, and waits for an operator");
        if let Some(hook) = &self.on_halt {
            hook(key, why);
        }
    }
}

/// The name of a line of the history. Old lines are written over.
fn slot(number: u64) -> String {
    format!("{number:03x}")
}

fn moment(ctx: &Context) -> Moment {
    let (now, random) = ctx.moment();
    Moment { now, random }
}

fn load<S: Saga>(ctx: &Context, key: &Key) -> Result<Stored<S>, HandlerError> {
    let Some(bytes) = ctx.record(Area::Saga, key, INSTANCE)? else { return Ok(Stored::Nothing) };
    Ok(match instance::read(&bytes) {
        Ok(instance) => Stored::Instance(instance),
        Err(why) => Stored::Unreadable(why),
    })
}

fn parked(ctx: &Context, key: &Key) -> Result<Vec<WaitingEvent>, HandlerError> {
    let Some(bytes) = ctx.record(Area::Saga, key, PARKED)? else { return Ok(Vec::new()) };
    Ok(serde_json::from_slice(&bytes)?)
}

fn park(
    ctx: &mut Context,
    key: &Key,
    mut parked: Vec<WaitingEvent>,
    waiting: WaitingEvent,
) -> Result<(), HandlerError> {
    parked.push(waiting);
    let bytes = serde_json::to_vec(&parked).map_err(HandlerError::reject)?;
    ctx.write_record(Area::Saga, key, PARKED, Some(bytes))?;
    Ok(())
}
