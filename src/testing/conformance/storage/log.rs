//! Checks of the log: positions, order, reading, envelopes.

use std::{ops::ControlFlow, sync::Arc};

use super::{
    StorageFixture, must, of_records, open, position, read, read_from, record, records, same,
};
use crate::{
    event::Key,
    message::{CorrelationId, Envelope, MessageId, Position},
    runtime::Timestamp,
    storage::{Query, Record, RecordRef, Storage, StorageError, Trim, Upkeep, Write},
};

pub(super) fn a_new_store_is_empty<F: StorageFixture>(fixture: &F) {
    let storage = open(fixture);
    same(storage.end(), Position::FIRST, "the end");
    same(storage.first(), Position::FIRST, "the first position");
    same(read_from(&storage, Position::FIRST), Vec::new(), "its records");
    same(must(storage.get(b"key"), "get"), None, "a state key");
    same(must(storage.scan(b"", None, 10), "scan"), Vec::new(), "its state");
}

pub(super) fn positions_are_dense_from_1<F: StorageFixture>(fixture: &F) {
    let storage = open(fixture);
    for number in 1..=20 {
        let at = must(storage.commit(of_records(records([number]))), "committing");
        same(at, position(number), "the commit's position");
        same(storage.end(), position(number + 1), "the end");
    }
    same(storage.first(), Position::FIRST, "the first position");
}

pub(super) fn a_commits_records_are_adjacent_and_in_order<F: StorageFixture>(fixture: &F) {
    let storage = open(fixture);
    let commits = [records(1..=3), records(4..=4), records(5..=9)];
    let mut expected = Position::FIRST;
    for commit in &commits {
        let at = must(storage.commit(of_records(commit.clone())), "committing");
        same(at, expected, "the position of a commit's first record");
        expected = expected.plus(commit.len() as u64);
    }
    same(read_from(&storage, Position::FIRST), records(1..=9), "all records");
}

pub(super) fn a_commit_without_records_has_the_next_position<F: StorageFixture>(fixture: &F) {
    let storage = open(fixture);
    same(must(storage.commit(of_records(vec![])), "an empty commit"), Position::FIRST, "it");
    must(storage.commit(of_records(records([1]))), "committing");
    let mut commit = of_records(vec![]);
    commit.writes.push(Write::put("key", "value"));
    same(must(storage.commit(commit), "a commit of state"), position(2), "its position");
    same(storage.end(), position(2), "the end");
    must(storage.commit(of_records(records([2]))), "committing");
    same(read_from(&storage, Position::FIRST), records(1..=2), "all records");
}

pub(super) fn reading_begins_anywhere_and_keeps_its_limits<F: StorageFixture>(fixture: &F) {
    let storage = open(fixture);
    for batch in 0..10 {
        let numbers = batch * 5 + 1..=batch * 5 + 5;
        must(storage.commit(of_records(records(numbers))), "committing");
    }
    for from in 1..=50 {
        for max in [1, 2, 7, 100] {
            let found = read(&storage, position(from), max, 1 << 20);
            assert!(!found.is_empty(), "a read from {from} of {max} records found none");
            assert!(found.len() <= max, "a read of {max} records found {}", found.len());
            let expected = records(from..from + found.len() as u64);
            same(found, expected, "the records of a read");
        }
        let found = read(&storage, position(from), 100, 4);
        assert!(!found.is_empty(), "a read from {from} of few bytes found nothing");
        let before_last = found.iter().rev().skip(1);
        let bytes: usize = before_last.map(|record| record.payload.len()).sum();
        assert!(bytes <= 4, "a read of 4 bytes went on after {bytes}");
        same(read_from(&storage, position(from)), records(from..=50), "the rest");
    }
    same(read(&storage, position(1), 0, 100), vec![], "a read of no records");
}

pub(super) fn reading_at_or_past_the_end_yields_nothing<F: StorageFixture>(fixture: &F) {
    let storage = open(fixture);
    must(storage.commit(of_records(records(1..=3))), "committing");
    for from in [4, 5, 1000, u64::MAX] {
        let found = read(&storage, position(from), 10, 1000);
        same(found, vec![], "a read past the end");
    }
    must(storage.commit(of_records(records([4]))), "committing");
    same(read_from(&storage, position(4)), records([4]), "what was added since");
}

pub(super) fn a_read_stops_before_a_position<F: StorageFixture>(fixture: &F) {
    let storage = open(fixture);
    for number in 1..=9 {
        must(storage.commit(of_records(records([number]))), "committing");
    }
    let query = Query::from(position(3)).to(position(6));
    let page = must(storage.read(&query), "reading up to 6");
    same(page.next, position(6), "where it stops");
    let found: Vec<u64> = page.records.iter().map(|(position, _)| position.get()).collect();
    same(found, vec![3, 4, 5], "the positions it finds");
}

