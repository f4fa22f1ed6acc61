//! How many lanes a subscription should have.
//!
//! It grows while more keys wait than there are lanes: lanes are what keeps their events apart. More
//! lanes are of no use where handlers compute and the cores are taken, where the pool has no threads
//! for them, or where one key has most of the events. Only trying tells: if more lanes get too little
//! more done they are taken back, and none are tried again for a while.

use std::time::Duration;

use crate::{policy::Lanes, runtime::Tick};

/// How often to look, while there is something to see. Also how long an event has to wait to count.
pub(super) const LOOK: Duration = Duration::from_millis(20);

/// What a number of lanes gets done is measured for so long, at least.
const MEASURE: Duration = Duration::from_millis(40);

/// More lanes have so long to show what they are good for. The pool may have to grow as well.
const TRIAL: Duration = Duration::from_millis(200);

/// Events for each lane, from which a measurement tells one number of lanes from another.
const ENOUGH: u64 = 4;

/// Handlers that have not done as much in so long wait for something, and so lanes help.
const LONG: Duration = Duration::from_millis(500);

/// After lanes were taken back: how long until more are tried. Doubles each time, up to the most.
const HOLD: Duration = Duration::from_secs(1);
const MOST_HOLD: Duration = Duration::from_mins(1);

/// Half of the lanes end when no more than a quarter was busy for so long.
const REST: Duration = Duration::from_secs(2);

/// What a look at a subscription finds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Load {
    pub(super) now: Tick,
    pub(super) lanes: u32,
    /// How many different keys have events that waited for longer than [`LOOK`]. Counted no further
    /// than to one more than there are lanes.
    pub(super) keys: u32,
    /// How many lanes were busy since the last look, on average.
    pub(super) busy: f64,
    /// Attempts made, ever.
    pub(super) done: u64,
    /// Fewer lanes could hold what these hold.
    pub(super) fits: bool,
}

#[derive(Debug)]
pub(super) struct Sizing {
    bounds: Lanes,
    /// Where the measurement began that goes on while keys wait.
    measured: Option<Start>,
    /// What these, or fewer, lanes got done when it was last measured.
    baseline: Option<Baseline>,
    hold: Duration,
    held_until: Tick,
    /// Since when too many lanes had nothing to do.
    spare: Option<Tick>,
}

#[derive(Debug, Clone, Copy)]
struct Start {
    at: Tick,
    done: u64,
}

#[derive(Debug, Clone, Copy)]
struct Baseline {
    lanes: u32,
    /// Attempts a second.
    rate: f64,
}

impl Sizing {
    pub(super) fn new(bounds: Lanes) -> Self {
        let (measured, baseline, spare) = (None, None, None);
        Self { bounds, measured, baseline, hold: HOLD, held_until: Tick::ZERO, spare }
    }

    /// The number of lanes to have, if that is another one.
    pub(super) fn look(&mut self, load: &Load) -> Option<u32> {
        let lanes = if load.presses() { self.look_at_queue(load) } else { self.look_at_rest(load) };
        let lanes = self.bounds.nearest(lanes);
        (lanes != load.lanes).then_some(lanes)
    }

    /// Whether it is about to have fewer lanes, if nothing comes.
    pub(super) fn is_shrinking(&self) -> bool {
        self.spare.is_some()
    }

    /// A change could not be made.
    pub(super) fn note_failure(&mut self, now: Tick) {
        (self.measured, self.baseline, self.spare) = (None, None, None);
        self.hold(now);
    }

    fn look_at_rest(&mut self, load: &Load) -> u32 {
        (self.measured, self.baseline) = (None, None);
        let is_spare = load.lanes > self.bounds.least()
            && load.fits
            && load.busy <= f64::from(load.lanes) / 4.0;
        if !is_spare {
            self.spare = None;
            return load.lanes;
        }
        let since = *self.spare.get_or_insert(load.now);
        if load.now.saturating_sub(since) < REST || load.now < self.held_until {
            return load.lanes;
        }
        self.spare = None;
        load.lanes.div_ceil(2)
    }

    fn look_at_queue(&mut self, load: &Load) -> u32 {
        self.spare = None;
        let start = *self.measured.get_or_insert(Start::new(load));
        let (time, done) = (load.now.saturating_sub(start.at), load.done - start.done);
        if time < MEASURE || load.now < self.held_until {
            return load.lanes;
        }
        if done >= ENOUGH * u64::from(load.lanes) {
            return self.compare(load, time, per_second(done, time));
        }
        if time < LONG {
            return load.lanes;
        }
        self.baseline = None;
        self.grow(load)
    }

