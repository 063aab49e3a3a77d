//! Boxes between real kernels: what the kernel of a host makes of what they do.
//!
//! Needs root; without, each test says so and passes, or fails where `LAB=require` is set.
#![cfg(target_os = "linux")]

use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, Socket, Type};
use tcp_punch_tests::lab::nat::NatKind;
use tcp_punch_tests::lab::netns::Namespace;
use tcp_punch_tests::lab::network::{Network, Plan};
use tcp_punch_tests::lab::rights::skip;
use tcp_punch_tests::lab::topology::{Family, Layout, public};
use tcp_punch_tests::lab::wan::{Conditions, Fate, Site};
use tcp_punch_tests::natbox::PRESETS;

const MS: Duration = Duration::from_millis(1);

fn build(layout: Layout, family: Family) -> Option<Network> {
    let plan = Plan {
        layout,
        family,
        conditions: Conditions::from_rtt(40 * MS, 60 * MS, 80 * MS),
    };
    Network::build(&plan)
        .inspect_err(|error| skip("a network", error))
        .ok()
}

fn kind(name: &str) -> NatKind {
    NatKind::named(name).unwrap_or_else(|| panic!("no NAT is called {name}"))
}

fn only_a(levels: &[&str]) -> Layout {
    Layout {
        a: levels.iter().map(|name| kind(name)).collect(),
        ..Layout::default()
    }
}

/// Accepts one connection, tells who it is from, and sends back what comes.
fn echo(namespace: &Namespace, at: SocketAddr) -> std::thread::JoinHandle<SocketAddr> {
    let listener = namespace.run(move || TcpListener::bind(at)).expect("bind");
    std::thread::spawn(move || {
        let (mut stream, from) = listener.accept().expect("accept");
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).expect("read");
        stream.write_all(&bytes).expect("write");
        from
    })
}

/// Sends that many bytes there and reads them back.
fn carry(namespace: &Namespace, to: SocketAddr, bytes: usize) -> io::Result<()> {
    namespace.run(move || {
        let mut stream = TcpStream::connect_timeout(&to, Duration::from_secs(5))?;
        let sent: Vec<u8> = (0..bytes).map(|n| (n % 251) as u8).collect();
        let mut reader = stream.try_clone()?;
        let back = std::thread::spawn(move || {
            let mut back = Vec::new();
            reader.read_to_end(&mut back).map(|_| back)
        });
        stream.write_all(&sent)?;
        stream.shutdown(std::net::Shutdown::Write)?;
        let back = back.join().expect("the reader")?;
        assert!(back == sent, "{} bytes came back", back.len());
        Ok(())
    })
}

#[test]
fn every_box_lets_its_host_out_and_carries_bytes() {
    for preset in PRESETS
        .iter()
        .filter(|preset| !preset.name.starts_with("fw6"))
    {
        let name = format!("box:{}", preset.name);
        let Some(network) = build(only_a(&[&name]), Family::V4) else {
            return;
        };
        let server = SocketAddr::new(public(Site::S).v4.into(), 7000);
        let seen = echo(&network.s.namespace, server);
        carry(&network.a.namespace, server, 300_000).unwrap_or_else(|e| panic!("{name}: {e}"));
        let from = seen.join().expect("the server's thread").ip();
        assert_eq!(from, IpAddr::from(public(Site::A).v4), "{name}");
    }
}

#[test]
fn boxes_are_firewalls_for_ipv6() {
    for name in ["box:drop", "box:fw6-rst"] {
        let Some(network) = build(only_a(&[name]), Family::V6) else {
            return;
        };
        let server = SocketAddr::new(public(Site::S).v6.into(), 7000);
        let seen = echo(&network.s.namespace, server);
        carry(&network.a.namespace, server, 300_000).unwrap_or_else(|e| panic!("{name}: {e}"));
        let from = seen.join().expect("the server's thread").ip();
        assert_eq!(from, IpAddr::from(network.a.addresses.v6), "{name}");
    }
}

#[test]
fn levels_of_both_makes_lead_out_and_count_as_hops() {
    for levels in [
        ["box:drop", "box:drop"],
        ["box:drop", "kernel:drop"],
        ["kernel:drop", "box:drop"],
    ] {
        for family in [Family::V4, Family::V6] {
            let Some(network) = build(only_a(&levels), family) else {
                return;
            };
            let server = SocketAddr::new(public(Site::S).main(family), 7000);
            let seen = echo(&network.s.namespace, server);
            carry(&network.a.namespace, server, 1_000)
                .unwrap_or_else(|e| panic!("{levels:?}, {family:?}: {e}"));
            seen.join().expect("the server's thread");

            // Two NATs and one hop of the WAN; and one more than two ends at the second NAT.
            for (ttl, crosses) in [(3, true), (2, false)] {
                network.wan().capture().start();
                let error =
                    dial(&network.a.namespace, server, ttl).expect_err("it ends on the way");
                assert_eq!(
                    error.kind(),
                    io::ErrorKind::HostUnreachable,
                    "{levels:?}, {error}"
                );
                let crossings = network.wan().capture().take();
                let expired = crossings
                    .iter()
                    .any(|crossing| crossing.fate == Fate::Expired(1));
                assert_eq!(expired, crosses, "{levels:?}, TTL {ttl}: {crossings:?}");
            }
        }
    }
}

