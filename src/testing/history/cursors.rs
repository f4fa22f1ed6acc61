//! Cursors go forward, and stay within the log.

use super::{
    Anomaly, AnomalyKind, Fact,
    case::{Case, View},
};
use crate::message::Position;

pub(super) fn check(case: &Case<'_>) -> Vec<Anomaly> {
    let mut found = ahead(case);
    for (subscription, view) in &case.subscriptions {
        found.extend(back(case, subscription, view));
    }
    found
}

fn back(case: &Case<'_>, subscription: &str, view: &View) -> Vec<Anomaly> {
    let mut found = Vec::new();
    let mut highest: Option<(Position, usize)> = None;
    for (at, fact) in case.of(view) {
        match fact {
            fact if case.promises.unsettles(fact) => highest = None,
            Fact::Cursor { position, .. } => match highest {
                Some((before, since)) if *position < before => {
                    let why =
                        format!("the cursor of {subscription} went from {before} to {position}");
                    found.push(case.anomaly(AnomalyKind::CursorWentBack, &[since, at], why));
                }
                _ => highest = Some((*position, at)),
            },
            _ => {}
        }
    }
    found
}

/// Backwards: where the log ends later, it has not ended before that earlier.
fn ahead(case: &Case<'_>) -> Vec<Anomaly> {
    let mut found = Vec::new();
    let mut end: Option<(Position, usize)> = None;
    for (at, fact) in case.facts.iter().enumerate().rev() {
        match fact {
            Fact::LogEnds { position } if end.is_none_or(|(end, _)| *position < end) => {
                end = Some((*position, at));
            }
            Fact::Cursor { subscription, position } => {
                let Some((end, later)) = end.filter(|(end, _)| position > end) else { continue };
                let why = format!(
                    "the cursor of {subscription} was at {position}, the log ends at {end}"
                );
                found.push(case.anomaly(AnomalyKind::CursorAhead, &[at, later], why));
            }
            fact if case.promises.forgets(fact) => end = None,
            _ => {}
        }
    }
    found
}
