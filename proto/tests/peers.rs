//! Single stories of a peer that once went wrong.

mod support;

use std::time::Duration;

use tcp_punch_proto::wire::{Clear, Frame, MAX_FRAME, ServerHello};
use tcp_punch_proto::{
    Config, Endpoint, Event, Input, Instant, LinkFailure, NoAccess, Output, Peer,
};

use support::bench::{Bench, Manner, Op, QUIET, Sketch, secret};

type Small = Peer<NoAccess, 1, 3>;

fn small(config: Config) -> Small {
    Peer::new(config, NoAccess, secret(1), secret(0).public(), [1; 32])
}

/// Answers what can be answered at once; gives what it was asked, as text, and
/// the events.
fn answered(peer: &mut Small, now: Instant, server: Endpoint) -> (Vec<String>, Vec<Event>) {
    let mut frame: Frame = [0; MAX_FRAME + 2];
    let (mut asked, mut events, mut reading) = (Vec::new(), Vec::new(), false);
    loop {
        let output = peer.poll_output(&mut frame);
        asked.push(format!("{output:?}"));
        match output {
            Output::Listen { id, mut local } => {
                local.port = 40_000 + asked.len() as u16;
                peer.handle_input(now, Input::Listening { id, local });
            }
            Output::Resolve { id } => {
                let addresses = &[server];
                peer.handle_input(now, Input::Resolved { id, addresses });
            }
            Output::Dial { id, local, .. } => {
                peer.handle_input(now, Input::Connected { id, local });
            }
            Output::Event(event) => events.push(event),
            Output::Wait(_) => return (asked, events),
            Output::Read { id, .. } => {
                // The server, or anybody on the way: another version, please.
                let data = &mut [[0, 2], ServerHello::reject(2)][usize::from(reading)];
                reading = !reading;
                peer.handle_input(now, Input::Received { id, data });
            }
            Output::Unlisten { .. }
            | Output::Watch { .. }
            | Output::Inject(_)
            | Output::Send { .. }
            | Output::Close { .. }
            | Output::HandOver(_) => {}
        }
    }
}

#[test]
fn a_reject_that_proves_nothing_does_not_end_the_link_for_good() {
    let mut peer = small(Config::default());
    let now = Instant::from_millis(1);
    peer.start(now);
    let (_, events) = answered(&mut peer, now, Endpoint::new([203, 0, 113, 1].into(), 1));
    let [Event::LinkDown { reason, retry_in }] = events[..] else {
        panic!("{events:?}")
    };
    assert_eq!(reason, LinkFailure::Version);
    assert!(
        retry_in.is_some(),
        "anybody on the path can send this frame"
    );
}

#[test]
fn a_family_counts_however_many_addresses_the_other_has() {
    let hosts = [
        "192.168.1.2",
        "172.17.0.1",
        "172.18.0.1",
        "172.19.0.1",
        "2001:db8::2",
    ];
    let hosts = hosts.map(|ip| ip.parse().unwrap());
    let mut peer = small(Config::default());
    let now = Instant::from_millis(1);
    peer.handle_input(now, Input::HostAddresses(&hosts));
    peer.start(now);
    let server = Endpoint::new("2001:db8::1".parse().unwrap(), 1);
    let (asked, _) = answered(&mut peer, now, server);
    assert!(
        asked.iter().any(|what| what.starts_with("Dial")),
        "{asked:#?}"
    );
}

#[test]
fn a_peer_that_starts_again_after_a_shutdown_listens() {
    let mut peer = small(Config::default());
    let now = Instant::from_millis(1);
    let server = Endpoint::new([203, 0, 113, 1].into(), 1);
    peer.start(now);
    let _ = answered(&mut peer, now, server);
    peer.shutdown(now);
    let _ = answered(&mut peer, now, server);
    peer.start(now);
    let (asked, _) = answered(&mut peer, now, server);
    assert!(
        asked.iter().any(|what| what.starts_with("Listen")),
        "{asked:#?}"
    );
}

