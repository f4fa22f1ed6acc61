//! What the compiler says about mistakes, word for word: one file a mistake.
//!
//! After a change on purpose, `TRYBUILD=overwrite cargo test -p tidings-derive` rewrites the
//! expected texts. Read them as someone who has just met the crate.

#[test]
fn mistakes_are_explained() {
    trybuild::TestCases::new().compile_fail("tests/compile_errors/*.rs");
}
