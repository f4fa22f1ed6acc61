//! Real webhooks go through a bus, typed and generic, and come out as they went in.
//!
//! The file is not part of the repository: name one in the environment variable `TIDINGS_WEBHOOKS`.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

#[path = "../examples/webhooks/events.rs"]
mod events;

use std::{fs, path::PathBuf, sync::Arc, time::Duration};

use events::{Discussion, Issue, IssueComment, Other, PullRequest, Push, Release, Webhook};
use parking_lot::Mutex;
use serde_json::Value;
use tidings::{Bus, Event};

const PATIENCE: Duration = Duration::from_mins(1);

type Seen = Arc<Mutex<Vec<Value>>>;

#[test]
fn generic_webhooks_come_out_unchanged() {
    let Some(lines) = lines() else { return };
    let generic = |line: &String| serde_json::from_str::<Other>(line).unwrap();
    let events: Vec<_> = lines.iter().map(generic).collect();
    on_every_bus(|bus| {
        let seen = Seen::default();
        let subscription = bus.subscribe("all").on(keep::<Other>(&seen));
        subscription.start().unwrap();
        bus.publish_all(events.clone()).unwrap();
        assert!(bus.wait_idle(PATIENCE));
        // Text, so that not even the order of an object's fields may change.
        let came: Vec<_> = seen.lock().iter().map(ToString::to_string).collect();
        let went: Vec<_> = lines.iter().map(|line| parsed(line).to_string()).collect();
        assert!(came == went, "some payload has changed");
    });
}

#[test]
fn typed_webhooks_come_out_unchanged() {
    let Some(lines) = lines() else { return };
    on_every_bus(|bus| {
        let seen = Seen::default();
        subscribe_to_all(bus, &seen);
        let went: Vec<_> = lines.iter().map(|line| publish(bus, line)).collect();
        assert!(bus.wait_idle(PATIENCE));
        assert_eq!(*seen.lock(), went);
    });
}

fn subscribe_to_all(bus: &Bus, seen: &Seen) {
    bus.subscribe("all")
        .on(keep::<Push>(seen))
        .on(keep::<PullRequest>(seen))
        .on(keep::<Issue>(seen))
        .on(keep::<Discussion>(seen))
        .on(keep::<IssueComment>(seen))
        .on(keep::<Release>(seen))
        .on(keep::<Other>(seen))
        .start()
        .unwrap();
}

fn publish(bus: &Bus, line: &str) -> Value {
    match Webhook::parse(line.as_bytes()).unwrap() {
        Webhook::Push(event) => send(bus, event),
        Webhook::PullRequest(event) => send(bus, event),
        Webhook::Issue(event) => send(bus, event),
        Webhook::Discussion(event) => send(bus, event),
        Webhook::IssueComment(event) => send(bus, event),
        Webhook::Release(event) => send(bus, event),
        Webhook::Other(event) => send(bus, event),
    }
}

fn send<E: Event>(bus: &Bus, event: E) -> Value {
    let went = serde_json::to_value(&event).unwrap();
    drop(bus.enqueue(event).unwrap());
    went
}

fn keep<E: Event>(seen: &Seen) -> impl Fn(&E) + Send + Sync + use<E> {
    let seen = Arc::clone(seen);
    move |event| seen.lock().push(serde_json::to_value(event).unwrap())
}

fn on_every_bus(test: impl Fn(&Bus)) {
    test(&Bus::volatile());
    let folder = tempfile::tempdir().unwrap();
    let bus = Bus::open(folder.path()).unwrap();
    test(&bus);
    assert_eq!(bus.shutdown(PATIENCE).unwrap().left, 0);
}

fn parsed(line: &str) -> Value {
    serde_json::from_str(line).unwrap()
}

/// The lines of the file, or nothing where there is none.
fn lines() -> Option<Vec<String>> {
    let Some(path) = path() else {
        eprintln!("skipped: TIDINGS_WEBHOOKS names no file");
        return None;
    };
    let text = fs::read_to_string(path).expect("the file of TIDINGS_WEBHOOKS can be read");
    let lines: Vec<_> = text.lines().map(str::to_owned).collect();
    assert!(!lines.is_empty(), "the file is empty");
    Some(lines)
}

fn path() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os("TIDINGS_WEBHOOKS") {
        return Some(path.into());
    }
    let near = "../shared/data/github-webhooks.ndjson";
    let near = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(near);
    near.exists().then_some(near)
}
