//! NATs that lose what they knew while peers are registered through them.

use std::thread;
use std::time::{Duration, Instant};

use super::tools::{listener, session, stage};
use super::{Context, Trouble, Verdict};
use crate::lab::nat::NatKind;
use crate::lab::service::Service;
use crate::lab::topology::Layout;

pub(super) const ALL: &[Trouble] = &[
    Trouble {
        what: "the NATs forget everything, and give other ports",
        expected: "registered again by itself, a stream",
        run: forgotten,
    },
    Trouble {
        what: "the NATs forget everything, and give the same ports",
        expected: "a stream",
        run: forgotten_and_picked_up,
    },
    Trouble {
        what: "the listener's NAT reboots",
        expected: "registered, a stream",
        run: rebooted,
    },
];

/// A ping every 15 s, 20 % more or less; one that the NAT sends out by another port is answered with RST.
const NOTICED: Duration = Duration::from_secs(25);
/// After that time two pings have gone unanswered, and the peer has come back.
const SETTLED: Duration = Duration::from_secs(60);

/// A segment of the old connection goes out by a new port, where the server knows nothing of it.
fn forgotten(context: &Context<'_>) -> Verdict {
    let kind = NatKind::named("eim-random").ok_or("no such kind")?;
    let stage = stage(context, Layout::apart(kind, kind))?;
    let server = stage.server(&[])?;
    let service = Service::greeter(&stage.network.b.namespace)?;
    let listener = listener(&stage, &server, &service)?;
    session(&stage, &server)?;
    let before = listener.log().len();
    let start = Instant::now();
    for nat in ["nat-a", "nat-b"] {
        stage.network.forget(nat)?;
    }
    listener
        .log()
        .wait(before, &["registered"], start + SETTLED)
        .ok_or_else(|| format!("not back; it said: {}", listener.log().words()))?;
    let took = start.elapsed();
    session(&stage, &server)?;
    Ok(format!("back after {:.1} s, a stream", took.as_secs_f64()))
}

/// The next ping makes the entry that was lost: a kernel picks up connections in their middle.
fn forgotten_and_picked_up(context: &Context<'_>) -> Verdict {
    let stage = stage(context, Layout::apart(NatKind::DROP, NatKind::DROP))?;
    let server = stage.server(&[])?;
    let service = Service::greeter(&stage.network.b.namespace)?;
    let _listener = listener(&stage, &server, &service)?;
    for nat in ["nat-a", "nat-b"] {
        stage.network.forget(nat)?;
    }
    thread::sleep(NOTICED);
    session(&stage, &server)?;
    Ok(format!("a stream after {} s", NOTICED.as_secs()))
}

fn rebooted(context: &Context<'_>) -> Verdict {
    let stage = stage(context, Layout::apart(NatKind::DROP, NatKind::DROP))?;
    let server = stage.server(&[])?;
    let service = Service::greeter(&stage.network.b.namespace)?;
    let listener = listener(&stage, &server, &service)?;
    session(&stage, &server)?;
    let before = listener.log().len();
    let takes = Duration::from_secs(3);
    stage.network.reboot("nat-b", takes)?;
    thread::sleep(NOTICED);
    session(&stage, &server)?;
    let again = listener
        .log()
        .since(before)
        .iter()
        .any(|event| event.name == "registered");
    let how = if again { "a new link" } else { "its old link" };
    Ok(format!("a stream over {how}, {} s down", takes.as_secs()))
}
