//! What a box is like. Each property is independent of the others.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

/// How inner endpoints become outer ones (RFC 4787, section 4.1). IPv6 is never translated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mapping {
    /// One outer endpoint for each inner one.
    Independent,
    /// One for each inner endpoint and remote address.
    AddressDependent,
    /// One for each inner and remote endpoint ("symmetric").
    AddressAndPortDependent,
    /// No translation of IPv4 either: a firewall.
    Untranslated,
}

/// Whose connections are let in to a mapped endpoint (RFC 4787, section 5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filtering {
    /// Everybody's.
    Open,
    /// Those from every port of an address that was contacted.
    AddressDependent,
    /// Those of the endpoints that were contacted.
    AddressAndPortDependent,
}

/// What an unsolicited packet is answered with; the first of a peer that dials too early is a SYN.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Early {
    /// Nothing.
    Drop,
    /// RST, in the name of the packet's destination.
    Reset,
    /// ICMP port unreachable.
    PortUnreachable,
    /// ICMP communication administratively prohibited.
    Prohibited,
    /// RFC 5382, REQ-4: silence for that long, and port unreachable if until then nothing went out to that endpoint.
    Hold(Duration),
}

/// The order in which outer ports are given out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Allocation {
    /// The inner port; a random one where that is taken or out of range.
    Preserve,
    /// The next one, that much higher.
    Sequential {
        /// The distance; 1 and 256 are seen in the wild.
        step: u16,
    },
    /// A random one.
    Random,
}

/// The outer ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ports {
    /// How they are chosen.
    pub allocation: Allocation,
    /// The lowest.
    pub low: u16,
    /// The highest, included.
    pub high: u16,
    /// Whether one outer port may stand for two inner endpoints as long as the remote endpoints differ, which RFC
    /// 4787 forbids (REQ-3) and Linux does.
    pub overload: bool,
}

/// How much of TCP the box follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tracking {
    /// As Linux conntrack: states, sequence numbers, windows.
    Strict {
        /// Whether a segment from the middle of a connection makes an entry (`nf_conntrack_tcp_loose`).
        loose: bool,
    },
    /// Flags only: what belongs to an entry passes; RST deletes it.
    Liberal,
    /// Nothing: whatever goes out makes a hole that lives for the transitory time-out.
    None,
}

/// What becomes of an outbound segment that tracking has no entry for and makes none of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Invalid {
    /// It leaves as it came, as from Linux: with a private source address, which the internet drops.
    Leak,
    /// It is dropped.
    Drop,
}

/// What becomes of a packet from inside to the box's own outer address (RFC 4787, section 6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hairpin {
    /// It is dropped.
    Drop,
    /// RST: the box takes it for itself, and does not listen there.
    Refuse,
    /// It goes to the host behind that endpoint, from the sender's outer endpoint, as RFC 5382 REQ-8 wants it.
    OuterSource,
    /// It goes there from the sender's inner endpoint; the answer then takes another way, and TCP fails.
    InnerSource,
}

/// How long an entry lives after the last packet that renewed it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// One SYN seen, or one from each end.
    pub syn_sent: Duration,
    /// A SYN-ACK seen.
    pub syn_recv: Duration,
    /// The handshake done.
    pub established: Duration,
    /// A FIN seen.
    pub closing: Duration,
    /// A RST seen, where it does not delete the entry at once.
    pub close: Duration,
    /// Entries without a state: all of [`Tracking::None`], and connections of which the begin was not seen.
    pub transitory: Duration,
    /// How long a mapping is kept after the last outbound packet although no connection uses it any more.
    pub mapping: Duration,
}

impl Timeouts {
    /// Those of Linux (NAT-FACTS section 5); `closing` is the longest of its four.
    pub const LINUX: Self = Self {
        syn_sent: Duration::from_secs(120),
        syn_recv: Duration::from_secs(60),
        established: Duration::from_secs(5 * 24 * 3_600),
        closing: Duration::from_secs(120),
        close: Duration::from_secs(10),
        transitory: Duration::from_secs(300),
        mapping: Duration::ZERO,
    };

    /// The shortest that RFC 5382, REQ-5 allows.
    pub const RFC_5382: Self = Self {
        syn_sent: Duration::from_secs(240),
        syn_recv: Duration::from_secs(240),
        established: Duration::from_secs(2 * 3_600 + 4 * 60),
        closing: Duration::from_secs(240),
        close: Duration::from_secs(240),
        transitory: Duration::from_secs(240),
        mapping: Duration::ZERO,
    };
}

/// All of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// Of IPv4.
    pub mapping: Mapping,
    /// Of what is translated.
    pub filtering: Filtering,
    /// Of what is not translated: IPv6, and IPv4 with [`Mapping::Untranslated`].
    pub firewall: Filtering,
    /// The answer to what is not let in.
    pub early: Early,
    /// Whether no inbound SYN passes, whoever it is from.
    pub strict_syn: bool,
    /// The outer ports.
    pub ports: Ports,
    /// State tracking.
    pub tracking: Tracking,
    /// What tracking refuses on its way out.
    pub invalid: Invalid,
    /// From inside to the outer address.
    pub hairpin: Hairpin,
    /// How long entries live.
    pub timeouts: Timeouts,
    /// Connections in the table; where it is full, new ones are dropped.
    pub most: usize,
}

impl Config {
    /// Plain `masquerade` of Linux, unsolicited packets dropped.
    pub const MASQUERADE: Self = Self {
        mapping: Mapping::Independent,
        filtering: Filtering::AddressAndPortDependent,
        firewall: Filtering::AddressAndPortDependent,
        early: Early::Drop,
        strict_syn: false,
        ports: Ports {
            allocation: Allocation::Preserve,
            low: 1_024,
            high: 65_535,
            overload: true,
        },
        tracking: Tracking::Strict { loose: true },
        invalid: Invalid::Leak,
        hairpin: Hairpin::Refuse,
        timeouts: Timeouts::LINUX,
        // The default of a machine with 2 GiB or more.
        most: 65_536,
    };

    /// Whether an address of that family gets another one.
    pub(super) fn translates(&self, ip: IpAddr) -> bool {
        ip.is_ipv4() && self.mapping != Mapping::Untranslated
    }

    /// Who gets in to an endpoint of that family.
    pub(super) fn admits(&self, ip: IpAddr) -> Filtering {
        if self.translates(ip) {
            self.filtering
        } else {
            self.firewall
        }
    }
}

/// The box's own addresses; without one of a family it translates nothing of that family, and sends no ICMP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Addresses {
    /// Towards the outside: what inner endpoints are translated to.
    pub outer_v4: Option<Ipv4Addr>,
    /// Towards the inside: where time-exceeded messages to the hosts come from.
    pub inner_v4: Option<Ipv4Addr>,
    /// The same for IPv6, where nothing is translated.
    pub outer_v6: Option<Ipv6Addr>,
    /// Towards the inside.
    pub inner_v6: Option<Ipv6Addr>,
}

impl Addresses {
    /// Whether it is an address of the box towards the outside.
    pub(super) fn is_outer(&self, ip: IpAddr) -> bool {
        match ip {
            IpAddr::V4(ip) => self.outer_v4 == Some(ip),
            IpAddr::V6(ip) => self.outer_v6 == Some(ip),
        }
    }

    /// Whether it is an address of the box towards the inside.
    pub(super) fn is_inner(&self, ip: IpAddr) -> bool {
        match ip {
            IpAddr::V4(ip) => self.inner_v4 == Some(ip),
            IpAddr::V6(ip) => self.inner_v6 == Some(ip),
        }
    }
}
