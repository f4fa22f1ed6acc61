//! What handles an event: closures, functions, and types of one's own.

use std::{
    marker::PhantomData,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use super::{
    Context, HandlerError,
    attempt::panicked,
    batched::Batching,
    context::Staged,
    idempotency::{CopiesBy, Idempotency},
    in_place::{self, InPlace},
    inline::{self, Attach},
    layer::{NamedLayer, Next},
    ledger::Skip,
    started::Completion,
};
use crate::{
    contract::{DecodeError, EventType},
    event::Event,
    journal::CellRef,
    message::Envelope,
};

/// A handler as a type of its own, for handlers that carry something.
///
/// ```
/// use serde::{Deserialize, Serialize};
/// use tidings::{Context, Event, Handler, HandlerError};
///
/// #[derive(Serialize, Deserialize, Event)]
/// #[event(name = "orders.placed")]
/// struct OrderPlaced;
///
/// struct Mailer { from: String }
///
/// impl Handler<OrderPlaced> for Mailer {
///     fn handle(&self, _: &OrderPlaced, ctx: &mut Context) -> Result<(), HandlerError> {
///         println!("{} writes about {}", self.from, ctx.id());
///         Ok(())
///     }
/// }
/// ```
pub trait Handler<E: Event>: Send + Sync + 'static {
    /// Handles one event. Called by one thread at a time for each lane.
    ///
    /// # Errors
    /// Whatever keeps the event from being handled; the error says whether to try again.
    fn handle(&self, event: &E, ctx: &mut Context) -> Result<(), HandlerError>;

    /// Whether the handler needs no context; then `handle_plain` is called instead.
    #[doc(hidden)]
    fn is_plain(&self) -> bool
    where
        Self: Sized,
    {
        false
    }

    /// How copies of an event are known, where the handler is to be called for one of them alone.
    #[doc(hidden)]
    fn idempotency(&self) -> Option<Idempotency> {
        None
    }

    /// By what the copies of an event are known, if there is to be any difference.
    #[doc(hidden)]
    fn copies_by(&self, _: &E) -> CopiesBy
    where
        Self: Sized,
    {
        CopiesBy::Id
    }

    /// As `handle`, for a handler that `is_plain`.
    #[doc(hidden)]
    fn handle_plain(&self, _: &E) -> Result<(), HandlerError>
    where
        Self: Sized,
    {
        Ok(())
    }
}

/// What a handler may return: `()`, or a `Result` whose error converts into a [`HandlerError`], as
/// every `std::error::Error` does.
#[diagnostic::on_unimplemented(
    message = "a handler cannot return `{Self}`",
    note = "return `()`, or `Result<(), E>` where `E` is a `std::error::Error` or a `HandlerError`"
)]
pub trait Outcome {
    /// This value as a result.
    ///
    /// # Errors
    /// The handler's own.
    fn into_result(self) -> Result<(), HandlerError>;
}

impl Outcome for () {
    fn into_result(self) -> Result<(), HandlerError> {
        Ok(())
    }
}

impl<E: Into<HandlerError>> Outcome for Result<(), E> {
    fn into_result(self) -> Result<(), HandlerError> {
        self.map_err(Into::into)
    }
}

/// What can become a [`Handler`]: `Fn(&E)`, `Fn(&E, &mut Context)`, or a handler type.
///
/// `M` only tells the three apart; nobody needs to name it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a handler of an event",
    label = "not a handler",
    note = "a handler is `|event: &MyEvent| ..` or `|event: &MyEvent, ctx: &mut Context| ..`, with \
            the types written out as references, or a type that implements `Handler<MyEvent>`",
    note = "it returns `()` or `Result<(), E>`, where `E` is a `std::error::Error` or a \
            `HandlerError`; text and boxed errors become one by `HandlerError::retry(..)`",
    note = "`MyEvent` derives `Event`; an async handler goes to `on_async` (feature `tokio`)"
)]
pub trait IntoHandler<E: Event, M> {
    /// The handler's type.
    type Handler: Handler<E>;

    /// This value as a handler.
    fn into_handler(self) -> Self::Handler;
}

/// A function as a handler.
#[derive(Debug)]
pub struct FnHandler<F, M> {
    function: F,
    form: PhantomData<fn() -> M>,
}

/// The form `Fn(&E) -> R`.
#[derive(Debug)]
#[non_exhaustive]
pub struct Plain<R>(PhantomData<R>);

/// The form `Fn(&E, &mut Context) -> R`.
#[derive(Debug)]
#[non_exhaustive]
pub struct WithContext<R>(PhantomData<R>);

/// A handler type.
#[derive(Debug)]
#[non_exhaustive]
pub struct Typed;

