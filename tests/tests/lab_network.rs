//! The lab's own network: delays, hops, NATs and loss are what they say, before any tcp-punch runs in it.
//!
//! Needs root; without, each test says so and passes, or fails where `LAB=require` is set.
#![cfg(target_os = "linux")]

use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, Socket, Type};
use tcp_punch_tests::lab::nat::{KINDS, NatKind};
use tcp_punch_tests::lab::netns::Namespace;
use tcp_punch_tests::lab::network::{Network, Plan};
use tcp_punch_tests::lab::rights::skip;
use tcp_punch_tests::lab::topology::{Family, Layout, public};
use tcp_punch_tests::lab::wan::{Conditions, Site};

const MS: Duration = Duration::from_millis(1);

fn build(layout: Layout, family: Family) -> Option<Network> {
    let conditions = Conditions::from_rtt(40 * MS, 60 * MS, 80 * MS);
    let plan = Plan {
        layout,
        family,
        conditions,
    };
    Network::build(&plan)
        .inspect_err(|error| skip("a network", error))
        .ok()
}

fn drop_drop() -> Layout {
    Layout::apart(NatKind::DROP, NatKind::DROP)
}

/// Accepts one connection, tells who it is from, and sends back what comes.
fn echo(namespace: &Namespace, at: SocketAddr) -> std::thread::JoinHandle<SocketAddr> {
    let listener = namespace.run(move || TcpListener::bind(at)).expect("bind");
    std::thread::spawn(move || {
        let (mut stream, from) = listener.accept().expect("accept");
        let mut buffer = [0; 5];
        stream.read_exact(&mut buffer).expect("read");
        stream.write_all(&buffer).expect("write");
        from
    })
}

fn socket(family: Family, ttl: u32) -> io::Result<Socket> {
    let domain = if family == Family::V6 {
        Domain::IPV6
    } else {
        Domain::IPV4
    };
    let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
    if family == Family::V6 {
        socket.set_unicast_hops_v6(ttl)?
    } else {
        socket.set_ttl_v4(ttl)?
    };
    Ok(socket)
}

/// Connects and says hello; returns how long the connection took.
fn greet(namespace: &Namespace, to: SocketAddr) -> io::Result<Duration> {
    namespace.run(move || {
        let start = Instant::now();
        let mut stream = TcpStream::connect_timeout(&to, Duration::from_secs(5))?;
        let took = start.elapsed();
        stream.write_all(b"hello")?;
        let mut buffer = [0; 5];
        stream.read_exact(&mut buffer)?;
        assert_eq!(&buffer, b"hello");
        Ok(took)
    })
}

/// Never earlier, and later by no more than a busy machine explains.
fn assert_about(took: Duration, expected: Duration) {
    assert!(
        took >= expected && took < expected + 15 * MS,
        "{took:?} instead of {expected:?}"
    );
}

#[test]
fn a_connection_through_a_nat_takes_one_round_trip_and_is_translated() {
    for family in [Family::V4, Family::V6] {
        let Some(network) = build(drop_drop(), family) else {
            return;
        };
        let server = SocketAddr::new(public(Site::S).main(family), 7000);
        let seen = echo(&network.s.namespace, server);
        // The first packet finds out who has which address on the LAN.
        let _ = network
            .a
            .namespace
            .run(move || TcpStream::connect_timeout(&(server.ip(), 9).into(), 500 * MS).is_ok());
        let took = greet(&network.a.namespace, server).expect("connect");
        assert_about(took, 40 * MS);
        let from = seen.join().expect("the server's thread").ip();
        let expected: IpAddr = match family {
            Family::V6 => network.a.addresses.v6.into(),
            Family::V4 | Family::Both => public(Site::A).v4.into(),
        };
        assert_eq!(from, expected);
    }
}

