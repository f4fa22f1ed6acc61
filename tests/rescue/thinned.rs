//! Stores that were trimmed and compacted: what is gone on purpose is no damage.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use tidings::{
    Key, Position,
    storage::{
        Compaction, Storage, Trim, Upkeep, Write,
        file::{LOST_NAME, SalvageError, Verdict, lost_positions},
    },
    testing::MemoryDisk,
};

use crate::sample::{Sample, batches, commit, dump, open, range, reader, record, runs, segments};

/// Forty keys over and over again, then compacted, with more after that.
fn compacted() -> Sample {
    let disk = MemoryDisk::new();
    let storage = open(&disk, "/store");
    let keyed = |number: u64| {
        let mut commit = commit(number);
        let envelope = Arc::get_mut(&mut commit.records[0].envelope).unwrap();
        envelope.key = Some(Key::new(&format!("{}", number % 7)));
        commit
    };
    for number in 1..=100 {
        storage.commit(keyed(number)).unwrap();
        while storage.wants_upkeep() {
            storage.upkeep().unwrap();
        }
    }
    let compaction = Compaction::new(vec!["numbers.counted".into()], Position::LAST);
    assert!(storage.compact(&compaction).unwrap() > 50);
    for number in 101..=110 {
        storage.commit(keyed(number)).unwrap();
    }
    while storage.upkeep().unwrap() == Upkeep::More {}
    storage.close().unwrap();
    disk.kill();
    Sample { disk, count: 110 }
}

/// Five thousand records of one key in a commit, and one more in the next segment.
fn thousands(is_compacted: bool) -> Sample {
    let disk = MemoryDisk::new();
    let storage = open(&disk, "/store");
    for numbers in [1..=5000, 5001..=5001] {
        let mut whole = commit(*numbers.start());
        whole.records = numbers.map(record).collect();
        for record in &mut whole.records {
            Arc::get_mut(&mut record.envelope).unwrap().key = Some(Key::new("one"));
        }
        storage.commit(whole).unwrap();
    }
    if is_compacted {
        let compaction = Compaction::new(vec!["numbers.counted".into()], Position::LAST);
        assert_eq!(storage.compact(&compaction).unwrap(), 5000);
    }
    storage.close().unwrap();
    disk.kill();
    Sample { disk, count: 5001 }
}

#[test]
fn thousands_of_records_that_are_gone_keep_their_positions() {
    let compacted = thousands(true);
    compacted.salvage().run(|_| ()).unwrap();
    let whole = thousands(false);
    let path = &segments(&whole.disk)[0];
    let damaged = whole.change(path, |bytes| bytes[300] ^= 1);
    assert_eq!(damaged.salvage_all().lost, [range(1, 5000)]);
    for (disk, name) in [(&compacted.disk, "tidings.compacted"), (&damaged.disk, LOST_NAME)] {
        let found = dump(&reader(disk, "/rescued"));
        let (last, gone) = found.split_last().unwrap();
        assert_eq!(*last, (5001, "numbers.counted".to_owned(), record(5001).payload));
        let expected: Vec<_> = (1..=5000).map(|at| (at, name.to_owned(), Vec::new())).collect();
        assert!(gone == expected, "{name}");
    }
}

/// A rewritten segment, and not the first one.
fn rewritten(sample: &Sample) -> PathBuf {
    let mut files = segments(&sample.disk).into_iter().skip(1);
    files.find(|path| path.to_str().unwrap().ends_with("-1.log")).unwrap()
}

/// Commits of ten records, of which every third is in the way of a newer one.
fn thinned_out() -> Sample {
    let disk = MemoryDisk::new();
    let storage = open(&disk, "/store");
    for tens in 0..11 {
        let mut whole = commit(10 * tens + 1);
        whole.records = (10 * tens + 1..=10 * tens + 10).map(record).collect();
        for (at, record) in whole.records.iter_mut().enumerate() {
            let is_old = at % 3 == 1 && tens < 10;
            let key = if is_old { "old".into() } else { format!("{tens}-{at}") };
            Arc::get_mut(&mut record.envelope).unwrap().key = Some(Key::new(&key));
        }
        storage.commit(whole).unwrap();
        while storage.wants_upkeep() {
            storage.upkeep().unwrap();
        }
    }
    let compaction = Compaction::new(vec!["numbers.counted".into()], Position::LAST);
    assert!(storage.compact(&compaction).unwrap() > 20);
    storage.close().unwrap();
    disk.kill();
    Sample { disk, count: 110 }
}

