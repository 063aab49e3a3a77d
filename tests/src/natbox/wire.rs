//! Reading the headers that a NAT looks at, and rewriting the fields that it changes.
//!
//! Checksums are adjusted by the difference (RFC 1624), not computed anew: a segment that came damaged stays damaged,
//! and a quoted segment of which only the head is there can be translated too.

use std::net::{IpAddr, SocketAddr};

use smoltcp::wire::{
    Icmpv4Message, Icmpv4Packet, Icmpv6Packet, IpProtocol, IpVersion, Ipv4Packet, Ipv6Packet,
    TcpOption, TcpPacket,
};

use super::verdict::Reason;

/// Length of an IPv4 header without options, and of an IPv6 header.
pub(super) const V4_HEADER: usize = 20;
pub(super) const V6_HEADER: usize = 40;
/// Length of the head of an ICMP error, before the quotation.
pub(super) const ICMP_HEAD: usize = 8;
/// As much of a quoted segment as is sure to be there (RFC 792): ports and sequence number.
const PORTS: usize = 8;
/// A quoted segment's checksum can be adjusted if it reaches up to here.
const CHECKSUM_END: usize = 18;

/// What there is to know of a packet.
#[derive(Debug, Clone)]
pub(super) struct Headers {
    pub(super) source: IpAddr,
    pub(super) destination: IpAddr,
    pub(super) hop_limit: u8,
    pub(super) body: Body,
}

#[derive(Debug, Clone)]
pub(super) enum Body {
    Tcp(Segment),
    IcmpError(Quote),
}

/// A TCP segment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Segment {
    pub(super) source: u16,
    pub(super) destination: u16,
    pub(super) syn: bool,
    pub(super) ack: bool,
    pub(super) fin: bool,
    pub(super) rst: bool,
    pub(super) seq: u32,
    pub(super) ack_number: u32,
    /// As on the wire, not scaled.
    pub(super) window: u16,
    pub(super) scale: Option<u8>,
    /// Sequence numbers that it takes up.
    pub(super) length: u32,
}

/// The TCP segment that an ICMP error is about: the endpoints that it was sent from and to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Quote {
    pub(super) source: SocketAddr,
    pub(super) destination: SocketAddr,
    /// Where in the packet the quotation begins.
    at: usize,
}

/// Which endpoint of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Source,
    Destination,
}

impl Segment {
    /// Whether it asks for a connection.
    pub(super) fn opens(&self) -> bool {
        self.syn && !self.ack && !self.rst
    }
}

impl Headers {
    pub(super) fn read(packet: &[u8]) -> Result<Self, Reason> {
        match version(packet).ok_or(Reason::Malformed)? {
            IpVersion::Ipv4 => Self::read_v4(packet),
            IpVersion::Ipv6 => Self::read_v6(packet),
        }
    }

    /// Both endpoints of a segment of this packet.
    pub(super) fn endpoints(&self, segment: &Segment) -> (SocketAddr, SocketAddr) {
        (
            SocketAddr::new(self.source, segment.source),
            SocketAddr::new(self.destination, segment.destination),
        )
    }

    fn read_v4(packet: &[u8]) -> Result<Self, Reason> {
        let ip = Ipv4Packet::new_checked(packet).map_err(|_| Reason::Malformed)?;
        let header = usize::from(ip.header_len());
        if header < V4_HEADER || !ip.verify_checksum() {
            return Err(Reason::Malformed);
        }
        if ip.more_frags() || ip.frag_offset() != 0 {
            return Err(Reason::Fragment);
        }
        let protocol = ip.next_header();
        let body = if protocol == IpProtocol::Tcp {
            Body::Tcp(read_tcp(ip.payload())?)
        } else if protocol == IpProtocol::Icmp {
            let icmp = Icmpv4Packet::new_checked(ip.payload()).map_err(|_| Reason::Malformed)?;
            if !icmp.verify_checksum() {
                return Err(Reason::Malformed);
            }
            let is_error = matches!(
                icmp.msg_type(),
                Icmpv4Message::DstUnreachable
                    | Icmpv4Message::TimeExceeded
                    | Icmpv4Message::ParamProblem
            );
            if !is_error {
                return Err(Reason::OtherProtocol);
            }
            Body::IcmpError(read_quote(packet, header + ICMP_HEAD)?)
        } else {
            return Err(Reason::OtherProtocol);
        };
        Ok(Self {
            source: ip.src_addr().into(),
            destination: ip.dst_addr().into(),
            hop_limit: ip.hop_limit(),
            body,
        })
    }

