//! The list in clippy.toml bites: every path on it is reported, and nobody switches it off.
#![allow(clippy::unwrap_used, missing_docs)]

mod snippets;
#[path = "../sources/mod.rs"]
mod sources;

use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    process::{Command, Output},
};

use snippets::{PRELUDE, SNIPPETS};

/// Where real clocks, threads and files live. A new place wants a very good reason.
const ALLOWED: &[&str] = &[
    "src/bin/tidings/process.rs", // a tool's environment, and waiting between two looks
    "src/runtime/table.rs",       // a hash table under a seed
    "src/runtime/threads/",
    "src/storage/file/disk/real.rs",
    "src/testing/",
];

#[test]
fn every_forbidden_path_is_reported() {
    if !clippy_is_installed() {
        return;
    }
    let body = |(path, snippet): &(&str, &str)| format!("{snippet}; // {path}");
    let reported = check(SNIPPETS.iter().map(body));
    let silent: Vec<_> = SNIPPETS
        .iter()
        .map(|(path, _)| (*path).to_owned())
        .filter(|path| !reported.contains(path))
        .collect();
    assert!(silent.is_empty(), "clippy says nothing about {silent:#?}");
}

#[test]
fn ordinary_code_is_not_reported() {
    if !clippy_is_installed() {
        return;
    }
    let calm = [
        "std::collections::BTreeMap::<u8, u8>::new();",
        "std::time::Duration::from_secs(1);",
        "any::<std::time::Instant>().duration_since(any());",
        r#"std::path::Path::new("x").join("y");"#,
        "any::<std::sync::Condvar>().notify_all();",
    ];
    assert_eq!(check(calm.map(str::to_owned)), BTreeSet::new());
}

#[test]
fn every_forbidden_path_has_a_snippet() {
    let listed: BTreeSet<_> = entries().into_iter().map(|(path, _)| path).collect();
    let tried: BTreeSet<_> = SNIPPETS.iter().map(|(path, _)| (*path).to_owned()).collect();
    let missing: Vec<_> = listed.difference(&tried).collect();
    let stale: Vec<_> = tried.difference(&listed).collect();
    assert!(
        missing.is_empty() && stale.is_empty(),
        "tests/forbidden_calls/snippets.rs has one row for each path of clippy.toml\n\
         to add: {missing:#?}\nto remove: {stale:#?}"
    );
}

#[test]
fn every_forbidden_path_has_a_reason() {
    for (path, line) in entries() {
        assert!(line.contains("reason = \""), "{path} has no reason");
    }
}

#[test]
fn nobody_switches_the_rule_off() {
    for source in sources::under("src") {
        let free = ALLOWED.iter().any(|place| source.path.starts_with(place));
        for (at, line) in source.text.lines().enumerate() {
            assert!(
                free || !switches_off(line),
                "{}:{}: real clocks, threads and files belong in one of {ALLOWED:?}\n{line}",
                source.path,
                at + 1,
            );
        }
    }
}

#[test]
fn switching_off_is_noticed() {
    assert!(switches_off("#![allow(clippy::disallowed_methods)]"));
    assert!(switches_off("    #[cfg_attr(x, expect(clippy::disallowed_types))]"));
    assert!(switches_off("    clippy::disallowed_methods,"));
    assert!(switches_off("#![allow(clippy::all)]"));
    assert!(!switches_off("#![allow(clippy::pedantic)]"));
    assert!(!switches_off("// allow(clippy::disallowed_methods)"));
}

#[test]
fn the_rule_is_on() {
    for root in ["src/lib.rs", "src/bin/tidings/main.rs"] {
        let head = fs::read_to_string(sources::root().join(root)).unwrap();
        assert!(head.contains("deny(clippy::disallowed_methods, clippy::disallowed_types)"));
    }
}

