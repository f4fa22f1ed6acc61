//! The subscriptions of the runs, and how their handlers end.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use tidings::{
    Backoff, Bus, Context, Event, HandlerError, Headers, Lanes, Next, OnDeadLetter, SubscribeError,
    Subscription, SubscriptionBuilder, Window, idempotent_by, made_by,
    testing::{Ending, Fact, History, Simulator, Skip},
};
use tokio::runtime::Handle;

use crate::{
    asynchronous, batches,
    draws::{Draws, Faults},
    fate::Fate,
    flow::{Counted, Source},
    letters::EPOCH,
    meter::Meter,
    notes::Notes,
    protection::Protection,
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
    pub(crate) notes: Notes,
    pub(crate) fate: Fate,
    /// Where async handlers run.
    pub(crate) tokio: Option<Handle>,
    /// The calls of this start.
    pub(crate) meter: Arc<Meter>,
    /// The subscription was stopped, or the process has ended: nobody hears of its handlers any more.
    pub(crate) over: Arc<AtomicBool>,
    /// Handlers are called without effect.
    pub(crate) dry: Arc<AtomicBool>,
}

/// The name of what a subscription handles.
pub(crate) fn event_name(by: &str) -> &'static str {
    if by == "second-hand" { Counted::NAME } else { Source::NAME }
}

/// A subscription without its handler, with lanes drawn anew.
pub(crate) fn describe(
    by: &'static str,
    bus: &Bus,
    scene: &Scene,
    protection: &Protection,
) -> SubscriptionBuilder {
    let retry = Backoff::exponential(Duration::from_secs(1)).jitter().max_attempts(ATTEMPTS);
    let mut builder = bus.subscribe(by).lanes(draw_lanes(&scene.sim)).retry(retry);
    if scene.draws.holds_keys {
        builder = builder.on_dead_letter(OnDeadLetter::HoldKey);
    }
    if let Some(age) = scene.draws.letters_kept {
        builder = builder.dead_letter_retention(age);
    }
    if by == "charging" && scene.draws.builder_idempotency {
        let window = Window::last(100_000);
        builder = builder.idempotent_by(window, |event: &Source| event.thing);
    }
    if by == "plain" {
        builder = with_filter(builder, scene);
    }
    protection.apply(builder)
}

/// Starts a subscription whose handler is called.
pub(crate) fn start(
    by: &'static str,
    builder: SubscriptionBuilder,
    scene: &Scene,
) -> Result<Subscription, SubscribeError> {
    if scene.may_be_async(by) && scene.draw(2) == 0 {
        return asynchronous::on(builder, scene).start();
    }
    if by == "second-hand" && scene.draws.batches {
        return batches::start(builder, scene);
    }
    let (builder, judge) = (with_layers(by, builder, scene), scene.clone());
    match by {
        "plain" if scene.draws.made => builder.on::<Source, _>(made_by(move || {
            judge.notes.note("handlers that were made");
            plain(judge.clone())
        })),
        "counting" => builder.on(move |event: &Source, ctx: &mut Context| {
            judge.call(event.event, ctx, |ctx| judge.count(event, ctx))
        }),
        "second-hand" => builder.max_parked(3).on(move |event: &Counted, ctx: &mut Context| {
            judge.call(Counted::event(event.source), ctx, |_| Ok(()))
        }),
        "charging" => {
            let in_builder = scene.draws.builder_idempotency;
            let charge = move |event: &Source, ctx: &mut Context| {
                judge.call(event.event, ctx, |ctx| judge.charge(event.event, ctx))
            };
            if in_builder {
                return builder.on(charge).start();
            }
            let idempotent = idempotent_by(|event: &Source| event.thing, charge);
            builder.on(idempotent.window(Window::last(100_000)))
        }
        _ => builder.on(plain(judge)),
    }
    .start()
}

fn plain(
    judge: Scene,
) -> impl Fn(&Source, &mut Context) -> Result<(), HandlerError> + Send + Sync + 'static {
    move |event, ctx| judge.call(event.event, ctx, |_| Ok(()))
}

/// Layers that fail now and then, before the handler is called.
fn with_layers(
    by: &'static str,
    builder: SubscriptionBuilder,
    scene: &Scene,
) -> SubscriptionBuilder {
    if !scene.draws.layers {
        return builder;
    }
    // A layer does not see the event, and a filter comes before it.
    let passing = Arc::new(AtomicU64::new(0));
    let (sources, counted) = (Arc::clone(&passing), Arc::clone(&passing));
    let builder = if by == "second-hand" {
        builder.filter(move |event: &Counted| {
            counted.store(Counted::event(event.source), Relaxed);
            true
        })
    } else {
        builder.filter(move |event: &Source| {
            sources.store(event.event, Relaxed);
            true
        })
    };
    let (counts, judge) = (scene.notes.clone(), scene.clone());
    let counts = move |ctx: &mut Context, next: Next<'_>| {
        counts.note("calls through layers");
        next.run(ctx)
    };
    builder.layer(counts).layer(move |ctx: &mut Context, next: Next<'_>| {
        if judge.draw(400) < judge.faults.fail {
            judge.fail_in_layer(passing.load(Relaxed), ctx);
            return Err(HandlerError::retry("drawn by a layer"));
        }
        next.run(ctx)
    })
}

