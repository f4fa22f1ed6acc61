//! The key of an event: a short text that decides its lane.

use std::{
    borrow::Cow,
    fmt::{self, Write},
    hash::{Hash, Hasher},
    sync::Arc,
};

const INLINE: usize = 22;

/// What an event is about: a short text such as an order's id.
///
/// Keys of up to 22 bytes are stored without allocating. The text is what appears in dead letters,
/// tools and bridges. At most [`Key::MAX_LEN`] bytes; a longer one fails the publish.
#[derive(Clone)]
pub struct Key(Repr);

#[derive(Clone)]
enum Repr {
    Inline { len: u8, bytes: [u8; INLINE] },
    Shared(Arc<str>),
}

impl Key {
    /// The longest key that can be published, in bytes.
    pub const MAX_LEN: usize = 1024;

    /// A key with this text.
    #[must_use]
    pub fn new(text: &str) -> Self {
        if text.len() > INLINE {
            return Self(Repr::Shared(text.into()));
        }
        let mut bytes = [0; INLINE];
        bytes[..text.len()].copy_from_slice(text.as_bytes());
        #[allow(clippy::cast_possible_truncation)] // at most INLINE
        Self(Repr::Inline { len: text.len() as u8, bytes })
    }

    /// A key from anything that prints, for types without [`ToKey`].
    #[must_use]
    pub fn display(value: impl fmt::Display) -> Self {
        let mut short = Short { bytes: [0; INLINE], len: 0 };
        match write!(short, "{value}") {
            Ok(()) => Self(Repr::Inline { len: short.len, bytes: short.bytes }),
            Err(fmt::Error) => Self::new(&value.to_string()),
        }
    }

    /// The key of a number: as it prints, without the detour through formatting.
    fn number(is_negative: bool, magnitude: u64) -> Self {
        let (mut digits, mut at, mut rest) = ([0; INLINE], INLINE, magnitude);
        loop {
            at -= 1;
            digits[at] = b'0' + (rest % 10) as u8;
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        if is_negative {
            at -= 1;
            digits[at] = b'-';
        }
        let mut bytes = [0; INLINE];
        bytes[..INLINE - at].copy_from_slice(&digits[at..]);
        #[allow(clippy::cast_possible_truncation)] // at most INLINE: 20 digits and a sign
        Self(Repr::Inline { len: (INLINE - at) as u8, bytes })
    }

    /// The key's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Repr::Inline { len, bytes } => {
                std::str::from_utf8(&bytes[..usize::from(*len)]).unwrap_or_default()
            }
            Repr::Shared(text) => text,
        }
    }

    fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Repr::Inline { len, bytes } => &bytes[..usize::from(*len)],
            Repr::Shared(text) => text.as_bytes(),
        }
    }

    /// What decides the lane of this key. Stable for ever: cursors on disk depend on it.
    pub(crate) fn hash(&self) -> u32 {
        crc32c::crc32c(self.as_bytes())
    }

    /// The lane among `lanes` of keys with this hash. Stable for ever, too.
    pub(crate) fn lane_of(hash: u32, lanes: u32) -> u32 {
        #[allow(clippy::cast_possible_truncation)] // below `lanes`
        let lane = ((u64::from(hash) * u64::from(lanes)) >> 32) as u32;
        lane
    }

    /// The lane of this key among `lanes`.
    pub(crate) fn lane(&self, lanes: u32) -> u32 {
        Self::lane_of(self.hash(), lanes)
    }
}

/// Room for a key that is stored without allocating.
struct Short {
    bytes: [u8; INLINE],
    len: u8,
}

impl fmt::Write for Short {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let from = usize::from(self.len);
        let to = from + text.len();
        self.bytes.get_mut(from..to).ok_or(fmt::Error)?.copy_from_slice(text.as_bytes());
        self.len = u8::try_from(to).map_err(|_| fmt::Error)?;
        Ok(())
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({:?})", self.as_str())
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl PartialEq for Key {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            // All of both, since what is behind the text is zero.
            (Repr::Inline { len, bytes }, Repr::Inline { len: other, bytes: others }) => {
                len == other && bytes == others
            }
            _ => self.as_bytes() == other.as_bytes(),
        }
    }
}

impl Eq for Key {}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Key {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }
}

