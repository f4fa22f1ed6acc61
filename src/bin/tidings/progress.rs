//! A bar for whoever waits.

use tidings::storage::file::Progress;

use crate::{failure::complain, process};

const WIDTH: usize = 30;

/// A bar on standard error, if somebody watches it. Gone once it is dropped.
pub(crate) struct Bar {
    is_watched: bool,
    /// What is shown, in hundredths.
    shown: Option<u64>,
}

impl Bar {
    pub(crate) fn new() -> Self {
        Self { is_watched: process::is_watched(), shown: None }
    }

    pub(crate) fn show(&mut self, progress: Progress) {
        let parts = u128::from(progress.done) * 100 / u128::from(progress.total.max(1));
        let parts = u64::try_from(parts).unwrap_or(100).min(100);
        if !self.is_watched || self.shown == Some(parts) {
            return;
        }
        self.shown = Some(parts);
        complain(&bar(parts));
    }
}

fn bar(parts: u64) -> String {
    let full = usize::try_from(parts).unwrap_or(0) * WIDTH / 100;
    format!("\r[{}{}] {parts:>3} %", "#".repeat(full), ".".repeat(WIDTH.saturating_sub(full)))
}

impl Drop for Bar {
    fn drop(&mut self) {
        if self.shown.is_some() {
            complain("\r\x1b[K");
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_bar_fills() {
        assert_eq!(super::bar(0), "\r[..............................]   0 %");
        assert_eq!(super::bar(50), "\r[###############...............]  50 %");
        assert_eq!(super::bar(100), "\r[##############################] 100 %");
    }
}
