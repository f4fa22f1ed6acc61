//! Rescuing what can be read of a damaged store into a new one.

mod copy;
mod error;
mod plan;
mod target;

use std::{
    fmt,
    ops::RangeInclusive,
    path::{Path, PathBuf},
    sync::Arc,
};

pub use error::SalvageError;
use plan::Plan;

use super::{
    Disk, LockError, Problem, Progress, RealDisk, directory::Directory, failure::doing, lost,
    planted::Planted,
};
use crate::{message::Position, storage::StorageError};

/// Rescues what can be read of a damaged store into a new directory.
///
/// Every record keeps its position. Where records are lost, others named
/// [`LOST_NAME`](super::LOST_NAME) take their place, and
/// [`lost_positions`](super::lost_positions) names them. The source is not changed, and nothing is
/// given up in silence: what is lost must be accepted by name.
///
/// ```no_run
/// use tidings::{Position, storage::file::Salvage};
///
/// # let position = |number| Position::new(number).unwrap_or(Position::FIRST);
/// let outcome = Salvage::new("data/shop", "data/rescued")
///     .accept_loss(position(4711)..=position(4803))
///     .run(|_| ())?;
/// println!("{} records", outcome.records);
/// # Ok::<(), tidings::storage::file::SalvageError>(())
/// ```
#[must_use = "nothing is rescued before `run`"]
pub struct Salvage {
    disk: Arc<dyn Disk>,
    from: PathBuf,
    to: PathBuf,
    accepted: Vec<RangeInclusive<Position>>,
    accepts_state_loss: bool,
}

/// What was rescued, and what was not.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Salvaged {
    /// Everything that was wrong with the source.
    pub problems: Vec<Problem>,
    /// The positions whose records were lost, in order.
    pub lost: Vec<RangeInclusive<Position>>,
    /// What the state may lack, where that was accepted.
    pub state_loss: Option<StateLoss>,
    /// The oldest position that was kept.
    pub first: Position,
    /// The position that the next record will get.
    pub end: Position,
    /// How many records were rescued.
    pub records: u64,
}

/// Why the state cannot be had as it was. Values may be missing, or older than they were.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct StateLoss {
    /// Files of the state that are damaged, while the log does not go back far enough to do without.
    /// The manifest is among them where it is what is damaged: it says which files count.
    pub files: Vec<PathBuf>,
    /// How many commits are lost that no file of the state contains.
    pub commits: u64,
}

impl Salvage {
    /// From one directory of the machine's file system into another, which is made.
    pub fn new(from: impl AsRef<Path>, to: impl AsRef<Path>) -> Self {
        Self {
            disk: Arc::new(RealDisk::new()),
            from: from.as_ref().to_owned(),
            to: to.as_ref().to_owned(),
            accepted: Vec::new(),
            accepts_state_loss: false,
        }
    }

    /// Both are on another disk.
    pub fn disk(mut self, disk: impl Disk) -> Self {
        self.disk = Arc::new(disk);
        self
    }

    /// Accepts that the records at these positions are lost. Together, what is accepted must be
    /// exactly what is lost.
    pub fn accept_loss(mut self, positions: RangeInclusive<Position>) -> Self {
        self.accepted.push(positions);
        self
    }

    /// Accepts that the state may lack values, or have older ones: cursors, dead letters, what
    /// handlers stored. Events may be handled again, and dead letters be gone.
    pub fn accept_state_loss(mut self) -> Self {
        self.accepts_state_loss = true;
        self
    }

    /// Reads all of the source, and then, if what is lost was accepted, writes all of it to the
    /// target. `progress` is told now and then how far it is. A target whose salvage did not end
    /// cannot be opened.
    ///
    /// # Errors
    /// [`SalvageError`]. The source is as it was; the target is only written to where everything
    /// was accepted.
    pub fn run(self, mut progress: impl FnMut(Progress)) -> Result<Salvaged, SalvageError> {
        let from = self.directory(&self.from)?;
        let to = self.directory(&self.to)?;
        if to.root.starts_with(&from.root) {
            return Err(SalvageError::Inside { path: to.root });
        }
        target::check_empty(&to)?;
        let _lock = self.disk.hold(&from.lock).map_err(|error| match error {
            LockError::Io(error) => doing("locking", &from.lock)(error),
            LockError::Held(holder) => StorageError::InUse { path: from.root.clone(), holder },
        })?;
        let plan = Plan::of(&from, &mut progress)?;
        self.check_accepted(&plan)?;
        copy::copy(&from, &to, &plan, &mut progress)
    }

    fn directory(&self, path: &Path) -> Result<Directory, StorageError> {
        let root = self.disk.absolute(path).map_err(doing("finding", path))?;
        Ok(Directory::new(Arc::clone(&self.disk), &root, Planted::default()))
    }

    fn check_accepted(&self, plan: &Plan) -> Result<(), SalvageError> {
        let is_accepted = lost::merge(&self.accepted) == plan.lost
            && (self.accepts_state_loss || plan.state_loss.is_none());
        if is_accepted {
            return Ok(());
        }
        Err(SalvageError::Unaccepted {
            lost: plan.lost.clone(),
            accepted: lost::merge(&self.accepted),
            state: plan.state_loss.clone(),
            problems: plan.problems(),
        })
    }
}

impl fmt::Debug for Salvage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Salvage")
            .field("from", &self.from)
            .field("to", &self.to)
            .field("accepted", &self.accepted)
            .field("accepts_state_loss", &self.accepts_state_loss)
            .finish_non_exhaustive()
    }
}
