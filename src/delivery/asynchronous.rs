//! Async handlers on the caller's tokio runtime (feature `tokio`).

use std::{
    any::Any,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    task::Poll,
};

use tokio::runtime::Handle;

use super::{
    Delivery, HandlerError, Outcome, Run, attempt::panicked, context::Staged, gate::Cancel,
    started::Returned,
};
use crate::{
    event::Event,
    runtime::{in_handler, inside_task},
};

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
        let cancel = completion.heed();
        // Where the runtime ends first, the completion is dropped, which gives the event back.
        runtime.spawn(async move {
            let future = async move { future.await.into_result() };
            let ended = catch(future, cancel.as_deref()).await;
            let result = ended.unwrap_or_else(|panic| Err(panicked(panic.as_ref())));
            completion.finish(staged(&returned, result));
        });
    })
}

fn staged(returned: &Returned, result: Result<(), HandlerError>) -> Result<Staged, HandlerError> {
    let Some(staged) = returned.lock().take() else {
        result?;
        return Err(HandlerError::retry("the delivery outlived its handler"));
    };
    staged.ended(result)
}

/// Runs a future to its end, its panic or its cancellation, its drop included.
async fn catch<F>(future: F, cancel: Option<&Cancel>) -> Result<F::Output, Box<dyn Any + Send>>
where
    F: Future<Output = Result<(), HandlerError>>,
{
    let mut future = Some(Box::pin(future));
    std::future::poll_fn(move |cx| {
        let poll = catch_unwind(AssertUnwindSafe(|| {
            let cancelled = cancel.filter(|cancel| cancel.is_cancelled(cx.waker()));
            if let Some(cancel) = cancelled {
                future = None;
                return Poll::Ready(Err(cancel.error()));
            }
            let Some(running) = &mut future else { return Poll::Pending };
            let poll = inside_task(|| in_handler(|| running.as_mut().poll(cx)));
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
