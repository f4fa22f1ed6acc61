//! What an acknowledged publish survives.

/// What an acknowledged publish survives. Named for what is kept, not for how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[non_exhaustive]
pub enum Durability {
    /// The process may crash: the operating system has the bytes.
    Buffered,
    /// The power may fail: the disk has the bytes. The default.
    #[default]
    Synced,
}
