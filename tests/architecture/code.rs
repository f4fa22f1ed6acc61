//! Reads Rust code as tokens, without its tests and comments.

use std::collections::BTreeSet;

use proc_macro2::{Delimiter, TokenStream, TokenTree};

use crate::sources::Source;

/// The code of a file: no comments, no documentation, nothing under `#[cfg(test)]`.
pub(crate) fn of(source: &Source) -> TokenStream {
    let tokens: TokenStream =
        source.text.parse().unwrap_or_else(|error| panic!("{}: {error}", source.path));
    without_tests(tokens)
}

/// The lines that carry at least one token.
pub(crate) fn lines(tokens: &TokenStream) -> BTreeSet<usize> {
    let mut lines = BTreeSet::new();
    each_token(tokens, &mut |token| {
        let spans = match token {
            TokenTree::Group(group) => vec![group.span_open(), group.span_close()],
            leaf => vec![leaf.span()],
        };
        for span in spans {
            lines.extend(span.start().line..=span.end().line);
        }
    });
    lines
}

/// The lines on which a word stands as code.
pub(crate) fn lines_with(word: &str, tokens: &TokenStream) -> Vec<usize> {
    let mut lines = Vec::new();
    each_token(tokens, &mut |token| {
        if is_word(token, word) {
            lines.push(token.span().start().line);
        }
    });
    lines
}

pub(crate) fn is_word(token: &TokenTree, word: &str) -> bool {
    matches!(token, TokenTree::Ident(ident) if ident == word)
}

pub(crate) fn is_mark(token: Option<&TokenTree>, mark: char) -> bool {
    matches!(token, Some(TokenTree::Punct(punct)) if punct.as_char() == mark)
}

/// The content of a group with these delimiters.
pub(crate) fn inside(token: Option<&TokenTree>, delimiter: Delimiter) -> Option<Vec<TokenTree>> {
    match token {
        Some(TokenTree::Group(group)) if group.delimiter() == delimiter => {
            Some(group.stream().into_iter().collect())
        }
        _ => None,
    }
}

fn each_token(tokens: &TokenStream, visit: &mut dyn FnMut(&TokenTree)) {
    for token in tokens.clone() {
        visit(&token);
        if let TokenTree::Group(group) = &token {
            each_token(&group.stream(), visit);
        }
    }
}

fn without_tests(tokens: TokenStream) -> TokenStream {
    let tokens: Vec<_> = tokens.into_iter().collect();
    let mut kept = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        match attribute(&tokens[at..]) {
            Some((length, content)) if is_cfg_test(&content) => {
                at = after_item(&tokens, at + length);
            }
            Some((length, content)) if content.first().is_some_and(|t| is_word(t, "doc")) => {
                at += length;
            }
            _ => {
                kept.push(cleaned(&tokens[at]));
                at += 1;
            }
        }
    }
    kept.into_iter().collect()
}

fn cleaned(token: &TokenTree) -> TokenTree {
    let TokenTree::Group(group) = token else {
        return token.clone();
    };
    let mut inner = proc_macro2::Group::new(group.delimiter(), without_tests(group.stream()));
    inner.set_span(group.span());
    TokenTree::Group(inner)
}

/// `#[..]` or `#![..]` at the front: how many tokens it takes, and what is in it.
fn attribute(tokens: &[TokenTree]) -> Option<(usize, Vec<TokenTree>)> {
    if !is_mark(tokens.first(), '#') {
        return None;
    }
    let bracket = 1 + usize::from(is_mark(tokens.get(1), '!'));
    let content = inside(tokens.get(bracket), Delimiter::Bracket)?;
    Some((bracket + 1, content))
}

/// `cfg(test)` and `cfg(all(test, ..))`, but not `cfg(any(test, ..))`.
fn is_cfg_test(attribute: &[TokenTree]) -> bool {
    let [name, condition] = attribute else {
        return false;
    };
    let condition = inside(Some(condition), Delimiter::Parenthesis).unwrap_or_default();
    is_word(name, "cfg") && needs_test(&condition)
}

fn needs_test(condition: &[TokenTree]) -> bool {
    match condition {
        [word] => is_word(word, "test"),
        [word, rest] if is_word(word, "all") => inside(Some(rest), Delimiter::Parenthesis)
            .unwrap_or_default()
            .iter()
            .any(|token| is_word(token, "test")),
        _ => false,
    }
}

/// Where the item that starts at `at` is over: after its braces or its semicolon.
fn after_item(tokens: &[TokenTree], at: usize) -> usize {
    let ends = |token: &TokenTree| {
        is_mark(Some(token), ';') || inside(Some(token), Delimiter::Brace).is_some()
    };
    let length = tokens[at..].iter().position(ends);
    length.map_or(tokens.len(), |length| at + length + 1)
}
