//! bus, a broadcast ring for one publisher. Its readers spin for a while, then park.

use std::{sync::Arc, thread};

use bus::Bus;

use crate::{
    contest::Load,
    event::{Measured, RING},
    tally::Tally,
};

pub(crate) fn bus(load: &Load, tally: &Arc<Tally>) {
    let mut bus = Bus::<Measured>::new(RING);
    thread::scope(|scope| {
        for subscriber in tally.subscribers() {
            let mut reader = bus.add_rx();
            scope.spawn(move || while !subscriber.handle(&reader.recv().unwrap()) {});
        }
        let publish = |numbers| {
            for number in numbers {
                bus.broadcast(Measured::new(number));
            }
        };
        load.publish(tally, [publish]);
    });
}