impl<E, F, R> IntoHandler<E, Plain<R>> for F
where
    E: Event,
    F: Fn(&E) -> R + Send + Sync + 'static,
    R: Outcome + 'static,
{
    type Handler = FnHandler<F, Plain<R>>;

    fn into_handler(self) -> Self::Handler {
        FnHandler { function: self, form: PhantomData }
    }
}

impl<E, F, R> Handler<E> for FnHandler<F, Plain<R>>
where
    E: Event,
    F: Fn(&E) -> R + Send + Sync + 'static,
    R: Outcome + 'static,
{
    fn handle(&self, event: &E, _: &mut Context) -> Result<(), HandlerError> {
        self.handle_plain(event)
    }

    fn is_plain(&self) -> bool {
        true
    }

    #[inline]
    fn handle_plain(&self, event: &E) -> Result<(), HandlerError> {
        (self.function)(event).into_result()
    }
}

impl<E, F, R> IntoHandler<E, WithContext<R>> for F
where
    E: Event,
    F: Fn(&E, &mut Context) -> R + Send + Sync + 'static,
    R: Outcome + 'static,
{
    type Handler = FnHandler<F, WithContext<R>>;

    fn into_handler(self) -> Self::Handler {
        FnHandler { function: self, form: PhantomData }
    }
}

impl<E, F, R> Handler<E> for FnHandler<F, WithContext<R>>
where
    E: Event,
    F: Fn(&E, &mut Context) -> R + Send + Sync + 'static,
    R: Outcome + 'static,
{
    fn handle(&self, event: &E, ctx: &mut Context) -> Result<(), HandlerError> {
        (self.function)(event, ctx).into_result()
    }
}

impl<E: Event, H: Handler<E>> IntoHandler<E, Typed> for H {
    type Handler = H;

    fn into_handler(self) -> H {
        self
    }
}

/// A handler with its event type erased.
pub(crate) struct Run {
    /// How a record from storage becomes an event.
    pub(super) decode: Decode,
    pub(super) form: Form,
    /// How it gets several events at a time, where it does.
    pub(super) batching: Option<Batching>,
    /// Where it is called in the first place, if that is not a lane.
    pub(super) inline: Option<Box<dyn Attach>>,
    /// How copies of an event are known, where they are not to be handled.
    pub(super) idempotency: Option<Idempotency>,
    /// What an event goes through, from the outside to the handler.
    pub(super) steps: Vec<String>,
}

type Decode = fn(&EventType, &Arc<Envelope>, &[u8]) -> Result<CellRef, DecodeError>;

pub(super) enum Form {
    /// Runs to its end on the lane's thread.
    Called { call: Box<Call>, in_place: Option<Box<dyn InPlace>> },
    /// Is only started there; the completion tells the lane how it ended.
    Started(Box<dyn Fn(CellRef, Context, Completion) + Send + Sync>),
}

/// Whether an event passes a filter.
pub(crate) type Passes = Arc<dyn Fn(&CellRef) -> bool + Send + Sync>;

pub(super) type Call = dyn Fn(&CellRef, &mut Context) -> Result<(), HandlerError> + Send + Sync;

impl Run {
    pub(super) fn started<E: Event>(
        start: impl Fn(CellRef, Context, Completion) + Send + Sync + 'static,
    ) -> Self {
        let form = Form::Started(Box::new(start));
        Self::of_form::<E>(form, "started handler")
    }

    /// A handler of our own, which needs the event as it is.
    pub(super) fn called<E: Event>(
        handle: impl Fn(&CellRef, &Context) + Send + Sync + 'static,
    ) -> Self {
        let call = move |event: &CellRef, ctx: &mut Context| {
            handle(event, ctx);
            Ok(())
        };
        Self::of_call::<E>(Box::new(call))
    }

    pub(super) fn of_call<E: Event>(call: Box<Call>) -> Self {
        Self::of_form::<E>(Form::Called { call, in_place: None }, "handler")
    }

    fn of_form<E: Event>(form: Form, name: &str) -> Self {
        Self {
            decode: decode::<E>,
            form,
            batching: None,
            inline: None,
            idempotency: None,
            steps: step(name),
        }
    }

    /// The same for events that pass a filter; the others are passed over.
    pub(crate) fn filtered(mut self, passes: Passes) -> Self {
        self.steps.insert(0, "filter".into());
        if let Some(batching) = &mut self.batching {
            batching.passes.push(Arc::clone(&passes));
        }
        let form = match self.form {
            Form::Called { call, .. } => {
                let call = move |event: &CellRef, ctx: &mut Context| {
                    if passes(event) {
                        return call(event, ctx);
                    }
                    ctx.skip(Skip::Filtered);
                    Ok(())
                };
                Form::Called { call: Box::new(call), in_place: None }
            }
            Form::Started(start) => Form::Started(Box::new(move |event, context, completion| {
                match catch_unwind(AssertUnwindSafe(|| passes(&event))) {
                    Ok(true) => start(event, context, completion),
                    Ok(false) => completion.finish(Ok(Staged::skipped(Skip::Filtered))),
                    Err(panic) => completion.finish(Err(panicked(panic.as_ref()))),
                }
            })),
        };
        Self { form, ..self }
    }

