//! The methods of the older papers, each by the strategy that stands for it, packet by packet: the table at the end of
//! `proto/docs/strategies.md` names the tests here.
//!
//! Needs root or a user namespace for the boxes, and root for the kernel's NATs; what cannot run is skipped with a
//! word, or fails where `LAB=require` is set.
#![cfg(target_os = "linux")]

use std::time::Instant;

use tcp_punch_tests::lab::games::{Game, play};
use tcp_punch_tests::lab::packet::Segment;
use tcp_punch_tests::lab::played::{Peer, Played, Stream};
use tcp_punch_tests::lab::trace::{Point, Sighting};

/// The session was won by that strategy, which was the whole plan, and connect made the stream at both ends.
fn won_by_connect<'p>(game: &Game, played: &'p Played, step: &str) -> Stream<'p> {
    let context = format!("{game}: {:?}\n{}", played.failure, played.trace);
    assert_eq!(played.failure, None, "{context}");
    assert_eq!(played.plan(), [step], "{context}");
    let strategy = step.split(',').next().map(str::to_owned);
    assert_eq!(played.won_by(), strategy, "{context}");
    let stream = played.stream();
    assert_eq!(stream.dialled, [Some(true); 2], "{context}");
    stream
}

/// What a peer sent of that sort, where it is seen leaving or arriving at a point.
fn seen<'p>(
    stream: &Stream<'p>,
    from: Peer,
    at: &Point,
    outgoing: bool,
    sort: impl Fn(&Sighting) -> bool,
) -> Vec<(&'p Sighting, &'p Segment)> {
    let all = stream.segments(from, at);
    all.filter(|(seen, _)| seen.outgoing == outgoing && sort(seen))
        .collect()
}

/// The one SYN that a peer's host sent: there is no other, retransmissions included.
fn only_syn<'p>(stream: &Stream<'p>, from: Peer, context: &str) -> &'p Segment {
    let syns = seen(stream, from, &from.host(), true, Sighting::is_syn);
    let [(_, syn)] = syns[..] else {
        panic!("{} SYNs of {from:?}, {context}", syns.len())
    };
    syn
}

/// When the first packet of a sort came to the WAN or left it.
fn on_the_wan(stream: &Stream<'_>, from: Peer, outgoing: bool) -> Option<Instant> {
    let syns = seen(stream, from, &Point::Wan, outgoing, Sighting::is_syn);
    syns.first().map(|(seen, _)| seen.at)
}

/// What the SYN-ACKs of a peer must be if they go on from its only SYN: sequence and acknowledgment number.
fn numbers(stream: &Stream<'_>, from: Peer, context: &str) -> (u32, u32) {
    let [own, other] = [from, from.other()].map(|peer| only_syn(stream, peer, context).seq);
    (own, other.wrapping_add(1))
}

/// Where an ICMP time-exceeded about a peer's SYN was seen.
fn time_exceeded(played: &Played, stream: &Stream<'_>, about: Peer, at: &Point) -> usize {
    let (own, other) = (about as usize, about.other() as usize);
    let source = if *at == about.host() {
        stream.inner[own]
    } else {
        stream.outer[own]
    };
    let said = Some(("time exceeded", Some((source, stream.outer[other]))));
    let errors = played.trace.at(at);
    // On the WAN it is seen only as it leaves; everywhere else it arrives.
    errors.filter(|seen| seen.icmp_error() == said).count()
}

/// A SYN that few hops lead: it opened its own NAT, and the WAN's router was the end of it.
fn dies_on_the_wan(game: &Game, played: &Played, stream: &Stream<'_>, from: Peer) {
    let context = format!("{from:?}, {game}\n{}", played.trace);
    let isn = only_syn(stream, from, &context).seq;
    let left = seen(stream, from, &from.outside(), true, Sighting::is_syn);
    let [(left, segment)] = left[..] else {
        panic!("{context}")
    };
    assert_eq!((left.packet.hop_limit, segment.seq), (1, isn), "{context}");
    let came = seen(stream, from, &Point::Wan, false, Sighting::is_syn);
    assert_eq!(came.len(), 1, "{context}");
    assert_eq!(on_the_wan(stream, from, true), None, "{context}");
    assert_eq!(
        time_exceeded(played, stream, from, &Point::Wan),
        1,
        "{context}"
    );
    let far = from.other();
    for at in [far.outside(), far.host()] {
        let arrived = seen(stream, from, &at, false, Sighting::is_syn);
        assert_eq!(arrived.len(), 0, "{context}");
    }
}

