//! The smallest useful program: one event, one subscription, one publish, and an orderly end.
//!
//! ```text
//! cargo run --example hello
//! ```

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tidings::{Bus, Event};

#[derive(Debug, Serialize, Deserialize, Event)]
#[event(name = "orders.placed", key = "order_id")]
struct OrderPlaced {
    order_id: u64,
    total_cents: u64,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let bus = Bus::volatile();
    let mail = bus
        .subscribe("mail")
        .on(|order: &OrderPlaced| println!("thank you for order {}", order.order_id))
        .start()?;

    let receipt = bus.publish(OrderPlaced { order_id: 7, total_cents: 1999 })?;
    println!("published at position {}", receipt.position);

    let report = bus.shutdown(Duration::from_secs(5))?;
    println!("{report:#?}");
    if mail.status().handled != 1 || report.left != 0 {
        return Err("the order was not handled".into());
    }
    Ok(())
}
