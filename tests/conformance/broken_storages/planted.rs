//! Mistakes planted into the file storage itself.

use tidings::{
    storage::{FileStorage, StorageError, file::Mistake},
    testing::{
        MemoryDisk,
        conformance::{self, STORAGE_CHECKS, StorageFaults, StorageFixture},
    },
};

use crate::is_found;

struct Planted(MemoryDisk, Mistake);

impl StorageFixture for Planted {
    type Storage = FileStorage;

    fn open(&self) -> Result<FileStorage, StorageError> {
        let builder = FileStorage::builder("/store").disk(self.0.clone()).segment_bytes(0);
        builder.plant(self.1).open()
    }

    fn persistent(&self) -> bool {
        true
    }

    fn faults(&self) -> Option<&dyn StorageFaults> {
        Some(&self.0)
    }
}

#[track_caller]
fn finds(mistake: Mistake, check: &str) {
    let fresh = || Planted(MemoryDisk::new(), mistake);
    let run = |check: &str| conformance::storage_check(check, fresh);
    is_found(&format!("{mistake:?}"), check, STORAGE_CHECKS, run);
}

lies! {
    a_commit_that_is_acknowledged_unsynced: Mistake::AcknowledgeUnsynced, a_synced_commit_survives_a_power_loss;
    a_failed_write_that_is_forgotten: Mistake::ForgetFailedWrite, what_comes_after_a_failed_write_is_not_acknowledged_and_lost;
    a_failed_sync_that_is_forgotten: Mistake::ForgetFailedSync, what_comes_after_a_failed_write_is_not_acknowledged_and_lost;
    a_segment_before_the_last_that_is_not_synced: Mistake::RollUnsynced, a_power_loss_leaves_whole_commits_in_order;
    a_batch_that_counts_as_whole_if_its_header_is: Mistake::TrustHeaders, a_power_loss_leaves_whole_commits_in_order;
    a_manifest_that_is_not_synced: Mistake::ManifestUnsynced, an_opening_that_fails_harms_nothing;
}
