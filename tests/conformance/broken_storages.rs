//! Storages that lie, each in one way, and the check that finds it.

mod lies;
mod planted;
mod pretender;
