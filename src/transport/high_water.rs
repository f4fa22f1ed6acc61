//! Noticing that a broker has lost what it had accepted.

use super::{Place, Stream, StreamId};

/// How far each stream had come, by all that was seen of it: notices a stream that was made anew, and
/// one that has lost its end and gives sequences a second time. Going on from there as if nothing had
/// happened would lose events in silence.
///
/// What to note: every place of an accepted parcel, by the one who sends; or every place of an arrival, by
/// the one who receives, where arrivals come in [total order](super::Order::Total) and without delay. Keep
/// one for each.
///
/// ```
/// use tidings::transport::{HighWater, Place, Stream, StreamChange, StreamId};
///
/// let orders = StreamId::new("orders since 2026-11-23");
/// let mut seen = HighWater::new();
/// seen.look(&[Stream { id: orders.clone(), last: None }])?;
/// seen.note(&Place { stream: orders.clone(), sequence: 7 }, false)?;
///
/// // The broker comes back, and has lost the end.
/// let change = seen.look(&[Stream { id: orders, last: Some(4) }]);
/// assert!(matches!(change, Err(StreamChange::WentBack { seen: 7, now: Some(4), .. })));
/// # Ok::<(), StreamChange>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HighWater {
    streams: Vec<Stream>,
}

/// Something happened to a stream that loses or repeats events. Nothing was noted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StreamChange {
    /// A stream is no longer there: it was deleted, and perhaps made anew under the same name.
    #[error("stream {stream} is gone: what it held is lost, even if one of that name is there")]
    Gone {
        /// The one that was there.
        stream: StreamId,
    },
    /// A parcel is in a stream that was not there at the last look. [Look](HighWater::look) again: it
    /// may be one more, or take the place of one that is gone.
    #[error("stream {stream} was not there before")]
    New {
        /// The new one.
        stream: StreamId,
    },
    /// A stream is not as far as it was: it has lost its end.
    #[error("stream {stream} has lost its end: it was at {seen}, and is now at {now:?}")]
    WentBack {
        /// Which one.
        stream: StreamId,
        /// The highest sequence that was seen.
        seen: u128,
        /// The highest one that it has now.
        now: Option<u128>,
    },
}

impl HighWater {
    /// Nothing was seen yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What was seen, as [`HighWater::streams`] gave it before it was stored.
    #[must_use]
    pub fn seen(streams: Vec<Stream>) -> Self {
        Self { streams }
    }

    /// What was seen: every known stream, and the highest sequence noted of it.
    #[must_use]
    pub fn streams(&self) -> &[Stream] {
        &self.streams
    }

    /// Compares all streams with what was seen of them. One that is new is known from now on.
    ///
    /// # Errors
    /// [`StreamChange::Gone`], [`StreamChange::WentBack`].
    pub fn look(&mut self, now: &[Stream]) -> Result<(), StreamChange> {
        for known in &self.streams {
            let Some(found) = now.iter().find(|stream| stream.id == known.id) else {
                return Err(StreamChange::Gone { stream: known.id.clone() });
            };
            if let Some(seen) = known.last
                && found.last < known.last
            {
                return Err(StreamChange::WentBack {
                    stream: known.id.clone(),
                    seen,
                    now: found.last,
                });
            }
        }
        for found in now {
            if self.streams.iter().all(|known| known.id != found.id) {
                self.streams.push(Stream { id: found.id.clone(), last: None });
            }
        }
        Ok(())
    }

    /// Notes the place of a parcel. Unless it is known to be a copy, or to come again, it has to be beyond
    /// all that were noted of its stream.
    ///
    /// # Errors
    /// [`StreamChange::New`], [`StreamChange::WentBack`].
    pub fn note(&mut self, place: &Place, is_copy: bool) -> Result<(), StreamChange> {
        let Place { stream, sequence } = place;
        let Some(known) = self.streams.iter_mut().find(|known| known.id == *stream) else {
            return Err(StreamChange::New { stream: stream.clone() });
        };
        match known.last {
            Some(seen) if *sequence <= seen && !is_copy => {
                let (stream, now) = (stream.clone(), Some(*sequence));
                Err(StreamChange::WentBack { stream, seen, now })
            }
            _ => {
                // A copy may be the first that is heard of: the original's acknowledgement was lost.
                known.last = known.last.max(Some(*sequence));
                Ok(())
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // tests, though clippy does not see that
mod tests {
    use super::*;

    fn stream(name: &str, last: Option<u128>) -> Stream {
        Stream { id: StreamId::new(name), last }
    }

    fn place(name: &str, sequence: u128) -> Place {
        Place { stream: StreamId::new(name), sequence }
    }

    fn at(name: &str, last: u128) -> HighWater {
        HighWater::seen(vec![stream(name, Some(last))])
    }

    #[test]
    fn streams_that_go_on_are_fine() {
        let mut seen = HighWater::new();
        seen.look(&[stream("a", None), stream("b", Some(9))]).unwrap();
        for sequence in [1, 2, 5] {
            seen.note(&place("a", sequence), false).unwrap();
        }
        seen.note(&place("b", 3), false).unwrap(); // received from the start, though there are more
        seen.look(&[stream("b", Some(10)), stream("a", Some(5)), stream("c", Some(1))]).unwrap();
        assert_eq!(seen.streams(), [stream("a", Some(5)), stream("b", Some(3)), stream("c", None)]);
    }

    #[test]
    fn a_stream_that_lost_its_end_is_noticed_when_looked_at_and_when_a_sequence_comes_again() {
        let back = |now| Err(StreamChange::WentBack { stream: StreamId::new("a"), seen: 5, now });
        assert_eq!(at("a", 5).look(&[stream("a", Some(4))]), back(Some(4)));
        assert_eq!(at("a", 5).look(&[stream("a", None)]), back(None));
        assert_eq!(at("a", 5).note(&place("a", 5), false), back(Some(5)));
        at("a", 5).note(&place("a", 6), false).unwrap();
    }

    #[test]
    fn a_stream_that_was_made_anew_is_noticed_and_nothing_is_noted() {
        let mut seen = at("a", 5);
        let (a, anew) = (StreamId::new("a"), StreamId::new("a'"));
        assert_eq!(seen.note(&place("a'", 1), false), Err(StreamChange::New { stream: anew }));
        assert_eq!(seen.look(&[stream("a'", Some(1))]), Err(StreamChange::Gone { stream: a }));
        assert_eq!(seen, at("a", 5));
    }

    #[test]
    fn a_copy_may_be_anywhere_and_counts_all_the_same() {
        let mut seen = at("a", 5);
        seen.note(&place("a", 3), true).unwrap();
        assert_eq!(seen, at("a", 5));
        seen.note(&place("a", 9), true).unwrap();
        assert!(seen.look(&[stream("a", Some(8))]).is_err());
    }

    #[test]
    fn one_more_stream_is_no_loss() {
        let mut seen = at("a", 5);
        assert!(seen.note(&place("b", 1), false).is_err());
        seen.look(&[stream("a", Some(5)), stream("b", Some(1))]).unwrap();
        seen.note(&place("b", 1), false).unwrap();
    }
}
