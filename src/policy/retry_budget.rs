//! How many retries the traffic pays for.

/// How many retries there may be, as a share of the traffic, so that retries do not keep down what
/// they call when all of it fails.
///
/// Each first attempt pays in this share of a retry, each retry takes one out, and what is ten seconds
/// old is forgotten. A retry for which nothing is left is put off for a second or two, and counts as no
/// attempt: no event becomes a dead letter because of it. As in
/// [`tower`](https://docs.rs/tower/latest/tower/retry/budget/) and
/// [Finagle](https://twitter.github.io/finagle/guide/Glossary.html#term-Retry-Budget).
///
/// ```
/// use tidings::RetryBudget;
///
/// let budget = RetryBudget::new(0.1).min_per_second(1); // a tenth of the traffic
/// # let _: RetryBudget = budget;
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RetryBudget {
    pub(crate) share: f64,
    pub(crate) min_per_second: u32,
}

impl RetryBudget {
    /// So many retries for each first attempt, from 0 to 1,000 (what is outside counts as the nearer
    /// one, and no number as 0), and ten more a second.
    #[must_use]
    pub const fn new(share: f64) -> Self {
        let share = if share > 0.0 { share.min(1000.0) } else { 0.0 };
        Self { share, min_per_second: 10 }
    }

    /// How many retries a second there may be in any case, on the average of ten seconds. Ten unless
    /// set.
    #[must_use]
    pub const fn min_per_second(mut self, retries: u32) -> Self {
        self.min_per_second = retries;
        self
    }
}
