//! Single files and batches.

use std::{ops::ControlFlow, path::Path, sync::Arc};

use super::{
    Input, ROOT,
    exercise::{exercise, keep_up},
    golden::{self, NAMES, open},
    seal::{self, Care},
};
use crate::{
    runtime::Timestamp,
    storage::{
        Commit, FileStorage, Filter, Query, Record, RecordRef, Storage, Trim, Write,
        file::{
            MemoryDisk,
            body::{self, RecordReader, Slot},
            bytes::{Reader, Writer},
            checksum::Seed,
            directory::Directory,
            frame::{self, BatchHeader},
            manifest::{Manifest, RunEntry, SegmentEntry},
            planted::Planted,
            position, recovery,
            segment::{SegmentHeader, StoreId},
        },
    },
};

const STORE: StoreId = [7; 16];

/// The only segment of a store that never had another.
fn lone_segment(len: usize) -> (SegmentHeader, Manifest) {
    let (id, epoch, timeline, position, seq) = (1, 0, 3, 1, 1);
    let header = SegmentHeader {
        store: STORE,
        id,
        epoch,
        timeline,
        position,
        seq,
        previous_len: 0,
        previous_crc: 0,
        size: (crate::storage::file::segment::HEADER + len) as u64,
    };
    let mut manifest = Manifest::new(STORE, timeline);
    manifest.segments = vec![SegmentEntry::new(id, epoch, position, seq)];
    (header, manifest)
}

fn directory(disk: &MemoryDisk) -> Directory {
    Directory::new(Arc::new(disk.clone()), Path::new(ROOT), Planted::default())
}

/// An empty disk with the directories of a store.
fn bare_disk() -> MemoryDisk {
    let disk = golden::store(1).disk.copy();
    for path in disk.files() {
        disk.lose(path);
    }
    disk
}

fn put_store(disk: &MemoryDisk, manifest: &Manifest, header: &SegmentHeader, log: &[u8]) {
    let dir = directory(disk);
    disk.set_contents(&dir.manifest, manifest.encode());
    disk.set_contents(dir.segment(1), [&header.encode(), log].concat());
}

fn care(mode: u8) -> Care {
    match mode % 4 {
        0 => Care::Checksums,
        1 => Care::Lengths,
        _ => Care::Order,
    }
}

/// What follows the header of a segment.
pub fn segment(bytes: &[u8]) {
    let Some(mut input) = Input::new(bytes) else { return };
    let mode = input.u8();
    let mut log = input.rest().to_vec();
    let (header, mut manifest) = lone_segment(log.len());
    manifest.durable = u64::from(mode >> 4);
    if mode & 8 == 0 {
        seal::batches(&mut log, &header, care(mode));
    }
    let disk = bare_disk();
    put_store(&disk, &manifest, &header, &log);
    exercise(&disk);
}

/// The header and the body of one batch.
pub fn batch(bytes: &[u8]) {
    let Some(mut input) = Input::new(bytes) else { return };
    let mode = input.u8();
    let mut bytes = input.rest().to_vec();
    let (segment, _) = lone_segment(0);
    let Some((header, body)) = bytes.split_first_chunk_mut::<{ frame::HEADER }>() else { return };
    let len = seal::batch(header, body, &segment, care(mode));
    let Some(read) = BatchHeader::read(header, segment.seed()) else { return };
    assert!(read.durable < read.seq && read.end_position() >= read.position);
    let mut padded = body.get(..len).unwrap_or_default().to_vec();
    padded.resize(read.frame() - frame::HEADER, 0);
    if read.body != len {
        return;
    }
    assert!(read.fits(&padded, Seed::of(&STORE)));
    let Some((records, writes)) = read.split(&padded) else { return };
    check_records(records, read.records);
    check_writes(writes);
}

fn check_records(bytes: &[u8], count: u32) {
    let Some(records) = read_records(bytes, count) else { return };
    let mut out = Writer::default();
    body::write_records(&mut out, &records);
    assert_eq!(read_records(&out.0, count), Some(records), "other records were read");
}

