//! Collects mistakes, so that one compilation shows them all.

use proc_macro2::TokenStream;
use syn::{Error, Result};

#[derive(Default)]
pub(crate) struct Problems(Option<Error>);

impl Problems {
    pub(crate) fn add(&mut self, problem: Error) {
        match &mut self.0 {
            Some(first) => first.combine(problem),
            None => self.0 = Some(problem),
        }
    }

    /// The value, or nothing and one more problem.
    pub(crate) fn ok<T>(&mut self, result: Result<T>) -> Option<T> {
        result.map_err(|problem| self.add(problem)).ok()
    }

    /// The problems as `compile_error!`s; `None` when all is well.
    pub(crate) fn into_compile_error(self) -> Option<TokenStream> {
        self.0.map(Error::into_compile_error)
    }
}
