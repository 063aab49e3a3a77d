//! What comes of a packet.

use std::fmt;

/// The two sides of a box.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    /// Where the hosts are that the box is for.
    Inside,
    /// Where everybody else is.
    Outside,
}

impl Side {
    /// The other one.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::Inside => Self::Outside,
            Self::Outside => Self::Inside,
        }
    }
}

/// What the box does with a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It goes on to the other side, rewritten where the box translates.
    Forward(Vec<u8>),
    /// It goes on to the other side as it came, although the box translates: nothing that it has an entry for.
    Leak(Vec<u8>),
    /// Hairpin: it goes back to the side that it came from, rewritten.
    Back(Vec<u8>),
    /// This answer of the box goes back to the side that the packet came from.
    Answer(Vec<u8>),
    /// Nothing leaves, for this reason.
    Drop(Reason),
}

impl Verdict {
    /// The packet that leaves, and to which side, where `from` is the side that the judged packet came from.
    #[must_use]
    pub fn emitted(self, from: Side) -> Option<(Side, Vec<u8>)> {
        match self {
            Self::Forward(packet) | Self::Leak(packet) => Some((from.other(), packet)),
            Self::Back(packet) | Self::Answer(packet) => Some((from, packet)),
            Self::Drop(_) => None,
        }
    }
}

/// Why nothing leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// Not an IP packet with whole headers, or with a wrong ICMP checksum.
    Malformed,
    /// A fragment.
    Fragment,
    /// Neither TCP nor an ICMP error.
    OtherProtocol,
    /// An ICMP error about nothing that the box knows.
    Unrelated,
    /// Addressed to nobody that the box stands for.
    NotForMe,
    /// Unsolicited, and answered with silence.
    Unsolicited,
    /// Unsolicited, and kept: the answer comes later, or never.
    Held,
    /// An inbound SYN, whoever it is from.
    StrictSyn,
    /// State tracking refuses it.
    Invalid,
    /// The table is full.
    TableFull,
    /// No outer port is free.
    NoPort,
    /// The hop limit ended here, and no answer may be sent.
    HopLimit,
    /// The box is not up yet.
    Down,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "malformed",
            Self::Fragment => "a fragment",
            Self::OtherProtocol => "neither TCP nor an ICMP error",
            Self::Unrelated => "ICMP about nothing known",
            Self::NotForMe => "not for this box",
            Self::Unsolicited => "unsolicited",
            Self::Held => "unsolicited, held",
            Self::StrictSyn => "an inbound SYN",
            Self::Invalid => "INVALID",
            Self::TableFull => "table full",
            Self::NoPort => "no port free",
            Self::HopLimit => "hop limit",
            Self::Down => "the box is down",
        })
    }
}
