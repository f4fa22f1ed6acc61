//! Checksums that bytes from elsewhere do not have: seeded with what they belong to, and masked.

/// What a checksum starts from: the store, and what in it the bytes belong to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seed(u32);

impl Seed {
    /// For bytes that belong to nothing that is known before they are read.
    pub(super) const NONE: Self = Self(0);

    pub(super) fn of(bytes: &[u8]) -> Self {
        Self(crc32c::crc32c(bytes))
    }

    #[must_use]
    pub(super) fn and(self, number: u64) -> Self {
        Self(crc32c::crc32c_append(self.0, &number.to_le_bytes()))
    }

    /// CRC-32C, masked: unmasked, bytes that end in their own CRC all have the same one, and no
    /// bytes at all have zero.
    pub(super) fn checksum(self, bytes: &[u8]) -> u32 {
        crc32c::crc32c_append(self.0, bytes).rotate_right(15).wrapping_add(0xa282_ead8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_masked_crc_32c() {
        // RFC 3720, B.4: 32 bytes of zeros.
        assert_eq!(crc32c::crc32c(&[0; 32]), 0x8a91_36aa);
        let masked = 0x8a91_36aa_u32.rotate_right(15).wrapping_add(0xa282_ead8);
        assert_eq!(Seed::NONE.checksum(&[0; 32]), masked);
    }

    #[test]
    fn nothing_at_all_is_not_zero() {
        assert_ne!(Seed::NONE.checksum(&[]), 0);
    }

    #[test]
    fn other_owners_have_other_checksums() {
        let (one, two) = (Seed::of(b"one"), Seed::of(b"two"));
        assert_ne!(one.checksum(b"x"), two.checksum(b"x"));
        assert_ne!(one.and(1).checksum(b"x"), one.and(2).checksum(b"x"));
    }
}
