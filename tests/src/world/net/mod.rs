//! The simulated network: hosts with real TCP stacks, NATs that work on their
//! packets, paths between them.
//!
//! ```text
//!   host (smoltcp) -- LAN -- NAT box -- LAN -- carrier's NAT box -- path, routers -- ... -- host
//! ```
//!
//! A host is driven in one of two ways: by a
//! [`Driver`](tcp_punch_embedded::Driver), which gets at the stack itself
//! (`Network::stack_of`), or by calls like those of a socket layer, with
//! notices of what happened ([`Network::run_host`]).
//!
//! Before working on it, read NAT-FACTS.md sections 1 to 3 for what NATs do, and
//! the crate page of `tcp-punch-embedded` for what smoltcp does otherwise than a
//! kernel.

mod challenge;
mod conditions;
mod kernel;
mod nats;
mod packet;
mod route;
mod stack;
#[cfg(test)]
mod tests;
mod wire;

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use tcp_punch_proto::noise::Jitter;
use tcp_punch_proto::{Close, Endpoint, Failure, Family, Instant};

pub use conditions::Path;
pub use nats::Nat;

pub(crate) use stack::Stack;

use super::queue::Queue;
use crate::natbox::{Addresses, NatBox};
use conditions::Conditions;
use kernel::Kernel;

/// A host.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostId(usize);

/// A NAT box.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NatId(pub(super) usize);

/// A listener or connection of some host; never reused.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Socket(u64);

/// Anything with a place.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Node {
    /// A host.
    Host(HostId),
    /// A NAT box, by its outer side.
    Nat(NatId),
}

/// Where a host's or a NAT's own cable ends.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// The wide area network.
    Wan,
    /// The inner network of a NAT box.
    Behind(NatId),
}

/// What the network tells about a socket.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Happening {
    /// A dial succeeded.
    Connected {
        /// The local end.
        local: Endpoint,
    },
    /// A dial failed; the socket is gone.
    DialFailed(Failure),
    /// The notice's socket is new: a listener has accepted it.
    Accepted {
        /// The listener.
        listener: Socket,
        /// The local end.
        local: Endpoint,
        /// The remote end.
        remote: Endpoint,
    },
    /// More bytes can be read.
    Readable,
    /// Nothing will come after what can be read: see [`Network::ended`].
    Ended,
}

#[derive(Debug)]
struct Host {
    name: String,
    place: Place,
    stack: Stack,
    kernel: Kernel,
    is_alive: bool,
    /// When [`Network::run_host`] is to be called.
    due: Option<Instant>,
}

#[derive(Debug)]
struct Gateway {
    name: String,
    place: Place,
    nat: NatBox,
    addresses: Addresses,
    /// The next [`Event::NatTimer`].
    due: Option<Instant>,
}

#[derive(Debug)]
enum Event {
    Arrives(Node, Vec<u8>),
    NatTimer(NatId),
}

/// The network.
#[derive(Debug)]
pub struct Network {
    hosts: Vec<Host>,
    gateways: Vec<Gateway>,
    conditions: Conditions,
    queue: Queue<Event>,
    sockets: u64,
    cutter: Option<Jitter>,
    log: Vec<(Instant, String)>,
    random: u64,
    isolated: Vec<(HostId, HostId)>,
}

impl Network {
    /// An empty one; the same seed gives the same losses, jitter and ports.
    pub fn new(seed: u64) -> Self {
        Self {
            hosts: Vec::new(),
            gateways: Vec::new(),
            conditions: Conditions::new(Jitter::new(seed)),
            queue: Queue::default(),
            sockets: 0,
            cutter: None,
            log: Vec::new(),
            random: seed,
            isolated: Vec::new(),
        }
    }

    /// Adds a host with one address or two.
    pub fn add_host(&mut self, name: &str, place: Place, addresses: &[IpAddr]) -> HostId {
        let mut random = Jitter::new(self.random ^ (0x686f_7374_0000 + self.hosts.len() as u64));
        let mtu = self.cutter.as_mut().map_or(stack::MTU, |cutter| {
            // Headers, the least that smoltcp lets itself be talked down to, and
            // a bit of chance.
            let below = cutter.below(200);
            60 + 48 + usize::try_from(below).unwrap_or_default()
        });
        self.hosts.push(Host {
            name: name.to_owned(),
            place,
            stack: Stack::new(addresses, random.below(u64::MAX), mtu),
            kernel: Kernel::new(random),
            is_alive: true,
            due: None,
        });
        HostId(self.hosts.len() - 1)
    }

