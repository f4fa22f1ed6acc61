//! Finds what a file imports from other areas of the crate.

use std::collections::{BTreeMap, BTreeSet};

use proc_macro2::{Delimiter, TokenStream, TokenTree};

use crate::{
    code::{self, inside, is_mark, is_word},
    sources::Source,
};

/// A path into the crate, as written somewhere.
#[derive(Debug, PartialEq)]
pub(crate) struct Reference {
    pub(crate) line: usize,
    /// The segments from the crate's root.
    pub(crate) path: Vec<String>,
    /// The name it has from there on: the last segment, or what follows `as`.
    name: String,
}

/// The areas of the crate, and what its root re-exports from each.
pub(crate) struct Areas {
    names: BTreeSet<String>,
    exports: BTreeMap<String, String>,
}

impl Areas {
    pub(crate) fn of(sources: &[Source]) -> Self {
        let names: BTreeSet<_> = sources.iter().filter_map(|s| area(&s.path)).collect();
        let root = sources.iter().find(|source| source.path == "src/lib.rs");
        let mut exports = root.map(|root| exports(&code::of(root))).unwrap_or_default();
        for source in sources.iter().filter(|source| source.text.contains("#[macro_export]")) {
            let macros = exported_macros(&code::of(source)).into_iter();
            exports.extend(macros.filter_map(|name| Some((name, area(&source.path)?))));
        }
        Self { names, exports }
    }

    pub(crate) fn names(&self) -> &BTreeSet<String> {
        &self.names
    }

    /// The area that a reference ends in, directly or by way of the root, where exported macros are, too.
    pub(crate) fn resolve(&self, reference: &Reference) -> Option<&str> {
        let first = reference.path.first()?;
        let known = self.names.get(first).or_else(|| self.exports.get(first));
        known.map(String::as_str)
    }
}

/// The first folder or file under `src`; `None` for the root itself.
pub(crate) fn area(path: &str) -> Option<String> {
    module(path).into_iter().next()
}

/// Every path of a file that starts at `crate`, `self` or `super`.
pub(crate) fn references(path: &str, code: &TokenStream) -> Vec<Reference> {
    let mut found = Vec::new();
    walk(code, &module(path), &mut found);
    found
}

/// `src/journal/ring.rs` is the module `journal`, `ring`.
fn module(path: &str) -> Vec<String> {
    let inside = path.trim_start_matches("src/").trim_end_matches(".rs");
    let mut segments: Vec<_> = inside.split('/').map(str::to_owned).collect();
    if segments.last().is_some_and(|last| last == "mod" || last == "lib") {
        segments.pop();
    }
    segments
}

fn walk(code: &TokenStream, module: &[String], found: &mut Vec<Reference>) {
    let tokens: Vec<_> = code.clone().into_iter().collect();
    let mut at = 0;
    while at < tokens.len() {
        if let Some(base) = start(&tokens, at, module) {
            at = follow(&tokens, at + 1, base, found);
            continue;
        }
        if let TokenTree::Group(group) = &tokens[at] {
            match module_name(&tokens[..at]) {
                Some(name) => walk(&group.stream(), &[module, &[name]].concat(), found),
                None => walk(&group.stream(), module, found),
            }
        }
        at += 1;
    }
}

/// Where a path begins, if the token is the first of one.
fn start(tokens: &[TokenTree], at: usize, module: &[String]) -> Option<Vec<String>> {
    let inner = at >= 2 && is_separator(tokens, at - 2);
    if inner || !is_separator(tokens, at + 1) {
        return None;
    }
    match &tokens[at] {
        token if is_word(token, "crate") => Some(Vec::new()),
        token if is_word(token, "self") => Some(module.to_vec()),
        token if is_word(token, "super") => Some(parent(module)),
        _ => None,
    }
}