impl From<&str> for Key {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl From<&String> for Key {
    fn from(text: &String) -> Self {
        Self::new(text)
    }
}

impl From<String> for Key {
    fn from(text: String) -> Self {
        Self::new(&text)
    }
}

/// Types that can be an event's key. `None` means "no key".
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be an event's key",
    label = "not a key",
    note = "keys are integers, text, `bool`, `char` or an `Option` of these",
    note = "for any other type write `key_with = \"function\"`, with `fn function(event: &Event) -> impl ToKey`"
)]
pub trait ToKey {
    /// This value as a key.
    fn to_key(&self) -> Option<Key>;
}

impl ToKey for str {
    fn to_key(&self) -> Option<Key> {
        Some(Key::new(self))
    }
}

impl ToKey for Key {
    fn to_key(&self) -> Option<Key> {
        Some(self.clone())
    }
}

impl<T: ToKey> ToKey for Option<T> {
    fn to_key(&self) -> Option<Key> {
        self.as_ref().and_then(T::to_key)
    }
}

macro_rules! delegate_to_key {
    ($($pointer:ty),*) => {$(
        impl<T: ToKey + ?Sized + ToOwned> ToKey for $pointer {
            fn to_key(&self) -> Option<Key> {
                (**self).to_key()
            }
        }
    )*};
}
delegate_to_key!(&T, Box<T>, Arc<T>, Cow<'_, T>);

impl ToKey for String {
    fn to_key(&self) -> Option<Key> {
        self.as_str().to_key()
    }
}

macro_rules! printed_to_key {
    ($($printed:ty),*) => {$(
        impl ToKey for $printed {
            fn to_key(&self) -> Option<Key> {
                Some(Key::display(self))
            }
        }

        impl From<$printed> for Key {
            fn from(value: $printed) -> Self {
                Self::display(value)
            }
        }
    )*};
}
printed_to_key!(bool, char, i128, u128);

macro_rules! number_to_key {
    ($($number:ty => |$value:ident| $magnitude:expr),* $(,)?) => {$(
        impl ToKey for $number {
            fn to_key(&self) -> Option<Key> {
                Some(Key::from(*self))
            }
        }

        impl From<$number> for Key {
            #[inline]
            fn from($value: $number) -> Self {
                let (is_negative, magnitude) = $magnitude;
                Self::number(is_negative, magnitude)
            }
        }
    )*};
}
number_to_key! {
    u8 => |value| (false, u64::from(value)),
    u16 => |value| (false, u64::from(value)),
    u32 => |value| (false, u64::from(value)),
    u64 => |value| (false, value),
    usize => |value| (false, value as u64),
    i8 => |value| (value < 0, u64::from(value.unsigned_abs())),
    i16 => |value| (value < 0, u64::from(value.unsigned_abs())),
    i32 => |value| (value < 0, u64::from(value.unsigned_abs())),
    i64 => |value| (value < 0, value.unsigned_abs()),
    isize => |value| (value < 0, value.unsigned_abs() as u64),
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn integers_and_text_print_as_they_read() {
        assert_eq!(Key::from(7_u64).as_str(), "7");
        assert_eq!(Key::from("eu-1").as_str(), "eu-1");
        assert_eq!(Some(&"x".to_owned()).to_key(), Some(Key::new("x")));
        assert_eq!(None::<u8>.to_key(), None);
    }

    #[test]
    fn lanes_of_known_keys_never_move() {
        let lanes = ["", "1", "2", "order-3", "a"].map(|text| Key::new(text).lane(8));
        assert_eq!(lanes, [0, 4, 4, 5, 6]);
    }

    proptest! {
        #[test]
        fn a_key_keeps_its_text(text in ".{0,40}") {
            let key = Key::new(&text);
            prop_assert_eq!(key.as_str(), text);
        }

        #[test]
        fn what_prints_is_the_same_key_as_its_text(first in ".{0,30}", second in ".{0,10}") {
            let text = format!("{first}{second}");
            prop_assert_eq!(Key::display(format_args!("{first}{second}")), Key::new(&text));
        }

        #[test]
        fn a_number_is_the_key_of_its_text(number: i64, shift in 0..64_u32) {
            for number in [number, number >> shift, i64::MIN, i64::MAX, 0] {
                prop_assert_eq!(Key::from(number), Key::new(&number.to_string()));
                let unsigned = number.cast_unsigned();
                prop_assert_eq!(Key::from(unsigned), Key::new(&unsigned.to_string()));
            }
        }

        #[test]
        fn a_lane_is_below_the_number_of_lanes(text in ".{0,40}", lanes in 1_u32..300) {
            prop_assert!(Key::new(&text).lane(lanes) < lanes);
        }
    }
}
