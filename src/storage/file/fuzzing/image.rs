//! A whole store that is edited byte by byte and file by file, and then used.

use std::{
    ops::ControlFlow,
    path::{Path, PathBuf},
};

use super::{
    Input, ROOT,
    exercise::{self, damage_or, keep_up},
    golden::{self, Golden, NAMES, files, numbered, state_key},
    model::Model,
};
use crate::{
    event::Durability,
    message::Position,
    runtime::Timestamp,
    storage::{
        FileReader, FileStorage, Query, Storage, StorageError, Trim, Write, file::MemoryDisk,
        file::position,
    },
};

/// Fewer than there are files: where all are gone, a new store is right.
const MOST_EDITS: u8 = 6;
const MOST_STEPS: usize = 24;

/// Names that files may get beside those that are there.
const NEW_NAMES: [&str; 8] = [
    "MANIFEST.new",
    "LOCK",
    "segments/00000000000000000000.log",
    "segments/junk",
    "state/00000000000000000099.run",
    "state/junk",
    "quarantine/junk",
    "segments/00000000000000000002.idx",
];

/// Which store | how many edits | edits | steps.
pub fn image(bytes: &[u8]) {
    let Some(mut input) = Input::new(bytes) else { return };
    let golden = golden::store(input.u8().into());
    let disk = golden.disk.copy();
    let edits = input.u8() % (MOST_EDITS + 1);
    for _ in 0..edits {
        edit(&disk, &mut input);
    }
    let is_whole = files(&disk) == files(&golden.disk);
    let Some(mut run) = Run::begin(golden, disk, is_whole) else { return };
    for _ in 0..MOST_STEPS {
        if input.is_empty() {
            break;
        }
        run.step(&mut input);
    }
    run.reopen(true);
    run.check_all();
}

fn any_name(disk: &MemoryDisk, input: &mut Input<'_>) -> PathBuf {
    let mut names = disk.files();
    names.extend(NEW_NAMES.iter().map(|name| Path::new(ROOT).join(name)));
    let next = disk.files().iter().filter(|name| name.starts_with("/store/segments")).count() + 1;
    names.push(Path::new(ROOT).join(format!("segments/{next:020}.log")));
    let at = input.index(names.len());
    names.swap_remove(at)
}

fn edit(disk: &MemoryDisk, input: &mut Input<'_>) {
    let kind = input.u8() % 8;
    let names = disk.files();
    let Some(path) = names.get(input.index(names.len())).cloned() else { return };
    let mut bytes = disk.contents(&path).unwrap_or_default();
    let at = input.index(bytes.len() + 1);
    match kind {
        0 => disk.rot(&path, at, input.u8()),
        1 => disk.set_contents(&path, bytes.get(..at).unwrap_or_default()),
        2 => disk.set_contents(any_name(disk, input), bytes),
        3 => {
            let other = any_name(disk, input);
            disk.set_contents(&path, disk.contents(&other).unwrap_or_default());
            disk.set_contents(other, bytes);
        }
        4 => disk.lose(&path),
        5 => {
            let end = (at + input.index(600)).min(bytes.len());
            let with = input.u8();
            bytes.get_mut(at..end).unwrap_or_default().fill(with);
            disk.set_contents(&path, bytes);
        }
        6 => {
            let from = disk.contents(any_name(disk, input)).unwrap_or_default();
            let start = input.index(from.len() + 1);
            let piece = from.get(start..).unwrap_or_default().iter().take(input.index(600));
            for (byte, other) in bytes.iter_mut().skip(at).zip(piece) {
                *byte = *other;
            }
            disk.set_contents(&path, bytes);
        }
        _ => {
            let byte = input.u8();
            bytes.resize(bytes.len() + input.index(3000), byte);
            disk.set_contents(&path, bytes);
        }
    }
}

/// A store in use.
struct Run {
    disk: MemoryDisk,
    storage: FileStorage,
    model: Model,
    /// Nothing was edited.
    is_whole: bool,
    committed: u64,
}

impl Run {
    fn begin(golden: &Golden, disk: MemoryDisk, is_whole: bool) -> Option<Self> {
        let before = files(&disk);
        let opened = exercise::open(&disk);
        let Some(storage) = opened else {
            assert!(!is_whole, "a store that is whole is refused");
            return None;
        };
        let named = before.iter().any(|(path, _)| path.ends_with("MANIFEST"));
        assert!(named, "a store was made over the files of another");
        let model = Model::of(golden, storage.end());
        let lost = golden.commits.iter().map(|commit| commit.records.len() as u64).sum::<u64>() + 1
            - model.end();
        assert!(!is_whole || lost == 0, "commits of a whole store are missing");
        Some(Self { disk, storage, model, is_whole, committed: 1000 })
    }

    fn step(&mut self, input: &mut Input<'_>) {
        match input.u8() % 12 {
            0 | 1 => self.read(input),
            2 => self.visit(input),
            3 => self.get(input),
            4 => self.scan(input),
            5 | 6 => self.commit(input),
            7 => drop(damage_or(self.storage.upkeep())),
            8 => keep_up(&self.storage),
            9 => self.trim(input),
            10 => self.reopen(input.u8().is_multiple_of(2)),
            _ => self.look_elsewhere(input),
        }
    }

    /// The result, unless damage is in the way.
    fn undamaged<T>(&self, result: Result<T, StorageError>) -> Option<T> {
        let result = damage_or(result).ok();
        assert!(result.is_some() || !self.is_whole, "a whole store is called damaged");
        result
    }

