//! Choices a user makes, as plain values: backoff, circuit breakers, lag objectives, lanes, overflow, rates, retention,
//! retry budgets, where a subscription starts, what is remembered.

mod backoff;
mod circuit_breaker;
mod lag_objective;
mod lanes;
mod on_dead_letter;
mod overflow;
mod rate;
mod retention;
mod retries;
mod retry_budget;
mod start;
mod window;

pub(crate) use backoff::jitter;
pub use backoff::{Attempt, Backoff};
pub use circuit_breaker::CircuitBreaker;
pub(crate) use circuit_breaker::SlowCalls;
pub use lag_objective::{Forecast, LagObjective};
pub use lanes::Lanes;
pub use on_dead_letter::OnDeadLetter;
pub use overflow::Overflow;
pub use rate::Rate;
pub use retention::{Retention, Unread};
pub(crate) use retries::Retries;
pub use retry_budget::RetryBudget;
pub use start::Start;
pub use window::Window;
