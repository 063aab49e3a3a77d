//! The world at work: lets one thing happen after another.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use tcp_punch_proto::{Endpoint, Event, Instant, Misuse, PeerId, SessionId, SessionOptions};

use super::builder::Builder;
use super::net::{HostId, NatId, Network, Place};
use super::peer::{PeerHost, Stage};
use super::server::{ServerHost, Tamper};
use super::stranger::{Habit, Stranger};
use super::trace::Trace;

/// The first peer: in most tests the one that asks.
pub const A: usize = 0;
/// The second peer: in most tests the one that is asked.
pub const B: usize = 1;
/// The third peer, where there is one.
pub const C: usize = 2;

/// How a host goes away.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// It loses its power: silence.
    Power,
    /// The process dies, and the kernel closes its sockets.
    Crash,
    /// It shuts down in order.
    Order,
}

/// A world. Times are counted from its beginning.
#[derive(Debug)]
pub struct World {
    pub(super) seed: u64,
    pub(super) now: Instant,
    pub(super) net: Network,
    pub(super) trace: Trace,
    pub(super) server: ServerHost,
    pub(super) peers: Vec<PeerHost>,
    pub(super) strangers: Vec<Stranger>,
    pub(super) requested: BTreeMap<SessionId, Instant>,
}

impl World {
    /// Describes a world.
    pub fn builder(seed: u64) -> Builder {
        Builder::new(seed)
    }

    pub(super) fn assemble(
        seed: u64,
        net: Network,
        server: ServerHost,
        peers: Vec<PeerHost>,
    ) -> Self {
        Self {
            seed,
            now: Instant::from_millis(1),
            net,
            trace: Trace::new(),
            server,
            peers,
            strangers: Vec::new(),
            requested: BTreeMap::new(),
        }
    }

    /// Starts server and peers, and waits until everybody is registered and
    /// has had the time to observe its ports.
    ///
    /// # Panics
    ///
    /// A peer does not get that far within two minutes.
    pub fn register(&mut self) {
        self.register_only();
        self.run_for(Duration::from_secs(5));
    }

    /// Starts server and peers, and waits until everybody is registered and no
    /// longer.
    ///
    /// # Panics
    ///
    /// A peer does not get that far within two minutes.
    pub fn register_only(&mut self) {
        self.start_server();
        for peer in 0..self.peers.len() {
            self.start_peer(peer);
        }
        let all = self.run_until(
            |world| (0..world.peers.len()).all(|peer| world.is_registered(peer)),
            Duration::from_secs(120),
        );
        assert!(all, "not everybody is registered");
    }

    /// Starts the server's process.
    pub fn start_server(&mut self) {
        self.net.revive(self.server.host);
        self.on_server(ServerHost::start);
    }

    /// Stops the server.
    pub fn stop_server(&mut self, how: Stop) {
        self.trace
            .line(self.now, format!("the server goes: {how:?}"));
        let host = self.server.host;
        match how {
            Stop::Power => {
                self.net.kill(host);
                self.server.stop();
            }
            Stop::Crash => {
                self.server.stop();
                self.net.close_all(self.now, host);
            }
            Stop::Order => self.on_server(ServerHost::drain_links),
        }
    }

    /// Starts a peer's process.
    pub fn start_peer(&mut self, peer: usize) {
        self.net.revive(self.peers[peer].host);
        self.on_peer(peer, PeerHost::start);
    }

    /// Stops a peer.
    pub fn stop_peer(&mut self, peer: usize, how: Stop) {
        self.trace.line(
            self.now,
            format!("{} goes: {how:?}", self.peers[peer].parts.name),
        );
        let host = self.peers[peer].host;
        match how {
            Stop::Power => {
                self.net.kill(host);
                self.peers[peer].stop();
            }
            Stop::Crash => {
                self.peers[peer].stop();
                self.net.close_all(self.now, host);
            }
            Stop::Order => {
                self.on_peer(peer, |host, stage| {
                    host.call(stage, |machine, now| machine.shutdown(now));
                });
            }
        }
    }

