//! What passes between a server's machines and the runtime that drives them.

use crate::addr::{Endpoint, MAX_HOST_ADDRESSES};
use crate::event::{FailReason, Strategies};
use crate::id::{LinkHandle, PeerId, SessionId};
use crate::io::{Close, Segment};
use crate::nat::TwoContacts;
use crate::time::Instant;
use crate::wire::{DialBackOutcome, NoiseMessage, Side};

use core::net::IpAddr;
use core::time::Duration;

use heapless::Vec;

/// Something happened to a main link.
#[derive(Debug)]
pub enum LinkInput<'a> {
    /// As many bytes as the last [`LinkOutput::Read`] asked for.
    Received(&'a mut [u8]),
    /// The connection is gone. The machine emits what others must know, then
    /// [`LinkOutput::Close`].
    Ended,
    /// Another link has a message for this one.
    Routed(Routed),
    /// Nobody is registered under the id that a [`LinkOutput::Route`] named.
    Unroutable(Routed),
    /// An assist link brought an observation for this link's handle.
    Observed(Observation),
    /// What became of a [`LinkOutput::DialBack`].
    DialedBack {
        /// As it was given.
        port: u16,
        /// As it was given.
        other_address: bool,
        /// What came of it.
        outcome: DialBackOutcome,
    },
    /// A newer registration of the same id took this one's place.
    Replaced,
    /// The server is shutting down: close in order.
    Drain,
}

/// What the runtime is to do for a main link, in this order. After every
/// `handle_*` call, drain `poll_output` until [`LinkOutput::Wait`].
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "boxing needs an allocator")]
pub enum LinkOutput<'a> {
    /// Read this many bytes, no more, and deliver them as one
    /// [`LinkInput::Received`].
    Read {
        /// How many.
        exactly: usize,
    },
    /// Send all of it.
    Send {
        /// The bytes.
        data: &'a [u8],
    },
    /// This link now speaks for `peer`: enter it in the routing table. A link
    /// that was there with a lower epoch gets [`LinkInput::Replaced`]; if one
    /// with a higher epoch is there, this one does.
    Register {
        /// The authenticated id.
        peer: PeerId,
        /// The number that the link was made with.
        epoch: u64,
    },
    /// Deliver this to the link registered as `to`, as
    /// [`LinkInput::Routed`]; if there is none, give it back as
    /// [`LinkInput::Unroutable`].
    Route(Routed),
    /// Dial this endpoint from a port that it never spoke to, close the
    /// connection at once if it comes up, and answer with
    /// [`LinkInput::DialedBack`] within 3 s.
    DialBack {
        /// Brought back with the answer.
        port: u16,
        /// From another address than main links of this family come to; else
        /// from the one that this link came to.
        other_address: bool,
        /// What to dial: the server saw the peer's port there.
        to: Endpoint,
    },
    /// Send a SYN-ACK in the name of an endpoint that is not ours: both peers of
    /// a session asked for it. Only where [`ServerConfig::spoof`] was set.
    ///
    /// [`ServerConfig::spoof`]: super::ServerConfig::spoof
    Inject(Segment),
    /// Something for the operator.
    Event(LinkEvent),
    /// Close the connection, after what was sent has left, and forget the link
    /// and what it registered.
    Close(Close),
    /// All done for now: call `handle_timeout` at this instant at the latest,
    /// or only when something happens.
    Wait(Option<Instant>),
}

/// A message from one link to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Routed {
    /// Set by the authenticated link, never by its peer.
    pub from: PeerId,
    /// The addressee.
    pub to: PeerId,
    /// The session that it is about.
    pub session: SessionId,
    /// The message.
    pub message: RouteMessage,
}

