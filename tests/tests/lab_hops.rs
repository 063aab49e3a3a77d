//! The WAN counts hops, and its time-exceeded messages reach the host that sent too low a TTL, through every make of
//! NAT: what a strategy that lets SYNs die on purpose is built on.
//!
//! Needs root; without, each test says so and passes, or fails where `LAB=require` is set.
#![cfg(target_os = "linux")]

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use libc::{sock_extended_err, sockaddr_in6};
use nix::cmsg_space;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg, setsockopt, sockopt};
use socket2::{Domain, Protocol, Socket, Type};
use tcp_punch_tests::lab::nat::NatKind;
use tcp_punch_tests::lab::netns::Namespace;
use tcp_punch_tests::lab::network::{Network, Plan};
use tcp_punch_tests::lab::rights::skip;
use tcp_punch_tests::lab::topology::{Family, Layout, provider, public};
use tcp_punch_tests::lab::wan::{Conditions, Fate, Site};

const MS: Duration = Duration::from_millis(1);

fn build(levels: &[&str], family: Family) -> Option<Network> {
    let kind = |name: &&str| NatKind::named(name).unwrap_or_else(|| panic!("no NAT is {name}"));
    let plan = Plan {
        layout: Layout {
            a: levels.iter().map(kind).collect(),
            ..Layout::default()
        },
        family,
        conditions: Conditions::from_rtt(40 * MS, 60 * MS, 80 * MS),
    };
    Network::build(&plan)
        .inspect_err(|error| skip("a network", error))
        .ok()
}

/// What the kernel of a host was told about its SYN.
#[derive(Debug)]
struct Told {
    error: io::Error,
    /// Who said so; nobody where no message came.
    offender: Option<IpAddr>,
    took: Duration,
}

/// Dials with that TTL, and reads who answered from the socket's error queue.
fn dial(namespace: &Namespace, to: SocketAddr, ttl: u32) -> Told {
    namespace.run(move || {
        let socket = Socket::new(Domain::for_address(to), Type::STREAM, Some(Protocol::TCP))
            .expect("socket");
        if to.is_ipv6() {
            socket.set_unicast_hops_v6(ttl).expect("hop limit");
            setsockopt(&socket, sockopt::Ipv6RecvErr, &true).expect("IPV6_RECVERR");
        } else {
            socket.set_ttl_v4(ttl).expect("TTL");
            setsockopt(&socket, sockopt::Ipv4RecvErr, &true).expect("IP_RECVERR");
        }
        let start = Instant::now();
        let error = socket
            .connect_timeout(&to.into(), Duration::from_millis(700))
            .expect_err("nobody is there");
        let took = start.elapsed();
        Told {
            error,
            offender: offender(&socket),
            took,
        }
    })
}

fn offender(socket: &Socket) -> Option<IpAddr> {
    let mut room = cmsg_space!(sock_extended_err, sockaddr_in6);
    let mut quoted = [0; 1500];
    let mut parts = [IoSliceMut::new(&mut quoted)];
    let flags = MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT;
    let message = recvmsg::<()>(socket.as_raw_fd(), &mut parts, Some(&mut room), flags).ok()?;
    message.cmsgs().ok()?.find_map(|cmsg| {
        if let ControlMessageOwned::Ipv4RecvErr(_, Some(from)) = cmsg {
            Some(Ipv4Addr::from(u32::from_be(from.sin_addr.s_addr)).into())
        } else if let ControlMessageOwned::Ipv6RecvErr(_, Some(from)) = cmsg {
            Some(Ipv6Addr::from(from.sin6_addr.s6_addr).into())
        } else {
            None
        }
    })
}

#[test]
fn the_wan_answers_by_its_global_address_through_every_make_of_nat() {
    for (levels, dies_at) in [
        (&["kernel:drop"][..], 2),
        (&["box:drop"], 2),
        (&["kernel:symmetric"], 2),
        (&["box:symmetric"], 2),
        (&["kernel:drop", "kernel:drop"], 3),
        (&["box:drop", "box:drop"], 3),
        (&["box:drop", "kernel:drop"], 3),
        (&["kernel:drop", "box:drop"], 3),
    ] {
        for family in [Family::V4, Family::V6] {
            let Some(network) = build(levels, family) else {
                return;
            };
            let to = SocketAddr::new(public(Site::B).main(family), 4000);
            network.wan().capture().start();
            let told = dial(&network.a.namespace, to, dies_at);
            let crossings = network.wan().capture().take();
            let context = format!("{levels:?}, {family:?}: {told:?}");
            assert_eq!(
                told.error.kind(),
                io::ErrorKind::HostUnreachable,
                "{context}"
            );
            assert_eq!(
                told.offender,
                Some(provider(Site::A, 1).main(family)),
                "{context}"
            );
            // The one hop is in the middle of 40 ms, there and back.
            assert!(told.took >= 40 * MS, "{context}");
            let expired = |hop| crossings.iter().any(|c| c.fate == Fate::Expired(hop));
            assert!(expired(1), "{context}: {crossings:?}");
        }
    }
}

#[test]
fn one_hop_less_dies_at_the_own_nat_and_one_more_gets_through() {
    for (levels, dies_at) in [(&["drop"][..], 1), (&["drop", "drop"], 2)] {
        let Some(network) = build(levels, Family::V4) else {
            return;
        };
        let to = SocketAddr::new(public(Site::B).v4.into(), 4000);
        for (ttl, crosses) in [(dies_at, false), (dies_at + 2, true)] {
            network.wan().capture().start();
            let told = dial(&network.a.namespace, to, ttl);
            let crossings = network.wan().capture().take();
            let arrives = |c: &Fate| matches!(c, Fate::Arrives(_));
            assert_eq!(
                crossings.iter().any(|c| arrives(&c.fate)),
                crosses,
                "{levels:?}, TTL {ttl}: {told:?}, {crossings:?}"
            );
            // B's host is on the WAN itself and refuses; a NAT of A's names its inner address.
            let private =
                |ip: IpAddr| matches!(ip, IpAddr::V4(ip) if ip.octets()[..2] != [198, 51]);
            assert_eq!(told.offender.is_some_and(private), !crosses, "{told:?}");
        }
    }
}
