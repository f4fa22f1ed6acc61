//! A state without a type of its own, a type for two states, an unknown option, and options in the wrong place.

use serde::{Deserialize, Serialize};
use tidings::saga::SagaState;

#[derive(Serialize, Deserialize)]
struct Open;

#[derive(Serialize, Deserialize, SagaState)]
#[saga(name = "orders")]
enum Order {
    New,
    Open(Open),
    Reopened(Open),
    #[saga(terminate)]
    Closed(u64),
}

#[derive(Serialize, Deserialize, SagaState)]
struct Flat;

fn main() {}
