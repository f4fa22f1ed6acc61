//! The body of a batch: records and writes as bytes.
//!
//! A body is a table of schemas, then the records, then the writes. A schema is what many records
//! share: name, version, codec. A record is
//! `flags | schema | id | time | key? | correlation? | causation? | headers? | payload`, where the
//! time is the difference to the record before. A write is `key | 0` or `key | 1 + length | value`.

use std::sync::Arc;

use super::bytes::{Reader, Writer};
use crate::{
    event::Key,
    message::{CorrelationId, Envelope, Headers, MessageId, Position},
    runtime::Timestamp,
    storage::{Filter, Record, RecordRef, Write},
};

const KEY: u8 = 1;
const CORRELATION_ID: u8 = 1 << 1;
const CORRELATION_TEXT: u8 = 1 << 2;
const CAUSATION: u8 = 1 << 3;
const HEADERS: u8 = 1 << 4;
/// Not one record, but so many that were dropped.
const DROPPED: u8 = 1 << 5;
const KNOWN: u8 = KEY | CORRELATION_ID | CORRELATION_TEXT | CAUSATION | HEADERS;

/// A record has at least so many bytes: flags, schema, id, time and the length of its payload.
const LEAST_RECORD: usize = 20;

/// What many records share.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Schema {
    name: Arc<str>,
    version: u32,
    codec: Arc<str>,
}

impl Schema {
    fn is_of(&self, envelope: &Envelope) -> bool {
        self.version == envelope.version
            && self.name == envelope.name
            && self.codec == envelope.codec
    }
}

/// Appends schemas and records.
pub(super) fn write_records(out: &mut Writer, records: &[Record]) {
    if !records.is_empty() {
        write_slots(out, records.iter().map(Some));
    }
}

/// Appends schemas and records, some of which were dropped.
pub(super) fn write_slots<'a>(
    out: &mut Writer,
    slots: impl Iterator<Item = Option<&'a Record>> + Clone,
) {
    let mut schemas: Vec<Schema> = Vec::new();
    let mut indices = Vec::with_capacity(slots.size_hint().0);
    for Record { envelope, .. } in slots.clone().flatten() {
        let known = schemas.iter().rposition(|schema| schema.is_of(envelope));
        indices.push(known.unwrap_or(schemas.len()));
        if known.is_none() {
            schemas.push(Schema {
                name: Arc::clone(&envelope.name),
                version: envelope.version,
                codec: Arc::clone(&envelope.codec),
            });
        }
    }
    write_schemas(out, &schemas);
    let (mut time, mut dropped) = (0, 0);
    let mut indices = indices.into_iter();
    for slot in slots {
        let Some(record) = slot else {
            dropped += 1;
            continue;
        };
        write_dropped(out, &mut dropped);
        write_record(out, record, indices.next().unwrap_or_default(), &mut time);
    }
    write_dropped(out, &mut dropped);
}

/// So many records that were dropped, one after the other.
fn write_dropped(out: &mut Writer, count: &mut u64) {
    if *count > 0 {
        out.u8(DROPPED);
        out.varint(std::mem::take(count));
    }
}

fn write_schemas(out: &mut Writer, schemas: &[Schema]) {
    let mut table = Writer::default();
    for schema in schemas {
        table.text(&schema.name);
        table.varint(u64::from(schema.version));
        table.text(&schema.codec);
    }
    out.prefixed(&table.0);
}

fn write_record(out: &mut Writer, record: &Record, schema: usize, time: &mut u64) {
    let envelope = &record.envelope;
    out.u8(flags(envelope));
    out.size(schema);
    out.bytes(&envelope.id.to_bytes());
    let now = envelope.published_at.as_nanos();
    out.varint(zigzag(now.wrapping_sub(*time)));
    *time = now;
    if let Some(key) = &envelope.key {
        out.text(key.as_str());
    }
    match &envelope.correlation {
        None => {}
        Some(CorrelationId::Id(id)) => out.bytes(&id.to_bytes()),
        Some(CorrelationId::Text(text)) => out.text(text),
    }
    if let Some(id) = envelope.causation {
        out.bytes(&id.to_bytes());
    }
    if !envelope.headers.is_empty() {
        out.size(envelope.headers.len());
        for (name, value) in envelope.headers.iter() {
            out.text(name);
            out.text(value);
        }
    }
    out.prefixed(&record.payload);
}

