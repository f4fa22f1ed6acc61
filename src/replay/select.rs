//! Which events are read, and what they become.

use std::sync::Arc;

use super::past::{AnyOf, Encoded};
use crate::{
    bus::SubscriptionBuilder,
    contract::{Contract, EventType, NameTaken},
    event::Event,
    storage::RecordRef,
};

/// Which events are read: an [`Event`], a tuple of two to eight of them, or everything there is, as
/// [`Encoded`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not say which events are wanted",
    note = "name an event, or a tuple of two to eight events, or `Encoded`"
)]
pub trait Select: sealed::Sealed + 'static {
    /// What is read: the event itself, an [`AnyOf`] these, or `Encoded`.
    type Event;

    #[doc(hidden)]
    fn choose(wanted: &mut sealed::Wanted<'_>) -> Result<(), NameTaken>;

    /// Has a subscription tell that any of them has come.
    #[doc(hidden)]
    fn listen(builder: SubscriptionBuilder, told: &Arc<sealed::Told>) -> SubscriptionBuilder;

    #[doc(hidden)]
    fn decode(types: &sealed::Types, record: &RecordRef<'_>)
    -> Result<Self::Event, sealed::Reason>;
}

/// What nobody outside need name.
pub(crate) mod sealed {
    use super::{Arc, Contract, Event, EventType, NameTaken, RecordRef};
    use crate::contract::DecodeError;

    pub trait Sealed {}

    /// Is called when something has come.
    pub(crate) type Told = dyn Fn() + Send + Sync;

    /// The events that are wanted, as they are looked up.
    pub struct Wanted<'a> {
        contract: &'a Contract,
        types: Types,
    }

    /// The events that are wanted; all where there are none.
    #[derive(Debug, Default)]
    pub struct Types(Vec<Arc<EventType>>);

    /// Why a record is none of them.
    #[derive(Debug)]
    pub struct Reason(DecodeError);

    impl Wanted<'_> {
        pub(super) fn add<E: Event>(&mut self) -> Result<(), NameTaken> {
            self.types.0.push(self.contract.of::<E>()?);
            Ok(())
        }
    }

    impl Types {
        pub(crate) fn of<S: super::Select>(contract: &Contract) -> Result<Self, NameTaken> {
            let mut wanted = Wanted { contract, types: Self::default() };
            S::choose(&mut wanted)?;
            Ok(wanted.types)
        }

        pub(crate) fn names(&self) -> Vec<Arc<str>> {
            self.0.iter().map(|event| Arc::clone(&event.name)).collect()
        }

        /// Which of them a record is.
        pub(super) fn find(&self, name: &str) -> Option<usize> {
            self.0.iter().position(|event| *event.name == *name)
        }

        #[inline]
        pub(super) fn decode<E: Event>(
            &self,
            at: usize,
            record: &RecordRef<'_>,
        ) -> Result<E, Reason> {
            match self.0.get(at) {
                Some(event) => event.decode_record(record).map_err(Reason),
                None => Err(Reason(DecodeError::Unwanted)),
            }
        }

        pub(super) fn unwanted() -> Reason {
            Reason(DecodeError::Unwanted)
        }
    }

    impl std::fmt::Debug for Wanted<'_> {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            self.types.fmt(f)
        }
    }

    impl std::fmt::Display for Reason {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            self.0.fmt(f)
        }
    }
}

use sealed::{Reason, Sealed, Told, Types, Wanted};

impl<E: Event> Sealed for E {}

impl<E: Event> Select for E {
    type Event = E;

    fn choose(wanted: &mut Wanted<'_>) -> Result<(), NameTaken> {
        wanted.add::<E>()
    }

    fn listen(builder: SubscriptionBuilder, told: &Arc<Told>) -> SubscriptionBuilder {
        let told = Arc::clone(told);
        builder.on(move |_: &E| told())
    }

    #[inline]
    fn decode(types: &Types, record: &RecordRef<'_>) -> Result<E, Reason> {
        types.decode(0, record)
    }
}

impl Sealed for Encoded {}

impl Select for Encoded {
    type Event = Self;

    fn choose(_: &mut Wanted<'_>) -> Result<(), NameTaken> {
        Ok(())
    }

    /// Nothing has no name.
    fn listen(builder: SubscriptionBuilder, _: &Arc<Told>) -> SubscriptionBuilder {
        builder
    }

    fn decode(_: &Types, record: &RecordRef<'_>) -> Result<Self, Reason> {
        Ok(Self { payload: record.payload.to_vec() })
    }
}

macro_rules! select_several {
    ($($event:ident $at:literal),+) => {
        impl<$($event: Event),+> Sealed for ($($event,)+) {}

        impl<$($event: Event),+> Select for ($($event,)+) {
            type Event = AnyOf<Self>;

            fn choose(wanted: &mut Wanted<'_>) -> Result<(), NameTaken> {
                $(wanted.add::<$event>()?;)+
                Ok(())
            }

            fn listen(builder: SubscriptionBuilder, told: &Arc<Told>) -> SubscriptionBuilder {
                $(let builder = <$event as Select>::listen(builder, told);)+
                builder
            }

            fn decode(types: &Types, record: &RecordRef<'_>) -> Result<AnyOf<Self>, Reason> {
                match types.find(record.name) {
                    $(Some($at) => types.decode::<$event>($at, record).map(AnyOf::new),)+
                    _ => Err(Types::unwanted()),
                }
            }
        }
    };
}
select_several!(A 0, B 1);
select_several!(A 0, B 1, C 2);
select_several!(A 0, B 1, C 2, D 3);
select_several!(A 0, B 1, C 2, D 3, F 4);
select_several!(A 0, B 1, C 2, D 3, F 4, G 5);
select_several!(A 0, B 1, C 2, D 3, F 4, G 5, H 6);
select_several!(A 0, B 1, C 2, D 3, F 4, G 5, H 6, I 7);
