//! The packets that a box makes itself: RST, and ICMP errors.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    Icmpv4Message, Icmpv4Packet, Icmpv6Message, Icmpv6Packet, IpProtocol, Ipv4Packet, Ipv4Repr,
    Ipv6Packet, Ipv6Repr, TcpControl, TcpPacket, TcpRepr, TcpSeqNumber,
};

use super::wire::{ICMP_HEAD, Segment, V4_HEADER, V6_HEADER};

/// As much is quoted as fits into 576 bytes (RFC 1812, section 4.3.2.3) ...
const V4_QUOTE: usize = 576 - V4_HEADER - ICMP_HEAD;
/// ... and into the smallest IPv6 MTU (RFC 4443, section 2.4).
const V6_QUOTE: usize = 1280 - V6_HEADER - ICMP_HEAD;

const HOP_LIMIT: u8 = 64;

/// What an ICMP error says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Error {
    PortUnreachable,
    Prohibited,
    TimeExceeded,
}

impl Error {
    fn v4(self) -> (Icmpv4Message, u8) {
        match self {
            Self::PortUnreachable => (Icmpv4Message::DstUnreachable, 3),
            Self::Prohibited => (Icmpv4Message::DstUnreachable, 13),
            Self::TimeExceeded => (Icmpv4Message::TimeExceeded, 0),
        }
    }

    fn v6(self) -> (Icmpv6Message, u8) {
        match self {
            Self::PortUnreachable => (Icmpv6Message::DstUnreachable, 4),
            Self::Prohibited => (Icmpv6Message::DstUnreachable, 1),
            Self::TimeExceeded => (Icmpv6Message::TimeExceeded, 0),
        }
    }
}

/// The RST that answers a segment for which there is no connection (RFC 9293, section 3.5.2); none for a RST.
pub(super) fn reset(
    source: SocketAddr,
    destination: SocketAddr,
    segment: &Segment,
) -> Option<Vec<u8>> {
    if segment.rst {
        return None;
    }
    let (seq, ack) = if segment.ack {
        (segment.ack_number, None)
    } else {
        (0, Some(segment.seq.wrapping_add(segment.length)))
    };
    let number = |value: u32| TcpSeqNumber(value as i32);
    let tcp = TcpRepr {
        src_port: destination.port(),
        dst_port: source.port(),
        control: TcpControl::Rst,
        seq_number: number(seq),
        ack_number: ack.map(number),
        window_len: 0,
        window_scale: None,
        max_seg_size: None,
        sack_permitted: false,
        sack_ranges: [None; 3],
        timestamp: None,
        payload: &[],
    };
    let (from, to) = (destination.ip(), source.ip());
    let mut packet = envelope(from, to, IpProtocol::Tcp, tcp.buffer_len())?;
    let header = packet.len() - tcp.buffer_len();
    tcp.emit(
        &mut TcpPacket::new_unchecked(&mut packet[header..]),
        &from.into(),
        &to.into(),
        &ChecksumCapabilities::default(),
    );
    Some(packet)
}

/// The ICMP error about a packet, from an address of the box to the packet's sender.
pub(super) fn icmp(error: Error, from: IpAddr, to: IpAddr, about: &[u8]) -> Option<Vec<u8>> {
    match (from, to) {
        (IpAddr::V4(_), IpAddr::V4(_)) => {
            let quote = &about[..about.len().min(V4_QUOTE)];
            let mut packet = envelope(from, to, IpProtocol::Icmp, ICMP_HEAD + quote.len())?;
            let (kind, code) = error.v4();
            packet[V4_HEADER + ICMP_HEAD..].copy_from_slice(quote);
            let mut message = Icmpv4Packet::new_unchecked(&mut packet[V4_HEADER..]);
            message.set_msg_type(kind);
            message.set_msg_code(code);
            message.fill_checksum();
            Some(packet)
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            let quote = &about[..about.len().min(V6_QUOTE)];
            let mut packet = envelope(from, to, IpProtocol::Icmpv6, ICMP_HEAD + quote.len())?;
            let (kind, code) = error.v6();
            packet[V6_HEADER + ICMP_HEAD..].copy_from_slice(quote);
            let mut message = Icmpv6Packet::new_unchecked(&mut packet[V6_HEADER..]);
            message.set_msg_type(kind);
            message.set_msg_code(code);
            message.fill_checksum(&source, &destination);
            Some(packet)
        }
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => None,
    }
}

/// A packet with an IP header and room for that much.
fn envelope(from: IpAddr, to: IpAddr, protocol: IpProtocol, payload: usize) -> Option<Vec<u8>> {
    match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => Some(envelope_v4(from, to, protocol, payload)),
        (IpAddr::V6(from), IpAddr::V6(to)) => Some(envelope_v6(from, to, protocol, payload)),
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => None,
    }
}

fn envelope_v4(from: Ipv4Addr, to: Ipv4Addr, protocol: IpProtocol, payload: usize) -> Vec<u8> {
    let header = Ipv4Repr {
        src_addr: from,
        dst_addr: to,
        next_header: protocol,
        payload_len: payload,
        hop_limit: HOP_LIMIT,
    };
    let mut packet = vec![0; V4_HEADER + payload];
    header.emit(
        &mut Ipv4Packet::new_unchecked(&mut packet[..]),
        &ChecksumCapabilities::default(),
    );
    packet
}

fn envelope_v6(from: Ipv6Addr, to: Ipv6Addr, protocol: IpProtocol, payload: usize) -> Vec<u8> {
    let header = Ipv6Repr {
        src_addr: from,
        dst_addr: to,
        next_header: protocol,
        payload_len: payload,
        hop_limit: HOP_LIMIT,
    };
    let mut packet = vec![0; V6_HEADER + payload];
    header.emit(&mut Ipv6Packet::new_unchecked(&mut packet[..]));
    packet
}
