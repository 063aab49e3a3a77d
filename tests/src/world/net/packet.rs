//! What the network has to know of a packet, and what the ladder says of it.

use std::fmt;
use std::net::IpAddr;

use smoltcp::wire::{
    Icmpv4Message, Icmpv4Packet, Icmpv6Message, Icmpv6Packet, IpProtocol, IpVersion, Ipv4Packet,
    Ipv6Packet, TcpPacket,
};
use tcp_punch_proto::Endpoint;

/// A glance at a packet.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Glance {
    /// Port 0 for ICMP.
    pub(crate) from: Endpoint,
    pub(crate) to: Endpoint,
    pub(crate) kind: Kind,
    pub(crate) hops: u8,
}

#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Tcp {
        syn: bool,
        ack: bool,
        fin: bool,
        rst: bool,
        data: usize,
    },
    Unreachable,
    TimeExceeded,
    Other,
}

impl Glance {
    /// `None` for what is no whole packet.
    pub(crate) fn at(packet: &[u8]) -> Option<Self> {
        if packet.is_empty() {
            return None;
        }
        let (from, to, hops, protocol, body): (IpAddr, IpAddr, _, _, _) =
            match IpVersion::of_packet(packet).ok()? {
                IpVersion::Ipv4 => {
                    let ip = Ipv4Packet::new_checked(packet).ok()?;
                    let (from, to) = (ip.src_addr().into(), ip.dst_addr().into());
                    (from, to, ip.hop_limit(), ip.next_header(), ip.payload())
                }
                IpVersion::Ipv6 => {
                    let ip = Ipv6Packet::new_checked(packet).ok()?;
                    let (from, to) = (ip.src_addr().into(), ip.dst_addr().into());
                    (from, to, ip.hop_limit(), ip.next_header(), ip.payload())
                }
            };
        let (ports, kind) = if protocol == IpProtocol::Tcp {
            let tcp = TcpPacket::new_checked(body).ok()?;
            let kind = Kind::Tcp {
                syn: tcp.syn(),
                ack: tcp.ack(),
                fin: tcp.fin(),
                rst: tcp.rst(),
                data: tcp.payload().len(),
            };
            ((tcp.src_port(), tcp.dst_port()), kind)
        } else if protocol == IpProtocol::Icmp {
            let icmp = Icmpv4Packet::new_checked(body).ok()?;
            let is = |kind| icmp.msg_type() == kind;
            let kinds = (Icmpv4Message::DstUnreachable, Icmpv4Message::TimeExceeded);
            ((0, 0), Kind::of_icmp(is(kinds.0), is(kinds.1)))
        } else if protocol == IpProtocol::Icmpv6 {
            let icmp = Icmpv6Packet::new_checked(body).ok()?;
            let is = |kind| icmp.msg_type() == kind;
            let kinds = (Icmpv6Message::DstUnreachable, Icmpv6Message::TimeExceeded);
            ((0, 0), Kind::of_icmp(is(kinds.0), is(kinds.1)))
        } else {
            ((0, 0), Kind::Other)
        };
        Some(Self {
            from: Endpoint::new(from, ports.0),
            to: Endpoint::new(to, ports.1),
            kind,
            hops,
        })
    }

    /// Whether it asks for a connection.
    pub(crate) fn opens(&self) -> bool {
        matches!(
            self.kind,
            Kind::Tcp {
                syn: true,
                ack: false,
                rst: false,
                ..
            }
        )
    }

    /// Whether it is of those that the ladder shows wherever they go; the rest
    /// would drown them.
    pub(crate) fn is_remarkable(&self) -> bool {
        match self.kind {
            Kind::Tcp { syn, fin, rst, .. } => syn || fin || rst,
            Kind::Unreachable | Kind::TimeExceeded | Kind::Other => true,
        }
    }
}

impl Kind {
    const fn of_icmp(is_unreachable: bool, is_time_exceeded: bool) -> Self {
        match (is_unreachable, is_time_exceeded) {
            (true, _) => Self::Unreachable,
            (false, true) => Self::TimeExceeded,
            (false, false) => Self::Other,
        }
    }
}

impl fmt::Display for Glance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} > {} {}", self.from, self.to, self.kind)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Tcp {
            syn,
            ack,
            fin,
            rst,
            data,
        } = *self
        else {
            return f.write_str(match self {
                Self::Unreachable => "ICMP unreachable",
                Self::TimeExceeded => "ICMP time exceeded",
                Self::Other | Self::Tcp { .. } => "something else",
            });
        };
        f.write_str(match (rst, syn, fin, ack) {
            (true, ..) => "RST",
            (false, true, _, false) => "SYN",
            (false, true, _, true) => "SYN-ACK",
            (false, false, true, _) => "FIN",
            (false, false, false, _) if data == 0 => "ACK",
            (false, false, false, _) => "data",
        })?;
        if data > 0 {
            write!(f, " {data} B")?;
        }
        Ok(())
    }
}
