//! A NAT that forgets, or reboots, in the middle of a connection.
//!
//! Needs root; without, each test says so and passes, or fails where `LAB=require` is set.
#![cfg(target_os = "linux")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use tcp_punch_tests::lab::nat::NatKind;
use tcp_punch_tests::lab::network::{Network, Plan};
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
        conditions: Conditions::from_rtt(10 * MS, 10 * MS, 10 * MS),
    };
    Network::build(&plan)
        .inspect_err(|error| skip("a network", error))
        .ok()
}

/// A listener at the server's site.
fn listener(network: &Network) -> (SocketAddr, TcpListener) {
    let at = SocketAddr::new(public(Site::S).v4.into(), 7000);
    let listener = network.s.namespace.run(move || TcpListener::bind(at));
    (at, listener.expect("bind"))
}

fn connect(network: &Network, to: SocketAddr) -> std::io::Result<TcpStream> {
    network
        .a
        .namespace
        .run(move || TcpStream::connect_timeout(&to, 500 * MS))
}

fn hears(stream: &mut TcpStream, patience: Duration) -> bool {
    let mut byte = [0];
    stream.set_read_timeout(Some(patience)).expect("timeout");
    matches!(stream.read(&mut byte), Ok(1))
}

#[test]
fn what_is_forgotten_lets_nobody_in_any_more() {
    for kind in [
        "kernel:drop",
        "kernel:full-cone",
        "kernel:stateless",
        "kernel:symmetric-seq",
        "box:drop",
        "box:full-cone",
        "box:stateless",
    ] {
        let Some(network) = build(kind) else { return };
        let (at, listener) = listener(&network);
        let mut a = connect(&network, at).expect("connect");
        let (mut s, _) = listener.accept().expect("accept");
        s.write_all(b"1").expect("write");
        assert!(hears(&mut a, 500 * MS), "{kind}");
        network.forget("nat-a").expect("forget");
        s.write_all(b"2").expect("write");
        assert!(!hears(&mut a, 300 * MS), "{kind}");
        // It goes on with what is new.
        let mut a = connect(&network, at).expect("connect");
        let (mut s, _) = listener.accept().expect("accept");
        s.write_all(b"3").expect("write");
        assert!(hears(&mut a, 500 * MS), "{kind}");
    }
}

#[test]
fn while_it_reboots_nothing_passes() {
    for kind in ["kernel:drop", "kernel:rst", "box:drop"] {
        let Some(network) = build(kind) else { return };
        let (at, listener) = listener(&network);
        let mut a = connect(&network, at).expect("connect");
        let (mut s, _) = listener.accept().expect("accept");
        thread::scope(|scope| {
            let reboot = scope.spawn(|| network.reboot("nat-a", 1_200 * MS));
            thread::sleep(300 * MS);
            let error = connect(&network, at).expect_err("it is down");
            assert_eq!(error.kind(), std::io::ErrorKind::TimedOut, "{kind}");
            reboot.join().expect("the thread").expect("reboot");
        });
        s.write_all(b"1").expect("write");
        assert!(!hears(&mut a, 300 * MS), "{kind}");
        connect(&network, at).unwrap_or_else(|error| panic!("{kind}: {error}"));
    }
}

#[test]
fn a_nat_that_is_not_there_is_told() {
    let Some(network) = build("box:drop") else {
        return;
    };
    let error = network.forget("nat-b").expect_err("B has none");
    assert_eq!(error.to_string(), "there is no NAT nat-b");
}
