//! A box on a bench: segments in short words, and every packet that leaves is checked from the outside in.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    Icmpv4Packet, Icmpv6Packet, IpProtocol, IpRepr, IpVersion, Ipv4Packet, Ipv6Packet, TcpControl,
    TcpPacket, TcpRepr, TcpSeqNumber,
};
use tcp_punch_proto::Instant;

use crate::natbox::{Addresses, Config, NatBox, Reason, Side, Verdict, preset};

/// The box's addresses.
pub(super) const OUTER: &str = "198.51.100.1";
pub(super) const INNER: &str = "192.168.1.1";
pub(super) const OUTER6: &str = "2001:db8:a::1";
pub(super) const INNER6: &str = "2001:db8:a:1::1";
/// Two hosts behind it.
pub(super) const A: &str = "192.168.1.10:5000";
pub(super) const A2: &str = "192.168.1.20:5000";
pub(super) const A6: &str = "[2001:db8:a:1::10]:5000";
/// And others outside.
pub(super) const B: &str = "203.0.113.1:6000";
pub(super) const S: &str = "192.0.2.1:7000";
pub(super) const B6: &str = "[2001:db8:b::1]:6000";

pub(super) const SECOND: Duration = Duration::from_secs(1);

/// The first sequence numbers that [`Tcp`]s use.
pub(super) const OURS: u32 = 0xffff_fff0;
pub(super) const THEIRS: u32 = 1_000;

/// A segment to be sent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tcp {
    pub(super) control: TcpControl,
    pub(super) seq: u32,
    pub(super) ack: Option<u32>,
    pub(super) bytes: usize,
    pub(super) hops: u8,
}

pub(super) fn syn(seq: u32) -> Tcp {
    Tcp {
        control: TcpControl::Syn,
        seq,
        ack: None,
        bytes: 0,
        hops: 64,
    }
}

pub(super) fn syn_ack(seq: u32, ack: u32) -> Tcp {
    Tcp {
        ack: Some(ack),
        ..syn(seq)
    }
}

pub(super) fn ack(seq: u32, ack: u32) -> Tcp {
    Tcp {
        control: TcpControl::None,
        ..syn_ack(seq, ack)
    }
}

pub(super) fn fin(seq: u32, number: u32) -> Tcp {
    Tcp {
        control: TcpControl::Fin,
        ..ack(seq, number)
    }
}

pub(super) fn rst(seq: u32, number: Option<u32>) -> Tcp {
    Tcp {
        control: TcpControl::Rst,
        ack: number,
        ..syn(seq)
    }
}

impl Tcp {
    pub(super) fn bytes(self, bytes: usize) -> Self {
        Self { bytes, ..self }
    }

    pub(super) fn hops(self, hops: u8) -> Self {
        Self { hops, ..self }
    }

    pub(super) fn packet(self, from: SocketAddr, to: SocketAddr) -> Vec<u8> {
        let payload = vec![0x5a; self.bytes];
        let opening = self.control == TcpControl::Syn;
        let tcp = TcpRepr {
            src_port: from.port(),
            dst_port: to.port(),
            control: self.control,
            seq_number: TcpSeqNumber(self.seq as i32),
            ack_number: self.ack.map(|ack| TcpSeqNumber(ack as i32)),
            window_len: 0xfaf0,
            window_scale: opening.then_some(7),
            max_seg_size: opening.then_some(1460),
            sack_permitted: opening,
            sack_ranges: [None; 3],
            timestamp: None,
            payload: &payload,
        };
        let ip = IpRepr::new(
            from.ip().into(),
            to.ip().into(),
            IpProtocol::Tcp,
            tcp.buffer_len(),
            self.hops,
        );
        let caps = ChecksumCapabilities::default();
        let mut packet = vec![0; ip.buffer_len()];
        ip.emit(&mut packet[..], &caps);
        tcp.emit(
            &mut TcpPacket::new_unchecked(&mut packet[ip.header_len()..]),
            &from.ip().into(),
            &to.ip().into(),
            &caps,
        );
        packet
    }
}

/// What left the box.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Seen {
    /// A segment: from, to, and its flags in words.
    Tcp(SocketAddr, SocketAddr, &'static str),
    /// An ICMP error: from, to, type and code, and the endpoints it quotes.
    Icmp(IpAddr, IpAddr, (u8, u8), (SocketAddr, SocketAddr)),
}

/// Reads a packet; every checksum in it must be right.
pub(super) fn seen(packet: &[u8]) -> Seen {
    let (source, destination, protocol, header) = ends(packet);
    match protocol {
        IpProtocol::Tcp => {
            let tcp = TcpPacket::new_checked(&packet[header..]).unwrap();
            assert!(tcp.verify_checksum(&source.into(), &destination.into()));
            let flags = match (tcp.syn(), tcp.ack(), tcp.fin(), tcp.rst()) {
                (_, _, _, true) => "RST",
                (true, false, ..) => "SYN",
                (true, true, ..) => "SYN-ACK",
                (_, _, true, _) => "FIN",
                _ => "ACK",
            };
            Seen::Tcp(
                SocketAddr::new(source, tcp.src_port()),
                SocketAddr::new(destination, tcp.dst_port()),
                flags,
            )
        }
        _ => {
            let body = &packet[header..];
            match (source, destination) {
                (IpAddr::V6(source), IpAddr::V6(destination)) => {
                    assert!(
                        Icmpv6Packet::new_checked(body)
                            .unwrap()
                            .verify_checksum(&source, &destination)
                    );
                }
                _ => assert!(Icmpv4Packet::new_checked(body).unwrap().verify_checksum()),
            }
            let quoted = &body[8..];
            let (from, to, _, at) = ends(quoted);
            let port = |at: usize| u16::from_be_bytes([quoted[at], quoted[at + 1]]);
            // A quotation that holds the whole segment must be whole in every sum.
            if let (true, Ok(ip)) = (from.is_ipv4(), Ipv4Packet::new_checked(quoted)) {
                let tcp = TcpPacket::new_checked(ip.payload()).unwrap();
                assert!(tcp.verify_checksum(&from.into(), &to.into()));
            }
            Seen::Icmp(
                source,
                destination,
                (body[0], body[1]),
                (
                    SocketAddr::new(from, port(at)),
                    SocketAddr::new(to, port(at + 2)),
                ),
            )
        }
    }
}

