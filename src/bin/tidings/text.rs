//! Text from a store, made harmless for a terminal.

use std::fmt;

/// Text in which nothing controls the terminal or turns the order of letters round.
pub(crate) struct Harmless<'a>(pub(crate) &'a str);

impl fmt::Display for Harmless<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for letter in self.0.chars() {
            if is_harmful(letter) {
                write!(f, "\\u{{{:x}}}", u32::from(letter))?;
            } else {
                fmt::Write::write_char(f, letter)?;
            }
        }
        Ok(())
    }
}

/// Controls, line separators, and marks of direction.
pub(crate) fn is_harmful(letter: char) -> bool {
    letter.is_control()
        || matches!(letter, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_reaches_the_terminal_but_letters() {
        let shown = Harmless("grün \u{1b}[31m\n\u{9b}2J\u{202e}").to_string();
        assert_eq!(shown, "grün \\u{1b}[31m\\u{a}\\u{9b}2J\\u{202e}");
    }
}