#[test]
fn what_was_compacted_is_clean_and_rescued_as_it_is() {
    for sample in [compacted(), thinned_out()] {
        is_rescued_as_it_is(&sample);
    }
}

fn is_rescued_as_it_is(sample: &Sample) {
    let found = sample.verify();
    assert_eq!((found.verdict, &found.problems), (Verdict::Clean, &Vec::new()));
    assert_eq!((found.unknown, found.end.get()), (Vec::new(), 111));
    let before = dump(&reader(&sample.disk, "/store"));
    assert!(before.len() < 90);
    sample.salvage().run(|_| ()).unwrap();
    let rescued = reader(&sample.disk, "/rescued");
    let mut after = dump(&rescued);
    after.retain(|(_, name, _)| name != "tidings.compacted");
    assert_eq!(before, after);
    assert_eq!(lost_positions(&rescued).unwrap(), []);
}

#[test]
fn damage_to_a_rewritten_segment_is_found_and_costs_what_it_held() {
    let sample = compacted();
    let path = rewritten(&sample);
    let bytes = sample.disk.contents(&path).unwrap();
    for at in 0..batches(&bytes).last().unwrap().1 {
        let damaged = sample.change(&path, |bytes| bytes[at] ^= 1 << (at % 8));
        let found = damaged.verify();
        assert_eq!((found.verdict, found.problems.len()), (Verdict::Corrupt, 1), "at {at}");
        assert_eq!(found.problems[0].file, path);
        assert_eq!(found.end.get(), 111);
    }
    let (start, _, first) = batches(&bytes)[0];
    let damaged = sample.change(&path, |bytes| bytes[start + 1] ^= 1);
    let done = damaged.salvage_all();
    assert_eq!((done.lost.len(), done.state_loss, done.end.get()), (1, None, 111));
    assert_eq!(done.lost[0].start().get(), first);
}

#[test]
fn what_is_missing_at_the_end_of_a_rewritten_segment_is_lost() {
    let sample = compacted();
    let path = rewritten(&sample);
    let held = batches(&sample.disk.contents(&path).unwrap());
    let (start, _, first) = *held.last().unwrap();
    let found = sample.change(&path, |bytes| bytes.truncate(start)).verify();
    let lost: Vec<_> = found.losses().filter_map(|loss| loss.positions.clone()).collect();
    assert_eq!((lost.len(), found.end.get()), (1, 111), "{:?}", found.problems);
    assert_eq!(lost[0].start().get(), first);
}

#[test]
fn the_other_form_of_a_rewritten_segment_is_no_stranger() {
    let sample = compacted();
    let path = rewritten(&sample);
    let form = |path: &Path, suffix: &str| {
        let name = path.file_stem().unwrap().to_str().unwrap();
        path.with_file_name(format!("{}{suffix}.log", &name[..20]))
    };
    let bytes = sample.disk.contents(&path).unwrap();
    let active = segments(&sample.disk).pop().unwrap();
    for path in [form(&path, ""), form(&path, "-2"), form(&active, "-1")] {
        sample.disk.set_contents(path, bytes.clone());
    }
    let found = sample.verify();
    assert_eq!((found.verdict, found.unknown), (Verdict::Clean, vec![form(&active, "-1")]));
}

#[test]
fn damage_to_a_header_in_a_rewritten_segment_costs_its_batch_alone() {
    let sample = thousands(true);
    let path = &segments(&sample.disk)[0];
    let held = batches(&sample.disk.contents(path).unwrap());
    assert_eq!(held.iter().map(|batch| batch.2).collect::<Vec<_>>(), [1, 4097]);
    let damaged = sample.change(path, |bytes| bytes[held[0].0 + 1] ^= 1);
    assert_eq!(damaged.salvage_all().lost, [range(1, 4096)]);
}

