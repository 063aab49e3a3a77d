//! The network alone, against NAT-FACTS.md: without machines.

use std::time::Duration;

use super::*;

const MS: Duration = Duration::from_millis(1);
const A_PORT: u16 = 5_000;
const B_PORT: u16 = 6_000;

fn endpoint(text: &str) -> Endpoint {
    text.parse::<std::net::SocketAddr>().unwrap().into()
}

fn any(port: u16) -> Endpoint {
    Endpoint::unspecified(Family::V4, port)
}

/// Two hosts, each behind its NAT, 40 ms apart.
struct Pair {
    net: Network,
    now: Instant,
    notices: Vec<(Instant, Notice)>,
    a: HostId,
    b: HostId,
}

impl Pair {
    fn new(nat_a: Nat, nat_b: Nat) -> Self {
        Self::seeded(1, nat_a, nat_b)
    }

    fn seeded(seed: u64, nat_a: Nat, nat_b: Nat) -> Self {
        let mut net = Network::new(seed);
        let nat_a = net.add_nat(
            "nat-a",
            Place::Wan,
            nat_a,
            &["203.0.113.1".parse().unwrap()],
        );
        let nat_b = net.add_nat(
            "nat-b",
            Place::Wan,
            nat_b,
            &["203.0.113.2".parse().unwrap()],
        );
        let a = net.add_host("a", Place::Behind(nat_a), &["10.0.1.10".parse().unwrap()]);
        let b = net.add_host("b", Place::Behind(nat_b), &["10.0.2.10".parse().unwrap()]);
        net.between(a, b, |path| path.delay = 40 * MS);
        Self {
            net,
            now: Instant::ZERO,
            notices: Vec::new(),
            a,
            b,
        }
    }

    fn run_until(&mut self, millis: u64) {
        let end = Instant::from_millis(millis);
        while let Some(at) = self.net.next_at().filter(|&at| at <= end) {
            self.now = self.now.max(at);
            let now = self.now;
            self.notices
                .extend(self.net.step(now).into_iter().map(|notice| (now, notice)));
        }
        self.now = end;
    }

    fn a_dials(&mut self) -> Socket {
        let to = endpoint("203.0.113.2:6000");
        self.net
            .dial(self.now, self.a, (any(A_PORT), to), None)
            .unwrap()
    }

    fn b_dials(&mut self) -> Socket {
        let to = endpoint("203.0.113.1:5000");
        self.net
            .dial(self.now, self.b, (any(B_PORT), to), None)
            .unwrap()
    }

    fn when(&self, socket: Socket, what: impl Fn(Happening) -> bool) -> Option<u64> {
        let mut notices = self.notices.iter();
        let found = notices.find(|(_, notice)| notice.socket == socket && what(notice.what));
        found.map(|(at, _)| at.as_micros() / 1_000)
    }

    fn connected(&self, socket: Socket) -> Option<u64> {
        self.when(socket, |what| matches!(what, Happening::Connected { .. }))
    }

    fn failed(&self, socket: Socket, failure: Failure) -> Option<u64> {
        self.when(socket, |what| what == Happening::DialFailed(failure))
    }

    fn accepted(&self, host: HostId) -> Option<Socket> {
        let mut notices = self.notices.iter().map(|(_, notice)| notice);
        notices
            .find(|notice| notice.host == host && matches!(notice.what, Happening::Accepted { .. }))
            .map(|notice| notice.socket)
    }
}

#[test]
fn simultaneous_open_through_dropping_nats_at_any_skew() {
    for skew in [0, 10, 39, 41, 100, 500, 2_500] {
        let mut pair = Pair::new(Nat::dropping(), Nat::dropping());
        let a = pair.a_dials();
        pair.run_until(skew);
        let b = pair.b_dials();
        pair.run_until(9_000);
        // Where the SYNs cross, each side is up one round trip after its own.
        // Otherwise the first SYN is dropped, but its hole lets the second in,
        // and the earlier side waits for the end of the second's handshake.
        let a_up = if skew <= 40 { 80 } else { skew + 120 };
        assert_eq!(pair.connected(a), Some(a_up), "skew {skew}");
        assert_eq!(pair.connected(b), Some(skew + 80), "skew {skew}");
    }
}

