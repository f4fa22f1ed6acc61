//! Reads that go on while what they read is dropped or written anew.

use std::{ops::ControlFlow, sync::Arc};

use tidings::{
    Durability, Key, Position,
    storage::{
        Commit, Compaction, FileReader, FileStorage, Query, RecordRef, Storage, StorageError, Trim,
        Write,
        file::{Verdict, verify_on},
    },
    testing::MemoryDisk,
};

use super::{commit, keep_up, open, position, stale::Stale};

#[test]
fn g3_a_reader_whose_segments_are_dropped_under_it_is_told() {
    let disk = MemoryDisk::new();
    let storage = open(&disk);
    for number in 1..=200 {
        storage.commit(commit(number, Durability::Synced)).unwrap();
    }
    let page = storage.read(&Query::from(Position::FIRST).records(5)).unwrap();
    assert_eq!(page.next, position(6));
    let first = storage.trim(&Trim::before(position(150))).unwrap();
    assert!(first > position(100));
    match storage.read(&Query::from(page.next)) {
        Err(StorageError::Truncated { wanted, first: named }) => {
            assert_eq!((wanted, named), (position(6), first));
        }
        other => panic!("expected `Truncated`, found {other:?}"),
    }
}

#[test]
fn filtered_reads_go_on_while_segments_are_rewritten() {
    let disk = MemoryDisk::new();
    let storage = open(&disk);
    for number in 1..=200 {
        storage.commit(commit(number, Durability::Synced)).unwrap();
    }
    keep_up(&storage);
    let all = || Query::from(Position::FIRST).of("counted").key("3").records(3);
    let page = storage.read(&all()).unwrap();
    let last = |mut query: Query| {
        let mut found = Vec::new();
        while query.from < storage.end() {
            let page = storage.read(&query).unwrap();
            found.extend(page.records.into_iter().map(|(at, _)| at.get()));
            query.from = page.next;
        }
        found
    };
    storage.compact(&Compaction::new(vec!["counted".into()], storage.end())).unwrap();
    let mut rest = all();
    rest.from = page.next;
    assert_eq!(last(rest).last(), Some(&198));
    keep_up(&storage);
    let found = last(all());
    assert_eq!(found.last(), Some(&198));
    assert!(found.len() < 10, "{found:?}");
}

#[test]
fn a_reader_beside_the_owner_goes_on_whatever_the_owner_does_to_its_files() {
    let disk = MemoryDisk::new();
    let storage = open(&disk);
    for number in 1..=200 {
        storage.commit(commit(number, Durability::Synced)).unwrap();
    }
    let reader = || FileReader::open_on(disk.clone(), "/store").unwrap();
    let (fresh, used) = (reader(), reader());
    let page = used.read(&Query::from(Position::FIRST).records(3)).unwrap();
    storage.compact(&Compaction::new(vec!["counted".into()], storage.end())).unwrap();
    for number in 201..=240 {
        storage.commit(commit(number, Durability::Synced)).unwrap();
    }
    let newest = |reader: &FileReader, from| {
        let mut query = Query::from(from);
        let mut last = None;
        while query.from < reader.end() {
            let page = reader.read(&query).unwrap();
            last = page.records.last().map(|(at, _)| at.get()).or(last);
            query.from = page.next;
        }
        last
    };
    assert_eq!(newest(&fresh, Position::FIRST), Some(200), "it shows the moment of its opening");
    assert_eq!(newest(&used, page.next), Some(200));
    storage.trim(&Trim::before(position(150))).unwrap();
    match reader().read(&Query::from(page.next)) {
        Err(StorageError::Truncated { .. }) => {}
        other => panic!("expected `Truncated`, found {other:?}"),
    }
    assert!(matches!(used.read(&Query::from(page.next)), Err(StorageError::Truncated { .. })));
}

#[test]
fn a_read_that_goes_on_after_a_compaction_shows_nothing_that_it_dropped() {
    let disk = MemoryDisk::new();
    let storage = open(&disk);
    for number in 1..=25 {
        storage.commit(commit(number, Durability::Synced)).unwrap();
    }
    let page = storage.read(&Query::from(Position::FIRST).records(3)).unwrap();
    let compaction = Compaction::new(vec!["counted".into()], storage.end());
    assert!(storage.compact(&compaction).unwrap() > 10);
    let rest = Query::from(page.next);
    let fresh = FileReader::open_on(disk, "/store").unwrap();
    assert_eq!(storage.read(&rest).unwrap(), fresh.read(&rest).unwrap());
}

/// A record, segments that hold nothing but writes to the state, and another record.
fn two_records_far_apart(disk: &MemoryDisk) -> FileStorage {
    let storage = open(disk);
    storage.commit(commit(1, Durability::Synced)).unwrap();
    for _ in 0..12 {
        let writes = vec![Write::put("state", vec![7; 1000])];
        storage.commit(Commit { writes, ..Commit::default() }).unwrap();
    }
    storage.commit(commit(2, Durability::Synced)).unwrap();
    storage
}