#[test]
fn p2pnat_both_syns_cross_and_both_ends_are_up_by_connect() {
    let games = ["kernel:drop", "box:drop", "kernel:rst", "box:rst"]
        .map(|nat| Game::apart(nat, nat).force("simultaneous-open"));
    for (game, played) in play(&games) {
        let stream = won_by_connect(game, &played, "simultaneous-open, responder");
        let context = format!("{game}\n{}", played.trace);
        for from in Peer::BOTH {
            let far = from.other();
            let left = on_the_wan(&stream, from, false).expect("a SYN");
            let other_arrived = on_the_wan(&stream, far, true).expect("a SYN");
            assert!(left < other_arrived, "they do not cross: {context}");
            // The hole of the other's SYN lets it in.
            let arrived = seen(&stream, from, &far.host(), false, Sighting::is_syn);
            assert_eq!(arrived.len(), 1, "{context}");
            let answers = seen(&stream, far, &far.host(), true, Sighting::is_syn_ack);
            let [(_, answer)] = answers[..] else {
                panic!("{context}")
            };
            assert_eq!(
                (answer.seq, answer.ack),
                numbers(&stream, far, &context),
                "{context}"
            );
        }
    }
}

#[test]
fn two_connections_the_first_dial_is_dropped_kept_and_met() {
    let games = [
        ("kernel:drop", "kernel:drop"),
        ("box:drop", "box:drop"),
        ("kernel:drop", "kernel:rst"),
        ("box:drop", "box:rst"),
    ]
    .map(|(a, b)| Game::apart(a, b).force("sequential"));
    for (game, played) in play(&games) {
        let stream = won_by_connect(game, &played, "sequential, responder");
        let context = format!("{game}\n{}", played.trace);
        let (first, second) = (Peer::B, Peer::A);
        let isn = only_syn(&stream, first, &context).seq;

        // It comes to the far NAT before that is open, and no farther.
        let arrived = seen(&stream, first, &second.outside(), false, Sighting::is_syn);
        let opened = seen(&stream, second, &second.outside(), true, Sighting::is_syn);
        let ([(arrived, _)], [(opened, _)]) = (&arrived[..], &opened[..]) else {
            panic!("{context}")
        };
        assert!(arrived.at < opened.at, "{context}");
        let got_in = seen(&stream, first, &second.host(), false, Sighting::is_syn);
        assert_eq!(got_in.len(), 0, "{context}");

        // Whatever that side sends belongs to this very dial, which nothing ends.
        let mut all = stream.segments(first, &Point::Wan);
        assert!(
            all.all(|(_, segment)| {
                let flags = segment.flags;
                let is_first = !flags.syn() || segment.seq == isn;
                is_first && !flags.rst() && !flags.fin()
            }),
            "{context}"
        );
        let met = seen(&stream, second, &first.host(), false, Sighting::is_syn);
        assert_eq!(met.len(), 1, "{context}");
        let answers = seen(&stream, first, &first.host(), true, Sighting::is_syn_ack);
        let [(_, answer)] = answers[..] else {
            panic!("{context}")
        };
        assert_eq!(
            (answer.seq, answer.ack),
            numbers(&stream, first, &context),
            "{context}"
        );
    }
}

#[test]
fn stunt_2_a_low_ttl_syn_opens_its_own_nat_and_the_socket_survives_its_end() {
    let games = ["kernel:rst", "box:rst", "kernel:icmp", "box:icmp"]
        .map(|nat| Game::apart(nat, nat).force("low-ttl"));
    for (game, played) in play(&games) {
        let stream = won_by_connect(game, &played, "low-ttl, responder");
        let context = format!("{game}\n{}", played.trace);
        let (first, second) = (Peer::B, Peer::A);
        dies_on_the_wan(game, &played, &stream, first);
        // The host is told, and does not give up.
        for at in [first.outside(), first.host()] {
            let told = time_exceeded(&played, &stream, first, &at);
            assert_eq!(told, 1, "{at}, {context}");
        }
        let met = seen(&stream, second, &first.host(), false, Sighting::is_syn);
        assert_eq!(met.len(), 1, "{context}");
        let answers = seen(&stream, first, &first.host(), true, Sighting::is_syn_ack);
        let [(answer, segment)] = answers[..] else {
            panic!("{context}")
        };
        assert_eq!(
            (segment.seq, segment.ack),
            numbers(&stream, first, &context),
            "{context}"
        );
        assert!(answer.packet.hop_limit > 32, "{context}");
    }
}

