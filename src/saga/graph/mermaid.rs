//! A saga drawn by Mermaid.

use std::fmt::Write;

use super::SagaGraph;

impl SagaGraph {
    /// As a state diagram of [Mermaid](https://mermaid.js.org/syntax/stateDiagram.html), which many
    /// renderers of Markdown draw.
    #[must_use]
    pub fn to_mermaid(&self) -> String {
        let mut text = String::from("stateDiagram-v2\n");
        let id = |state: &str| format!("s{}", self.number(state));
        let mut line = |line: std::fmt::Arguments<'_>| {
            // Writing to a string does not fail.
            writeln!(text, "    {line}").unwrap_or_default();
        };
        for state in &self.states {
            line(format_args!("state \"{}\" as {}", escape(&state.name), id(&state.name)));
        }
        for transition in &self.transitions {
            let from = transition.from.as_deref().map_or("[*]".to_owned(), id);
            let label = escape(&transition.label());
            line(format_args!("{from} --> {} : {label}", id(&transition.to)));
        }
        for state in self.states.iter().filter(|state| state.is_terminal) {
            line(format_args!("{} --> [*]", id(&state.name)));
        }
        text
    }
}

/// Characters that mean something to Mermaid, as its entity codes.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '#' | ';' | '"' | ':' | '<' | '>' | '{' | '}' | '%' => {
                // Writing to a string does not fail.
                write!(escaped, "#{};", u32::from(character)).unwrap_or_default();
            }
            other if other.is_control() => escaped.push(' '),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::escape;

    #[test]
    fn what_means_something_to_mermaid_is_escaped() {
        assert_eq!(escape("a: \"b\"; #c\n"), "a#58; #34;b#34;#59; #35;c ");
    }
}
