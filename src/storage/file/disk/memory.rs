//! A simulated disk that can lose power.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use parking_lot::Mutex;

use self::file::Inode;
use super::{Disk, DiskFile, DiskLock, LockError};
use crate::runtime::Random;

mod file;

/// A simulated disk that can lose power. A clone is the same disk.
///
/// It knows which bytes, lengths and names were synced. [`MemoryDisk::crash`] leaves what a power
/// loss may leave, by a seed; [`MemoryDisk::kill`] what the crash of the process leaves. Either
/// makes every open file dead and releases every lock. [`MemoryDisk::fail_after`] makes calls fail.
#[derive(Debug, Clone, Default)]
pub struct MemoryDisk(Arc<Mutex<State>>);

#[derive(Debug, Clone, Default)]
struct State {
    inodes: BTreeMap<u64, Inode>,
    /// Directories are durable as soon as they are made, see [`Disk::create_dir_all`].
    dirs: Vec<PathBuf>,
    names: BTreeMap<PathBuf, u64>,
    synced_names: BTreeMap<PathBuf, u64>,
    unsynced: Vec<NameChange>,
    locks: BTreeMap<PathBuf, u64>,
    /// Counts crashes: handles of an earlier life are dead.
    life: u64,
    ids: u64,
    io_count: u64,
    fail_from: Option<u64>,
}

#[derive(Debug, Clone)]
struct NameChange {
    from: Option<PathBuf>,
    to: Option<PathBuf>,
    inode: u64,
}

impl NameChange {
    fn is_in(&self, dir: &Path) -> bool {
        [&self.from, &self.to].into_iter().flatten().any(|path| path.parent() == Some(dir))
    }

    fn apply(&self, names: &mut BTreeMap<PathBuf, u64>) {
        if let Some(from) = &self.from
            && names.get(from) == Some(&self.inode)
        {
            names.remove(from);
        }
        if let Some(to) = &self.to {
            names.insert(to.clone(), self.inode);
        }
    }
}

impl MemoryDisk {
    /// An empty disk.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An independent disk that holds the same.
    #[must_use]
    pub fn copy(&self) -> Self {
        Self(Arc::new(Mutex::new(self.0.lock().clone())))
    }

    /// A power loss. What was not synced is kept, lost or torn, as `seed` decides: each write, each
    /// growth of a file and each change of a name on its own.
    pub fn crash(&self, seed: u64) {
        let mut state = self.0.lock();
        let mut random = Random::new(seed);
        for inode in state.inodes.values_mut() {
            inode.lose_power(&mut random);
        }
        let mut names = std::mem::take(&mut state.synced_names);
        for change in std::mem::take(&mut state.unsynced) {
            if random.below(2) == 0 {
                change.apply(&mut names);
            }
        }
        state.names.clone_from(&names);
        state.synced_names = names;
        state.restart();
    }

    /// A crash of the process: everything that was written stays, synced or not.
    pub fn kill(&self) {
        self.0.lock().restart();
    }

    /// Makes the `n`th I/O call from now on, and every later one, fail; 0 and 1 both mean the next.
    /// A write that fails has written some of its bytes; a sync that fails has made some of them
    /// durable and forgets the others, as Linux does. Survives [`MemoryDisk::crash`].
    pub fn fail_after(&self, n: u64) {
        let mut state = self.0.lock();
        state.fail_from = Some(state.io_count + n.max(1));
    }

    /// Ends what [`MemoryDisk::fail_after`] began.
    pub fn heal(&self) {
        self.0.lock().fail_from = None;
    }

    /// How many I/O calls there were so far.
    #[must_use]
    pub fn io_count(&self) -> u64 {
        self.0.lock().io_count
    }

    /// The paths of all files, sorted.
    #[must_use]
    pub fn files(&self) -> Vec<PathBuf> {
        self.0.lock().names.keys().cloned().collect()
    }

    /// The bytes of a file, or `None` where there is none. Not counted as I/O.
    #[must_use]
    pub fn contents(&self, path: impl AsRef<Path>) -> Option<Vec<u8>> {
        let state = self.0.lock();
        let id = state.names.get(path.as_ref())?;
        Some(state.inodes.get(id)?.bytes().to_vec())
    }

    /// Puts a file in place, durably, as bit rot or an operator would. Not counted as I/O.
    pub fn set_contents(&self, path: impl Into<PathBuf>, bytes: impl Into<Vec<u8>>) {
        let mut state = self.0.lock();
        let id = state.new_id();
        state.inodes.insert(id, Inode::durable(bytes.into()));
        let path = path.into();
        state.names.insert(path.clone(), id);
        state.synced_names.insert(path, id);
    }

