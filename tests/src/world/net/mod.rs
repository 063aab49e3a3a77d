//! The simulated network: hosts with TCP stacks, NATs, paths.
//!
//! What the rest of the world knows of it is [`Network`]'s public methods: they
//! are those of a socket layer with a clock, so that hosts with other stacks
//! and NATs that work on real packets can take its place.
//!
//! Before working on it, read RFC 9293 sections 3.5 and 3.10, and NAT-FACTS.md
//! sections 1 to 3: what stands there was measured, and the model has to show it.

mod conditions;
mod connection;
mod flow;
mod nat;
mod receive;
mod route;
mod segment;
mod stack;
#[cfg(test)]
mod tests;

use std::net::IpAddr;

use tcp_punch_proto::noise::Jitter;
use tcp_punch_proto::{Close, Endpoint, Failure, Family, Instant};

pub use conditions::Path;
pub use nat::{Early, Filter, Hairpin, Mapped, Nat};

use super::queue::Queue;
use conditions::Conditions;
use nat::NatBox;
use segment::Packet;
use stack::{Effects, Stack, Timer};

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

/// A happening and where.
#[derive(Copy, Clone, Debug)]
pub struct Notice {
    /// Whose socket it is.
    pub host: HostId,
    /// Which one.
    pub socket: Socket,
    /// What happened.
    pub what: Happening,
}

#[derive(Debug)]
struct Host {
    name: String,
    place: Place,
    stack: Stack,
    alive: bool,
}

#[derive(Debug)]
struct Gateway {
    name: String,
    place: Place,
    nat: NatBox,
}

#[derive(Debug)]
enum Event {
    Arrives(Node, Packet),
    Timer(HostId, Socket, Timer),
}