    /// Adds a NAT box.
    pub fn add_nat(&mut self, name: &str, place: Place, nat: Nat, addresses: Addresses) -> NatId {
        let id = NatId(self.gateways.len());
        let seed = self.random ^ (0x6e61_7400 + id.0 as u64);
        self.gateways.push(Gateway {
            name: name.to_owned(),
            place,
            nat: NatBox::new(nat, addresses, seed),
            addresses,
            due: None,
        });
        id
    }

    /// Hosts that are added from now on send streams in small segments, each
    /// host in segments of another length.
    pub fn cut_streams_small(&mut self) {
        self.cutter = Some(Jitter::new(self.random ^ 0x6375_7473));
    }

    /// Changes both directions between the sites of two hosts.
    pub fn between(&mut self, one: HostId, other: HostId, mut change: impl FnMut(&mut Path)) {
        self.one_way(one, other, &mut change);
        self.one_way(other, one, &mut change);
    }

    /// Changes the direction from one host's site to another's.
    pub fn one_way(&mut self, from: HostId, to: HostId, change: impl FnOnce(&mut Path)) {
        let (from, to) = (self.site_of(from), self.site_of(to));
        change(self.conditions.path_mut(from, to));
    }

    /// Two hosts of one network do not reach each other, as in a guest network.
    pub fn isolate(&mut self, one: HostId, other: HostId) {
        self.isolated.extend([(one, other), (other, one)]);
    }

    /// All hosts of one network reach each other again.
    pub fn mingle(&mut self) {
        self.isolated.clear();
    }

    /// The host's clock is ahead of the world's by this much.
    pub fn set_clock(&mut self, host: HostId, ahead: Duration) {
        self.hosts[host.0].stack.clock = ahead;
    }

    /// A host's name.
    pub fn name(&self, host: HostId) -> &str {
        &self.hosts[host.0].name
    }

    /// A host's addresses.
    pub fn addresses(&self, host: HostId) -> &[IpAddr] {
        &self.hosts[host.0].stack.addresses
    }

    /// Where a host is.
    pub fn place(&self, host: HostId) -> Place {
        self.hosts[host.0].place
    }

    /// Binds and listens.
    ///
    /// # Errors
    ///
    /// The host does not have that address.
    pub fn listen(&mut self, host: HostId, local: Endpoint) -> Result<(Socket, Endpoint), Failure> {
        let socket = self.new_socket();
        let Host { stack, kernel, .. } = &mut self.hosts[host.0];
        let local = kernel.listen(stack, socket, local)?;
        Ok((socket, local))
    }

    /// Takes connections to any port that nobody else listens on.
    pub fn listen_on_every_port(&mut self, host: HostId, family: Family) -> Socket {
        let socket = self.new_socket();
        let kernel = &mut self.hosts[host.0].kernel;
        kernel.listen_on_every_port(socket, family);
        socket
    }

    /// Connects; port 0 is any that is free.
    ///
    /// # Errors
    ///
    /// What `connect` fails with at once.
    pub fn dial(
        &mut self,
        now: Instant,
        host: HostId,
        ends: (Endpoint, Endpoint),
        hops: Option<u8>,
    ) -> Result<Socket, Failure> {
        let socket = self.new_socket();
        let Host { stack, kernel, .. } = &mut self.hosts[host.0];
        kernel.dial(stack, socket, ends, hops)?;
        self.touch(now, host);
        Ok(socket)
    }

    /// Queues bytes for sending.
    pub fn send(&mut self, now: Instant, host: HostId, socket: Socket, data: &[u8]) {
        let Host { stack, kernel, .. } = &mut self.hosts[host.0];
        kernel.send(stack, socket, data);
        self.touch(now, host);
    }

    /// How many bytes can be read.
    pub fn readable(&self, host: HostId, socket: Socket) -> usize {
        let Host { stack, kernel, .. } = &self.hosts[host.0];
        kernel.readable(stack, socket)
    }

    /// Takes bytes that can be read.
    pub fn read(&mut self, now: Instant, host: HostId, socket: Socket, count: usize) -> Vec<u8> {
        let Host { stack, kernel, .. } = &mut self.hosts[host.0];
        let bytes = kernel.read(stack, socket, count);
        self.touch(now, host);
        bytes
    }

