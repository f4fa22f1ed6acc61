//! What all comparisons share: their arguments, where their files go, rounds, and the report.

mod arguments;
mod batcher;
mod directory;
mod report;
mod rounds;
mod suite;
pub mod timing;

pub use arguments::{Arguments, BadArguments, is_below};
pub use batcher::{Answer, Batcher};
pub use directory::Directory;
pub use report::{Comparison, Curve, OURS, Unit, short};
pub use rounds::{Contender, Samples, rounds};
pub use suite::{Bench, Workload, show};
