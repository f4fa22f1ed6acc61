//! The shape of the code: layers, sizes, names, and where `unsafe` may stand.
#![allow(clippy::unwrap_used, missing_docs)]

mod code;
mod failure_modes;
mod imports;
mod layers;
mod planted;
#[path = "../sources/mod.rs"]
mod sources;

use std::collections::BTreeSet;

use imports::{Areas, Reference};
use layers::Edge;
use sources::Source;

const LONGEST: usize = 600;
const VAGUE: &[&str] = &["common", "helper", "helpers", "manager", "util", "utils"];
const RING: &str = "src/journal/ring";

#[test]
fn every_area_has_a_level() {
    let sources = library();
    for area in Areas::of(&sources).names() {
        assert!(
            layers::level(area).is_some(),
            "src/{area} is in no level. Add it to LEVELS in tests/architecture/layers.rs and to \
             the picture in docs/architecture.md: as low as its imports allow. If it is a part \
             of an existing area, move it into that area's folder."
        );
    }
}

#[test]
fn imports_point_downwards() {
    assert_none(
        "import only from a lower level, or list the pair in NEIGHBOURS \
         (tests/architecture/layers.rs) if it is on the same level and makes no circle",
        upward_imports(&library()),
    );
}

#[test]
fn imports_lead_somewhere() {
    assert_none(
        "name the area, `crate::area::Name`: the root neither re-exports these nor has them",
        unknown_imports(&library()),
    );
}

#[test]
fn no_circles() {
    let edges = edges(&library());
    let circle = layers::circle(&edges);
    assert_eq!(circle, None, "these areas import each other in a circle");
}

#[test]
fn the_table_of_neighbours_is_sound() {
    let listed: BTreeSet<Edge> = layers::NEIGHBOURS
        .iter()
        .map(|(from, to)| ((*from).to_owned(), (*to).to_owned()))
        .collect();
    for (from, to) in &listed {
        let (from_level, to_level) = (layers::level(from), layers::level(to));
        assert_eq!(from_level, to_level, "{from} and {to} are no neighbours");
    }
    assert_eq!(layers::circle(&listed), None, "NEIGHBOURS has a circle");
    let edges = edges(&library());
    let stale = listed.difference(&edges);
    assert_none(
        "remove from NEIGHBOURS: nothing imports along these",
        stale.map(|(from, to)| format!("{from} -> {to}")),
    );
}

#[test]
fn every_file_says_what_it_owns() {
    let silent = everything().into_iter().filter(|s| !s.text.starts_with("//! "));
    assert_none(
        "begin the file with one `//!` sentence that says what it owns",
        silent.map(|source| source.path),
    );
}

#[test]
fn files_are_short() {
    let lengths = everything()
        .into_iter()
        .filter(|source| !is_test(source))
        .map(|source| (code::lines(&code::of(&source)).len(), source.path));
    assert_none(
        "split the file along what its parts own",
        lengths
            .filter(|(length, _)| *length > LONGEST)
            .map(|(length, path)| format!("{path}: {length} lines of code, the most is {LONGEST}")),
    );
}

#[test]
fn names_say_what_is_inside() {
    assert_none(
        "name the file or folder after what it owns",
        everything().into_iter().map(|s| s.path).filter(|path| is_vague(path)),
    );
}

#[test]
fn unsafe_stays_in_the_ring() {
    let mut found = Vec::new();
    for source in everything() {
        if source.path.starts_with(RING) {
            continue;
        }
        let lines = code::lines_with("unsafe", &code::of(&source));
        found.extend(lines.iter().map(|line| format!("{}:{line}", source.path)));
    }
    assert_none("`unsafe` is allowed under src/journal/ring only", found);
}

