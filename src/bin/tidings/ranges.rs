//! Positions and ranges of positions, as arguments.

use std::ops::RangeInclusive;

use tidings::Position;

/// Ranges of positions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ranges(pub(crate) Vec<RangeInclusive<Position>>);

pub(crate) fn position(text: &str) -> Result<Position, String> {
    let number = text.trim().parse().ok().and_then(Position::new);
    number.ok_or_else(|| "positions are numbers from 1".to_owned())
}

/// `4711..=4803,5000,6000..6010`, where the last one ends before 6010.
pub(crate) fn parse(text: &str) -> Result<Ranges, String> {
    text.split(',').map(range).collect::<Result<_, _>>().map(Ranges)
}

fn range(text: &str) -> Result<RangeInclusive<Position>, String> {
    let Some((first, last)) = text.split_once("..") else {
        return position(text).map(|at| at..=at);
    };
    let (first, last) = match last.strip_prefix('=') {
        Some(last) => (position(first)?, position(last)?),
        None => {
            let end = position(last)?.get();
            let last = Position::new(end - 1).ok_or("the range is empty")?;
            (position(first)?, last)
        }
    };
    if first > last { Err("the range is empty".to_owned()) } else { Ok(first..=last) }
}

/// As it can be given as an argument.
pub(crate) fn show(ranges: &[RangeInclusive<Position>]) -> String {
    let show = |range: &RangeInclusive<Position>| match (range.start(), range.end()) {
        (first, last) if first == last => first.to_string(),
        (first, last) => format!("{first}..={last}"),
    };
    ranges.iter().map(show).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_they_are_shown() {
        for (text, shown) in
            [("4711..=4803", "4711..=4803"), ("1..3,7", "1..=2,7"), (" 5 ..= 5 ", "5")]
        {
            assert_eq!(parse(text).map(|ranges| show(&ranges.0)), Ok(shown.to_owned()));
        }
        for wrong in ["", "0", "3..3", "9..=8", "..", "1..=", "-1", "1,,2", "x", "..1"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
