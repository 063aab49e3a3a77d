//! The TCP side of one host's kernel: its sockets, and which of them a segment
//! is for.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::Range;
use std::time::Duration;

use tcp_punch_proto::noise::Jitter;
use tcp_punch_proto::{Close, Endpoint, Failure, Family, Instant};

use super::connection::{Connection, Fate, MSS};
use super::segment::{Body, DEFAULT_HOPS, Packet, Segment};
use super::{Happening, Socket};

/// How long a four-tuple stays taken after we closed first (`TCP_TIMEWAIT_LEN`;
/// `tcp_tw_reuse` is for loopback only by default).
const TIME_WAIT: Duration = Duration::from_secs(60);

/// The ports that a host picks from by itself, at random
/// (`ip_local_port_range`).
const EPHEMERAL: Range<u16> = 32_768..61_000;

/// What a step of a stack leads to, besides changes within it.
#[derive(Debug)]
pub(crate) struct Effects {
    pub(crate) now: Instant,
    pub(crate) packets: Vec<Packet>,
    pub(crate) notices: Vec<(Socket, Happening)>,
    pub(crate) timers: Vec<(Instant, Socket, Timer)>,
    /// Cuts what is sent into pieces of random length.
    pub(crate) cutter: Option<Jitter>,
}

/// Why a stack wants to be called later.
#[derive(Copy, Clone, Debug)]
pub(crate) enum Timer {
    /// Something may have to be sent again.
    Again(u64),
    /// The other side had its time to close too.
    Orphan,
}

impl Effects {
    pub(crate) fn tell(&mut self, socket: Socket, what: Happening) {
        self.notices.push((socket, what));
    }

    pub(crate) fn timer(&mut self, delay: Duration, socket: Socket, timer: Timer) {
        self.timers.push((self.now.after(delay), socket, timer));
    }

    /// How much of what is left goes into the next segment.
    pub(crate) fn piece(&mut self, left: usize) -> usize {
        let most = left.min(MSS);
        match &mut self.cutter {
            Some(random) if most > 1 => {
                1 + usize::try_from(random.below(most as u64)).unwrap_or_default()
            }
            _ => most,
        }
    }
}

#[derive(Debug)]
struct Listener {
    /// Port 0: every port, for strangers who take any call.
    local: Endpoint,
}

#[derive(Debug)]
pub(crate) struct Stack {
    addresses: Vec<IpAddr>,
    listeners: BTreeMap<Socket, Listener>,
    connections: BTreeMap<Socket, Connection>,
    tuples: BTreeMap<(Endpoint, Endpoint), Socket>,
    time_wait: BTreeMap<(Endpoint, Endpoint), Instant>,
    random: Jitter,
    ephemeral: Range<u16>,
}

impl Stack {
    pub(crate) fn new(addresses: Vec<IpAddr>, random: Jitter) -> Self {
        Self {
            addresses,
            listeners: BTreeMap::new(),
            connections: BTreeMap::new(),
            tuples: BTreeMap::new(),
            time_wait: BTreeMap::new(),
            random,
            ephemeral: EPHEMERAL,
        }
    }

    /// The host picks from so few ports that one that was just given up comes
    /// again.
    pub(crate) fn set_port_count(&mut self, count: u16) {
        self.ephemeral = EPHEMERAL.start..EPHEMERAL.start + count;
    }

    pub(crate) fn addresses(&self) -> &[IpAddr] {
        &self.addresses
    }

    pub(crate) fn owns(&self, ip: IpAddr) -> bool {
        self.addresses.contains(&ip)
    }

    pub(crate) fn listen(&mut self, socket: Socket, local: Endpoint) -> Result<Endpoint, Failure> {
        // IPv4 is always there, if only as loopback; IPv6 may be switched off.
        if local.family() == Family::V6 && !self.addresses.iter().any(IpAddr::is_ipv6) {
            return Err(Failure::AddressNotAvailable);
        }
        let port = if local.port == 0 {
            self.free_port()
        } else {
            local.port
        };
        let local = Endpoint { port, ..local };
        self.listeners.insert(socket, Listener { local });
        Ok(local)
    }

    pub(crate) fn listen_on_every_port(&mut self, socket: Socket, family: Family) {
        self.listeners.insert(
            socket,
            Listener {
                local: Endpoint::unspecified(family, 0),
            },
        );
    }

