//! Encodings and checksums.

pub(super) struct Bytes<'a>(pub(super) &'a [u8]);

pub(super) fn append(crc: u32, bytes: &[u8]) -> u32 {
    crc32c::crc32c_append(crc, bytes)
}

pub(super) fn masked(seed: u32, bytes: &[u8]) -> u32 {
    append(seed, bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

impl<'a> Bytes<'a> {
    pub(super) fn take(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count);
        self.0 = rest;
        taken
    }

    pub(super) fn array<const N: usize>(&mut self) -> [u8; N] {
        self.take(N).try_into().unwrap()
    }

    pub(super) fn u8(&mut self) -> u8 {
        u8::from_le_bytes(self.array())
    }

    pub(super) fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.array())
    }

    pub(super) fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.array())
    }

    pub(super) fn varint(&mut self) -> u64 {
        let mut value: u128 = 0;
        for at in 0..10 {
            let byte = self.u8();
            value |= u128::from(byte & 0x7f) << (7 * at);
            if byte & 0x80 == 0 {
                return value.try_into().unwrap();
            }
        }
        panic!("a varint is too long");
    }

    pub(super) fn zigzag(&mut self) -> i64 {
        let value = self.varint();
        let half = i64::try_from(value / 2).unwrap();
        if value.is_multiple_of(2) { half } else { -half - 1 }
    }

    pub(super) fn size(&mut self) -> usize {
        self.varint().try_into().unwrap()
    }

    pub(super) fn prefixed(&mut self) -> &'a [u8] {
        let count = self.size();
        self.take(count)
    }

    pub(super) fn text(&mut self) -> String {
        String::from_utf8(self.prefixed().to_vec()).unwrap()
    }

    pub(super) fn value(&mut self) -> Option<Vec<u8>> {
        match self.size() {
            0 => None,
            more => Some(self.take(more - 1).to_vec()),
        }
    }

    /// Position, seq, offset.
    pub(super) fn mark(&mut self) -> (u64, u64, u64) {
        (self.varint(), self.varint(), self.varint())
    }

    /// Length, CRC.
    pub(super) fn seal(&mut self) -> (u64, u32) {
        (self.varint(), self.u32())
    }

    /// Magic, version and features.
    pub(super) fn start(&mut self, magic: [u8; 8]) {
        assert_eq!(self.take(8), magic);
        assert_eq!(self.u32(), 1, "another version");
        assert_eq!(self.u32(), 0, "unknown features");
    }

    pub(super) fn end(&self) {
        assert!(self.0.is_empty(), "{} bytes too many", self.0.len());
    }
}

/// The bytes before the checksum at their end, which fits.
pub(super) fn checked(bytes: &[u8], seed: u32) -> Bytes<'_> {
    let (covered, crc) = bytes.split_last_chunk().unwrap();
    assert_eq!(u32::from_le_bytes(*crc), masked(seed, covered), "a checksum does not fit");
    Bytes(covered)
}

#[test]
fn checksums_are_those_of_the_description() {
    assert_eq!(append(0, b"123456789"), 0xe306_9283);
    assert_eq!(append(append(0, b"1234"), b"56789"), 0xe306_9283);
}
