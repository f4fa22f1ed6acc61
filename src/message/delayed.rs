//! Messages that are to be published later.

use std::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::{Message, MessageId, ParseIdError};
use crate::{event::Event, runtime::Timestamp};

/// A message that is to be published later: what [`Message::delay`] and [`Message::deliver_at`] make,
/// and [`Bus::schedule`](crate::Bus::schedule) or [`Context::schedule`](crate::Context::schedule) takes.
#[derive(Debug, Clone)]
#[must_use = "a delayed message is to be given to `schedule`"]
pub struct Delayed<E> {
    message: Message<E>,
    when: When,
}

#[derive(Debug, Clone, Copy)]
enum When {
    After(Duration),
    At(Timestamp),
}

impl<E: Event> Message<E> {
    /// Has the message published so long after it was scheduled.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use serde::{Deserialize, Serialize};
    /// # #[derive(Serialize, Deserialize)] struct ReminderDue { user: u64 }
    /// # impl tidings::Event for ReminderDue { const NAME: &'static str = "reminders.due"; }
    /// use tidings::{Bus, Message};
    ///
    /// let bus = Bus::volatile();
    /// let day = Duration::from_secs(24 * 60 * 60);
    /// let scheduled = bus.schedule(Message::new(ReminderDue { user: 7 }).delay(day))?;
    /// assert!(bus.cancel(&scheduled)?);
    /// # Ok::<(), tidings::Error>(())
    /// ```
    pub fn delay(self, delay: Duration) -> Delayed<E> {
        Delayed { message: self, when: When::After(delay) }
    }

    /// Has the message published at that time, or at once where it has passed.
    pub fn deliver_at(self, time: Timestamp) -> Delayed<E> {
        Delayed { message: self, when: When::At(time) }
    }
}

impl<E> Delayed<E> {
    /// When it is due, if it is scheduled `now`.
    pub(crate) fn due(&self, now: Timestamp) -> Timestamp {
        match self.when {
            When::After(delay) => now.plus(delay),
            When::At(time) => time,
        }
    }

    /// The same around another message, if there is one.
    pub(crate) fn try_map<Er>(
        self,
        map: impl FnOnce(Message<E>) -> Result<Message<E>, Er>,
    ) -> Result<Self, Er> {
        Ok(Self { message: map(self.message)?, when: self.when })
    }

    /// The message inside.
    #[must_use]
    pub fn into_message(self) -> Message<E> {
        self.message
    }
}

/// A message that waits for its time: what scheduling one gives back, to cancel it by.
///
/// As text (and in serde, so that it can be kept in state) it is `id@nanoseconds`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Scheduled {
    due: Timestamp,
    id: MessageId,
}

impl Scheduled {
    pub(crate) fn new(due: Timestamp, id: MessageId) -> Self {
        Self { due, id }
    }

    /// When it is to be published.
    #[must_use]
    pub fn due(&self) -> Timestamp {
        self.due
    }

    /// The message's id, which it keeps when it is published.
    #[must_use]
    pub fn id(&self) -> MessageId {
        self.id
    }
}

impl fmt::Display for Scheduled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.id, self.due.as_nanos())
    }
}

impl FromStr for Scheduled {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let (id, due) = text.split_once('@').ok_or(ParseIdError)?;
        let due = due.parse().map_err(|_| ParseIdError)?;
        Ok(Self::new(Timestamp::from_nanos(due), id.parse()?))
    }
}

impl Serialize for Scheduled {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Scheduled {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_scheduled_is_found_again_from_its_text(bytes in any::<[u8; 16]>(), due: u64) {
            let scheduled =
                Scheduled::new(Timestamp::from_nanos(due), MessageId::from_bytes(bytes));
            prop_assert_eq!(scheduled.to_string().parse(), Ok(scheduled));
            let json = serde_json::to_string(&scheduled).unwrap_or_default();
            prop_assert_eq!(serde_json::from_str(&json).ok(), Some(scheduled));
        }
    }
}