/// A line of an attribute that lowers one of the lints, or the groups that they are in.
fn switches_off(line: &str) -> bool {
    let has_any = |words: &[&str]| words.iter().any(|word| line.contains(word));
    let bare = line.trim_start();
    let listed = bare.starts_with("clippy::"); // one lint a line
    let lowered = listed || has_any(&["allow(", "expect(", "warn("]);
    let names = ["disallowed_methods", "disallowed_types", "clippy::all", "clippy::style"];
    !bare.starts_with("//") && lowered && has_any(&names)
}

/// The entries of clippy.toml: the path, and the line that it stands on.
fn entries() -> Vec<(String, String)> {
    let config = fs::read_to_string(sources::root().join("clippy.toml")).unwrap();
    let entries: Vec<_> = config.lines().filter_map(entry).collect();
    assert!(!entries.is_empty(), "clippy.toml has no entries that this test can read");
    entries
}

fn entry(line: &str) -> Option<(String, String)> {
    let (_, rest) = line.split_once("path = \"")?;
    let (path, _) = rest.split_once('"')?;
    Some((path.to_owned(), line.to_owned()))
}

/// The paths that clippy reports in a crate with one function for each body.
fn check(bodies: impl IntoIterator<Item = String>) -> BTreeSet<String> {
    let bodies = bodies.into_iter().enumerate();
    let functions: Vec<_> =
        bodies.map(|(at, body)| format!("pub fn case_{at}() {{\n    {body}\n}}\n")).collect();
    let folder = tempfile::tempdir().unwrap();
    write_crate(folder.path(), &format!("{PRELUDE}\n{}", functions.concat()));
    reported(&run_clippy(folder.path()))
}

fn write_crate(folder: &Path, code: &str) {
    let manifest =
        "[package]\nname = \"probe\"\nversion = \"0.0.0\"\nedition = \"2024\"\n[workspace]\n";
    fs::create_dir(folder.join("src")).unwrap();
    fs::write(folder.join("Cargo.toml"), manifest).unwrap();
    fs::write(folder.join("src/lib.rs"), code).unwrap();
    fs::copy(sources::root().join("clippy.toml"), folder.join("clippy.toml")).unwrap();
}

fn run_clippy(folder: &Path) -> Output {
    let denied = ["-D", "clippy::disallowed_methods", "-D", "clippy::disallowed_types"];
    cargo()
        .args(["clippy", "--offline", "--quiet", "--message-format=json", "--target-dir"])
        .arg(folder.join("target"))
        .arg("--")
        .args(denied)
        .current_dir(folder)
        .output()
        .unwrap()
}

/// The paths in clippy's messages. Anything else that it reports is a fault of the probe.
fn reported(output: &Output) -> BTreeSet<String> {
    let text = String::from_utf8_lossy(&output.stdout);
    let messages = text
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter(|line| line["reason"] == "compiler-message")
        .map(|line| line["message"].clone());
    let mut paths = BTreeSet::new();
    for message in messages {
        let headline = message["message"].as_str().unwrap_or_default();
        match message["code"]["code"].as_str() {
            Some("clippy::disallowed_methods" | "clippy::disallowed_types") => {
                paths.extend(headline.split('`').nth(1).map(str::to_owned));
            }
            Some(_) => panic!("the probe does not compile: {}", message["rendered"]),
            None => {} // "aborting due to ..."
        }
    }
    let clean = paths.is_empty();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert_eq!(clean, output.status.success(), "cargo clippy failed: {complaint}");
    paths
}

fn clippy_is_installed() -> bool {
    let found = cargo().args(["clippy", "--version"]).output();
    if found.is_ok_and(|output| output.status.success()) {
        return true;
    }
    assert!(std::env::var_os("CI").is_none(), "clippy is not installed");
    eprintln!("SKIPPED: clippy is not installed, so nobody knows whether clippy.toml bites");
    false
}

/// Cargo, free of what the outer build says about lints and folders.
fn cargo() -> Command {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(program);
    for name in ["CLIPPY_ARGS", "CLIPPY_CONF_DIR", "RUSTC_WORKSPACE_WRAPPER", "RUSTFLAGS"] {
        command.env_remove(name);
    }
    command
}