fn ends(packet: &[u8]) -> (IpAddr, IpAddr, IpProtocol, usize) {
    if IpVersion::of_packet(packet).unwrap() == IpVersion::Ipv4 {
        let ip = Ipv4Packet::new_unchecked(packet);
        assert!(ip.verify_checksum());
        (
            ip.src_addr().into(),
            ip.dst_addr().into(),
            ip.next_header(),
            20,
        )
    } else {
        let ip = Ipv6Packet::new_unchecked(packet);
        (
            ip.src_addr().into(),
            ip.dst_addr().into(),
            ip.next_header(),
            40,
        )
    }
}

pub(super) fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

pub(super) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

pub(super) fn addresses() -> Addresses {
    Addresses {
        outer_v4: Some(OUTER.parse().unwrap()),
        inner_v4: Some(INNER.parse().unwrap()),
        outer_v6: Some(OUTER6.parse().unwrap()),
        inner_v6: Some(INNER6.parse().unwrap()),
    }
}

/// The box.
#[derive(Debug)]
pub(super) struct Bench {
    pub(super) nat: NatBox,
    pub(super) now: Instant,
}

impl Bench {
    pub(super) fn named(name: &str) -> Self {
        Self::with(preset(name).unwrap())
    }

    pub(super) fn with(config: Config) -> Self {
        Self {
            nat: NatBox::new(config, addresses(), 1),
            now: Instant::from_millis(1),
        }
    }

    pub(super) fn wait(&mut self, time: Duration) {
        self.now = self.now.after(time);
    }

    pub(super) fn judge(&mut self, side: Side, packet: &[u8]) -> Verdict {
        self.nat.handle(self.now, side, packet)
    }

    pub(super) fn send(&mut self, side: Side, from: &str, to: SocketAddr, tcp: Tcp) -> Verdict {
        self.judge(side, &tcp.packet(at(from), to))
    }

    /// A host inside sends; returns the endpoint that the outside sees.
    pub(super) fn out(&mut self, from: &str, to: &str, tcp: Tcp) -> SocketAddr {
        match self.send(Side::Inside, from, at(to), tcp) {
            Verdict::Forward(packet) => match seen(&packet) {
                Seen::Tcp(source, destination, _) => {
                    assert_eq!(destination, at(to));
                    source
                }
                other => panic!("{other:?}"),
            },
            other => panic!("{from} to {to}, {tcp:?}: {other:?}"),
        }
    }

    /// Somebody outside sends; returns the endpoint that it arrives at.
    pub(super) fn enters(&mut self, from: &str, to: SocketAddr, tcp: Tcp) -> SocketAddr {
        match self.send(Side::Outside, from, to, tcp) {
            Verdict::Forward(packet) => match seen(&packet) {
                Seen::Tcp(source, destination, _) => {
                    assert_eq!(source, at(from));
                    destination
                }
                other => panic!("{other:?}"),
            },
            other => panic!("{from} to {to}, {tcp:?}: {other:?}"),
        }
    }

    /// Somebody outside sends, and it does not get in; returns what the box does instead.
    pub(super) fn kept_out(
        &mut self,
        from: &str,
        to: SocketAddr,
        tcp: Tcp,
    ) -> Result<Seen, Reason> {
        match self.send(Side::Outside, from, to, tcp) {
            Verdict::Answer(packet) => Ok(seen(&packet)),
            Verdict::Drop(reason) => Err(reason),
            other => panic!("{from} to {to}, {tcp:?}: {other:?}"),
        }
    }

    /// A host inside sends something that tracking refuses: it leaves with its inner source.
    pub(super) fn leaks(&mut self, from: &str, to: &str, tcp: Tcp) {
        match self.send(Side::Inside, from, at(to), tcp) {
            Verdict::Leak(packet) => {
                assert!(matches!(seen(&packet), Seen::Tcp(source, _, _) if source == at(from)));
            }
            other => panic!("{from} to {to}, {tcp:?}: {other:?}"),
        }
    }

    /// Makes a connection from inside; returns its outer endpoint.
    pub(super) fn connect(&mut self, from: &str, to: &str) -> SocketAddr {
        let outer = self.out(from, to, syn(OURS));
        self.enters(to, outer, syn_ack(THEIRS, OURS.wrapping_add(1)));
        self.out(from, to, ack(OURS.wrapping_add(1), THEIRS + 1));
        outer
    }
}
