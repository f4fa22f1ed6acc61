//! The states of a saga as types: an enum, each variant of which has a payload type of its own.

use serde::{Serialize, de::DeserializeOwned};

/// The states of a saga: an enum, each variant of which holds one value of a type of its own.
///
/// Derived, with feature `derive`: `#[derive(SagaState)]` on the enum, which also derives serde's
/// `Serialize` and `Deserialize`. `#[saga(terminal)]` marks the states in which the saga is over.
///
/// ```
/// # use serde::{Deserialize, Serialize};
/// use tidings::saga::SagaState;
///
/// #[derive(Serialize, Deserialize)]
/// struct AwaitingPayment { cents: u64 }
///
/// #[derive(Serialize, Deserialize)]
/// struct Paid;
///
/// #[derive(Serialize, Deserialize, SagaState)]
/// enum Checkout {
///     AwaitingPayment(AwaitingPayment),
///     #[saga(terminal)]
///     Paid(Paid),
/// }
///
/// let state = Checkout::from(AwaitingPayment { cents: 100 });
/// assert_eq!(state.state(), "AwaitingPayment");
/// assert!(Checkout::STATES[1].is_terminal);
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not the states of a saga",
    note = "derive it on an enum whose variants hold one type each: \
            `#[derive(Serialize, Deserialize, SagaState)]`"
)]
pub trait SagaState: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// All states, in the order of the enum.
    const STATES: &'static [StateInfo];

    /// The name of this state.
    fn state(&self) -> &'static str;
}

/// What there is to know about a state, whatever it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct StateInfo {
    /// The variant's name.
    pub name: &'static str,
    /// Whether the saga is over in it.
    pub is_terminal: bool,
}

impl StateInfo {
    /// A state of this name.
    #[must_use]
    pub const fn new(name: &'static str, is_terminal: bool) -> Self {
        Self { name, is_terminal }
    }
}

/// What one variant of the saga's enum holds; its type stands for the state. Derived with
/// [`SagaState`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a state of `{S}`",
    note = "a state is the type that a variant of the saga's enum holds"
)]
pub trait StateOf<S: SagaState>: Into<S> + 'static {
    /// The variant's name.
    const NAME: &'static str;

    /// What the variant holds, if this is the state.
    fn of(state: &S) -> Option<&Self>;
}

/// The names of all states in which the saga goes on.
pub(super) fn active<S: SagaState>() -> impl Iterator<Item = &'static str> {
    S::STATES.iter().filter(|state| !state.is_terminal).map(|state| state.name)
}

/// Whether the saga is over in the state of that name.
pub(super) fn is_terminal<S: SagaState>(name: &str) -> bool {
    S::STATES.iter().any(|state| state.name == name && state.is_terminal)
}
