//! Every message, and its encoding: a type byte and a postcard body.
//!
//! A body is frozen once published. It ends with [`Extensions`], which is where
//! later versions put what they add.

use heapless::Vec;
use serde::{Deserialize, Serialize};

use super::WireError;
use super::fields::{
    DialBackOutcome, Extensions, Hosts, NoiseMessage, candidates, codes, endpoint, endpoints, hosts,
};
use super::sides::{abilities, report};
use crate::addr::{Candidates, Endpoint};
use crate::config::MAX_NAMED;
use crate::event::{FailReason, Strategies, StreamMode};
use crate::id::{LinkHandle, PeerId, SessionId};
use crate::nat::NatReport;
use crate::noise::Role;
use crate::plan::Abilities;
use crate::rendezvous::{MAX_ASSISTS, Rejection};

/// Most ports that a request can name.
pub const MAX_SESSION_PORTS: usize = 2;

/// Declares a set of messages that travel on one kind of link.
macro_rules! messages {
    ($(#[$doc:meta])* $set:ident<$life:lifetime> { $($(#[$variant_doc:meta])* $code:literal => $name:ident($body:ty)),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        // The largest carries an introduction; they live on the stack for the
        // length of one call.
        #[allow(clippy::large_enum_variant, reason = "boxing needs an allocator")]
        pub enum $set<$life> {
            $($(#[$variant_doc])* $name($body)),+
        }

        impl<$life> $set<$life> {
            /// The type byte and the name of every message in the set.
            pub const TYPES: &'static [(u8, &'static str)] = &[$(($code, stringify!($name))),+];

            /// Writes type and body to `out`; returns how many bytes.
            ///
            /// # Errors
            ///
            /// [`WireError::TooLong`] if `out` is too small.
            pub fn encode(&self, out: &mut [u8]) -> Result<usize, WireError> {
                let (code, body) = out.split_first_mut().ok_or(WireError::TooLong)?;
                let len = match self {
                    $(Self::$name(message) => {
                        *code = $code;
                        postcard::to_slice(message, body).map_err(|_| WireError::TooLong)?.len()
                    })+
                };
                Ok(len.saturating_add(1))
            }

            /// Reads type and body. `None` for a type that is not known: skip
            /// it.
            ///
            /// # Errors
            ///
            /// [`WireError::Empty`] and [`WireError::Malformed`].
            pub fn decode(bytes: &$life [u8]) -> Result<Option<Self>, WireError> {
                let (code, body) = bytes.split_first().ok_or(WireError::Empty)?;
                Ok(Some(match *code {
                    $($code => Self::$name(read_body(body)?),)+
                    _ => return Ok(None),
                }))
            }
        }
    };
}

fn read_body<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, WireError> {
    match postcard::take_from_bytes(body) {
        // Trailing bytes have no meaning: what is new goes into the extensions.
        Ok((message, [])) => Ok(message),
        Ok(_) | Err(_) => Err(WireError::Malformed),
    }
}

messages! {
    /// From a peer to the server, on a main link, encrypted.
    ToServer<'a> {
        /// First message after the handshake.
        0x10 => Register(Register<'a>),
        /// Asks for a [`Pong`](Self::Pong).
        0x11 => Ping(Ping<'a>),
        /// Answers a ping.
        0x12 => Pong(Ping<'a>),
        /// Answers a pong, so that the other side measures the round trip too.
        0x13 => PongAck(Ping<'a>),
        /// Asks for a stream to another peer.
        0x14 => Request(Request<'a>),
        /// Accepts a [`ToPeer::Notify`].
        0x15 => Ready(Ready<'a>),
        /// Declines a [`ToPeer::Notify`].
        0x16 => Refuse(Refused<'a>),
        /// Takes a request back.
        0x17 => Cancel(Cancel<'a>),
        /// The host's addresses changed.
        0x18 => Moved(Moved<'a>),
        /// Asks the server to dial a port back.
        0x19 => Probe(Probe<'a>),
        /// What the peer found out about its NAT, and what it can do.
        0x1a => Report(Report<'a>),
        /// One side of a further round is ready.
        0x1b => RoundReady(RoundReady<'a>),
    }
}

messages! {
    /// From the server to a peer, on a main link, encrypted.
    ToPeer<'a> {
        /// Answers [`ToServer::Register`].
        0x20 => Registered(Registered<'a>),
        /// Answers [`ToServer::Register`]; the link closes.
        0x21 => Rejected(Rejected<'a>),
        /// The same id registered elsewhere; the link closes.
        0x22 => Replaced(Empty<'a>),
        /// Asks for a pong.
        0x11 => Ping(Ping<'a>),
        /// Answers a ping.
        0x12 => Pong(Ping<'a>),
        /// Answers a pong.
        0x13 => PongAck(Ping<'a>),
        /// What an assist link saw.
        0x23 => Observed(Observed<'a>),
        /// Another peer asks for a stream.
        0x24 => Notify(Notify<'a>),
        /// The peer that was asked for is ready.
        0x25 => Connect(Connect<'a>),
        /// The session will not be.
        0x26 => Refused(Refused<'a>),
        /// The requester took its request back.
        0x27 => Cancelled(Cancel<'a>),
        /// What became of dialling back.
        0x28 => Probed(Probed<'a>),
        /// Both sides are ready for a round.
        0x29 => Go(Go<'a>),
    }
}

messages! {
    /// Unencrypted: what begins a main link, and assist links.
    Clear<'a> {
        /// First on an assist link.
        0x30 => AssistToken(AssistToken<'a>),
        /// Keeps an assist link's mapping; the server sends it back.
        0x31 => AssistKeepAlive(Empty<'a>),
        /// First in each direction of a punched stream.
        0x40 => StreamHello(StreamHello<'a>),
    }
}

/// A message without content.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Empty<'a> {
    /// What later versions add.
    #[serde(borrow)]
    pub extensions: Extensions<'a>,
}

/// Whom the server may introduce without asking first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Consent {
    /// Anyone at all.
    pub anyone: bool,
    /// Otherwise these.
    pub named: Vec<PeerId, MAX_NAMED>,
}

/// What a peer tells the server first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Register<'a> {
    /// The realm token, empty for none.
    pub token: &'a [u8],
    /// Given in advance.
    pub consent: Consent,
    /// What sessions that others ask for may use.
    pub strategies: Strategies,
    /// The local port of the main link, which is the one to be punched.
    pub port: u16,
    /// The peer's own addresses.
    #[serde(with = "hosts")]
    pub hosts: Hosts,
    /// What later versions add.
    #[serde(borrow)]
    pub extensions: Extensions<'a>,
}

/// New addresses of the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moved<'a> {
    /// All of them.
    #[serde(with = "hosts")]
    pub hosts: Hosts,
    /// What later versions add.
    #[serde(borrow)]
    pub extensions: Extensions<'a>,
}

/// A ping or one of its answers.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ping<'a> {
    /// Chosen by who pings, repeated by the answers.
    pub number: u32,
    /// What later versions add.
    #[serde(borrow)]
    pub extensions: Extensions<'a>,
}

/// The server knows the peer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registered<'a> {
    /// Where the main link comes from, as the server sees it.
    #[serde(with = "endpoint")]
    pub mapped: Endpoint,
    /// For assist links.
    pub handle: LinkHandle,
    /// Proves assist links; never sent over one.
    pub assist_secret: [u8; 32],
    /// Where assist links go.
    #[serde(with = "endpoints")]
    pub assists: Vec<Endpoint, MAX_ASSISTS>,
    /// Time between keep-alives, in milliseconds.
    pub keep_alive_ms: u32,
    /// Without a sign of life the registration ends after this many
    /// milliseconds.
    pub lease_ms: u32,
    /// Number of the registration; a higher one supersedes.
    pub epoch: u64,
    /// What later versions add.
    #[serde(borrow)]
    pub extensions: Extensions<'a>,
}

/// The server turns the peer away.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejected<'a> {
    /// Why.
    #[serde(with = "codes::rejection")]
    pub reason: Rejection,
    /// What later versions add.
    #[serde(borrow)]
    pub extensions: Extensions<'a>,
}

/// What an assist link saw.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observed<'a> {
    /// The local port.
    pub port: u16,
    /// Which assist endpoint it went to.
    pub assist: u8,
    /// The mapped endpoint.
    #[serde(with = "endpoint")]
    pub mapped: Endpoint,
    /// What later versions add.
    #[serde(borrow)]
    pub extensions: Extensions<'a>,
}

/// Asks the server to dial a port back, from endpoints that it never contacted.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe<'a> {
    /// The local port, observed before.
    pub port: u16,
    /// What later versions add.
    #[serde(borrow)]
    pub extensions: Extensions<'a>,
}

/// What became of one dial-back.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probed<'a> {
    /// The local port.
    pub port: u16,
    /// Whether it came from another address than the port had contacted.
    pub other_address: bool,
    /// What became of it.
    #[serde(with = "codes::outcome")]
    pub outcome: DialBackOutcome,
    /// What later versions add.
    #[serde(borrow)]
    pub extensions: Extensions<'a>,
}

/// What a peer found out about its NAT, and what it can do. The latest counts.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report<'a> {
    /// The report; what is not known yet is "not tested".
    #[serde(with = "report")]
    pub report: NatReport,
    /// What the peer can do; `spoof` is the server's to say.
    #[serde(with = "abilities")]
    pub abilities: Abilities,
    /// What later versions add.
    #[serde(borrow)]
    pub extensions: Extensions<'a>,
}

/// One side of a round is ready: its ports are fresh and observed, or its first
/// sequence number is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoundReady<'a> {
    /// The session.
    pub session: SessionId,
    /// Which round: the introduction is round 0.
    pub round: u8,
    /// The local ports that it will punch from, observed before.
    pub ports: Vec<u16, MAX_SESSION_PORTS>,
    /// The first sequence number of the dial that is pending, where the
    /// strategy is to exchange them; then the round has begun before.
    pub sequence: Option<u32>,
    /// With a sequence number: the server is to send the SYN-ACKs.
    pub spoof: bool,
    /// What later versions add.
    #[serde(borrow)]
    pub extensions: Extensions<'a>,
}

/// Both sides are ready for a round.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Go<'a> {
    /// The session.
    pub session: SessionId,
    /// Which round.
    pub round: u8,
    /// How long to wait before dialling, in microseconds.
    pub hold_us: u32,
    /// The requester's side, its candidates those of the round's ports.
    pub requester: Side,
    /// The responder's.
    pub responder: Side,
    /// The other side's first sequence number, where both sent theirs.
    pub sequence: Option<u32>,
    /// What later versions add.
    #[serde(borrow)]
    pub extensions: Extensions<'a>,
}

/// A peer asks for a stream to another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request<'a> {
    /// Chosen by the requester at random.
    pub session: SessionId,
    /// Whom it wants.
    pub to: PeerId,
    /// What may be used.
    pub strategies: Strategies,
    /// The local ports that it will punch from, observed before.
    pub ports: Vec<u16, MAX_SESSION_PORTS>,
    /// Message 1 of the session's handshake.
    pub noise: NoiseMessage,
    /// What later versions add.
    #[serde(borrow)]
    pub extensions: Extensions<'a>,
}

/// One side of an introduction, as both are told it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Side {
    /// Least recent round trip to the server, in microseconds.
    pub rtt_us: u32,
    /// Spread of the recent round trips, in microseconds.
    pub jitter_us: u32,
    /// What is known of its NAT.
    #[serde(with = "report")]
    pub report: NatReport,
    /// What it can do.
    #[serde(with = "abilities")]
    pub abilities: Abilities,
    /// How many outer ports to try where they rise by a constant step: those
    /// behind the mapped candidate, one step apart. 0: nothing was foretold.
    pub window: u16,
    /// Where to dial, the most promising first.
    #[serde(with = "candidates")]
    pub candidates: Candidates,
}

/// Another peer asks for a stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notify<'a> {
    /// The session.
    pub session: SessionId,
    /// Who asks: authenticated by the server.
    pub from: PeerId,
    /// Whether the requester has been told to connect already, on the strength
    /// of the consent given in advance.
    pub in_advance: bool,
    /// How long to wait before dialling, in microseconds: from now where
    /// consent was given in advance, else from the sending of the answer.
    pub hold_us: u32,
    /// What both allow.
    pub strategies: Strategies,
    /// The requester's side.
    pub requester: Side,
    /// Our side.
    pub responder: Side,
    /// Message 1 of the session's handshake.
    pub noise: NoiseMessage,
    /// What later versions add.
    #[serde(borrow)]
    pub extensions: Extensions<'a>,
}

/// The responder accepts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ready<'a> {
    /// The session.
    pub session: SessionId,
    /// Message 2 of the session's handshake.
    pub noise: NoiseMessage,
    /// What later versions add.
    #[serde(borrow)]
    pub extensions: Extensions<'a>,
}

/// The requester may connect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connect<'a> {
    /// The session.
    pub session: SessionId,
    /// How long to wait before dialling, in microseconds.
    pub hold_us: u32,
    /// What both allow.
    pub strategies: Strategies,
    /// Our side.
    pub requester: Side,
    /// The responder's side.
    pub responder: Side,
    /// Message 2; empty where consent was given in advance: then it comes with
    /// the responder's hello.
    pub noise: NoiseMessage,
    /// What later versions add.
    #[serde(borrow)]
    pub extensions: Extensions<'a>,
}

/// A session will not be.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused<'a> {
    /// The session.
    pub session: SessionId,
    /// Why.
    #[serde(with = "codes::reason")]
    pub reason: FailReason,
    /// What later versions add.
    #[serde(borrow)]
    pub extensions: Extensions<'a>,
}

/// The requester took a request back.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cancel<'a> {
    /// The session.
    pub session: SessionId,
    /// What later versions add.
    #[serde(borrow)]
    pub extensions: Extensions<'a>,
}

/// Says whose port an assist link shows.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AssistToken<'a> {
    /// Which main link.
    pub handle: LinkHandle,
    /// The local port dialled from.
    pub port: u16,
    /// Number of the token; each is used once.
    pub sequence: u32,
    /// Keyed by the assist secret over all of the above.
    pub mac: [u8; 16],
    /// What later versions add.
    #[serde(borrow)]
    pub extensions: Extensions<'a>,
}

/// Says which session a stream is for, and proves it.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamHello<'a> {
    /// The session.
    pub session: SessionId,
    /// Who speaks, by the introduction, not by the socket.
    #[serde(with = "role")]
    pub role: Role,
    /// Of the stream protocol.
    pub version: u8,
    /// Fresh for each stream.
    pub nonce: [u8; 16],
    /// Message 2 of the session's handshake where the requester may not have
    /// it; else empty.
    pub noise: &'a [u8],
    /// 16 bytes over all of the above and the extensions; empty from a
    /// requester that has no message 2 yet.
    pub mac: &'a [u8],
    /// What later versions add.
    #[serde(borrow)]
    pub extensions: Extensions<'a>,
}

/// `Role` as one byte.
mod role {
    use super::Role;
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(role: &Role, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u8(match role {
            Role::Requester => 0,
            Role::Responder => 1,
        })
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Role, D::Error> {
        match u8::deserialize(from)? {
            0 => Ok(Role::Requester),
            1 => Ok(Role::Responder),
            _ => Err(D::Error::custom("role")),
        }
    }
}

/// What the two peers tell each other inside the handshake messages of their
/// session.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionPayload<'a> {
    /// What the requester asks for; what the responder grants.
    #[serde(with = "codes::mode")]
    pub mode: StreamMode,
    /// Largest data of a record that this side takes, in bytes.
    pub max_record: u32,
    /// What later versions add.
    #[serde(borrow)]
    pub extensions: Extensions<'a>,
}

impl<'a> SessionPayload<'a> {
    /// Writes the payload; returns how many bytes.
    ///
    /// # Errors
    ///
    /// [`WireError::TooLong`].
    pub fn encode(&self, out: &mut [u8]) -> Result<usize, WireError> {
        Ok(postcard::to_slice(self, out)
            .map_err(|_| WireError::TooLong)?
            .len())
    }

    /// Reads a payload.
    ///
    /// # Errors
    ///
    /// [`WireError::Malformed`].
    pub fn decode(bytes: &'a [u8]) -> Result<Self, WireError> {
        read_body(bytes)
    }
}
