//! What the WAN and the taps must know of an IP packet, and the one field that routers change.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

pub(super) const ICMP: u8 = 1;
pub(super) const TCP: u8 = 6;
pub(super) const ICMPV6: u8 = 58;

/// The parts of a packet that the ladder tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// The sender's address, as the packet says.
    pub source: IpAddr,
    /// The receiver's address.
    pub destination: IpAddr,
    /// TTL or hop limit.
    pub hop_limit: u8,
    /// What it carries.
    pub body: Body,
}

/// What a packet carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// A TCP segment.
    Tcp(Segment),
    /// An ICMP or ICMPv6 error, with the endpoints of the TCP segment that it quotes.
    IcmpError {
        /// Type and code in words.
        what: &'static str,
        /// Source and destination inside the quotation, where it is TCP.
        quoted: Option<(SocketAddr, SocketAddr)>,
    },
    /// Anything else.
    Other,
}

/// A TCP segment's header in short.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// Source port.
    pub source: u16,
    /// Destination port.
    pub destination: u16,
    /// Flags.
    pub flags: Flags,
    /// Sequence number.
    pub seq: u32,
    /// Acknowledgment number.
    pub ack: u32,
    /// Bytes of payload.
    pub len: usize,
}

/// TCP's flag byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flags(pub u8);

impl Flags {
    /// Whether FIN is set.
    #[must_use]
    pub fn fin(self) -> bool {
        self.0 & 0x01 != 0
    }

    /// Whether SYN is set.
    #[must_use]
    pub fn syn(self) -> bool {
        self.0 & 0x02 != 0
    }

    /// Whether RST is set.
    #[must_use]
    pub fn rst(self) -> bool {
        self.0 & 0x04 != 0
    }

    /// Whether ACK is set.
    #[must_use]
    pub fn ack(self) -> bool {
        self.0 & 0x10 != 0
    }
}

impl fmt::Display for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match (self.syn(), self.rst(), self.fin(), self.ack()) {
            (true, _, _, false) => "SYN",
            (true, _, _, true) => "SYN-ACK",
            (_, true, _, _) => "RST",
            (_, _, true, _) => "FIN",
            (false, false, false, true) => "ACK",
            (false, false, false, false) => "no flags",
        })
    }
}

impl Summary {
    /// Reads a packet's headers; `None` where it is not an IP packet in one piece.
    #[must_use]
    pub fn of(packet: &[u8]) -> Option<Self> {
        let (source, destination) = addresses(packet)?;
        let (protocol, payload) = payload(packet)?;
        let body = match protocol {
            TCP => segment(payload).map_or(Body::Other, Body::Tcp),
            ICMP | ICMPV6 => icmp_error(protocol, payload),
            _ => Body::Other,
        };
        Some(Self {
            source,
            destination,
            hop_limit: hop_limit(packet)?,
            body,
        })
    }

    /// The segment with both endpoints, where it is TCP.
    #[must_use]
    pub fn tcp(&self) -> Option<(SocketAddr, SocketAddr, &Segment)> {
        let Body::Tcp(segment) = &self.body else {
            return None;
        };
        let source = SocketAddr::new(self.source, segment.source);
        let destination = SocketAddr::new(self.destination, segment.destination);
        Some((source, destination, segment))
    }
}

/// Source and destination address.
pub(super) fn addresses(packet: &[u8]) -> Option<(IpAddr, IpAddr)> {
    match version(packet)? {
        4 => {
            let source: [u8; 4] = packet.get(12..16)?.try_into().ok()?;
            let destination: [u8; 4] = packet.get(16..20)?.try_into().ok()?;
            Some((
                Ipv4Addr::from(source).into(),
                Ipv4Addr::from(destination).into(),
            ))
        }
        6 => {
            let source: [u8; 16] = packet.get(8..24)?.try_into().ok()?;
            let destination: [u8; 16] = packet.get(24..40)?.try_into().ok()?;
            Some((
                Ipv6Addr::from(source).into(),
                Ipv6Addr::from(destination).into(),
            ))
        }
        _ => None,
    }
}