    fn query(&self, input: &mut Input<'_>) -> Query {
        let (first, end) = (self.storage.first().get(), self.storage.end().get());
        let from = first + input.index(usize::try_from(end - first).unwrap_or(0) + 2) as u64;
        let mut query = Query::from(position(from)).records(usize::from(input.u8()));
        let wanted = input.u8();
        if wanted & 3 != 0 {
            query = query.of(NAMES[usize::from(wanted >> 6) % 3]);
        }
        if wanted & 4 != 0 {
            query = query.key(format!("key-{}", input.u8() % 6));
        }
        if wanted & 8 != 0 {
            query = query.since(Timestamp::from_nanos(1000 * u64::from(input.u8())));
        }
        if wanted & 16 != 0 {
            query = query.until(Timestamp::from_nanos(1000 * u64::from(input.u8())));
        }
        query
    }

    fn read(&self, input: &mut Input<'_>) {
        let query = self.query(input);
        if let Some(page) = self.undamaged(self.storage.read(&query)) {
            self.model.check_page(query.from.get(), &query.filter, &page);
        }
    }

    fn visit(&self, input: &mut Input<'_>) {
        let query = self.query(input);
        let most = usize::from(input.u8()) + 1;
        let mut found = Vec::new();
        let read = self.storage.visit(&query, &mut |record| {
            found.push((record.position, record.id, record.payload.to_vec()));
            if found.len() < most { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        if query.max_records == 0 {
            return;
        }
        let next = self.undamaged(read).unwrap_or_else(|| self.storage.end());
        let there = self.model.between(query.from.get(), next.get(), &query.filter);
        let there: Vec<_> =
            there.into_iter().map(|(at, r)| (at, r.envelope.id, r.payload.clone())).collect();
        assert!(there.starts_with(&found), "something else was read");
    }

    fn get(&self, input: &mut Input<'_>) {
        let key = state_key(input.u8().into()).into_bytes();
        if let Some(value) = self.undamaged(self.storage.get(&key)) {
            assert_eq!(value.as_deref(), self.model.get(&key));
        }
    }

    fn scan(&self, input: &mut Input<'_>) {
        let (after, max) = (state_key(input.u8().into()), usize::from(input.u8()));
        let after = max.is_multiple_of(2).then_some(after.as_bytes());
        if let Some(found) = self.undamaged(self.storage.scan(b"state/", after, max)) {
            assert_eq!(found, self.model.scan(b"state/", after, max));
        }
    }

    fn commit(&mut self, input: &mut Input<'_>) {
        self.committed += 1;
        let mut commit = numbered(self.committed);
        let kind = input.u8();
        commit.durability = if kind & 1 == 0 { Durability::Synced } else { Durability::Buffered };
        if kind & 2 != 0 {
            let value = vec![kind; usize::from(input.u16() % 5000)];
            commit.writes.push(Write::put(state_key(kind.into()), value));
        }
        if kind & 4 != 0 {
            self.storage.make_room(input.u16().into(), kind & 8 != 0).expect("nothing fails");
        }
        let at = self.storage.commit(commit.clone()).expect("nothing fails");
        assert_eq!(at.get(), self.model.end());
        self.model.apply(&commit);
    }

    fn trim(&self, input: &mut Input<'_>) {
        let first = self.storage.first();
        let before = first.get() + u64::from(input.u8());
        let mut trim = Trim::before(position(before));
        match input.u8() % 4 {
            1 => trim = trim.published_before(Timestamp::from_nanos(1000 * u64::from(input.u8()))),
            2 => trim = trim.max_bytes(u64::from(input.u16())),
            _ => {}
        }
        if let Some(kept) = self.undamaged(self.storage.trim(&trim)) {
            assert!(kept == self.storage.first() && kept >= first && kept.get() <= before);
        }
    }

    fn reopen(&mut self, close: bool) {
        let first = self.storage.first();
        if close {
            self.storage.close().expect("nothing fails");
        }
        self.disk.kill();
        self.storage = golden::open(&self.disk).expect("it was opened before");
        assert_eq!(self.storage.end().get(), self.model.end(), "commits are missing");
        assert_eq!(self.storage.first(), first);
        assert_eq!(self.storage.recovery().closed, close);
    }

    /// A reader beside the storage, or a copy of it.
    fn look_elsewhere(&self, input: &mut Input<'_>) {
        let copy = PathBuf::from(format!("/copies/{}", input.u8() % 2));
        let root = if input.u8().is_multiple_of(2) {
            Path::new(ROOT)
        } else {
            match self.storage.backup(&copy) {
                Err(StorageError::NotEmpty { .. }) => return,
                result => drop(self.undamaged(result)),
            }
            &copy
        };
        let Some(reader) = self.undamaged(FileReader::open_on(self.disk.clone(), root)) else {
            return;
        };
        assert_eq!((reader.first(), reader.end()), (self.storage.first(), self.storage.end()));
        self.check_records(&reader);
    }

    fn check_all(&self) {
        self.check_records(&self.storage);
        if let Some(found) = self.undamaged(self.storage.scan(b"", None, usize::MAX)) {
            assert_eq!(found, self.model.scan(b"", None, usize::MAX));
        }
    }

    fn check_records(&self, storage: &dyn Storage) {
        let (first, end) = (storage.first().get(), Position::LAST.get());
        if let Some(found) = self.undamaged(exercise::read_all(storage)) {
            assert_eq!(found, self.model.between(first, end, &Query::from(position(1)).filter));
        }
    }
}
