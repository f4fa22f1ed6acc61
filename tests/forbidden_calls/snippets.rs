//! One use of every path that clippy.toml forbids. Each snippet is the body of a function.

pub(crate) const SNIPPETS: &[(&str, &str)] = &[
    ("std::time::Instant::now", "std::time::Instant::now()"),
    (
        "std::time::Instant::elapsed",
        "any::<std::time::Instant>().elapsed()",
    ),
    ("std::time::SystemTime::now", "std::time::SystemTime::now()"),
    (
        "std::time::SystemTime::elapsed",
        "any::<std::time::SystemTime>().elapsed()",
    ),
    (
        "std::thread::Builder::spawn",
        "std::thread::Builder::new().spawn(nothing)",
    ),
    (
        "std::thread::Builder::spawn_scoped",
        "any::<std::thread::Builder>().spawn_scoped(any(), nothing)",
    ),
    (
        "std::thread::Builder::spawn_unchecked",
        "unsafe { any::<std::thread::Builder>().spawn_unchecked(nothing) }",
    ),
    (
        "std::thread::available_parallelism",
        "std::thread::available_parallelism()",
    ),
    ("std::thread::current", "std::thread::current()"),
    ("std::thread::park", "std::thread::park()"),
    (
        "std::thread::park_timeout",
        "std::thread::park_timeout(any())",
    ),
    (
        "std::thread::park_timeout_ms",
        "std::thread::park_timeout_ms(1)",
    ),
    ("std::thread::scope", "std::thread::scope(|_| ())"),
    ("std::thread::sleep", "std::thread::sleep(any())"),
    ("std::thread::sleep_ms", "std::thread::sleep_ms(1)"),
    ("std::thread::spawn", "std::thread::spawn(nothing)"),
    ("std::thread::yield_now", "std::thread::yield_now()"),
    (
        "std::sync::Condvar::wait_timeout",
        "any::<std::sync::Condvar>().wait_timeout(guard(), any())",
    ),
    (
        "std::sync::Condvar::wait_timeout_ms",
        "any::<std::sync::Condvar>().wait_timeout_ms(guard(), 1)",
    ),
    (
        "std::sync::Condvar::wait_timeout_while",
        "any::<std::sync::Condvar>().wait_timeout_while(guard(), any(), |_| true)",
    ),
    (
        "std::sync::mpsc::Receiver::recv_timeout",
        "any::<std::sync::mpsc::Receiver<u8>>().recv_timeout(any())",
    ),
    (
        "std::hash::RandomState::new",
        "std::hash::RandomState::new()",
    ),
    (
        "std::fs::DirBuilder::create",
        r#"std::fs::DirBuilder::new().create("x")"#,
    ),
    (
        "std::fs::DirEntry::file_type",
        "any::<std::fs::DirEntry>().file_type()",
    ),
    (
        "std::fs::DirEntry::metadata",
        "any::<std::fs::DirEntry>().metadata()",
    ),
    ("std::fs::File::create", r#"std::fs::File::create("x")"#),
    (
        "std::fs::File::create_new",
        r#"std::fs::File::create_new("x")"#,
    ),
    ("std::fs::File::open", r#"std::fs::File::open("x")"#),
    ("std::fs::File::options", "std::fs::File::options()"),
    (
        "std::fs::OpenOptions::open",
        r#"std::fs::OpenOptions::new().open("x")"#,
    ),
    ("std::fs::canonicalize", r#"std::fs::canonicalize("x")"#),
    ("std::fs::copy", r#"std::fs::copy("x", "y")"#),
    ("std::fs::create_dir", r#"std::fs::create_dir("x")"#),
    ("std::fs::create_dir_all", r#"std::fs::create_dir_all("x")"#),
    ("std::fs::exists", r#"std::fs::exists("x")"#),
    ("std::fs::hard_link", r#"std::fs::hard_link("x", "y")"#),
    ("std::fs::metadata", r#"std::fs::metadata("x")"#),
    ("std::fs::read", r#"std::fs::read("x")"#),
    ("std::fs::read_dir", r#"std::fs::read_dir("x")"#),
    ("std::fs::read_link", r#"std::fs::read_link("x")"#),
    ("std::fs::read_to_string", r#"std::fs::read_to_string("x")"#),
    ("std::fs::remove_dir", r#"std::fs::remove_dir("x")"#),
    ("std::fs::remove_dir_all", r#"std::fs::remove_dir_all("x")"#),
    ("std::fs::remove_file", r#"std::fs::remove_file("x")"#),
    ("std::fs::rename", r#"std::fs::rename("x", "y")"#),
    (
        "std::fs::set_permissions",
        r#"std::fs::set_permissions("x", any())"#,
    ),
    ("std::fs::soft_link", r#"std::fs::soft_link("x", "y")"#),
    (
        "std::fs::symlink_metadata",
        r#"std::fs::symlink_metadata("x")"#,
    ),
    ("std::fs::write", r#"std::fs::write("x", "y")"#),
    (
        "std::path::Path::canonicalize",
        r#"std::path::Path::new("x").canonicalize()"#,
    ),
    (
        "std::path::Path::exists",
        r#"std::path::Path::new("x").exists()"#,
    ),
    (
        "std::path::Path::is_dir",
        r#"std::path::Path::new("x").is_dir()"#,
    ),
    (
        "std::path::Path::is_file",
        r#"std::path::Path::new("x").is_file()"#,
    ),
    (
        "std::path::Path::is_symlink",
        r#"std::path::Path::new("x").is_symlink()"#,
    ),
    (
        "std::path::Path::metadata",
        r#"std::path::Path::new("x").metadata()"#,
    ),
    (
        "std::path::Path::read_dir",
        r#"std::path::Path::new("x").read_dir()"#,
    ),
    (
        "std::path::Path::read_link",
        r#"std::path::Path::new("x").read_link()"#,
    ),
    (
        "std::path::Path::symlink_metadata",
        r#"std::path::Path::new("x").symlink_metadata()"#,
    ),
    (
        "std::path::Path::try_exists",
        r#"std::path::Path::new("x").try_exists()"#,
    ),
    ("std::env::current_dir", "std::env::current_dir()"),
    ("std::env::current_exe", "std::env::current_exe()"),
    ("std::env::home_dir", "std::env::home_dir()"),
    (
        "std::env::remove_var",
        r#"unsafe { std::env::remove_var("X") }"#,
    ),
    (
        "std::env::set_current_dir",
        r#"std::env::set_current_dir("x")"#,
    ),
    (
        "std::env::set_var",
        r#"unsafe { std::env::set_var("X", "y") }"#,
    ),
    ("std::env::temp_dir", "std::env::temp_dir()"),
    ("std::env::var", r#"std::env::var("X")"#),
    ("std::env::var_os", r#"std::env::var_os("X")"#),
    ("std::env::vars", "std::env::vars()"),
    ("std::env::vars_os", "std::env::vars_os()"),
    ("std::process::abort", "std::process::abort()"),
    ("std::process::exit", "std::process::exit(1)"),
    (
        "std::process::Command::new",
        r#"std::process::Command::new("x")"#,
    ),
    (
        "std::collections::HashMap",
        "std::collections::HashMap::<u8, u8>::new()",
    ),
    (
        "std::collections::HashSet",
        "std::collections::HashSet::<u8>::new()",
    ),
];

/// What the snippets need around them. Nothing of it ever runs.
pub(crate) const PRELUDE: &str = "
#![allow(deprecated, unused, clippy::all)]
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]
fn any<T>() -> T { panic!() }
fn nothing() {}
fn guard() -> std::sync::MutexGuard<'static, u8> { panic!() }
";
