//! Other hosts behind a NAT move a sequential one on, and nothing else.
//!
//! Needs root; without, each test says so and passes, or fails where `LAB=require` is set.
#![cfg(target_os = "linux")]

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use tcp_punch_tests::lab::nat::NatKind;
use tcp_punch_tests::lab::network::{Network, Plan};
use tcp_punch_tests::lab::others::Others;
use tcp_punch_tests::lab::rights::skip;
use tcp_punch_tests::lab::topology::{Family, Layout, public};
use tcp_punch_tests::lab::wan::{Conditions, Site};

const MS: Duration = Duration::from_millis(1);

fn build(kind: &str) -> Option<Network> {
    let plan = Plan {
        layout: Layout {
            a: vec![NatKind::named(kind).expect("a kind")],
            ..Layout::default()
        },
        family: Family::V4,
        conditions: Conditions::from_rtt(4 * MS, 4 * MS, 4 * MS),
    };
    Network::build(&plan)
        .inspect_err(|error| skip("a network", error))
        .ok()
}

/// The outer port of one more connection of A's.
fn next_port(network: &Network, listener: &TcpListener) -> u16 {
    let to = listener.local_addr().expect("its address");
    let stream = network
        .a
        .namespace
        .run(move || TcpStream::connect_timeout(&to, 1_000 * MS));
    let stream = stream.expect("connect");
    let (_, from) = listener.accept().expect("accept");
    drop(stream);
    from.port()
}

#[test]
fn a_sequential_nat_is_moved_on_by_as_many_as_were_opened() {
    for (kind, step) in [
        ("kernel:symmetric-seq", 1),
        ("box:symmetric-seq", 1),
        ("kernel:symmetric-256", 256),
        ("box:symmetric-256", 256),
    ] {
        let Some(mut network) = build(kind) else {
            return;
        };
        let at = SocketAddr::new(public(Site::S).v4.into(), 7000);
        let listener = network.s.namespace.run(move || TcpListener::bind(at));
        let listener = listener.expect("bind");
        let turn = if step == 1 { 8_000 } else { 7_999 };
        // Steps of the NAT's counter between two ports.
        let steps = |from: u16, to: u16| {
            let distance = (turn + u32::from(to) - u32::from(from)) % turn;
            (0..turn).find(|n| n * step % turn == distance)
        };

        let (one, two) = (
            next_port(&network, &listener),
            next_port(&network, &listener),
        );
        assert_eq!(steps(one, two), Some(1), "{kind}: {one}, {two}");

        let others = Others::start(&mut network, "nat-a", 100.0, 7).expect("start");
        let patience = Instant::now() + 10_000 * MS;
        while others.opened() < 20 && Instant::now() < patience {
            thread::sleep(5 * MS);
        }
        let three = next_port(&network, &listener);
        let between = steps(two, three).expect("a step");
        let opened = others.opened();
        drop(others);
        assert!(
            (21..=u32::try_from(opened).expect("few") + 1).contains(&between),
            "{kind}: {between} steps, {opened} opened"
        );

        let (four, five) = (
            next_port(&network, &listener),
            next_port(&network, &listener),
        );
        assert_eq!(steps(four, five), Some(1), "{kind}: {four}, {five}");
    }
}

#[test]
fn what_cannot_be_is_told() {
    let Some(mut network) = build("box:drop") else {
        return;
    };
    for (nat, rate) in [("nat-b", 1.0), ("nat-a", 0.0), ("nat-a", f64::NAN)] {
        assert!(
            Others::start(&mut network, nat, rate, 1).is_err(),
            "{nat}, {rate}"
        );
    }
}
