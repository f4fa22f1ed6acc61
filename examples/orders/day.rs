//! A generated but realistic day: when people order, what they order, what is in stock.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::events::Order;

pub const PRODUCTS: u32 = 500;

/// How busy each hour is: a quiet night, a peak at noon and a higher one after dinner.
const HOURS: [u64; 24] =
    [8, 4, 3, 2, 2, 4, 10, 22, 35, 44, 52, 60, 70, 62, 52, 48, 50, 58, 72, 90, 100, 82, 50, 22];

/// The `id`-th order of a day of `total`, the same at every call but for its time of sending.
pub fn order(id: u64, total: u64) -> Order {
    // A few products sell most: the square of a uniform draw falls near 0.
    let popularity = unit(id, 1);
    let product = (popularity * popularity * f64::from(PRODUCTS)) as u32;
    let pieces = match draw(id, 2) % 100 {
        0..70 => 1,
        70..90 => 2,
        _ => 3 + (draw(id, 3) % 3) as u32,
    };
    let cents = u64::from(pieces) * price(product);
    Order { id, product, pieces, cents, minute: minute(id, total), sent: now() }
}

/// What the shop has of a product in the morning. About what is usually sold, so that some of the
/// products run out in the evening.
pub fn stock(product: u32, orders: u64) -> u32 {
    // The density of the square of a uniform draw, times the pieces of an average order.
    let share = |x: f64| (x / f64::from(PRODUCTS)).sqrt();
    let expected =
        (share(f64::from(product + 1)) - share(f64::from(product))) * orders as f64 * 1.5;
    let margin = 0.92 + 0.3 * unit(u64::from(product), 5);
    (expected * margin) as u32 + 1
}

/// Whether the payment provider times out at this attempt: 5 % of the calls.
pub fn payment_times_out(id: u64, attempt: u32) -> bool {
    draw(id, 100 + u64::from(attempt)) % 100 < 5
}

/// The one order that no handler can digest.
pub fn is_poison(id: u64, total: u64) -> bool {
    id == total / 3
}

pub fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    since.as_micros() as u64
}

fn price(product: u32) -> u64 {
    199 + draw(u64::from(product), 4) % 12_000
}

/// The minute by which this share of the day's orders has come.
fn minute(id: u64, total: u64) -> u32 {
    let all: u64 = HOURS.iter().sum();
    let mut left = id * all / total.max(1);
    for (hour, weight) in (0..).zip(HOURS) {
        if left < weight {
            return hour * 60 + (left * 60 / weight) as u32;
        }
        left -= weight;
    }
    23 * 60 + 59
}

fn unit(seed: u64, what: u64) -> f64 {
    (draw(seed, what) >> 11) as f64 / (1_u64 << 53) as f64
}

/// A fixed random number for each pair.
fn draw(seed: u64, what: u64) -> u64 {
    let mut bits =
        (seed + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ what.wrapping_mul(0xd6e8_feb8_6659_fd93);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}