fn dial(namespace: &Namespace, to: SocketAddr, ttl: u32) -> io::Result<()> {
    namespace.run(move || {
        let socket = Socket::new(Domain::for_address(to), Type::STREAM, Some(Protocol::TCP))?;
        if to.is_ipv6() {
            socket.set_unicast_hops_v6(ttl)?;
        } else {
            socket.set_ttl_v4(ttl)?;
        }
        socket.connect(&to.into())
    })
}

#[test]
fn unsolicited_connections_get_the_answer_of_their_kind() {
    for (name, expected) in [
        ("drop", io::ErrorKind::TimedOut),
        ("rst", io::ErrorKind::ConnectionRefused),
        ("icmp", io::ErrorKind::ConnectionRefused),
        ("icmp-admin", io::ErrorKind::HostUnreachable),
    ] {
        for family in [Family::V4, Family::V6] {
            let layout = Layout::apart(NatKind::DROP, kind(&format!("box:{name}")));
            let Some(network) = build(layout, family) else {
                return;
            };
            let to = match family {
                Family::V6 => SocketAddr::new(network.b.addresses.v6.into(), 4000),
                Family::V4 | Family::Both => SocketAddr::new(public(Site::B).v4.into(), 4000),
            };
            let got = network
                .s
                .namespace
                .run(move || TcpStream::connect_timeout(&to, 400 * MS))
                .expect_err(name);
            // EACCES is how IPv6 tells of a prohibition.
            let prohibited = got.kind() == io::ErrorKind::PermissionDenied;
            let got = if prohibited {
                io::ErrorKind::HostUnreachable
            } else {
                got.kind()
            };
            assert_eq!(got, expected, "{name} {family:?}");
        }
    }
}

#[test]
fn a_held_syn_is_refused_after_six_seconds() {
    let Some(network) = build(Layout::apart(NatKind::DROP, kind("box:hold")), Family::V4) else {
        return;
    };
    let to = SocketAddr::new(public(Site::B).v4.into(), 4000);
    let start = Instant::now();
    let error = network
        .s
        .namespace
        .run(move || TcpStream::connect_timeout(&to, Duration::from_secs(9)))
        .expect_err("nobody is there");
    assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused, "{error}");
    assert!(start.elapsed() >= 6_000 * MS, "{:?}", start.elapsed());
}

#[test]
fn hosts_of_one_lan_reach_each_other_and_hairpin_only_where_they_should() {
    for (name, hairpin) in [("box:drop", false), ("box:hairpin", true)] {
        let layout = Layout {
            shared: vec![kind(name)],
            ..Layout::default()
        };
        let Some(network) = build(layout, Family::V4) else {
            return;
        };
        let inner = SocketAddr::new(network.b.addresses.v4.into(), 4000);
        let seen = echo(&network.b.namespace, inner);
        carry(&network.a.namespace, inner, 1_000).expect("in the LAN");
        let from = seen.join().expect("the thread").ip();
        assert_eq!(from, IpAddr::from(network.a.addresses.v4));

        // A mapping of B's port, which stays until the connection is closed.
        let server = SocketAddr::new(public(Site::S).v4.into(), 7000);
        let listener = network.s.namespace.run(move || TcpListener::bind(server));
        let mapped = network.b.namespace.run(move || {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
            socket.set_reuse_address(true)?;
            socket.set_reuse_port(true)?;
            socket.bind(&inner.into())?;
            socket.connect(&server.into())?;
            let listener = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
            listener.set_reuse_address(true)?;
            listener.set_reuse_port(true)?;
            listener.bind(&inner.into())?;
            listener.listen(1)?;
            Ok::<_, io::Error>((socket, listener))
        });
        let (_socket, _listener) = mapped.expect("a mapping");
        let (_, outer) = listener.expect("bind").accept().expect("accept");
        let got = network
            .a
            .namespace
            .run(move || TcpStream::connect_timeout(&outer, Duration::from_secs(2)));
        match got {
            Ok(_) => assert!(hairpin, "{name} turns around"),
            Err(error) => {
                assert!(!hairpin, "{name}: {error}");
                assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
            }
        }
    }
}
