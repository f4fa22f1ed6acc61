//! How many lanes a subscription has.

use std::{fmt, ops::RangeInclusive};

/// How many lanes a subscription has: a fixed number, or what its load asks for within bounds.
///
/// A number converts into a fixed one.
///
/// ```
/// use std::{thread, time::Duration};
///
/// use serde::{Deserialize, Serialize};
/// use tidings::{Bus, Event, Lanes, PoolSize};
///
/// #[derive(Serialize, Deserialize, Event)]
/// #[event(name = "orders.placed", key = "customer")]
/// struct OrderPlaced { customer: u64 }
///
/// let bus = Bus::builder().pool("mail", PoolSize::adaptive(1..=16)).build()?;
/// let mails = bus
///     .subscribe("mails")
///     .pool("mail")
///     .lanes(Lanes::adaptive(1..=16))
///     .on(|_: &OrderPlaced| thread::sleep(Duration::from_millis(2))) // calls another service
///     .start()?;
/// for customer in 0..100 {
///     bus.publish(OrderPlaced { customer })?;
/// }
/// assert!(bus.wait_idle(Duration::from_secs(60)));
/// println!("{} lanes", mails.status().lanes);
/// # Ok::<(), tidings::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lanes {
    least: u32,
    most: u32,
}

impl Lanes {
    /// So many lanes, from 1.
    #[must_use]
    pub const fn fixed(lanes: u32) -> Self {
        Self { least: lanes, most: lanes }
    }

    /// As many lanes as are of use, within these bounds, from 1. For handlers that take their time;
    /// give them a pool with as many threads.
    ///
    /// The number doubles, about every 60 ms, while events of more keys than there are lanes wait
    /// for longer than about 20 ms. Where more lanes get hardly more done, it steps back, tries again
    /// a second later, and then less and less often. When no more than a quarter of the lanes had
    /// something to do for two seconds, half of them end.
    ///
    /// A change loses nothing, repeats nothing and keeps the order of each key. It waits for handlers
    /// that run: until then, lanes that are done with theirs take nothing new. Where one takes too
    /// long, or is more than 65,536 events behind another one, the change is given up, and tried again
    /// later. Async handlers and pulled events are not waited for.
    ///
    /// While it has one lane, events without a key come in order; they do not across a change.
    #[must_use]
    pub const fn adaptive(lanes: RangeInclusive<u32>) -> Self {
        Self { least: *lanes.start(), most: *lanes.end() }
    }

    /// The fewest lanes.
    #[must_use]
    pub const fn least(self) -> u32 {
        self.least
    }

    /// The most lanes.
    #[must_use]
    pub const fn most(self) -> u32 {
        self.most
    }

    /// Whether the number may change while the subscription runs.
    pub(crate) const fn is_adaptive(self) -> bool {
        self.least < self.most
    }

    /// The number within the bounds that is the nearest to this one.
    pub(crate) fn nearest(self, lanes: u32) -> u32 {
        lanes.clamp(self.least, self.most.max(self.least))
    }
}

/// A fixed number.
impl From<u32> for Lanes {
    fn from(lanes: u32) -> Self {
        Self::fixed(lanes)
    }
}

/// As in `4` or `2 to 16`.
impl fmt::Display for Lanes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.least == self.most {
            write!(f, "{}", self.least)
        } else {
            write!(f, "{} to {}", self.least, self.most)
        }
    }
}