#[test]
fn natblaster_both_syns_die_and_crafted_syn_acks_open_stateless_nats() {
    let games = [
        // No error about what it does not follow comes through the kernel's: hops cannot be found out.
        Game::apart("kernel:stateless", "kernel:stateless").hops(2),
        Game::apart("box:stateless", "box:stateless"),
        Game::apart("box:stateless-strict", "box:stateless-strict"),
    ]
    .map(|game| game.force("crafted-syn-ack").raw());
    for (game, played) in play(&games) {
        let stream = won_by_connect(game, &played, "crafted-syn-ack, responder");
        let context = format!("{game}\n{}", played.trace);
        for from in Peer::BOTH {
            dies_on_the_wan(game, &played, &stream, from);
            // As no SYN gets in, no stack has anything to answer: it is the crafted one, and the only one.
            for (at, outgoing) in [
                (from.host(), true),
                (from.outside(), true),
                (Point::Wan, false),
                (Point::Wan, true),
                (from.other().host(), false),
            ] {
                let answers = seen(&stream, from, &at, outgoing, Sighting::is_syn_ack);
                let [(_, answer)] = answers[..] else {
                    panic!("{at}, {context}")
                };
                assert_eq!(
                    (answer.seq, answer.ack),
                    numbers(&stream, from, &context),
                    "{at}, {context}"
                );
            }
        }
    }
}

#[test]
fn stunt_1_the_server_answers_in_both_names_through_strict_nats() {
    let games = ["kernel:strict", "box:strict", "box:stateless-strict"]
        .map(|nat| Game::apart(nat, nat).force("spoofed-syn-ack").raw().spoof());
    for (game, played) in play(&games) {
        let stream = won_by_connect(game, &played, "spoofed-syn-ack, responder");
        let context = format!("{game}\n{}", played.trace);
        for from in Peer::BOTH {
            dies_on_the_wan(game, &played, &stream, from);
            // In its name, from the server's site, and never from its own.
            for (at, outgoing, times) in [
                (from.host(), true, 0),
                (from.outside(), true, 0),
                (Point::S, true, 1),
                (Point::Wan, true, 1),
                (from.other().host(), false, 1),
            ] {
                let answers = seen(&stream, from, &at, outgoing, Sighting::is_syn_ack);
                assert_eq!(answers.len(), times, "{at}, {context}");
                for (_, answer) in answers {
                    assert_eq!(
                        (answer.seq, answer.ack),
                        numbers(&stream, from, &context),
                        "{at}, {context}"
                    );
                }
            }
        }
    }
}

#[test]
fn where_syns_cross_crafted_syn_acks_pass_strict_nats_that_follow_sequence_numbers() {
    // So many hops that the SYNs come to the far NATs, whose tracking sees them before its filter drops them.
    let games = ["kernel:strict", "box:strict"].map(|nat| {
        let game = Game::apart(nat, nat).force("crafted-syn-ack");
        game.raw().hops(8).open()
    });
    for (game, played) in play(&games) {
        let stream = won_by_connect(game, &played, "crafted-syn-ack, responder");
        let context = format!("{game}\n{}", played.trace);
        for from in Peer::BOTH {
            let far = from.other();
            let arrived = seen(&stream, from, &far.outside(), false, Sighting::is_syn);
            assert_eq!(arrived.len(), 1, "{context}");
            let got_in = seen(&stream, from, &far.host(), false, Sighting::is_syn);
            assert_eq!(got_in.len(), 0, "{context}");
            let answers = seen(&stream, from, &far.host(), false, Sighting::is_syn_ack);
            let [(_, answer)] = answers[..] else {
                panic!("{context}")
            };
            assert_eq!(
                (answer.seq, answer.ack),
                numbers(&stream, from, &context),
                "{context}"
            );
        }
    }
}