#[test]
fn reset_nats_need_a_skew_below_the_way() {
    for (skew, wins) in [(0, true), (39, true), (41, false), (100, false)] {
        let mut pair = Pair::new(Nat::resetting(), Nat::resetting());
        let a = pair.a_dials();
        pair.run_until(skew);
        let b = pair.b_dials();
        pair.run_until(9_000);
        assert_eq!(pair.connected(a).is_some(), wins, "skew {skew}");
        assert_eq!(pair.connected(b).is_some(), wins, "skew {skew}");
        if !wins {
            assert_eq!(pair.failed(a, Failure::Refused), Some(80));
            assert!(pair.failed(b, Failure::Refused).is_some());
        }
    }
}

#[test]
fn unreachable_kills_the_dial_and_leaves_the_hole() {
    let mut pair = Pair::new(Nat::unreachable(), Nat::unreachable());
    let a = pair.a_dials();
    pair.run_until(100);
    assert_eq!(pair.failed(a, Failure::Unreachable), Some(80));
    // B's SYN gets in through the hole and meets nobody.
    let b = pair.b_dials();
    pair.run_until(300);
    assert_eq!(pair.failed(b, Failure::Refused), Some(180));
}

#[test]
fn closing_the_dial_and_listening_fails() {
    let mut pair = Pair::new(Nat::dropping(), Nat::dropping());
    let b = pair.b_dials();
    pair.run_until(100);
    pair.net.close(pair.now, pair.b, b, Close::Silent);
    pair.net.listen(pair.b, any(B_PORT)).unwrap();
    pair.run_until(110);
    let a = pair.a_dials();
    pair.run_until(60_000);
    assert_eq!(pair.connected(a), None);
}

#[test]
fn redialling_after_the_peers_syn_came_in_fails() {
    let mut pair = Pair::new(Nat::dropping(), Nat::dropping());
    let b = pair.b_dials();
    pair.run_until(50);
    let a = pair.a_dials();
    pair.run_until(95); // A's SYN is with B, B's SYN-ACK on its way
    assert!(pair.connected(b).is_none());
    pair.net.kill(pair.b); // a close would tell A
    pair.net.revive(pair.b);
    let again = pair.b_dials();
    pair.run_until(60_000);
    assert_eq!(pair.connected(again), None);
    // A was connected by the first dial, to nothing.
    assert!(pair.connected(a).is_some());
}

#[test]
fn a_kept_dial_and_a_listener_take_what_meets_them() {
    // Full cone: A's SYN arrives before B dials and meets the listener.
    let mut pair = Pair::new(Nat::dropping(), Nat::full_cone());
    pair.net.listen(pair.b, any(B_PORT)).unwrap();
    let elsewhere = endpoint("203.0.113.1:7");
    pair.net
        .dial(pair.now, pair.b, (any(B_PORT), elsewhere), None)
        .unwrap();
    let a = pair.a_dials();
    pair.run_until(200);
    assert_eq!(pair.connected(a), Some(80));
    let child = pair.accepted(pair.b).expect("accepted");
    // The four-tuple is taken.
    let to = endpoint("203.0.113.1:5000");
    let second = pair.net.dial(pair.now, pair.b, (any(B_PORT), to), None);
    assert_eq!(second, Err(Failure::AddressNotAvailable));
    pair.net.send(pair.now, pair.b, child, b"hello");
    pair.run_until(300);
    assert_eq!(pair.net.read(pair.a, a, 5), b"hello");
}

#[test]
fn two_symmetric_nats_let_nobody_through() {
    let mut pair = Pair::new(Nat::symmetric(), Nat::symmetric());
    let (a, b) = (pair.a_dials(), pair.b_dials());
    pair.run_until(60_000);
    assert_eq!((pair.connected(a), pair.connected(b)), (None, None));
    pair.run_until(200_000);
    assert_eq!(pair.failed(a, Failure::TimedOut), Some(131_000));
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
    assert_eq!(pair.connected(dial_a), Some(1_080));
    assert_eq!(pair.connected(dial_b), Some(1_080));
}

