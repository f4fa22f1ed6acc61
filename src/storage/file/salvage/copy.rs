//! Writing what was rescued.

use std::ops::{Range, RangeInclusive};

use super::{Plan, SalvageError, Salvaged, target::Unfinished};
use crate::{
    event::Durability,
    message::Position,
    runtime::Timestamp,
    storage::{
        Commit, Record, Storage, StorageError, Write,
        file::{
            FileStorage, Progress,
            body::RecordReader,
            directory::Directory,
            lost, position, state,
            survey::{self, Batch, Gap, Item, Piece},
        },
    },
};

/// How much of the state is written at once, in bytes.
const CHUNK: usize = 1024 * 1024;

/// How many placeholders are written at once.
const PLACEHOLDERS: u64 = 4096;

pub(super) fn copy(
    from: &Directory,
    to: &Directory,
    plan: &Plan,
    progress: &mut dyn FnMut(Progress),
) -> Result<Salvaged, SalvageError> {
    let (target, storage) = Unfinished::create(to, plan.first)?;
    let mut copy = Copy { plan, storage, records: 0, time: Timestamp::UNIX_EPOCH, gaps: 0 };
    copy.state()?;
    copy.log(from, progress)?;
    copy.name_lost()?;
    copy.storage.close()?;
    target.finish(to)?;
    Ok(Salvaged {
        problems: plan.problems(),
        lost: plan.lost.clone(),
        state_loss: plan.state_loss.clone(),
        first: position(plan.first),
        end: position(plan.end),
        records: copy.records,
    })
}

struct Copy<'a> {
    plan: &'a Plan,
    storage: FileStorage,
    records: u64,
    /// When the last record was published.
    time: Timestamp,
    /// How many gaps were met.
    gaps: usize,
}

impl Copy<'_> {
    /// Writes what the files of the state hold, oldest first.
    fn state(&self) -> Result<(), StorageError> {
        let (mut writes, mut bytes) = (Vec::new(), 0);
        let past_damage = self.plan.state_loss.is_some();
        for run in &self.plan.runs {
            state::each_entry(run, past_damage, &mut |key, value| {
                bytes += key.len() + value.map_or(0, <[u8]>::len) + 16;
                writes.push(Write { key: key.to_vec(), value: value.map(<[u8]>::to_vec) });
                if bytes < CHUNK {
                    return Ok(());
                }
                bytes = 0;
                self.commit(Vec::new(), std::mem::take(&mut writes))
            })?;
        }
        self.commit(Vec::new(), writes)
    }

    fn log(
        &mut self,
        from: &Directory,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<(), StorageError> {
        let plan = self.plan;
        let (half, mut reader) = (plan.survey.log_bytes(), RecordReader::default());
        survey::follow(from, &plan.survey, &mut |piece| match piece {
            Piece::Gap(gap) => self.fill(&gap),
            Piece::Batch(batch) => {
                progress(Progress { done: half + batch.done, total: 2 * half });
                match batch.decode(&mut reader) {
                    Ok((items, writes)) => self.batch(from, &batch, items, writes),
                    Err(gap) => self.fill(&gap),
                }
            }
        })?;
        if self.gaps != plan.gaps.len() || self.storage.end().get() != plan.end {
            return Err(changed(from));
        }
        Ok(())
    }

    fn batch(
        &mut self,
        from: &Directory,
        batch: &Batch<'_>,
        items: Vec<Item>,
        writes: Vec<Write>,
    ) -> Result<(), StorageError> {
        let header = &batch.header;
        if header.position != self.storage.end().get() {
            return Err(changed(from));
        }
        let mut records = Vec::new();
        let mut at = header.position;
        for item in items {
            match item {
                Item::Record(record) => {
                    self.time = record.envelope.published_at;
                    records.push(record);
                    at += 1;
                }
                Item::Dropped(count) => {
                    let end = at.saturating_add(count);
                    at = self.fill_dropped(at..end, &mut records)?;
                }
            }
        }
        self.records += u64::from(header.records);
        let writes = if header.seq > self.plan.after { writes } else { Vec::new() };
        self.commit(records, writes)
    }

    /// Puts placeholders where a compaction dropped records.
    fn fill_dropped(
        &self,
        positions: Range<u64>,
        records: &mut Vec<Record>,
    ) -> Result<u64, StorageError> {
        let end = positions.end;
        for at in positions {
            records.push(lost::compacted(at));
            if records.len() as u64 >= PLACEHOLDERS {
                self.commit(std::mem::take(records), Vec::new())?;
            }
        }
        Ok(end)
    }

    /// Puts placeholders where records are lost. They have the time of the record before.
    fn fill(&mut self, gap: &Gap) -> Result<(), StorageError> {
        let known = self.plan.gaps.get(self.gaps);
        self.gaps += 1;
        if known != Some(gap) {
            return Err(StorageError::Corrupt {
                file: gap.file.clone(),
                offset: gap.bytes.start,
                reason: "it was readable a moment ago",
            });
        }
        let mut at = gap.positions.start;
        while at < gap.positions.end {
            let end = gap.positions.end.min(at.saturating_add(PLACEHOLDERS));
            let records = (at..end).map(|at| lost::placeholder(at, self.time)).collect();
            self.commit(records, Vec::new())?;
            at = end;
        }
        Ok(())
    }

    fn name_lost(&self) -> Result<(), StorageError> {
        let entry = |lost: &RangeInclusive<Position>| lost::entry(lost);
        self.commit(Vec::new(), self.plan.lost.iter().map(entry).collect())
    }

    fn commit(&self, records: Vec<Record>, writes: Vec<Write>) -> Result<(), StorageError> {
        let durability = Durability::Buffered; // closing makes all of it durable
        let preconditions = Vec::new();
        self.storage.commit(Commit { records, writes, preconditions, durability })?;
        if self.storage.wants_upkeep() {
            self.storage.upkeep()?;
        }
        Ok(())
    }
}

fn changed(from: &Directory) -> StorageError {
    let reason = "the log is not what it was a moment ago, or its positions are not in order";
    StorageError::Corrupt { file: from.segments.clone(), offset: 0, reason }
}
