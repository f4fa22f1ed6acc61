//! The body of a lane's task: the lane at work, or its empty place while the lane is at a muster.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use super::{Lane, LaneHandle};
use crate::{
    delivery::{
        Subscriber,
        muster::{Arrival, Muster},
    },
    runtime::{PoolId, Step, Task},
};

/// Where a lane works.
pub(in crate::delivery) struct Post {
    subscriber: Arc<Subscriber>,
    handle: Arc<LaneHandle>,
    muster: Arc<Muster>,
    number: u32,
    /// Not there before its first turn, nor while it is at the muster.
    lane: Option<Lane>,
}

impl Post {
    /// The task of a lane, which is to be found at the muster.
    pub(in crate::delivery) fn task(
        subscriber: &Arc<Subscriber>,
        handle: &Arc<LaneHandle>,
        muster: &Arc<Muster>,
        number: u32,
        pool: PoolId,
    ) -> Arc<Task> {
        let (subscriber, handle) = (Arc::clone(subscriber), Arc::clone(handle));
        let runtime = subscriber.runtime().clone();
        let (muster, shared) = (Arc::clone(muster), Arc::clone(&handle));
        let mut post = Self { subscriber, handle, muster, number, lane: None };
        let precedence = post.subscriber.policy.precedence;
        let task = runtime.task_among(pool, precedence, move || post.step());
        shared.attach(&task);
        task
    }

    fn step(&mut self) -> Step {
        if self.lane.is_none() {
            self.lane = self.muster.go(self.number, !self.subscriber.is_alive());
        }
        let Some(lane) = &mut self.lane else { return Step::Wait };
        let conductor = self.subscriber.conductor.get();
        if let Some(conductor) = conductor {
            conductor.note_turn(&self.subscriber, &self.handle);
        }
        let step = catch_unwind(AssertUnwindSafe(|| lane.step())).unwrap_or_else(|_| {
            lane.crash();
            Step::Wait
        });
        let is_in = lane.is_in();
        let Some(conductor) = conductor else { return step };
        self.handle.gauge.end(self.subscriber.clock().tick());
        if is_in
            && let Some(lane) = self.lane.take()
            && self.muster.come_in(lane) == Arrival::Completes
        {
            conductor.wake();
        }
        step
    }
}