#[test]
fn streams_are_whole_and_in_order_under_loss_and_cutting() {
    for seed in 0..20 {
        let mut pair = Pair::seeded(seed, Nat::dropping(), Nat::resetting());
        let (a, b) = (pair.a_dials(), pair.b_dials());
        pair.run_until(1_000);
        let (host_a, host_b) = (pair.a, pair.b);
        pair.net.cut_streams_small();
        pair.net.between(host_a, host_b, |path| {
            path.loss_ppm = 200_000;
            path.jitter = 30 * MS;
        });
        let bytes: Vec<u8> = (0..4_000u32).map(|byte| (byte % 251) as u8).collect();
        pair.net.send(pair.now, host_a, a, &bytes);
        pair.net.send(pair.now, host_b, b, &bytes[..100]);
        pair.net.close(pair.now, host_a, a, Close::Fin);
        pair.run_until(200_000);
        let count = pair.net.readable(host_b, b);
        assert_eq!(pair.net.read(host_b, b, count), bytes, "seed {seed}");
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
fn who_closes_first_keeps_the_four_tuple_for_a_minute() {
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
    pair.run_until(70_000);
    assert!(
        pair.net
            .dial(pair.now, pair.a, (any(A_PORT), to), None)
            .is_ok()
    );
}

#[test]
fn one_nat_two_hosts_meet_inside_or_by_hairpin() {
    for (nat, by_outer) in [
        (Nat::dropping(), false),
        (Nat::dropping().hairpinning(), true),
    ] {
        let mut net = Network::new(1);
        let nat = net.add_nat("nat", Place::Wan, nat, &["203.0.113.1".parse().unwrap()]);
        let a = net.add_host("a", Place::Behind(nat), &["10.0.1.10".parse().unwrap()]);
        let b = net.add_host("b", Place::Behind(nat), &["10.0.1.11".parse().unwrap()]);
        let mut pair = Pair {
            net,
            now: Instant::ZERO,
            notices: Vec::new(),
            a,
            b,
        };
        pair.net.listen(b, any(B_PORT)).unwrap();
        let outside = (any(A_PORT), endpoint("203.0.113.1:6000"));
        let outside = pair.net.dial(pair.now, a, outside, None).unwrap();
        let back = (any(B_PORT), endpoint("203.0.113.1:5000"));
        let back = pair.net.dial(pair.now, b, back, None).unwrap();
        let inside = (any(A_PORT), endpoint("10.0.1.11:6000"));
        let inside = pair.net.dial(pair.now, a, inside, None).unwrap();
        pair.run_until(5_000);
        assert!(pair.connected(inside).is_some());
        assert_eq!(pair.connected(outside).is_some(), by_outer);
        assert_eq!(pair.connected(back).is_some(), by_outer);
    }
}

#[test]
fn ipv6_goes_through_firewalls_untranslated() {
    let mut net = Network::new(1);
    let wall_a = net.add_nat("wall-a", Place::Wan, Nat::dropping(), &[]);
    let wall_b = net.add_nat("wall-b", Place::Wan, Nat::resetting(), &[]);
    let a = net.add_host(
        "a",
        Place::Behind(wall_a),
        &["2001:db8:1::10".parse().unwrap()],
    );
    let b = net.add_host(
        "b",
        Place::Behind(wall_b),
        &["2001:db8:2::10".parse().unwrap()],
    );
    let mut pair = Pair {
        net,
        now: Instant::ZERO,
        notices: Vec::new(),
        a,
        b,
    };
    let any = |port| Endpoint::unspecified(Family::V6, port);
    let to_b = (any(A_PORT), endpoint("[2001:db8:2::10]:6000"));
    let to_a = (any(B_PORT), endpoint("[2001:db8:1::10]:5000"));
    let one = pair.net.dial(pair.now, a, to_b, None).unwrap();
    let other = pair.net.dial(pair.now, b, to_a, None).unwrap();
    pair.run_until(1_000);
    assert_eq!(pair.connected(one), Some(20));
    assert_eq!(pair.connected(other), Some(20));
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