fn read_records(bytes: &[u8], count: u32) -> Option<Vec<Record>> {
    let filter = Query::from(position(1)).of(NAMES[0]).key("key-1").filter;
    let (mut reader, mut decoder) = (Reader::new(bytes), RecordReader::default());
    let mut records = Vec::new();
    if count > 0 {
        decoder.begin(&mut reader)?;
    }
    for _ in 0..count {
        let Slot::Kept(raw) = decoder.next(&mut reader)? else { return None };
        let (passes, shown) = (raw.passes(&filter), raw.at(position(1)));
        let record = raw.copy()?;
        assert_eq!(passes, filter.matches(&record.envelope));
        let copied = RecordRef::new(position(1), &record);
        assert_eq!(
            (shown.name, shown.key, shown.payload),
            (copied.name, copied.key, copied.payload)
        );
        records.push(record);
    }
    Some(records)
}

fn check_writes(bytes: &[u8]) {
    let Some(writes) = read_writes(bytes) else { return };
    let mut out = Writer::default();
    body::write_writes(&mut out, &writes);
    assert_eq!(read_writes(&out.0), Some(writes), "other writes were read");
}

fn read_writes(bytes: &[u8]) -> Option<Vec<Write>> {
    let mut writes = Vec::new();
    body::each_write(bytes, |write| writes.push(write)).map(|()| writes)
}

/// A manifest: its body, or all of it.
pub fn manifest(bytes: &[u8]) {
    let Some(mut input) = Input::new(bytes) else { return };
    let mode = input.u8();
    let rest = input.rest();
    let file = if mode & 4 == 0 { seal::manifest(rest) } else { rest.to_vec() };
    let disk = golden::store(mode.into()).disk.copy();
    let dir = directory(&disk);
    disk.set_contents(&dir.manifest, file);
    if let Ok(Some(manifest)) = Manifest::read(&dir) {
        let other = bare_disk();
        other.set_contents(&dir.manifest, manifest.encode());
        let again = Manifest::read(&directory(&other)).expect("it was written by us");
        assert_eq!(again, Some(manifest), "another manifest was read");
    }
    exercise(&disk);
}

/// Files of the state.
pub fn checkpoint(bytes: &[u8]) {
    let Some(mut input) = Input::new(bytes) else { return };
    match input.u8() % 4 {
        0 => run_file(&mut input, false),
        1 => run_file(&mut input, true),
        2 => run_of_blocks(&mut input),
        _ => written_run(&mut input),
    }
}

const RUN: u64 = 5;

const MOST_ENTRIES: usize = 16;

fn run_file(input: &mut Input<'_>, with_header: bool) {
    let mut file = if with_header { seal::run_header(&STORE, RUN) } else { Vec::new() };
    file.extend(input.rest());
    let crc = seal::run(&mut file, Seed::of(&STORE).and(RUN));
    with_run(&file, crc);
}

/// Blocks of any bytes, under an index that describes them: `length of the key | length | key |
/// block`.
fn run_of_blocks(input: &mut Input<'_>) {
    let seed = Seed::of(&STORE).and(RUN);
    let mut file = Writer(seal::run_header(&STORE, RUN));
    let mut index = Writer::default();
    let mut count = 0;
    while !input.is_empty() {
        let (key, len) = (input.u8() % 16, input.u16());
        let mut take = |wanted: usize| {
            let wanted = wanted.min(input.rest().len());
            input.0.bytes(wanted).unwrap_or_default()
        };
        let (first, block) = (take(key.into()), take(len.into()));
        index.prefixed(first);
        index.u32(u32::try_from(block.len()).unwrap_or(0));
        index.u32(seed.checksum(block));
        file.bytes(block);
        count += 1;
    }
    let offset = file.0.len() as u64;
    file.bytes(&index.0);
    file.u64(offset);
    file.u64(index.0.len() as u64);
    file.u32(count);
    file.u32(0);
    let crc = seal::run(&mut file.0, seed);
    with_run(&file.0, crc);
}

