//! What a disk is told to change, and the parts in which that reaches it.

use std::{
    ops::Range,
    path::{Path, PathBuf},
};

use super::image::Image;

/// One change, durable or not.
#[derive(Debug, Clone)]
pub(super) enum Change {
    /// Bytes written to a file; never none.
    Write { file: u64, offset: usize, bytes: Vec<u8> },
    /// The growth that a write brings with it.
    Grow { file: u64, from: usize, to: usize },
    /// A length that was asked for.
    Resize { file: u64, len: usize },
    /// A file gets a name (`to`), loses one (`from`), or both at once.
    Name { file: u64, from: Option<PathBuf>, to: Option<PathBuf> },
}

impl Change {
    /// Whether a sync of the file's data makes it durable.
    pub(super) fn is_data_of(&self, other: u64) -> bool {
        match self {
            Self::Write { file, .. } | Self::Grow { file, .. } | Self::Resize { file, .. } => {
                *file == other
            }
            Self::Name { .. } => false,
        }
    }

    /// The file that is renamed, and whether that happens in this directory.
    pub(super) fn naming(&self, dir: &Path) -> Option<(u64, bool)> {
        let Self::Name { file, from, to } = self else {
            return None;
        };
        let is_here = [from, to].into_iter().flatten().any(|path| path.parent() == Some(dir));
        Some((*file, is_here))
    }

    /// The parts that a power loss takes or leaves each on its own, as ranges of the bytes written:
    /// those between the multiples of `tear` in the file. What is no write is one part.
    pub(super) fn pieces(&self, tear: usize) -> impl Iterator<Item = Range<usize>> + use<> {
        let (start, len) = match self {
            Self::Write { offset, bytes, .. } => (*offset, bytes.len()),
            _ => (0, 0),
        };
        let end = start + len;
        (start / tear..=end.saturating_sub(1) / tear).map(move |sector| {
            let from = sector.saturating_mul(tear).max(start);
            let to = (sector + 1).saturating_mul(tear).min(end);
            from - start..to - start
        })
    }

    pub(super) fn apply(&self, image: &mut Image) {
        let whole = match self {
            Self::Write { bytes, .. } => 0..bytes.len(),
            _ => 0..0,
        };
        self.apply_piece(whole, image);
    }

    pub(super) fn apply_piece(&self, piece: Range<usize>, image: &mut Image) {
        match self {
            Self::Write { file, offset, bytes } => {
                let offset = offset + piece.start;
                image.put(*file, &bytes[piece], offset);
            }
            Self::Grow { file, to, .. } => image.grow(*file, *to),
            Self::Resize { file, len } => image.bytes_mut(*file).resize(*len, 0),
            Self::Name { file, to, .. } => {
                // Not only `from`: where an earlier rename was lost, the file is elsewhere.
                image.names.retain(|_, named| named != file);
                if let Some(to) = to {
                    image.names.insert(to.clone(), *file);
                }
            }
        }
    }
}
