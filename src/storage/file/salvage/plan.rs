//! What can be had of a damaged store, and what cannot.

use std::{ops::RangeInclusive, path::PathBuf, sync::Arc};

use super::StateLoss;
use crate::{
    message::Position,
    storage::{
        StorageError,
        file::{
            Problem, Progress,
            body::RecordReader,
            directory::Directory,
            lost,
            manifest::RunEntry,
            state::{self, Run},
            survey::{self, Gap, Piece, Survey},
        },
    },
};

/// What can be had of a damaged store, and what cannot.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) survey: Survey,
    pub(super) gaps: Vec<Gap>,
    /// What is wrong with files of the state.
    state_gaps: Vec<Gap>,
    /// The first position that is kept, and the end.
    pub(super) first: u64,
    pub(super) end: u64,
    pub(super) lost: Vec<RangeInclusive<Position>>,
    /// Where the state comes from: these, oldest first, and then what batches after this seq wrote.
    pub(super) runs: Vec<Arc<Run>>,
    pub(super) after: u64,
    pub(super) state_loss: Option<StateLoss>,
}

impl Plan {
    pub(super) fn of(
        dir: &Directory,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Self, StorageError> {
        let survey = Survey::at(dir)?;
        let (mut gaps, mut reader) = (Vec::new(), RecordReader::default());
        // Once to look, and once more to copy.
        let total = 2 * survey.log_bytes();
        let ends = survey::follow(dir, &survey, &mut |piece| {
            match piece {
                Piece::Gap(gap) => gaps.push(gap),
                Piece::Batch(batch) => {
                    gaps.extend(batch.decode(&mut reader).err());
                    progress(Progress { done: batch.done, total });
                }
            }
            Ok(())
        })?;
        let ranges: Vec<_> =
            gaps.iter().filter_map(|gap| lost::inclusive(&gap.positions)).collect();
        let mut plan = Self {
            survey,
            gaps,
            state_gaps: Vec::new(),
            first: ends.first.position,
            end: ends.end.position,
            lost: lost::merge(&ranges),
            runs: Vec::new(),
            after: 0,
            state_loss: None,
        };
        plan.state(dir, ends.first.seq)?;
        Ok(plan)
    }

    /// Everything that is wrong with the source.
    pub(super) fn problems(&self) -> Vec<Problem> {
        let gaps = self.survey.faults.iter().chain(&self.gaps).chain(&self.state_gaps);
        gaps.cloned().map(Problem::of).collect()
    }

    /// Decides where the state comes from.
    fn state(&mut self, dir: &Directory, first_seq: u64) -> Result<(), StorageError> {
        let entries = self.run_entries(dir)?;
        for entry in entries.iter().rev() {
            let path = dir.run(entry.id);
            match Run::open(&*dir.disk, path.clone(), &self.survey.store, *entry) {
                Ok(run) => {
                    let gaps = &mut self.state_gaps;
                    state::inspect(&run, &mut |block| {
                        let fault = block.fault.map(|reason| Gap::of_file(&path, reason));
                        gaps.extend(fault.map(|fault| fault.at(block.bytes)));
                    });
                    self.runs.push(Arc::new(run));
                }
                Err(error) => self.state_gaps.push(Gap::of_run(&path, &error)),
            }
        }
        let manifest = self.survey.manifest.as_ref();
        let covered = manifest.map_or(0, |manifest| manifest.state_seq);
        if manifest.is_some() && self.state_gaps.is_empty() {
            self.after = covered;
            let commits = self.lost_commits(covered);
            self.state_loss = (commits > 0).then(|| StateLoss { commits, ..StateLoss::default() });
            return Ok(());
        }
        let commits = self.lost_commits(0);
        let is_complete = !self.survey.parts.iter().any(|part| part.is_rewritten);
        if first_seq == 1 && commits == 0 && is_complete {
            self.runs.clear(); // the log has it all
            return Ok(());
        }
        let mut files: Vec<PathBuf> = self.state_gaps.iter().map(|gap| gap.file.clone()).collect();
        files.dedup();
        files.extend(self.survey.manifest.is_none().then(|| dir.manifest.clone()));
        self.state_loss = Some(StateLoss { files, commits });
        Ok(())
    }

    /// The files of the state, newest first: those that the manifest names, or that are there.
    fn run_entries(&self, dir: &Directory) -> Result<Vec<RunEntry>, StorageError> {
        if let Some(manifest) = &self.survey.manifest {
            return Ok(manifest.runs.clone());
        }
        let mut entries = Vec::new();
        for id in survey::run_ids(dir)? {
            entries.extend(state::entry_of(dir, id));
        }
        Ok(entries)
    }

    /// How many commits after a seq are lost.
    fn lost_commits(&self, after: u64) -> u64 {
        let lost = self.gaps.iter().filter(|gap| gap.acknowledged);
        lost.map(|gap| gap.seqs.end.saturating_sub(gap.seqs.start.max(after.saturating_add(1))))
            .sum()
    }
}
