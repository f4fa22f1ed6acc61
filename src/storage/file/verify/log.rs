//! Verifying the log: every batch, every record, every write.

use super::{Problem, Verification};
use crate::storage::{
    StorageError,
    file::{
        body::RecordReader,
        directory::Directory,
        position,
        survey::{self, Piece, Survey},
    },
};

impl Verification {
    pub(super) fn log(
        &mut self,
        dir: &Directory,
        survey: &Survey,
        progress: &mut dyn FnMut(u64),
    ) -> Result<(), StorageError> {
        let mut reader = RecordReader::default();
        let end = survey::follow(dir, survey, &mut |piece| {
            match piece {
                Piece::Gap(gap) => self.problems.push(Problem::of(gap)),
                Piece::Batch(batch) => {
                    self.commits += u64::from(batch.header.body > 0);
                    self.records += u64::from(batch.header.records);
                    self.problems.extend(batch.decode(&mut reader).err().map(Problem::of));
                    progress(batch.done);
                }
            }
            Ok(())
        })?;
        self.first = position(end.first.position);
        self.end = position(end.end.position);
        Ok(())
    }
}
