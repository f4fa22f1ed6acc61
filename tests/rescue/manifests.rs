//! Stores whose manifest is missing, or says less than the log.

use std::path::{Path, PathBuf};

use tidings::{
    storage::{Storage, file::Verdict},
    testing::MemoryDisk,
};

use crate::{
    salvaging::{check, last_of},
    sample::{Sample, batches, commit, open, range, segments},
};

#[test]
fn a_missing_manifest_is_made_up_for() {
    let sample = Sample::new(true);
    let without = sample.without(Path::new("/store/MANIFEST"));
    let done = without.salvage().run(|_| ()).unwrap();
    assert_eq!((done.records, done.state_loss), (sample.count, None));
    assert_eq!(last_of(&without).unwrap(), sample.count.to_string().as_bytes());
    check(&without, &[]);
}

/// A store that was opened anew for every few commits.
fn often_opened() -> Sample {
    let (disk, count) = (MemoryDisk::new(), 60);
    for number in 1..=count {
        let storage = open(&disk, "/store");
        storage.commit(commit(number)).unwrap();
        if number % 5 == 0 {
            storage.close().unwrap();
        }
        disk.kill();
    }
    Sample { disk, count }
}

#[test]
fn without_a_manifest_a_damaged_header_is_made_up_for_and_strangers_are_left_out() {
    let foreign = MemoryDisk::new();
    foreign.set_contents("/elsewhere", ""); // other random numbers from here on
    open(&foreign, "/store").commit(commit(1)).unwrap();
    let theirs = foreign.contents(&segments(&foreign)[0]).unwrap();
    let file = |id: u64| PathBuf::from(format!("/store/segments/{id:020}.log"));
    for sample in [Sample::new(true), often_opened()] {
        for path in segments(&sample.disk) {
            let damaged = sample.without(Path::new("/store/MANIFEST"));
            let damaged = damaged.change(&path, |bytes| bytes[20] ^= 1);
            damaged.disk.set_contents(file(97), sample.disk.contents(&path).unwrap());
            damaged.disk.set_contents(file(98), theirs.clone());
            damaged.disk.set_contents(file(99), [0; 2048]);
            let found = damaged.verify();
            assert_eq!(found.problems.len(), 2, "{:?}", found.problems);
            assert_eq!(found.unknown, [file(97), file(98)]);
            let done = damaged.salvage().run(|_| ()).unwrap();
            assert_eq!((done.records, done.end.get()), (sample.count, sample.count + 1));
            check(&damaged, &[]);
        }
    }
}

#[test]
fn without_a_manifest_the_end_of_a_missing_segment_is_not_taken_for_that_of_the_one_before() {
    let disk = MemoryDisk::new();
    let storage = open(&disk, "/store");
    let mut count = 0;
    while segments(&disk).len() < 2 {
        count += 1;
        storage.commit(commit(count)).unwrap();
    }
    let mut large = commit(count + 1);
    large.records[0].payload = vec![b' '; 1900];
    storage.commit(large).unwrap();
    let files = segments(&disk);
    assert_eq!(files.len(), 3, "the second one has but one commit");
    let sample = Sample { disk, count: count + 1 }.without(Path::new("/store/MANIFEST"));
    let found = sample.without(&files[1]).verify();
    let lost: Vec<_> = found.losses().filter_map(|loss| loss.positions.clone()).collect();
    assert_eq!(lost, [range(count, count)]);
}

#[test]
fn without_a_manifest_a_missing_segment_is_told_and_what_follows_the_end_of_another_is_nothing() {
    let sample = Sample::new(true).without(Path::new("/store/MANIFEST"));
    let files = segments(&sample.disk);
    let found = sample.without(&files[1]).verify();
    assert_eq!(found.problems[1].file, files[1]);
    let held = batches(&sample.disk.contents(&files[1]).unwrap());
    let lost: Vec<_> = found.losses().filter_map(|loss| loss.positions.clone()).collect();
    assert_eq!(lost, [range(held[0].2, held.last().unwrap().2)]);

    let end = batches(&sample.disk.contents(&files[0]).unwrap()).last().unwrap().1;
    let found = sample.change(&files[0], |bytes| bytes[end..].fill(0x55)).verify();
    assert_eq!((found.problems.len(), found.records), (1, sample.count), "{:?}", found.problems);
}

#[test]
fn an_old_manifest_hides_nothing() {
    let disk = MemoryDisk::new();
    let storage = open(&disk, "/store");
    storage.commit(commit(1)).unwrap();
    let old = disk.contents("/store/MANIFEST").unwrap();
    let count = 40;
    for number in 2..=count {
        storage.commit(commit(number)).unwrap();
    }
    disk.kill();
    disk.set_contents("/store/MANIFEST", old);
    let sample = Sample { disk, count };
    assert_eq!(sample.verify().verdict, Verdict::Corrupt);
    assert_eq!(sample.salvage().run(|_| ()).unwrap().records, count);
    check(&sample, &[]);
}

#[test]
fn a_log_that_goes_on_after_it_was_closed_is_told() {
    let sample = Sample::new(true);
    let closed = sample.disk.contents("/store/MANIFEST").unwrap();
    open(&sample.disk, "/store").commit(commit(sample.count + 1)).unwrap();
    sample.disk.kill();
    sample.disk.set_contents("/store/MANIFEST", closed);
    let found = sample.verify();
    assert_eq!(found.problems[0].reason, "the log does not end where it was closed");
    assert_eq!((found.verdict, found.records), (Verdict::Corrupt, sample.count + 1));
}