    /// The same for events that come for the first time; others are passed over.
    pub(crate) fn skipping_replays(mut self) -> Self {
        self.steps.insert(0, "no replays".into());
        let form = match self.form {
            Form::Called { call, .. } => {
                let call = move |event: &CellRef, ctx: &mut Context| {
                    if !ctx.is_replay() {
                        return call(event, ctx);
                    }
                    ctx.skip(Skip::Filtered);
                    Ok(())
                };
                Form::Called { call: Box::new(call), in_place: None }
            }
            Form::Started(start) => Form::Started(Box::new(move |event, context, completion| {
                if context.is_replay() {
                    return completion.finish(Ok(Staged::skipped(Skip::Filtered)));
                }
                start(event, context, completion);
            })),
        };
        Self { form, ..self }
    }

    /// The same within layers, the first one outermost. `None` for a handler that is only started in
    /// its lane, where layers could not see how it ends, for one that is called elsewhere, and for one of
    /// batches.
    pub(crate) fn layered(mut self, layers: &[NamedLayer]) -> Option<Self> {
        if layers.is_empty() {
            return Some(self);
        }
        if self.is_inline() || self.batching.is_some() {
            return None;
        }
        let Form::Called { call, .. } = self.form else { return None };
        let names = layers.iter().map(|layer| format!("layer {}", layer.name));
        self.steps.splice(..0, names);
        let layers: Arc<[NamedLayer]> = layers.into();
        let call = move |event: &CellRef, ctx: &mut Context| {
            Next::new(&layers, &|ctx| call(event, ctx)).run(ctx)
        };
        let form = Form::Called { call: Box::new(call), in_place: None };
        Some(Self { form, ..self })
    }

    /// The same, called for one of several copies of an event alone.
    pub(crate) fn idempotent(mut self, idempotency: Idempotency) -> Self {
        if let Form::Called { in_place, .. } = &mut self.form {
            *in_place = None;
        }
        self.known_by(idempotency)
    }

    fn known_by(mut self, idempotency: Idempotency) -> Self {
        self.steps.insert(0, "idempotency".into());
        Self { idempotency: Some(idempotency), ..self }
    }

    pub(crate) fn is_batched(&self) -> bool {
        self.batching.is_some()
    }

    pub(crate) fn is_inline(&self) -> bool {
        self.inline.is_some()
    }
}

pub(super) fn step(name: &str) -> Vec<String> {
    vec![name.to_owned()]
}

/// A filter with its event type erased.
pub(crate) fn erase_filter<E: Event>(
    passes: impl Fn(&E) -> bool + Send + Sync + 'static,
) -> Passes {
    Arc::new(move |event| event.get::<E>().is_none_or(&passes))
}

pub(crate) fn erase<E: Event>(handler: impl Handler<E>) -> Run {
    let handler = Arc::new(handler);
    let in_place = handler.is_plain().then(|| in_place::erase(Arc::clone(&handler)));
    let idempotency = handler.idempotency();
    let form = Form::Called { call: called(handler), in_place };
    let run = Run::of_form::<E>(form, "handler");
    match idempotency {
        Some(idempotency) => run.known_by(idempotency),
        None => run,
    }
}

/// A plain handler, to be called where its events are published.
pub(crate) fn erase_inline<E: Event>(handler: impl Handler<E>) -> Run {
    let handler = Arc::new(handler);
    let inline = Some(inline::erase(Arc::clone(&handler)));
    let form = Form::Called { call: called(handler), in_place: None };
    Run { inline, ..Run::of_form::<E>(form, "handler on the publishing thread") }
}

fn called<E: Event>(handler: Arc<impl Handler<E>>) -> Box<Call> {
    Box::new(move |event, ctx| match event.get::<E>() {
        Some(event) => handler.handle(event, ctx),
        None => Err(wrong_type::<E>()),
    })
}

fn decode<E: Event>(
    known: &EventType,
    envelope: &Arc<Envelope>,
    payload: &[u8],
) -> Result<CellRef, DecodeError> {
    let event = known.decode::<E>(envelope, payload)?;
    Ok(CellRef::new(event, envelope.published_at, Some(Arc::clone(envelope))))
}

/// The registry gives every name one type, so this is a bug of ours; the event is kept.
pub(super) fn wrong_type<E: Event>() -> HandlerError {
    HandlerError::reject(format!("a value of another type came as `{}`", E::NAME))
}
