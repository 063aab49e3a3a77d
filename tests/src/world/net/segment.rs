//! What travels: TCP segments, and the one ICMP message that matters here.

use std::fmt;

use tcp_punch_proto::Endpoint;

/// Hop limit of a packet whose sender chose none.
pub(crate) const DEFAULT_HOPS: u8 = 64;

/// A packet.
#[derive(Clone, Debug)]
pub(crate) struct Packet {
    /// Who sent it, as far as the present place can tell.
    pub(crate) from: Endpoint,
    /// Whom it is for.
    pub(crate) to: Endpoint,
    /// Routers that it may still pass.
    pub(crate) hops: u8,
    /// What it carries.
    pub(crate) body: Body,
}

/// What a packet carries.
#[derive(Clone, Debug)]
pub(crate) enum Body {
    /// A TCP segment.
    Tcp(Segment),
    /// ICMP: what was sent from `to` to `about` cannot be delivered.
    Unreachable {
        /// The destination of the packet that could not be delivered.
        about: Endpoint,
    },
}

/// A place in one direction of a connection. Real sequence numbers are a 32-bit
/// sum of the two; apart they never wrap and never meet by chance.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seq {
    /// The initial sequence number: unique to the socket.
    pub(crate) isn: u64,
    /// Bytes after the SYN; a FIN counts as one.
    pub(crate) offset: u64,
}

/// A TCP segment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Segment {
    /// Opens a direction.
    pub(crate) syn: bool,
    /// Ends a direction, after the data.
    pub(crate) fin: bool,
    /// Ends both at once.
    pub(crate) rst: bool,
    /// Where the data begins. A RST that answers a SYN has none.
    pub(crate) seq: Option<Seq>,
    /// What is expected next from the other side.
    pub(crate) ack: Option<Seq>,
    /// The bytes.
    pub(crate) data: Vec<u8>,
}

impl Segment {
    /// Whether it is a SYN that asks for a connection.
    pub(crate) const fn opens(&self) -> bool {
        self.syn && self.ack.is_none() && !self.rst
    }

    /// The RST that a host or a NAT without a matching connection answers with
    /// (RFC 9293 section 3.5.2); none for a RST.
    pub(crate) fn refusal(&self) -> Option<Self> {
        if self.rst {
            return None;
        }
        let seq = self.ack;
        let ack = if seq.is_some() { None } else { self.seq };
        Some(Self {
            rst: true,
            seq,
            ack,
            ..Self::default()
        })
    }
}

impl fmt::Display for Packet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} > {} {}", self.from, self.to, self.body)
    }
}

impl fmt::Display for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(segment) => segment.fmt(f),
            Self::Unreachable { about } => write!(f, "ICMP {about} unreachable"),
        }
    }
}

impl fmt::Display for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match (self.rst, self.syn, self.fin, self.ack.is_some()) {
            (true, ..) => "RST",
            (false, true, _, false) => "SYN",
            (false, true, _, true) => "SYN-ACK",
            (false, false, true, _) => "FIN",
            (false, false, false, _) if self.data.is_empty() => "ACK",
            (false, false, false, _) => "data",
        })?;
        if !self.data.is_empty() {
            write!(f, " {} B", self.data.len())?;
        }
        Ok(())
    }
}
