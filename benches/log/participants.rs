//! Who takes part in what. The first is ours.

use tidings_bench::OURS;

use crate::{
    ours::{OpenBus, OpenLog},
    peers::{commitlog::Commitlog, fjall::Fjall, raw::Raw, redb::Redb, sqlite::Sqlite},
    store::{Pipeliner, Reader, Writer, batched},
};

pub(crate) const SYNCED: &[Writer] = &[
    Writer { name: OURS, open: |dir| Box::new(OpenBus::synced(dir)) },
    Writer { name: "sqlite-full", open: |dir| Box::new(Sqlite::full(dir)) },
    Writer { name: "fjall", open: |dir| Box::new(Fjall::synced(dir)) },
    Writer { name: "redb", open: |dir| Box::new(Redb::open(dir)) },
    Writer { name: "raw", open: |dir| Box::new(Raw::synced(dir)) },
];

pub(crate) const GROUPED: &[Writer] = &[
    Writer { name: OURS, open: |dir| Box::new(OpenBus::synced(dir)) },
    Writer { name: "sqlite-full-batched", open: |dir| Box::new(batched(Sqlite::full(dir))) },
    Writer { name: "fjall-batched", open: |dir| Box::new(batched(Fjall::synced(dir))) },
    Writer { name: "sqlite-full", open: |dir| Box::new(Sqlite::full(dir)) },
    Writer { name: "fjall", open: |dir| Box::new(Fjall::synced(dir)) },
    Writer { name: "redb", open: |dir| Box::new(Redb::open(dir)) },
];

pub(crate) const PIPELINED: &[Pipeliner] = &[
    Pipeliner { name: OURS, open: |dir| Box::new(OpenBus::synced(dir)) },
    Pipeliner { name: "sqlite-full-batched", open: |dir| Box::new(batched(Sqlite::full(dir))) },
    Pipeliner { name: "fjall-batched", open: |dir| Box::new(batched(Fjall::synced(dir))) },
    Pipeliner { name: "raw", open: |dir| Box::new(Raw::synced(dir)) },
];

pub(crate) const BUFFERED: &[Writer] = &[
    Writer { name: OURS, open: |dir| Box::new(OpenBus::buffered(dir)) },
    Writer { name: "sqlite-normal", open: |dir| Box::new(Sqlite::normal(dir)) },
    Writer { name: "fjall", open: |dir| Box::new(Fjall::buffered(dir)) },
    Writer { name: "commitlog", open: |dir| Box::new(Commitlog::open(dir)) },
    Writer { name: "raw", open: |dir| Box::new(Raw::buffered(dir)) },
];

pub(crate) const REPLAYED: &[Reader] = &[
    Reader {
        name: OURS,
        fill: |dir| Box::new(OpenBus::buffered(dir)),
        open: |dir| Box::new(OpenLog::open(dir)),
    },
    Reader {
        name: "sqlite-normal",
        fill: |dir| Box::new(Sqlite::normal(dir)),
        open: |dir| Box::new(Sqlite::normal(dir)),
    },
    Reader {
        name: "fjall",
        fill: |dir| Box::new(Fjall::buffered(dir)),
        open: |dir| Box::new(Fjall::buffered(dir)),
    },
    Reader {
        name: "redb",
        fill: |dir| Box::new(Redb::open(dir)),
        open: |dir| Box::new(Redb::open(dir)),
    },
    Reader {
        name: "commitlog",
        fill: |dir| Box::new(Commitlog::open(dir)),
        open: |dir| Box::new(Commitlog::open(dir)),
    },
    Reader {
        name: "raw",
        fill: |dir| Box::new(Raw::growing(dir)),
        open: |dir| Box::new(Raw::growing(dir)),
    },
];

pub(crate) const OPENED: &[Reader] = &[
    Reader {
        name: OURS,
        fill: |dir| Box::new(OpenBus::synced(dir)),
        open: |dir| Box::new(OpenLog::open(dir)),
    },
    Reader {
        name: "sqlite-full",
        fill: |dir| Box::new(Sqlite::full(dir)),
        open: |dir| Box::new(Sqlite::full(dir)),
    },
    Reader {
        name: "fjall",
        fill: |dir| Box::new(Fjall::synced(dir)),
        open: |dir| Box::new(Fjall::synced(dir)),
    },
    Reader {
        name: "redb",
        fill: |dir| Box::new(Redb::open(dir)),
        open: |dir| Box::new(Redb::open(dir)),
    },
];

/// Ours keeps key, id and correlation id itself; the others get them as part of the payload.
pub(crate) const KEPT: &[Writer] = &[
    Writer { name: OURS, open: |dir| Box::new(OpenBus::with_metadata(dir)) },
    Writer { name: "sqlite-normal", open: |dir| Box::new(Sqlite::normal(dir)) },
    Writer { name: "fjall", open: |dir| Box::new(Fjall::buffered(dir)) },
    Writer { name: "commitlog", open: |dir| Box::new(Commitlog::open(dir)) },
];
