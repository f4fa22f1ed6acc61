//! NATS `JetStream` with file storage: acknowledged publishes, and a pull consumer that acknowledges
//! each event. The server acknowledges before it syncs, unless it is configured with `sync_interval:
//! always`.

use std::{sync::Arc, thread, time::Duration};

use async_nats::jetstream::{
    self, Context,
    consumer::{AckPolicy, PullConsumer, pull},
    stream,
};
use futures_util::StreamExt;
use tidings_bench::timing::{Window, keep_in_flight};
use tokio::{
    runtime::{Builder, Runtime},
    task::JoinHandle,
};

use super::{Found, address, unique_name};
use crate::{handler::Handler, order::Ordered, progress::Progress, queue::Queue};

const SERVER: &str = "TIDINGS_BENCH_NATS";

/// More than are in flight: nothing is to wait for acknowledgements of the handler.
const MAX_UNACKNOWLEDGED: i64 = 100_000;

/// Looks for the server, and whether it takes streams.
pub(crate) fn find() -> Found {
    let (address, name) = (address(SERVER)?, unique_name());
    let look = async {
        let context = connect(&address).await?;
        create(&context, &name).await.map_err(|error| error.to_string())?;
        context.delete_stream(&name).await.map_err(|error| error.to_string())
    };
    runtime().block_on(look)?;
    Ok(|_, handler| Box::new(JetStream::open(handler)))
}

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

async fn connect(address: &str) -> Result<Context, String> {
    let client = async_nats::connect(address).await;
    client.map(jetstream::new).map_err(|error| error.to_string())
}

struct JetStream {
    runtime: Runtime,
    context: Context,
    stream: String,
    consumer: PullConsumer,
    done: Arc<Progress>,
    consuming: JoinHandle<()>,
}

impl JetStream {
    fn open(handler: Arc<Handler>) -> Self {
        let runtime = runtime();
        let (address, stream) = (address(SERVER).unwrap(), unique_name());
        let (context, consumer) = runtime.block_on(async {
            let context = connect(&address).await.unwrap();
            let consumer = create(&context, &stream).await.unwrap();
            (context, consumer)
        });
        let done = Arc::<Progress>::default();
        let consuming = runtime.spawn(consume(consumer.clone(), handler, Arc::clone(&done)));
        Self { runtime, context, stream, consumer, done, consuming }
    }
}

/// A stream with one subject, and its consumer.
async fn create(context: &Context, name: &str) -> Result<PullConsumer, async_nats::Error> {
    let config = stream::Config {
        name: name.into(),
        subjects: vec![name.into()],
        storage: stream::StorageType::File,
        ..stream::Config::default()
    };
    let consumer = pull::Config {
        durable_name: Some("reader".into()),
        ack_policy: AckPolicy::Explicit,
        max_ack_pending: MAX_UNACKNOWLEDGED,
        ..pull::Config::default()
    };
    Ok(context.create_stream(config).await?.create_consumer(consumer).await?)
}

async fn consume(consumer: PullConsumer, handler: Arc<Handler>, done: Arc<Progress>) {
    let mut messages = consumer.stream().max_messages_per_batch(1024).messages().await.unwrap();
    let mut count = 0;
    while let Some(message) = messages.next().await {
        let message = message.unwrap();
        handler.handle(&Ordered::decode(&message.payload));
        message.ack().await.unwrap();
        count += 1;
        done.reach(count);
    }
}

impl Queue for JetStream {
    fn publish(&self, order: Ordered) {
        let publish = async {
            let publish = self.context.publish(self.stream.clone(), order.encode().into());
            publish.await.unwrap().await.unwrap();
        };
        self.runtime.block_on(publish);
    }

    fn pipeline(&self, in_flight: usize, window: Window, next: &mut dyn FnMut() -> Ordered) {
        let begin = |_| {
            let publish = self.context.publish(self.stream.clone(), next().encode().into());
            self.runtime.block_on(publish).unwrap()
        };
        keep_in_flight(in_flight, window, begin, |acknowledged| {
            self.runtime.block_on(acknowledged.into_future()).unwrap();
        });
    }

    /// An acknowledgement is not answered: ask until the server has them all.
    fn settle(&self, events: u64) {
        self.done.wait_beyond(events - 1);
        let mut consumer = self.consumer.clone();
        while self.runtime.block_on(consumer.info()).unwrap().num_ack_pending > 0 {
            thread::sleep(Duration::from_micros(100));
        }
    }
}

impl Drop for JetStream {
    fn drop(&mut self) {
        self.consuming.abort();
        self.runtime.block_on(&mut self.consuming).unwrap_err(); // it was aborted
        self.runtime.block_on(self.context.delete_stream(&self.stream)).unwrap();
    }
}
