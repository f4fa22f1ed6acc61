//! What can be rescued, and on which terms.

use proptest::prelude::*;
use tidings::{
    storage::{
        Commit, FileStorage, Storage, Write,
        file::{LOST_NAME, Salvage, SalvageError, Verdict, lost_positions, verify_on},
    },
    testing::MemoryDisk,
};

use crate::sample::{
    Sample, batches, commit, dump, open, position, range, reader, record, runs, segments,
};

/// The rescued store has every record of the source at its place but for the lost ones, can be
/// opened, and goes on.
pub(crate) fn check(sample: &Sample, lost: &[(u64, u64)]) {
    let found = verify_on(sample.disk.clone(), "/rescued", |_| ()).unwrap();
    assert_eq!(found.verdict, Verdict::Clean, "{:?}", found.problems);
    let storage = open(&sample.disk, "/rescued");
    let is_lost = |at: u64| lost.iter().any(|(first, last)| (*first..=*last).contains(&at));
    let all = dump(&storage);
    assert!(all.len() as u64 >= sample.count);
    for (at, name, payload) in all {
        if is_lost(at) {
            assert_eq!((&*name, payload.len()), (LOST_NAME, 0), "at {at}");
        } else {
            assert_eq!((&*name, payload), ("numbers.counted", record(at).payload), "at {at}");
        }
    }
    let named: Vec<_> = lost.iter().map(|(first, last)| range(*first, *last)).collect();
    assert_eq!(lost_positions(&storage).unwrap(), named);
    let end = storage.end();
    assert_eq!(storage.commit(commit(7)).unwrap(), end);
    storage.close().unwrap();
}

pub(crate) fn last_of(sample: &Sample) -> Option<Vec<u8>> {
    reader(&sample.disk, "/rescued").get(b"last").unwrap()
}

#[test]
fn what_is_whole_is_copied() {
    for closed in [false, true] {
        let sample = Sample::new(closed);
        let before = sample.image();
        let done = sample.salvage().run(|_| ()).unwrap();
        assert_eq!((done.records, done.problems.len()), (sample.count, 0));
        assert_eq!(sample.image(), before);
        assert_eq!(last_of(&sample).unwrap(), sample.count.to_string().as_bytes());
        check(&sample, &[]);
    }
}

#[test]
fn progress_goes_through_the_log_twice() {
    let sample = Sample::new(true);
    let mut told = Vec::new();
    sample.salvage().run(|it| told.push((it.done, it.total))).unwrap();
    let log: usize =
        segments(&sample.disk).iter().map(|path| sample.disk.contents(path).unwrap().len()).sum();
    let (half, total) = (log as u64, 2 * log as u64);
    let again = sample.ends().map(|done| half + done);
    let expected: Vec<_> = sample.ends().chain(again).map(|done| (done, total)).collect();
    assert_eq!(told, expected);
}

#[test]
fn a_damaged_middle_segment_costs_what_it_held_and_no_more() {
    let sample = Sample::new(true);
    let path = &segments(&sample.disk)[1];
    let held = batches(&sample.disk.contents(path).unwrap());
    let (from, to) = (held[2], held[4]);
    let damaged = sample.change(path, |bytes| bytes[from.0..to.1].fill(0x55));
    let before = damaged.image();
    let range = range(from.2, to.2);
    for wrong in
        [None, Some(position(from.2)..=position(to.2 - 1)), Some(position(1)..=*range.end())]
    {
        let salvage = wrong.into_iter().fold(damaged.salvage(), Salvage::accept_loss);
        let Err(SalvageError::Unaccepted { lost, state: None, .. }) = salvage.run(|_| ()) else {
            panic!("it was not accepted");
        };
        assert_eq!(lost, std::slice::from_ref(&range));
        assert!(!damaged.disk.files().iter().any(|file| file.starts_with("/rescued")));
    }
    let done = damaged.salvage().accept_loss(range.clone()).run(|_| ()).unwrap();
    assert_eq!((done.lost, done.state_loss), (vec![range], None));
    assert_eq!(done.records, sample.count - 3);
    assert_eq!(damaged.image(), before);
    assert_eq!(last_of(&damaged).unwrap(), sample.count.to_string().as_bytes());
    check(&damaged, &[(from.2, to.2)]);
}

#[test]
fn a_missing_segment_and_a_damaged_header_are_told_apart() {
    let sample = Sample::new(true);
    let path = &segments(&sample.disk)[1];
    let held = batches(&sample.disk.contents(path).unwrap());
    let without = sample.without(path);
    let lost = (held[0].2, held.last().unwrap().2);
    assert_eq!(without.salvage_all().lost, [range(lost.0, lost.1)]);
    check(&without, &[lost]);
    for path in segments(&sample.disk) {
        let damaged = sample.change(&path, |bytes| bytes[20] ^= 1);
        let done = damaged.salvage().run(|_| ()).unwrap();
        assert_eq!((done.records, done.problems.len()), (sample.count, 1));
        check(&damaged, &[]);
    }
}

