//! crossbeam: one bounded channel for each subscriber, and a thread that receives from it.

use std::{sync::Arc, thread};

use crossbeam_channel::{Receiver, Sender, TryRecvError, bounded};

use crate::{
    contest::Load,
    event::{Measured, RING},
    latency::Exchange,
    probe::Probe,
    tally::Tally,
};

/// Each event is sent into every channel.
pub(crate) fn channels(load: &Load, tally: &Arc<Tally>) {
    thread::scope(|scope| {
        let (senders, receivers): (Vec<_>, Vec<_>) =
            (0..load.subscribers).map(|_| bounded::<Measured>(RING)).unzip();
        for (subscriber, receiver) in tally.subscribers().zip(receivers) {
            scope.spawn(move || while !subscriber.handle(&receiver.recv().unwrap()) {});
        }
        let publisher = |senders: Vec<Sender<Measured>>| {
            move |numbers| {
                for number in numbers {
                    let event = Measured::new(number);
                    for sender in &senders {
                        sender.send(event).unwrap();
                    }
                }
            }
        };
        load.publish(tally, vec![senders; load.publishers].into_iter().map(publisher));
    });
}

/// One event at a time to a thread that sleeps in between.
pub(crate) fn sleeping(probe: &Arc<Probe>, exchange: &Exchange) {
    receive_with(probe, exchange, |receiver| receiver.recv().ok());
}

/// One event at a time to a thread that asks again and again.
pub(crate) fn spinning(probe: &Arc<Probe>, exchange: &Exchange) {
    receive_with(probe, exchange, |receiver| {
        loop {
            match receiver.try_recv() {
                Ok(event) => return Some(event),
                Err(TryRecvError::Empty) => std::hint::spin_loop(),
                Err(TryRecvError::Disconnected) => return None,
            }
        }
    });
}

fn receive_with(
    probe: &Probe,
    exchange: &Exchange,
    next: impl Fn(&Receiver<Measured>) -> Option<Measured> + Send,
) {
    let (sender, receiver) = bounded(RING);
    thread::scope(|scope| {
        scope.spawn(move || {
            while let Some(event) = next(&receiver) {
                probe.arrived(&event);
            }
        });
        exchange.publish(probe, |event| sender.send(event).unwrap());
        drop(sender);
    });
}
