//! Running one run again, as the environment says.

use std::collections::BTreeSet;

use super::fault::Fault;

/// The variable that names a run.
const VARIABLE: &str = "TIDINGS_SIM";

/// A run that somebody wants to see again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rerun {
    pub(super) seed: u64,
    /// Its faults, if they are not to be drawn.
    pub(super) faults: Option<BTreeSet<Fault>>,
}

impl Rerun {
    /// `17`, or `17:k3,f5`.
    fn parse(text: &str) -> Option<Self> {
        let (seed, faults) = match text.split_once(':') {
            Some((seed, faults)) => (seed, Some(faults)),
            None => (text, None),
        };
        let words = |faults: &str| {
            let words = faults.split(',').filter(|word| !word.is_empty());
            words.map(Fault::parse).collect::<Option<_>>()
        };
        let faults = match faults {
            Some(faults) => Some(words(faults)?),
            None => None,
        };
        Some(Self { seed: seed.parse().ok()?, faults })
    }
}

/// The run that the environment names.
///
/// # Panics
/// What it says names no run.
pub(super) fn wanted() -> Option<Rerun> {
    #[allow(clippy::disallowed_methods)] // tests alone come here, and their users type it
    let text = std::env::var(VARIABLE).ok()?;
    let rerun = Rerun::parse(&text);
    assert!(rerun.is_some(), "{VARIABLE} is to be a seed, or a seed and faults: 17, or 17:k3,f5");
    rerun
}

/// What is typed to see a run again.
pub(super) fn command(seed: u64, faults: &[Fault]) -> String {
    let faults: Vec<_> = faults.iter().map(Fault::to_string).collect();
    let program = match test_name() {
        Some(test) => format!("cargo test {test}"),
        None => "and the program once more".into(),
    };
    format!("{VARIABLE}={seed}:{} {program}", faults.join(","))
}

/// The name of the test that runs, as its thread has it.
fn test_name() -> Option<String> {
    #[allow(clippy::disallowed_methods)] // its name alone is asked for
    let thread = std::thread::current();
    thread.name().filter(|name| *name != "main").map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_named_by_its_seed_and_its_faults() {
        let faults: Vec<_> = ["k3", "f5"].into_iter().filter_map(Fault::parse).collect();
        let command = command(17, &faults);
        let name = "testing::sim::rerun::tests::a_run_is_named_by_its_seed_and_its_faults";
        assert_eq!(command, format!("TIDINGS_SIM=17:k3,f5 cargo test {name}"));
        let rerun = Rerun { seed: 17, faults: Some(faults.into_iter().collect()) };
        assert_eq!(Rerun::parse("17:k3,f5"), Some(rerun));
        assert_eq!(Rerun::parse("17"), Some(Rerun { seed: 17, faults: None }));
        let without = Rerun { seed: 17, faults: Some(BTreeSet::new()) };
        assert_eq!(Rerun::parse("17:"), Some(without));
        for wrong in ["", "x", "17:x", ":k3"] {
            assert_eq!(Rerun::parse(wrong), None, "{wrong}");
        }
    }
}