#[test]
fn a_damaged_state_is_rebuilt_from_a_whole_log_and_not_otherwise() {
    let sample = Sample::new(true);
    let run = &runs(&sample.disk)[0];
    let damaged = sample.change(run, |bytes| bytes[60] ^= 1);
    let done = damaged.salvage().run(|_| ()).unwrap();
    assert_eq!((done.state_loss, done.problems.len()), (None, 1));
    let storage = reader(&damaged.disk, "/rescued");
    assert_eq!(storage.scan(b"key", None, 100).unwrap().len(), 10);
    drop(storage);
    check(&damaged, &[]);

    let path = &segments(&sample.disk)[0];
    let (start, _, at) = batches(&sample.disk.contents(path).unwrap())[3];
    let both = sample.change(run, |bytes| bytes[60] ^= 1).change(path, |bytes| bytes[start] ^= 1);
    let refused = both.salvage().accept_loss(range(at, at)).run(|_| ());
    let Err(SalvageError::Unaccepted { state: Some(state), .. }) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!((&state.files, state.commits), (&vec![run.clone()], 1));
    let text = "the state lacks what 1 of its files held and 1 commits wrote to it";
    assert_eq!(state.to_string(), text);
    assert_eq!(both.salvage_all().state_loss, Some(state));
    check(&both, &[(at, at)]);
}

#[test]
fn lost_writes_are_no_secret() {
    let sample = Sample::new(true);
    let before_close = Sample::new(false);
    let path = segments(&before_close.disk).pop().unwrap();
    let (start, _, at) = batches(&before_close.disk.contents(&path).unwrap())[0];
    let damaged = before_close.change(&path, |bytes| bytes[start + 60] ^= 1);
    let refused = damaged.salvage().accept_loss(range(at, at)).run(|_| ());
    let text = format!(
        "what is lost is not what was accepted: the records at {at}..={at}; the state lacks what 1 \
         commits wrote to it"
    );
    assert_eq!(refused.as_ref().unwrap_err().to_string(), text);
    let Err(SalvageError::Unaccepted { state: Some(state), .. }) = refused else {
        panic!("no file of the state contains what the commit wrote: {refused:?}");
    };
    assert_eq!((state.files.len(), state.commits), (0, 1));
    // Closing has written all of it to a file.
    let damaged = sample.change(&path, |bytes| bytes[start + 60] ^= 1);
    damaged.salvage().accept_loss(range(at, at)).run(|_| ()).unwrap();
}

#[test]
fn a_commit_without_records_is_missed_as_well() {
    let disk = MemoryDisk::new();
    let storage = open(&disk, "/store");
    let large = |number: u64| Commit {
        writes: vec![Write::put(number.to_string(), vec![7; 800])],
        ..Commit::default()
    };
    for number in 1..=5 {
        storage.commit(large(number)).unwrap();
    }
    storage.commit(commit(1)).unwrap();
    disk.kill();
    let sample = Sample { disk, count: 1 };
    let path = &segments(&sample.disk)[0];
    let (start, ..) = *batches(&sample.disk.contents(path).unwrap()).last().unwrap();
    let cut = sample.change(path, |bytes| bytes[start..].fill(0));
    let [ref loss] = *cut.verify().problems else { panic!("{:?}", cut.verify().problems) };
    assert_eq!((&loss.file, loss.bytes.start), (path, start as u64));
    assert_eq!((&loss.positions, loss.commits, loss.acknowledged), (&None, 1, true));
    assert_eq!(cut.salvage_all().state_loss.unwrap().commits, 1);
}

#[test]
fn no_position_is_given_out_twice_when_the_end_is_lost() {
    let sample = Sample::new(true);
    let path = segments(&sample.disk).pop().unwrap();
    let held = batches(&sample.disk.contents(&path).unwrap());
    let last = held.iter().rev().find(|batch| batch.1 - batch.0 > 48).unwrap();
    let damaged = sample.change(&path, |bytes| bytes[last.0..].fill(0));
    let done = damaged.salvage_all();
    assert_eq!(done.lost.len(), 1);
    assert_eq!(*done.lost[0].start(), position(last.2));
    assert!(done.end.get() > sample.count);
    check(&damaged, &[(done.lost[0].start().get(), done.lost[0].end().get())]);
    for sample in [sample, Sample::new(false)] {
        let without = sample.without(&path);
        let done = without.salvage_all();
        assert!(done.end.get() > sample.count);
    }
}