fn with_run(file: &[u8], crc: u32) {
    let disk = bare_disk();
    let (header, mut manifest) = lone_segment(0);
    manifest.runs = vec![RunEntry { id: RUN, len: file.len() as u64, crc }];
    manifest.next_run = RUN + 1;
    disk.set_contents(directory(&disk).run(RUN), file);
    put_store(&disk, &manifest, &header, &[]);
    exercise(&disk);
}

/// Entries that are written and read back.
fn written_run(input: &mut Input<'_>) {
    let disk = bare_disk();
    let open = || {
        let builder = FileStorage::builder(ROOT).segment_bytes(32 * 1024).state_bytes(4096);
        builder.disk(disk.clone()).open().expect("nothing fails")
    };
    let storage = open();
    let mut expected = std::collections::BTreeMap::new();
    for _ in 0..MOST_ENTRIES {
        if input.is_empty() {
            break;
        }
        let (key, len) = (vec![b'k'; input.u8().into()], usize::from(input.u16() % 3000));
        let value = (len > 0).then(|| vec![b'v'; len]);
        storage
            .commit(Commit {
                writes: vec![Write { key: key.clone(), value: value.clone() }],
                ..Commit::default()
            })
            .expect("nothing fails");
        expected.insert(key, value);
        if len % 5 == 0 {
            keep_up(&storage);
        }
    }
    storage.close().expect("nothing fails");
    let storage = open();
    let found = storage.scan(b"", None, usize::MAX).expect("nothing fails");
    let kept = expected.clone().into_iter().filter_map(|(key, value)| Some((key, value?)));
    assert_eq!(found, kept.collect::<Vec<_>>());
    for (key, value) in expected {
        assert_eq!(storage.get(&key).expect("nothing fails"), value);
    }
}

/// The index of a segment: all of it, or what follows its header.
pub fn index(bytes: &[u8]) {
    let Some(mut input) = Input::new(bytes) else { return };
    let (mode, number) = (input.u8(), input.u8());
    let golden = golden::store(1);
    let disk = golden.disk.copy();
    let dir = directory(&disk);
    let (_, view, _) = recovery::inspect(&dir).expect("nothing fails");
    let others = view.segments.len() - 1;
    let segment = &view.segments[usize::from(number) % others];
    let is_sealed = mode & 1 == 0;
    let file = if is_sealed {
        seal::index(&segment.header, segment.valid(), input.rest())
    } else {
        input.rest().to_vec()
    };
    disk.set_contents(dir.index(segment.header.id), file);
    let storage = open(&disk).expect("an index is never needed");
    let records: Vec<&Record> = golden.commits.iter().flat_map(|commit| &commit.records).collect();
    for filter in filters() {
        check_filtered(&storage, &filter, &records, is_sealed);
    }
    let old = Timestamp::from_nanos(9000);
    drop(storage.trim(&Trim::before(storage.end()).published_before(old)));
    keep_up(&storage);
    storage.close().expect("nothing fails");
}

fn filters() -> [Filter; 4] {
    let all = Query::from(position(1));
    [
        all.clone().of(NAMES[0]).filter,
        all.clone().key("key-2").filter,
        all.clone().since(Timestamp::from_nanos(7000)).until(Timestamp::from_nanos(20_000)).filter,
        all.of(NAMES[1]).of("none").key("key-1").filter,
    ]
}

/// An index with a checksum of ours may hide records or stand in the way; any other counts as none.
fn check_filtered(storage: &dyn Storage, filter: &Filter, records: &[&Record], is_sealed: bool) {
    let query = Query { filter: filter.clone(), ..Query::from(storage.first()) };
    let mut found = Vec::new();
    let read = storage.visit(&query, &mut |record| {
        found.push((record.position, record.id, record.payload.to_vec()));
        ControlFlow::Continue(())
    });
    let there = records.iter().zip(1..).filter(|(record, _)| filter.matches(&record.envelope));
    let there: Vec<_> =
        there.map(|(r, at)| (position(at), r.envelope.id, r.payload.clone())).collect();
    assert!(found.iter().all(|one| there.contains(one)), "something else was read");
    assert!(is_sealed || read.is_ok() && found == there, "a damaged index hides something");
}