    pub(crate) fn dial(
        &mut self,
        socket: Socket,
        local: Endpoint,
        remote: Endpoint,
        hops: Option<u8>,
        effects: &mut Effects,
    ) -> Result<(), Failure> {
        let ip = self.source_for(local.ip, remote.ip)?;
        let port = if local.port == 0 {
            self.free_port()
        } else {
            local.port
        };
        let tuple = (Endpoint { ip, port }, remote);
        let now = effects.now;
        self.time_wait.retain(|_, until| *until > now);
        if self.tuples.contains_key(&tuple) || self.time_wait.contains_key(&tuple) {
            return Err(Failure::AddressNotAvailable);
        }
        let mut connection = Connection::new(now, socket, tuple, None, hops);
        connection.open(None, effects);
        self.tuples.insert(tuple, socket);
        self.connections.insert(socket, connection);
        Ok(())
    }

    pub(crate) fn send(&mut self, socket: Socket, data: &[u8], effects: &mut Effects) {
        let Some(connection) = self.connections.get_mut(&socket) else {
            return;
        };
        let fate = connection.send(data, effects);
        self.apply(socket, fate, effects);
    }

    pub(crate) fn readable(&self, socket: Socket) -> usize {
        self.connections
            .get(&socket)
            .map_or(0, Connection::readable)
    }

    pub(crate) fn read(&mut self, socket: Socket, count: usize) -> Vec<u8> {
        self.connections
            .get_mut(&socket)
            .map(|open| open.read(count))
            .unwrap_or_default()
    }

    pub(crate) fn ended(&self, socket: Socket) -> Option<Option<Failure>> {
        self.connections.get(&socket)?.ended()
    }

    /// Closes a socket of any kind.
    pub(crate) fn close(&mut self, socket: Socket, how: Close, effects: &mut Effects) {
        if self.listeners.remove(&socket).is_some() {
            self.close_unaccepted(socket, effects);
            return;
        }
        let Some(connection) = self.connections.get_mut(&socket) else {
            return;
        };
        let fate = match how {
            Close::Reset => {
                connection.reset(effects);
                Fate::Gone
            }
            // No kernel closes a connection that is up without a word; what is
            // meant by silent is a dial.
            Close::Fin | Close::Silent => connection.finish(effects),
        };
        self.apply(socket, fate, effects);
    }

    /// As a process does that ends without a word: the kernel closes for it.
    pub(crate) fn close_all(&mut self, effects: &mut Effects) {
        let open: Vec<Socket> = self
            .connections
            .values()
            .filter(|open| !open.is_orphan())
            .map(|open| open.socket)
            .chain(self.listeners.keys().copied())
            .collect();
        for socket in open {
            self.close(socket, Close::Fin, effects);
        }
    }

    /// As a host does that loses its power.
    pub(crate) fn forget_all(&mut self) {
        let addresses = std::mem::take(&mut self.addresses);
        let ephemeral = self.ephemeral.clone();
        *self = Self {
            ephemeral,
            ..Self::new(addresses, self.random.clone())
        };
    }

    pub(crate) fn on_timer(&mut self, socket: Socket, timer: Timer, effects: &mut Effects) {
        let Some(connection) = self.connections.get_mut(&socket) else {
            return;
        };
        let fate = match timer {
            Timer::Again(number) if number != connection.timer => return,
            Timer::Again(_) => connection.on_timer(effects),
            Timer::Orphan => connection.on_orphan_timer(effects),
        };
        self.apply(socket, fate, effects);
    }

    pub(crate) fn on_packet(&mut self, packet: Packet, fresh: Socket, effects: &mut Effects) {
        let Packet { from, to, body, .. } = packet;
        match body {
            Body::Tcp(segment) => self.on_segment((to, from), segment, fresh, effects),
            Body::Unreachable { about } => {
                let Some(&socket) = self.tuples.get(&(to, about)) else {
                    return;
                };
                let fate = self.connections[&socket].on_unreachable(effects);
                self.apply(socket, fate, effects);
            }
        }
    }

