//! Whatever happens, a bus keeps its promises.

use proptest::prelude::*;
use tidings::{
    Bus, BusBuilder, Delivery, Error,
    testing::{
        TestBus,
        model::{self, BusModel},
        strategies::{Flow, SubscriptionPolicy, flows, subscription_policies},
    },
};

use crate::work::{Work, handle, work};

const SUBSCRIPTIONS: [&str; 2] = ["called", "awaited"];

/// One subscription with a handler that is called, and one with a handler that is awaited.
fn start(
    [called, awaited]: [SubscriptionPolicy; 2],
) -> impl Fn(BusBuilder) -> Result<Bus, Error> + 'static {
    move |bus| {
        let bus = bus.ring(8).build()?; // so that lanes have to read from storage
        called.apply(bus.subscribe("called")).on(handle).start()?;
        awaited
            .apply(bus.subscribe("awaited"))
            .on_async(|work: Delivery<Work>| async move {
                tokio::time::sleep(std::time::Duration::from_millis(3)).await;
                work.result(work.attempt())
            })
            .start()?;
        Ok(bus)
    }
}

fn model_of(policies: &[SubscriptionPolicy; 2]) -> BusModel<Work> {
    SUBSCRIPTIONS.iter().zip(policies).fold(BusModel::new(), |model, (name, policy)| {
        model.subscription(name, policy.max_attempts, Work::ending)
    })
}

fn policies() -> impl Strategy<Value = [SubscriptionPolicy; 2]> {
    [subscription_policies(), subscription_policies()]
}

fn run(seed: u64, flow: &Flow<Work>, policies: &[SubscriptionPolicy; 2]) -> TestBus {
    let mut bus = TestBus::builder().seed(seed).start(start(policies.clone())).unwrap();
    model::run(&mut model_of(policies), &flow.steps, &mut bus);
    bus
}

proptest! {
    #[test]
    fn every_event_is_handled_or_dead_as_its_handlers_say_and_in_the_order_of_its_key(
        seed in any::<u64>(),
        flow in flows(work(), &SUBSCRIPTIONS),
        policies in policies(),
    ) {
        run(seed, &flow, &policies);
    }

    #[test]
    fn the_same_seed_gives_the_same_run(
        seed in any::<u64>(),
        flow in flows(work(), &SUBSCRIPTIONS),
        policies in policies(),
    ) {
        let [one, other] = [run(seed, &flow, &policies), run(seed, &flow, &policies)];
        prop_assert_eq!(one.trace_hash(), other.trace_hash());
        prop_assert_eq!(one.elapsed(), other.elapsed());
        for name in SUBSCRIPTIONS {
            prop_assert_eq!(one.handler_calls(name), other.handler_calls(name));
        }
    }

    #[test]
    fn a_flow_can_be_run_without_a_model(flow in flows(work(), &SUBSCRIPTIONS)) {
        let start = |bus: BusBuilder| -> Result<Bus, Error> {
            let bus = bus.build()?;
            bus.subscribe("called").on(|_: &Work| ()).start()?;
            bus.subscribe("awaited").on(|_: &Work| ()).start()?;
            Ok(bus)
        };
        let mut bus = TestBus::start(start).unwrap();
        flow.run(&mut bus);
        let all = bus.published::<Work>().len() as u64;
        for name in SUBSCRIPTIONS {
            prop_assert_eq!(bus.subscription(name).ledger().acknowledged, all);
        }
    }
}
