//! Reads the table of failure modes, and finds the tests that carry their ids.

use std::{collections::BTreeSet, fs};

use proc_macro2::{TokenStream, TokenTree};

use crate::{
    code,
    sources::{self, Source},
};

/// A row of a table: a failure mode, and its tests as `path::name`.
pub(crate) struct Row {
    pub(crate) id: String,
    pub(crate) tests: Vec<String>,
    pub(crate) is_built: bool,
}

impl Row {
    /// Tests that do not carry its id.
    pub(crate) fn tests_of_others(&self) -> impl Iterator<Item = String> {
        let is_others = |test: &&String| id_of(test).as_ref() != Some(&self.id);
        self.tests.iter().filter(is_others).cloned()
    }
}

/// The rows of all tables in the document.
pub(crate) fn rows() -> Vec<Row> {
    let document = fs::read_to_string(sources::root().join("docs/failure-modes.md")).unwrap();
    document.lines().filter_map(row).collect()
}

fn row(line: &str) -> Option<Row> {
    let cells: Vec<_> = line.strip_prefix("| ")?.split('|').map(str::trim).collect();
    let [id, _, behaviour, tests, ..] = cells[..] else { return None };
    if !is_id(id) {
        return None;
    }
    let tests = tests.split('`').skip(1).step_by(2).map(str::to_owned).collect();
    Some(Row { id: id.to_owned(), tests, is_built: !behaviour.contains("not built yet") })
}

/// `E4`: a group and a number.
fn is_id(text: &str) -> bool {
    let Some(number) = text.strip_prefix(['E', 'F', 'G']) else { return false };
    number.parse::<u32>().is_ok()
}

/// The id in the name of a test, `e4_and_so_on`, as tables have it.
fn id_of(test: &str) -> Option<String> {
    let (_, name) = test.rsplit_once("::")?;
    let (id, _) = name.split_once('_')?;
    Some(id.to_uppercase()).filter(|id| is_id(id))
}

/// Every test of a file that carries an id, as `path::name`.
pub(crate) fn tests_in(source: &Source) -> BTreeSet<String> {
    let tokens: TokenStream = source.text.parse().unwrap();
    let mut names = BTreeSet::new();
    functions(tokens, &mut names);
    let tests = names.into_iter().map(|name| format!("{}::{name}", source.path));
    tests.filter(|test| id_of(test).is_some()).collect()
}

fn functions(tokens: TokenStream, names: &mut BTreeSet<String>) {
    let mut is_named_next = false;
    for token in tokens {
        match &token {
            TokenTree::Ident(name) if is_named_next => _ = names.insert(name.to_string()),
            TokenTree::Group(group) => functions(group.stream(), names),
            _ => {}
        }
        is_named_next = code::is_word(&token, "fn");
    }
}
