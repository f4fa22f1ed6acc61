//! What chance leaves of changes that were not synced.

use std::{collections::BTreeMap, ops::Range};

use super::{change::Change, image::Image};
use crate::runtime::Random;

/// What becomes of the writes to one file.
#[derive(Debug, Clone, Copy)]
enum Luck {
    AllStay,
    /// Each write is kept, lost or torn.
    WritesTear,
    /// Each piece of each write is kept, lost or torn.
    PiecesTear,
    AllGo,
}

/// Decides for one change after the other.
#[derive(Debug)]
pub(super) struct Chance {
    random: Random,
    tear: usize,
    files: BTreeMap<u64, Luck>,
}

impl Chance {
    pub(super) fn new(seed: u64, tear: usize) -> Self {
        Self { random: Random::new(seed), tear, files: BTreeMap::new() }
    }

    pub(super) fn flip(&mut self) -> bool {
        self.random.below(2) == 0
    }

    /// Nothing, everything or something in between.
    pub(super) fn part(&mut self, whole: usize) -> usize {
        match self.random.below(3) {
            0 => 0,
            1 => whole,
            _ => usize::try_from(self.random.below(whole as u64 + 1)).unwrap_or(whole),
        }
    }

    /// Applies what is left of a change.
    pub(super) fn apply(&mut self, change: &Change, image: &mut Image) {
        match change {
            Change::Grow { file, from, to } => image.grow(*file, from + self.part(to - from)),
            Change::Write { file, bytes, .. } => {
                for piece in self.pieces(*file, bytes.len(), change) {
                    change.apply_piece(piece, image);
                }
            }
            Change::Resize { .. } | Change::Name { .. } if self.flip() => change.apply(image),
            Change::Resize { .. } | Change::Name { .. } => {}
        }
    }

    fn pieces(&mut self, file: u64, len: usize, change: &Change) -> Vec<Range<usize>> {
        let whole = 0..len;
        match self.luck(file) {
            Luck::AllStay => vec![whole],
            Luck::WritesTear => vec![self.torn(whole)],
            Luck::PiecesTear => change.pieces(self.tear).map(|piece| self.torn(piece)).collect(),
            Luck::AllGo => Vec::new(),
        }
    }

    fn luck(&mut self, file: u64) -> Luck {
        let luck = match self.random.below(4) {
            0 => Luck::AllStay,
            1 => Luck::WritesTear,
            2 => Luck::PiecesTear,
            _ => Luck::AllGo,
        };
        *self.files.entry(file).or_insert(luck)
    }

    fn torn(&mut self, piece: Range<usize>) -> Range<usize> {
        let cut = piece.start + self.part(piece.len());
        match self.random.below(4) {
            0 => piece,
            1 => piece.start..cut,
            2 => cut..piece.end,
            _ => cut..cut,
        }
    }
}