#[test]
fn every_failure_mode_has_a_row() {
    let rows = failure_modes::rows();
    let ids: Vec<_> = rows.iter().map(|row| &*row.id).collect();
    let all = [("E", 9), ("F", 20), ("G", 9)];
    let expected = all.map(|(group, last)| (1..=last).map(move |n| format!("{group}{n}")));
    assert_eq!(ids, expected.into_iter().flatten().collect::<Vec<_>>());
    assert_none(
        "name a test in docs/failure-modes.md for what is built, and none for what is not",
        rows.iter().filter(|row| row.is_built == row.tests.is_empty()).map(|row| row.id.clone()),
    );
}

#[test]
fn rows_of_failure_modes_name_the_tests_that_are_there_and_all_of_them() {
    let rows = failure_modes::rows();
    assert_none(
        "begin the name of a test with the id of its row",
        rows.iter().flat_map(failure_modes::Row::tests_of_others),
    );
    let named: BTreeSet<_> = rows.into_iter().flat_map(|row| row.tests).collect();
    let sources = ["src", "tests"].into_iter().flat_map(sources::under);
    let there = sources.flat_map(|source| failure_modes::tests_in(&source)).collect();
    assert_none(
        "docs/failure-modes.md names tests that are not there",
        named.difference(&there).cloned(),
    );
    assert_none("name these in docs/failure-modes.md", there.difference(&named).cloned());
}

/// The crate itself. The tool is another one, which may import anything that is public.
fn library() -> Vec<Source> {
    let mut sources = sources::under("src");
    sources.retain(|source| !source.path.starts_with("src/bin/"));
    sources
}

fn everything() -> Vec<Source> {
    let mut sources = sources::under("src");
    sources.extend(sources::under("derive/src"));
    sources
}

/// A file of unit tests, which its parent includes under `#[cfg(test)]`.
fn is_test(source: &Source) -> bool {
    source.path.ends_with("/tests.rs") || source.path.contains("/tests/")
}

fn is_vague(path: &str) -> bool {
    let mut words = path.trim_end_matches(".rs").split(['/', '_']);
    words.any(|word| VAGUE.contains(&word))
}

/// Every reference of every area, with the area that it comes from. The root may import anything.
fn references(sources: &[Source]) -> Vec<(String, &Source, Reference)> {
    let mut found = Vec::new();
    for source in sources.iter().filter(|source| !is_test(source)) {
        let Some(area) = imports::area(&source.path) else {
            continue;
        };
        let references = imports::references(&source.path, &code::of(source));
        found.extend(references.into_iter().map(|r| (area.clone(), source, r)));
    }
    found
}

fn edges(sources: &[Source]) -> BTreeSet<Edge> {
    let areas = Areas::of(sources);
    let to = |reference: &Reference| areas.resolve(reference).map(str::to_owned);
    let all = references(sources).into_iter();
    all.filter_map(|(from, _, reference)| Some((from, to(&reference)?)))
        .filter(|(from, to)| from != to)
        .collect()
}

fn upward_imports(sources: &[Source]) -> Vec<String> {
    let areas = Areas::of(sources);
    let mut found = Vec::new();
    for (from, source, reference) in references(sources) {
        let Some(to) = areas.resolve(&reference).filter(|to| *to != from) else {
            continue;
        };
        if !layers::may_import(&from, to) {
            found.push(describe(source, &reference, &format!("{from} -> {to}")));
        }
    }
    found
}

fn unknown_imports(sources: &[Source]) -> Vec<String> {
    let areas = Areas::of(sources);
    references(sources)
        .into_iter()
        .filter(|(_, _, reference)| areas.resolve(reference).is_none())
        .map(|(from, source, reference)| describe(source, &reference, &from))
        .collect()
}

fn describe(source: &Source, reference: &Reference, edge: &str) -> String {
    let (path, line) = (&source.path, reference.line);
    format!("{path}:{line}: {edge} (`crate::{}`)", reference.path.join("::"))
}

#[track_caller]
fn assert_none(advice: &str, found: impl IntoIterator<Item = String>) {
    let found: Vec<_> = found.into_iter().collect();
    assert!(found.is_empty(), "{advice}:\n  {}\n", found.join("\n  "));
}