/// TTL or hop limit.
pub(super) fn hop_limit(packet: &[u8]) -> Option<u8> {
    match version(packet)? {
        4 => packet.get(8).copied(),
        6 => packet.get(7).copied(),
        _ => None,
    }
}

/// Sets TTL or hop limit, and with it the IPv4 header's checksum.
pub(super) fn set_hop_limit(packet: &mut [u8], to: u8) {
    match version(packet) {
        Some(4) => {
            let header = usize::from(packet[0] & 0x0f) * 4;
            if header < 20 || packet.len() < header {
                return;
            }
            packet[8] = to;
            packet[10..12].fill(0);
            let sum = checksum(&[&packet[..header]]);
            packet[10..12].copy_from_slice(&sum.to_be_bytes());
        }
        Some(6) if packet.len() >= 40 => packet[7] = to,
        _ => {}
    }
}

/// The internet checksum (RFC 1071) over the parts one after the other; every part but the last is even.
pub(super) fn checksum(parts: &[&[u8]]) -> u16 {
    let mut sum: u32 = 0;
    for part in parts {
        let mut words = part.chunks_exact(2);
        for word in &mut words {
            sum += u32::from(u16::from_be_bytes([word[0], word[1]]));
        }
        if let [odd] = words.remainder() {
            sum += u32::from(*odd) << 8;
        }
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

/// Protocol number and what follows the IP header. IPv6 extension headers are not followed: no TCP of ours has any.
pub(super) fn payload(packet: &[u8]) -> Option<(u8, &[u8])> {
    match version(packet)? {
        4 => {
            let header = usize::from(packet[0] & 0x0f) * 4;
            // A later fragment starts in the middle of a segment.
            let fragment = u16::from_be_bytes([*packet.get(6)?, *packet.get(7)?]) & 0x1fff;
            if fragment != 0 {
                return None;
            }
            Some((*packet.get(9)?, packet.get(header..)?))
        }
        6 => Some((*packet.get(6)?, packet.get(40..)?)),
        _ => None,
    }
}

fn version(packet: &[u8]) -> Option<u8> {
    packet.first().map(|byte| byte >> 4)
}

fn segment(bytes: &[u8]) -> Option<Segment> {
    let word = |at: usize| Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    let ports = word(0)?;
    let header = usize::from(*bytes.get(12)? >> 4) * 4;
    Some(Segment {
        source: (ports >> 16) as u16,
        destination: ports as u16,
        flags: Flags(*bytes.get(13)?),
        seq: word(4)?,
        ack: word(8)?,
        len: bytes.len().checked_sub(header)?,
    })
}

fn icmp_error(protocol: u8, bytes: &[u8]) -> Body {
    let (Some(&kind), Some(&code)) = (bytes.first(), bytes.get(1)) else {
        return Body::Other;
    };
    let what = match (protocol, kind, code) {
        (ICMP, 3, 3) | (ICMPV6, 1, 4) => "port unreachable",
        (ICMP, 3, 13) | (ICMPV6, 1, 1) => "prohibited",
        (ICMP, 3, _) | (ICMPV6, 1, _) => "unreachable",
        (ICMP, 11, _) | (ICMPV6, 3, _) => "time exceeded",
        _ => return Body::Other,
    };
    let quoted = bytes.get(8..).and_then(quoted_endpoints);
    Body::IcmpError { what, quoted }
}

/// A quotation may end after the first eight bytes of the segment: the ports are all that is sure.
fn quoted_endpoints(packet: &[u8]) -> Option<(SocketAddr, SocketAddr)> {
    let (source, destination) = addresses(packet)?;
    let (protocol, bytes) = payload(packet)?;
    let port = |at: usize| Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?));
    if protocol != TCP {
        return None;
    }
    Some((
        SocketAddr::new(source, port(0)?),
        SocketAddr::new(destination, port(2)?),
    ))
}

#[cfg(test)]
#[path = "packet_tests.rs"]
pub(super) mod tests;
