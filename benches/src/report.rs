//! How figures are shown: a table for people, and a line per peer for scripts.

use std::fmt;

use crate::rounds::{Samples, spread};

/// What is measured, and whether more of it is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unit {
    /// Events a second. More is better.
    EventsPerSecond,
    /// Milliseconds. Less is better.
    Milliseconds,
    /// Nanoseconds. Less is better.
    Nanoseconds,
    /// Bytes for each event. Less is better.
    BytesPerEvent,
    /// Mebibytes. Less is better.
    Mebibytes,
}

impl Unit {
    fn name(self) -> &'static str {
        match self {
            Self::EventsPerSecond => "ev/s",
            Self::Milliseconds => "ms",
            Self::Nanoseconds => "ns",
            Self::BytesPerEvent => "B/ev",
            Self::Mebibytes => "MiB",
        }
    }

    /// How many times better `ours` is than `theirs`.
    fn ratio(self, ours: f64, theirs: f64) -> f64 {
        let (better, worse) =
            if self == Self::EventsPerSecond { (ours, theirs) } else { (theirs, ours) };
        better / worse
    }
}

/// The name that our figures have.
pub const OURS: &str = "ours";

/// Everyone's figures in one workload.
///
/// Prints a table with each one's median and range, then the lines for scripts. Their `ratio` is
/// that of the medians, their `spread` the range of the ratio round by round. Ours are those named
/// [`OURS`]; without them there is nothing to compare, and only the table.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison<'a> {
    workload: &'a str,
    unit: Unit,
    samples: Vec<Samples>,
}

impl<'a> Comparison<'a> {
    /// The figures of one workload.
    #[must_use]
    pub fn new(workload: &'a str, unit: Unit, samples: Vec<Samples>) -> Self {
        Self { workload, unit, samples }
    }

    fn ours(&self) -> Option<&Samples> {
        self.samples.iter().find(|samples| samples.name == OURS)
    }

    fn peers(&self) -> impl Iterator<Item = &Samples> {
        self.samples.iter().filter(|samples| samples.name != OURS)
    }

    fn table(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} [{}]", self.workload, self.unit.name())?;
        for peer in &self.samples {
            let (least, greatest) = spread(peer.figures.iter().copied());
            let (median, range) =
                (short(peer.median()), format!("{}..{}", short(least), short(greatest)));
            write!(f, "  {:<22}{median:>9}  {range:<19}", peer.name)?;
            if let Some(ours) = self.ours().filter(|ours| *ours != peer) {
                write!(f, "ours {:.2}x", self.unit.ratio(ours.median(), peer.median()))?;
            }
            writeln!(f)?;
        }
        Ok(())
    }

    fn lines(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(ours) = self.ours() else { return Ok(()) };
        let start =
            format!("RESULT {} {} ours={}", self.workload, self.unit.name(), plain(ours.median()));
        if self.peers().next().is_none() {
            writeln!(f, "{start}")?;
        }
        for peer in self.peers() {
            let ratio = self.unit.ratio(ours.median(), peer.median());
            let each = ours.figures.iter().zip(&peer.figures);
            let (least, greatest) = spread(each.map(|(ours, peer)| self.unit.ratio(*ours, *peer)));
            writeln!(
                f,
                "{start} {}={} ratio={ratio:.3} spread={least:.3}..{greatest:.3}",
                peer.name,
                plain(peer.median()),
            )?;
        }
        Ok(())
    }
}

impl fmt::Display for Comparison<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.table(f)?;
        self.lines(f)
    }
}

/// Our figures in workloads that only one thing changes between: how its cost grows.
///
/// One table, and a line for each workload.
#[derive(Debug, Clone, PartialEq)]
pub struct Curve<'a> {
    title: &'a str,
    unit: Unit,
    workloads: Vec<Samples>,
}

impl<'a> Curve<'a> {
    /// A curve through these workloads, each of them named in full.
    #[must_use]
    pub fn new(title: &'a str, unit: Unit, workloads: Vec<Samples>) -> Self {
        Self { title, unit, workloads }
    }
}

impl fmt::Display for Curve<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Comparison::new(self.title, self.unit, self.workloads.clone()).table(f)?;
        for workload in &self.workloads {
            let ours = plain(workload.median());
            writeln!(f, "RESULT {} {} ours={ours}", workload.name, self.unit.name())?;
        }
        Ok(())
    }
}

/// A figure without grouping, for scripts.
fn plain(figure: f64) -> String {
    if figure >= 1000.0 { format!("{figure:.0}") } else { format!("{figure:.3}") }
}

/// A figure in three or four digits.
#[must_use]
pub fn short(figure: f64) -> String {
    match figure {
        1e9.. => format!("{:.2}G", figure / 1e9),
        1e6.. => format!("{:.2}M", figure / 1e6),
        1e3.. => format!("{:.1}k", figure / 1e3),
        10.0.. => format!("{figure:.1}"),
        _ => format!("{figure:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn results(shown: &str) -> String {
        shown.lines().filter(|line| line.starts_with("RESULT")).collect()
    }

    fn lines(unit: Unit) -> String {
        let ours = Samples::new(OURS, vec![2000.0, 1000.0]);
        let samples = vec![ours, Samples::new("raw", vec![500.0, 1000.0])];
        results(&Comparison::new("log/x", unit, samples).to_string())
    }

    #[test]
    fn a_ratio_above_one_is_better_for_us() {
        let line = lines(Unit::EventsPerSecond);
        assert_eq!(line, "RESULT log/x ev/s ours=1500 raw=750.000 ratio=2.000 spread=1.000..4.000");
        let line = lines(Unit::Milliseconds);
        assert_eq!(line, "RESULT log/x ms ours=1500 raw=750.000 ratio=0.500 spread=0.250..1.000");
    }

    #[test]
    fn peers_alone_are_shown_but_not_compared() {
        let peers = vec![Samples::new("naive", vec![15.0])];
        let shown = Comparison::new("inline/1", Unit::Nanoseconds, peers).to_string();
        assert!(shown.contains("naive") && !shown.contains("ours"), "{shown}");
        assert_eq!(results(&shown), "");
    }

    #[test]
    fn a_curve_has_a_line_for_each_workload() {
        let curve = vec![Samples::new("cost/idle-1", vec![20.0])];
        let shown = Curve::new("cost/idle", Unit::Nanoseconds, curve).to_string();
        assert_eq!(results(&shown), "RESULT cost/idle-1 ns ours=20.000");
    }
}