#[test]
fn unsolicited_connections_get_the_answer_of_their_kind() {
    for (name, expected) in [
        ("drop", io::ErrorKind::TimedOut),
        ("rst-rule", io::ErrorKind::ConnectionRefused),
        ("rst", io::ErrorKind::ConnectionRefused),
        ("icmp", io::ErrorKind::ConnectionRefused),
        ("icmp-admin", io::ErrorKind::HostUnreachable),
    ] {
        for family in [Family::V4, Family::V6] {
            let kind = NatKind::named(name).expect("a kind");
            let Some(network) = build(Layout::apart(NatKind::DROP, kind), family) else {
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
            let got = match (got.raw_os_error(), got.kind()) {
                // EACCES is how IPv6 tells of a prohibition.
                (_, io::ErrorKind::PermissionDenied) => io::ErrorKind::HostUnreachable,
                (_, kind) => kind,
            };
            assert_eq!(got, expected, "{name} {family:?}");
        }
    }
}

#[test]
fn every_kind_of_nat_lets_its_host_out() {
    for kind in KINDS {
        let Some(network) = build(
            Layout {
                a: vec![kind],
                ..Layout::default()
            },
            Family::V4,
        ) else {
            return;
        };
        let server = SocketAddr::new(public(Site::S).v4.into(), 7000);
        let seen = echo(&network.s.namespace, server);
        greet(&network.a.namespace, server)
            .unwrap_or_else(|error| panic!("{}: {error}", kind.name));
        assert_eq!(
            seen.join().expect("the server's thread").ip(),
            IpAddr::from(public(Site::A).v4),
            "{}",
            kind.name
        );
    }
}

/// The mapped ports of one inner port towards the server's two ports.
fn mapped(network: &Network) -> [u16; 2] {
    let ports = [7001, 7002].map(|port| {
        let server = SocketAddr::new(public(Site::S).v4.into(), port);
        (
            server,
            network
                .s
                .namespace
                .run(move || TcpListener::bind(server))
                .expect("bind"),
        )
    });
    let from = SocketAddr::new(network.a.addresses.v4.into(), 5555);
    let servers = [ports[0].0, ports[1].0];
    let streams = network.a.namespace.run(move || {
        servers.map(|to| {
            let socket = socket(Family::V4, 64).expect("socket");
            socket.set_reuse_port(true).expect("reuse");
            socket.set_reuse_address(true).expect("reuse");
            socket.bind(&from.into()).expect("bind");
            socket.connect(&to.into()).expect("connect");
            socket
        })
    });
    let seen = [0, 1].map(|n| ports[n].1.accept().expect("accept").1.port());
    drop(streams);
    seen
}

#[test]
fn mappings_depend_on_the_destination_only_where_they_should() {
    for kind in KINDS {
        let Some(network) = build(
            Layout {
                a: vec![kind],
                ..Layout::default()
            },
            Family::V4,
        ) else {
            return;
        };
        let [one, two] = mapped(&network);
        assert_eq!(
            one != two,
            kind.is_symmetric(),
            "{}: {one} and {two}",
            kind.name
        );
    }
}

#[test]
fn two_levels_and_a_shared_nat_lead_out() {
    let drop = NatKind::DROP;
    let two_levels = Layout {
        a: vec![drop, drop],
        b: vec![drop],
        shared: Vec::new(),
    };
    let same = Layout {
        shared: vec![drop],
        ..Layout::default()
    };
    let same_carrier = Layout {
        a: vec![drop],
        b: vec![drop],
        shared: vec![drop],
    };
    for layout in [two_levels, same, same_carrier] {
        for family in [Family::V4, Family::V6] {
            let Some(network) = build(layout.clone(), family) else {
                return;
            };
            for host in [&network.a, &network.b] {
                let server = SocketAddr::new(public(Site::S).main(family), 7000);
                let seen = echo(&network.s.namespace, server);
                greet(&host.namespace, server)
                    .unwrap_or_else(|error| panic!("{layout}, {family:?}: {error}"));
                seen.join().expect("the server's thread");
            }
        }
    }
}

#[test]
fn hosts_of_one_lan_reach_each_other_without_the_wan() {
    let layout = Layout {
        shared: vec![NatKind::DROP],
        ..Layout::default()
    };
    let Some(network) = build(layout, Family::V4) else {
        return;
    };
    let to = SocketAddr::new(network.b.addresses.v4.into(), 4000);
    let seen = echo(&network.b.namespace, to);
    let took = greet(&network.a.namespace, to).expect("connect");
    assert!(took < 10 * MS, "{took:?}");
    assert_eq!(
        seen.join().expect("the thread").ip(),
        IpAddr::from(network.a.addresses.v4)
    );
}

#[test]
fn homes_of_one_carrier_reach_each_others_routers_without_the_wan() {
    let kind = |name| NatKind::named(name).expect("a kind");
    for [home, carrier] in [
        ["kernel:rst", "kernel:drop"],
        ["box:rst", "box:drop"],
        ["kernel:rst", "box:hairpin"],
        ["box:rst", "kernel:hairpin"],
    ] {
        let layout = Layout {
            a: vec![kind(home)],
            b: vec![kind(home)],
            shared: vec![kind(carrier)],
        };
        let Some(network) = build(layout, Family::V4) else {
            return;
        };
        let outer = ["nat-a", "nat-b"].map(|nat| network.outer_address(nat).expect("a NAT"));
        assert_ne!(outer[0], outer[1]);
        for (host, to) in [(&network.a, outer[1]), (&network.b, outer[0])] {
            let to = SocketAddr::new(to, 4000);
            let (got, took) = host.namespace.run(move || {
                let start = Instant::now();
                let got = TcpStream::connect_timeout(&to, 500 * MS).expect_err("nobody is there");
                (got, start.elapsed())
            });
            assert_eq!(
                got.kind(),
                io::ErrorKind::ConnectionRefused,
                "{home}: {got}"
            );
            assert!(took < 15 * MS, "{home} behind {carrier}: {took:?}");
        }
    }
}
