//! The oracle against the boxes: its strategies carried out, packet by packet.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use tcp_punch_proto::noise::{Jitter, Role};
use tcp_punch_proto::{Instant, Strategy};

use super::boxes::{able, case, meaningful};
use super::tcp::{Flags, Host, Packet};
use crate::natbox::{Addresses, Chain, Config, Filtering, Mapping, NatBox, Side, Tracking};
use crate::oracle::{self, Chance, Stack, Topology};

const ONE_WAY: Duration = Duration::from_millis(30);
/// So much later the second side dials, where one is to be the second.
const SECOND: Duration = Duration::from_millis(200);
/// By then a lost or dropped SYN was sent three times.
const END: Duration = Duration::from_secs(6);
/// Of all pairs, one in so many is tried.
const STEP: usize = 61;
const SERVER: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 1), 7_000);

/// A host behind one box.
struct Place {
    host: Host,
    chain: Chain,
    /// What the server saw.
    mapped: SocketAddrV4,
}

impl Place {
    /// Network 1 or 2; the host has contacted the server from its port.
    fn new(number: u8, config: Config, stack: Stack, seed: u64) -> Self {
        let outer = Ipv4Addr::new(198, 51, 100, number);
        let inner = if config.mapping == Mapping::Untranslated {
            Ipv4Addr::new(203, 0, 113, number)
        } else {
            Ipv4Addr::new(192, 168, number, 10)
        };
        let addresses = Addresses {
            outer_v4: Some(outer),
            inner_v4: Some(Ipv4Addr::new(192, 168, number, 1)),
            ..Addresses::default()
        };
        let local = SocketAddrV4::new(inner, 40_000 + u16::from(number));
        let mut place = Self {
            host: Host::new(local, stack, seed),
            chain: Chain {
                boxes: vec![NatBox::new(config, addresses, seed)],
            },
            mapped: local,
        };
        let contact = Packet::tcp(local, SERVER, Flags::Syn, 1, 0);
        let left = place.out(Instant::ZERO, &contact).expect("a SYN leaves");
        place.mapped = left.from;
        let answer = Packet::tcp(SERVER, left.from, Flags::SynAck, 1, 2);
        assert!(place.inward(Instant::ZERO, &answer).is_some());
        let link = Packet::tcp(local, SERVER, Flags::Ack, 2, 2);
        assert!(place.out(Instant::ZERO, &link).is_some());
        place
    }

    fn out(&mut self, now: Instant, packet: &Packet) -> Option<Packet> {
        let left = self.chain.handle(now, Side::Inside, &packet.bytes());
        let (_, bytes) = left.filter(|(side, _)| *side == Side::Outside)?;
        // What leaves untranslated, or with no hop to go, gets no farther.
        Packet::read(&bytes).filter(|packet| !packet.from.ip().is_private() && packet.hops > 1)
    }

    /// What comes to the host, or what the box answers.
    fn inward(&mut self, now: Instant, packet: &Packet) -> Option<(Side, Packet)> {
        let (side, bytes) = self.chain.handle(now, Side::Outside, &packet.bytes())?;
        Some((side, Packet::read(&bytes)?))
    }
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Happens {
    Arrives(Packet),
    Dials { hops: u8 },
    Retransmits { dial: u32 },
    Sends(Packet),
}

/// Two places, and what is to come.
struct Pair {
    places: [Place; 2],
    queue: BinaryHeap<Reverse<(Instant, usize, usize, Happens)>>,
    jitter: Jitter,
    counter: usize,
    /// Whether who is answered dials again.
    redials: bool,
    /// Whether a SYN without an answer is sent again, which would come through by itself.
    retransmits: bool,
    /// Whether an answer ended a dial.
    ended: bool,
}

impl Pair {
    fn new(topology: &Topology, stack: Stack) -> Self {
        Self {
            places: [
                Place::new(1, topology.a[0], stack, 0x11),
                Place::new(2, topology.b[0], stack, 0x22),
            ],
            queue: BinaryHeap::new(),
            jitter: Jitter::new(0x33),
            counter: 0,
            redials: false,
            retransmits: true,
            ended: false,
        }
    }

    fn at(&mut self, time: Instant, place: usize, what: Happens) {
        self.counter += 1;
        self.queue.push(Reverse((time, self.counter, place, what)));
    }

    /// Whether data came to both ends of a connection before the end.
    fn run(&mut self) -> bool {
        while let Some(Reverse((now, _, at, what))) = self.queue.pop() {
            if now > Instant::ZERO.after(END) {
                break;
            }
            self.happen(now, at, what);
            let [a, b] = &self.places;
            if a.host.has_data() && b.host.has_data() {
                return true;
            }
        }
        false
    }

    fn happen(&mut self, now: Instant, at: usize, what: Happens) {
        let other = self.places[1 - at].mapped;
        match what {
            Happens::Dials { hops } => {
                let (dial, syn) = self.places[at].host.dial(other, hops);
                for seconds in [1, 3] {
                    let later = now.after(Duration::from_secs(seconds));
                    self.at(later, at, Happens::Retransmits { dial });
                }
                self.send(now, at, syn);
            }
            Happens::Retransmits { dial } => {
                let syn = self.places[at].host.retransmit(dial);
                if let Some(syn) = syn.filter(|_| self.retransmits) {
                    self.send(now, at, syn);
                }
            }
            Happens::Sends(packet) => self.send(now, at, packet),
            Happens::Arrives(packet) => match self.places[at].inward(now, &packet) {
                Some((Side::Inside, packet)) => {
                    let was_pending = self.places[at].host.is_pending();
                    let answers = self.places[at].host.receive(&packet);
                    let killed = was_pending && self.places[at].host.is_dead();
                    for answer in answers {
                        self.send(now, at, answer);
                    }
                    self.ended |= killed;
                    if killed && self.redials {
                        let pause = Duration::from_micros(2_000 + self.jitter.below(20_000));
                        self.at(now.after(pause), at, Happens::Dials { hops: 64 });
                    }
                }
                Some((Side::Outside, answer)) => self.travel(now, answer),
                None => {}
            },
        }
    }

