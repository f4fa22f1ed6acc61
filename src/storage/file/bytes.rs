//! Little-endian numbers, varints and length-prefixed bytes: checked reading, plain writing.

/// Reads from bytes of unknown origin. Every method returns `None` where the bytes do not fit.
#[derive(Debug, Clone)]
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) fn rest(&self) -> &'a [u8] {
        self.0
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    #[inline]
    pub(super) fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    #[inline]
    pub(super) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }

    #[inline]
    pub(super) fn u8(&mut self) -> Option<u8> {
        self.array().map(|[byte]| byte)
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    #[inline]
    pub(super) fn varint(&mut self) -> Option<u64> {
        match self.0.split_first() {
            Some((&byte, rest)) if byte < 0x80 => {
                self.0 = rest;
                Some(u64::from(byte))
            }
            _ => self.long_varint(),
        }
    }

    fn long_varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            let bits = u64::from(byte & 0x7f);
            if bits << shift >> shift != bits {
                return None;
            }
            value |= bits << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    /// A number that indexes or counts something in memory.
    #[inline]
    pub(super) fn size(&mut self) -> Option<usize> {
        self.varint()?.try_into().ok()
    }

    #[inline]
    pub(super) fn prefixed(&mut self) -> Option<&'a [u8]> {
        let count = self.size()?;
        self.bytes(count)
    }

    pub(super) fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.prefixed()?).ok()
    }
}

/// Appends what [`Reader`] reads.
#[derive(Debug, Default)]
pub(super) struct Writer(pub(super) Vec<u8>);

impl Writer {
    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    pub(super) fn u8(&mut self, value: u8) {
        self.0.push(value);
    }

    pub(super) fn u32(&mut self, value: u32) {
        self.bytes(&value.to_le_bytes());
    }

    pub(super) fn u64(&mut self, value: u64) {
        self.bytes(&value.to_le_bytes());
    }

    #[allow(clippy::cast_possible_truncation)] // the low seven bits are meant
    pub(super) fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.u8(value as u8 | 0x80);
            value >>= 7;
        }
        self.u8(value as u8);
    }

    pub(super) fn size(&mut self, value: usize) {
        self.varint(value as u64);
    }

    pub(super) fn prefixed(&mut self, bytes: &[u8]) {
        self.size(bytes.len());
        self.bytes(bytes);
    }

    pub(super) fn text(&mut self, text: &str) {
        self.prefixed(text.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_varint_beyond_64_bits_is_refused() {
        assert_eq!(Reader::new(&[0xff; 10]).varint(), None);
        assert_eq!(Reader::new(&[0x80; 11]).varint(), None);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(number in any::<u64>(), text in ".{0,40}", small in any::<u8>()) {
            let mut writer = Writer::default();
            writer.varint(number);
            writer.text(&text);
            writer.varint(u64::from(small));
            writer.u64(number);
            let mut reader = Reader::new(&writer.0);
            prop_assert_eq!(reader.varint(), Some(number));
            prop_assert_eq!(reader.text(), Some(&*text));
            prop_assert_eq!(reader.varint(), Some(u64::from(small)));
            prop_assert_eq!(reader.u64(), Some(number));
            prop_assert!(reader.is_empty());
        }
    }
}
