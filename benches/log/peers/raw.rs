//! What the machine itself can do: records with a checksum, written into one file.

use std::{
    fs::File,
    os::unix::fs::FileExt,
    path::Path,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use tidings_bench::timing::Window;

use crate::store::{Payloads, Pipeline, Publish, Replay};

/// How much is written again and again.
const REUSED: u64 = 64 * 1024 * 1024;
const CHUNK: usize = 256 * 1024;
const HEADER: usize = 8;

pub(crate) struct Raw {
    file: File,
    end: Mutex<u64>,
    /// Where writing begins anew.
    wraps_at: u64,
    syncs: bool,
    appended: AtomicU64,
}

impl Raw {
    /// Each write is synced, into blocks that are there already.
    pub(crate) fn synced(dir: &Path) -> Self {
        let raw = Self { syncs: true, ..Self::buffered(dir) };
        let zeros = vec![0; 1 << 20];
        for at in (0..REUSED).step_by(zeros.len()) {
            raw.file.write_all_at(&zeros, at).unwrap();
        }
        raw.file.sync_all().unwrap();
        raw
    }

    pub(crate) fn buffered(dir: &Path) -> Self {
        Self { wraps_at: REUSED, ..Self::growing(dir) }
    }

    pub(crate) fn growing(dir: &Path) -> Self {
        let mut options = File::options();
        options.read(true).write(true).create(true).truncate(false);
        let file = options.open(dir.join("log.raw")).unwrap();
        let (end, appended) = (Mutex::new(0), AtomicU64::new(0));
        Self { file, end, wraps_at: u64::MAX, syncs: false, appended }
    }

    fn write(&self, records: &[u8]) {
        let mut end = self.end.lock().unwrap();
        if *end + records.len() as u64 > self.wraps_at {
            *end = 0;
        }
        self.file.write_all_at(records, *end).unwrap();
        *end += records.len() as u64;
        if self.syncs {
            self.file.sync_data().unwrap();
        }
    }
}

fn frame(out: &mut Vec<u8>, payload: &[u8]) {
    out.extend_from_slice(&u32::try_from(payload.len()).unwrap().to_le_bytes());
    out.extend_from_slice(&crc32c::crc32c(payload).to_le_bytes());
    out.extend_from_slice(payload);
}

/// The first payload in these bytes, and what follows it.
fn unframe(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (header, rest) = bytes.split_at_checked(HEADER)?;
    let (length, crc) = header.split_at(4);
    let length = u32::from_le_bytes(length.try_into().ok()?) as usize;
    let (payload, rest) = rest.split_at_checked(length)?;
    assert_eq!(crc32c::crc32c(payload).to_le_bytes(), crc);
    Some((payload, rest))
}

impl Publish for Raw {
    fn append(&self, payload: &[u8]) {
        self.append_all(&[payload]);
    }

    fn append_all(&self, payloads: &[&[u8]]) {
        let mut records = Vec::with_capacity(payloads.len() * (HEADER + 128));
        for payload in payloads {
            frame(&mut records, payload);
        }
        self.write(&records);
        self.appended.fetch_add(payloads.len() as u64, Ordering::Relaxed);
    }
}

/// All that may be in flight goes into one write, then one sync: nothing overlaps.
impl Pipeline for Raw {
    fn pipeline(&self, in_flight: usize, payloads: &Payloads, window: Window) -> u64 {
        let batch = payloads.batch(in_flight);
        window.count(|| {
            self.append_all(&batch);
            in_flight as u64
        })
    }
}

impl Replay for Raw {
    fn events(&self) -> u64 {
        self.appended.load(Ordering::Relaxed)
    }

    fn replay(&self) -> u64 {
        let mut buffer = vec![0; CHUNK];
        let (mut at, mut bytes) = (0, 0);
        loop {
            let count = self.file.read_at(&mut buffer, at).unwrap();
            let mut rest = &buffer[..count];
            while let Some((payload, after)) = unframe(rest) {
                bytes += payload.len() as u64;
                rest = after;
            }
            let taken = count - rest.len();
            if taken == 0 {
                return bytes;
            }
            at += taken as u64;
        }
    }
}
