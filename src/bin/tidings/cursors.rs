//! `cursors`: how far each subscription has come.

use std::path::Path;

use serde_json::json;
use tidings::StoredSubscription;

use crate::{
    dead_letters,
    failure::Failure,
    output::{Output, Tone},
    text::Harmless,
};

pub(crate) fn run(dir: &Path, output: &mut Output) -> Result<(), Failure> {
    let subscriptions = dead_letters::look(dir)?.stored_subscriptions()?;
    for subscription in &subscriptions {
        if output.json {
            output.object(&object(subscription))?;
        } else {
            show(subscription, output)?;
        }
    }
    if subscriptions.is_empty() && !output.json {
        output.line("no subscriptions")?;
    }
    Ok(())
}

fn object(subscription: &StoredSubscription) -> serde_json::Value {
    let lanes = subscription.lanes.iter().enumerate().map(|(number, lane)| {
        let holes = lane.holes.iter();
        let holes = holes.map(|(at, attempts)| json!({"position": at, "attempts": attempts}));
        json!({
            "lane": number,
            "position": lane.position,
            "lag": lane.lag,
            "holes": holes.collect::<Vec<_>>(),
        })
    });
    json!({
        "subscription": subscription.name,
        "events": subscription.events,
        "lag": subscription.lag,
        "dead_letters": subscription.dead_letters,
        "lanes": lanes.collect::<Vec<_>>(),
    })
}

fn show(subscription: &StoredSubscription, output: &mut Output) -> Result<(), Failure> {
    let name = output.paint(Tone::Name, Harmless(&subscription.name));
    let tone = if subscription.dead_letters > 0 { Tone::Warning } else { Tone::Quiet };
    let dead = output.paint(tone, format!("{} dead letters", subscription.dead_letters));
    output.line(format!("{name}: lag {}, {dead}", subscription.lag))?;
    for (number, lane) in subscription.lanes.iter().enumerate() {
        let holes = match lane.holes.first() {
            Some((first, _)) => format!(", {} open before it, from {first} on", lane.holes.len()),
            None => String::new(),
        };
        output.line(format!("  lane {number}: at {}, lag {}{holes}", lane.position, lane.lag))?;
    }
    Ok(())
}