fn flags(envelope: &Envelope) -> u8 {
    let correlation = match &envelope.correlation {
        None => 0,
        Some(CorrelationId::Id(_)) => CORRELATION_ID,
        Some(CorrelationId::Text(_)) => CORRELATION_TEXT,
    };
    correlation
        | if envelope.key.is_some() { KEY } else { 0 }
        | if envelope.causation.is_some() { CAUSATION } else { 0 }
        | if envelope.headers.is_empty() { 0 } else { HEADERS }
}

/// Makes small differences in either direction small numbers.
#[allow(clippy::cast_possible_wrap, clippy::cast_sign_loss)] // bits, not values
fn zigzag(difference: u64) -> u64 {
    (difference << 1) ^ ((difference as i64) >> 63) as u64
}

fn unzigzag(bits: u64) -> u64 {
    (bits >> 1) ^ (bits & 1).wrapping_neg()
}

/// Appends writes.
pub(super) fn write_writes(out: &mut Writer, writes: &[Write]) {
    for Write { key, value } in writes {
        out.prefixed(key);
        match value {
            None => out.varint(0),
            Some(value) => {
                out.varint(value.len() as u64 + 1);
                out.bytes(value);
            }
        }
    }
}

/// Shows the writes in these bytes, one at a time: together they may take far more memory than the
/// bytes do. `None` if these are something else; some may have been shown then.
pub(super) fn each_write(bytes: &[u8], mut each: impl FnMut(Write)) -> Option<()> {
    let mut reader = Reader::new(bytes);
    while !reader.is_empty() {
        let key = reader.prefixed()?.to_vec();
        let value = match reader.size()? {
            0 => None,
            more => Some(reader.bytes(more - 1)?.to_vec()),
        };
        each(Write { key, value });
    }
    Some(())
}

/// Where reading the records of a body has got to, apart from the bytes themselves.
#[derive(Debug, Default)]
pub(super) struct RecordReader {
    table: Vec<u8>,
    schemas: Vec<Schema>,
    time: u64,
}

/// What is at a position of the log.
#[derive(Debug, Clone, Copy)]
pub(super) enum Slot<'s, 'a> {
    Kept(Raw<'s, 'a>),
    /// So many records, from here on, that are gone.
    Dropped(u64),
}

/// A record as it lies in a body.
#[derive(Debug, Clone, Copy)]
pub(super) struct Raw<'s, 'a> {
    flags: u8,
    schema: &'s Schema,
    id: [u8; 16],
    pub(super) time: u64,
    pub(super) key: Option<&'a str>,
    correlation: &'a [u8],
    causation: Option<[u8; 16]>,
    headers: &'a [u8],
    payload: &'a [u8],
}

impl RecordReader {
    /// Begins a body. The schemas are kept where they are those of the body before.
    pub(super) fn begin(&mut self, reader: &mut Reader<'_>) -> Option<()> {
        self.time = 0;
        let table = reader.prefixed()?;
        if table != self.table {
            // There is a record of each; a table of empty names would be huge in memory.
            self.schemas = read_schemas(table, reader.rest().len() / LEAST_RECORD)?;
            self.table = table.to_vec();
        }
        Some(())
    }

    /// The next record, or how many were dropped in its place; `None` if the bytes are neither.
    #[inline]
    pub(super) fn next<'a>(&mut self, reader: &mut Reader<'a>) -> Option<Slot<'_, 'a>> {
        let flags = reader.u8()?;
        if flags == DROPPED {
            return reader.varint().filter(|count| *count > 0).map(Slot::Dropped);
        }
        self.record(reader, flags).map(Slot::Kept)
    }

    #[inline]
    fn record<'a>(&mut self, reader: &mut Reader<'a>, flags: u8) -> Option<Raw<'_, 'a>> {
        let has = |flag| flags & flag != 0;
        if flags & !KNOWN != 0 {
            return None;
        }
        let schema = self.schemas.get(reader.size()?)?;
        let id = reader.array()?;
        self.time = self.time.wrapping_add(unzigzag(reader.varint()?));
        Some(Raw {
            flags,
            schema,
            id,
            time: self.time,
            key: if has(KEY) { Some(reader.text()?) } else { None },
            correlation: read_correlation(reader, flags)?,
            causation: if has(CAUSATION) { Some(reader.array()?) } else { None },
            headers: if has(HEADERS) { skip_headers(reader)? } else { &[] },
            payload: reader.prefixed()?,
        })
    }
}

