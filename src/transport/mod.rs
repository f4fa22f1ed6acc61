//! How messages reach brokers, and come from them: one small synchronous trait.
//!
//! A [`Transport`] carries [`Parcel`]s to the streams of a broker, and from there to groups of
//! receivers. It promises little, and says what: its [`Capabilities`] are declared, and
//! `transport_conformance!` (feature `testing`) holds it to them.
//!
//! ```
//! use std::sync::Arc;
//! use tidings::{
//!     Envelope, MessageId,
//!     transport::{LoopbackTransport, Parcel, Sent, Settlement, Transport},
//! };
//!
//! let transport = LoopbackTransport::new();
//! let envelope = Envelope::new("orders.placed", 1, MessageId::from_bytes([7; 16]));
//! let parcel = Parcel::new(Arc::new(envelope), b"{}".to_vec())?;
//! for sent in transport.send(&[parcel.clone()]) {
//!     assert!(matches!(sent?, Sent::Accepted { is_copy: false, .. }));
//! }
//! for arrival in transport.receive("billing", 100)? {
//!     assert_eq!(arrival.parcel?, parcel);
//!     transport.settle(&arrival.token, Settlement::Ack)?; // after it was stored here
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # How brokers fit
//!
//! | | NATS `JetStream` | Kafka | Redis Streams |
//! |---|---|---|---|
//! | stream | the stream, with the time of its creation | a partition, with the topic's id | the key, with an id kept beside it |
//! | sequence | 64 bits | 64 bits | 128 bits: milliseconds and a number |
//! | order | total | per key | total |
//! | a parcel's id | `Nats-Msg-Id`: copies within the window are dropped | a header | a field |
//! | accepted | the publish's acknowledgement | the delivery report | the reply of `XADD` |
//! | group | a durable pull consumer | a consumer group, nothing committed by itself | a group read with `XREADGROUP` |
//! | acknowledged | `+ACK` | an offset, once all before it are settled | `XACK` |
//! | tried again | `-NAK` with a delay | kept by the transport until then | left pending, claimed after the delay |
//! | not settled in time | comes again | comes again after a restart | claimed with `XAUTOCLAIM` |
//! | arrives | a thread of the transport fetches ahead, so many at a time, and calls the notifier | the same | the same |

mod arrival;
pub(crate) mod bell;
mod capabilities;
mod error;
mod high_water;
mod loopback;
mod parcel;
mod stream;

use std::{fmt, sync::Arc};

pub use arrival::{Arrival, Settlement, Token};
pub use capabilities::{Capabilities, Order};
pub use error::TransportError;
pub use high_water::{HighWater, StreamChange};
pub use loopback::{LoopbackBuilder, LoopbackTransport};
pub use parcel::{Parcel, ParcelError};
pub use stream::{Place, Stream, StreamId};

/// Called from any thread when it may be worth asking a transport again. It returns soon, and calls
/// nothing of the transport itself.
pub type Notifier = Arc<dyn Fn() + Send + Sync>;

/// What became of a parcel that was sent and did not fail.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Sent {
    /// Nothing is known yet. Send the same parcel again when notified: it does not go out twice, and
    /// this time it may be known.
    UnderWay,
    /// The other side keeps it.
    Accepted {
        /// Where. Of a copy, where the original is.
        place: Place,
        /// It was there already, under the same id, and is there once.
        is_copy: bool,
    },
}

/// Moves messages to a broker and from it.
///
/// Implementations pass `tidings::transport_conformance!` (feature `testing`), which states the contract
/// as tests. In words:
///
/// - **Nothing waits.** Every method answers from what is known on this side. The notifier says when
///   there may be more to know.
/// - **What is unknown is said.** [`Sent::Accepted`] means that the other side has the parcel; an error
///   means that it surely has not, unless [`TransportError::is_unknown`]. Whoever does not know sends
///   the same parcel again, with the same id: copies that come of it are dropped where the transport
///   declares a [dedup window](Capabilities::dedup_window), and are the receiver's to drop elsewhere.
/// - **Nothing is under way for ever.** After a deadline of the transport's own, a parcel of which
///   nothing was heard is unknown.
/// - **The declared order is that of acceptance.** Where a parcel is not accepted, those behind it
///   that have to follow it are not accepted either. First deliveries to a group come in this order;
///   redeliveries come when they come. A delayed parcel is in no order.
/// - **Every group gets every parcel**, from the oldest that is kept when the group is first asked for,
///   and within the group one member at a time has it. What is received counts as open until it is
///   settled, and as nothing else: the process may end before it has stored anything.
/// - **At least once.** What is acknowledged or rejected does not come again, but after a restart it
///   may where something before it in its stream is still open.
/// - **Memory is bounded**: what is under way, what was fetched ahead. At the bound a parcel is
///   refused, [`TransportError::Full`], and the notifier tells when there is room.
/// - All methods may be called from several threads at once, and there may be several transports to one
///   broker.
pub trait Transport: fmt::Debug + Send + Sync + 'static {
    /// What it promises. Always the same.
    fn capabilities(&self) -> Capabilities;

    /// Sends parcels, in order. Returns for each what became of it.
    ///
    /// # Errors
    /// A parcel's own. It was surely not accepted, unless [`TransportError::is_unknown`].
    fn send(&self, parcels: &[Parcel]) -> Vec<Result<Sent, TransportError>>;

    /// What has arrived for a group, at most so many parcels; none where nothing has. Each is open
    /// until it is settled.
    ///
    /// # Errors
    /// [`TransportError::Closed`], [`TransportError::Unreachable`], [`TransportError::Refused`].
    fn receive(&self, group: &str, max: usize) -> Result<Vec<Arrival>, TransportError>;

    /// Says what becomes of an arrival. The other side is told; should that be lost, the parcel comes
    /// again.
    ///
    /// # Errors
    /// [`TransportError::Stale`] where the arrival is no longer open, or was delivered anew since; and
    /// as for [`Transport::receive`]. It may come again then.
    fn settle(&self, token: &Token, settlement: Settlement) -> Result<(), TransportError>;

    /// The streams, as they were when last heard of: which they are, and how far they have come. What
    /// was seen of them earlier is kept in a [`HighWater`], which notices when one was made anew or has
    /// lost its end. To be asked before anything is received, and now and then.
    ///
    /// # Errors
    /// As for [`Transport::receive`].
    fn streams(&self) -> Result<Vec<Stream>, TransportError>;

    /// Has this called, instead of any earlier one, when something may have arrived, when something is
    /// known of a parcel under way, when there is room again, and when a connection is there again.
    ///
    /// It tells of what is new: who is woken asks until nothing is left. Calls too many do no harm.
    fn set_notifier(&self, notifier: Notifier);

    /// Ends it: what is open goes back to its group, and later calls fail with
    /// [`TransportError::Closed`]. Closing twice is fine.
    ///
    /// # Errors
    /// Something could not be told to the other side. It is closed all the same.
    fn close(&self) -> Result<(), TransportError>;
}
