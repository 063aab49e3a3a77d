//! Two hosts on a wire without delay, and what their tables make of it.

use std::collections::VecDeque;
use std::vec;
use std::vec::Vec;

use proto::noise::SecretKey;
use proto::wire::MAX_FRAME;
use proto::{Config, Endpoint, Input, Instant, ListenerId, NoAccess, Output, Peer, SocketId};
use smoltcp::iface::{Config as IfaceConfig, Interface, SocketSet};
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::socket::tcp::{Socket, SocketBuffer};
use smoltcp::time::Instant as StackInstant;
use smoltcp::wire::{HardwareAddress, IpAddress, IpCidr, Ipv4Packet, TcpPacket};

use crate::sockets::{Happened, Sockets};

mod closing;
mod dialling;
mod driver;
mod listening;
mod reading;

/// A socket set with so many slots, four ports.
type Table = Sockets<8, 4>;

/// What waits at a host's device.
#[derive(Debug, Default)]
struct Wire {
    incoming: VecDeque<Vec<u8>>,
    outgoing: VecDeque<Vec<u8>>,
    /// Takes nothing to send.
    is_busy: bool,
}

struct Received(Vec<u8>);
struct Sending<'a>(&'a mut VecDeque<Vec<u8>>);

impl RxToken for Received {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(&self.0)
    }
}

impl TxToken for Sending<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let mut packet = vec![0; len];
        let result = f(&mut packet);
        self.0.push_back(packet);
        result
    }
}

impl Device for Wire {
    type RxToken<'a> = Received;
    type TxToken<'a> = Sending<'a>;

    fn receive(&mut self, _: StackInstant) -> Option<(Received, Sending<'_>)> {
        let packet = self.incoming.pop_front()?;
        Some((Received(packet), Sending(&mut self.outgoing)))
    }

    fn transmit(&mut self, _: StackInstant) -> Option<Sending<'_>> {
        (!self.is_busy).then_some(Sending(&mut self.outgoing))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = 1_500;
        capabilities
    }
}

fn interface(wire: &mut Wire, address: [u8; 4], seed: u64) -> Interface {
    let mut config = IfaceConfig::new(HardwareAddress::Ip);
    config.random_seed = seed;
    let mut iface = Interface::new(config, wire, StackInstant::ZERO);
    iface.update_ip_addrs(|addresses| {
        addresses
            .push(IpCidr::new(IpAddress::Ipv4(address.into()), 24))
            .expect("room");
    });
    iface
}

fn sockets(count: usize, send: usize) -> (SocketSet<'static>, Vec<smoltcp::iface::SocketHandle>) {
    let mut set = SocketSet::new(Vec::new());
    let handles = (0..count)
        .map(|_| {
            let receive = SocketBuffer::new(vec![0; MAX_FRAME]);
            set.add(Socket::new(receive, SocketBuffer::new(vec![0; send])))
        })
        .collect();
    (set, handles)
}

struct Host {
    iface: Interface,
    set: SocketSet<'static>,
    wire: Wire,
    table: Table,
    happened: Vec<Happened>,
    ids: Peer<NoAccess, 1, 4>,
}

fn peer() -> Peer<NoAccess, 1, 4> {
    let secret = SecretKey::from_bytes([1; 32]);
    let server = SecretKey::from_bytes([2; 32]).public();
    Peer::new(Config::default(), NoAccess, secret, server, [3; 32])
}

impl Host {
    fn new(last: u8, backlog: usize) -> Self {
        let mut wire = Wire::default();
        let iface = interface(&mut wire, [10, 0, 0, last], u64::from(last));
        let (set, handles) = sockets(8, MAX_FRAME + 2);
        let handles = heapless::Vec::from_slice(&handles).expect("room");
        Self {
            iface,
            set,
            wire,
            table: Table::new(handles, backlog),
            happened: Vec::new(),
            ids: peer(),
        }
    }

    fn ip(&self) -> std::net::IpAddr {
        self.iface.ip_addrs()[0].address().into()
    }

    fn at(&self, port: u16) -> Endpoint {
        Endpoint::new(self.ip(), port)
    }

    fn dial(&mut self, now: u64, port: u16, to: Endpoint) -> SocketId {
        self.dial_with(now, port, to, None).expect("a dial")
    }