impl Raw<'_, '_> {
    pub(super) fn name(&self) -> &str {
        &self.schema.name
    }

    pub(super) fn passes(&self, filter: &Filter) -> bool {
        filter.lets_pass(&self.schema.name, self.key, Timestamp::from_nanos(self.time))
    }

    #[inline]
    pub(super) fn at(&self, position: Position) -> RecordRef<'_> {
        RecordRef {
            position,
            name: &self.schema.name,
            version: self.schema.version,
            codec: &self.schema.codec,
            id: MessageId::from_bytes(self.id),
            published_at: Timestamp::from_nanos(self.time),
            key: self.key,
            payload: self.payload,
        }
    }

    /// A copy of its own, or `None` if its correlation or headers are not what they should be.
    pub(super) fn copy(&self) -> Option<Record> {
        let envelope = Envelope {
            name: Arc::clone(&self.schema.name),
            version: self.schema.version,
            codec: Arc::clone(&self.schema.codec),
            id: MessageId::from_bytes(self.id),
            published_at: Timestamp::from_nanos(self.time),
            key: self.key.map(Key::new),
            correlation: self.correlation()?,
            causation: self.causation.map(MessageId::from_bytes),
            headers: self.headers()?,
        };
        Some(Record { envelope: Arc::new(envelope), payload: self.payload.to_vec() })
    }

    #[allow(clippy::option_option)] // the outer one is "not a record"
    fn correlation(&self) -> Option<Option<CorrelationId>> {
        Some(match self.flags & (CORRELATION_ID | CORRELATION_TEXT) {
            0 => None,
            CORRELATION_ID => Some(MessageId::from_bytes(self.correlation.try_into().ok()?).into()),
            _ => Some(std::str::from_utf8(self.correlation).ok()?.into()),
        })
    }

    fn headers(&self) -> Option<Headers> {
        let mut headers = Headers::default();
        let mut reader = Reader::new(self.headers);
        while !reader.is_empty() {
            let (name, value) = (reader.text()?, reader.text()?);
            headers.insert(name, value).ok()?;
        }
        Some(headers)
    }
}

fn read_schemas(table: &[u8], most: usize) -> Option<Vec<Schema>> {
    let mut reader = Reader::new(table);
    let mut schemas = Vec::new();
    while !reader.is_empty() {
        if schemas.len() == most {
            return None;
        }
        schemas.push(Schema {
            name: reader.text()?.into(),
            version: reader.varint()?.try_into().ok()?,
            codec: reader.text()?.into(),
        });
    }
    Some(schemas)
}

fn read_correlation<'a>(reader: &mut Reader<'a>, flags: u8) -> Option<&'a [u8]> {
    match flags & (CORRELATION_ID | CORRELATION_TEXT) {
        0 => Some(&[]),
        CORRELATION_ID => reader.bytes(16),
        CORRELATION_TEXT => reader.prefixed(),
        _ => None,
    }
}