#[test]
fn a_listener_that_never_came_does_not_end_a_later_attempt() {
    let config = Config::builder().link_deadline(Duration::from_secs(4));
    let mut peer = small(config.build().unwrap());
    let mut frame: Frame = [0; MAX_FRAME + 2];
    let mut now = Instant::from_millis(1);
    let (mut listens, mut connected) = (0, false);
    peer.start(now);
    while now < Instant::from_millis(7_000) {
        match peer.poll_output(&mut frame) {
            Output::Listen { id, mut local } => {
                listens += 1;
                if listens > 1 {
                    local.port = 40_000;
                    peer.handle_input(now, Input::Listening { id, local });
                }
            }
            Output::Resolve { id } => {
                let addresses = &[Endpoint::new([203, 0, 113, 1].into(), 1)];
                peer.handle_input(now, Input::Resolved { id, addresses });
            }
            Output::Dial { id, local, .. } => {
                connected = true;
                peer.handle_input(now, Input::Connected { id, local });
            }
            Output::Event(event) => assert!(!connected, "at {now}: {event:?}"),
            Output::Wait(next) => {
                now = next.unwrap();
                peer.handle_timeout(now);
            }
            Output::Unlisten { .. }
            | Output::Watch { .. }
            | Output::Inject(_)
            | Output::Read { .. }
            | Output::Send { .. }
            | Output::Close { .. }
            | Output::HandOver(_) => {}
        }
    }
}

#[test]
fn a_server_cannot_send_assist_links_just_anywhere() {
    let mut bench = Bench::<1, 3>::new(QUIET);
    let nowhere = ["127.0.0.1:22", "224.0.0.1:80", "0.0.0.0:1", "192.0.2.1:0"];
    bench.assists = nowhere
        .iter()
        .map(|at| at.parse::<std::net::SocketAddr>().unwrap().into())
        .collect();
    bench.run(Op::Start);
    bench.run(Op::Connected(0));
    let wrong: Vec<_> = bench
        .dialled
        .iter()
        .map(|(_, at)| at)
        .filter(|at| bench.assists.contains(at))
        .collect();
    assert!(wrong.is_empty(), "dialled: {wrong:?}");
}

/// "Inputs that an output causes at once [...] may be fed in the middle of it".
#[test]
fn a_responder_proves_itself_also_where_the_dial_succeeds_at_once() {
    let mut bench = Bench::<1, 3>::new(Manner {
        near: true,
        ..QUIET
    });
    bench.run(Op::Start);
    bench.run(Op::Notify(true, 0, [Sketch::cone(0), Sketch::cone(1)]));
    bench.run(Op::Deadline);
    let [hello] = &bench.hellos[..] else {
        panic!("{:?}", bench.hellos)
    };
    let Ok(Some(Clear::StreamHello(hello))) = Clear::decode(hello) else {
        panic!("{hello:?}")
    };
    assert!(
        !hello.noise.is_empty() && hello.mac.len() == 16,
        "{hello:?}"
    );
}

/// A stranger can know a session's id: our own hello tells it to whoever has
/// the address of a candidate in our network.
#[test]
fn strangers_who_prove_nothing_leave_room_for_the_other_side() {
    let mut bench = Bench::<1, 8>::new(QUIET);
    bench.run(Op::Start);
    bench.run(Op::Connected(0));
    bench.run(Op::Notify(true, 0, [Sketch::cone(0), Sketch::cone(1)]));
    for from in 0..5 {
        bench.run(Op::Accepted(0, from));
        let stranger = bench.reading().len() - 1;
        bench.run(Op::Greet(stranger as u8, 0, false, Vec::new()));
    }
    let before = bench.hellos.len();
    assert_eq!(before, 5, "each was answered");
    // The dial to the true other side comes through, long after.
    bench.run(Op::Tick(6_000_000));
    for _ in 0..12 {
        bench.run(Op::Connected(0));
    }
    assert!(bench.hellos.len() > before, "no room for who was dialled");
}
