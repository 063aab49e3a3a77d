//! Both makes of devices carry the same: bytes intact, in time, in both versions of IP, for NATs of both makers.
//!
//! Needs root; without, each test says so and passes, or fails where `LAB=require` is set.
#![cfg(target_os = "linux")]

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use tcp_punch_tests::lab::means::{Devices, Maker, Means};
use tcp_punch_tests::lab::nat::NatKind;
use tcp_punch_tests::lab::network::{Network, Plan};
use tcp_punch_tests::lab::rights::skip;
use tcp_punch_tests::lab::topology::{Family, Layout, public};
use tcp_punch_tests::lab::wan::{Conditions, Site};

const MS: Duration = Duration::from_millis(1);

fn build(layout: Layout, family: Family, rtt: Duration, means: Means) -> Option<Network> {
    let plan = Plan {
        layout,
        family,
        conditions: Conditions::from_rtt(rtt, rtt, rtt),
    };
    Network::build_with(&plan, means)
        .inspect_err(|error| skip("a network", error))
        .ok()
}

fn all() -> impl Iterator<Item = Means> {
    let of = |nats| [Devices::Tun, Devices::Veth].map(|devices| Means { nats, devices });
    [Maker::Kernel, Maker::Boxes].into_iter().flat_map(of)
}

/// Sends back what comes, on each connection, one after the other.
fn echo(network: &Network, at: SocketAddr) {
    let listener = network.s.namespace.run(move || TcpListener::bind(at));
    let listener = listener.expect("bind");
    thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut bytes = Vec::new();
            // The other end may be gone: it only looked how long connecting takes.
            if stream.read_to_end(&mut bytes).is_ok() {
                let _ = stream.write_all(&bytes);
            }
        }
    });
}

#[test]
fn bytes_come_through_intact_behind_two_levels() {
    for means in all() {
        for family in [Family::V4, Family::V6] {
            let layout = Layout {
                a: vec![NatKind::DROP, NatKind::DROP],
                ..Layout::default()
            };
            let Some(network) = build(layout, family, 10 * MS, means) else {
                return;
            };
            let server = SocketAddr::new(public(Site::S).main(family), 7000);
            echo(&network, server);
            let sent: Vec<u8> = (0..2_000_000u32).map(|n| (n % 251) as u8).collect();
            let expected = sent.clone();
            let back = network.a.namespace.run(move || {
                let mut stream = TcpStream::connect_timeout(&server, 2_000 * MS).expect("connect");
                stream.set_read_timeout(Some(10_000 * MS)).expect("timeout");
                stream.write_all(&sent).expect("write");
                stream.shutdown(Shutdown::Write).expect("shutdown");
                let mut back = Vec::new();
                stream.read_to_end(&mut back).expect("read");
                back
            });
            assert!(back == expected, "{means}, {family:?}: {}", back.len());
        }
    }
}

/// The least of some, so that what others do on the machine does not count.
#[test]
fn nothing_but_the_delays_that_were_asked_for_takes_time() {
    for means in all() {
        let layout = Layout::apart(NatKind::DROP, NatKind::DROP);
        let rtt = 10 * MS;
        let Some(network) = build(layout, Family::V4, rtt, means) else {
            return;
        };
        let server = SocketAddr::new(public(Site::S).v4.into(), 7000);
        echo(&network, server);
        let least = network.a.namespace.run(move || {
            let connect = || {
                let start = Instant::now();
                TcpStream::connect_timeout(&server, 2_000 * MS).expect("connect");
                start.elapsed()
            };
            (0..20).map(|_| connect()).min().expect("some")
        });
        eprintln!(
            "{means}: {:?} beside the round trip",
            least.saturating_sub(rtt)
        );
        assert!((rtt..rtt + 5 * MS).contains(&least), "{means}: {least:?}");
    }
}
