//! Instances that an earlier version of the saga has written.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tidings::{
    error::BoxError,
    saga::{Condition, Define, Elsewhere, Saga, SagaError, SagaState},
};

use crate::{
    fulfilment::*,
    world::{World, reopen},
};

macro_rules! version {
    ($module:ident, $version:literal, $open:ty, $migrate:expr) => {
        mod $module {
            use super::*;

            #[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
            pub(super) struct Open(pub(super) $open);

            #[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
            pub(super) struct Closed;

            #[derive(Debug, PartialEq, Eq, Serialize, Deserialize, SagaState)]
            pub(super) enum Account {
                Open(Open),
                #[saga(terminal)]
                Closed(Closed),
            }

            impl Saga for Account {
                const NAME: &'static str = "account";
                const VERSION: u32 = $version;

                fn define(saga: &mut Define<Self>) {
                    saga.start(|_: &OrderPlaced, turn| turn.enter(Open(Default::default())))
                        .to::<Open>();
                    saga.state::<Open>()
                        .on(|_, _: &OrderShipped, turn| turn.enter(Closed))
                        .to::<Closed>();
                    saga.event::<OrderPlaced>().elsewhere(Elsewhere::Ignore);
                }

                fn migrate(from: u32, state: Value) -> Result<Self, BoxError> {
                    let migrate: fn(u32, Value) -> Result<Self, BoxError> = $migrate;
                    migrate(from, state)
                }
            }
        }
    };
}

version!(first, 1, u32, |_, _| Err("there is nothing before it".into()));
version!(second, 2, String, |from, state| match (from, &state["Open"]) {
    (1, Value::Number(count)) => Ok(Self::Open(second::Open(format!("{count} cents")))),
    _ => Err("it is neither open nor of version 1".into()),
});
version!(careless, 2, String, |from, _| Err(format!("nobody thought of version {from}").into()));
version!(broken, 1, String, |_, _| Err("there is nothing before it".into()));

fn with_two() -> World<first::Account> {
    let world = World::<first::Account>::new();
    world.publish(OrderPlaced { order: 7 });
    world.publish(OrderPlaced { order: 8 });
    world
}

#[test]
fn an_instance_of_an_earlier_version_is_migrated() {
    let world = with_two().restart::<second::Account>();
    assert_eq!(world.state(7), second::Account::from(second::Open("0 cents".into())));
    let status = world.sagas.status().unwrap();
    assert_eq!(status.states.get(&(1, "Open".into())), Some(&2), "as it was written");
    world.publish(OrderShipped { order: 7 });
    let instance = world.sagas.get("7").unwrap().unwrap();
    assert_eq!((instance.version, instance.condition), (2, Condition::Completed));
    assert_eq!(world.sagas.history("7").unwrap()[1].version, 2);
}

#[test]
fn a_saga_does_not_start_with_instances_that_it_cannot_read() {
    let World { sim, storage, bus, .. } = with_two();
    let bus = reopen(&sim, &storage, bus);
    let refused = bus.saga::<careless::Account>().start().unwrap_err();
    let text = "the saga `account` has instances that cannot be read:\n  \
                - 2 of version 1 in `Open`, such as `7`: nobody thought of version 1";
    assert_eq!(refused.to_string(), text);
    let SagaError::Unloadable { unloadable, .. } = refused else { panic!("{refused}") };
    assert_eq!((unloadable[0].version, unloadable[0].instances), (Some(1), 2));
}

#[test]
fn a_state_of_the_same_version_that_does_not_decode_is_refused_as_well() {
    let World { sim, storage, bus, .. } = with_two();
    let bus = reopen(&sim, &storage, bus);
    let refused = bus.saga::<broken::Account>().start().unwrap_err();
    assert!(refused.to_string().contains("2 of version 1 in `Open`"), "{refused}");
}