    /// Asks for a stream with the default options.
    ///
    /// # Panics
    ///
    /// The machine calls it misuse.
    pub fn connect(&mut self, from: usize, to: usize) -> SessionId {
        let to = self.id(to);
        self.connect_with(from, to, SessionOptions::default())
            .expect("a request")
    }

    /// Asks for a stream.
    ///
    /// # Errors
    ///
    /// What the machine says.
    pub fn connect_with(
        &mut self,
        from: usize,
        to: PeerId,
        options: SessionOptions,
    ) -> Result<SessionId, Misuse> {
        let now = self.now;
        let result = self.on_peer(from, |host, stage| host.connect(stage, to, options));
        if let Ok(session) = result {
            self.requested.insert(session, now);
        }
        result
    }

    /// Cancels a session.
    ///
    /// # Errors
    ///
    /// What the machine says.
    pub fn cancel(&mut self, peer: usize, session: SessionId) -> Result<(), Misuse> {
        self.on_peer(peer, |host, stage| {
            host.call(stage, |machine, now| machine.cancel(now, session))
        })
    }

    /// Sends bytes of the application over a verified stream.
    pub fn write(&mut self, peer: usize, session: SessionId, data: &[u8]) {
        self.on_peer(peer, |host, stage| host.write(stage, session, data));
    }

    /// Closes a verified stream.
    pub fn close_stream(&mut self, peer: usize, session: SessionId) {
        self.on_peer(peer, |host, stage| host.close_stream(stage, session));
    }

    /// Makes the server lie about what links tell each other.
    pub fn tamper(&mut self, tamper: Tamper) {
        self.server.tamper = Some(tamper);
    }

    /// Adds a stranger in the wide area network or beside a peer; it listens on
    /// every port.
    pub fn add_stranger(&mut self, place: Place, address: IpAddr, habit: Habit) -> usize {
        let number = self.strangers.len();
        let host = self
            .net
            .add_host(&format!("stranger-{number}"), place, &[address]);
        self.net
            .listen_on_every_port(host, tcp_punch_proto::Family::of(address));
        self.strangers.push(Stranger::new(host, habit));
        number
    }

    /// Somebody else is at the server's address.
    pub fn impersonate_server(&mut self, habit: Habit) {
        let host = self.server.host;
        self.net
            .listen_on_every_port(host, tcp_punch_proto::Family::V4);
        self.strangers.push(Stranger::new(host, habit));
    }

    /// Lets a stranger dial.
    pub fn stranger_dials(&mut self, stranger: usize, remote: Endpoint) {
        let mut stage = Stage {
            now: self.now,
            net: &mut self.net,
            trace: &mut self.trace,
        };
        self.strangers[stranger].dial(&mut stage, remote);
    }

    /// Lets a stranger open a connection, which comes to nothing.
    pub fn stranger_knocks(&mut self, stranger: usize, remote: Endpoint) {
        let mut stage = Stage {
            now: self.now,
            net: &mut self.net,
            trace: &mut self.trace,
        };
        self.strangers[stranger].knock(&mut stage, remote);
    }

    /// Lets time pass.
    pub fn run_for(&mut self, time: Duration) {
        self.run_until(|_| false, time);
    }

    /// Lets things happen until it is so, at most this long; whether it is.
    pub fn run_until(&mut self, is_so: impl Fn(&Self) -> bool, time: Duration) -> bool {
        let end = self.now.after(time);
        loop {
            if is_so(self) {
                return true;
            }
            match self.next_at().filter(|&at| at <= end) {
                Some(at) => {
                    self.now = self.now.max(at);
                    self.step();
                }
                None => {
                    self.now = end;
                    return false;
                }
            }
        }
    }

    fn next_at(&self) -> Option<Instant> {
        let peers = self.peers.iter().filter_map(PeerHost::next_at);
        peers
            .chain(self.net.next_at())
            .chain(self.server.next_at())
            .min()
    }

    fn step(&mut self) {
        let now = self.now;
        if let Some(host) = self.net.step(now) {
            self.let_work(host);
        }
        self.take_log();
        for peer in 0..self.peers.len() {
            if self.peers[peer].next_at().is_some_and(|at| at <= now) {
                self.on_peer(peer, PeerHost::wake);
            }
        }
        if self.server.next_at().is_some_and(|at| at <= now) {
            self.on_server(ServerHost::wake);
        }
        self.take_log();
    }

