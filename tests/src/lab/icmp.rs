//! The errors that a router on the path sends back: ICMP (RFC 792) and ICMPv6 (RFC 4443) time exceeded.

use std::net::IpAddr;

use super::packet::{self, ICMP, ICMPV6};

/// As much of the packet is quoted as fits into 576 bytes (RFC 1812, section 4.3.2.3) ...
const V4_QUOTE: usize = 576 - 20 - 8;
/// ... and into the smallest IPv6 MTU (RFC 4443, section 3.3).
const V6_QUOTE: usize = 1280 - 40 - 8;

/// The answer of the router `hop` to a packet whose TTL or hop limit ended there.
///
/// `None` where no answer may be sent: to an ICMP error, to a fragment, or to what is not IP.
pub(super) fn time_exceeded(packet: &[u8], hop: IpAddr) -> Option<Vec<u8>> {
    let (source, _) = packet::addresses(packet)?;
    let (protocol, body) = packet::payload(packet)?;
    if is_icmp_error(protocol, body) {
        return None;
    }
    // What arrived at the router had one hop left: that is what it quotes.
    let mut quote = packet.to_vec();
    packet::set_hop_limit(&mut quote, 1);
    match (hop, source) {
        (IpAddr::V4(hop), IpAddr::V4(to)) => {
            quote.truncate(V4_QUOTE);
            let mut message = vec![11, 0, 0, 0, 0, 0, 0, 0];
            message.extend_from_slice(&quote);
            let sum = packet::checksum(&[&message]);
            message[2..4].copy_from_slice(&sum.to_be_bytes());
            let length = u16::try_from(20 + message.len()).ok()?.to_be_bytes();
            let mut answer = vec![0x45, 0, length[0], length[1], 0, 0, 0, 0, 64, ICMP, 0, 0];
            answer.extend_from_slice(&hop.octets());
            answer.extend_from_slice(&to.octets());
            answer.extend_from_slice(&message);
            packet::set_hop_limit(&mut answer, 64);
            Some(answer)
        }
        (IpAddr::V6(hop), IpAddr::V6(to)) => {
            quote.truncate(V6_QUOTE);
            let mut message = vec![3, 0, 0, 0, 0, 0, 0, 0];
            message.extend_from_slice(&quote);
            let length = u16::try_from(message.len()).ok()?.to_be_bytes();
            let pseudo = [0, 0, length[0], length[1], 0, 0, 0, ICMPV6];
            let sum = packet::checksum(&[&hop.octets(), &to.octets(), &pseudo, &message]);
            message[2..4].copy_from_slice(&sum.to_be_bytes());
            let mut answer = vec![0x60, 0, 0, 0, length[0], length[1], ICMPV6, 64];
            answer.extend_from_slice(&hop.octets());
            answer.extend_from_slice(&to.octets());
            answer.extend_from_slice(&message);
            Some(answer)
        }
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => None,
    }
}

fn is_icmp_error(protocol: u8, body: &[u8]) -> bool {
    match (protocol, body.first()) {
        // Unreachable, source quench, redirect, time exceeded, parameter problem.
        (ICMP, Some(kind)) => matches!(kind, 3 | 4 | 5 | 11 | 12),
        (ICMPV6, Some(kind)) => kind & 0x80 == 0,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::packet::{
        Body, Summary,
        tests::{tcp4, tcp6},
    };

    #[test]
    fn ipv4_answer_is_whole_and_quotes_the_segment() {
        let packet = tcp4(1, b"x");
        let hop: IpAddr = "198.18.1.2".parse().unwrap();
        let answer = time_exceeded(&packet, hop).unwrap();
        // A sum over data that contains its own checksum is zero.
        assert_eq!(packet::checksum(&[&answer[..20]]), 0);
        assert_eq!(packet::checksum(&[&answer[20..]]), 0);
        assert_eq!(
            usize::from(u16::from_be_bytes([answer[2], answer[3]])),
            answer.len()
        );
        let summary = Summary::of(&answer).unwrap();
        let original = Summary::of(&packet).unwrap();
        let (source, destination, _) = original.tcp().unwrap();
        assert_eq!(summary.source, hop);
        assert_eq!(summary.destination, original.source);
        assert_eq!(
            summary.body,
            Body::IcmpError {
                what: "time exceeded",
                quoted: Some((source, destination))
            }
        );
    }

    #[test]
    fn ipv4_quotation_has_one_hop_left_and_a_right_checksum() {
        let answer = time_exceeded(&tcp4(3, b""), "198.18.1.2".parse().unwrap()).unwrap();
        let quoted = &answer[28..];
        assert_eq!(packet::hop_limit(quoted), Some(1));
        assert_eq!(packet::checksum(&[&quoted[..20]]), 0);
    }

    #[test]
    fn ipv6_answer_is_whole_and_quotes_the_segment() {
        let packet = tcp6(1, &[7; 1400]);
        let hop: IpAddr = "2001:db8:ffff::2".parse().unwrap();
        let answer = time_exceeded(&packet, hop).unwrap();
        assert_eq!(answer.len(), 1280);
        let length = [answer[4], answer[5]];
        let pseudo = [0, 0, length[0], length[1], 0, 0, 0, ICMPV6];
        assert_eq!(
            packet::checksum(&[&answer[8..40], &pseudo, &answer[40..]]),
            0
        );
        let summary = Summary::of(&answer).unwrap();
        assert!(matches!(
            summary.body,
            Body::IcmpError {
                what: "time exceeded",
                quoted: Some(_)
            }
        ));
    }

    #[test]
    fn errors_are_not_answered_with_errors() {
        let error = time_exceeded(&tcp4(1, b""), "198.18.1.2".parse().unwrap()).unwrap();
        assert_eq!(time_exceeded(&error, "198.18.1.3".parse().unwrap()), None);
        let error = time_exceeded(&tcp6(1, b""), "2001:db8:ffff::2".parse().unwrap()).unwrap();
        assert_eq!(
            time_exceeded(&error, "2001:db8:ffff::3".parse().unwrap()),
            None
        );
    }

    #[test]
    fn families_do_not_mix() {
        assert_eq!(
            time_exceeded(&tcp4(1, b""), "2001:db8::1".parse().unwrap()),
            None
        );
    }
}
