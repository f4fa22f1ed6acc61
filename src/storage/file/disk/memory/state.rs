//! Everything a simulated disk knows.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    ops::Range,
    path::{Path, PathBuf},
};

use super::{
    call::Call,
    chance::Chance,
    change::Change,
    fault::{Failure, Fault},
    image::Image,
};

const SECTOR: usize = 512;

#[derive(Debug, Clone)]
pub(super) struct State {
    /// What calls see.
    pub(super) current: Image,
    /// What a power loss cannot take.
    pub(super) durable: Image,
    /// What it can, in the order of issue. A failed sync has made some changes neither.
    unsynced: Vec<Change>,
    /// Directories are durable as soon as they are made, see `Disk::create_dir_all`.
    pub(super) dirs: Vec<PathBuf>,
    pub(super) locks: BTreeMap<PathBuf, u64>,
    /// Counts crashes: handles of an earlier life are dead.
    pub(super) life: u64,
    ids: u64,
    pub(super) io_count: u64,
    pub(super) fault: Option<Fault>,
    pub(super) trace: Option<Vec<Call>>,
    /// Never 0.
    pub(super) tear: usize,
    pub(super) capacity: Option<u64>,
}

impl Default for State {
    fn default() -> Self {
        Self {
            current: Image::default(),
            durable: Image::default(),
            unsynced: Vec::new(),
            dirs: Vec::new(),
            locks: BTreeMap::new(),
            life: 0,
            ids: 0,
            io_count: 0,
            fault: None,
            trace: None,
            tear: SECTOR,
            capacity: None,
        }
    }
}

impl State {
    pub(super) fn new_id(&mut self) -> u64 {
        self.ids += 1;
        self.ids
    }

    /// Counts a call; how it fails where it is to.
    pub(super) fn admit(&mut self, call: impl FnOnce() -> Call) -> Result<(), Failure> {
        self.io_count += 1;
        if let Some(trace) = &mut self.trace {
            trace.push(call());
        }
        let failure = self.fault.and_then(|fault| fault.strike(self.io_count));
        failure.map_or(Ok(()), Err)
    }

    /// Counts a call that does nothing if it fails.
    pub(super) fn call(&mut self, call: impl FnOnce() -> Call) -> io::Result<()> {
        self.admit(call).map_err(Failure::raise)
    }

    pub(super) fn chance(&self, seed: u64) -> Chance {
        Chance::new(seed, self.tear)
    }

    pub(super) fn change(&mut self, change: Change) {
        change.apply(&mut self.current);
        self.unsynced.push(change);
    }

    /// Returns how many of the bytes there was room for.
    pub(super) fn write(&mut self, file: u64, bytes: &[u8], offset: usize) -> usize {
        let room = self.room(file, offset + bytes.len());
        let bytes = &bytes[..room.saturating_sub(offset).min(bytes.len())];
        if bytes.is_empty() {
            return 0;
        }
        let (from, to) = (self.current.bytes(file).len(), offset + bytes.len());
        if from < to {
            self.change(Change::Grow { file, from, to });
        }
        self.change(Change::Write { file, offset, bytes: bytes.to_vec() });
        bytes.len()
    }

    /// Returns the length there was room for.
    pub(super) fn resize(&mut self, file: u64, len: usize) -> usize {
        let len = self.room(file, len);
        self.change(Change::Resize { file, len });
        len
    }

    /// How long a file may be that is to be so long.
    fn room(&self, file: u64, wanted: usize) -> usize {
        let len = self.current.bytes(file).len();
        match self.capacity {
            Some(capacity) if wanted > len => {
                let free = capacity.saturating_sub(self.current.size());
                wanted.min(len.saturating_add(usize::try_from(free).unwrap_or(usize::MAX)))
            }
            _ => wanted,
        }
    }

    pub(super) fn sync_data(&mut self, file: u64) {
        for change in self.unsynced.extract_if(.., |change| change.is_data_of(file)) {
            change.apply(&mut self.durable);
        }
    }

    /// Makes durable what chance decides, and forgets the rest.
    pub(super) fn sync_some(&mut self, file: u64, chance: &mut Chance) {
        for change in self.unsynced.extract_if(.., |change| change.is_data_of(file)) {
            chance.apply(&change, &mut self.durable);
        }
    }

    /// What happened to a file before it came into the directory or left it goes along: it has
    /// never two names.
    pub(super) fn sync_dir(&mut self, dir: &Path) {
        let mut files = BTreeSet::new();
        let mut goes_along = |change: &Change| match change.naming(dir) {
            Some((file, true)) => {
                files.insert(file);
                true
            }
            Some((file, false)) => files.contains(&file),
            None => false,
        };
        let mut goes: Vec<bool> = self.unsynced.iter().rev().map(&mut goes_along).collect();
        for change in self.unsynced.extract_if(.., |_| goes.pop() == Some(true)) {
            change.apply(&mut self.durable);
        }
    }

    /// What a power loss takes or leaves each on its own, in the order of issue.
    pub(super) fn atoms(&self) -> impl Iterator<Item = (&Change, Range<usize>)> {
        let pieces = |change: &Change| change.pieces(self.tear);
        self.unsynced
            .iter()
            .flat_map(move |change| pieces(change).map(move |piece| (change, piece)))
    }

    pub(super) fn crash(&mut self, seed: u64) {
        let mut chance = self.chance(seed);
        for change in std::mem::take(&mut self.unsynced) {
            chance.apply(&change, &mut self.durable);
        }
        self.current = self.durable.clone();
        self.restart();
    }

    pub(super) fn restart(&mut self) {
        self.life += 1;
        self.locks.clear();
    }

    /// Another disk that holds only this, all of it durable.
    pub(super) fn holding(&self, mut image: Image) -> Self {
        image.drop_nameless();
        Self {
            current: image.clone(),
            durable: image,
            dirs: self.dirs.clone(),
            ids: self.ids,
            tear: self.tear,
            capacity: self.capacity,
            ..Self::default()
        }
    }

    /// Another disk that holds the same, as much of it durable.
    pub(super) fn as_after_kill(&self) -> Self {
        Self {
            current: self.current.clone(),
            durable: self.durable.clone(),
            unsynced: self.unsynced.clone(),
            ..self.holding(Image::default())
        }
    }

    pub(super) fn file(&self, path: &Path) -> io::Result<u64> {
        let found = self.current.names.get(path).copied();
        found.ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    pub(super) fn check_dir(&self, dir: Option<&Path>) -> io::Result<()> {
        match dir {
            Some(dir) if self.dirs.iter().any(|known| known == dir) => Ok(()),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }
}
