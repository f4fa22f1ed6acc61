//! The subscriptions of the runs, and how their handlers end.

use std::time::Duration;

use tidings::{
    Backoff, Bus, Context, Event, HandlerError, Lanes, SubscribeError, Subscription,
    SubscriptionBuilder, Window, idempotent_by,
    testing::{Ending, Fact, History, Simulator, Skip},
};

use crate::{
    draws::{Draws, Faults},
    flow::{Counted, Source},
};

/// `plain` may have a filter, `counting` publishes and stores, `second-hand` handles what that
/// publishes, `charging` is idempotent and has effects outside, `pulled` may be pulled from.
pub(crate) const SUBSCRIPTIONS: [&str; 5] =
    ["plain", "counting", "second-hand", "charging", "pulled"];

pub(crate) const ATTEMPTS: u32 = 4;

pub(crate) const MOST_LANES: u32 = 4;

/// What handlers need.
#[derive(Clone)]
pub(crate) struct Scene {
    pub(crate) sim: Simulator,
    pub(crate) history: History,
    pub(crate) draws: Draws,
    pub(crate) faults: Faults,
}

/// The name of what a subscription handles.
pub(crate) fn event_name(by: &str) -> &'static str {
    if by == "second-hand" { Counted::NAME } else { Source::NAME }
}

/// A subscription without its handler, with lanes drawn anew.
pub(crate) fn describe(by: &'static str, bus: &Bus, scene: &Scene) -> SubscriptionBuilder {
    let retry = Backoff::exponential(Duration::from_secs(1)).jitter().max_attempts(ATTEMPTS);
    bus.subscribe(by).lanes(draw_lanes(&scene.sim)).retry(retry)
}

/// Starts a subscription whose handler is called.
pub(crate) fn start(
    by: &'static str,
    bus: &Bus,
    scene: &Scene,
) -> Result<Subscription, SubscribeError> {
    let (builder, judge) = (describe(by, bus, scene), scene.clone());
    match by {
        "plain" => with_filter(builder, scene)
            .on(move |event: &Source, ctx: &mut Context| judge.call(event.event, ctx, |_| Ok(()))),
        "counting" => builder.on(move |event: &Source, ctx: &mut Context| {
            judge.call(event.event, ctx, |ctx| judge.count(event, ctx))
        }),
        "second-hand" => builder.max_parked(3).on(move |event: &Counted, ctx: &mut Context| {
            judge.call(Counted::event(event.source), ctx, |_| Ok(()))
        }),
        "charging" => {
            let charge = move |event: &Source, ctx: &mut Context| {
                judge.call(event.event, ctx, |ctx| judge.charge(event.event, ctx))
            };
            let idempotent = idempotent_by(|event: &Source| event.thing, charge);
            builder.on(idempotent.window(Window::last(100_000)))
        }
        _ => builder
            .on(move |event: &Source, ctx: &mut Context| judge.call(event.event, ctx, |_| Ok(()))),
    }
    .start()
}

fn with_filter(builder: SubscriptionBuilder, scene: &Scene) -> SubscriptionBuilder {
    if !scene.draws.filter {
        return builder;
    }
    let history = scene.history.clone();
    builder.filter(move |source: &Source| {
        let (passes, event) = (passes(source.event), source.event);
        if !passes {
            let (subscription, reason) = ("plain".into(), Some(Skip::Filtered));
            history.add(Fact::Skipped { subscription, event, reason });
        }
        passes
    })
}

/// What the filter of `plain` says.
pub(crate) fn passes(event: u64) -> bool {
    !event.is_multiple_of(3)
}

fn draw_lanes(sim: &Simulator) -> Lanes {
    let number = 1 + sim.random_below(u64::from(MOST_LANES)) as u32;
    if sim.random_below(2) == 0 { number.into() } else { Lanes::adaptive(1..=MOST_LANES) }
}

impl Scene {
    /// Does something before the verdict, so that a failed attempt has something to undo.
    fn call(
        &self,
        event: u64,
        ctx: &mut Context,
        work: impl FnOnce(&mut Context) -> Result<(), HandlerError>,
    ) -> Result<(), HandlerError> {
        self.history.called(event, ctx);
        if let Err(error) = work(ctx) {
            self.history.returned(event, ctx, Ending::Failed);
            return Err(error);
        }
        let ending = self.ending();
        self.history.returned(event, ctx, ending);
        match ending {
            Ending::Handled => Ok(()),
            Ending::Rejected => Err(HandlerError::reject("drawn")),
            // Unlike `panic!`, prints nothing.
            Ending::Panicked => std::panic::resume_unwind(Box::new("drawn")),
            _ => Err(HandlerError::retry("drawn")),
        }
    }

    /// Draws how a call ends.
    pub(crate) fn ending(&self) -> Ending {
        let Faults { fail, panic, reject } = self.faults;
        match self.sim.random_below(100) {
            draw if draw < fail => Ending::Failed,
            draw if draw < fail + panic => Ending::Panicked,
            draw if draw < fail + panic + reject => Ending::Rejected,
            _ => Ending::Handled,
        }
    }

    fn count(&self, source: &Source, ctx: &mut Context) -> Result<(), HandlerError> {
        let &Source { event, key, .. } = source;
        let mut count = 0;
        if key > 0 {
            count = ctx.state().get::<u64>("count")?.unwrap_or(0);
            ctx.state().put("count", &(count + 1))?;
        }
        let counted = Counted { source: event, key, count };
        self.history.publishing("counting", Counted::event(event), &counted);
        ctx.publish(counted)?;
        Ok(())
    }

    fn charge(&self, event: u64, ctx: &mut Context) -> Result<(), HandlerError> {
        if !self.draws.effects {
            return Ok(());
        }
        let effect = || {
            self.history.add(Fact::Effect {
                subscription: "charging".into(),
                event,
                step: "charge".into(),
            });
            Ok::<u64, HandlerError>(event)
        };
        let result = ctx.once("charge", effect);
        self.history.add(Fact::EffectKept {
            subscription: "charging".into(),
            event,
            step: "charge".into(),
            kept: result.is_ok(),
        });
        assert_eq!(result?, event, "the result of another event's effect");
        Ok(())
    }
}