#[test]
fn as_many_positions_are_given_up_at_the_end_as_there_was_room_for() {
    let sample = Sample::new(false);
    drop(open(&sample.disk, "/store")); // knows what is durable
    sample.disk.kill();
    let path = segments(&sample.disk).pop().unwrap();
    let bytes = sample.disk.contents(&path).unwrap();
    let (start, end, at) = *batches(&bytes).last().unwrap();
    let zeros = sample.change(&path, |bytes| bytes[start..].fill(0));
    let debris = sample.change(&path, |bytes| bytes[start..end - 8].fill(0x55));
    let debris = debris.change(&path, |bytes| bytes[end - 8..].fill(0));
    for (damaged, until) in [(zeros, bytes.len()), (debris, end - 8)] {
        let [ref loss] = *damaged.verify().problems else { panic!("{:?}", damaged.verify()) };
        let most = (until - start) as u64 / 20;
        assert_eq!(loss.bytes, start as u64..until as u64);
        assert_eq!((&loss.positions, loss.exact), (&Some(range(at, at + most - 1)), false));
    }
}

#[test]
fn a_state_larger_than_a_commit_is_rescued() {
    let disk = MemoryDisk::new();
    let storage = FileStorage::builder("/store").disk(disk.clone()).open().unwrap();
    for number in 0..20_u8 {
        let writes = vec![Write::put([number], vec![number; 1 << 20])];
        storage.commit(Commit { writes, ..Commit::default() }).unwrap();
    }
    storage.close().unwrap();
    disk.kill();
    Sample { disk: disk.clone(), count: 0 }.salvage().run(|_| ()).unwrap();
    let rescued = reader(&disk, "/rescued");
    for number in 0..20_u8 {
        assert!(rescued.get(&[number]).unwrap().unwrap() == vec![number; 1 << 20]);
    }
}

#[test]
fn what_a_crash_tore_needs_no_acceptance() {
    let sample = Sample::new(false);
    let path = segments(&sample.disk).pop().unwrap();
    let (start, end, at) = *batches(&sample.disk.contents(&path).unwrap()).last().unwrap();
    let torn = sample.change(&path, |bytes| bytes[start + 30..end].fill(0));
    let done = torn.salvage().run(|_| ()).unwrap();
    assert_eq!((done.end.get(), done.problems.len()), (at, 1));
}

#[test]
fn a_flipped_bit_costs_no_more_than_its_commit() {
    let sample = Sample::new(true);
    for path in segments(&sample.disk) {
        let valid = batches(&sample.disk.contents(&path).unwrap()).last().unwrap().1;
        for at in (0..valid).step_by(41) {
            let damaged = sample.change(&path, |bytes| bytes[at] ^= 1 << (at % 8));
            let done = damaged.salvage_all();
            assert!(done.records + 1 >= sample.count, "{} at {at}", path.display());
            assert_eq!(done.problems.len(), 1, "{} at {at}", path.display());
            let lost: Vec<_> =
                done.lost.iter().map(|it| (it.start().get(), it.end().get())).collect();
            check(&damaged, &lost);
        }
    }
}

proptest! {
    #[test]
    fn whatever_is_damaged_the_rest_is_there(
        damage in proptest::collection::vec((0_usize..7, 0_usize..2048, 1_usize..200, any::<u8>()), 1..4),
        closed in any::<bool>(),
    ) {
        let sample = Sample::new(closed);
        let mut files = segments(&sample.disk);
        files.extend(runs(&sample.disk));
        files.push("/store/MANIFEST".into());
        let mut damaged = sample.change(&files[0], |_| ());
        for (file, at, length, byte) in damage {
            damaged = damaged.change(&files[file % files.len()], |bytes| {
                let end = bytes.len().min(at + length);
                bytes.get_mut(at..end).unwrap_or_default().fill(byte);
            });
        }
        let before = damaged.image();
        let done = damaged.salvage_all();
        prop_assert_eq!(damaged.image(), before);
        let lost: Vec<_> = done.lost.iter().map(|it| (it.start().get(), it.end().get())).collect();
        let found = damaged.verify();
        prop_assert_eq!(done.records, found.records);
        let storage = open(&damaged.disk, "/rescued");
        prop_assert_eq!(lost_positions(&storage).unwrap(), done.lost);
        for (at, name, payload) in dump(&storage) {
            let is_lost = lost.iter().any(|(first, last)| (*first..=*last).contains(&at));
            prop_assert_eq!(is_lost, name == LOST_NAME);
            prop_assert!(is_lost || payload == record(at).payload);
        }
    }
}
