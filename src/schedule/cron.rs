//! When something is due, by a calendar.

use std::{fmt, str::FromStr};

use jiff::tz::TimeZone;

use crate::{bus::Error, runtime::Timestamp};

/// When something is due, by a calendar: five fields (minute, hour, day of the month, month, day of the week), or
/// six with seconds before them, as cron has them, and `L`, `#` and `W` besides. In UTC, unless
/// [`in_zone`](Self::in_zone) says otherwise.
///
/// ```
/// use tidings::Cron;
///
/// let cron: Cron = "0 9 * * MON#1".parse()?; // at nine on the first Monday of each month
/// let cron = cron.in_zone("America/New_York")?;
/// assert!("every now and then".parse::<Cron>().is_err());
/// # drop(cron);
/// # Ok::<(), tidings::CronError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Cron {
    pattern: croner::Cron,
    zone: TimeZone,
}

/// Why there is no such calendar.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CronError {
    /// It is not a pattern.
    #[error("`{pattern}` is no cron pattern: {reason}")]
    Pattern {
        /// What was given.
        pattern: String,
        /// What is wrong with it.
        reason: String,
    },
    /// There is no such time zone.
    #[error("there is no time zone `{zone}`")]
    Zone {
        /// What was given.
        zone: String,
    },
}

impl From<CronError> for Error {
    fn from(error: CronError) -> Self {
        Self::Other(error.into())
    }
}

impl Cron {
    /// The same by the clocks of a time zone of the IANA database, such as `Europe/Berlin`. A time that is
    /// left out when clocks are set forward is due right after, and one that comes twice is due once.
    ///
    /// # Errors
    /// There is no such zone.
    pub fn in_zone(mut self, zone: &str) -> Result<Self, CronError> {
        let unknown = |_| CronError::Zone { zone: zone.to_owned() };
        self.zone = TimeZone::get(zone).map_err(unknown)?;
        Ok(self)
    }

    /// The first time that is due after another, if there is any.
    ///
    /// ```
    /// use tidings::{Cron, Timestamp};
    ///
    /// let cron: Cron = "*/15 * * * *".parse()?;
    /// let first = cron.next_after(Timestamp::UNIX_EPOCH);
    /// assert_eq!(first, Some(Timestamp::from_nanos(900_000_000_000)));
    /// # Ok::<(), tidings::CronError>(())
    /// ```
    #[must_use]
    pub fn next_after(&self, time: Timestamp) -> Option<Timestamp> {
        let time = jiff::Timestamp::from_nanosecond(i128::from(time.as_nanos())).ok()?;
        let next =
            self.pattern.find_next_occurrence(&time.to_zoned(self.zone.clone()), false).ok()?;
        let nanos = u64::try_from(next.timestamp().as_nanosecond()).ok()?;
        Some(Timestamp::from_nanos(nanos))
    }
}

impl FromStr for Cron {
    type Err = CronError;

    fn from_str(pattern: &str) -> Result<Self, CronError> {
        let wrong = |error: croner::errors::CronError| CronError::Pattern {
            pattern: pattern.to_owned(),
            reason: error.to_string(),
        };
        Ok(Self { pattern: pattern.parse().map_err(wrong)?, zone: TimeZone::UTC })
    }
}

impl fmt::Display for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let zone = self.zone.iana_name().unwrap_or("UTC");
        write!(f, "{} {zone}", self.pattern.as_str())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        let time: jiff::Timestamp = text.parse().unwrap();
        Timestamp::from_nanos(time.as_nanosecond().try_into().unwrap())
    }

    fn due(pattern: &str, zone: &str, after: &str, count: usize) -> Vec<Timestamp> {
        let cron = pattern.parse::<Cron>().unwrap().in_zone(zone).unwrap();
        std::iter::successors(cron.next_after(at(after)), |last| cron.next_after(*last))
            .take(count)
            .collect()
    }

    #[test]
    fn it_is_due_by_the_clocks_of_its_zone() {
        let nine = due("0 9 * * *", "Europe/Berlin", "2026-11-29T12:00:00Z", 2);
        assert_eq!(nine, [at("2026-11-30T08:00:00Z"), at("2026-12-01T08:00:00Z")]);
        let seconds = due("*/20 * * * * *", "UTC", "2026-11-29T12:00:05Z", 2);
        assert_eq!(seconds, [at("2026-11-29T12:00:20Z"), at("2026-11-29T12:00:40Z")]);
    }

    /// At 2:30 there is no such time in the night of 29 March 2026, and it comes twice on 25 October.
    #[test]
    fn each_day_has_one_however_clocks_are_set() {
        let spring = due("30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", 2);
        assert_eq!(spring.len(), 2);
        assert!(spring[0] >= at("2026-03-29T01:00:00Z") && spring[0] < at("2026-03-29T02:00:00Z"));
        assert_eq!(spring[1], at("2026-03-30T00:30:00Z"));
        let autumn = due("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", 2);
        assert_eq!(autumn[1], at("2026-10-26T01:30:00Z"));
    }

    #[test]
    fn what_never_comes_is_never_due() {
        assert_eq!(due("0 0 30 2 *", "UTC", "2026-11-29T12:00:00Z", 1), []);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let error = "61 * * * *".parse::<Cron>().unwrap_err();
        assert!(error.to_string().starts_with("`61 * * * *` is no cron pattern"), "{error}");
        let error = "* * * * *".parse::<Cron>().unwrap().in_zone("Europe/Atlantis").unwrap_err();
        assert_eq!(error.to_string(), "there is no time zone `Europe/Atlantis`");
    }
}
