//! `MANIFEST`.

use super::bytes::checked;

pub(super) struct Manifest {
    pub(super) store: [u8; 16],
    pub(super) timeline: u64,
    pub(super) durable: u64,
    pub(super) state_seq: u64,
    /// With length, seq and CRC of the log's end; zeros in phase 0.
    pub(super) phase: (u8, (u64, u64, u32)),
    pub(super) segments: Vec<Named>,
    pub(super) runs: Vec<Run>,
}

pub(super) struct Named {
    pub(super) id: u64,
    pub(super) epoch: u64,
    pub(super) position: u64,
    pub(super) seq: u64,
    pub(super) seal: Option<(u64, u32)>,
    pub(super) rewritten: u64,
    pub(super) original: Option<(u64, u32)>,
}

pub(super) struct Run {
    pub(super) id: u64,
    pub(super) len: u64,
    pub(super) crc: u32,
}

pub(super) fn read(bytes: &[u8]) -> Manifest {
    let mut bytes = checked(bytes, 0);
    bytes.start(*b"tidmanif");
    let length = bytes.u32();
    assert_eq!(length as usize, bytes.0.len());
    assert!(bytes.u64() > 0, "no generation");
    let store = bytes.array();
    let (timeline, epoch, durable) = (bytes.u64(), bytes.u64(), bytes.u64());
    let (state_seq, next_run) = (bytes.u64(), bytes.u64());
    assert!(state_seq <= durable);
    let phase = match bytes.u8() {
        0 => (0, (0, 0, 0)),
        phase @ (1 | 2) => (phase, (bytes.u64(), bytes.u64(), bytes.u32())),
        phase => panic!("phase {phase}"),
    };
    let mut segments: Vec<Named> = Vec::new();
    for _ in 0..bytes.varint() {
        let (id, epoch, position) = (bytes.varint(), bytes.varint(), bytes.varint());
        let seq = bytes.varint();
        let seal = match bytes.u8() {
            0 => None,
            1 => Some(bytes.seal()),
            other => panic!("sealed {other}"),
        };
        let rewritten = bytes.varint();
        let original = (rewritten > 0).then(|| bytes.seal());
        segments.push(Named { id, epoch, position, seq, seal, rewritten, original });
    }
    let count = bytes.varint();
    let run = |_| Run { id: bytes.varint(), len: bytes.varint(), crc: bytes.u32() };
    let runs: Vec<Run> = (0..count).map(run).collect();
    for _ in 0..bytes.varint() {
        assert!(bytes.varint() < next_run);
    }
    bytes.end();
    assert!(segments.windows(2).all(|two| two[0].id + 1 == two[1].id));
    assert!(segments.iter().all(|segment| segment.epoch <= epoch));
    assert!(runs.iter().all(|run| run.id < next_run));
    let (last, sealed) = segments.split_last().unwrap();
    assert!(last.seal.is_none() && sealed.iter().all(|segment| segment.seal.is_some()));
    Manifest { store, timeline, durable, state_seq, phase, segments, runs }
}
