//! What `#[derive(Event)]` writes: names, versions, keys and codecs.
#![allow(clippy::unwrap_used, missing_docs)]

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tidings::{
    Event, Key, ToKey,
    codec::{Codec, CodecError},
};

#[derive(Debug, Serialize, Deserialize, Event)]
#[event(name = "orders.placed", version = 3, key = "order_id")]
struct OrderPlaced {
    order_id: u64,
    total_cents: u64,
}

#[derive(Serialize, Deserialize, Event)]
#[event(name = "shop.opened")]
struct ShopOpened;

#[derive(Serialize, Deserialize, Event)]
#[event(name = "visitors.left", key = "visitor")]
struct VisitorLeft {
    visitor: Option<String>,
}

#[derive(Serialize, Deserialize, Event)]
#[event(name = "notes.written", key = "1")]
struct NoteWritten(u8, String);

#[derive(Serialize, Deserialize, Event)]
#[event(name = "things.typed", key = "type")]
struct RawField {
    r#type: char,
}

mod parcels {
    use super::{Deserialize, Event, Serialize};

    #[derive(Serialize, Deserialize, Event)]
    #[event(name = "parcels.moved", key_with = "number")]
    pub(super) enum ParcelMoved {
        Loaded { parcel: u32, truck: String },
        Delivered(u32),
        Lost,
    }

    fn number(event: &ParcelMoved) -> Option<u32> {
        match event {
            ParcelMoved::Loaded { parcel, .. } | ParcelMoved::Delivered(parcel) => Some(*parcel),
            ParcelMoved::Lost => None,
        }
    }
}
use parcels::ParcelMoved;

#[derive(Serialize, Deserialize, Event)]
#[event(name = "seats.taken", key_with = "SeatTaken::seat")]
struct SeatTaken {
    row: u8,
    letter: char,
}

impl SeatTaken {
    fn seat(&self) -> String {
        format!("{}{}", self.row, self.letter)
    }
}

#[derive(Serialize, Deserialize)]
struct Sku(String);

impl ToKey for Sku {
    fn to_key(&self) -> Option<Key> {
        self.0.to_key()
    }
}

#[derive(Serialize, Deserialize, Event)]
#[event(name = "stock.counted", key = "sku", codec = "formats::PRETTY")]
#[event(version = 2)]
struct StockCounted {
    sku: Sku,
    count: u32,
}

#[derive(Serialize, Deserialize, Event)]
#[event(name = "stock.sold", codec = "crate::formats::Pretty")]
struct StockSold {
    count: u32,
}

mod formats {
    use super::{Codec, CodecError, DeserializeOwned, Serialize};

    pub(super) struct Pretty;

    pub(super) static PRETTY: Pretty = Pretty;

    impl<E: Serialize + DeserializeOwned> Codec<E> for Pretty {
        fn name(&self) -> &'static str {
            "json-pretty"
        }

        fn encode(&self, event: &E, out: &mut Vec<u8>) -> Result<(), CodecError> {
            serde_json::to_writer_pretty(out, event).map_err(CodecError::new)
        }

        fn decode(&self, bytes: &[u8]) -> Result<E, CodecError> {
            serde_json::from_slice(bytes).map_err(CodecError::new)
        }
    }
}

/// Events may come out of a macro, whose names live in a scope of their own.
macro_rules! numbered {
    ($event:ident, $name:literal) => {
        #[derive(Serialize, Deserialize, Event)]
        #[event(name = $name, key = "number")]
        struct $event {
            number: u8,
        }
    };
}
numbered!(TicketDrawn, "tickets.drawn");
numbered!(TicketCalled, "tickets.called");

fn key(event: &impl Event) -> Option<String> {
    event.key().map(|key| key.to_string())
}

#[test]
fn names_and_versions_are_as_written() {
    assert_eq!(OrderPlaced::NAME, "orders.placed");
    assert_eq!(OrderPlaced::VERSION, 3);
    assert_eq!(ParcelMoved::NAME, "parcels.moved");
    assert_eq!(TicketDrawn::NAME, "tickets.drawn");
    assert_eq!(TicketCalled::NAME, "tickets.called");
}

#[test]
fn the_version_is_1_unless_written() {
    assert_eq!(ShopOpened::VERSION, 1);
    assert_eq!(StockCounted::VERSION, 2, "from a second attribute");
}

#[test]
fn a_key_is_a_field_of_any_key_type() {
    let placed = OrderPlaced { order_id: 7, total_cents: 1999 };
    assert_eq!(key(&placed).as_deref(), Some("7"));
    assert_eq!(placed.total_cents, 1999);
    assert_eq!(key(&NoteWritten(1, "eu".into())).as_deref(), Some("eu"));
    assert_eq!(key(&RawField { r#type: 'x' }).as_deref(), Some("x"));
    assert_eq!(key(&TicketDrawn { number: 4 }).as_deref(), Some("4"));
    let counted = StockCounted { sku: Sku("a-1".into()), count: 0 };
    assert_eq!(key(&counted).as_deref(), Some("a-1"));
}

#[test]
fn an_optional_key_may_be_missing() {
    let known = Some("ada".to_owned());
    assert_eq!(key(&VisitorLeft { visitor: known }).as_deref(), Some("ada"));
    assert_eq!(key(&VisitorLeft { visitor: None }), None);
    assert_eq!(key(&ShopOpened), None);
}

#[test]
fn a_function_computes_a_key() {
    let truck = "t".to_owned();
    let loaded = ParcelMoved::Loaded { parcel: 5, truck };
    assert_eq!(key(&loaded).as_deref(), Some("5"));
    assert_eq!(key(&ParcelMoved::Delivered(6)).as_deref(), Some("6"));
    assert_eq!(key(&ParcelMoved::Lost), None);
    let taken = SeatTaken { row: 12, letter: 'c' };
    assert_eq!(key(&taken).as_deref(), Some("12c"));
}

#[test]
fn the_codec_is_json_unless_written() {
    assert_eq!(OrderPlaced::codec().name(), "json");
    assert_eq!(StockCounted::codec().name(), "json-pretty");

    let mut bytes = Vec::new();
    StockSold::codec().encode(&StockSold { count: 2 }, &mut bytes).unwrap();
    assert_eq!(bytes, b"{\n  \"count\": 2\n}");
    assert_eq!(StockSold::codec().decode(&bytes).unwrap().count, 2);
}