#[test]
fn the_state_cannot_be_had_from_a_compacted_log() {
    let sample = compacted();
    let run = &runs(&sample.disk)[0];
    let damaged = sample.change(run, |bytes| bytes[60] ^= 1);
    let refused = damaged.salvage().run(|_| ());
    let Err(SalvageError::Unaccepted { state: Some(state), lost, .. }) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!((state.files, lost), (vec![run.clone()], Vec::new()));
}

#[test]
fn without_a_manifest_a_rewritten_segment_is_still_one() {
    let sample = compacted().without("/store/MANIFEST".as_ref());
    let found = sample.verify();
    assert_eq!((found.problems.len(), found.end.get()), (1, 111), "{:?}", found.problems);
    let done = sample.salvage_all();
    assert!(done.lost.is_empty() && done.state_loss.is_some());
}

#[test]
fn what_was_trimmed_is_not_missing() {
    let sample = Sample::new(false);
    let storage = open(&sample.disk, "/store");
    let first = storage.trim(&Trim::before(Position::LAST)).unwrap();
    assert!(first > Position::FIRST);
    storage.close().unwrap();
    sample.disk.kill();
    let found = sample.verify();
    assert_eq!((found.verdict, found.first), (Verdict::Clean, first), "{:?}", found.problems);
    let before = dump(&reader(&sample.disk, "/store"));
    let done = sample.salvage().run(|_| ()).unwrap();
    assert_eq!(done.first, first);
    assert_eq!(dump(&reader(&sample.disk, "/rescued")), before);
    let rescued = open(&sample.disk, "/rescued");
    assert_eq!((rescued.first(), rescued.end().get()), (first, sample.count + 1));
    assert_eq!(rescued.get(b"last").unwrap().unwrap(), sample.count.to_string().as_bytes());
    rescued.close().unwrap();
    sample.disk.kill();

    // And what is damaged beside is lost as ever.
    let path = segments(&sample.disk).remove(0);
    let (start, _, at) = batches(&sample.disk.contents(&path).unwrap())[0];
    let damaged = sample.change(&path, |bytes| bytes[start] ^= 1);
    let found = damaged.verify();
    assert_eq!(found.problems[0].positions, Some(range(at, at)));
}

#[test]
fn what_only_files_of_the_state_have_is_rescued_without_a_manifest_too() {
    let disk = MemoryDisk::new();
    let storage = open(&disk, "/store");
    let mut early = commit(1);
    early.writes.push(Write::put("early", "bird"));
    storage.commit(early).unwrap();
    for number in 2..=60 {
        storage.commit(commit(number)).unwrap();
    }
    assert!(storage.trim(&Trim::before(Position::LAST)).unwrap() > Position::FIRST);
    storage.close().unwrap();
    disk.kill();
    disk.lose("/store/MANIFEST");
    let sample = Sample { disk, count: 60 };
    sample.salvage_all();
    let rescued = reader(&sample.disk, "/rescued");
    assert_eq!(rescued.get(b"early").unwrap().unwrap(), b"bird");
    assert_eq!(rescued.get(b"last").unwrap().unwrap(), b"60");
}

#[test]
fn a_file_that_was_dropped_and_is_still_there_is_no_stranger() {
    let sample = Sample::new(false);
    let old = segments(&sample.disk).remove(0);
    let bytes = sample.disk.contents(&old).unwrap();
    let storage = open(&sample.disk, "/store");
    let first = storage.trim(&Trim::before(Position::LAST)).unwrap();
    storage.close().unwrap();
    sample.disk.kill();
    let stranger = PathBuf::from("/store/segments/00000000000000000099.log");
    sample.disk.set_contents(old, bytes);
    sample.disk.set_contents(&stranger, "something");
    let found = sample.verify();
    assert_eq!((found.verdict, found.first), (Verdict::Clean, first), "{:?}", found.problems);
    assert_eq!(found.unknown, [stranger]);
}
