//! Everything at once, at random: whatever happens, nothing hangs, no rule of
//! the contract breaks, and once the trouble is over whoever can be connected
//! is connected.

use std::time::Duration;

use tcp_punch_proto::noise::Jitter;
use tcp_punch_proto::{SessionId, SessionOptions};
use tcp_punch_tests::natbox::{Early, Filtering, Mapping};
use tcp_punch_tests::world::net::Nat;
use tcp_punch_tests::world::{Answer, Consent, Site, Stop, World, seeds};

const PEERS: usize = 3;

/// The dice of a run.
struct Dice(Jitter);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0.below(bound)
    }

    fn peer(&mut self) -> usize {
        usize::try_from(self.below(PEERS as u64)).expect("small")
    }

    fn one_of<T: Clone>(&mut self, values: &[T]) -> T {
        values[usize::try_from(self.below(values.len() as u64)).expect("small")].clone()
    }

    fn millis(&mut self, bound: u64) -> Duration {
        Duration::from_millis(self.below(bound))
    }
}

fn sites(dice: &mut Dice) -> [Site; PEERS] {
    let nats = [
        Nat::dropping(),
        Nat::resetting(),
        Nat::unreachable(),
        Nat::full_cone(),
        Nat::symmetric(),
        Nat {
            early: Nat::resetting().early,
            ..Nat::symmetric()
        },
        Nat {
            filtering: Filtering::AddressDependent,
            ..Nat::dropping()
        },
        Nat::dropping().idle(Duration::from_secs(40)),
    ];
    let first = Site::Behind(dice.one_of(&nats));
    let mut other = || match dice.below(8) {
        0 => Site::Public,
        1 => Site::With(0),
        2 => Site::Nested(Nat::dropping(), dice.one_of(&nats)),
        _ => Site::Behind(dice.one_of(&nats)),
    };
    [first, other(), other()]
}

/// Whether two peers can be connected at all: NAT-FACTS.md section 2.
fn punchable(sites: &[Site; PEERS], one: usize, other: usize) -> bool {
    let network = |peer: usize| {
        if let Site::With(with) = sites[peer] {
            with
        } else {
            peer
        }
    };
    if network(one) == network(other) {
        return true;
    }
    let outer = |peer: usize| match sites[network(peer)] {
        Site::Behind(nat) | Site::Nested(_, nat) => Some(nat),
        Site::Public | Site::With(_) | Site::BehindToo(..) => None,
    };
    let levels = |peer: usize| matches!(sites[network(peer)], Site::Nested(..));
    let random = |peer| outer(peer).is_some_and(|nat| nat.mapping != Mapping::Independent);
    // Who dials from anywhere gets in: no NAT, or one that only looks at the
    // address. The home NAT of two levels looks at the port.
    let open = |peer| {
        outer(peer)
            .is_none_or(|nat| nat.filtering != Filtering::AddressAndPortDependent && !levels(peer))
    };
    match (random(one), random(other)) {
        (false, false) => true,
        (true, false) => open(other),
        (false, true) => open(one),
        (true, true) => false,
    }
}

fn build(seed: u64, dice: &mut Dice, sites: &[Site; PEERS]) -> World {
    let consents = [
        Consent::InAdvance,
        Consent::Allow,
        Consent::Ask(Answer::Accept(Duration::ZERO)),
        Consent::Ask(Answer::Accept(Duration::from_millis(300))),
    ];
    let mut builder = World::builder(seed)
        .add_peer()
        .jitter(dice.millis(20))
        .lag(dice.millis(3));
    let (a, b, between) = (
        5 + dice.below(200),
        5 + dice.below(200),
        2 + dice.below(200),
    );
    builder = builder
        .rtts(a, b, between)
        .loss(u32::try_from(dice.below(6)).expect("small"));
    if dice.below(2) == 0 {
        builder = builder.cut_small();
    }
    for (number, site) in sites.iter().enumerate() {
        let consent = dice.one_of(&consents);
        let spares = u8::try_from(dice.below(3)).expect("small");
        builder = builder.peer(number, |peer| {
            peer.site = *site;
            peer.consent = consent;
            peer.config = peer.config.clone().spare_ports(spares);
        });
    }
    builder.build()
}

/// Whether there is luck in it: where the side that could be dialled from
/// anywhere is refused by a random NAT, each RST closes the door that its dial
/// has opened, so the other's few SYNs have to come in between.
fn needs_luck(sites: &[Site; PEERS], one: usize, other: usize) -> bool {
    let nat_of = |peer: usize| {
        let peer = if let Site::With(with) = sites[peer] {
            with
        } else {
            peer
        };
        match sites[peer] {
            Site::Behind(nat) | Site::Nested(_, nat) => Some(nat),
            Site::With(_) | Site::Public | Site::BehindToo(..) => None,
        }
    };
    [(one, other), (other, one)]
        .into_iter()
        .any(|(peer, other)| {
            nat_of(peer).is_some_and(|nat| match nat.early {
                // smoltcp's dials never see ICMP: to them it is silence.
                Early::Drop | Early::PortUnreachable | Early::Prohibited | Early::Hold(_) => false,
                Early::Reset => {
                    nat.mapping != Mapping::Independent
                        && nat_of(other)
                            .is_some_and(|nat| nat.filtering == Filtering::AddressDependent)
                }
            })
        })
}

