//! What passes between a peer machine and the runtime that drives it.
//!
//! Both enums are exhaustive on purpose: a new action must not compile until
//! every runtime does it.

use core::net::IpAddr;

use crate::addr::Endpoint;
use crate::event::{Event, StreamMode};
use crate::id::{ListenerId, PeerId, ResolveId, SessionId, SocketId};
use crate::noise::{Records, Role};
use crate::time::Instant;

/// Bytes that a runtime must be able to take for one socket before any has left
/// it. A machine never has more than this unsent on a socket unless the link is
/// dead; a runtime whose buffer is full ends the socket with [`Failure::Other`].
pub const SEND_BUFFER: usize = 4_096;

/// Something happened on a socket.
///
/// Everything that carries an id answers an [`Output`] that carried it. An
/// unknown or late id is ignored and counted, so a runtime need not know which
/// ids are still of interest.
#[derive(Debug)]
pub enum Input<'a> {
    /// The host's own addresses, loopback and link-local ones included or not
    /// (the machine drops what is of no use): once before anything else, and
    /// again whenever they change.
    HostAddresses(&'a [IpAddr]),
    /// The name was looked up. Port and address of each answer, best first.
    Resolved {
        /// From [`Output::Resolve`].
        id: ResolveId,
        /// Where the server may be; empty when the look-up failed.
        addresses: &'a [Endpoint],
    },
    /// The listener is up.
    Listening {
        /// From [`Output::Listen`].
        id: ListenerId,
        /// Where it is bound: the port is the real one.
        local: Endpoint,
    },
    /// The listener could not be made.
    ListenFailed {
        /// From [`Output::Listen`].
        id: ListenerId,
        /// Why.
        failure: Failure,
    },
    /// The dial succeeded: checked by the peer address, not by writability.
    Connected {
        /// From [`Output::Dial`].
        id: SocketId,
        /// The local end, with the address that the host chose.
        local: Endpoint,
    },
    /// The dial failed. The runtime has closed the socket.
    DialFailed {
        /// From [`Output::Dial`].
        id: SocketId,
        /// Why.
        failure: Failure,
    },
    /// A dial with [`Hops::Trace`] went as far as it was to: a router answered
    /// that the hop limit was exceeded. The runtime has closed the socket.
    Expired {
        /// From [`Output::Dial`].
        id: SocketId,
        /// The router.
        hop: IpAddr,
    },
    /// The first sequence number of a dial's SYN.
    Sequence {
        /// From [`Output::Watch`].
        id: SocketId,
        /// As it stood in the SYN, before any NAT.
        number: u32,
    },
    /// A listener accepted a connection.
    Accepted {
        /// From [`Output::Listen`].
        listener: ListenerId,
        /// A fresh id from the machine's `new_socket_id`.
        id: SocketId,
        /// The local end.
        local: Endpoint,
        /// The other end.
        remote: Endpoint,
    },
    /// As many bytes as the last [`Output::Read`] for this socket asked for.
    /// The machine may decrypt them in place.
    Received {
        /// The socket.
        id: SocketId,
        /// Exactly what was asked for.
        data: &'a mut [u8],
    },
    /// The stream ended before the bytes that were asked for had come. The
    /// runtime has closed the socket.
    Ended {
        /// The socket.
        id: SocketId,
        /// `None` for an orderly end (FIN).
        failure: Option<Failure>,
    },
}

