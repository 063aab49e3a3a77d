//! What an application sees: progress, reasons, reports.

use core::fmt;
use core::time::Duration;

use serde::{Deserialize, Serialize};

use crate::addr::Endpoint;
use crate::id::{PeerId, SessionId};
use crate::io::Failure;
use crate::nat::NatReport;
use crate::noise::Role;

/// Something the application may want to know.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Event {
    /// The server knows us; requests can be made and will arrive.
    Registered {
        /// Our main link's endpoint as the server sees it.
        mapped: Endpoint,
    },
    /// What is known of our NAT's mapping changed.
    MappingLearnt {
        /// The judgement.
        mapping: Mapping,
    },
    /// All that can be seen of our NAT has been seen; only where the
    /// configuration asks for it.
    NatLearnt {
        /// The report.
        report: NatReport,
    },
    /// The link to the server is gone or was never up. The machine tries again
    /// by itself unless `retry_in` is `None`.
    LinkDown {
        /// Why.
        reason: LinkFailure,
        /// When the next attempt begins; `None`: not before the application
        /// does something about it.
        retry_in: Option<Duration>,
    },
    /// The main link moved to another local port.
    PortChanged {
        /// The new one.
        port: u16,
    },
    /// Our request is on its way to the server.
    Requested {
        /// The session.
        session: SessionId,
        /// Whom we asked for.
        peer: PeerId,
    },
    /// Another peer asks for a stream.
    Notified {
        /// The session.
        session: SessionId,
        /// Who asks.
        peer: PeerId,
        /// True if the application has to call `accept` or `refuse`, within the
        /// consent deadline.
        ask: bool,
    },
    /// A SYN leaves.
    Dialling {
        /// The session.
        session: SessionId,
        /// From which port.
        local_port: u16,
        /// To where.
        remote: Endpoint,
        /// How many dials of this port pair there have been, this one included.
        attempt: u8,
    },
    /// A TCP connection of the session is up; who is there is not yet known.
    Connected {
        /// The session.
        session: SessionId,
        /// The local end.
        local: Endpoint,
        /// The remote end.
        remote: Endpoint,
        /// Whether our dial became the connection or the listener accepted it.
        dialled: bool,
    },
    /// The stream is verified and was handed over just before.
    Verified {
        /// The session.
        session: SessionId,
        /// The other side.
        peer: PeerId,
        /// Our part.
        role: Role,
        /// What worked.
        strategy: Strategy,
        /// The local end.
        local: Endpoint,
        /// The remote end.
        remote: Endpoint,
        /// What it took.
        tried: Tried,
    },
    /// The session is over without a stream.
    Failed {
        /// The session.
        session: SessionId,
        /// The other side.
        peer: PeerId,
        /// Our part.
        role: Role,
        /// Why.
        reason: FailReason,
        /// What was tried and what came back.
        tried: Tried,
    },
}

/// How a NAT maps one inner endpoint to outer ones (RFC 4787 section 4.1), as
/// far as the server could see it.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Mapping {
    /// Not enough was seen to tell.
    #[default]
    Unknown,
    /// The same outer endpoint whatever the destination: it can be punched.
    EndpointIndependent,
    /// Another outer endpoint for another destination address ("symmetric").
    AddressDependent,
    /// Another outer endpoint for another destination address or port
    /// ("symmetric"); also where only one of the two was seen.
    AddressAndPortDependent,
}

impl Mapping {
    /// Whether it depends on the destination: such a port cannot be foretold
    /// from another contact.
    pub const fn is_dependent(self) -> bool {
        matches!(self, Self::AddressDependent | Self::AddressAndPortDependent)
    }
}

impl fmt::Display for Mapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unknown => "unknown",
            Self::EndpointIndependent => "endpoint-independent",
            Self::AddressDependent => "address-dependent",
            Self::AddressAndPortDependent => "address-and-port-dependent",
        })
    }
}

/// A way to punch.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Strategy {
    /// Dial the other's own addresses in the shared private network.
    HostCandidates,
    /// Both sides dial each other's mapped endpoints and listen meanwhile
    /// (P2PNAT; RFC 9293 section 3.5 figure 8).
    SimultaneousOpen,
}

impl Strategy {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::HostCandidates, Self::SimultaneousOpen];

    /// The name that the command line uses.
    pub const fn name(self) -> &'static str {
        match self {
            Self::HostCandidates => "host-candidates",
            Self::SimultaneousOpen => "simultaneous-open",
        }
    }

    const fn bit(self) -> u16 {
        match self {
            Self::HostCandidates => 1,
            Self::SimultaneousOpen => 2,
        }
    }
}

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The strategies that a session may use; a bit each on the wire, unknown bits
/// are kept.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Strategies(u16);

impl Strategies {
    /// Whatever both sides know.
    pub const ANY: Self = Self(u16::MAX);

    /// One and no other.
    pub const fn only(strategy: Strategy) -> Self {
        Self(strategy.bit())
    }

