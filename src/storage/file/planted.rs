//! Mistakes that tests plant, to see that they would find them.

/// A mistake in the protocol of the log. Tests that do not find it are not worth much.
#[cfg_attr(not(any(test, feature = "testing")), allow(dead_code, unreachable_pub))]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mistake {
    /// A synced commit is acknowledged before it is synced.
    AcknowledgeUnsynced,
    /// A batch claims that it is durable itself.
    ClaimTooMuch,
    /// A failed sync is forgotten.
    ForgetFailedSync,
    /// A failed write is forgotten.
    ForgetFailedWrite,
    /// The segment before is not synced when the next one begins.
    RollUnsynced,
    /// A new segment's header is not synced.
    HeaderUnsynced,
    /// A new segment's name is not synced.
    SegmentNameUnsynced,
    /// The manifest names a segment before there is one.
    ManifestBeforeSegment,
    /// The manifest's bytes are not synced before it is renamed.
    ManifestUnsynced,
    /// The manifest's name is not synced.
    ManifestNameUnsynced,
    /// A segment begins without the manifest knowing.
    ManifestForgotten,
    /// Commits go on after a torn tail, in the same segment.
    AppendAfterDebris,
    /// What no batch proves to be durable is exposed without being written again.
    ExposeUnproven,
    /// A batch counts as whole if its header is.
    TrustHeaders,
    /// A batch counts as the next one whatever its number is.
    IgnoreOrder,
    /// Damage counts as debris even where it was durable.
    AlwaysDebris,
    /// A run of the state is not synced.
    RunUnsynced,
    /// A run's name is not synced.
    RunNameUnsynced,
    /// A run contains the writes of batches that are not durable.
    RunAheadOfLog,
    /// A checkpoint claims the writes that came while it was made.
    CheckpointTooMuch,
    /// Removals are forgotten in a merge.
    ForgetRemovals,
    /// Runs are removed before the manifest stops naming them.
    RemoveRunsFirst,
    /// Segments are removed before the manifest stops naming them.
    RemoveSegmentsFirst,
    /// Files are removed because of a manifest that a power loss could take back.
    RemoveTooSoon,
    /// The clean mark is written, and nothing was synced.
    CloseUnsynced,
    /// A store that was not closed is marked as closed.
    CloseInAdvance,
    /// A watermark claims commits that are not synced.
    WatermarkTooHigh,
    /// A recycled segment is used as it is.
    RecycleUnzeroed,
    /// Segments are dropped with writes that no file of the state contains.
    TrimUncovered,
    /// A segment that was written anew is not synced.
    RewriteUnsynced,
    /// The name of a segment that was written anew is not synced.
    RewriteNameUnsynced,
    /// The file of a segment is removed before the manifest names the one that was written anew.
    RemoveOriginalFirst,
    /// Events are dropped because of ones that are not durable.
    CompactAheadOfLog,
}

/// The mistake that was planted, if any.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Planted {
    #[cfg(any(test, feature = "testing"))]
    pub(super) mistake: Option<Mistake>,
}

impl Planted {
    #[cfg(any(test, feature = "testing"))]
    pub(super) fn is(self, mistake: Mistake) -> bool {
        self.mistake == Some(mistake)
    }

    #[cfg(not(any(test, feature = "testing")))]
    #[allow(clippy::unused_self)] // the same call in both builds
    pub(super) const fn is(self, _mistake: Mistake) -> bool {
        false
    }
}