/// Records of three names, two keys and rising times.
fn varied(number: u64) -> Record {
    let name = match number % 3 {
        0 => "a",
        1 => "b",
        _ => "a.b",
    };
    let mut envelope = Envelope::new(name, 1, MessageId::from_bytes([1; 16]));
    envelope.key = match number % 4 {
        0 => None,
        1 => Some("x".into()),
        _ => Some("y".into()),
    };
    envelope.published_at = Timestamp::from_nanos(number * 10);
    Record { envelope: Arc::new(envelope), payload: number.to_string().into_bytes() }
}

pub(super) fn a_filter_finds_what_matches_and_nothing_else<F: StorageFixture>(fixture: &F) {
    let storage = open(fixture);
    for first in (0..600).step_by(3) {
        let commit = of_records((first..first + 3).map(varied).collect());
        must(storage.commit(commit), "committing");
    }
    while must(storage.upkeep(), "upkeep") == Upkeep::More {}
    let all = || Query::from(Position::FIRST).records(50);
    let time = |nanos| Timestamp::from_nanos(nanos);
    let queries = [
        all().of("a"),
        all().of("a").of("a.b"),
        all().of("nothing"),
        all().key("x"),
        all().key("z"),
        all().of("b").key("y"),
        all().since(time(5_900)),
        all().until(time(95)),
        all().since(time(1_000)).until(time(1_200)).of("a").records(3),
        Query::from(position(301)).of("a.b").key("x").to(position(400)),
    ];
    for query in queries {
        let (from, to) = (query.from.get(), query.to.get().min(601));
        let matching = (from..to).filter(|at| query.filter.matches(&varied(at - 1).envelope));
        let expected: Vec<_> = matching.map(|at| (position(at), varied(at - 1))).collect();
        same(read_all(&storage, query.clone()), expected, &format!("the answer to {query:?}"));
    }
}

fn read_all(storage: &impl Storage, mut query: Query) -> Vec<(Position, Record)> {
    let mut found = Vec::new();
    loop {
        let page = must(storage.read(&query), "reading");
        assert!(page.records.len() <= query.max_records, "a page has too many records");
        found.extend(page.records);
        if page.next == query.from {
            return found;
        }
        query.from = page.next;
    }
}

pub(super) fn a_visit_shows_what_a_read_returns_until_told_to_stop<F: StorageFixture>(fixture: &F) {
    let storage = open(fixture);
    for number in 0..20 {
        must(storage.commit(of_records(vec![varied(number)])), "committing");
    }
    let query = Query::from(position(2)).of("a");
    let mut found = Vec::new();
    let mut visit = |record: RecordRef<'_>| {
        found.push((record.position.get(), record.payload.to_vec()));
        if found.len() < 4 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    };
    let next = must(storage.visit(&query, &mut visit), "visiting");
    let expected = [3, 6, 9, 12].map(|number: u64| (number + 1, number.to_string().into_bytes()));
    same(found, expected.to_vec(), "what a visit shows");
    same(next, position(14), "where a visit stops");
    let mut count = 0;
    let mut visit = |_: RecordRef<'_>| {
        count += 1;
        ControlFlow::Continue(())
    };
    same(must(storage.visit(&query, &mut visit), "visiting"), position(21), "the end of a visit");
    same(count, 6, "how many a visit shows");
}

pub(super) fn trimming_drops_the_oldest_records_and_no_others<F: StorageFixture>(fixture: &F) {
    let storage = open(fixture);
    let state = Write::put("key", "value");
    for number in 0..400 {
        let mut commit = of_records(vec![varied(number)]);
        commit.writes.push(state.clone());
        must(storage.commit(commit), "committing");
    }
    let nothing = Trim::before(position(400)).max_bytes(u64::MAX);
    same(must(storage.trim(&nothing), "trimming nothing"), Position::FIRST, "the first position");
    let old = Trim::before(position(300)).published_before(Timestamp::from_nanos(1000));
    let first = must(storage.trim(&old), "trimming by time");
    assert!(first <= position(101), "records that are young enough are gone, up to {first}");
    same(storage.first(), first, "the first position");
    let first = must(storage.trim(&Trim::before(position(300))), "trimming by position");
    assert!(first <= position(300), "records after the limit are gone, up to {first}");
    let rest: Vec<_> = (first.get()..=400).map(|at| varied(at - 1)).collect();
    same(read_from(&storage, first), rest.clone(), "what is left");
    same(must(storage.get(b"key"), "get"), state.value, "the state");
    if first > Position::FIRST {
        match storage.read(&Query::from(Position::FIRST)) {
            Err(StorageError::Truncated { wanted: Position::FIRST, first: named }) => {
                same(named, first, "the first position that an error names");
            }
            other => panic!("reading what is gone: expected `Truncated`, found {other:?}"),
        }
    }
    same(storage.end(), position(401), "the end");
    must(storage.close(), "closing");
    if fixture.persistent() {
        let storage = open(fixture);
        same(storage.first(), first, "the first position after a restart");
        same(read_from(&storage, first), rest, "what is left after a restart");
    }
}

