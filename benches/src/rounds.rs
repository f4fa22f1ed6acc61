//! Rounds: everyone in turn, again and again, so that a machine's drift hits all alike.

use std::fmt;

/// One who is measured: a name, and a run that gives one figure.
pub struct Contender<'a> {
    name: &'static str,
    run: Box<dyn FnMut() -> f64 + 'a>,
}

impl<'a> Contender<'a> {
    /// A contender under this name, as it stands in the report.
    pub fn new(name: &'static str, run: impl FnMut() -> f64 + 'a) -> Self {
        Self { name, run: Box::new(run) }
    }
}

impl fmt::Debug for Contender<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Contender").field(&self.name).finish()
    }
}

/// A contender's figures, one a round.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Samples {
    /// Whose figures they are.
    pub name: &'static str,
    /// In the order of the rounds.
    pub figures: Vec<f64>,
}

impl Samples {
    /// Figures under a name, as it stands in the report.
    #[must_use]
    pub fn new(name: &'static str, figures: Vec<f64>) -> Self {
        Self { name, figures }
    }

    /// The figure in the middle.
    #[must_use]
    pub fn median(&self) -> f64 {
        median(&self.figures)
    }
}

/// Runs everyone `count` times, interleaved; each round begins with another one.
#[must_use]
pub fn rounds(count: usize, mut contenders: Vec<Contender<'_>>) -> Vec<Samples> {
    let none = |contender: &Contender<'_>| Samples::new(contender.name, Vec::new());
    let mut samples: Vec<Samples> = contenders.iter().map(none).collect();
    for round in 0..count {
        for turn in 0..contenders.len() {
            let at = (round + turn) % contenders.len();
            let figure = (contenders[at].run)();
            samples[at].figures.push(figure);
        }
    }
    samples
}

/// Zero where there are no figures.
pub(crate) fn median(figures: &[f64]) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    let upper = sorted.len() / 2;
    match sorted.get(upper) {
        None => 0.0,
        Some(middle) if sorted.len() % 2 == 1 => *middle,
        Some(middle) => f64::midpoint(sorted[upper - 1], *middle),
    }
}

/// The least and the greatest.
pub(crate) fn spread(figures: impl Iterator<Item = f64>) -> (f64, f64) {
    figures.fold((f64::INFINITY, 0.0), |(least, greatest), figure| {
        (least.min(figure), greatest.max(figure))
    })
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    #[test]
    fn everyone_runs_once_a_round_and_begins_in_turn() {
        let order = RefCell::new(String::new());
        let contender = |name: &'static str, figure| {
            let order = &order;
            Contender::new(name, move || {
                order.borrow_mut().push_str(name);
                figure
            })
        };
        let samples = rounds(3, vec![contender("a", 1.0), contender("b", 2.0)]);
        assert_eq!(*order.borrow(), "abbaab");
        assert_eq!(samples[1], Samples::new("b", vec![2.0; 3]));
    }

    #[test]
    fn the_median_is_in_the_middle() {
        assert!((median(&[9.0, 1.0, 2.0]) - 2.0).abs() < f64::EPSILON);
        assert!((median(&[4.0, 1.0, 2.0, 9.0]) - 3.0).abs() < f64::EPSILON);
        assert!(median(&[]).abs() < f64::EPSILON);
    }
}
