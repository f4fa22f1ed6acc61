//! The vocabulary that every error of the crate shares. Each area's own enum lives with its area.

/// Any error, boxed.
pub type BoxError = Box<dyn std::error::Error + Send + Sync + 'static>;
