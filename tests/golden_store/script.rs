//! How the stores came to be.

use std::ops::RangeInclusive;

use tidings::{
    Durability, Position,
    storage::{Commit, Compaction, FileStorage, Storage, Trim, Upkeep, Write, file::Disk},
    testing::MemoryDisk,
};

use crate::{expected, files::Files};

/// How a store was left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Left {
    Closed,
    Killed,
}

struct Making(FileStorage);

impl Making {
    fn commit(&self, positions: RangeInclusive<u64>, writes: Vec<Write>) {
        self.commit_as(positions, writes, Durability::Synced);
    }

    fn commit_as(&self, at: RangeInclusive<u64>, writes: Vec<Write>, durability: Durability) {
        let records = at.map(|at| expected::entry(at).to_record()).collect();
        let commit = Commit { records, writes, durability, ..Commit::default() };
        self.0.commit(commit).unwrap();
    }

    fn one_by_one(&self, positions: RangeInclusive<u64>) {
        positions.for_each(|at| self.commit(at..=at, Vec::new()));
    }

    fn upkeep(&self) {
        while self.0.upkeep().unwrap() == Upkeep::More {}
    }
}

/// Makes a store. The same bytes each time.
pub(crate) fn run(left: Left) -> Files {
    let disk = MemoryDisk::new();
    if left == Left::Killed {
        disk.entropy(); // it is another store
    }
    let storage = FileStorage::builder("/store").disk(disk.clone()).segment_bytes(1024).open();
    let making = Making(storage.unwrap());
    make(&making);
    if left == Left::Closed {
        making.0.close().unwrap();
    } else {
        making.commit(21..=21, vec![Write::put("late", "in the log alone")]);
        making.commit_as(22..=22, Vec::new(), Durability::Buffered);
    }
    drop(making);
    let disk = disk.after_kill();
    let name =
        |path: &std::path::Path| path.strip_prefix("/store").unwrap().to_str().unwrap().into();
    disk.files().iter().map(|path| (name(path), disk.contents(path).unwrap())).collect()
}

fn make(making: &Making) {
    let big = "b".repeat(700);
    making.commit(1..=2, vec![Write::put("big", big), Write::put("cursor/a", "2")]);
    making.commit(3..=4, vec![Write::put("cursor/c", "4"), Write::put("cursor/b", "")]);
    making.one_by_one(5..=6);
    making.upkeep();
    making.one_by_one(7..=10);
    making.upkeep();
    let all = Position::new(1000).unwrap();
    let names = vec!["stock.level".into()];
    making.commit(11..=11, vec![Write::put("cursor/a", "11"), Write::remove("cursor/c")]);
    making.one_by_one(12..=14);
    making.0.compact(&Compaction::new(names, all)).unwrap();
    making.upkeep();
    making.commit(15..=18, Vec::new());
    making.commit(19..=20, vec![Write::put("cursor/a", "19"), Write::remove("nothing")]);
    making.0.trim(&Trim::before(Position::new(expected::FIRST).unwrap())).unwrap();
    making.upkeep();
}