/// What has happened so far.
struct Mayhem {
    world: World,
    dice: Dice,
    running: [bool; PEERS],
    server: bool,
    /// Session, who asked, who was asked.
    sessions: Vec<(SessionId, usize, usize)>,
}

impl Mayhem {
    fn request(&mut self) {
        let (from, to) = (self.dice.peer(), self.dice.peer());
        if from == to || !self.running[from] {
            return;
        }
        let to_id = self.world.id(to);
        // There may be no room, and that is fine.
        if let Ok(session) = self
            .world
            .connect_with(from, to_id, SessionOptions::default())
        {
            self.sessions.push((session, from, to));
        }
    }

    fn with_a_session(&mut self, act: impl FnOnce(&mut World, usize, SessionId)) {
        if self.sessions.is_empty() {
            return;
        }
        let (session, from, to) = self.dice.one_of(&self.sessions);
        let peer = if self.dice.below(2) == 0 { from } else { to };
        if self.running[peer] {
            act(&mut self.world, peer, session);
        }
    }

    fn toggle_server(&mut self) {
        let how = self.dice.one_of(&[Stop::Power, Stop::Crash, Stop::Order]);
        if self.server {
            self.world.stop_server(how);
        } else {
            self.world.start_server();
        }
        self.server = !self.server;
    }

    fn toggle_peer(&mut self) {
        let peer = self.dice.peer();
        let how = self.dice.one_of(&[Stop::Power, Stop::Crash, Stop::Order]);
        if self.running[peer] {
            self.world.stop_peer(peer, how);
            // What it knew of its sessions went with it.
            self.sessions
                .retain(|(_, from, to)| *from != peer && *to != peer);
        } else {
            self.world.start_peer(peer);
        }
        self.running[peer] = !self.running[peer];
    }

    fn toggle_path(&mut self) {
        let (one, other) = (self.dice.peer(), self.dice.peer());
        let one_host = self.world.host(one);
        let other_host = if one == other {
            self.world.server_host()
        } else {
            self.world.host(other)
        };
        self.world
            .net()
            .between(one_host, other_host, |path| path.cut = !path.cut);
    }

    fn restart_nat(&mut self) {
        let peer = self.dice.peer();
        if let Some(nat) = self.world.nat(peer) {
            self.world.net().forget_flows(nat);
        }
    }

    fn step(&mut self) {
        match self.dice.below(20) {
            0 => self.toggle_server(),
            1 => self.toggle_peer(),
            2 => self.toggle_path(),
            3 => self.restart_nat(),
            4 => self.with_a_session(|world, peer, session| {
                // It may be over.
                let _ = world.cancel(peer, session);
            }),
            5 | 6 => self.with_a_session(World::close_stream),
            7..=12 => self.request(),
            _ => {}
        }
        let time = match self.dice.below(10) {
            0 => self.dice.millis(40_000),
            1..=3 => self.dice.millis(2_000),
            _ => self.dice.millis(60),
        };
        self.world.run_for(time);
    }

    fn mend(&mut self) {
        if !self.server {
            self.world.start_server();
        }
        for peer in 0..PEERS {
            if !self.running[peer] {
                self.world.start_peer(peer);
            }
        }
        let mut hosts: Vec<_> = (0..PEERS).map(|peer| self.world.host(peer)).collect();
        hosts.push(self.world.server_host());
        for &one in &hosts {
            for &other in &hosts {
                self.world.net().between(one, other, |path| {
                    path.cut = false;
                    path.loss_ppm = 0;
                });
            }
        }
    }
}

#[test]
fn nothing_hangs_and_all_is_well_in_the_end() {
    let (mut runs, mut lucky) = (0_usize, 0);
    for seed in seeds(400) {
        runs += 1;
        let mut dice = Dice(Jitter::new(seed ^ 0x6d61_7968));
        let sites = sites(&mut dice);
        let mut world = build(seed, &mut dice, &sites);
        world.register();
        let mut mayhem = Mayhem {
            world,
            dice,
            running: [true; PEERS],
            server: true,
            sessions: Vec::new(),
        };
        for _ in 0..60 {
            mayhem.step();
        }
        mayhem.mend();
        let Mayhem {
            mut world,
            sessions,
            ..
        } = mayhem;
        world.run_for(Duration::from_secs(180));
        for (session, from, to) in sessions {
            assert!(
                world.is_over(from, session),
                "{session} hangs at its requester {from}"
            );
            assert!(
                world.is_over(to, session) || !world.is_notified(to, session),
                "{session} hangs at its responder {to}"
            );
        }
        for from in 0..PEERS {
            for to in (0..PEERS).filter(|to| *to != from) {
                let session = world.connect(from, to);
                let time = Duration::from_secs(46);
                if !punchable(&sites, from, to) {
                    assert!(world.run_until(|world| world.is_over(from, session), time));
                    lucky += usize::from(world.is_verified(from, session));
                } else if needs_luck(&sites, from, to) {
                    assert!(world.run_until(|world| world.is_over(from, session), time));
                } else {
                    world.expect_stream(from, to, session, time);
                }
            }
        }
    }
    // A NAT that draws a port for each dial may draw the one that the other side
    // dials: about thirty draws a session, two in 64,512 hit.
    assert!(lucky <= runs.div_ceil(200), "{lucky} of {runs} runs");
}
