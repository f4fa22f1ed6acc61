//! Broadcast channels for async code, each subscriber a task on a tokio runtime of two workers.

use std::sync::Arc;

use tokio::{
    runtime::{Builder, Runtime},
    sync::broadcast,
    task,
};

use crate::{
    contest::Load,
    event::{Measured, RING},
    tally::Tally,
};

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).build().unwrap()
}

/// tokio's own loses events when a receiver is slow. This publisher looks at how full the channel
/// is, sends as much as there is room for, and yields until a quarter of it is free again.
pub(crate) fn tokio_broadcast(load: &Load, tally: &Arc<Tally>) {
    let runtime = runtime();
    let (sender, _) = broadcast::channel(RING);
    for subscriber in tally.subscribers() {
        let mut receiver = sender.subscribe();
        runtime.spawn(async move { while !subscriber.handle(&receiver.recv().await.unwrap()) {} });
    }
    let (events, begun) = (load.events, Arc::clone(tally));
    let publish = async move {
        begun.begin();
        let mut room = 0;
        for number in 0..events {
            while room == 0 {
                room = Some(RING - sender.len()).filter(|room| *room >= RING / 4).unwrap_or(0);
                if room == 0 {
                    task::yield_now().await;
                }
            }
            sender.send(Measured::new(number)).unwrap();
            room -= 1;
        }
        sender
    };
    let _open = runtime.block_on(runtime.spawn(publish)).unwrap();
    tally.wait();
}

/// async-broadcast's publishers wait by themselves.
pub(crate) fn async_broadcast(load: &Load, tally: &Arc<Tally>) {
    let runtime = runtime();
    let (sender, receiver) = async_broadcast::broadcast(RING);
    for subscriber in tally.subscribers() {
        let mut receiver = receiver.new_receiver();
        let receive =
            async move { while !subscriber.handle(&receiver.recv_direct().await.unwrap()) {} };
        runtime.spawn(receive);
    }
    drop(receiver);
    let publishers = load.parts().map(|numbers| {
        let (sender, begun) = (sender.clone(), Arc::clone(tally));
        runtime.spawn(async move {
            begun.begin();
            for number in numbers {
                sender.broadcast_direct(Measured::new(number)).await.unwrap();
            }
        })
    });
    for publisher in publishers.collect::<Vec<_>>() {
        runtime.block_on(publisher).unwrap();
    }
    tally.wait();
}
