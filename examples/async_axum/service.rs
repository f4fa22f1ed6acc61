//! The service: orders come in by HTTP, and are packed by an async handler.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    Json, Router,
    extract::{Path, State},
    http::{StatusCode, header::RETRY_AFTER},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tidings::{Bus, Delivery, Event, PublishError, PublishFailure, Receipt, Subscription};

#[derive(Debug, Serialize, Deserialize, Event)]
#[event(name = "orders.placed", key = "order_id")]
struct OrderPlaced {
    order_id: u64,
    item: String,
}

/// What requests share.
#[derive(Clone)]
pub(crate) struct Shop {
    bus: Bus,
    packing: Subscription,
    packed: Packed,
}

type Packed = Arc<Mutex<Vec<u64>>>;

impl Shop {
    /// A shop that lets so many orders wait. Volatile, so that the bound is easy to reach; a real
    /// one would use `Bus::open`.
    pub(crate) fn open(waiting: usize) -> Result<Self, tidings::Error> {
        let bus = Bus::builder().ring(waiting).build()?;
        let packed = Packed::default();
        let in_handler = Arc::clone(&packed);
        let packing = bus
            .subscribe("packing")
            .on_async(move |order| pack(order, Arc::clone(&in_handler)))
            .start()?;
        Ok(Self { bus, packing, packed })
    }

    pub(crate) fn bus(&self) -> &Bus {
        &self.bus
    }

    pub(crate) fn packing(&self) -> &Subscription {
        &self.packing
    }

    pub(crate) fn packed(&self) -> Vec<u64> {
        let mut packed = lock(&self.packed).clone();
        packed.sort_unstable();
        packed
    }
}

async fn pack(order: Delivery<OrderPlaced>, packed: Packed) {
    tokio::time::sleep(Duration::from_millis(20)).await;
    println!("      packed {} for order {}", order.item, order.order_id);
    lock(&packed).push(order.order_id);
}

pub(crate) fn router(shop: Shop) -> Router {
    Router::new().route("/orders", post(place)).route("/orders/{id}", get(look_up)).with_state(shop)
}

async fn place(State(shop): State<Shop>, Json(order): Json<OrderPlaced>) -> Response {
    match publish(&shop.bus, order).await {
        Ok(receipt) => {
            let body = json!({
                "id": receipt.id.to_string(),
                "position": receipt.position.get(),
            });
            (StatusCode::ACCEPTED, Json(body)).into_response()
        }
        Err(error) => refuse(&error),
    }
}

/// Ready once the event is as durable as the bus promises. No thread waits for that.
async fn publish(bus: &Bus, order: OrderPlaced) -> Result<Receipt, PublishError<OrderPlaced>> {
    bus.enqueue(order)?.await
}

fn refuse(error: &PublishError<OrderPlaced>) -> Response {
    let body = Json(json!({ "error": error.to_string() }));
    match error.failure() {
        PublishFailure::Full { .. } | PublishFailure::Closed => {
            (StatusCode::SERVICE_UNAVAILABLE, [(RETRY_AFTER, "1")], body).into_response()
        }
        _ => (StatusCode::INTERNAL_SERVER_ERROR, body).into_response(),
    }
}

async fn look_up(State(shop): State<Shop>, Path(order_id): Path<u64>) -> Response {
    let is_packed = lock(&shop.packed).contains(&order_id);
    Json(json!({ "order_id": order_id, "packed": is_packed })).into_response()
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
