//! The checks find what is planted in sample sources.

use crate::{
    code, edges, imports::references, is_vague, sources::Source, unknown_imports, upward_imports,
};

fn source(path: &str, text: &str) -> Source {
    Source { path: path.to_owned(), text: text.to_owned() }
}

/// A small crate: the root with two exports, two areas, and the file under test.
fn sample(path: &str, text: &str) -> Vec<Source> {
    let root = "pub use bus::{Bus as Hub, part::Thing};\npub use event::Event;";
    vec![
        source("src/lib.rs", root),
        source("src/bus/mod.rs", ""),
        source("src/event.rs", ""),
        source(path, text),
    ]
}

fn upward(path: &str, text: &str) -> Vec<String> {
    upward_imports(&sample(path, text))
}

#[test]
fn a_planted_upward_import_is_flagged() {
    for planted in [
        "use crate::bus::Bus;",
        "use crate::{event::Event, bus::{part::{A}}};",
        "use super::super::bus;",
        "fn open() -> crate::bus::Bus { todo!() }",
        "fn open() { print!(\"{}\", crate::bus::NAME) }",
        "mod inner { use super::super::super::bus::Bus; }",
        "use crate::Hub;",
        "fn thing(_: crate::Thing) {}",
        "macro_rules! m { () => { $crate::bus::Bus } }",
        "#[cfg(any(test, feature = \"testing\"))] mod tests { use crate::bus::Bus; }",
    ] {
        assert_eq!(upward("src/storage/file.rs", planted).len(), 1, "{planted}");
    }
}

#[test]
fn the_place_of_an_upward_import_is_shown() {
    let found = upward("src/storage/mod.rs", "//! Storage.\n\nuse crate::{\n    bus::Bus,\n};");
    let expected = "src/storage/mod.rs:4: storage -> bus (`crate::bus::Bus`)";
    assert_eq!(found, [expected]);
}

#[test]
fn every_branch_of_an_import_is_seen() {
    let found = upward("src/storage/file.rs", "use crate::bus::{self, part::{A, B as C}, *};");
    assert_eq!(found.len(), 4, "{found:#?}");
}

#[test]
fn tests_comments_and_text_import_nothing() {
    for calm in [
        "// use crate::bus::Bus;",
        "/// See [`crate::bus::Bus`].\nstruct A;",
        "const A: &str = \"crate::bus::Bus\";",
        "#[cfg(test)]\nmod tests { use crate::bus::Bus; }",
        "#[cfg(all(test, feature = \"derive\"))]\nmod tests { use crate::bus::Bus; }",
        "#[cfg(test)]\n#[path = \"x.rs\"]\nuse crate::bus::Bus;",
        "use crate::event::Event;",
        "use other::crate_bus::{bus, Bus};",
        "pub(crate) fn a() {} pub(super) fn b() {} pub(in crate::storage) fn c() {}",
    ] {
        assert_eq!(upward("src/storage/mod.rs", calm), [""; 0], "{calm}");
    }
}

#[test]
fn code_after_tests_is_read_again() {
    let text = "#[cfg(test)]\nmod tests {}\nuse crate::bus::Bus;";
    assert_eq!(upward("src/storage/mod.rs", text).len(), 1);
}

#[test]
fn neighbours_need_a_listed_pair() {
    assert_eq!(upward("src/message.rs", "use crate::event::Event;"), [""; 0]);
    assert_eq!(upward("src/error.rs", "use crate::event::Event;").len(), 1);
}

#[test]
fn paths_through_the_root_are_edges_of_the_area_behind_it() {
    let edges = edges(&sample("src/saga.rs", "use crate::{Event, Hub as Bus};"));
    let edge = |to: &str| ("saga".to_owned(), to.to_owned());
    assert_eq!(edges, [edge("bus"), edge("event")].into());
}

#[test]
fn an_exported_macro_is_of_the_area_that_defines_it() {
    let text = "#[macro_export] macro_rules! check { () => {} }\nmacro_rules! own { () => {} }";
    let mut sources = sample("src/saga.rs", "use crate::check; use crate::own;");
    sources.push(source("src/bus/macros.rs", text));
    assert_eq!(unknown_imports(&sources), ["src/saga.rs:1: saga (`crate::own`)"]);
    let mut sources = sample("src/storage.rs", "fn a() { crate::check!() }");
    sources.push(source("src/bus/macros.rs", text));
    assert_eq!(upward_imports(&sources).len(), 1);
}

#[test]
fn a_name_that_the_root_does_not_have_is_flagged() {
    let found = unknown_imports(&sample("src/saga.rs", "use crate::{Event, Nobody};"));
    assert_eq!(found, ["src/saga.rs:1: saga (`crate::Nobody`)"]);
}

#[test]
fn everything_from_the_root_is_flagged() {
    for planted in ["use crate::*;", "use super::*;", "use crate::{*, event::Event};"] {
        let found = unknown_imports(&sample("src/saga.rs", planted));
        assert_eq!(found, ["src/saga.rs:1: saga (`crate::*`)"], "{planted}");
    }
}

#[test]
fn relative_paths_climb_from_their_module() {
    let text = "use self::x::A; mod inner { use super::y::B; use super::super::z::C; }";
    let tokens = text.parse().unwrap();
    let found = references("src/journal/ring/mod.rs", &tokens);
    let paths: Vec<_> = found.iter().map(|found| found.path.join("::")).collect();
    assert_eq!(paths, ["journal::ring::x::A", "journal::ring::y::B", "journal::z::C"]);
}

#[test]
fn only_lines_of_code_are_counted() {
    let text = "//! Head.\n\n// comment\nfn a() {\n    b(\n        1,\n    ); /* x\n y */\n}\n\
                #[cfg(test)]\nmod tests {\n    fn c() {}\n}\nconst T: &str = \"1\n2\";\n";
    assert_eq!(code::lines(&code::of(&source("src/a.rs", text))).len(), 7);
}

#[test]
fn unsafe_is_found_as_code_only() {
    let text = "//! unsafe\n#![forbid(unsafe_code)]\nfn a() {\n    \"unsafe\";\n    unsafe {}\n}";
    let tokens = code::of(&source("src/a.rs", text));
    assert_eq!(code::lines_with("unsafe", &tokens), [5]);
}

#[test]
fn vague_names_are_found_at_any_depth() {
    assert!(
        is_vague("src/utils.rs")
            && is_vague("src/common/a.rs")
            && is_vague("src/a/lane_manager.rs")
    );
    assert!(!is_vague("src/journal/ring.rs") && !is_vague("src/a/management.rs"));
}