    fn send(&mut self, now: Instant, at: usize, packet: Packet) {
        if let Some(packet) = self.places[at].out(now, &packet) {
            self.travel(now, packet);
        }
    }

    fn travel(&mut self, now: Instant, packet: Packet) {
        let to = self
            .places
            .iter()
            .position(|place| place.mapped.ip() == packet.to.ip());
        if let Some(to) = to {
            self.at(now.after(ONE_WAY), to, Happens::Arrives(packet));
        }
    }
}

/// Whether it works, and whether an answer ended a dial.
fn carry_out(strategy: Strategy, first: Role, topology: &Topology, stack: Stack) -> (bool, bool) {
    let mut pair = Pair::new(topology, stack);
    let first = first as usize;
    let second = 1 - first;
    let start = Instant::ZERO.after(ONE_WAY);
    let later = start.after(SECOND);
    let dials = |hops| Happens::Dials { hops };
    match strategy {
        Strategy::SimultaneousOpen => {
            pair.redials = true;
            pair.at(start, first, dials(64));
            pair.at(start.after(ONE_WAY * 2), second, dials(64));
        }
        Strategy::Dial => pair.at(start, first, dials(64)),
        Strategy::Sequential | Strategy::LowTtl => {
            let hops = if strategy == Strategy::LowTtl { 2 } else { 64 };
            pair.at(start, first, dials(hops));
            pair.at(later, second, dials(64));
        }
        Strategy::CraftedSynAck | Strategy::SpoofedSynAck => {
            pair.retransmits = false;
            for at in [first, second] {
                pair.at(start, at, dials(2));
            }
            let crafted = strategy == Strategy::CraftedSynAck;
            // What the hosts' next dials begin with is known before, as if from a raw socket.
            let numbers = [0, 1].map(|at| pair.places[at].host.next_number());
            for at in [0, 1] {
                let [own, other] = [numbers[at], numbers[1 - at]];
                let to = pair.places[1 - at].mapped;
                let from = if crafted {
                    pair.places[at].host.local()
                } else {
                    pair.places[at].mapped
                };
                let answer = Packet::tcp(from, to, Flags::SynAck, own, other.wrapping_add(1));
                let what = if crafted {
                    (at, Happens::Sends(answer))
                } else {
                    (1 - at, Happens::Arrives(answer))
                };
                pair.at(later, what.0, what.1);
            }
        }
        Strategy::HostCandidates | Strategy::PortPrediction | Strategy::Birthday => {
            unreachable!("{strategy} is not carried out here")
        }
        other => unreachable!("{other}"),
    }
    (pair.run(), pair.ended)
}

/// Whether a strategy may work although the oracle does not count on it.
fn is_left_open(strategy: Strategy, topology: &Topology, ended: bool) -> bool {
    // A dial that was ended may leave a hole, and a listener to answer by it.
    let by_hole = matches!(strategy, Strategy::Sequential | Strategy::LowTtl);
    // A box that follows nothing lets a SYN-ACK in to whatever port is open.
    let unseen = matches!(strategy, Strategy::CraftedSynAck | Strategy::SpoofedSynAck);
    let mut boxes = topology.a.iter().chain(&topology.b);
    by_hole && ended
        || unseen
            && boxes.any(|config| {
                config.tracking == Tracking::None && config.filtering == Filtering::Open
            })
}

#[test]
fn what_the_oracle_says_is_what_the_boxes_do() {
    let boxes = meaningful();
    let mut tried = 0;
    // Coprime to the number of boxes, so that all of them meet many others.
    for index in (0..boxes.len() * boxes.len()).step_by(STEP) {
        let (a, b) = (boxes[index / boxes.len()], boxes[index % boxes.len()]);
        let topology = Topology::apart(a, b);
        for stack in [Stack::Linux, Stack::Smoltcp] {
            let host = oracle::Host { stack, ..able() };
            let chances = case(topology.clone(), host).chances();
            for strategy in [
                Strategy::SimultaneousOpen,
                Strategy::Dial,
                Strategy::Sequential,
                Strategy::LowTtl,
                Strategy::CraftedSynAck,
                Strategy::SpoofedSynAck,
            ] {
                for first in [Role::Requester, Role::Responder] {
                    let (works, ended) = carry_out(strategy, first, &topology, stack);
                    let expected = chances.with_first(strategy, first);
                    let what = format!("{strategy}, {first:?} first, {stack:?}: {topology:#?}");
                    assert!(works || expected < Chance::Sure, "it does not work: {what}");
                    assert!(
                        !works
                            || expected > Chance::None
                            || is_left_open(strategy, &topology, ended),
                        "it works: {what}"
                    );
                    tried += 1;
                }
            }
        }
    }
    assert!(tried > 10_000);
}
