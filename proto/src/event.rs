//! What an application sees: progress, reasons, reports.

use core::fmt;
use core::time::Duration;

use serde::{Deserialize, Serialize};

use crate::addr::Endpoint;
use crate::id::{PeerId, SessionId};
use crate::io::Failure;
use crate::nat::NatReport;
use crate::noise::Role;
use crate::plan::{Plan, Step};

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
    /// All that can be seen of our NAT has been seen, unless the configuration
    /// asks not to look.
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
    /// Both sides are known, and so is what will be tried. An empty plan means
    /// that only host candidates are left, or nothing.
    Planned {
        /// The session.
        session: SessionId,
        /// Our part in it.
        role: Role,
        /// The steps.
        plan: Plan,
        /// What is known of our NAT.
        own: NatReport,
        /// What is known of the other side's.
        other: NatReport,
    },
    /// A step of the plan begins: its first dials follow.
    StepBegun {
        /// The session.
        session: SessionId,
        /// Round 0 uses the ports of the introduction, every later one fresh
        /// ones.
        round: u8,
        /// The step.
        step: Step,
    },
    /// The time of a step is over, or the session is.
    StepEnded {
        /// The session.
        session: SessionId,
        /// The round.
        round: u8,
        /// What was done.
        strategy: Strategy,
        /// What was tried in this round alone.
        tried: Tried,
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
    /// Dial the other's own addresses in the shared private network; raced
    /// beside every other strategy.
    HostCandidates,
    /// Both sides dial each other's mapped endpoints at the same moment and
    /// listen meanwhile (P2PNAT; RFC 9293 section 3.5 figure 8).
    SimultaneousOpen,
    /// One side dials, the other listens: the other lets anybody in.
    Dial,
    /// As simultaneous open, but one side dials first: the one whose NAT
    /// answers early SYNs while the other's drops them. (The two-connection
    /// method, with the first dial kept.)
    Sequential,
    /// One side's first SYN opens its own NAT and dies before the other's
    /// (STUNT #2, with the dial kept).
    LowTtl,
    /// One side's next outer ports are foretold, and the other dials them all.
    PortPrediction,
    /// One side's outer ports are random: many sockets there, many dials on the
    /// other side, and two that meet.
    Birthday,
    /// Both sides learn each other's first sequence number and send the SYN-ACK
    /// by themselves (NATBlaster).
    CraftedSynAck,
    /// The same with the server as the sender of both SYN-ACKs (STUNT #1).
    SpoofedSynAck,
}

impl Strategy {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::HostCandidates,
        Self::SimultaneousOpen,
        Self::Dial,
        Self::Sequential,
        Self::LowTtl,
        Self::PortPrediction,
        Self::Birthday,
        Self::CraftedSynAck,
        Self::SpoofedSynAck,
    ];

    /// The name that the command line uses.
    pub const fn name(self) -> &'static str {
        match self {
            Self::HostCandidates => "host-candidates",
            Self::SimultaneousOpen => "simultaneous-open",
            Self::Dial => "dial",
            Self::Sequential => "sequential",
            Self::LowTtl => "low-ttl",
            Self::PortPrediction => "port-prediction",
            Self::Birthday => "birthday",
            Self::CraftedSynAck => "crafted-syn-ack",
            Self::SpoofedSynAck => "spoofed-syn-ack",
        }
    }

    const fn bit(self) -> u16 {
        match self {
            Self::HostCandidates => 1,
            Self::SimultaneousOpen => 1 << 1,
            Self::Dial => 1 << 2,
            Self::Sequential => 1 << 3,
            Self::LowTtl => 1 << 4,
            Self::PortPrediction => 1 << 5,
            Self::Birthday => 1 << 6,
            Self::CraftedSynAck => 1 << 7,
            Self::SpoofedSynAck => 1 << 8,
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
    /// Whatever both sides know, birthday included.
    pub const ANY: Self = Self(u16::MAX);

    /// None.
    pub const NONE: Self = Self(0);

    /// One and no other.
    pub const fn only(strategy: Strategy) -> Self {
        Self(strategy.bit())
    }

    /// This one too.
    pub const fn with(self, strategy: Strategy) -> Self {
        Self(self.0 | strategy.bit())
    }

    /// Not this one.
    pub const fn without(self, strategy: Strategy) -> Self {
        Self(self.0 & !strategy.bit())
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
    /// All but birthday, which costs sockets and the routers' memory and is to
    /// be asked for by both sides.
    fn default() -> Self {
        Self::ANY.without(Strategy::Birthday)
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
    /// Of the dials, those that went to foretold ports, or by chance.
    pub sprayed: u16,
    /// Dials still without any answer: dropped on the way.
    pub unanswered: u16,
    /// Connections that came up, dialled or accepted.
    pub connected: u16,
    /// Connections that did not verify: silent, wrong, or cut.
    pub unverified: u16,
    /// Our own mapping.
    pub own_mapping: Mapping,
    /// The other side's mapping, as the server told.
    pub peer_mapping: Mapping,
}

impl Tried {
    pub(crate) const NOTHING: Self = Self {
        pairs: 0,
        dials: 0,
        refused: 0,
        unreachable: 0,
        failed: 0,
        sprayed: 0,
        unanswered: 0,
        connected: 0,
        unverified: 0,
        own_mapping: Mapping::Unknown,
        peer_mapping: Mapping::Unknown,
    };

    /// Counts a dial that failed.
    pub(crate) const fn count(&mut self, failure: Failure) {
        let count = match failure {
            Failure::Refused | Failure::Reset => &mut self.refused,
            Failure::Unreachable => &mut self.unreachable,
            Failure::TimedOut
            | Failure::AddressInUse
            | Failure::AddressNotAvailable
            | Failure::Exhausted
            | Failure::Forbidden
            | Failure::Other => &mut self.failed,
        };
        *count = count.saturating_add(1);
    }

    /// What was tried since, the pairs and mappings as they are now.
    pub(crate) const fn since(&self, before: &Self) -> Self {
        Self {
            dials: self.dials.saturating_sub(before.dials),
            refused: self.refused.saturating_sub(before.refused),
            unreachable: self.unreachable.saturating_sub(before.unreachable),
            failed: self.failed.saturating_sub(before.failed),
            sprayed: self.sprayed.saturating_sub(before.sprayed),
            unanswered: self.unanswered.saturating_sub(before.unanswered),
            connected: self.connected.saturating_sub(before.connected),
            unverified: self.unverified.saturating_sub(before.unverified),
            ..*self
        }
    }
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
