//! How large the machines are, against their budgets.

#![allow(clippy::print_stdout, reason = "a test says what it measured")]

use tcp_punch_proto::rendezvous::{Assist, Link};
use tcp_punch_proto::{NoAccess, Peer, session_size};

#[test]
fn sizes_are_within_their_budgets() {
    let embedded = size_of::<Peer<NoAccess, 1, 3>>();
    let rows = [
        ("punch session", session_size(), 2_048),
        ("peer, 1 session, main port, 2 spare ports", embedded, 4_096),
        ("server, main link", size_of::<Link>(), 16_384),
        ("server, assist link", size_of::<Assist>(), 512),
    ];
    for (name, bytes, budget) in rows {
        println!("{name:<42} {bytes:>6} bytes, budget {budget}");
    }
    for (name, bytes, budget) in rows {
        assert!(bytes <= budget, "{name}: {bytes} bytes, budget {budget}");
    }
}