    fn compare(&mut self, load: &Load, time: Duration, rate: f64) -> u32 {
        let before = self.baseline.filter(|baseline| baseline.lanes < load.lanes);
        if let Some(before) = before.filter(|before| !before.is_surpassed(load.lanes, rate)) {
            if time < TRIAL {
                return load.lanes;
            }
            self.hold(load.now);
            (self.measured, self.baseline) = (None, None);
            return before.lanes;
        }
        if before.is_some() {
            self.hold = HOLD;
        }
        self.baseline = Some(Baseline { lanes: load.lanes, rate });
        self.grow(load)
    }

    fn grow(&mut self, load: &Load) -> u32 {
        self.measured = None;
        load.lanes.saturating_mul(2)
    }

    fn hold(&mut self, now: Tick) {
        self.held_until = now.saturating_add(self.hold);
        self.hold = self.hold.saturating_mul(2).min(MOST_HOLD);
    }
}

impl Load {
    /// Whether more lanes would keep more keys apart.
    fn presses(&self) -> bool {
        self.keys > self.lanes
    }
}

impl Start {
    fn new(load: &Load) -> Self {
        Self { at: load.now, done: load.done }
    }
}

impl Baseline {
    /// By at least half of what the new lanes would add, were they as good as the old ones.
    fn is_surpassed(&self, lanes: u32, rate: f64) -> bool {
        let more = f64::from(lanes) / f64::from(self.lanes) - 1.0;
        rate >= self.rate * (1.0 + more / 2.0)
    }
}