    /// Extension headers are not followed: no TCP has any.
    fn read_v6(packet: &[u8]) -> Result<Self, Reason> {
        let ip = Ipv6Packet::new_checked(packet).map_err(|_| Reason::Malformed)?;
        let protocol = ip.next_header();
        let body = if protocol == IpProtocol::Tcp {
            Body::Tcp(read_tcp(ip.payload())?)
        } else if protocol == IpProtocol::Icmpv6 {
            let icmp = Icmpv6Packet::new_checked(ip.payload()).map_err(|_| Reason::Malformed)?;
            if !icmp.verify_checksum(&ip.src_addr(), &ip.dst_addr()) {
                return Err(Reason::Malformed);
            }
            if !icmp.msg_type().is_error() {
                return Err(Reason::OtherProtocol);
            }
            Body::IcmpError(read_quote(packet, V6_HEADER + ICMP_HEAD)?)
        } else if protocol == IpProtocol::Ipv6Frag {
            return Err(Reason::Fragment);
        } else {
            return Err(Reason::OtherProtocol);
        };
        Ok(Self {
            source: ip.src_addr().into(),
            destination: ip.dst_addr().into(),
            hop_limit: ip.hop_limit(),
            body,
        })
    }
}

fn read_tcp(bytes: &[u8]) -> Result<Segment, Reason> {
    let tcp = TcpPacket::new_checked(bytes).map_err(|_| Reason::Malformed)?;
    Ok(Segment {
        source: tcp.src_port(),
        destination: tcp.dst_port(),
        syn: tcp.syn(),
        ack: tcp.ack(),
        fin: tcp.fin(),
        rst: tcp.rst(),
        seq: tcp.seq_number().0 as u32,
        ack_number: tcp.ack_number().0 as u32,
        window: tcp.window_len(),
        scale: tcp.syn().then(|| scale(tcp.options())).flatten(),
        length: tcp.segment_len() as u32,
    })
}

fn scale(mut options: &[u8]) -> Option<u8> {
    while let Ok((rest, option)) = TcpOption::parse(options) {
        if let TcpOption::WindowScale(shift) = option {
            // More than 14 is taken for 14 (RFC 7323, section 2.3).
            return Some(shift.min(14));
        }
        if option == TcpOption::EndOfList {
            return None;
        }
        options = rest;
    }
    None
}

fn read_quote(packet: &[u8], at: usize) -> Result<Quote, Reason> {
    let quoted = packet.get(at..).ok_or(Reason::Malformed)?;
    let (source, destination, protocol, header): (IpAddr, IpAddr, _, _) = match version(quoted) {
        // Not checked by smoltcp: the lengths in the headers are those of the whole packet.
        Some(IpVersion::Ipv4) if quoted.len() >= V4_HEADER => {
            let ip = Ipv4Packet::new_unchecked(quoted);
            let header = usize::from(ip.header_len()).max(V4_HEADER);
            (
                ip.src_addr().into(),
                ip.dst_addr().into(),
                ip.next_header(),
                header,
            )
        }
        Some(IpVersion::Ipv6) if quoted.len() >= V6_HEADER => {
            let ip = Ipv6Packet::new_unchecked(quoted);
            (
                ip.src_addr().into(),
                ip.dst_addr().into(),
                ip.next_header(),
                V6_HEADER,
            )
        }
        Some(_) | None => return Err(Reason::Malformed),
    };
    if protocol != IpProtocol::Tcp {
        return Err(Reason::OtherProtocol);
    }
    let segment = quoted
        .get(header..)
        .filter(|segment| segment.len() >= PORTS)
        .ok_or(Reason::Malformed)?;
    let tcp = TcpPacket::new_unchecked(segment);
    Ok(Quote {
        source: SocketAddr::new(source, tcp.src_port()),
        destination: SocketAddr::new(destination, tcp.dst_port()),
        at,
    })
}