fn with_filter(builder: SubscriptionBuilder, scene: &Scene) -> SubscriptionBuilder {
    if !scene.draws.filter {
        return builder;
    }
    let judge = scene.clone();
    builder.filter(move |source: &Source| {
        let (passes, event) = (passes(source.event), source.event);
        if !passes && !judge.is_over() && !judge.dry.load(Relaxed) {
            let (subscription, reason) = ("plain".into(), Some(Skip::Filtered));
            judge.history.add(Fact::Skipped { subscription, event, reason });
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
    /// What the handlers of one start have.
    pub(crate) fn for_start(&self, protection: &Protection) -> Self {
        let meter = Arc::new(Meter::new(protection, &self.notes));
        Self { meter, over: Arc::default(), ..self.clone() }
    }

    pub(crate) fn draw(&self, below: u64) -> u64 {
        self.sim.random_below(below)
    }

    /// Whether nobody hears of handlers any more.
    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Relaxed) || self.fate.has_struck()
    }

    fn may_be_async(&self, by: &str) -> bool {
        let Draws { async_handlers, effects, builder_idempotency, .. } = self.draws;
        async_handlers
            && match by {
                "second-hand" => false,
                "charging" => builder_idempotency && !effects,
                _ => true,
            }
    }

    /// An attempt fails before it comes to the handler.
    fn fail_in_layer(&self, event: u64, ctx: &Context) {
        self.notes.note("layers that failed");
        if !ctx.is_dry_run() && !self.fate.has_struck() {
            self.history.called(event, ctx);
            self.history.returned(event, ctx, Ending::Failed);
        }
    }

    /// Does something before the verdict, so that a failed attempt has something to undo.
    fn call(
        &self,
        event: u64,
        ctx: &mut Context,
        work: impl FnOnce(&mut Context) -> Result<(), HandlerError>,
    ) -> Result<(), HandlerError> {
        if ctx.is_dry_run() {
            return work(ctx).and_then(|()| Self::verdict(self.ending()));
        }
        if self.fate.has_struck() {
            return Ok(());
        }
        self.meter.call(self.sim.elapsed(), event, ctx);
        self.note_expired(event, ctx);
        self.history.called(event, ctx);
        let result = work(ctx);
        self.meter.end();
        if self.fate.has_struck() || self.fate.strikes(self) {
            return Ok(()); // nobody is there to hear it
        }
        if let Err(error) = result {
            self.history.returned(event, ctx, Ending::Failed);
            self.meter.failed(event);
            return Err(error);
        }
        let ending = self.ending();
        self.history.returned(event, ctx, ending);
        if matches!(ending, Ending::Failed | Ending::Panicked) {
            self.meter.failed(event);
        }
        Self::verdict(ending)
    }

    /// No event is handled after its time, but for dead letters. Where these hold up keys, some come to it
    /// without being seen as such.
    pub(crate) fn note_expired(&self, event: u64, ctx: &Context) {
        let millis = ctx.headers().get(Headers::EXPIRES_AFTER);
        let Some(millis) = millis.filter(|_| !self.draws.holds_keys) else { return };
        let published_at = Duration::from_nanos(ctx.published_at().as_nanos() - EPOCH);
        let age = self.sim.elapsed().saturating_sub(published_at);
        let is_late = age >= Duration::from_millis(millis.parse().unwrap());
        let was_dead = || {
            let is_it =
                |fact: &Fact| matches!(fact, Fact::Revived { event: it, .. } if *it == event);
            self.history.facts().iter().any(is_it)
        };
        let why = || format!("event {event} is {age:?} old, and was good for {millis} ms");
        self.notes.demand(!is_late || was_dead(), why);
    }

    /// How a handler says that it ended so.
    pub(crate) fn verdict(ending: Ending) -> Result<(), HandlerError> {
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
        let Faults { fail, panic, reject, .. } = self.faults;
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
        if !ctx.is_dry_run() {
            self.history.publishing("counting", Counted::event(event), &counted);
        }
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
        if !ctx.is_dry_run() && !self.fate.has_struck() {
            self.history.add(Fact::EffectKept {
                subscription: "charging".into(),
                event,
                step: "charge".into(),
                kept: result.is_ok(),
            });
        }
        let kept = result?;
        self.notes.demand(kept == event, || format!("the effect of {kept}, not {event}"));
        Ok(())
    }
}
