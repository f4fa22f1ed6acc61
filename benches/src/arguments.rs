//! The command line of a comparison.

/// `[--quick] [--only NAME]`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Arguments {
    /// Few and short rounds.
    pub quick: bool,
    only: Option<String>,
}

/// What is wrong with a command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadArguments(String);

impl std::fmt::Display for BadArguments {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl Arguments {
    /// Reads the process's arguments. `names` are the workloads that `--only` may choose.
    ///
    /// # Errors
    /// An argument, or a workload, that is not known.
    pub fn of_process(names: &[&str]) -> Result<Self, BadArguments> {
        Self::parse(std::env::args().skip(1), names)
    }

    fn parse(
        arguments: impl IntoIterator<Item = String>,
        names: &[&str],
    ) -> Result<Self, BadArguments> {
        let mut parsed = Self { quick: false, only: None };
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--bench" => {} // cargo's own
                "--quick" => parsed.quick = true,
                "--only" => parsed.only = Some(arguments.next().unwrap_or_default()),
                other => return Err(BadArguments(format!("unknown argument `{other}`; {USAGE}"))),
            }
        }
        if names.iter().any(|name| parsed.wants(name)) {
            return Ok(parsed);
        }
        let only = parsed.only.unwrap_or_default();
        Err(BadArguments(format!("no workload `{only}`; there are:\n  {}", names.join("\n  "))))
    }

    /// Whether a workload is to run. A name chooses what is below it, too: `log/open` is chosen by
    /// itself and by `log`.
    #[must_use]
    pub fn wants(&self, name: &str) -> bool {
        self.only.as_ref().is_none_or(|only| is_below(name, only))
    }
}

/// Whether a workload is the one of this name, or below it.
#[must_use]
pub fn is_below(workload: &str, name: &str) -> bool {
    let rest = workload.strip_prefix(name);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

const USAGE: &str = "usage: [--quick] [--only NAME]";

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Arguments, BadArguments> {
        let words = line.split_whitespace().map(str::to_owned);
        Arguments::parse(words, &["log/open", "log/replay/100"])
    }

    #[test]
    fn a_name_chooses_itself_and_what_is_below() {
        let chosen = parse("--bench --quick --only log/replay");
        assert!(chosen.as_ref().is_ok_and(|chosen| chosen.quick));
        assert!(chosen.as_ref().is_ok_and(|chosen| chosen.wants("log/replay/100")));
        assert!(chosen.is_ok_and(|chosen| !chosen.wants("log/open")));
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_names() {
        for line in ["--only log/rep", "--only", "--fast"] {
            assert!(parse(line).is_err(), "{line}");
        }
        let error =
            parse("--only nothing").map_or_else(|error| error.to_string(), |_| String::new());
        assert!(error.contains("log/open") && error.contains("log/replay/100"), "{error}");
    }
}
