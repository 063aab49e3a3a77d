//! The same sockets of the same kernels, over the kernel's NATs and over boxes: what connects is the same.
//!
//! Here are the sequences that the binary avoids because they fail (NAT-FACTS, section 2), and a few of the many
//! networks in which `cargo lab agree` forces each strategy of the binary. Needs root; without, each test says so and passes, or fails where `LAB=require` is set.
#![cfg(target_os = "linux")]

use std::io;
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, Socket, Type};
use tcp_punch_tests::lab::agree::{run_all, twins};
use tcp_punch_tests::lab::games::program;
use tcp_punch_tests::lab::means::{Maker, Means};
use tcp_punch_tests::lab::nat::NatKind;
use tcp_punch_tests::lab::netns::Namespace;
use tcp_punch_tests::lab::network::{Network, Plan};
use tcp_punch_tests::lab::rights::skip;
use tcp_punch_tests::lab::topology::{Family, Layout, public};
use tcp_punch_tests::lab::wan::{Conditions, Site};

const MS: Duration = Duration::from_millis(1);
/// Both hosts use this port, and a NAT that preserves ports does too.
const PORT: u16 = 5_555;

/// What B does before A dials.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sequence {
    /// It dials, and keeps the dial.
    Keep,
    /// It dials, closes the dial, and listens.
    Close,
    /// It dials at the same time as A.
    Together,
}

fn build(name: &str, family: Family) -> Option<Network> {
    let kind = NatKind::named(name).unwrap_or_else(|| panic!("no NAT is called {name}"));
    let plan = Plan {
        layout: Layout::apart(kind, kind),
        family,
        conditions: Conditions::from_rtt(40 * MS, 40 * MS, 60 * MS),
    };
    Network::build(&plan)
        .inspect_err(|error| skip("a network", error))
        .ok()
}

fn socket(namespace: &Namespace, family: Family) -> Socket {
    namespace.run(move || {
        let domain = match family {
            Family::V6 => Domain::IPV6,
            Family::V4 | Family::Both => Domain::IPV4,
        };
        let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP)).expect("socket");
        socket.set_reuse_address(true).expect("reuse");
        socket.set_reuse_port(true).expect("reuse");
        let any: SocketAddr = match family {
            Family::V6 => ([0_u16; 8], PORT).into(),
            Family::V4 | Family::Both => ([0_u8; 4], PORT).into(),
        };
        socket.bind(&any.into()).expect("bind");
        socket.set_nonblocking(true).expect("not blocking");
        socket
    })
}

fn dial(namespace: &Namespace, family: Family, to: SocketAddr) -> Socket {
    let socket = socket(namespace, family);
    // It is under way, or refused at once: the end of it is looked at later.
    let _ = socket.connect(&to.into());
    socket
}

/// Whether a dial has become a connection by then; a refused one never does.
fn connected(socket: &Socket, until: Instant) -> bool {
    loop {
        if socket.peer_addr().is_ok() {
            return true;
        }
        let refused = socket.take_error().map_or(true, |error| error.is_some());
        if refused || Instant::now() > until {
            return false;
        }
        thread::sleep(5 * MS);
    }
}

fn plays(network: &Network, family: Family, sequence: Sequence) -> bool {
    let end = |own: std::net::IpAddr, site| {
        let ip = if family == Family::V6 {
            own
        } else {
            public(site).v4.into()
        };
        SocketAddr::new(ip, PORT)
    };
    let (a, b) = (&network.a, &network.b);
    let at_a = end(a.addresses.v6.into(), Site::A);
    let at_b = end(b.addresses.v6.into(), Site::B);
    let of_b = dial(&b.namespace, family, at_a);
    if sequence != Sequence::Together {
        thread::sleep(200 * MS);
    }
    let (of_b, listener) = if sequence == Sequence::Close {
        drop(of_b);
        let listener = socket(&b.namespace, family);
        listener.listen(1).expect("listen");
        (None, Some(listener))
    } else {
        (Some(of_b), None)
    };
    let of_a = dial(&a.namespace, family, at_b);
    let until = Instant::now() + 2_500 * MS;
    if !connected(&of_a, until) {
        return false;
    }
    match (of_b, listener) {
        (Some(dialled), _) => connected(&dialled, until),
        (None, Some(listener)) => {
            thread::sleep(100 * MS);
            listener.accept().is_ok()
        }
        (None, None) => false,
    }
}

