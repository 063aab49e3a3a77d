//! The bytes of a SYN that left, and of a SYN-ACK that no socket makes.

use std::net::{IpAddr, SocketAddr};

use proto::{Endpoint, Segment};
use smoltcp::wire::{
    IpAddress, IpProtocol, Ipv4Packet, Ipv6Packet, TcpOption, TcpPacket, TcpSeqNumber,
};

/// A SYN that left the host.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) struct Syn {
    pub(super) from: Endpoint,
    pub(super) to: Endpoint,
    pub(super) sequence: u32,
}

/// Reads an IP packet; `None` for anything but a SYN without ACK.
pub(super) fn parse_syn(packet: &[u8]) -> Option<Syn> {
    let version = packet.first()? >> 4;
    let (from, to, protocol, segment): (IpAddr, IpAddr, _, _) = match version {
        4 => {
            let ip = Ipv4Packet::new_checked(packet).ok()?;
            (
                ip.src_addr().into(),
                ip.dst_addr().into(),
                ip.next_header(),
                ip.payload(),
            )
        }
        6 => {
            let ip = Ipv6Packet::new_checked(packet).ok()?;
            (
                ip.src_addr().into(),
                ip.dst_addr().into(),
                ip.next_header(),
                ip.payload(),
            )
        }
        _ => return None,
    };
    if protocol != IpProtocol::Tcp {
        return None;
    }
    let tcp = TcpPacket::new_checked(segment).ok()?;
    let is_syn = tcp.syn() && !tcp.ack() && !tcp.rst();
    is_syn.then(|| Syn {
        from: Endpoint::new(from, tcp.src_port()),
        to: Endpoint::new(to, tcp.dst_port()),
        // Its numbers are signed, for comparing; the bits are the same.
        sequence: tcp.seq_number().0.cast_unsigned(),
    })
}

const IPV4_HEADER: usize = 20;
const IPV6_HEADER: usize = 40;

/// What a plain host sends with.
const HOPS: u8 = 64;

/// The largest that goes without window scaling, which a SYN-ACK without the
/// option turns off at both ends: the other end's SYN-ACK is made here as well,
/// or by the other side in the same way.
const WINDOW: u16 = u16::MAX;

/// Segments that pass everywhere: 1,280, the smallest MTU of IPv6, and with it
/// most tunnels, without the headers. Routers on the way correct this option in
/// SYNs that they see a socket send; nobody might correct this one.
const fn largest_segment(ip_header: usize) -> u16 {
    (1_280 - ip_header - 20) as u16
}

/// Header with two options: largest segment (4 bytes), selective
/// acknowledgement (2), and 2 to fill.
const TCP_HEADER: usize = 20 + 8;

/// The SYN-ACK as a whole IP packet, from `source`.
///
/// `None` if the two addresses are of different families.
pub(super) fn craft(segment: &Segment, source: IpAddr) -> Option<Vec<u8>> {
    let (from, to) = (IpAddress::from(source), IpAddress::from(segment.remote.ip));
    let ip_header = match source {
        IpAddr::V4(_) => IPV4_HEADER,
        IpAddr::V6(_) => IPV6_HEADER,
    };
    let mut packet = vec![0; ip_header + TCP_HEADER];
    match (source, segment.remote.ip) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let mut ip = Ipv4Packet::new_unchecked(&mut packet);
            ip.set_version(4);
            ip.set_header_len(IPV4_HEADER as u8);
            ip.set_total_len((IPV4_HEADER + TCP_HEADER) as u16);
            ip.set_dont_frag(true);
            ip.set_hop_limit(HOPS);
            ip.set_next_header(IpProtocol::Tcp);
            ip.set_src_addr(source);
            ip.set_dst_addr(destination);
            ip.fill_checksum();
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            let mut ip = Ipv6Packet::new_unchecked(&mut packet);
            ip.set_version(6);
            ip.set_payload_len(TCP_HEADER as u16);
            ip.set_next_header(IpProtocol::Tcp);
            ip.set_hop_limit(HOPS);
            ip.set_src_addr(source);
            ip.set_dst_addr(destination);
        }
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => return None,
    }
    let mut tcp = TcpPacket::new_unchecked(&mut packet[ip_header..]);
    tcp.set_src_port(segment.local.port);
    tcp.set_dst_port(segment.remote.port);
    tcp.set_seq_number(TcpSeqNumber(segment.sequence.cast_signed()));
    tcp.set_ack_number(TcpSeqNumber(segment.acknowledgement.cast_signed()));
    tcp.set_header_len(TCP_HEADER as u8);
    tcp.clear_flags();
    tcp.set_syn(true);
    tcp.set_ack(true);
    tcp.set_window_len(WINDOW);
    let options = tcp.options_mut();
    let options = TcpOption::MaxSegmentSize(largest_segment(ip_header)).emit(options);
    let options = TcpOption::SackPermitted.emit(options);
    TcpOption::EndOfList.emit(options);
    tcp.fill_checksum(&from, &to);
    Some(packet)
}

/// Where a raw socket is to send it: without a port, which the kernel would take
/// for a protocol.
pub(super) fn destination(remote: Endpoint) -> SocketAddr {
    SocketAddr::new(remote.ip, 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(local: &str, remote: &str) -> Segment {
        let end = |text: &str| Endpoint::from(text.parse::<SocketAddr>().unwrap());
        Segment {
            local: end(local),
            remote: end(remote),
            sequence: 0xdead_beef,
            acknowledgement: 0x0102_0304,
        }
    }

    #[test]
    fn a_crafted_syn_ack_has_right_checksums_and_is_no_syn() {
        for (local, remote) in [
            ("192.0.2.1:40000", "198.51.100.2:50000"),
            ("[2001:db8::1]:40000", "[2001:db8::2]:50000"),
        ] {
            let segment = segment(local, remote);
            let packet = craft(&segment, segment.local.ip).unwrap();
            assert_eq!(parse_syn(&packet), None);
            let payload = match segment.local.ip {
                IpAddr::V4(_) => {
                    let ip = Ipv4Packet::new_checked(&packet[..]).unwrap();
                    assert!(ip.verify_checksum());
                    &packet[IPV4_HEADER..]
                }
                IpAddr::V6(_) => &packet[IPV6_HEADER..],
            };
            let tcp = TcpPacket::new_checked(payload).unwrap();
            assert!(tcp.verify_checksum(
                &IpAddress::from(segment.local.ip),
                &IpAddress::from(segment.remote.ip)
            ));
            assert!(tcp.syn() && tcp.ack());
            assert_eq!(tcp.seq_number().0.cast_unsigned(), 0xdead_beef);
            assert_eq!(tcp.ack_number().0, 0x0102_0304);
            assert!(tcp.selective_ack_permitted().unwrap());
        }
    }

    #[test]
    fn families_are_not_mixed_and_rubbish_is_no_syn() {
        let segment = segment("0.0.0.0:1", "192.0.2.1:2");
        assert_eq!(craft(&segment, "2001:db8::1".parse().unwrap()), None);
        for rubbish in [&[][..], &[0x45], &[0x60; 20], &[0xff; 60]] {
            assert_eq!(parse_syn(rubbish), None);
        }
    }
}