/// Gives a segment another endpoint. IPv6 is left as it is: the box never translates it.
pub(super) fn rewrite(packet: &mut [u8], end: End, to: SocketAddr) {
    let IpAddr::V4(new) = to.ip() else { return };
    let old = rewrite_address(packet, end, to.ip());
    let header = usize::from(Ipv4Packet::new_unchecked(&*packet).header_len()).max(V4_HEADER);
    let Some(segment) = packet
        .get_mut(header..)
        .filter(|segment| segment.len() >= PORTS)
    else {
        return;
    };
    let whole = segment.len() >= CHECKSUM_END;
    let mut tcp = TcpPacket::new_unchecked(segment);
    let port = match end {
        End::Source => tcp.src_port(),
        End::Destination => tcp.dst_port(),
    };
    match end {
        End::Source => tcp.set_src_port(to.port()),
        End::Destination => tcp.set_dst_port(to.port()),
    }
    if whole {
        let sum = adjusted(tcp.checksum(), old, u32::from(new));
        tcp.set_checksum(adjusted(sum, port.into(), to.port().into()));
    }
}

/// Gives a packet another address; returns the old one where it is of IPv4.
pub(super) fn rewrite_address(packet: &mut [u8], end: End, to: IpAddr) -> u32 {
    let IpAddr::V4(new) = to else { return 0 };
    let mut ip = Ipv4Packet::new_unchecked(packet);
    let old = match end {
        End::Source => ip.src_addr(),
        End::Destination => ip.dst_addr(),
    };
    match end {
        End::Source => ip.set_src_addr(new),
        End::Destination => ip.set_dst_addr(new),
    }
    ip.set_checksum(adjusted(ip.checksum(), u32::from(old), u32::from(new)));
    u32::from(old)
}

/// Gives the segment quoted by an ICMP error another endpoint.
pub(super) fn rewrite_quote(packet: &mut [u8], quote: &Quote, end: End, to: SocketAddr) {
    if to.is_ipv6() {
        return;
    }
    rewrite(&mut packet[quote.at..], end, to);
    let mut icmp = Icmpv4Packet::new_unchecked(&mut packet[quote.at - ICMP_HEAD..]);
    icmp.fill_checksum();
}

/// Sets the hop limit.
pub(super) fn set_hop_limit(packet: &mut [u8], to: u8) {
    match version(packet) {
        Some(IpVersion::Ipv4) => {
            let mut ip = Ipv4Packet::new_unchecked(packet);
            let old = u32::from(ip.hop_limit()) << 8;
            ip.set_hop_limit(to);
            ip.set_checksum(adjusted(ip.checksum(), old, u32::from(to) << 8));
        }
        Some(IpVersion::Ipv6) => Ipv6Packet::new_unchecked(packet).set_hop_limit(to),
        None => {}
    }
}

fn version(packet: &[u8]) -> Option<IpVersion> {
    // smoltcp looks at the first byte without asking whether there is one.
    if packet.is_empty() {
        return None;
    }
    IpVersion::of_packet(packet).ok()
}

/// The internet checksum after some 32 bits that it covers were changed (RFC 1624, equation 3).
fn adjusted(sum: u16, old: u32, new: u32) -> u16 {
    let halves = |word: u32| (word >> 16) + (word & 0xffff);
    let mut total = u32::from(!sum) + halves(!old) + halves(new);
    while total > 0xffff {
        total = halves(total);
    }
    !(total as u16)
}