    /// Flips the bits of `mask` in one byte of a file, under whoever has it open. Nothing happens
    /// where there is no such byte. Not counted as I/O.
    pub fn rot(&self, path: impl AsRef<Path>, offset: usize, mask: u8) {
        let mut state = self.0.lock();
        let inode = state.names.get(path.as_ref()).copied();
        if let Some(inode) = inode.and_then(|id| state.inodes.get_mut(&id)) {
            inode.rot(offset, mask);
        }
    }

    /// Takes a file away, durably. Not counted as I/O.
    pub fn lose(&self, path: impl AsRef<Path>) {
        let mut state = self.0.lock();
        state.names.remove(path.as_ref());
        state.synced_names.remove(path.as_ref());
    }
}

impl State {
    fn restart(&mut self) {
        self.life += 1;
        self.locks.clear();
    }

    fn new_id(&mut self) -> u64 {
        self.ids += 1;
        self.ids
    }

    /// Counts a call; an error where it is to fail.
    fn call(&mut self) -> io::Result<()> {
        self.io_count += 1;
        match self.fail_from {
            Some(from) if self.io_count >= from => Err(io::Error::other("simulated failure")),
            _ => Ok(()),
        }
    }

    fn change(&mut self, change: NameChange) {
        change.apply(&mut self.names);
        self.unsynced.push(change);
    }

    fn inode_of(&self, path: &Path) -> io::Result<u64> {
        let found = self.names.get(path).copied();
        found.ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn check_dir(&self, dir: Option<&Path>) -> io::Result<()> {
        match dir {
            Some(dir) if self.dirs.iter().any(|known| known == dir) => Ok(()),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }
}

impl Disk for MemoryDisk {
    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.0.lock();
        state.call()?;
        for dir in dir.ancestors() {
            if state.check_dir(Some(dir)).is_err() {
                state.dirs.push(dir.to_owned());
            }
        }
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let mut state = self.0.lock();
        state.call()?;
        state.check_dir(Some(dir))?;
        let paths = state.names.keys().chain(&state.dirs);
        let inside = paths.filter(|path| path.parent() == Some(dir));
        let names = inside.filter_map(|path| path.file_name()?.to_str());
        Ok(names.map(str::to_owned).collect())
    }

    fn open(&self, path: &Path, create: bool) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.0.lock();
        state.call()?;
        state.check_dir(path.parent())?;
        let inode = match state.inode_of(path) {
            Ok(inode) => inode,
            Err(error) if !create => return Err(error),
            Err(_) => {
                let inode = state.new_id();
                state.inodes.insert(inode, Inode::default());
                let to = Some(path.to_owned());
                state.change(NameChange { from: None, to, inode });
                inode
            }
        };
        Ok(Arc::new(file::Handle::new(self.clone(), inode, state.life)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.0.lock();
        state.call()?;
        state.check_dir(to.parent())?;
        let inode = state.inode_of(from)?;
        let (from, to) = (Some(from.to_owned()), Some(to.to_owned()));
        state.change(NameChange { from, to, inode });
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.0.lock();
        state.call()?;
        let inode = state.inode_of(path)?;
        let from = Some(path.to_owned());
        state.change(NameChange { from, to: None, inode });
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.0.lock();
        state.call()?;
        state.check_dir(Some(dir))?;
        let unsynced = std::mem::take(&mut state.unsynced);
        let (here, elsewhere) = unsynced.into_iter().partition(|change| change.is_in(dir));
        state.unsynced = elsewhere;
        let here: Vec<NameChange> = here;
        for change in here {
            change.apply(&mut state.synced_names);
        }
        Ok(())
    }

    fn lock(&self, path: &Path) -> Result<Box<dyn DiskLock>, LockError> {
        let mut state = self.0.lock();
        state.call()?;
        if let Some(holder) = state.locks.get(path) {
            let text = format!("holder {holder} of the simulated disk");
            return Err(LockError::Held(text));
        }
        let holder = state.new_id();
        state.locks.insert(path.to_owned(), holder);
        Ok(Box::new(Lock { disk: self.clone(), path: path.to_owned(), holder }))
    }

    fn entropy(&self) -> u64 {
        let id = self.0.lock().new_id();
        Random::new(id).next()
    }
}

#[derive(Debug)]
struct Lock {
    disk: MemoryDisk,
    path: PathBuf,
    holder: u64,
}

impl DiskLock for Lock {}

impl Drop for Lock {
    fn drop(&mut self) {
        let mut state = self.disk.0.lock();
        if state.locks.get(&self.path) == Some(&self.holder) {
            state.locks.remove(&self.path);
        }
    }
}