    fn dial_with(
        &mut self,
        now: u64,
        port: u16,
        to: Endpoint,
        hops: Option<u8>,
    ) -> Result<SocketId, proto::Failure> {
        let id = self.ids.new_socket_id();
        let ends = (Endpoint::unspecified(to.family(), port), to);
        let stack = (&mut self.iface, &mut self.set);
        let now = Instant::from_millis(now);
        self.table.dial(now, stack, id, ends, hops)?;
        Ok(id)
    }

    fn listen(&mut self, port: u16) -> ListenerId {
        let id = listener();
        self.listen_as(id, port);
        id
    }

    fn listen_as(&mut self, id: ListenerId, port: u16) {
        let local = Endpoint::unspecified(proto::Family::V4, port);
        self.table
            .listen(Instant::ZERO, &mut self.set, id, local)
            .expect("room");
    }

    fn poll(&mut self, now: u64) {
        let now = Instant::from_millis(now);
        self.table
            .poll_interface(now, &mut self.iface, &mut self.set, &mut self.wire);
        self.table.look_again();
        while let Some(happened) = self.table.next_happened(now, &self.iface, &mut self.set) {
            if let Happened::Accepted { slot, .. } = happened {
                let id = self.ids.new_socket_id();
                self.table.adopt(slot, id);
            }
            if let Happened::Readable {
                handle, exactly, ..
            } = happened
            {
                let mut bytes = vec![0; exactly];
                let socket = crate::sockets::socket_mut(&mut self.set, handle);
                assert_eq!(socket.recv_slice(&mut bytes), Ok(exactly));
            }
            self.happened.push(happened);
        }
    }

    fn is_up(&self, id: SocketId) -> bool {
        let up = |happened: &Happened| matches!(happened, Happened::Connected { id: of, .. } if *of == id);
        self.happened.iter().any(up)
    }

    fn accepted(&self) -> usize {
        let accepted = |happened: &&Happened| matches!(happened, Happened::Accepted { .. });
        self.happened.iter().filter(accepted).count()
    }
}

/// Some listener's id: only a machine makes them.
fn listener() -> ListenerId {
    listeners()[0]
}

/// Two of them: those of one port, for IPv4 and for IPv6.
fn listeners() -> [ListenerId; 2] {
    let now = Instant::ZERO;
    let mut peer = peer();
    let addresses = ["2001:db8::1".parse().expect("an address")];
    peer.handle_input(now, Input::HostAddresses(&addresses));
    peer.start(now);
    let mut frame = [0; MAX_FRAME + 2];
    let mut ids = Vec::new();
    while ids.len() < 2 {
        let output = peer.poll_output(&mut frame);
        assert!(
            !matches!(output, Output::Wait(_)),
            "a peer listens first of all"
        );
        if let Output::Listen { id, mut local } = output {
            ids.push(id);
            local.port = 1;
            peer.handle_input(now, Input::Listening { id, local });
        }
    }
    [ids[0], ids[1]]
}

/// A segment that was seen on the wire.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
struct Seen {
    syn: bool,
    ack: bool,
    rst: bool,
    fin: bool,
    hops: u8,
}

fn seen(packet: &[u8]) -> Seen {
    let ip = Ipv4Packet::new_checked(packet).expect("IPv4");
    let tcp = TcpPacket::new_checked(ip.payload()).expect("TCP");
    Seen {
        syn: tcp.syn(),
        ack: tcp.ack(),
        rst: tcp.rst(),
        fin: tcp.fin(),
        hops: ip.hop_limit(),
    }
}

/// Lets both hosts talk until they have nothing more to say; what was said.
fn talk(now: u64, a: &mut Host, b: &mut Host) -> Vec<Seen> {
    let mut all = Vec::new();
    for _ in 0..100 {
        a.poll(now);
        b.poll(now);
        if a.wire.outgoing.is_empty() && b.wire.outgoing.is_empty() {
            return all;
        }
        all.extend(a.wire.outgoing.iter().map(|packet| seen(packet)));
        all.extend(b.wire.outgoing.iter().map(|packet| seen(packet)));
        a.wire.incoming.append(&mut b.wire.outgoing);
        b.wire.incoming.append(&mut a.wire.outgoing);
    }
    panic!("they do not stop: {:?}", &all[all.len() - 10..]);
}
