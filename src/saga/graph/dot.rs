//! A saga drawn by Graphviz.

use std::fmt::Write;

use super::{SagaGraph, TransitionKind};

impl SagaGraph {
    /// In the language of [Graphviz](https://graphviz.org/doc/info/lang.html): states in which the saga is
    /// over have a double border, timers are dashed, compensations red.
    #[must_use]
    pub fn to_dot(&self) -> String {
        let mut text = format!("digraph {} {{\n", quote(&self.saga));
        let mut line = |line: std::fmt::Arguments<'_>| {
            // Writing to a string does not fail.
            writeln!(text, "    {line}").unwrap_or_default();
        };
        line(format_args!("node [shape=box, style=rounded]"));
        line(format_args!("start [shape=point]"));
        for (number, state) in self.states.iter().enumerate() {
            let border = if state.is_terminal { ", peripheries=2" } else { "" };
            line(format_args!("s{number} [label={}{border}]", quote(&state.name)));
        }
        for transition in &self.transitions {
            let from = transition.from.as_deref();
            let from = from.map_or("start".to_owned(), |state| format!("s{}", self.number(state)));
            let style = match transition.kind {
                TransitionKind::Event => "",
                TransitionKind::Timer => ", style=dashed",
                TransitionKind::Compensation => ", color=red",
            };
            let (to, label) = (self.number(&transition.to), quote(&transition.label()));
            line(format_args!("{from} -> s{to} [label={label}{style}]"));
        }
        text.push_str("}\n");
        text
    }
}

fn quote(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', " "))
}

#[cfg(test)]
mod tests {
    use super::quote;

    #[test]
    fn quotes_within_names_are_escaped() {
        assert_eq!(quote(r#"a "b" \"#), r#""a \"b\" \\""#);
    }
}
