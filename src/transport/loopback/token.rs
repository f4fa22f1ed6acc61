//! What the tokens of the loopback say.

use super::group::Spot;
use crate::transport::Token;

/// Which delivery it is.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Claim<'a> {
    /// Of which making of the streams.
    pub(super) epoch: u64,
    pub(super) spot: Spot,
    /// The how manieth delivery, from 1.
    pub(super) delivery: u32,
    pub(super) group: &'a str,
}

impl<'a> Claim<'a> {
    pub(super) fn to_token(&self) -> Token {
        let Self { epoch, spot: (stream, sequence), delivery, group } = self;
        Token::new(format!("{epoch}/{stream}/{sequence}/{delivery}/{group}").into_bytes())
    }

    /// None for a token of something else.
    pub(super) fn of(token: &'a Token) -> Option<Self> {
        let text = std::str::from_utf8(token.as_bytes()).ok()?;
        let mut parts = text.splitn(5, '/');
        let epoch = parts.next()?.parse().ok()?;
        let stream = parts.next()?.parse().ok()?;
        let sequence = parts.next()?.parse().ok()?;
        let delivery = parts.next()?.parse().ok()?;
        Some(Self { epoch, spot: (stream, sequence), delivery, group: parts.next()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_says_what_it_was_made_of() {
        let claim = Claim { epoch: 1, spot: (2, 3), delivery: 4, group: "a/b" };
        assert_eq!(Claim::of(&claim.to_token()), Some(claim));
    }

    #[test]
    fn bytes_of_something_else_are_no_claim() {
        for bytes in ["", "1/2/3/4", "1/2/x/4/a", "-1/2/3/4/a"] {
            assert_eq!(Claim::of(&Token::new(bytes.as_bytes())), None, "{bytes}");
        }
        assert_eq!(Claim::of(&Token::new([0xff])), None);
    }
}