    /// A host's stack has something to do.
    fn let_work(&mut self, host: HostId) {
        let of_peer = |peer: &PeerHost| peer.host == host && peer.is_running();
        if let Some(peer) = self.peers.iter().position(of_peer) {
            self.on_peer(peer, PeerHost::poll);
            return;
        }
        for (socket, what) in self.net.run_host(self.now, host) {
            let mut stage = Stage {
                now: self.now,
                net: &mut self.net,
                trace: &mut self.trace,
            };
            let mut strangers = self.strangers.iter_mut();
            if let Some(stranger) = strangers.find(|stranger| stranger.host == host) {
                stranger.on_notice(&mut stage, socket, what);
            } else if self.server.host == host {
                self.server.on_notice(&mut stage, socket, what);
            }
        }
    }

    fn take_log(&mut self) {
        for (at, line) in self.net.take_log() {
            self.trace.line(at, line);
        }
    }

    fn on_peer<R>(
        &mut self,
        peer: usize,
        act: impl FnOnce(&mut PeerHost, &mut Stage<'_>) -> R,
    ) -> R {
        let mut stage = Stage {
            now: self.now,
            net: &mut self.net,
            trace: &mut self.trace,
        };
        act(&mut self.peers[peer], &mut stage)
    }

    fn on_server<R>(&mut self, act: impl FnOnce(&mut ServerHost, &mut Stage<'_>) -> R) -> R {
        let mut stage = Stage {
            now: self.now,
            net: &mut self.net,
            trace: &mut self.trace,
        };
        act(&mut self.server, &mut stage)
    }

    /// The network, to change it while the world runs.
    pub fn net(&mut self) -> &mut Network {
        &mut self.net
    }

    /// A peer's host.
    pub fn host(&self, peer: usize) -> HostId {
        self.peers[peer].host
    }

    /// The server's host.
    pub fn server_host(&self) -> HostId {
        self.server.host
    }

    /// Where a peer sits, for a stranger to sit beside it.
    pub fn place(&self, peer: usize) -> Place {
        self.net.place(self.peers[peer].host)
    }

    /// The NAT that a peer is right behind.
    pub fn nat(&self, peer: usize) -> Option<NatId> {
        match self.place(peer) {
            Place::Wan => None,
            Place::Behind(nat) => Some(nat),
        }
    }

    /// The host has only so many ports to give out by itself, from its next
    /// start on.
    pub fn set_port_count(&mut self, peer: usize, count: u16) {
        self.peers[peer].port_count = Some(count);
    }

    /// The NAT that a peer is right behind loses all its mappings.
    ///
    /// # Panics
    ///
    /// The peer is behind none.
    pub fn nat_forgets(&mut self, peer: usize) {
        let nat = self.nat(peer).expect("a NAT");
        self.trace.line(
            self.now,
            format!("the NAT of {} forgets", self.peers[peer].parts.name),
        );
        self.net.forget_flows(nat);
    }

    /// The NAT that a peer is right behind reboots, which takes a while; it may
    /// come back with another outer address.
    ///
    /// # Panics
    ///
    /// The peer is behind none.
    pub fn nat_reboots(&mut self, peer: usize, takes: Duration, outer: Option<Ipv4Addr>) {
        let nat = self.nat(peer).expect("a NAT");
        let name = &self.peers[peer].parts.name;
        self.trace
            .line(self.now, format!("the NAT of {name} reboots: {outer:?}"));
        self.net.reboot_nat(self.now, nat, takes, outer);
    }

    /// A peer's id.
    pub fn id(&self, peer: usize) -> PeerId {
        self.peers[peer].id()
    }

    /// What a peer's application was told, and when.
    pub fn events(&self, peer: usize) -> &[(Instant, Event)] {
        &self.peers[peer].events
    }

    /// Now.
    pub fn now(&self) -> Instant {
        self.now
    }
}
