//! commitlog, segments with memory-mapped indices. It has no fsync at all (its `flush` is
//! `File::flush`, which does nothing), so it is measured where nothing need be synced.

use std::{path::Path, sync::Mutex};

use commitlog::{
    CommitLog, LogOptions, ReadLimit,
    message::{MessageBuf, MessageSet},
};

use crate::store::{Publish, Replay};

pub(crate) struct Commitlog(Mutex<CommitLog>);

impl Commitlog {
    pub(crate) fn open(dir: &Path) -> Self {
        Self(Mutex::new(CommitLog::new(LogOptions::new(dir)).unwrap()))
    }
}

impl Publish for Commitlog {
    fn append(&self, payload: &[u8]) {
        self.0.lock().unwrap().append_msg(payload).unwrap();
    }

    fn append_all(&self, payloads: &[&[u8]]) {
        let mut messages = MessageBuf::default();
        for payload in payloads {
            messages.push(payload).unwrap();
        }
        self.0.lock().unwrap().append(&mut messages).unwrap();
    }
}

impl Replay for Commitlog {
    fn events(&self) -> u64 {
        self.0.lock().unwrap().next_offset()
    }

    fn replay(&self) -> u64 {
        let log = self.0.lock().unwrap();
        let (mut next, mut bytes) = (0, 0);
        while next < log.next_offset() {
            let messages = log.read(next, ReadLimit::max_bytes(256 * 1024)).unwrap();
            next += messages.len() as u64;
            bytes += messages.iter().map(|message| message.payload().len() as u64).sum::<u64>();
        }
        bytes
    }
}
