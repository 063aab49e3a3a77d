//! Describes a world before it begins.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use tcp_punch_proto::noise::{Jitter, SecretKey};
use tcp_punch_proto::rendezvous::ServerConfig;
use tcp_punch_proto::{ConfigBuilder, Endpoint, Family, PeerId, Strategies};

use super::World;
use super::app::Consent;
use super::net::{HostId, Nat, NatId, Network, Place};
use super::peer::{PeerHost, PeerParts};
use super::server::ServerHost;
use super::setup::{MOST_DIALS, PeerSetup, SOCKETS, Site};
use crate::natbox::Addresses;

/// The server's main port.
const MAIN: u16 = 4_000;
/// Its assist ports, one at each of its addresses.
const ASSISTS: [u16; 2] = [4_001, 4_002];

/// Describes a world: two peers behind dropping NATs, RTT 40, 40 and 80 ms.
#[derive(Clone, Debug)]
pub struct Builder {
    seed: u64,
    pub(super) peers: Vec<PeerSetup>,
    rtt: u64,
    loss_ppm: u32,
    jitter: Duration,
    lag: Duration,
    small: bool,
    pub(super) family: Family,
    token: Option<Vec<u8>>,
    keep_alive: Option<Duration>,
}

impl Builder {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            seed,
            peers: (0..2).map(PeerSetup::new).collect(),
            rtt: 80,
            loss_ppm: 0,
            jitter: Duration::ZERO,
            lag: Duration::ZERO,
            small: false,
            family: Family::V4,
            token: None,
            keep_alive: None,
        }
    }

    /// Round trips in milliseconds: A to the server, B to the server, between
    /// any two peers.
    #[must_use]
    pub fn rtts(mut self, a: u64, b: u64, between: u64) -> Self {
        self.peers[0].rtt = a;
        self.peers[1].rtt = b;
        self.rtt = between;
        self
    }

    /// The NATs of A and B.
    #[must_use]
    pub fn nats(mut self, a: Nat, b: Nat) -> Self {
        self.peers[0].site = Site::Behind(a);
        self.peers[1].site = Site::Behind(b);
        self
    }

    /// Whom B lets in.
    #[must_use]
    pub fn consent(self, consent: Consent) -> Self {
        self.peer(1, |peer| peer.consent = consent)
    }

    /// Changes a peer.
    #[must_use]
    pub fn peer(mut self, number: usize, change: impl FnOnce(&mut PeerSetup)) -> Self {
        change(&mut self.peers[number]);
        self
    }

    /// Changes the configuration of every peer.
    #[must_use]
    pub fn configure(mut self, change: impl Fn(ConfigBuilder) -> ConfigBuilder) -> Self {
        for peer in &mut self.peers {
            peer.config = change(peer.config.clone());
        }
        self
    }

    /// No peer can make a SYN end between the NATs.
    #[must_use]
    pub fn without_low_ttl(mut self) -> Self {
        for peer in &mut self.peers {
            peer.runtime.low_ttl = false;
        }
        self
    }

    /// Peers may try each other by chance, and have the sockets for it.
    #[must_use]
    pub fn by_chance(mut self) -> Self {
        for peer in &mut self.peers {
            peer.config = peer.config.clone().strategies(Strategies::ANY);
            peer.runtime.dials = MOST_DIALS;
            peer.sockets = usize::from(MOST_DIALS) + SOCKETS;
        }
        self
    }

    /// Adds a peer like the others.
    #[must_use]
    pub fn add_peer(mut self) -> Self {
        let number = self.peers.len();
        self.peers.push(PeerSetup::new(number));
        self
    }

    /// Loss on every path, in percent.
    #[must_use]
    pub fn loss(mut self, percent: u32) -> Self {
        self.loss_ppm = percent * 10_000;
        self
    }

    /// Jitter on every path, up to this.
    #[must_use]
    pub fn jitter(mut self, jitter: Duration) -> Self {
        self.jitter = jitter;
        self
    }

    /// Timers of peers fire up to this much late.
    #[must_use]
    pub fn lag(mut self, lag: Duration) -> Self {
        self.lag = lag;
        self
    }

    /// Streams travel in pieces of random length.
    #[must_use]
    pub fn cut_small(mut self) -> Self {
        self.small = true;
        self
    }

    /// Everything over IPv6, with firewalls in the place of NATs.
    #[must_use]
    pub fn v6(mut self) -> Self {
        self.family = Family::V6;
        self
    }

    /// The server wants this token.
    #[must_use]
    pub fn token(mut self, token: &[u8]) -> Self {
        self.token = Some(token.to_vec());
        self
    }

    /// The interval of keep-alives that the server names.
    #[must_use]
    pub fn keep_alive(mut self, interval: Duration) -> Self {
        self.keep_alive = Some(interval);
        self
    }

    /// The id of a peer that is not built yet.
    pub fn id_of(&self, number: usize) -> PeerId {
        key(self.seed, self.peers[number].key).public().into()
    }

    /// The world, with nothing started.
    ///
    /// # Panics
    ///
    /// A configuration breaks a rule.
    pub fn build(self) -> World {
        let mut net = Network::new(self.seed);
        if self.small {
            net.cut_streams_small();
        }
        let addresses: Vec<IpAddr> = match self.family {
            Family::V4 => vec![v4([198, 51, 100, 10]), v4([198, 51, 100, 11])],
            Family::V6 => vec![v6(5, 10), v6(5, 11)],
        };
        let server = net.add_host("server", Place::Wan, &addresses);
        let secret = key(self.seed, 1_000);
        let server_key = secret.public();
        let main = Endpoint::new(addresses[0], MAIN);
        let assists: Vec<Endpoint> = addresses
            .iter()
            .zip(ASSISTS)
            .map(|(&ip, port)| Endpoint::new(ip, port))
            .collect();
        let mut config = ServerConfig::new(secret)
            .assists(&assists)
            .expect("endpoints");
        if let Some(token) = &self.token {
            config = config.token(token).expect("short enough");
        }
        if let Some(interval) = self.keep_alive {
            config = config.keep_alive(interval).expect("a fair interval");
        }
        let random = Jitter::new(self.seed ^ 0x7365_7276);
        let server_host = ServerHost::new(server, config, (vec![main], assists), random);

        let mut gateways: Vec<(Option<NatId>, Place)> = Vec::new();
        let mut peers: Vec<PeerHost> = Vec::new();
        for (number, setup) in self.peers.iter().enumerate() {
            let place = self.add_gateway(&mut net, &gateways, number);
            let outermost = match (place, setup.site) {
                (_, Site::With(other) | Site::BehindToo(other, _)) => gateways[other].0,
                (Place::Behind(nat), Site::Behind(_)) => Some(nat),
                // The carrier's box is made just before the home's.
                (Place::Behind(NatId(nat)), Site::Nested(..)) => Some(NatId(nat - 1)),
                (Place::Wan, _) | (_, Site::Public) => None,
            };
            gateways.push((outermost, place));
            let own = self.address(number, setup.site);
            let host = net.add_host(&setup.name, place, &[own]);
            let mut random = Jitter::new(self.seed ^ (0x7065_6572 + number as u64));
            let parts = PeerParts {
                name: setup.name.clone(),
                config: self.config(number).build().expect("a fair configuration"),
                sockets: setup.sockets,
                consent: setup.consent.clone(),
                secret: key(self.seed, setup.key),
                server_key: setup.server_key.unwrap_or(server_key),
                server: main,
                addresses: [own]
                    .into_iter()
                    .chain(setup.claims.iter().copied())
                    .collect(),
                clock: Duration::from_micros(random.below(1 << 40)),
                lag: self.lag,
            };
            net.set_clock(host, parts.clock);
            peers.push(PeerHost::new(parts, host, random));
            self.connect_paths(&mut net, server, &peers, number);
        }
        World::assemble(self.seed, net, server_host, peers)
    }

    /// With what the peer knows of where it sits.
    fn config(&self, number: usize) -> ConfigBuilder {
        let setup = &self.peers[number];
        let mut config = setup.config.clone().runtime(setup.runtime);
        if setup.knows_hops {
            let boxes = self.boxes(number).len();
            config = config.hops(u8::try_from(boxes + 1).expect("few boxes"));
        }
        if setup.names_router {
            config = config.outer_addresses(&[self.in_carrier(number).into()]);
        }
        config
    }

    /// The outer address of a home's router in its carrier's network.
    fn in_carrier(&self, number: usize) -> Ipv4Addr {
        let home = match self.peers[number].site {
            Site::With(other) => other,
            Site::Behind(_) | Site::BehindToo(..) | Site::Nested(..) | Site::Public => number,
        };
        [100, 64, 0, u8::try_from(home + 1).expect("few peers")].into()
    }

    fn add_gateway(
        &self,
        net: &mut Network,
        gateways: &[(Option<NatId>, Place)],
        number: usize,
    ) -> Place {
        let name = format!("nat-{}", self.peers[number].name);
        let last = u8::try_from(number + 1).expect("few peers");
        let home = |outer: [u8; 4]| Addresses {
            outer_v4: Some(outer.into()),
            inner_v4: Some([10, 0, last, 1].into()),
            outer_v6: Some(own_v6(u16::from(last), 1)),
            inner_v6: Some(own_v6(u16::from(last), 2)),
        };
        let public = [203, 0, 113, last];
        let in_carrier = self.in_carrier(number).octets();
        match self.peers[number].site {
            Site::Behind(nat) => Place::Behind(net.add_nat(&name, Place::Wan, nat, home(public))),
            Site::With(other) => gateways[other].1,
            Site::BehindToo(other, nat) => {
                let carrier = gateways[other].0.expect("the other peer is behind a NAT");
                let addresses = home(in_carrier);
                Place::Behind(net.add_nat(&name, Place::Behind(carrier), nat, addresses))
            }
            Site::Nested(nat, carrier) => {
                let addresses = Addresses {
                    outer_v4: Some(public.into()),
                    inner_v4: Some([100, 64, 0, 254].into()),
                    outer_v6: Some(own_v6(u16::from(last), 3)),
                    inner_v6: Some(own_v6(u16::from(last), 4)),
                };
                let name_of_carrier = format!("carrier-{name}");
                let carrier = net.add_nat(&name_of_carrier, Place::Wan, carrier, addresses);
                let addresses = home(in_carrier);
                Place::Behind(net.add_nat(&name, Place::Behind(carrier), nat, addresses))
            }
            Site::Public => Place::Wan,
        }
    }

    fn address(&self, number: usize, site: Site) -> IpAddr {
        let last = u8::try_from(number + 1).expect("few peers");
        match (self.family, site) {
            (Family::V6, _) => own_v6(u16::from(last), 10).into(),
            (Family::V4, Site::Public) => v4([192, 0, 2, last]),
            // In one network with the other.
            (Family::V4, Site::With(other)) => v4([
                10,
                0,
                u8::try_from(other + 1).expect("few peers"),
                10 + last,
            ]),
            (Family::V4, _) => v4([10, 0, last, 10]),
        }
    }

    fn connect_paths(&self, net: &mut Network, server: HostId, peers: &[PeerHost], number: usize) {
        let half = |millis: u64| Duration::from_micros(millis * 500);
        let host = peers[number].host;
        let mut set = |other: HostId, rtt: u64| {
            net.between(host, other, |path| {
                path.delay = half(rtt);
                path.jitter = self.jitter;
                path.loss_ppm = self.loss_ppm;
            });
        };
        set(server, self.peers[number].rtt);
        for other in &peers[..number] {
            set(other.host, self.rtt);
        }
    }
}

/// The seed's keys, by number.
pub(super) fn key(seed: u64, number: usize) -> SecretKey {
    let mut random = Jitter::new(seed ^ (0x006b_6579_0000 + number as u64));
    SecretKey::from_bytes(std::array::from_fn(|_| random.below(256) as u8))
}

fn v4(octets: [u8; 4]) -> IpAddr {
    octets.into()
}

fn v6(network: u16, host: u16) -> IpAddr {
    [0x2001, 0xdb8, network, 0, 0, 0, 0, host].into()
}

/// In the IPv6 network of the peer of that number.
fn own_v6(number: u16, host: u16) -> Ipv6Addr {
    Ipv6Addr::new(0x2001, 0xdb8, 0x100 + number, 0, 0, 0, 0, host)
}