#[test]
fn a_visit_goes_on_where_no_record_was_in_what_is_dropped_under_it() {
    let storage = two_records_far_apart(&MemoryDisk::new());
    let mut found = Vec::new();
    let next = storage.visit(&Query::from(Position::FIRST), &mut |record: RecordRef<'_>| {
        found.push(record.position);
        if found.len() == 1 {
            let first = storage.trim(&Trim::before(position(2))).unwrap();
            assert_eq!(first, position(2), "its segment and those after it are gone");
        }
        ControlFlow::Continue(())
    });
    assert_eq!((next.unwrap(), found), (position(3), vec![position(1), position(2)]));
}

#[test]
fn a_visit_whose_records_are_dropped_under_it_is_told_and_skips_none() {
    let storage = open(&MemoryDisk::new());
    for number in 1..=200 {
        storage.commit(commit(number, Durability::Synced)).unwrap();
    }
    let (mut found, mut first) = (Vec::new(), None);
    let visited = storage.visit(&Query::from(Position::FIRST), &mut |record: RecordRef<'_>| {
        found.push(record.position.get());
        first.get_or_insert_with(|| storage.trim(&Trim::before(position(150))).unwrap());
        ControlFlow::Continue(())
    });
    let last = found.len() as u64;
    assert_eq!(found, (1..=last).collect::<Vec<_>>());
    match visited {
        Err(StorageError::Truncated { wanted, first: named }) => {
            assert_eq!((wanted, Some(named)), (position(last + 1), first));
        }
        other => panic!("expected `Truncated`, found {other:?}"),
    }
}

#[test]
fn a_reader_that_saw_a_write_without_the_one_before_it_looks_again() {
    let disk = MemoryDisk::new();
    let storage = open(&disk);
    for number in 1..=5 {
        storage.commit(commit(number, Durability::Synced)).unwrap();
    }
    let path = "/store/segments/00000000000000000001.log";
    let mut bytes = disk.contents(path).unwrap();
    bytes[500..600].fill(0);
    let stale = |is_stale| Stale::new(&disk, path, &bytes, is_stale);
    for is_stale in [|number| number <= 1, |number| number <= 2] {
        let reader = FileReader::open_on(stale(is_stale), "/store").unwrap();
        assert_eq!((reader.end(), reader.report().batches), (position(6), 5));
    }
    let damaged = FileReader::open_on(stale(|_| true), "/store");
    assert!(matches!(damaged, Err(StorageError::Corrupt { .. })), "{damaged:?}");
}

#[test]
fn a_store_that_changes_while_it_is_verified_is_gone_through_again_but_not_for_ever() {
    let disk = MemoryDisk::new();
    let storage = open(&disk);
    for number in 1..=60 {
        storage.commit(commit(number, Durability::Synced)).unwrap();
    }
    let manifest = "/store/MANIFEST";
    let before = disk.contents(manifest).unwrap();
    assert!(storage.trim(&Trim::before(storage.end())).unwrap() > position(30));
    let verify =
        |is_stale| verify_on(Stale::new(&disk, manifest, &before, is_stale), "/store", |_| ());
    // It is asked for its generation, read, and asked again.
    assert_eq!(verify(|number| number <= 2).unwrap().verdict, Verdict::Clean);
    assert_eq!(verify(|number| number % 3 > 0).unwrap().verdict, Verdict::Corrupt);
}

#[test]
fn a_visit_shows_everything_once_though_the_owner_removes_files_meanwhile() {
    let disk = MemoryDisk::new();
    let storage = open(&disk);
    for number in 1..=100_u64 {
        let mut keyed = commit(number, Durability::Synced);
        let key = if number.is_multiple_of(2) { "again".to_owned() } else { number.to_string() };
        Arc::make_mut(&mut keyed.records[0].envelope).key = Some(Key::new(&key));
        storage.commit(keyed).unwrap();
    }
    let reader = FileReader::open_on(disk.clone(), "/store").unwrap();
    let mut found = Vec::new();
    let next = reader.visit(&Query::from(Position::FIRST), &mut |record: RecordRef<'_>| {
        found.push(record.position.get());
        if found.len() == 3 {
            let compaction = Compaction::new(vec!["counted".into()], storage.end());
            assert!(storage.compact(&compaction).unwrap() > 30);
            storage.commit(commit(101, Durability::Synced)).unwrap();
        }
        ControlFlow::Continue(())
    });
    assert_eq!(next.unwrap(), position(101), "it shows the moment of its opening");
    assert!(found.is_sorted_by(|one, next| one < next), "{found:?}");
    assert_eq!((found[..3].to_vec(), found.last()), (vec![1, 2, 3], Some(&100)));
}

#[test]
fn a_reader_knows_how_large_the_log_is_and_whether_there_is_more() {
    let disk = MemoryDisk::new();
    let storage = open(&disk);
    storage.commit(commit(1, Durability::Synced)).unwrap();
    let reader = FileReader::open_on(disk.clone(), "/store").unwrap();
    assert!(!reader.is_behind().unwrap());
    assert_eq!(reader.log_bytes(), storage.log_bytes());
    assert!((300..500).contains(&reader.log_bytes()), "a header and a commit");
    storage.commit(commit(2, Durability::Buffered)).unwrap();
    assert!(reader.is_behind().unwrap());
    let reader = reader.refresh().unwrap();
    assert!(!reader.is_behind().unwrap());
    storage.close().unwrap();
    assert!(reader.is_behind().unwrap(), "closing it is a change");
}
