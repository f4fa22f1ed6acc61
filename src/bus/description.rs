//! What a bus consists of, in words.

use std::fmt;

use super::Inner;
use crate::{delivery::Subscriber, event::is_valid_name, policy::Lanes};

/// What a bus consists of: its running subscriptions, and what each does with which events. Prints as
/// a list.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Description {
    /// By name.
    pub subscriptions: Vec<SubscriptionDescription>,
}

/// What a subscription does.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SubscriptionDescription {
    /// Its name.
    pub name: String,
    /// How many lanes it may have.
    pub lanes: Lanes,
    /// Whether it goes on after a restart where it stopped.
    pub is_stored: bool,
    /// What protects whatever its handlers call, in the order in which an event comes by.
    pub protection: Vec<String>,
    /// By name of the event.
    pub handlers: Vec<HandlerDescription>,
}

/// What a subscription does with one type of event.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct HandlerDescription {
    /// The event's name.
    pub event: String,
    /// The version of the event that this build knows.
    pub version: u32,
    /// What an event goes through, from the outside to the handler.
    pub steps: Vec<String>,
}

impl Description {
    pub(super) fn of(bus: &Inner) -> Self {
        let running = &bus.subscriptions.lock().running;
        let own = running.values().filter(|subscriber| is_valid_name(&subscriber.name));
        Self {
            subscriptions: own.map(|subscriber| SubscriptionDescription::of(subscriber)).collect(),
        }
    }
}

impl SubscriptionDescription {
    fn of(subscriber: &Subscriber) -> Self {
        let mut handlers: Vec<_> = subscriber
            .steps()
            .map(|(event, steps)| HandlerDescription {
                event: event.name.to_string(),
                version: event.version,
                steps: steps.to_vec(),
            })
            .collect();
        handlers.sort_by(|one, other| one.event.cmp(&other.event));
        Self {
            name: subscriber.name.to_string(),
            lanes: subscriber.status().lane_bounds,
            is_stored: subscriber.is_stored(),
            protection: subscriber.protection().to_vec(),
            handlers,
        }
    }
}

impl fmt::Display for Description {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for subscription in &self.subscriptions {
            let kind = if subscription.is_stored { "durable" } else { "leaves nothing behind" };
            writeln!(f, "{} ({} lanes, {kind})", subscription.name, subscription.lanes)?;
            if !subscription.protection.is_empty() {
                writeln!(f, "  protected: {}", subscription.protection.join(" > "))?;
            }
            for handler in &subscription.handlers {
                write!(f, "  {} v{}", handler.event, handler.version)?;
                handler.steps.iter().try_for_each(|step| write!(f, " > {step}"))?;
                writeln!(f)?;
            }
        }
        Ok(())
    }
}
