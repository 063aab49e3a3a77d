//! What the network has to show: NAT-FACTS.md sections 1 and 2, on real stacks.

use std::net::IpAddr;
use std::time::Duration;

use tcp_punch_proto::{Close, Endpoint, Failure, Family, Instant};

use super::{Happening, HostId, Nat, NatId, Network, Place, Socket};
use crate::natbox::{Addresses, Tracking, preset};

const A_PORT: u16 = 5_000;
const B_PORT: u16 = 6_000;

fn endpoint(text: &str) -> Endpoint {
    text.parse::<std::net::SocketAddr>().unwrap().into()
}

fn any(port: u16) -> Endpoint {
    Endpoint::unspecified(Family::V4, port)
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn addresses(number: u8) -> Addresses {
    let v6 = |last| [0x2001, 0xdb8, u16::from(number), 0, 0, 0, 0, last].into();
    Addresses {
        outer_v4: Some([203, 0, 113, number].into()),
        inner_v4: Some([10, 0, number, 1].into()),
        outer_v6: Some(v6(1)),
        inner_v6: Some(v6(2)),
    }
}

/// Two hosts behind a NAT each, 80 ms from each other.
struct Pair {
    net: Network,
    now: Instant,
    notices: Vec<(Instant, HostId, Socket, Happening)>,
    log: Vec<String>,
    a: HostId,
    b: HostId,
}

impl Pair {
    fn new(of_a: Nat, of_b: Nat) -> Self {
        Self::of(Network::new(1), of_a, of_b)
    }

    fn of(mut net: Network, of_a: Nat, of_b: Nat) -> Self {
        let nat_a = net.add_nat("nat-a", Place::Wan, of_a, addresses(1));
        let nat_b = net.add_nat("nat-b", Place::Wan, of_b, addresses(2));
        let a = net.add_host("a", Place::Behind(nat_a), &[ip("10.0.1.10")]);
        let b = net.add_host("b", Place::Behind(nat_b), &[ip("10.0.2.10")]);
        net.between(a, b, |path| path.delay = Duration::from_millis(40));
        Self::with(net, a, b)
    }

    fn with(net: Network, a: HostId, b: HostId) -> Self {
        Self {
            net,
            now: Instant::ZERO,
            notices: Vec::new(),
            log: Vec::new(),
            a,
            b,
        }
    }

    fn run_until(&mut self, millis: u64) {
        let end = Instant::from_millis(millis);
        while let Some(at) = self.net.next_at().filter(|&at| at <= end) {
            self.now = self.now.max(at);
            if let Some(host) = self.net.step(self.now) {
                let news = self.net.run_host(self.now, host);
                let at = self.now;
                self.notices.extend(
                    news.into_iter()
                        .map(|(socket, what)| (at, host, socket, what)),
                );
            }
            let log = self.net.take_log();
            self.log.extend(log.into_iter().map(|(_, line)| line));
        }
        self.now = end;
    }

    fn a_dials(&mut self) -> Socket {
        self.a_dials_with(None)
    }

    fn a_dials_with(&mut self, hops: Option<u8>) -> Socket {
        let ends = (any(A_PORT), endpoint("203.0.113.2:6000"));
        self.net.dial(self.now, self.a, ends, hops).unwrap()
    }

    fn b_dials(&mut self) -> Socket {
        self.b_dials_with(None)
    }

    fn b_dials_with(&mut self, hops: Option<u8>) -> Socket {
        let ends = (any(B_PORT), endpoint("203.0.113.1:5000"));
        self.net.dial(self.now, self.b, ends, hops).unwrap()
    }

    /// When a dial succeeded, in milliseconds.
    fn connected(&self, dial: Socket) -> Option<u64> {
        self.when(dial, |what| matches!(what, Happening::Connected { .. }))
    }

    fn refused(&self, dial: Socket) -> Option<u64> {
        self.when(dial, |what| {
            matches!(what, Happening::DialFailed(Failure::Refused))
        })
    }

    fn when(&self, of: Socket, is: impl Fn(&Happening) -> bool) -> Option<u64> {
        let mut notices = self.notices.iter();
        notices
            .find(|(_, _, socket, what)| *socket == of && is(what))
            .map(|(at, ..)| at.as_micros() / 1_000)
    }

    fn accepted(&self, host: HostId) -> Option<Socket> {
        let mut notices = self.notices.iter();
        notices
            .find(|(_, at, _, what)| *at == host && matches!(what, Happening::Accepted { .. }))
            .map(|(_, _, socket, _)| *socket)
    }

    fn saw(&self, text: &str) -> bool {
        self.log.iter().any(|line| line.contains(text))
    }
}

#[test]
fn two_dials_that_cross_meet_through_every_nat_that_keeps_the_port() {
    for of_a in [
        "drop",
        "rst",
        "icmp",
        "hold",
        "full-cone",
        "stateless",
        "liberal",
        "rfc5382",
    ] {
        for of_b in ["drop", "rst", "icmp-admin", "address-restricted", "hairpin"] {
            let mut pair = Pair::new(preset(of_a).unwrap(), preset(of_b).unwrap());
            let a = pair.a_dials();
            pair.run_until(20);
            let b = pair.b_dials();
            pair.run_until(1_000);
            // SYN, SYN-ACK, and the ACK that answers it: three one-way trips.
            assert_eq!(pair.connected(a), Some(140), "{of_a} {of_b}");
            assert_eq!(pair.connected(b), Some(120), "{of_a} {of_b}");
        }
    }
}

#[test]
fn early_syns_are_dropped_or_refused() {
    for (nat, refused) in [
        (Nat::dropping(), None),
        (Nat::resetting(), Some(80)),
        // Nobody tells smoltcp's sockets of ICMP.
        (Nat::unreachable(), None),
    ] {
        let mut pair = Pair::new(Nat::dropping(), nat);
        let a = pair.a_dials();
        pair.run_until(1_500);
        assert_eq!(pair.refused(a), refused, "{:?}", nat.early);
        assert_eq!(pair.connected(a), None);
    }
}

#[test]
fn a_short_hop_limit_dies_between_the_nats() {
    // The far NAT answers early SYNs with RST, and never sees this one.
    let mut pair = Pair::new(Nat::resetting(), Nat::dropping());
    let b = pair.b_dials_with(Some(3));
    pair.run_until(500);
    assert!(pair.saw("hop limit"));
    assert!(pair.saw("> 10.0.2.10:0 ICMP time exceeded: arrives"));
    let a = pair.a_dials();
    pair.run_until(2_000);
    assert_eq!(pair.connected(a), Some(580));
    assert_eq!(pair.connected(b), Some(620));
    assert_eq!((pair.refused(a), pair.refused(b)), (None, None));

    // With the host's own it is refused, and the hole is gone with the RST.
    let mut pair = Pair::new(Nat::resetting(), Nat::dropping());
    let b = pair.b_dials();
    pair.run_until(500);
    assert_eq!(pair.refused(b), Some(80));
    let a = pair.a_dials();
    pair.run_until(2_000);
    assert_eq!(pair.connected(a), None);
}

#[test]
fn a_hop_limit_of_one_makes_no_hole() {
    let mut pair = Pair::new(Nat::dropping(), Nat::dropping());
    let b = pair.b_dials_with(Some(1));
    pair.run_until(500);
    let a = pair.a_dials();
    pair.run_until(900);
    assert_eq!((pair.connected(a), pair.connected(b)), (None, None));
    // The SYN that is sent again after a second has the host's own limit.
    pair.run_until(2_000);
    assert!(pair.connected(a).is_some() && pair.connected(b).is_some());
}

#[test]
fn whoever_closed_its_dial_cannot_listen() {
    // Trap 1: B's NAT lets out only segments with B's first number.
    let mut pair = Pair::new(Nat::dropping(), Nat::dropping());
    let b = pair.b_dials();
    pair.run_until(100);
    pair.net.close(pair.now, pair.b, b, Close::Silent);
    pair.net.listen(pair.b, any(B_PORT)).unwrap();
    pair.run_until(110);
    let a = pair.a_dials();
    pair.run_until(60_000);
    assert_eq!(pair.connected(a), None);
    assert!(pair.saw("leaks out as it came") && pair.saw("not of this site"));
}

#[test]
fn two_symmetric_nats_let_nobody_through() {
    let mut pair = Pair::new(Nat::symmetric(), Nat::symmetric());
    let (a, b) = (pair.a_dials(), pair.b_dials());
    pair.run_until(60_000);
    assert_eq!((pair.connected(a), pair.connected(b)), (None, None));
}

#[test]
fn a_listener_takes_what_no_dial_waits_for_and_speaks_first_if_it_likes() {
    let mut pair = Pair::new(Nat::dropping(), Nat::full_cone());
    pair.net.listen(pair.b, any(B_PORT)).unwrap();
    let elsewhere = endpoint("203.0.113.1:7");
    let ends = (any(B_PORT), elsewhere);
    pair.net.dial(pair.now, pair.b, ends, None).unwrap();
    pair.run_until(100);
    let a = pair.a_dials();
    pair.run_until(300);
    assert_eq!(pair.connected(a), Some(180));
    let child = pair.accepted(pair.b).expect("accepted");
    // The four-tuple is taken.
    let ends = (any(B_PORT), endpoint("203.0.113.1:5000"));
    let second = pair.net.dial(pair.now, pair.b, ends, None);
    assert_eq!(second, Err(Failure::AddressNotAvailable));
    pair.net.send(pair.now, pair.b, child, b"hello");
    pair.run_until(400);
    assert_eq!(pair.net.read(pair.now, pair.a, a, 5), b"hello");
}

#[test]
fn a_lost_syn_costs_a_second() {
    let mut pair = Pair::new(Nat::dropping(), Nat::dropping());
    let (a, b) = (pair.a, pair.b);
    pair.net.between(a, b, |path| path.cut = true);
    let (dial_a, dial_b) = (pair.a_dials(), pair.b_dials());
    pair.run_until(500);
    pair.net.between(a, b, |path| path.cut = false);
    pair.run_until(3_000);
    assert_eq!(pair.connected(dial_a), Some(1_120));
    assert_eq!(pair.connected(dial_b), Some(1_120));
}

#[test]
fn streams_are_whole_and_in_order_under_loss_reordering_and_cutting() {
    for seed in 0..20 {
        let mut net = Network::new(seed);
        net.cut_streams_small();
        let mut pair = Pair::of(net, Nat::dropping(), Nat::resetting());
        let (a, b) = (pair.a_dials(), pair.b_dials());
        pair.run_until(1_000);
        let (host_a, host_b) = (pair.a, pair.b);
        pair.net.between(host_a, host_b, |path| {
            path.loss_ppm = 100_000;
            path.reorder_ppm = 300_000;
            path.jitter = Duration::from_millis(30);
        });
        let bytes: Vec<u8> = (0..2_000_u32).map(|byte| (byte % 251) as u8).collect();
        pair.net.send(pair.now, host_a, a, &bytes);
        pair.net.send(pair.now, host_b, b, &bytes[..100]);
        pair.run_until(300_000);
        assert_eq!(
            pair.net.read(pair.now, host_b, b, 5_000),
            bytes,
            "seed {seed}"
        );
        // Without loss: a FIN that arrives before what it follows is ignored by
        // smoltcp 0.14, and may then not be sent again.
        pair.net.between(host_a, host_b, |path| path.loss_ppm = 0);
        pair.net.close(pair.now, host_a, a, Close::Fin);
        pair.run_until(301_000);
        assert_eq!(pair.net.ended(host_b, b), Some(None), "seed {seed}");
    }
}

#[test]
fn a_dead_host_is_silent_and_a_restarted_one_resets() {
    let mut pair = Pair::new(Nat::dropping(), Nat::dropping());
    let (a, _) = (pair.a_dials(), pair.b_dials());
    pair.run_until(1_000);
    pair.net.kill(pair.b);
    pair.net.send(pair.now, pair.a, a, b"anyone?");
    pair.run_until(2_000);
    assert_eq!(pair.net.ended(pair.a, a), None);
    pair.net.revive(pair.b);
    pair.run_until(20_000);
    assert_eq!(pair.net.ended(pair.a, a), Some(Some(Failure::Reset)));
}

#[test]
fn a_syn_for_a_connection_that_is_up_is_challenged() {
    // A has lost its memory, and dials again from the same port.
    let nat = Nat {
        tracking: Tracking::Liberal,
        ..preset("full-cone").unwrap()
    };
    let mut pair = Pair::new(nat, nat);
    let (_, b) = (pair.a_dials(), pair.b_dials());
    pair.run_until(1_000);
    pair.net.listen(pair.b, any(B_PORT)).unwrap();
    pair.net.kill(pair.a);
    pair.net.revive(pair.a);
    let again = pair.a_dials();
    pair.run_until(1_200);
    assert_eq!(pair.net.ended(pair.b, b), Some(Some(Failure::Reset)));
    pair.run_until(10_000);
    assert!(pair.connected(again).is_some());
}

#[test]
fn who_closes_first_keeps_the_four_tuple_for_a_while() {
    let mut pair = Pair::new(Nat::dropping(), Nat::dropping());
    let (a, b) = (pair.a_dials(), pair.b_dials());
    pair.run_until(1_000);
    pair.net.close(pair.now, pair.a, a, Close::Fin);
    pair.run_until(1_100);
    assert_eq!(pair.net.ended(pair.b, b), Some(None));
    pair.net.close(pair.now, pair.b, b, Close::Fin);
    pair.run_until(2_000);
    let to = endpoint("203.0.113.2:6000");
    let again = pair.net.dial(pair.now, pair.a, (any(A_PORT), to), None);
    assert_eq!(again, Err(Failure::AddressNotAvailable));
    // smoltcp's TIME-WAIT.
    pair.run_until(12_000);
    let again = pair.net.dial(pair.now, pair.a, (any(A_PORT), to), None);
    assert!(again.is_ok());
}

#[test]
fn one_nat_two_hosts_meet_inside_or_by_hairpin() {
    for (nat, by_outer) in [
        (Nat::dropping(), false),
        (Nat::dropping().hairpinning(), true),
    ] {
        let mut net = Network::new(1);
        let nat = net.add_nat("nat", Place::Wan, nat, addresses(1));
        let a = net.add_host("a", Place::Behind(nat), &[ip("10.0.1.10")]);
        let b = net.add_host("b", Place::Behind(nat), &[ip("10.0.1.11")]);
        let mut pair = Pair::with(net, a, b);
        pair.net.listen(b, any(B_PORT)).unwrap();
        // Both have a mapping, from another contact.
        for (host, port) in [(a, A_PORT), (b, B_PORT)] {
            let ends = (any(port), endpoint("198.51.100.10:80"));
            pair.net.dial(pair.now, host, ends, None).unwrap();
        }
        pair.run_until(10);
        let outside = (any(A_PORT), endpoint("203.0.113.1:6000"));
        let outside = pair.net.dial(pair.now, a, outside, None).unwrap();
        let inside = (any(A_PORT), endpoint("10.0.1.11:6000"));
        let inside = pair.net.dial(pair.now, a, inside, None).unwrap();
        pair.run_until(5_000);
        assert!(pair.connected(inside).is_some());
        assert_eq!(pair.connected(outside).is_some(), by_outer);
    }
}

#[test]
fn ipv6_goes_through_firewalls_untranslated() {
    let mut net = Network::new(1);
    let wall_a = net.add_nat("wall-a", Place::Wan, Nat::dropping(), addresses(1));
    let wall_b = net.add_nat("wall-b", Place::Wan, Nat::resetting(), addresses(2));
    let a = net.add_host("a", Place::Behind(wall_a), &[ip("2001:db8:1::10")]);
    let b = net.add_host("b", Place::Behind(wall_b), &[ip("2001:db8:2::10")]);
    net.between(a, b, |path| path.delay = Duration::from_millis(10));
    let mut pair = Pair::with(net, a, b);
    let any = |port| Endpoint::unspecified(Family::V6, port);
    let to_b = (any(A_PORT), endpoint("[2001:db8:2::10]:6000"));
    let to_a = (any(B_PORT), endpoint("[2001:db8:1::10]:5000"));
    let one = pair.net.dial(pair.now, a, to_b, None).unwrap();
    let other = pair.net.dial(pair.now, b, to_a, None).unwrap();
    pair.run_until(1_000);
    assert_eq!(pair.connected(one), Some(30));
    assert_eq!(pair.connected(other), Some(30));
    // And a short hop limit dies in between here as well.
    let to_b = (any(1), endpoint("[2001:db8:2::10]:2"));
    pair.net.dial(pair.now, a, to_b, Some(2)).unwrap();
    pair.run_until(1_500);
    assert!(pair.saw("[2001:db8:ffff::1]:0 > [2001:db8:1::10]:0 ICMP time exceeded: arrives"));
}

#[test]
fn a_held_syn_is_answered_after_six_seconds() {
    let mut pair = Pair::new(Nat::dropping(), preset("hold").unwrap());
    pair.a_dials();
    pair.run_until(5_900);
    assert!(!pair.saw("ICMP unreachable"));
    pair.run_until(6_200);
    assert!(pair.saw("203.0.113.2:0 > 10.0.1.10:0 ICMP unreachable: arrives"));
}

#[test]
fn a_nat_forgets_what_is_idle_too_long() {
    let short = Nat::dropping().idle(Duration::from_secs(30));
    let mut pair = Pair::new(short, Nat::dropping());
    let (a, b) = (pair.a_dials(), pair.b_dials());
    pair.run_until(40_000);
    pair.net.send(pair.now, pair.b, b, b"too late");
    pair.run_until(60_000);
    assert_eq!(pair.net.readable(pair.a, a), 0);
}

#[test]
fn a_nat_that_reboots_lets_nothing_through_and_comes_back_elsewhere() {
    let mut pair = Pair::new(Nat::dropping(), Nat::dropping());
    let (a, b) = (pair.a_dials(), pair.b_dials());
    pair.run_until(1_000);
    let outer = "203.0.113.77".parse().unwrap();
    let takes = Duration::from_secs(3);
    pair.net.reboot_nat(pair.now, NatId(0), takes, Some(outer));
    pair.net.send(pair.now, pair.a, a, b"anyone?");
    pair.run_until(3_900);
    assert!(pair.saw("nat-a: the box is down"));
    assert_eq!(pair.net.readable(pair.b, b), 0);
    // What it takes up in the middle comes from an endpoint that nobody knows.
    pair.run_until(20_000);
    assert!(pair.saw("203.0.113.77:5000"));
    assert_eq!(pair.net.readable(pair.b, b), 0);
    let old = pair
        .net
        .dial(pair.now, pair.b, (any(1), endpoint("203.0.113.1:9")), None);
    assert!(old.is_ok());
    pair.run_until(20_100);
    assert!(pair.saw("203.0.113.1:9 SYN: no route"));
}
