//! What all comparisons share: their arguments, where their files go, rounds, and the report.

mod arguments;
mod directory;
mod report;
mod rounds;

pub use arguments::{Arguments, BadArguments};
pub use directory::Directory;
pub use report::{Comparison, Unit};
pub use rounds::{Contender, Samples, rounds};
