//! Async handlers on the caller's tokio runtime (feature `tokio`).

use std::{
    any::Any,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    task::Poll,
};

use tokio::runtime::Handle;

use super::{
    Delivery, HandlerError, Outcome, Run, attempt::panicked, context::Staged, started::Returned,
};
use crate::{event::Event, runtime::inside_task};

pub(crate) fn erase_async<E, F, R>(runtime: Handle, handler: F) -> Run
where
    E: Event,
    F: Fn(Delivery<E>) -> R + Send + Sync + 'static,
    R: Future<Output: Outcome> + Send + 'static,
{
    Run::started::<E>(move |event, context, completion| {
        let (delivery, returned) = match Delivery::<E>::new(event, context) {
            Ok(delivery) => delivery,
            Err(error) => return completion.finish(Err(error)),
        };
        let future = match catch_unwind(AssertUnwindSafe(|| handler(delivery))) {
            Ok(future) => future,
            Err(panic) => return completion.finish(Err(panicked(panic.as_ref()))),
        };
        // Where the runtime ends first, the completion is dropped, which gives the event back.
        runtime.spawn(async move {
            let ended = catch(async move { future.await.into_result() }).await;
            let result = ended.unwrap_or_else(|panic| Err(panicked(panic.as_ref())));
            completion.finish(result.and_then(|()| staged(&returned)));
        });
    })
}

fn staged(returned: &Returned) -> Result<Staged, HandlerError> {
    let staged = returned.lock().take();
    staged.ok_or_else(|| HandlerError::retry("the delivery outlived its handler"))
}

/// Runs a future to its end or its panic, its drop included.
async fn catch<F: Future>(future: F) -> Result<F::Output, Box<dyn Any + Send>> {
    let mut future = Some(Box::pin(future));
    std::future::poll_fn(move |cx| {
        let poll = catch_unwind(AssertUnwindSafe(|| {
            let Some(running) = &mut future else { return Poll::Pending };
            let poll = inside_task(|| running.as_mut().poll(cx));
            if poll.is_ready() {
                future = None;
            }
            poll
        }));
        match poll {
            Ok(poll) => poll.map(Ok),
            Err(panic) => Poll::Ready(Err(panic)),
        }
    })
    .await
}
