//! A web service that publishes from its requests, with an async handler on the same tokio runtime.
//! A full queue becomes a 503 with Retry-After: what was accepted is handled, the rest was refused.
//!
//! ```text
//! cargo run --example async_axum                           # calls itself, and ends
//! cargo run --example async_axum -- --serve [ADDR]         # serves until Ctrl-C
//! curl -i -H 'content-type: application/json' -d '{"order_id":7,"item":"tea"}' ADDR/orders
//! curl -i ADDR/orders/7
//! ```

mod client;
mod service;

use std::{future::Future, net::SocketAddr, time::Duration};

use client::call;
use service::Shop;
use tidings::{Bus, Report};
use tokio::{net::TcpListener, sync::oneshot};

type Error = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Error> {
    let mut args = std::env::args().skip(1);
    match args.next().as_deref() {
        None => call_itself().await,
        Some("--serve") => serve_until_ctrl_c(args.next().as_deref()).await,
        Some(other) => Err(format!("`{other}` is not known; use --serve [ADDR]").into()),
    }
}

async fn serve_until_ctrl_c(address: Option<&str>) -> Result<(), Error> {
    let listener = TcpListener::bind(address.unwrap_or("127.0.0.1:0")).await?;
    println!("serving on http://{}", listener.local_addr()?);
    let shop = Shop::open(1024)?;
    let ctrl_c = async { drop(tokio::signal::ctrl_c().await) };
    println!("{:#?}", serve(listener, &shop, ctrl_c).await?);
    Ok(())
}

/// Serves until told to stop. No request is cut off, and then no event.
async fn serve(
    listener: TcpListener,
    shop: &Shop,
    until: impl Future<Output = ()> + Send + 'static,
) -> Result<Report, Error> {
    axum::serve(listener, service::router(shop.clone())).with_graceful_shutdown(until).await?;
    shut_down(shop.bus().clone()).await
}

/// `Bus::shutdown` waits for handlers, so it must not hold up a thread that they need.
async fn shut_down(bus: Bus) -> Result<Report, Error> {
    let shutdown = move || bus.shutdown(Duration::from_secs(5));
    Ok(tokio::task::spawn_blocking(shutdown).await??)
}

async fn call_itself() -> Result<(), Error> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let shop = Shop::open(4)?;
    let (end, told_to_end) = oneshot::channel::<()>();
    let server = tokio::spawn({
        let shop = shop.clone();
        async move { serve(listener, &shop, async { drop(told_to_end.await) }).await }
    });

    let accepted = place_orders(address, &shop).await?;
    drop(end);
    let report = server.await??;
    println!("\n{report:#?}");

    let packed = shop.packed();
    println!("the handler packed orders {packed:?}");
    check(packed == accepted, "every accepted order is packed, once")?;
    check(report.left == 0, "nothing is left")
}

/// Some orders, with the packing station closed in between until the queue is full. Returns the
/// ones accepted.
async fn place_orders(address: SocketAddr, shop: &Shop) -> Result<Vec<u64>, Error> {
    let mut accepted = Vec::new();
    for order in 1..=3 {
        check(call(address, "POST", "/orders", &order_json(order)).await?.status == 202, "202")?;
        accepted.push(order);
    }

    println!("\nthe packing station closes:");
    shop.packing().pause();
    let mut order = 4;
    let refused = loop {
        let answer = call(address, "POST", "/orders", &order_json(order)).await?;
        if answer.status != 202 {
            break answer;
        }
        accepted.push(order);
        order += 1;
        check(order < 100, "the queue has a bound")?;
    };
    check(refused.status == 503, "a full queue is a 503")?;
    let retry_after = refused.retry_after.ok_or("no Retry-After")?;

    println!("\nit opens again:");
    shop.packing().resume();
    tokio::time::sleep(Duration::from_secs(retry_after)).await;
    check(call(address, "POST", "/orders", &order_json(order)).await?.status == 202, "202")?;
    accepted.push(order);
    call(address, "GET", "/orders/1", "").await?;
    Ok(accepted)
}

fn order_json(order_id: u64) -> String {
    format!(r#"{{"order_id":{order_id},"item":"tea"}}"#)
}

fn check(holds: bool, claim: &str) -> Result<(), Error> {
    if holds { Ok(()) } else { Err(format!("not so: {claim}").into()) }
}
