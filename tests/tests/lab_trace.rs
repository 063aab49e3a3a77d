//! The trace shows each packet at each point that it comes by, translated and counted down, and at no other.
//!
//! Needs root; without, each test says so and passes, or fails where `LAB=require` is set.
#![cfg(target_os = "linux")]

use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tcp_punch_tests::lab::nat::NatKind;
use tcp_punch_tests::lab::network::{Network, Plan};
use tcp_punch_tests::lab::rights::skip;
use tcp_punch_tests::lab::topology::{Family, Layout, provider, public};
use tcp_punch_tests::lab::trace::{Point, Recorder, Sighting, Trace};
use tcp_punch_tests::lab::wan::{Conditions, Site};

const MS: Duration = Duration::from_millis(1);

fn build(a: &[&str], b: &[&str]) -> Option<Network> {
    let levels = |names: &[&str]| {
        let kind = |name: &&str| NatKind::named(name).expect("a kind");
        names.iter().map(kind).collect()
    };
    let plan = Plan {
        layout: Layout {
            a: levels(a),
            b: levels(b),
            ..Layout::default()
        },
        family: Family::V4,
        conditions: Conditions::from_rtt(10 * MS, 10 * MS, 20 * MS),
    };
    Network::build(&plan)
        .inspect_err(|error| skip("a network", error))
        .ok()
}

/// What of that sort was seen there, leaving or arriving.
fn seen<'t>(
    trace: &'t Trace,
    point: &'t Point,
    outgoing: bool,
    sort: impl Fn(&Sighting) -> bool,
) -> Vec<&'t Sighting> {
    let all = trace.at(point);
    all.filter(|seen| seen.outgoing == outgoing && sort(seen))
        .collect()
}

#[test]
fn a_syn_with_a_low_ttl_is_seen_up_to_where_it_dies() {
    for nat in ["kernel:drop", "box:drop"] {
        let Some(network) = build(&[nat], &[nat]) else {
            return;
        };
        let (own, to) = (network.a.addresses.v4, public(Site::B).v4);
        let to = SocketAddr::new(to.into(), 4000);
        let recorder = Recorder::start(&network).expect("packet sockets");
        network.a.namespace.run(move || {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP));
            let socket = socket.expect("socket");
            socket.set_ttl_v4(2).expect("TTL");
            socket.connect(&to.into()).expect_err("it dies on the way");
        });
        let trace = recorder.finish(&network);
        let outside = [Point::outside("nat-a"), Point::outside("nat-b")];

        let syns = seen(&trace, &Point::A, true, Sighting::is_syn);
        let [sent] = syns[..] else {
            panic!("{nat}\n{trace}")
        };
        let (inner, _, first) = sent.tcp().expect("TCP");
        assert_eq!(
            (inner.ip(), sent.packet.hop_limit),
            (own.into(), 2),
            "{trace}"
        );

        let syns = seen(&trace, &outside[0], true, Sighting::is_syn);
        let [left] = syns[..] else {
            panic!("{nat}\n{trace}")
        };
        let (outer, destination, segment) = left.tcp().expect("TCP");
        assert_eq!(outer.ip(), IpAddr::from(public(Site::A).v4), "{trace}");
        assert_eq!((destination, left.packet.hop_limit), (to, 1), "{trace}");
        assert_eq!((segment.seq, segment.ack), (first.seq, 0), "{trace}");
        assert_eq!(
            seen(&trace, &Point::Wan, false, Sighting::is_syn).len(),
            1,
            "{trace}"
        );

        for point in [&outside[1], &Point::B, &Point::S] {
            assert_eq!(trace.at(point).count(), 0, "{nat}\n{trace}");
        }

        // The answer: about the outer endpoint on its way, and about the inner one where it arrives.
        let router = IpAddr::from(provider(Site::A, 1).v4);
        for (point, outgoing, about) in [
            (&Point::Wan, true, outer),
            (&outside[0], false, outer),
            (&Point::A, false, inner),
        ] {
            let errors = seen(&trace, point, outgoing, |seen| seen.icmp_error().is_some());
            let [error] = errors[..] else {
                panic!("{nat}, {point}\n{trace}")
            };
            assert_eq!(error.packet.source, router, "{trace}");
            assert_eq!(
                error.icmp_error(),
                Some(("time exceeded", Some((about, to)))),
                "{trace}"
            );
        }
    }
}

#[test]
fn the_numbers_of_a_handshake_are_the_same_everywhere_and_the_ttl_is_not() {
    for levels in [["kernel:drop", "kernel:drop"], ["box:drop", "box:drop"]] {
        let Some(network) = build(&levels, &[]) else {
            return;
        };
        let server = SocketAddr::new(public(Site::S).v4.into(), 7000);
        let listener = network.s.namespace.run(move || TcpListener::bind(server));
        let _listener = listener.expect("bind");
        let recorder = Recorder::start(&network).expect("packet sockets");
        let stream = network.a.namespace.run(move || TcpStream::connect(server));
        let _stream = stream.expect("connect");
        // The last segment of the handshake is still on its way.
        thread::sleep(50 * MS);
        let trace = recorder.finish(&network);

        let way = [
            (Point::A, true, 64),
            (Point::outside("nat-a"), true, 63),
            (Point::outside("carrier-a"), true, 62),
            (Point::Wan, false, 62),
            (Point::Wan, true, 61),
            (Point::S, false, 61),
        ];
        let mut numbers = Vec::new();
        for (point, outgoing, ttl) in &way {
            let syns = seen(&trace, point, *outgoing, Sighting::is_syn);
            let [syn] = syns[..] else {
                panic!("{levels:?}, {point}\n{trace}")
            };
            assert_eq!(syn.packet.hop_limit, *ttl, "{point}\n{trace}");
            numbers.push(syn.tcp().expect("TCP").2.seq);
        }
        for (point, outgoing, _) in &way {
            let answers = seen(&trace, point, !outgoing, Sighting::is_syn_ack);
            let [answer] = answers[..] else {
                panic!("{levels:?}, {point}\n{trace}")
            };
            let acknowledged = answer.tcp().expect("TCP").2.ack;
            assert!(
                numbers
                    .iter()
                    .all(|seq| seq.wrapping_add(1) == acknowledged),
                "{trace}"
            );
        }
        let ack = |seen: &Sighting| {
            let segment = seen.tcp().map(|(_, _, segment)| segment);
            segment.is_some_and(|segment| segment.flags.ack() && !segment.flags.syn())
        };
        assert_eq!(seen(&trace, &Point::S, false, ack).len(), 1, "{trace}");
        assert_eq!(trace.at(&Point::B).count(), 0, "{trace}");
    }
}
