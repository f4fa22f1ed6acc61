//! Storage in memory: the reference implementation.