    /// The exact four-tuple first, a pending dial or an open connection alike;
    /// then a listener; then nobody.
    fn on_segment(
        &mut self,
        tuple: (Endpoint, Endpoint),
        segment: Segment,
        fresh: Socket,
        effects: &mut Effects,
    ) {
        if let Some(&socket) = self.tuples.get(&tuple) {
            if let Some(connection) = self.connections.get_mut(&socket) {
                let fate = connection.on_segment(segment, effects);
                self.apply(socket, fate, effects);
            }
            return;
        }
        let opens = segment.opens();
        let listener = self
            .listeners
            .iter()
            .find(|(_, listener)| listener.takes(tuple.0));
        match (opens, listener) {
            (true, Some((&listener, _))) => {
                // A new SYN is welcome while the old connection waits (RFC 6191).
                self.time_wait.remove(&tuple);
                let mut child = Connection::new(effects.now, fresh, tuple, Some(listener), None);
                child.open(segment.seq.map(|seq| seq.isn), effects);
                self.tuples.insert(tuple, fresh);
                self.connections.insert(fresh, child);
            }
            (true, None) | (false, _) => {
                if self.time_wait.contains_key(&tuple) {
                    return;
                }
                if let Some(refusal) = segment.refusal() {
                    let body = Body::Tcp(refusal);
                    let (from, to) = tuple;
                    effects.packets.push(Packet {
                        from,
                        to,
                        hops: DEFAULT_HOPS,
                        body,
                    });
                }
            }
        }
    }

    /// Connections that nobody accepted die with their listener.
    fn close_unaccepted(&mut self, listener: Socket, effects: &mut Effects) {
        let waiting: Vec<Socket> = self
            .connections
            .values()
            .filter(|child| child.listener == Some(listener) && child.is_half_open())
            .map(|child| child.socket)
            .collect();
        for socket in waiting {
            self.close(socket, Close::Reset, effects);
        }
    }

    fn apply(&mut self, socket: Socket, fate: Fate, effects: &Effects) {
        let Some(connection) = self.connections.get(&socket) else {
            return;
        };
        let tuple = (connection.local, connection.remote);
        match fate {
            Fate::Lives => return,
            Fate::Broken | Fate::Gone => {}
            Fate::TimeWait => {
                self.time_wait.insert(tuple, effects.now.after(TIME_WAIT));
            }
        }
        if self.tuples.get(&tuple) == Some(&socket) {
            self.tuples.remove(&tuple);
        }
        // What broke stays readable until the application closes it.
        if fate != Fate::Broken {
            self.connections.remove(&socket);
        }
    }

    /// The address that a route to `remote` would choose: one of the same
    /// network if there is one, else the first of its family.
    fn source_for(&self, wanted: IpAddr, remote: IpAddr) -> Result<IpAddr, Failure> {
        if !wanted.is_unspecified() {
            return if self.owns(wanted) {
                Ok(wanted)
            } else {
                Err(Failure::AddressNotAvailable)
            };
        }
        let family = Family::of(remote);
        let mut mine = self
            .addresses
            .iter()
            .copied()
            .filter(|&ip| Family::of(ip) == family);
        let first = mine.clone().next().ok_or(Failure::Unreachable)?;
        Ok(mine.find(|&ip| same_network(ip, remote)).unwrap_or(first))
    }

    fn free_port(&mut self) -> u16 {
        loop {
            let offset = self.random.below(self.ephemeral.len() as u64);
            let port = self.ephemeral.start + u16::try_from(offset).unwrap_or_default();
            let taken = self.tuples.keys().any(|(local, _)| local.port == port)
                || self
                    .listeners
                    .values()
                    .any(|listener| listener.local.port == port);
            if !taken {
                return port;
            }
        }
    }
}

impl Listener {
    fn takes(&self, local: Endpoint) -> bool {
        let port = self.local.port == local.port || self.local.port == 0;
        let ip = self.local.ip == local.ip
            || (self.local.ip.is_unspecified() && self.local.family() == local.family());
        port && ip
    }
}

fn same_network(a: IpAddr, b: IpAddr) -> bool {
    match (a, b) {
        (IpAddr::V4(a), IpAddr::V4(b)) => a.octets()[..3] == b.octets()[..3],
        (IpAddr::V6(a), IpAddr::V6(b)) => a.segments()[..4] == b.segments()[..4],
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
    }
}
