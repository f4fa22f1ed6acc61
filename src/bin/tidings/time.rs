//! Points in time, as arguments.

use tidings::Timestamp;

/// A point in time.
pub(crate) type Time = Timestamp;

/// `2026-11-23T12:00:00.5Z`, also with an offset such as `+01:00`; `2026-11-23`; seconds since 1970.
pub(crate) fn parse(text: &str) -> Result<Time, String> {
    let wrong = || format!("`{text}` is no time such as 2026-11-23T12:00:00Z or 2026-11-23");
    let nanos = match text.parse::<u64>() {
        Ok(seconds) => seconds.checked_mul(1_000_000_000),
        Err(_) => date_and_time(text),
    };
    nanos.map(Timestamp::from_nanos).ok_or_else(wrong)
}

fn date_and_time(text: &str) -> Option<u64> {
    let (date, time) = text.split_once(['T', 't', ' ']).unwrap_or((text, "00:00:00Z"));
    let mut parts = date.split('-');
    let (year, month, day) =
        (number(parts.next()?, 4)?, number(parts.next()?, 2)?, number(parts.next()?, 2)?);
    if parts.next().is_some() || !(1970..=2553).contains(&year) || !(1..=12).contains(&month) {
        return None;
    }
    if !(1..=days_in(year, month)).contains(&day) {
        return None;
    }
    let days = days_before(year, month) + day - 1;
    let nanos = i128::from(days) * 86_400_000_000_000 + time_of_day(time)?;
    nanos.try_into().ok()
}

/// Nanoseconds since midnight (UTC), which may be on another day.
fn time_of_day(text: &str) -> Option<i128> {
    let (time, offset) = match text.strip_suffix(['Z', 'z']) {
        Some(time) => (time, 0),
        None => {
            let at = text.rfind(['+', '-'])?;
            let (time, offset) = text.split_at_checked(at)?;
            let (hours, minutes) = offset.get(1..)?.split_once(':')?;
            let minutes = number(hours, 2)? * 60 + number(minutes, 2).filter(|it| *it < 60)?;
            (time, if offset.starts_with('-') { -minutes } else { minutes })
        }
    };
    let (clock, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let mut parts = clock.split(':');
    let hour = number(parts.next()?, 2).filter(|hour| *hour < 24)?;
    let minute = number(parts.next()?, 2).filter(|minute| *minute < 60)?;
    let second = number(parts.next().unwrap_or("00"), 2).filter(|second| *second < 60)?;
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if parts.next().is_some() || !is_number(fraction) || !(1..=9).contains(&fraction.len()) {
        return None;
    }
    let nanos: i64 = format!("{fraction:0<9}").parse().ok()?;
    let minutes = hour * 60 + minute - offset;
    Some(i128::from(minutes * 60 + second) * 1_000_000_000 + i128::from(nanos))
}

fn number(text: &str, digits: usize) -> Option<i64> {
    let all = text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit());
    all.then(|| text.parse().ok()).flatten()
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 => 28 + i64::from(is_leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// From 1970 to the start of a month.
fn days_before(year: i64, month: i64) -> i64 {
    let years: i64 = (1970..year).map(|year| 365 + i64::from(is_leap(year))).sum();
    years + (1..month).map(|month| days_in(year, month)).sum::<i64>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_they_are_shown() {
        for text in
            ["1970-01-01T00:00:00.000Z", "2000-02-29T23:59:59.999Z", "2026-11-23T12:00:00.000Z"]
        {
            assert_eq!(parse(text).map(|time| time.to_string()), Ok(text.to_owned()));
        }
        let same = "2026-11-23T12:00:00.000Z".to_owned();
        for text in [
            "2026-11-23 12:00Z",
            "2026-11-23T13:30:00+01:30",
            "2026-11-23T11:00:00.0-01:00",
            "1795435200",
        ] {
            assert_eq!(parse(text).map(|time| time.to_string()), Ok(same.clone()), "{text}");
        }
        assert_eq!(parse("2026-11-23"), parse("2026-11-23T00:00:00Z"));
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "now",
            "2026-13-01",
            "2025-02-29",
            "2026-11-23T24:00:00Z",
            "2026-11-23T12:00:00",
            "1969-12-31",
            "99999999999999999999",
            "2026-11-23T12:00:00.Z",
            "2026-11-23T00:00:00+é",
            "1970-01-01T00:00:00+01:00",
            "26-11-23",
            "2026-11-23T12:00:00.1234567890Z",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