/// What the runtime is to do, in this order.
///
/// After every `handle_*` call and every call that returns a session, drain
/// `poll_output` until [`Output::Wait`].
#[derive(Debug)]
pub enum Output<'a> {
    /// Look up the server's name; answer with [`Input::Resolved`], at once if
    /// it is an address already.
    Resolve {
        /// Brought back with the answer.
        id: ResolveId,
    },
    /// Bind with the reuse options of the platform and listen; answer with
    /// [`Input::Listening`] or [`Input::ListenFailed`]. An IPv6 listener is for
    /// IPv6 only: the machine asks for both families by themselves.
    Listen {
        /// Brought back with the answer and with every accepted socket.
        id: ListenerId,
        /// An unspecified address; port 0 means any port that is free.
        local: Endpoint,
    },
    /// Close a listener.
    Unlisten {
        /// From [`Output::Listen`].
        id: ListenerId,
    },
    /// Bind with the reuse options of the platform and connect; answer with
    /// [`Input::Connected`] or [`Input::DialFailed`]. Never fall back to
    /// another port, never give up by an own time limit.
    Dial {
        /// Brought back with the answer.
        id: SocketId,
        /// An unspecified address and the port to punch from.
        local: Endpoint,
        /// Whom to dial.
        remote: Endpoint,
        /// How far the SYNs go.
        hops: Hops,
    },
    /// Tell the first sequence number of the SYN of the dial that follows with
    /// the same id ([`Input::Sequence`]). Only where the configuration declared
    /// [`Runtime::raw`](crate::config::Runtime::raw).
    Watch {
        /// The dial's.
        id: SocketId,
    },
    /// Send a SYN-ACK that no socket made. Only where the configuration declared
    /// [`Runtime::raw`](crate::config::Runtime::raw).
    Inject(Segment),
    /// Read this many bytes, no more, and deliver them as one
    /// [`Input::Received`]. At most one read per socket is outstanding. A
    /// runtime may buffer what it has of them, never what lies behind them.
    Read {
        /// The socket.
        id: SocketId,
        /// How many; never 0, never above [`crate::wire::MAX_FRAME`].
        exactly: usize,
    },
    /// Send all of it; a runtime keeps what the socket does not take
    /// ([`SEND_BUFFER`]).
    Send {
        /// The socket.
        id: SocketId,
        /// The bytes.
        data: &'a [u8],
    },
    /// Close a socket, connecting or connected, and forget it; nothing is
    /// answered.
    Close {
        /// The socket.
        id: SocketId,
        /// What the other side is to see of it.
        how: Close,
    },
    /// The stream is verified and belongs to the application from now on. What
    /// was sent before goes out first.
    HandOver(HandOver),
    /// Something for the application.
    Event(Event),
    /// All done for now: call `handle_timeout` at this instant at the latest,
    /// or only when something happens.
    Wait(Option<Instant>),
}

/// How far the SYNs of a dial go.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Hops {
    /// As far as the host's default lets them.
    #[default]
    Default,
    /// The first SYN has this hop limit and is to die on the way; whatever ICMP
    /// says of it must not end the dial (Linux: `IP_MINTTL` = 2, our
    /// measurement). What the socket sends later has the host's default. Only
    /// where the configuration declared
    /// [`Runtime::low_ttl`](crate::config::Runtime::low_ttl).
    Short(u8),
    /// Every SYN has this hop limit, and who drops it is to be told
    /// ([`Input::Expired`]; Linux: `IP_RECVERR`). Only where the configuration
    /// declared [`Runtime::trace`](crate::config::Runtime::trace).
    Trace(u8),
}

/// A SYN-ACK to be made by hand: TCP options as a plain one has them.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Segment {
    /// An unspecified address, for the one that the host would choose, and the
    /// port; at the server the endpoint to be pretended.
    pub local: Endpoint,
    /// Where it goes.
    pub remote: Endpoint,
    /// Its sequence number.
    pub sequence: u32,
    /// Its acknowledgement number.
    pub acknowledgement: u32,
}

/// How to close a socket: it matters to the NATs on the way.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Close {
    /// Send nothing if it can be helped (a connect that is pending).
    Silent,
    /// FIN: after what was sent has been read.
    Fin,
    /// RST: NATs drop their entry, no TIME_WAIT stays.
    Reset,
}

/// Why a dial, a listener or a stream failed.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Failure {
    /// RST answered the SYN (ECONNREFUSED without an ICMP error).
    Refused,
    /// RST on a stream that was up (ECONNRESET, EPIPE).
    Reset,
    /// ICMP said that there is no way, or the host has none (EHOSTUNREACH,
    /// ENETUNREACH, EACCES from a firewall; ECONNREFUSED where the runtime can
    /// tell that ICMP was behind it: Linux, `IP_RECVERR`).
    Unreachable,
    /// The stack gave up (ETIMEDOUT).
    TimedOut,
    /// The port is taken (EADDRINUSE).
    AddressInUse,
    /// The address is not the host's, or the four-tuple is in use
    /// (EADDRNOTAVAIL).
    AddressNotAvailable,
    /// Out of descriptors or buffers (EMFILE, ENFILE, ENOBUFS, ENOMEM).
    Exhausted,
    /// The host forbids it (EPERM).
    Forbidden,
    /// Anything else.
    Other,
}

/// A stream that was punched and verified.
#[derive(Debug)]
pub struct HandOver {
    /// The socket.
    pub id: SocketId,
    /// The session.
    pub session: SessionId,
    /// The other side, proven.
    pub peer: PeerId,
    /// Our part in the session.
    pub role: Role,
    /// Whether bytes travel as records or bare.
    pub mode: StreamMode,
    /// Largest data of a record that the other side takes, in bytes.
    pub max_record: usize,
    /// Seals and opens this stream's records, the nomination already counted.
    /// Unused where the mode is bare.
    pub records: Records,
    /// Hash of the finished handshake, for channel binding: equal at both ends,
    /// unique to the session.
    pub handshake_hash: [u8; 32],
}