    /// `Some` if nothing will come after what can be read: `None` within for a
    /// FIN, else why.
    pub fn ended(&mut self, host: HostId, socket: Socket) -> Option<Option<Failure>> {
        let Host { stack, kernel, .. } = &mut self.hosts[host.0];
        kernel.ended(stack, socket)
    }

    /// Closes a listener, a dial or a connection.
    pub fn close(&mut self, now: Instant, host: HostId, socket: Socket, how: Close) {
        let Host { stack, kernel, .. } = &mut self.hosts[host.0];
        kernel.close(stack, socket, how);
        self.touch(now, host);
    }

    /// Ends every socket of the host, as its kernel does when a process dies.
    pub fn close_all(&mut self, now: Instant, host: HostId) {
        let Host { stack, kernel, .. } = &mut self.hosts[host.0];
        kernel.close_all(stack);
        self.touch(now, host);
    }

    /// The host loses its power: silence.
    pub fn kill(&mut self, host: HostId) {
        let host = &mut self.hosts[host.0];
        host.is_alive = false;
        host.due = None;
        host.kernel.forget_all(&mut host.stack);
    }

    /// The host is back, and remembers nothing.
    pub fn revive(&mut self, host: HostId) {
        self.hosts[host.0].is_alive = true;
    }

    /// The NAT loses all its mappings.
    pub fn forget_flows(&mut self, nat: NatId) {
        self.gateways[nat.0].nat.forget();
    }

    /// The NAT restarts: it remembers nothing, lets nothing through for a while,
    /// and may come back with another outer IPv4 address.
    pub fn reboot_nat(
        &mut self,
        now: Instant,
        nat: NatId,
        takes: Duration,
        outer: Option<Ipv4Addr>,
    ) {
        let gateway = &mut self.gateways[nat.0];
        if outer.is_some() {
            gateway.addresses.outer_v4 = outer;
        }
        gateway.nat.reboot(now, takes, gateway.addresses);
    }

    /// When something happens next.
    pub fn next_at(&self) -> Option<Instant> {
        let hosts = self.hosts.iter().filter_map(|host| host.due);
        hosts.chain(self.queue.next_at()).min()
    }

    /// Lets one packet travel on whose time has come. If a host gets it, or if a
    /// host's stack has something to do: which one, for [`Self::run_host`] or
    /// whatever else drives it.
    pub fn step(&mut self, now: Instant) -> Option<HostId> {
        let due = |host: &Host| host.due.is_some_and(|at| at <= now);
        if let Some(host) = self.hosts.iter().position(due) {
            self.hosts[host].due = None;
            return Some(HostId(host));
        }
        let event = self.queue.pop_due(now)?;
        self.happen(now, event)
    }

    /// Lets a host work that no driver drives; what came of it.
    pub fn run_host(&mut self, now: Instant, host: HostId) -> Vec<(Socket, Happening)> {
        let id = host;
        let host = &mut self.hosts[id.0];
        if !host.is_alive {
            return Vec::new();
        }
        let sockets = &mut self.sockets;
        let news = host.kernel.run(now, &mut host.stack, || {
            *sockets += 1;
            Socket(*sockets)
        });
        host.due = host.stack.poll_at(now);
        self.flush(now, id);
        news
    }

    /// The stack of a host, for what drives it; afterwards comes
    /// [`Self::flush`].
    pub(crate) fn stack_of(&mut self, host: HostId) -> &mut Stack {
        let host = &mut self.hosts[host.0];
        host.due = None;
        &mut host.stack
    }

    /// Sends off what the host's stack has put on its cable.
    pub(crate) fn flush(&mut self, now: Instant, host: HostId) {
        while let Some(packet) = self.hosts[host.0].stack.wire.outgoing.pop_front() {
            self.emit(now, Node::Host(host), packet);
        }
    }

    /// What was seen on the cables since the last call, for the ladder.
    pub fn take_log(&mut self) -> Vec<(Instant, String)> {
        std::mem::take(&mut self.log)
    }

    /// The host's stack has something to do.
    fn touch(&mut self, now: Instant, host: HostId) {
        self.hosts[host.0].due = Some(now);
    }

    fn new_socket(&mut self) -> Socket {
        self.sockets += 1;
        Socket(self.sockets)
    }
}