/// What connects in that order: keep, close, together.
fn outcomes(name: &str, family: Family) -> Option<[bool; 3]> {
    let sequences = [Sequence::Keep, Sequence::Close, Sequence::Together];
    // A network each: entries of the one before would decide.
    let runs = sequences.map(|sequence| {
        let name = name.to_owned();
        thread::spawn(move || build(&name, family).map(|network| plays(&network, family, sequence)))
    });
    let [keep, close, together] = runs.map(|run| run.join().expect("a run"));
    Some([keep?, close?, together?])
}

#[test]
fn sequences_of_sockets_end_the_same_over_both_makers() {
    for (name, family, expected) in [
        ("drop", Family::V4, Some([true, false, true])),
        ("rst-rule", Family::V4, Some([false, false, true])),
        ("rst", Family::V4, Some([false, false, true])),
        ("icmp", Family::V4, None),
        ("icmp-admin", Family::V4, None),
        ("full-cone", Family::V4, None),
        ("address-restricted", Family::V4, None),
        ("strict", Family::V4, Some([false, false, false])),
        ("symmetric", Family::V4, Some([false, false, false])),
        ("drop", Family::V6, None),
        ("rst", Family::V6, None),
        ("icmp", Family::V6, None),
    ] {
        let (Some(kernel), Some(boxes)) = (
            outcomes(&format!("kernel:{name}"), family),
            outcomes(&format!("box:{name}"), family),
        ) else {
            return;
        };
        eprintln!("{name} {family:?}: keep, close, together: {kernel:?} and {boxes:?}");
        assert_eq!(boxes, kernel, "{name} {family:?}: keep, close, together");
        assert!(
            expected.is_none_or(|expected| expected == kernel),
            "{name}: {kernel:?}"
        );
    }
}

#[test]
fn forced_strategies_of_the_program_end_the_same_over_both_makers() {
    let Some(program) = program() else { return };
    if Means::here().nats == Maker::Boxes {
        return skip("all", &io::Error::other("the kernel plays no NATs here"));
    }
    let cases = [
        ("simultaneous-open", "icmp / icmp", true),
        ("simultaneous-open", "strict / strict", false),
        ("sequential", "drop / drop", true),
        // Who is answered dials again, by which it becomes another strategy.
        ("sequential", "rst / rst", true),
        ("sequential", "strict / strict", false),
        ("low-ttl", "drop+drop / rst", true),
        ("low-ttl", "symmetric / drop", false),
        ("dial", "full-cone / symmetric-seq", true),
        ("dial", "address-restricted / drop", false),
        ("port-prediction", "symmetric-256 / drop", true),
        ("port-prediction", "symmetric / full-cone", false),
        ("crafted-syn-ack", "stateless / stateless", true),
        // After a second, when the SYNs are sent again with all their hops and cross.
        ("crafted-syn-ack", "drop / drop", true),
        ("crafted-syn-ack", "strict / strict", false),
        ("spoofed-syn-ack", "strict / strict", true),
        ("spoofed-syn-ack", "symmetric-seq / symmetric-seq", false),
    ];
    let all = twins();
    let forced = cases.map(|(strategy, network, _)| {
        let twin = all.iter().find(|twin| twin.name() == network);
        twin.unwrap_or_else(|| panic!("{network}"))
            .forcing(strategy)
    });
    let compared = run_all(&forced, program, 1, 4, |_, _| {}).expect("networks and programs");
    for ((strategy, network, wins), compared) in cases.into_iter().zip(compared) {
        assert!(compared.agree(), "{strategy}, {network}: {compared:#?}");
        assert_eq!(
            compared.kernel.won > 0,
            wins,
            "{strategy}, {network}: {compared:#?}"
        );
    }
}