/// What links tell each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RouteMessage {
    /// From the requester's link: introduce us.
    Request {
        /// The requester, as its link knows it.
        side: SideInfo,
        /// What the requester allows.
        strategies: Strategies,
        /// Message 1 of the session's handshake.
        noise: NoiseMessage,
    },
    /// From the responder's link: connect now.
    Connect {
        /// The requester's side, as the responder is told it.
        requester: Side,
        /// The responder's side.
        responder: Side,
        /// What both allow.
        strategies: Strategies,
        /// How long the requester is to wait before it dials, in microseconds.
        hold_us: u32,
        /// Message 2, empty where consent was given in advance.
        noise: NoiseMessage,
    },
    /// From the requester's link: the requester is ready for a round.
    RoundReady(RoundHalf),
    /// From the responder's link: both are.
    Go {
        /// Which round.
        round: u8,
        /// How long the requester is to wait before it dials, in microseconds.
        hold_us: u32,
        /// The requester's side, as the responder is told it.
        requester: Side,
        /// The responder's side.
        responder: Side,
        /// The responder's first sequence number, where both sent theirs.
        sequence: Option<u32>,
    },
    /// From the responder's link: it will not be.
    Refused(FailReason),
    /// From the requester's link: never mind.
    Cancel,
}

/// One side that is ready for a round.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoundHalf {
    /// Which round.
    pub round: u8,
    /// Its first sequence number, where the strategy is to exchange them.
    pub sequence: Option<u32>,
    /// The server is to send the SYN-ACKs.
    pub spoof: bool,
    /// The side, with the ports of the round.
    pub side: SideInfo,
}

/// One side, as its own link knows it: with what the other side must not learn
/// unless both are in one network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SideInfo {
    /// What may be told; candidates are the mapped ones.
    pub side: Side,
    /// The address of the main link as the server sees it.
    pub mapped_ip: Option<IpAddr>,
    /// The peer's own addresses.
    pub hosts: Vec<IpAddr, MAX_HOST_ADDRESSES>,
    /// The local port that host candidates would have.
    pub host_port: u16,
    /// Where the first port comes out next, if its NAT counts.
    pub foretold: Option<Foretold>,
}

/// What is needed to foretell outer ports once it is known when they will be
/// used.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Foretold {
    /// The contacts just before.
    pub seen: TwoContacts,
    /// How long ago the second one was, when this was written, and how long the
    /// word to go and the SYN that follows it take.
    pub ahead: Duration,
}

/// What an assist link saw.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Observation {
    /// Whom it is for.
    pub handle: LinkHandle,
    /// The local port that the peer says it dialled from.
    pub port: u16,
    /// Number of this observation at its peer; each is used once.
    pub sequence: u32,
    /// Proof that the peer made it.
    pub mac: [u8; 16],
    /// Which assist endpoint it came to, from 0.
    pub assist: u8,
    /// The endpoint that it came from.
    pub mapped: Endpoint,
}

/// Something happened to an assist link.
#[derive(Debug)]
pub enum AssistInput<'a> {
    /// As many bytes as the last [`AssistOutput::Read`] asked for.
    Received(&'a mut [u8]),
    /// The connection is gone.
    Ended,
    /// No link has the handle that the observation named.
    Unroutable,
}

/// What the runtime is to do for an assist link, in this order.
#[derive(Debug)]
pub enum AssistOutput<'a> {
    /// Read this many bytes, no more.
    Read {
        /// How many.
        exactly: usize,
    },
    /// Send all of it.
    Send {
        /// The bytes.
        data: &'a [u8],
    },
    /// Deliver this to the link with its handle as [`LinkInput::Observed`]; if
    /// there is none, answer with [`AssistInput::Unroutable`].
    Route(Observation),
    /// Close the connection and forget it.
    Close(Close),
    /// All done for now.
    Wait(Option<Instant>),
}

/// What an operator may want to know of a link.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum LinkEvent {
    /// A peer registered.
    Registered {
        /// Its id.
        peer: PeerId,
    },
    /// A peer was turned away.
    Rejected(Rejection),
    /// A peer asked for another.
    Requested {
        /// The session.
        session: SessionId,
    },
    /// Both sides of a session were told to go.
    Introduced {
        /// The session.
        session: SessionId,
    },
    /// A session was refused.
    Refused {
        /// The session.
        session: SessionId,
        /// Why.
        reason: FailReason,
    },
    /// The link sent something that is not of the protocol.
    Malformed,
}

/// Why a link was turned away.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Rejection {
    /// The handshake cannot be read: it was made for another key.
    Handshake,
    /// No version in common.
    Version,
    /// The token is not the one that this server wants.
    Token,
    /// A limit was reached.
    Busy,
    /// It took too long.
    TimedOut,
}
