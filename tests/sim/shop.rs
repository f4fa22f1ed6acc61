//! A small shop: orders are charged at a gateway, and shipped once they are paid.

use std::{collections::BTreeMap, sync::Arc};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tidings::{Bus, BusBuilder, Context, Event, HandlerError, testing::sim::Run};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Event)]
#[event(name = "orders.placed", key = "order")]
pub(crate) struct Placed {
    pub(crate) order: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Event)]
#[event(name = "orders.paid", key = "order")]
pub(crate) struct Paid {
    pub(crate) order: u64,
}

/// How the shop charges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Charging {
    /// As if nothing could go wrong.
    Carelessly,
    /// With a key by which the gateway knows a charge again.
    WithKey,
}

/// A payment gateway: outside of the process, so that it outlives it.
#[derive(Clone, Default)]
pub(crate) struct Gateway {
    charged: Arc<Mutex<BTreeMap<String, u64>>>,
}

impl Gateway {
    /// Charges, unless it knows the key.
    pub(crate) fn charge(&self, order: u64, key: Option<String>, sim: &Run) {
        let mut charged = self.charged.lock();
        let key = key.unwrap_or_else(|| format!("{} charges", charged.len()));
        if charged.insert(key, order).is_none() {
            sim.effect(format!("charge {order}"));
        }
    }
}

pub(crate) fn start(
    bus: BusBuilder,
    charging: Charging,
    gateway: &Gateway,
    sim: &Run,
) -> Result<Bus, tidings::Error> {
    let bus = bus.build()?;
    let (gateway, world) = (gateway.clone(), sim.clone());
    bus.subscribe("billing")
        .lanes(2)
        .on(move |placed: &Placed, ctx: &mut Context| -> Result<(), HandlerError> {
            let key = (charging == Charging::WithKey).then(|| ctx.idempotency_key("charge"));
            gateway.charge(placed.order, key, &world);
            ctx.publish(Paid { order: placed.order })?;
            Ok(())
        })
        .start()?;
    let world = sim.clone();
    bus.subscribe("shipping")
        .on(move |paid: &Paid, ctx: &mut Context| -> Result<(), HandlerError> {
            let count = ctx.state().get::<u64>("shipped")?.unwrap_or(0);
            ctx.state().put("shipped", &(count + 1))?;
            world.note(format!("order {} is shipped", paid.order));
            Ok(())
        })
        .start()?;
    Ok(bus)
}

/// Three orders, each of which is to be charged once.
pub(crate) fn three_orders(charging: Charging) -> impl Fn(&Run) {
    move |sim| {
        place_three(charging, sim);
        for order in 0..3 {
            let charges = sim.count_effect(format!("charge {order}"));
            assert_eq!(charges, 1, "order {order} is charged {charges} times");
        }
    }
}

pub(crate) fn place_three(charging: Charging, sim: &Run) {
    let (gateway, world) = (Gateway::default(), sim.clone());
    sim.process(move |bus| start(bus, charging, &gateway, &world));
    for order in 0..3 {
        sim.publish(Placed { order });
    }
    sim.settle();
}
