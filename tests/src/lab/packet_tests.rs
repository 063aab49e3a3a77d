use super::*;

/// A SYN from 198.51.100.1:40001 to 203.0.113.1:40002.
pub(in crate::lab) fn tcp4(ttl: u8, data: &[u8]) -> Vec<u8> {
    let total = u16::try_from(40 + data.len()).unwrap().to_be_bytes();
    let mut packet = vec![0x45, 0, total[0], total[1], 0, 0, 0x40, 0, 0, TCP, 0, 0];
    packet.extend_from_slice(&[198, 51, 100, 1, 203, 0, 113, 1]);
    packet.extend_from_slice(&syn());
    packet.extend_from_slice(data);
    set_hop_limit(&mut packet, ttl);
    packet
}

/// The same between 2001:db8:a::10 and 2001:db8:b::10.
pub(in crate::lab) fn tcp6(hop_limit: u8, data: &[u8]) -> Vec<u8> {
    let length = u16::try_from(20 + data.len()).unwrap().to_be_bytes();
    let mut packet = vec![0x60, 0, 0, 0, length[0], length[1], TCP, hop_limit];
    packet.extend_from_slice(&"2001:db8:a::10".parse::<Ipv6Addr>().unwrap().octets());
    packet.extend_from_slice(&"2001:db8:b::10".parse::<Ipv6Addr>().unwrap().octets());
    packet.extend_from_slice(&syn());
    packet.extend_from_slice(data);
    packet
}

fn syn() -> [u8; 20] {
    let mut header = [0; 20];
    header[..2].copy_from_slice(&40001u16.to_be_bytes());
    header[2..4].copy_from_slice(&40002u16.to_be_bytes());
    header[4..8].copy_from_slice(&0x0102_0304_u32.to_be_bytes());
    header[12] = 5 << 4;
    header[13] = 0x02;
    header
}

#[test]
fn reads_both_families() {
    for packet in [tcp4(64, b"abc"), tcp6(64, b"abc")] {
        let summary = Summary::of(&packet).unwrap();
        let (source, destination, segment) = summary.tcp().unwrap();
        assert_eq!((source.port(), destination.port()), (40001, 40002));
        assert_eq!((segment.seq, segment.len), (0x0102_0304, 3));
        assert_eq!(segment.flags.to_string(), "SYN");
        assert_eq!(summary.hop_limit, 64);
    }
}

#[test]
fn changing_the_ttl_keeps_the_header_checksum_right() {
    let mut packet = tcp4(64, b"abc");
    set_hop_limit(&mut packet, 60);
    assert_eq!(hop_limit(&packet), Some(60));
    assert_eq!(checksum(&[&packet[..20]]), 0);
    let mut packet = tcp6(64, b"abc");
    set_hop_limit(&mut packet, 60);
    assert_eq!(hop_limit(&packet), Some(60));
}

#[test]
fn checksum_of_the_rfc() {
    // RFC 1071, section 3.
    assert_eq!(
        checksum(&[&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]]),
        !0xddf2
    );
    assert_eq!(checksum(&[&[0x00, 0x01], &[0xf2]]), !0xf201);
}

#[test]
fn a_cut_packet_is_no_packet() {
    let whole = tcp4(64, b"abc");
    for cut in 0..whole.len() {
        // Never a panic; what is read from the front part is allowed to be anything.
        let _ = Summary::of(&whole[..cut]);
        let mut part = whole[..cut].to_vec();
        set_hop_limit(&mut part, 3);
    }
    assert_eq!(Summary::of(&[]), None);
}

#[test]
fn a_later_fragment_is_not_a_segment() {
    let mut packet = tcp4(64, b"abc");
    packet[7] = 1;
    assert_eq!(Summary::of(&packet), None);
}
