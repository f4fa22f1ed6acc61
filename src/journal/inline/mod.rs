//! Handlers that are called where events are published, before the events get their places.
//!
//! Every publishing thread has copies of its own of an event type's handlers. It takes them out,
//! calls them and puts them back: no lock, nothing that other threads write. A copy is good as long as
//! its version is that of the event's [`Route`].

mod publish;

use std::{
    any::Any,
    cell::Cell,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use parking_lot::RwLock;

use super::{
    Draft, Topic,
    ids::Ids,
    ring::{CellRef, GroupId, Incoming, Route},
};
use crate::{event::Event, message::MessageId};

/// A subscription's handler, as all threads share it.
pub(crate) trait Inline<E>: Send + Sync {
    /// A copy for one thread.
    fn copy(self: Arc<Self>) -> Box<dyn OnThread<E>>;
}

/// The same, as one thread has it.
pub(crate) trait OnThread<E> {
    /// Handles an event. What cannot be handled now goes to a lane of the subscription.
    fn handle(&self, event: &E) -> Result<(), Unhandled>;

    /// Says what becomes of an event at which the handler panicked.
    fn panicked(&self, panic: Box<dyn Any + Send>) -> Unhandled;
}

/// Where an event goes that a handler could not handle. As small as a pointer, since most have none.
pub(crate) struct Unhandled(Box<Detour>);

struct Detour {
    route: Arc<Route>,
    /// Told under which id the event comes.
    expect: Box<dyn FnOnce(MessageId) + Send>,
    /// The next one of the same event.
    next: Option<Unhandled>,
}

impl Unhandled {
    pub(crate) fn new(route: Arc<Route>, expect: impl FnOnce(MessageId) + Send + 'static) -> Self {
        Self(Box::new(Detour { route, expect: Box::new(expect), next: None }))
    }

    fn before(mut self, next: Option<Self>) -> Self {
        self.0.next = next;
        self
    }

    /// This one, and all that come after it.
    fn into_all(self) -> impl Iterator<Item = Self> {
        let mut next = Some(self);
        std::iter::from_fn(move || {
            let mut one = next.take()?;
            next = one.0.next.take();
            Some(one)
        })
    }

    /// The event of a draft on its way.
    fn detour(self, draft: &Draft) -> Incoming {
        let Detour { route, expect, .. } = *self.0;
        expect(draft.envelope().id);
        draft.detour(route)
    }
}

/// What became of an event at its inline handlers. In registers where all went well.
#[derive(Default)]
pub(super) struct Called {
    pub(super) unhandled: Option<Unhandled>,
    /// A number that no other event has.
    pub(super) number: u64,
}

impl Called {
    fn all_unhandled(self) -> impl Iterator<Item = Unhandled> {
        self.unhandled.into_iter().flat_map(Unhandled::into_all)
    }
}

/// The inline handlers of an event type. Each one is an `Arc<dyn Inline<E>>`.
#[derive(Default)]
pub(super) struct InlineHandlers {
    list: RwLock<Vec<(GroupId, Box<dyn Any + Send + Sync>)>>,
}

impl std::fmt::Debug for InlineHandlers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("InlineHandlers").field(&self.list.read().len()).finish()
    }
}

/// How many event types a thread has copies for. Others of the same number displace them.
const COPIES: usize = 16;

thread_local! {
    static OWN: [Cell<Option<Box<Copied>>>; COPIES] = const { [const { Cell::new(None) }; COPIES] };
}

/// A thread's own handlers of an event type.
struct Copied {
    version: u64,
    /// A `Handlers<E>`.
    handlers: Box<dyn Any>,
    /// Numbers that this thread has taken and not used.
    numbers: std::ops::Range<u64>,
}

type Handlers<E> = Vec<Box<dyn OnThread<E>>>;

/// No two changes of any list have one version, so a copy needs no other name. Never 0.
fn new_version() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    LAST.fetch_add(1, Ordering::Relaxed) + 1
}

impl Topic {
    pub(crate) fn add_inline<E: Event>(&self, group: GroupId, handler: Arc<dyn Inline<E>>) {
        self.change_inline(|list| list.push((group, Box::new(handler))));
    }

    /// A publish that is under way on another thread may still call it.
    pub(crate) fn remove_inline(&self, group: GroupId) {
        let mut removed = Vec::new();
        self.change_inline(|list| removed.extend(list.extract_if(.., |(of, _)| *of == group)));
        self.forget_copy();
    }

    /// Has every thread ask the handlers for new copies.
    pub(crate) fn renew_inline(&self) {
        self.change_inline(|_| ());
    }

    fn change_inline(&self, change: impl FnOnce(&mut Vec<(GroupId, Box<dyn Any + Send + Sync>)>)) {
        let mut list = self.inline.list.write();
        change(&mut list);
        self.route.set_inline(if list.is_empty() { 0 } else { new_version() });
    }

    /// What the handlers own is to be dropped with them, and not only when this thread publishes
    /// again.
    fn forget_copy(&self) {
        OWN.try_with(|own| drop(own[self.place()].take())).ok();
    }

    fn place(&self) -> usize {
        self.route.kind.number() as usize % COPIES
    }

    /// Calls the handlers with an event of this topic.
    #[inline]
    pub(super) fn call_inline<E: Event>(&self, ids: &Ids, event: &E) -> Called {
        let version = self.route.inline();
        let taken = OWN.try_with(|own| own[self.place()].take()).ok().flatten();
        let mut copied = match taken {
            Some(copied) if copied.version == version => copied,
            old => Box::new(self.copy_inline::<E>(old)),
        };
        let unhandled = match copied.handlers.downcast_ref::<Handlers<E>>() {
            Some(handlers) => call_all(handlers, event),
            None => None,
        };
        let number = copied.numbers.next().unwrap_or_else(|| {
            copied.numbers = ids.take_numbers();
            copied.numbers.next().unwrap_or_default()
        });
        // Handlers that publish the same type of event have put one there.
        let displaced = OWN.try_with(|own| own[self.place()].replace(Some(copied)));
        drop(displaced);
        Called { unhandled, number }
    }

    /// The same with an event in its cell.
    pub(super) fn call_inline_erased<E: Event>(&self, ids: &Ids, cell: &CellRef) -> Called {
        cell.get::<E>().map_or_else(Called::default, |event| self.call_inline(ids, event))
    }

    #[cold]
    fn copy_inline<E: Event>(&self, old: Option<Box<Copied>>) -> Copied {
        drop(old);
        let list = self.inline.list.read();
        let shared = list.iter().filter_map(|(_, one)| one.downcast_ref::<Arc<dyn Inline<E>>>());
        let shared: Vec<_> = shared.cloned().collect();
        let version = self.route.inline();
        drop(list);
        // Whatever changes from here on comes with another version.
        let handlers: Handlers<E> = shared.into_iter().map(Inline::copy).collect();
        Copied { version, handlers: Box::new(handlers), numbers: 0..0 }
    }
}

#[inline]
fn call_all<E>(handlers: &Handlers<E>, event: &E) -> Option<Unhandled> {
    let mut unhandled = None;
    let mut left = handlers.iter();
    // A panic is the handler's that was taken last.
    while let Err(panic) = catch_unwind(AssertUnwindSafe(|| {
        for handler in left.by_ref() {
            if let Err(one) = handler.handle(event) {
                unhandled = Some(one.before(unhandled.take()));
            }
        }
    })) {
        let at = handlers.len() - left.len() - 1;
        unhandled = Some(handlers[at].panicked(panic).before(unhandled.take()));
    }
    unhandled
}
