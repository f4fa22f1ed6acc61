//! Reading on where a part of a file cannot be read.

use std::{io, ops::Range, sync::Arc};

use parking_lot::Mutex;

use crate::storage::file::disk::DiskFile;

/// What is given up at once.
const PAGE: usize = 4096;

/// A file that shows zeros where it cannot be read, and takes note. It cannot be written.
#[derive(Debug)]
pub(super) struct PatientFile {
    file: Arc<dyn DiskFile>,
    unreadable: Mutex<Vec<Range<u64>>>,
}

impl PatientFile {
    pub(super) fn new(file: Arc<dyn DiskFile>) -> Self {
        Self { file, unreadable: Mutex::default() }
    }

    /// Whether any of these bytes could not be read.
    pub(super) fn failed_in(&self, bytes: &Range<u64>) -> bool {
        let unreadable = self.unreadable.lock();
        unreadable.iter().any(|range| range.start < bytes.end && bytes.start < range.end)
    }

    fn read_pages(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let left = self.file.size()?.saturating_sub(offset);
        let count = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        let mut at = offset;
        for page in buffer.get_mut(..count).unwrap_or_default().chunks_mut(PAGE) {
            let length = page.len() as u64;
            if self.file.read_at(page, at).is_err() {
                page.fill(0);
                self.unreadable.lock().push(at..at + length);
            }
            at += length;
        }
        Ok(count)
    }
}

impl DiskFile for PatientFile {
    fn size(&self) -> io::Result<u64> {
        self.file.size()
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        match self.file.read_at(buffer, offset) {
            Ok(count) => Ok(count),
            Err(_) => self.read_pages(buffer, offset),
        }
    }

    fn write_all_at(&self, _bytes: &[u8], _offset: u64) -> io::Result<()> {
        Err(io::ErrorKind::PermissionDenied.into())
    }

    fn set_len(&self, _len: u64) -> io::Result<()> {
        Err(io::ErrorKind::PermissionDenied.into())
    }

    fn sync_data(&self) -> io::Result<()> {
        Err(io::ErrorKind::PermissionDenied.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file of ones whose second page cannot be read.
    #[derive(Debug)]
    struct Scratched;

    impl DiskFile for Scratched {
        fn size(&self) -> io::Result<u64> {
            Ok(10_000)
        }

        fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
            if offset < 8192 && offset + buffer.len() as u64 > 4096 {
                return Err(io::Error::other("scratched"));
            }
            buffer.fill(1);
            Ok(buffer.len())
        }

        fn write_all_at(&self, _bytes: &[u8], _offset: u64) -> io::Result<()> {
            Ok(())
        }

        fn set_len(&self, _len: u64) -> io::Result<()> {
            Ok(())
        }

        fn sync_data(&self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn around_a_scratch_everything_is_read() {
        let file = PatientFile::new(Arc::new(Scratched));
        let mut bytes = vec![7; 20_000];
        assert_eq!(file.read_at(&mut bytes, 0).ok(), Some(10_000));
        assert!(bytes.iter().take(4096).all(|byte| *byte == 1));
        assert!(bytes.iter().skip(4096).take(4096).all(|byte| *byte == 0));
        assert!(bytes.iter().take(10_000).skip(8192).all(|byte| *byte == 1));
        assert!(file.failed_in(&(0..5000)) && file.failed_in(&(8191..8192)));
        assert!(!file.failed_in(&(0..4096)) && !file.failed_in(&(8192..10_000)));
        assert!(file.write_all_at(&[1], 0).is_err());
        assert!(file.set_len(1).is_err() && file.sync_data().is_err());
    }
}
