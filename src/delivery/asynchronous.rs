//! Async handlers on the caller's tokio runtime (feature `tokio`).

use std::{
    any::Any,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
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
    Run::Started(Box::new(move |value, context, completion| {
        let (delivery, returned) = match Delivery::<E>::new(value, context) {
            Ok(delivery) => delivery,
            Err(error) => return completion.finish(Err(error)),
        };
        let future = match catch_unwind(AssertUnwindSafe(|| handler(delivery))) {
            Ok(future) => future,
            Err(panic) => return completion.finish(Err(panicked(panic.as_ref()))),
        };
        // Where the runtime ends first, the completion is dropped, which gives the event back.
        runtime.spawn(async move {
            let result = match catch(future).await {
                Ok(outcome) => outcome.into_result(),
                Err(panic) => Err(panicked(panic.as_ref())),
            };
            completion.finish(result.and_then(|()| staged(&returned)));
        });
    }))
}

fn staged(returned: &Returned) -> Result<Staged, HandlerError> {
    let staged = returned.lock().take();
    staged.ok_or_else(|| HandlerError::retry("the delivery outlived its handler"))
}

/// Runs a future to its end or its panic.
async fn catch<F: Future>(future: F) -> Result<F::Output, Box<dyn Any + Send>> {
    let mut future = pin!(future);
    std::future::poll_fn(move |cx| {
        let future = future.as_mut();
        match catch_unwind(AssertUnwindSafe(|| inside_task(|| future.poll(cx)))) {
            Ok(poll) => poll.map(Ok),
            Err(panic) => Poll::Ready(Err(panic)),
        }
    })
    .await
}