/// The network.
#[derive(Debug)]
pub struct Network {
    hosts: Vec<Host>,
    gateways: Vec<Gateway>,
    conditions: Conditions,
    queue: Queue<Event>,
    notices: Vec<Notice>,
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
            notices: Vec::new(),
            sockets: 0,
            cutter: None,
            log: Vec::new(),
            random: seed,
            isolated: Vec::new(),
        }
    }

    /// Adds a host.
    pub fn add_host(&mut self, name: &str, place: Place, addresses: &[IpAddr]) -> HostId {
        let random = Jitter::new(self.random ^ (0x686f_7374_0000 + self.hosts.len() as u64));
        let stack = Stack::new(addresses.to_vec(), random);
        self.hosts.push(Host {
            name: name.to_owned(),
            place,
            stack,
            alive: true,
        });
        HostId(self.hosts.len() - 1)
    }

    /// Adds a NAT box with these outer addresses.
    pub fn add_nat(&mut self, name: &str, place: Place, nat: Nat, outer: &[IpAddr]) -> NatId {
        let id = NatId(self.gateways.len());
        let random = Jitter::new(self.random ^ (0x6e61_7400 + id.0 as u64));
        let nat = NatBox::new(nat, outer.to_vec(), random);
        self.gateways.push(Gateway {
            name: name.to_owned(),
            place,
            nat,
        });
        id
    }

    /// Sends streams in segments of random length from now on.
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

    /// The host has only so many ports to pick from by itself.
    pub fn set_port_count(&mut self, host: HostId, count: u16) {
        self.hosts[host.0].stack.set_port_count(count);
    }

    /// A host's name.
    pub fn name(&self, host: HostId) -> &str {
        &self.hosts[host.0].name
    }

    /// A host's addresses.
    pub fn addresses(&self, host: HostId) -> &[IpAddr] {
        self.hosts[host.0].stack.addresses()
    }

    /// Where a host is.
    pub fn place(&self, host: HostId) -> Place {
        self.hosts[host.0].place
    }

    /// Binds and listens; the endpoint has the real port.
    ///
    /// # Errors
    ///
    /// The host has no address of that family.
    pub fn listen(&mut self, host: HostId, local: Endpoint) -> Result<(Socket, Endpoint), Failure> {
        let socket = self.new_socket();
        let local = self.hosts[host.0].stack.listen(socket, local)?;
        Ok((socket, local))
    }

    /// Takes connections to any port that nobody else listens on.
    pub fn listen_on_every_port(&mut self, host: HostId, family: Family) -> Socket {
        let socket = self.new_socket();
        self.hosts[host.0]
            .stack
            .listen_on_every_port(socket, family);
        socket
    }

    /// Binds with reuse options and connects.
    ///
    /// # Errors
    ///
    /// What `bind` or `connect` fails with at once.
    pub fn dial(
        &mut self,
        now: Instant,
        host: HostId,
        (local, remote): (Endpoint, Endpoint),
        hops: Option<u8>,
    ) -> Result<Socket, Failure> {
        let socket = self.new_socket();
        self.with_stack(now, host, |stack, effects| {
            stack.dial(socket, local, remote, hops, effects)
        })?;
        Ok(socket)
    }

    /// Queues bytes for sending.
    pub fn send(&mut self, now: Instant, host: HostId, socket: Socket, data: &[u8]) {
        self.with_stack(now, host, |stack, effects| {
            stack.send(socket, data, effects)
        });
    }

    /// How many bytes can be read.
    pub fn readable(&self, host: HostId, socket: Socket) -> usize {
        self.hosts[host.0].stack.readable(socket)
    }

    /// Takes bytes that can be read.
    pub fn read(&mut self, host: HostId, socket: Socket, count: usize) -> Vec<u8> {
        self.hosts[host.0].stack.read(socket, count)
    }

    /// `Some` if nothing will come after what can be read: `None` within for a
    /// FIN, else why.
    pub fn ended(&self, host: HostId, socket: Socket) -> Option<Option<Failure>> {
        self.hosts[host.0].stack.ended(socket)
    }

    /// Closes a listener, a dial or a connection.
    pub fn close(&mut self, now: Instant, host: HostId, socket: Socket, how: Close) {
        self.with_stack(now, host, |stack, effects| {
            stack.close(socket, how, effects)
        });
    }

    /// Ends every socket of the host, as its kernel does when a process dies.
    pub fn close_all(&mut self, now: Instant, host: HostId) {
        self.with_stack(now, host, Stack::close_all);
    }

    /// The host loses its power: silence.
    pub fn kill(&mut self, host: HostId) {
        self.hosts[host.0].alive = false;
        self.hosts[host.0].stack.forget_all();
    }

    /// The host is back, and remembers nothing.
    pub fn revive(&mut self, host: HostId) {
        self.hosts[host.0].alive = true;
    }

    /// The NAT restarts, and remembers nothing.
    pub fn forget_flows(&mut self, nat: NatId) {
        self.gateways[nat.0].nat.forget_all();
    }

    /// When something happens next.
    pub fn next_at(&self) -> Option<Instant> {
        if self.notices.is_empty() {
            self.queue.next_at()
        } else {
            Some(Instant::ZERO)
        }
    }

    /// Lets one thing happen whose time has come, and tells what came of it.
    pub fn step(&mut self, now: Instant) -> Vec<Notice> {
        if self.notices.is_empty()
            && let Some(event) = self.queue.pop_due(now)
        {
            self.happen(now, event);
        }
        std::mem::take(&mut self.notices)
    }

    /// What was seen on the cables since the last call, for the ladder.
    pub fn take_log(&mut self) -> Vec<(Instant, String)> {
        std::mem::take(&mut self.log)
    }

    fn new_socket(&mut self) -> Socket {
        self.sockets += 1;
        Socket(self.sockets)
    }

    fn with_stack<R>(
        &mut self,
        now: Instant,
        host: HostId,
        step: impl FnOnce(&mut Stack, &mut Effects) -> R,
    ) -> R {
        let mut effects = Effects {
            now,
            packets: Vec::new(),
            notices: Vec::new(),
            timers: Vec::new(),
            cutter: self.cutter.take(),
        };
        let result = step(&mut self.hosts[host.0].stack, &mut effects);
        self.cutter = effects.cutter;
        for (at, socket, timer) in effects.timers {
            self.queue.push(at, Event::Timer(host, socket, timer));
        }
        let notices = effects.notices.into_iter();
        self.notices
            .extend(notices.map(|(socket, what)| Notice { host, socket, what }));
        for packet in effects.packets {
            self.emit(now, Node::Host(host), packet);
        }
        result
    }
}