fn skip_headers<'a>(reader: &mut Reader<'a>) -> Option<&'a [u8]> {
    let count = reader.size()?;
    let start = reader.rest();
    for _ in 0..count {
        reader.prefixed()?;
        reader.prefixed()?;
    }
    start.get(..start.len() - reader.rest().len())
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, option, prelude::*};

    use super::*;

    fn envelope() -> impl Strategy<Value = Envelope> {
        let identity = ("[a-c]{0,3}", any::<u32>(), any::<[u8; 16]>(), any::<u64>());
        let correlation = prop_oneof![
            any::<[u8; 16]>().prop_map(|id| MessageId::from_bytes(id).into()),
            ".{0,20}".prop_map(CorrelationId::from),
        ];
        let rest = (
            option::of(".{0,40}"),
            option::of(correlation),
            option::of(any::<[u8; 16]>()),
            vec((".{1,9}", ".{0,9}"), 0..3),
        );
        (identity, rest).prop_map(|((name, version, id, time), rest)| {
            let mut envelope = Envelope::new(&name, version, MessageId::from_bytes(id));
            envelope.published_at = Timestamp::from_nanos(time);
            envelope.key = rest.0.map(Key::from);
            envelope.correlation = rest.1;
            envelope.causation = rest.2.map(MessageId::from_bytes);
            for (name, value) in rest.3 {
                assert_eq!(envelope.headers.insert(&name, &value), Ok(()));
            }
            envelope
        })
    }

    fn read_all(bytes: &[u8], count: usize) -> Option<Vec<Record>> {
        let mut reader = Reader::new(bytes);
        let mut records = RecordReader::default();
        records.begin(&mut reader)?;
        let read = (0..count).map(|_| match records.next(&mut reader)? {
            Slot::Kept(raw) => raw.copy(),
            Slot::Dropped(_) => None,
        });
        let read = read.collect();
        if reader.is_empty() { read } else { None }
    }

    fn read_writes(bytes: &[u8]) -> Option<Vec<Write>> {
        let mut writes = Vec::new();
        each_write(bytes, |write| writes.push(write)).map(|()| writes)
    }

    #[test]
    fn records_were_dropped_in_some_number_that_is_not_0() {
        let next = |bytes: &[u8]| {
            let mut records = RecordReader::default();
            match records.next(&mut Reader::new(bytes)) {
                Some(Slot::Dropped(count)) => Some(count),
                _ => None,
            }
        };
        assert_eq!([1, 99, 0].map(|count| next(&[DROPPED, count])), [Some(1), Some(99), None]);
    }

    #[test]
    fn writes_are_shown_before_the_next_one_is_looked_at() {
        let mut shown = 0;
        assert_eq!(each_write(&[0, 0, 0, 0, 9], |_| shown += 1), None);
        assert_eq!(shown, 2);
    }

    proptest! {
        #[test]
        fn records_come_back_as_they_were(input in vec((envelope(), vec(any::<u8>(), 0..30)), 1..5)) {
            let records: Vec<Record> = input
                .into_iter()
                .map(|(envelope, payload)| Record { envelope: Arc::new(envelope), payload })
                .collect();
            let mut out = Writer::default();
            write_records(&mut out, &records);
            prop_assert_eq!(read_all(&out.0, records.len()), Some(records));
        }

        #[test]
        fn writes_come_back_as_they_were(
            input in vec((vec(any::<u8>(), 0..9), option::of(vec(any::<u8>(), 0..9))), 0..5),
        ) {
            let writes: Vec<Write> =
                input.into_iter().map(|(key, value)| Write { key, value }).collect();
            let mut out = Writer::default();
            write_writes(&mut out, &writes);
            prop_assert_eq!(read_writes(&out.0), Some(writes));
        }

        #[test]
        fn any_bytes_are_decoded_or_refused(bytes in vec(any::<u8>(), 0..200), table in 0_u8..9) {
            read_writes(&bytes);
            read_all(&bytes, 3);
            // A well-formed table, so that records are reached more often.
            let mut framed = vec![3, 0, table, 0];
            framed.extend(bytes);
            read_all(&framed, 3);
        }

        #[test]
        fn more_schemas_than_records_are_refused(records in 0..40_usize, schemas in 0..40_usize) {
            let mut out = Writer::default();
            out.prefixed(&vec![0; 3 * schemas]);
            out.bytes(&vec![0; LEAST_RECORD * records]);
            let begun = RecordReader::default().begin(&mut Reader::new(&out.0));
            prop_assert_eq!(begun.is_some(), schemas <= records);
        }

        #[test]
        fn differences_survive_zigzag(difference in any::<u64>()) {
            prop_assert_eq!(unzigzag(zigzag(difference)), difference);
        }
    }
}
