//! Packets, and a host's TCP as far as the opening of connections goes.

use std::net::{Ipv4Addr, SocketAddrV4};

use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    Icmpv4Message, Icmpv4Packet, IpProtocol, IpRepr, Ipv4Packet, TcpControl, TcpPacket, TcpRepr,
    TcpSeqNumber,
};

use crate::oracle::Stack;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Flags {
    Syn,
    SynAck,
    /// With a byte of data or without.
    Ack,
    Data,
    Rst,
    /// No segment: an ICMP error, about one to `to` from `from`.
    Unreachable,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Packet {
    pub(super) from: SocketAddrV4,
    pub(super) to: SocketAddrV4,
    pub(super) flags: Flags,
    seq: u32,
    ack: u32,
    pub(super) hops: u8,
    /// Of an error, as it came: boxes have to translate what it quotes.
    raw: Vec<u8>,
}

impl Packet {
    pub(super) fn tcp(
        from: SocketAddrV4,
        to: SocketAddrV4,
        flags: Flags,
        seq: u32,
        ack: u32,
    ) -> Self {
        Self {
            from,
            to,
            flags,
            seq,
            ack,
            hops: 64,
            raw: Vec::new(),
        }
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        let control = match self.flags {
            Flags::Syn | Flags::SynAck => TcpControl::Syn,
            Flags::Ack | Flags::Data => TcpControl::None,
            Flags::Rst => TcpControl::Rst,
            Flags::Unreachable => return self.raw.clone(),
        };
        let payload: &[u8] = if self.flags == Flags::Data { &[1] } else { &[] };
        let tcp = TcpRepr {
            src_port: self.from.port(),
            dst_port: self.to.port(),
            control,
            seq_number: TcpSeqNumber(self.seq.cast_signed()),
            ack_number: (self.flags != Flags::Syn).then(|| TcpSeqNumber(self.ack.cast_signed())),
            window_len: 0xfaf0,
            window_scale: None,
            max_seg_size: None,
            sack_permitted: false,
            sack_ranges: [None; 3],
            timestamp: None,
            payload,
        };
        let (from, to) = ((*self.from.ip()).into(), (*self.to.ip()).into());
        let ip = IpRepr::new(from, to, IpProtocol::Tcp, tcp.buffer_len(), self.hops);
        let caps = ChecksumCapabilities::default();
        let mut bytes = vec![0; ip.buffer_len()];
        ip.emit(&mut bytes[..], &caps);
        let mut body = TcpPacket::new_unchecked(&mut bytes[ip.header_len()..]);
        tcp.emit(&mut body, &from, &to, &caps);
        bytes
    }

    /// `None`: an error that no dial is told of.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let ip = Ipv4Packet::new_checked(bytes).ok()?;
        if ip.next_header() == IpProtocol::Icmp {
            let icmp = Icmpv4Packet::new_checked(ip.payload()).ok()?;
            if icmp.msg_type() != Icmpv4Message::DstUnreachable {
                return None;
            }
            let quoted = Ipv4Packet::new_unchecked(icmp.data());
            let (to, from) = (quoted.src_addr(), quoted.dst_addr());
            let ports = &icmp.data()[usize::from(quoted.header_len())..];
            let port = |at: usize| u16::from_be_bytes([ports[at], ports[at + 1]]);
            return Some(Self {
                hops: ip.hop_limit(),
                raw: bytes.to_vec(),
                ..Self::tcp(
                    SocketAddrV4::new(from, port(2)),
                    SocketAddrV4::new(to, port(0)),
                    Flags::Unreachable,
                    0,
                    0,
                )
            });
        }
        let tcp = TcpPacket::new_checked(ip.payload()).ok()?;
        let flags = match (tcp.rst(), tcp.syn(), tcp.ack(), tcp.payload().is_empty()) {
            (true, ..) => Flags::Rst,
            (_, true, false, _) => Flags::Syn,
            (_, true, true, _) => Flags::SynAck,
            (_, _, _, true) => Flags::Ack,
            (_, _, _, false) => Flags::Data,
        };
        let end = |ip: Ipv4Addr, port| SocketAddrV4::new(ip, port);
        Some(Self {
            hops: ip.hop_limit(),
            ..Self::tcp(
                end(ip.src_addr(), tcp.src_port()),
                end(ip.dst_addr(), tcp.dst_port()),
                flags,
                tcp.seq_number().0.cast_unsigned(),
                tcp.ack_number().0.cast_unsigned(),
            )
        })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    SynSent,
    SynReceived,
    Up,
    Dead,
}

#[derive(Debug)]
struct Connection {
    remote: SocketAddrV4,
    dialled: bool,
    number: u32,
    /// What the other end is to send next.
    expects: u32,
    state: State,
    has_data: bool,
}

/// One port that listens, and its connections.
#[derive(Debug)]
pub(super) struct Host {
    local: SocketAddrV4,
    stack: Stack,
    connections: Vec<Connection>,
    numbers: u32,
}

impl Host {
    pub(super) fn new(local: SocketAddrV4, stack: Stack, seed: u64) -> Self {
        Self {
            local,
            stack,
            connections: Vec::new(),
            numbers: seed as u32 * 1_000_000,
        }
    }

    pub(super) fn local(&self) -> SocketAddrV4 {
        self.local
    }

    /// The first sequence number of the next connection.
    pub(super) fn next_number(&self) -> u32 {
        self.numbers
    }

    pub(super) fn has_data(&self) -> bool {
        self.connections.iter().any(|open| open.has_data)
    }

    /// Whether the latest dial got no answer yet.
    pub(super) fn is_pending(&self) -> bool {
        self.dialled().is_some_and(|dial| dial.state != State::Dead)
    }

    /// Whether the latest dial is over, and nothing else is up.
    pub(super) fn is_dead(&self) -> bool {
        self.dialled().is_some_and(|dial| dial.state == State::Dead)
    }

    fn dialled(&self) -> Option<&Connection> {
        self.connections.iter().rev().find(|open| open.dialled)
    }

    fn segment(&self, open: &Connection, flags: Flags) -> Packet {
        let seq = match flags {
            Flags::Syn | Flags::SynAck => open.number,
            Flags::Ack | Flags::Data | Flags::Rst | Flags::Unreachable => {
                open.number.wrapping_add(1)
            }
        };
        Packet::tcp(self.local, open.remote, flags, seq, open.expects)
    }

    fn open(&mut self, remote: SocketAddrV4, dialled: bool) -> usize {
        self.connections.push(Connection {
            remote,
            dialled,
            number: self.numbers,
            expects: 0,
            state: State::SynSent,
            has_data: false,
        });
        // Farther than any window, as random ones are.
        self.numbers = self.numbers.wrapping_add(0x1234_5678);
        self.connections.len() - 1
    }

    /// The first sequence number stands for the dial.
    pub(super) fn dial(&mut self, remote: SocketAddrV4, hops: u8) -> (u32, Packet) {
        // As any host: a connection to there that is up or opening is in the way.
        let known = self
            .connections
            .iter()
            .position(|open| open.remote == remote && open.state != State::Dead);
        let index = known.unwrap_or_else(|| self.open(remote, true));
        let open = &self.connections[index];
        let mut syn = self.segment(open, Flags::Syn);
        syn.hops = hops;
        (open.number, syn)
    }

    /// The SYN of a dial once more, if it is still without an answer.
    pub(super) fn retransmit(&self, dial: u32) -> Option<Packet> {
        let open = self.connections.iter().find(|open| open.number == dial)?;
        match open.state {
            State::SynSent => Some(self.segment(open, Flags::Syn)),
            State::SynReceived => Some(self.segment(open, Flags::SynAck)),
            State::Up | State::Dead => None,
        }
    }

    /// What it answers.
    pub(super) fn receive(&mut self, packet: &Packet) -> Vec<Packet> {
        let known = self
            .connections
            .iter()
            .position(|open| open.remote == packet.from && open.state != State::Dead);
        let index = match (known, packet.flags) {
            (Some(index), _) => index,
            (None, Flags::Syn) => self.open(packet.from, false),
            (None, Flags::SynAck | Flags::Ack | Flags::Data) => {
                let rst = (self.local, packet.from, Flags::Rst, packet.ack, 0);
                return vec![Packet::tcp(rst.0, rst.1, rst.2, rst.3, rst.4)];
            }
            (None, Flags::Rst | Flags::Unreachable) => return Vec::new(),
        };
        let hears = self.stack == Stack::Linux;
        let open = &mut self.connections[index];
        let acks = packet.ack == open.number.wrapping_add(1);
        let answers: &[Flags] = match (open.state, packet.flags) {
            (State::SynSent | State::SynReceived, Flags::Syn) => {
                open.expects = packet.seq.wrapping_add(1);
                open.state = State::SynReceived;
                &[Flags::SynAck]
            }
            (State::SynSent | State::SynReceived, Flags::SynAck) if acks => {
                open.expects = packet.seq.wrapping_add(1);
                open.state = State::Up;
                &[Flags::Ack, Flags::Data]
            }
            (State::SynReceived, Flags::Ack) if acks => {
                open.state = State::Up;
                &[Flags::Data]
            }
            (State::SynReceived | State::Up, Flags::Data) if acks => {
                let news = open.state == State::SynReceived;
                open.state = State::Up;
                open.has_data = true;
                if news { &[Flags::Data] } else { &[] }
            }
            // The last word of the handshake was lost: once more.
            (State::Up, Flags::SynAck) => &[Flags::Ack, Flags::Data],
            (State::SynSent, Flags::Rst) if acks => {
                open.state = State::Dead;
                &[]
            }
            (State::SynReceived | State::Up, Flags::Rst) if packet.seq == open.expects => {
                open.state = State::Dead;
                &[]
            }
            (State::SynSent, Flags::Unreachable) if hears => {
                open.state = State::Dead;
                &[]
            }
            _ => &[],
        };
        let open = &self.connections[index];
        answers
            .iter()
            .map(|&flags| self.segment(open, flags))
            .collect()
    }
}