/// Follows a path from its first `::` on, through braces too, and says where it is over.
fn follow(
    tokens: &[TokenTree],
    mut at: usize,
    mut path: Vec<String>,
    found: &mut Vec<Reference>,
) -> usize {
    let line = tokens[at - 1].span().start().line;
    while is_separator(tokens, at) {
        at += 2;
        if let Some(branches) = inside(tokens.get(at), Delimiter::Brace) {
            for branch in branches.split(|token| is_mark(Some(token), ',')) {
                follow_branch(branch, path.clone(), found);
            }
            return at + 1;
        }
        match tokens.get(at) {
            Some(TokenTree::Ident(ident)) => step(&mut path, &ident.to_string()),
            star if is_mark(star, '*') => step(&mut path, "*"),
            _ => break,
        }
        at += 1;
    }
    record(tokens.get(at..).unwrap_or_default(), line, path, found);
    at
}

/// One element of `{..}` in a `use`, which has no `::` in front.
fn follow_branch(branch: &[TokenTree], mut path: Vec<String>, found: &mut Vec<Reference>) {
    let Some(first) = branch.first() else {
        return;
    };
    step(&mut path, &first.to_string());
    follow(branch, 1, path, found);
}

fn record(rest: &[TokenTree], line: usize, path: Vec<String>, found: &mut Vec<Reference>) {
    let Some(last) = path.last() else {
        return;
    };
    let name = match rest {
        [word, TokenTree::Ident(alias), ..] if is_word(word, "as") => alias.to_string(),
        _ => last.clone(),
    };
    found.push(Reference { line, path, name });
}

fn step(path: &mut Vec<String>, segment: &str) {
    match segment {
        "self" => {}
        "super" => drop(path.pop()),
        name => path.push(name.trim_start_matches("r#").to_owned()),
    }
}

fn parent(module: &[String]) -> Vec<String> {
    let mut path = module.to_vec();
    path.pop();
    path
}

fn is_separator(tokens: &[TokenTree], at: usize) -> bool {
    is_mark(tokens.get(at), ':') && is_mark(tokens.get(at + 1), ':')
}

/// The name in `mod name` at the end of what stands before a group.
fn module_name(before: &[TokenTree]) -> Option<String> {
    match before {
        [.., word, TokenTree::Ident(name)] if is_word(word, "mod") => Some(name.to_string()),
        _ => None,
    }
}

/// What `use area::..` in the root makes reachable as `crate::Name`.
fn exports(root: &TokenStream) -> BTreeMap<String, String> {
    let tokens: Vec<_> = root.clone().into_iter().collect();
    let mut found = Vec::new();
    for at in 0..tokens.len() {
        if is_word(&tokens[at], "use") {
            let end = tokens[at..].iter().position(|token| is_mark(Some(token), ';'));
            let end = end.map_or(tokens.len(), |length| at + length);
            follow_branch(&tokens[at + 1..end], Vec::new(), &mut found);
        }
    }
    let nested = found.into_iter().filter(|reference| reference.path.len() > 1);
    let mut exports = BTreeMap::new();
    for mut reference in nested {
        // The first wins: a derive comes under the name of its trait.
        exports.entry(reference.name).or_insert(reference.path.swap_remove(0));
    }
    exports
}

/// The names of the macros with `#[macro_export]`, which are reachable as `crate::name!` from any area.
fn exported_macros(code: &TokenStream) -> Vec<String> {
    let tokens: Vec<_> = code.clone().into_iter().collect();
    let is_exported = |attribute: &TokenTree| {
        let inside = inside(Some(attribute), Delimiter::Bracket).unwrap_or_default();
        inside.first().is_some_and(|token| is_word(token, "macro_export"))
    };
    let names = tokens.windows(4).filter_map(|found| match found {
        [attribute, word, mark, TokenTree::Ident(name)]
            if is_exported(attribute)
                && is_word(word, "macro_rules")
                && is_mark(Some(mark), '!') =>
        {
            Some(name.to_string())
        }
        _ => None,
    });
    names.collect()
}
