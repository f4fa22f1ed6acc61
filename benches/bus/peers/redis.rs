//! Redis Streams on a server that syncs each command: events that queue up go out as one pipeline,
//! a consumer group reads them and acknowledges as many at a time.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use redis::{Client, Connection, RedisResult, streams::StreamReadReply};
use tidings_bench::{
    Batcher,
    timing::{Window, keep_in_flight},
};

use super::{Found, address, unique_name};
use crate::{handler::Handler, order::Ordered, progress::Progress, queue::Queue};

const SERVER: &str = "TIDINGS_BENCH_REDIS";

/// The most events that are read at once.
const CHUNK: usize = 1024;

/// Looks for the server, and has it sync each command.
pub(crate) fn find() -> Found {
    let set_up = |address: String| sync_always(&mut connect(&address)?);
    set_up(address(SERVER)?).map_err(|error| error.to_string())?;
    Ok(|_, handler| Box::new(Redis::open(handler)))
}

fn connect(address: &str) -> RedisResult<Connection> {
    Client::open(address)?.get_connection()
}

fn sync_always(connection: &mut Connection) -> RedisResult<()> {
    let set =
        |name: &str, value: &str| redis::cmd("CONFIG").arg("SET").arg(name).arg(value).to_owned();
    set("appendonly", "yes").exec(connection)?;
    set("appendfsync", "always").exec(connection)?;
    loop {
        let info: String = redis::cmd("INFO").arg("persistence").query(connection)?;
        if info.contains("aof_rewrite_in_progress:0") && info.contains("aof_rewrite_scheduled:0") {
            return Ok(());
        }
        thread::sleep(Duration::from_millis(10));
    }
}

struct Redis {
    batcher: Option<Batcher>,
    kept: Arc<Progress>,
    closed: Arc<AtomicBool>,
    consumer: Option<JoinHandle<()>>,
}

impl Redis {
    fn open(handler: Arc<Handler>) -> Self {
        let (address, stream) = (address(SERVER).unwrap(), unique_name());
        let mut writer = connect(&address).unwrap();
        let mut reader = connect(&address).unwrap();
        let mut create = redis::cmd("XGROUP");
        create.arg("CREATE").arg(&stream).arg(GROUP).arg("0").arg("MKSTREAM");
        create.exec(&mut reader).unwrap();
        let (kept, closed) = (Arc::<Progress>::default(), Arc::<AtomicBool>::default());
        let consumer = Consumer {
            stream: stream.clone(),
            handler,
            kept: Arc::clone(&kept),
            closed: Arc::clone(&closed),
        };
        Self {
            batcher: Some(Batcher::around(move |payloads| add(&mut writer, &stream, payloads))),
            consumer: Some(thread::spawn(move || consumer.run(&mut reader).unwrap())),
            kept,
            closed,
        }
    }
}

fn add(connection: &mut Connection, stream: &str, payloads: &[&[u8]]) {
    let mut pipeline = redis::pipe();
    for payload in payloads {
        pipeline.cmd("XADD").arg(stream).arg("*").arg(FIELD).arg(*payload).ignore();
    }
    pipeline.exec(connection).unwrap();
}

const GROUP: &str = "readers";
const FIELD: &str = "payload";

struct Consumer {
    stream: String,
    handler: Arc<Handler>,
    kept: Arc<Progress>,
    closed: Arc<AtomicBool>,
}

impl Consumer {
    fn run(&self, connection: &mut Connection) -> RedisResult<()> {
        let mut read = redis::cmd("XREADGROUP");
        read.arg("GROUP").arg(GROUP).arg("reader").arg("COUNT").arg(CHUNK);
        read.arg("BLOCK").arg(50).arg("STREAMS").arg(&self.stream).arg(">");
        let mut handled = 0;
        while !self.closed.load(Ordering::Relaxed) {
            let Some(reply) = read.query::<Option<StreamReadReply>>(connection)? else { continue };
            let entries: Vec<_> = reply.keys.into_iter().flat_map(|stream| stream.ids).collect();
            let mut acknowledge = redis::cmd("XACK");
            acknowledge.arg(&self.stream).arg(GROUP);
            for entry in &entries {
                let payload: Vec<u8> = entry.get(FIELD).unwrap();
                self.handler.handle(&Ordered::decode(&payload));
                acknowledge.arg(&entry.id);
            }
            acknowledge.exec(connection)?;
            handled += entries.len() as u64;
            self.kept.reach(handled);
        }
        redis::cmd("DEL").arg(&self.stream).exec(connection)
    }
}

impl Queue for Redis {
    fn publish(&self, order: Ordered) {
        self.batcher.as_ref().unwrap().begin(order.encode()).wait();
    }

    fn pipeline(&self, in_flight: usize, window: Window, next: &mut dyn FnMut() -> Ordered) {
        let batcher = self.batcher.as_ref().unwrap();
        let begin = |_| batcher.begin(next().encode());
        keep_in_flight(in_flight, window, begin, |answer| answer.wait());
    }

    fn settle(&self, events: u64) {
        self.kept.wait_beyond(events - 1);
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.batcher = None;
        self.closed.store(true, Ordering::Relaxed);
        self.consumer.take().unwrap().join().unwrap();
    }
}