#[allow(clippy::cast_precision_loss)] // far below 2^52
fn per_second(count: u64, time: Duration) -> f64 {
    count as f64 / time.as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// A subscription in a time of its own.
    struct Driven {
        sizing: Sizing,
        load: Load,
        /// Events that so many lanes handle in a second.
        rate: fn(u32) -> f64,
        done: f64,
        /// The numbers of lanes that it had, with the time at which it got each.
        sizes: Vec<(Tick, u32)>,
    }

    impl Driven {
        fn new(bounds: Lanes, rate: fn(u32) -> f64) -> Self {
            let (now, lanes) = (Tick::ZERO, bounds.least());
            let load = Load { now, lanes, keys: 0, busy: 0.0, done: 0, fits: true };
            let sizes = vec![(Tick::ZERO, lanes)];
            Self { sizing: Sizing::new(bounds), load, rate, done: 0.0, sizes }
        }

        /// Lets this time pass while so many keys have more to do than can be done.
        fn press(&mut self, keys: u32, time: Duration) {
            self.run(time, |load| (keys.min(load.lanes + 1), f64::from(load.lanes.min(keys))));
        }

        /// Lets this time pass while so many lanes are busy, and nothing waits.
        fn rest(&mut self, busy: f64, time: Duration) {
            self.run(time, |_| (0, busy));
        }

        fn run(&mut self, time: Duration, load: impl Fn(&Load) -> (u32, f64)) {
            let end = self.load.now + time;
            while self.load.now < end {
                self.load.now += LOOK;
                (self.load.keys, self.load.busy) = load(&self.load);
                if self.load.busy > 0.0 {
                    self.done += (self.rate)(self.load.lanes) * LOOK.as_secs_f64();
                }
                while self.done >= 1.0 {
                    self.done -= 1.0;
                    self.load.done += 1;
                }
                if let Some(lanes) = self.sizing.look(&self.load) {
                    self.load.lanes = lanes;
                    self.sizes.push((self.load.now, lanes));
                }
            }
        }

        fn had(&self) -> Vec<u32> {
            self.sizes.iter().map(|(_, lanes)| *lanes).collect()
        }
    }

    fn taking_2_ms(lanes: u32) -> f64 {
        f64::from(lanes) * 500.0
    }

    fn taking_a_second(lanes: u32) -> f64 {
        f64::from(lanes)
    }

    fn computing_on_two_cores(lanes: u32) -> f64 {
        f64::from(lanes.min(2)) * 10_000.0
    }

    #[test]
    fn handlers_that_take_their_time_get_lanes_up_to_the_most() {
        let mut lanes = Driven::new(Lanes::adaptive(1..=24), taking_2_ms);
        lanes.press(200, SECOND);
        assert_eq!(lanes.had(), [1, 2, 4, 8, 16, 24]);
        assert!(
            lanes.sizes.iter().all(|(at, _)| *at < SECOND / 2),
            "it grows quickly: {:?}",
            lanes.sizes
        );
        lanes.press(200, 600 * SECOND);
        assert_eq!(lanes.load.lanes, 24, "and stays");
    }

    #[test]
    fn handlers_that_take_very_long_get_lanes_as_well() {
        let mut lanes = Driven::new(Lanes::adaptive(1..=8), taking_a_second);
        lanes.press(200, 3 * SECOND);
        assert_eq!(lanes.had(), [1, 2, 4, 8]);
    }

    #[test]
    fn no_more_lanes_than_help() {
        let mut lanes = Driven::new(Lanes::adaptive(1..=16), computing_on_two_cores);
        lanes.press(200, 600 * SECOND);
        assert!(lanes.had().iter().all(|lanes| *lanes <= 4), "{:?}", lanes.sizes);
        assert!(lanes.had().len() < 40, "it tries less and less often: {:?}", lanes.sizes);
        let in_four = lanes.sizes.windows(2).filter(|pair| pair[0].1 == 4);
        let tried: Duration = in_four.map(|pair| pair[1].0.saturating_sub(pair[0].0)).sum();
        assert!(tried < 6 * SECOND, "{tried:?}");
    }

    #[test]
    fn more_lanes_may_take_a_moment_to_show_what_they_are_good_for() {
        let mut lanes = Driven::new(Lanes::adaptive(1..=2), taking_2_ms);
        while lanes.load.lanes == 1 {
            lanes.press(200, LOOK);
        }
        lanes.rate = |_| 500.0; // the pool has no thread for the new one yet
        lanes.press(200, MEASURE + LOOK);
        lanes.rate = taking_2_ms;
        lanes.press(200, 10 * SECOND);
        assert_eq!(lanes.had(), [1, 2]);
    }

    #[test]
    fn one_key_gets_one_lane_and_nothing_changes() {
        let mut lanes = Driven::new(Lanes::adaptive(1..=16), |_| 500.0);
        lanes.press(1, 600 * SECOND);
        assert_eq!(lanes.had(), [1]);
        let mut lanes = Driven::new(Lanes::adaptive(4..=16), |_| 500.0);
        lanes.press(4, 600 * SECOND);
        assert_eq!(lanes.had(), [4]);
    }

    #[test]
    fn lanes_that_nobody_needs_end_slowly() {
        let mut lanes = Driven::new(Lanes::adaptive(2..=16), taking_2_ms);
        lanes.press(200, SECOND);
        lanes.sizes.clear();
        lanes.rest(0.0, 60 * SECOND);
        assert_eq!(lanes.had(), [8, 4, 2]);
        let times: Vec<_> = lanes.sizes.iter().map(|(at, _)| at.as_secs()).collect();
        assert_eq!(times, [3, 5, 7]);
        assert!(!lanes.sizing.is_shrinking());
    }

    #[test]
    fn a_load_in_between_changes_nothing() {
        let mut lanes = Driven::new(Lanes::adaptive(1..=16), taking_2_ms);
        lanes.press(200, SECOND);
        lanes.rest(5.0, 60 * SECOND);
        assert_eq!(lanes.load.lanes, 16, "half of them would be enough, but not half of these");
        lanes.rest(3.0, 60 * SECOND);
        assert_eq!(lanes.load.lanes, 8);
        for _ in 0..100 {
            lanes.rest(0.0, SECOND);
            lanes.press(200, SECOND / 10);
        }
        assert!(lanes.load.lanes >= 8, "what comes every second is not idle");
    }

    #[test]
    fn what_does_not_fit_into_fewer_lanes_keeps_them() {
        let mut lanes = Driven::new(Lanes::adaptive(1..=16), taking_2_ms);
        lanes.press(200, SECOND);
        lanes.load.fits = false;
        lanes.rest(0.0, 60 * SECOND);
        assert_eq!(lanes.load.lanes, 16);
        assert!(!lanes.sizing.is_shrinking());
    }

    #[test]
    fn a_change_that_failed_is_tried_later_and_less_and_less_often() {
        let mut lanes = Driven::new(Lanes::adaptive(1..=16), taking_2_ms);
        let mut tries = Vec::new();
        while lanes.load.now < 100 * SECOND {
            lanes.press(200, LOOK);
            if lanes.load.lanes > 1 {
                tries.push(lanes.load.now.as_secs());
                lanes.load.lanes = 1;
                lanes.sizing.note_failure(lanes.load.now);
            }
        }
        assert_eq!(tries, [0, 1, 3, 7, 15, 31, 63]);
    }

    #[test]
    fn lanes_that_could_not_end_are_asked_to_less_and_less_often() {
        let mut lanes = Driven::new(Lanes::adaptive(1..=2), taking_2_ms);
        lanes.load.lanes = 2;
        let mut tries = Vec::new();
        while lanes.load.now < 100 * SECOND {
            lanes.rest(0.0, LOOK);
            if lanes.load.lanes < 2 {
                tries.push(lanes.load.now.as_secs());
                lanes.load.lanes = 2;
                lanes.sizing.note_failure(lanes.load.now);
            }
        }
        assert_eq!(tries, [2, 4, 6, 10, 18, 34, 66]);
    }
}
