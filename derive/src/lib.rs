//! `#[derive(Event)]` and `#[derive(SagaState)]` for tidings.

mod attributes;
mod expand;
mod key;
mod name;
mod problems;
mod saga;
mod setting;
mod suggest;

use proc_macro::TokenStream;
use syn::{DeriveInput, parse_macro_input};

/// Implements [`tidings::Event`](https://docs.rs/tidings/latest/tidings/trait.Event.html) for a
/// struct or an enum.
///
/// ```ignore
/// use serde::{Deserialize, Serialize};
/// use tidings::Event;
///
/// #[derive(Debug, Serialize, Deserialize, Event)]
/// #[event(name = "orders.placed", key = "order_id")]
/// struct OrderPlaced {
///     order_id: u64,
///     total_cents: u64,
/// }
/// ```
///
/// serde's two derives come along, since an event has to be able to reach a durable log.
///
/// # Options
///
/// All of them stand in one `#[event(..)]` under the derive. Only `name` is required.
///
/// | option | meaning |
/// |---|---|
/// | `name = "orders.placed"` | The stable name on the log and between services: 1 to 128 of `a-z A-Z 0-9 . _ -`. |
/// | `version = 2` | The version of the payload's shape, from 1. Default: 1. |
/// | `key = "order_id"` | The field that says what the event is about. Events of one key are handled in order. |
/// | `key_with = "path::to::function"` | The same, computed: a `fn(&Self) -> impl ToKey`. |
/// | `codec = "path::to::Codec"` | The codec of the payload: the path of a unit struct or a static. Default: JSON. |
/// | `durability = "buffered"` | What an acknowledged publish survives, `"buffered"` or `"synced"`, where it is not what the bus says. |
/// | `compacted = true` | The newest event of a key says everything: the log may drop older ones that all subscriptions have handled. |
///
/// # Keys
///
/// A key field is an integer, text, a `bool`, a `char`, an `Option` of these (`None`: no key) or
/// any type of your own that implements `ToKey`. In a tuple struct a field goes by its index:
///
/// ```ignore
/// #[derive(Serialize, Deserialize, Event)]
/// #[event(name = "orders.cancelled", key = "0")]
/// struct OrderCancelled(u64);
/// ```
///
/// Everything else is a function. An enum always takes one, because its variants need not share a
/// field:
///
/// ```ignore
/// #[derive(Serialize, Deserialize, Event)]
/// #[event(name = "parcels.moved", version = 2, key_with = "parcel")]
/// enum ParcelMoved {
///     Loaded { parcel: u64, truck: String },
///     Delivered { parcel: u64 },
/// }
///
/// fn parcel(event: &ParcelMoved) -> u64 {
///     match event {
///         ParcelMoved::Loaded { parcel, .. } | ParcelMoved::Delivered { parcel } => *parcel,
///     }
/// }
/// ```
///
/// # Codecs
///
/// ```ignore
/// #[derive(Serialize, Deserialize, Event)]
/// #[event(name = "prices.changed", codec = "crate::formats::Compact")]
/// struct PriceChanged {
///     cents: u64,
/// }
/// ```
///
/// # What it refuses
///
/// Generic types: an event has one name, and a generic type would be many events under it.
/// Unions. A mistake in `#[event(..)]` is a compile error that names the way out.
#[proc_macro_derive(Event, attributes(event))]
pub fn derive_event(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    expand::expand(&input).into()
}

/// Implements [`tidings::saga::SagaState`](https://docs.rs/tidings/latest/tidings/saga/trait.SagaState.html)
/// for an enum, and `StateOf` and `From` for what each of its variants holds.
///
/// ```ignore
/// use serde::{Deserialize, Serialize};
/// use tidings::saga::SagaState;
///
/// #[derive(Serialize, Deserialize)]
/// struct AwaitingPayment { cents: u64 }
///
/// #[derive(Serialize, Deserialize)]
/// struct Paid;
///
/// #[derive(Serialize, Deserialize, SagaState)]
/// enum Checkout {
///     AwaitingPayment(AwaitingPayment),
///     #[saga(terminal)]
///     Paid(Paid),
/// }
/// ```
///
/// # Options
///
/// | option of a variant | meaning |
/// |---|---|
/// | `terminal` | The saga is over in this state. |
///
/// # What it refuses
///
/// Anything but an enum each variant of which holds one value, and two variants that hold the same type:
/// the type stands for the state.
#[proc_macro_derive(SagaState, attributes(saga))]
pub fn derive_saga_state(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    saga::expand(&input).into()
}