pub(super) fn trimming_to_a_size_keeps_what_fits<F: StorageFixture>(fixture: &F) {
    let storage = open(fixture);
    for number in 1..=400 {
        must(storage.commit(of_records(records([number]))), "committing");
    }
    let size = storage.log_bytes();
    if size == 0 {
        return; // it does not say
    }
    let trim = |bytes| storage.trim(&Trim::before(storage.end()).max_bytes(bytes));
    same(
        must(trim(size), "trimming to the size that it has"),
        Position::FIRST,
        "the first position",
    );
    let first = must(trim(size / 2), "trimming to half the size");
    // Where whole files go, that is a little less than half of the records.
    assert!(first <= position(301), "of 400 records less than 100 fit into half the size: {first}");
    same(read_from(&storage, first), records(first.get()..=400), "what is left");
}

fn full_envelope() -> Envelope {
    let mut envelope =
        Envelope::new("bestellung.aufgegeben-✓", u32::MAX, MessageId::from_bytes([9; 16]));
    envelope.codec = "postcard".into();
    envelope.key = Some(Key::from("schlüssel/".repeat(80)));
    envelope.correlation = Some(CorrelationId::from("anfrage № 4711"));
    envelope.causation = Some(MessageId::from_bytes([0xff; 16]));
    envelope.published_at = Timestamp::from_nanos(u64::MAX);
    for (name, value) in [("größe", "日本語 🎉"), ("leer", ""), ("zeile", "a\nb\0c")] {
        if let Err(error) = envelope.headers.insert(name, value) {
            panic!("a header within its bounds was refused: {error}");
        }
    }
    envelope
}

pub(super) fn an_envelope_comes_back_with_every_field<F: StorageFixture>(fixture: &F) {
    let storage = open(fixture);
    let mut by_id = full_envelope();
    by_id.correlation = Some(MessageId::from_bytes([1; 16]).into());
    by_id.key = Some(Key::new(""));
    let plain = Envelope::new("", 0, MessageId::from_bytes([0; 16]));
    for envelope in [full_envelope(), by_id, plain] {
        let sent = Record { envelope: Arc::new(envelope), payload: b"{}".to_vec() };
        let at = must(storage.commit(of_records(vec![sent.clone()])), "committing");
        same(read_from(&storage, at), vec![sent], "the record");
    }
}

pub(super) fn records_of_many_shapes_share_a_commit<F: StorageFixture>(fixture: &F) {
    let storage = open(fixture);
    let mixed: Vec<Record> = (0..40)
        .map(|number| {
            let name = ["a", "b", "c"][number % 3];
            let mut envelope =
                Envelope::new(name, 1 + u32::from(number < 9), MessageId::from_bytes([7; 16]));
            envelope.published_at = Timestamp::from_nanos((number as u64 * 7919) % 100);
            envelope.key = (number % 4 == 0).then(|| Key::new(name));
            Record { envelope: Arc::new(envelope), payload: vec![b'x'; number] }
        })
        .collect();
    must(storage.commit(of_records(mixed.clone())), "committing");
    must(storage.commit(of_records(mixed.clone())), "committing");
    same(read_from(&storage, position(18)), [&mixed[17..], &mixed].concat(), "the rest");
}

pub(super) fn empty_and_large_payloads_come_back<F: StorageFixture>(fixture: &F) {
    let storage = open(fixture);
    let sized = |(number, size): (u64, usize)| Record {
        payload: (0..size).map(|at| at.to_le_bytes()[0] ^ at.to_le_bytes()[1]).collect(),
        ..record(number)
    };
    let sent: Vec<Record> = [(1, 0), (2, 1), (3, 1 << 20), (4, 0), (5, 300_000)].map(sized).into();
    for record in &sent {
        must(storage.commit(of_records(vec![record.clone()])), "committing");
    }
    assert!(read_from(&storage, position(1)) == sent, "payloads changed");
    must(storage.commit(of_records(sent.clone())), "committing all at once");
    assert!(read_from(&storage, position(6)) == sent, "payloads changed");
}

pub(super) fn a_commit_that_is_too_large_changes_nothing<F: StorageFixture>(fixture: &F) {
    let storage = open(fixture);
    let huge = Record { payload: vec![1; 64 << 20], ..record(1) };
    let mut commit = of_records(vec![huge]);
    commit.writes.push(Write::put("key", "value"));
    match storage.commit(commit) {
        Ok(_) => return, // then it was not too large
        Err(StorageError::TooLarge { bytes, limit }) => {
            assert!(bytes > limit, "{bytes} bytes were said to be more than {limit}");
        }
        Err(error) => panic!("a commit of 64 MiB failed otherwise: {error}"),
    }
    same(storage.end(), Position::FIRST, "the end after a refusal");
    same(must(storage.get(b"key"), "get"), None, "the state after a refusal");
    must(storage.commit(of_records(records([1]))), "committing after a refusal");
    same(read_from(&storage, Position::FIRST), records([1]), "all records");
}
