//! Directories, names and locks of the simulated disk.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{MemoryDisk, call::Call, change::Change, file::Handle};
use crate::{
    runtime::Random,
    storage::file::{Disk, DiskFile, DiskLock, LockError},
};

impl Disk for MemoryDisk {
    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.0.lock();
        state.call(|| Call::CreateDir(dir.to_owned()))?;
        for dir in dir.ancestors() {
            if state.check_dir(Some(dir)).is_err() {
                state.dirs.push(dir.to_owned());
            }
        }
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let mut state = self.0.lock();
        state.call(|| Call::List(dir.to_owned()))?;
        state.check_dir(Some(dir))?;
        let paths = state.current.names.keys().chain(&state.dirs);
        let inside = paths.filter(|path| path.parent() == Some(dir));
        let names = inside.filter_map(|path| path.file_name()?.to_str());
        Ok(names.map(str::to_owned).collect())
    }

    fn open(&self, path: &Path, create: bool) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.0.lock();
        let call = if create { Call::Create } else { Call::Open };
        state.call(|| call(path.to_owned()))?;
        state.check_dir(path.parent())?;
        let file = match state.file(path) {
            Ok(file) => file,
            Err(error) if !create => return Err(error),
            Err(_) => {
                let file = state.new_id();
                state.change(Change::Name { file, from: None, to: Some(path.to_owned()) });
                file
            }
        };
        Ok(Arc::new(Handle::new(self, &state, file, path)))
    }

    fn open_read(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.0.lock();
        state.call(|| Call::OpenRead(path.to_owned()))?;
        state.check_dir(path.parent())?;
        let file = state.file(path)?;
        Ok(Arc::new(Handle::new(self, &state, file, path).for_reading()))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.0.lock();
        state.call(|| Call::Rename(from.to_owned(), to.to_owned()))?;
        state.check_dir(to.parent())?;
        let file = state.file(from)?;
        let (from, to) = (Some(from.to_owned()), Some(to.to_owned()));
        state.change(Change::Name { file, from, to });
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.0.lock();
        state.call(|| Call::Remove(path.to_owned()))?;
        let file = state.file(path)?;
        state.change(Change::Name { file, from: Some(path.to_owned()), to: None });
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.0.lock();
        state.call(|| Call::SyncDir(dir.to_owned()))?;
        state.check_dir(Some(dir))?;
        state.sync_dir(dir);
        Ok(())
    }

    fn lock(&self, path: &Path) -> Result<Box<dyn DiskLock>, LockError> {
        let mut state = self.0.lock();
        state.call(|| Call::Lock(path.to_owned()))?;
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

impl DiskLock for Lock {
    fn is_held(&self) -> bool {
        self.disk.0.lock().locks.get(&self.path) == Some(&self.holder)
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        let mut state = self.disk.0.lock();
        if state.locks.get(&self.path) == Some(&self.holder) {
            state.locks.remove(&self.path);
        }
    }
}
