//! A retry budget at work.

use std::array;

use parking_lot::Mutex;

use crate::{policy::RetryBudget, runtime::Tick};

/// What is so many seconds old is forgotten.
const SECONDS: u8 = 10;

/// One retry. Shares of it are counted.
const RETRY: i32 = 1000;

/// A retry budget at work, shared by whoever draws on it.
#[derive(Debug)]
pub(crate) struct Budget {
    account: Mutex<Account>,
}

impl Budget {
    pub(crate) fn new(settings: RetryBudget) -> Self {
        Self { account: Mutex::new(Account::new(settings)) }
    }

    /// So many first attempts were made.
    pub(super) fn deposit(&self, attempts: u64, now: Tick) {
        let mut account = self.account.lock();
        let shares = i64::try_from(attempts).unwrap_or(i64::MAX).saturating_mul(account.share);
        account.book(shares, now);
    }

    /// Pays for a retry. False where nothing is left.
    pub(super) fn withdraw(&self, now: Tick) -> bool {
        let mut account = self.account.lock();
        let pays = account.balance(now) >= i64::from(RETRY);
        if pays {
            account.book(-i64::from(RETRY), now);
        }
        pays
    }

    /// A retry was paid for and not made.
    pub(super) fn refund(&self, now: Tick) {
        self.account.lock().book(RETRY.into(), now);
    }
}

#[derive(Debug)]
struct Account {
    /// What one first attempt pays in.
    share: i64,
    /// What is there in any case.
    reserve: i64,
    /// What was paid in, less what was taken out, in each of the last seconds.
    seconds: [i64; SECONDS as usize],
    /// The second that was booked last.
    last: u64,
}

impl Account {
    fn new(settings: RetryBudget) -> Self {
        #[allow(clippy::cast_possible_truncation)] // at most a million
        let share = (settings.share * f64::from(RETRY)) as i64;
        let reserve = i64::from(settings.min_per_second) * i64::from(SECONDS) * i64::from(RETRY);
        Self { share, reserve, seconds: array::from_fn(|_| 0), last: 0 }
    }

    fn book(&mut self, amount: i64, now: Tick) {
        self.forget(now);
        let second = self.second(self.last);
        *second = second.saturating_add(amount);
    }

    fn balance(&mut self, now: Tick) -> i64 {
        self.forget(now);
        self.seconds.iter().fold(self.reserve, |sum, second| sum.saturating_add(*second))
    }

    /// Clears the seconds that were not booked since they last came round.
    fn forget(&mut self, now: Tick) {
        let second = now.as_secs().max(self.last);
        for new in (self.last + 1..=second).take(SECONDS.into()) {
            *self.second(new) = 0;
        }
        self.last = second;
    }

    fn second(&mut self, number: u64) -> &mut i64 {
        #[allow(clippy::cast_possible_truncation)] // below ten
        let at = (number % u64::from(SECONDS)) as usize;
        &mut self.seconds[at]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn budget(share: f64, min_per_second: u32) -> Budget {
        Budget::new(RetryBudget::new(share).min_per_second(min_per_second))
    }

    fn second(number: u64) -> Tick {
        Tick::from_secs(number)
    }

    #[test]
    fn traffic_pays_for_retries() {
        let budget = budget(0.1, 0);
        assert!(!budget.withdraw(second(0)));
        budget.deposit(25, second(0));
        assert!(budget.withdraw(second(5)) && budget.withdraw(second(5)));
        assert!(!budget.withdraw(second(5)), "two and a half");
        budget.refund(second(5));
        assert!(budget.withdraw(second(5)));
    }

    #[test]
    fn what_is_old_is_forgotten() {
        let budget = budget(1.0, 0);
        budget.deposit(5, second(3));
        assert!(budget.withdraw(second(12)));
        assert!(!budget.withdraw(second(13)));
        budget.deposit(2, second(1000));
        assert!(budget.withdraw(second(1000)));
    }

    #[test]
    fn some_retries_are_free() {
        let budget = budget(0.0, 2);
        let made = (0..100).filter(|at| budget.withdraw(second(*at))).count();
        assert_eq!(made, 100);
        let many = (0..1000).filter(|at| budget.withdraw(second(200 + at / 10))).count();
        assert_eq!(many, 200 + 20 - 20, "of ten a second, two are made");
    }

    proptest! {
        #[test]
        fn there_are_never_more_retries_than_the_share_and_the_minimum(
            share in 0.0_f64..2.0,
            min in 0_u32..4,
            steps in prop::collection::vec((0_u64..3000, 0_u64..4), 1..300),
        ) {
            let budget = budget(share, min);
            let (mut now, mut first, mut retries) = (Tick::ZERO, 0, 0);
            for (millis, attempts) in steps {
                now += Tick::from_millis(millis);
                budget.deposit(attempts, now);
                first += u32::try_from(attempts).unwrap_or_default();
                while budget.withdraw(now) {
                    retries += 1;
                }
            }
            let paid = f64::from(first) * share;
            let free = f64::from(min) * (now.as_secs_f64() + 2.0 * f64::from(SECONDS));
            prop_assert!(f64::from(retries) <= paid + free + 1.0, "{retries} of {first}");
        }
    }
}