    /// Whether this one may be used.
    pub const fn allows(self, strategy: Strategy) -> bool {
        self.0 & strategy.bit() != 0
    }

    /// What both sets allow.
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl Default for Strategies {
    fn default() -> Self {
        Self::ANY
    }
}

/// How bytes travel on the punched stream.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum StreamMode {
    /// Encrypted and authenticated records.
    #[default]
    Records,
    /// The TCP stream as it is: it was proven who was there when it started,
    /// and nothing protects it afterwards, not even against the server. Only
    /// where both sides ask for it.
    Bare,
}

/// What a session tried so far. Counts saturate.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Tried {
    /// Port pairs raced.
    pub pairs: u8,
    /// SYNs asked for, redials included, kernel retransmissions not.
    pub dials: u16,
    /// Dials answered with RST.
    pub refused: u16,
    /// Dials that ICMP or the own host called unreachable.
    pub unreachable: u16,
    /// Dials that failed otherwise.
    pub failed: u16,
    /// Dials still without any answer: dropped on the way.
    pub unanswered: u8,
    /// Connections that came up, dialled or accepted.
    pub connected: u16,
    /// Connections that did not verify: silent, wrong, or cut.
    pub unverified: u16,
    /// Our own mapping.
    pub own_mapping: Mapping,
    /// The other side's mapping, as the server told.
    pub peer_mapping: Mapping,
}

/// Why there is no link to the server.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum LinkFailure {
    /// The server's name has no address.
    NameNotFound,
    /// The dial failed.
    Dial(Failure),
    /// The dial or the handshake took too long.
    TimedOut,
    /// The server cannot read our handshake: it has another key than the one
    /// in its address, or something else answers there.
    WrongKey,
    /// No protocol version in common.
    Version,
    /// The server's answer is not of this protocol.
    Protocol,
    /// The server wants a token and ours is not it.
    TokenRefused,
    /// The server is at its limit, or ours with it.
    Busy,
    /// The same id registered again from elsewhere.
    Replaced,
    /// The server closed the link.
    Closed,
    /// No answer to two keep-alives.
    Dead,
    /// No port could be bound.
    NoPort(Failure),
}

impl LinkFailure {
    /// Whether trying again by itself makes no sense. Only what the server
    /// said inside the encrypted link is final: a clear word can be anybody's.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::TokenRefused | Self::Replaced)
    }
}

impl fmt::Display for LinkFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NameNotFound => "the server's name has no address",
            Self::Dial(Failure::Refused) => {
                "the server refused the connection: nothing listens there"
            }
            Self::Dial(_) => "the server cannot be reached",
            Self::TimedOut => "the server did not answer in time",
            Self::WrongKey => "the server's key is not the one in its address",
            Self::Version => "the server speaks no version of the protocol that we do",
            Self::Protocol => "what answers there is no rendezvous server",
            Self::TokenRefused => "the server wants another token",
            Self::Busy => "the server is at its limit",
            Self::Replaced => "the same id registered from elsewhere",
            Self::Closed => "the server closed the link",
            Self::Dead => "the server stopped answering",
            Self::NoPort(_) => "no local port could be bound",
        })
    }
}

/// Why a session ended without a stream.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum FailReason {
    /// No peer with this id is registered.
    PeerUnknown,
    /// The other side does not want us.
    NotAllowed,
    /// The other side, or the server for it, has no room for another session.
    Busy,
    /// The other side did not decide in time.
    ConsentTimedOut,
    /// There was no link to the server when it was needed.
    NoServer,
    /// No fresh port could be bound and observed.
    NoPort,
    /// The two sides have no candidates or strategies in common.
    NothingToTry,
    /// Nothing came through before the deadline.
    PunchTimedOut,
    /// Streams came up, none of them verified.
    NotVerified,
    /// The nominated stream died before the other side had read it.
    WinnerLost,
    /// The introduction did not carry what it must: the server or the other
    /// side is not what it claims, or the shared secret differs.
    Untrusted,
    /// The application cancelled, here or at the other side.
    Cancelled,
    /// The other side's session was over already.
    Gone,
}

impl fmt::Display for FailReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PeerUnknown => "no peer with this id is registered at the server",
            Self::NotAllowed => "the other side does not allow this peer",
            Self::Busy => "no room for another session",
            Self::ConsentTimedOut => "the other side did not answer the request in time",
            Self::NoServer => "no link to the server",
            Self::NoPort => "no fresh port could be bound and observed",
            Self::NothingToTry => "the two sides have no way in common",
            Self::PunchTimedOut => "no connection came through before the deadline",
            Self::NotVerified => {
                "connections came up, but the other side could not prove itself on any"
            }
            Self::WinnerLost => "the chosen connection died before both sides had it",
            Self::Untrusted => "the introduction is not genuine, or the shared secret differs",
            Self::Cancelled => "cancelled",
            Self::Gone => "the other side had ended the session already",
        })
    }
}
