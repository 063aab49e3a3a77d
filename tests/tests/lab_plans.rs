//! Which strategies a plan has, from what two real peers found out about real NATs; and that each strategy wins where
//! it is forced.
//!
//! Needs root or a user namespace for the boxes, and root for the kernel's NATs; what cannot run is skipped with a
//! word, or fails where `LAB=require` is set.
#![cfg(target_os = "linux")]

use tcp_punch_tests::lab::games::{Game, play};
use tcp_punch_tests::lab::played::{Peer, Played};

/// What won; a session that was lost fails with what was seen.
fn winner(game: &Game, played: &Played) -> String {
    let context = || format!("{game}: {:?}\n{}", played.failure, played.trace);
    assert_eq!(played.failure, None, "{}", context());
    played.won_by().unwrap_or_else(|| panic!("{}", context()))
}

#[test]
fn every_strategy_wins_where_it_is_forced() {
    // The traces of the others are in lab_methods.
    let cases = [
        ("dial", Game::apart("kernel:drop", "kernel:full-cone")),
        ("dial", Game::apart("box:full-cone", "box:symmetric")),
        (
            "port-prediction",
            Game::apart("kernel:symmetric-seq", "kernel:drop"),
        ),
        (
            "port-prediction",
            Game::apart("box:rst", "box:symmetric-256"),
        ),
        ("birthday", Game::apart("kernel:symmetric", "kernel:drop")),
        ("birthday", Game::apart("box:drop", "box:symmetric")),
        ("host-candidates", Game::together("kernel:drop")),
        ("host-candidates", Game::together("box:drop")),
        ("simultaneous-open", Game::together("kernel:hairpin")),
        (
            "simultaneous-open",
            Game::apart("kernel:symmetric", "kernel:address-restricted"),
        ),
        ("sequential", Game::apart("kernel:rst", "kernel:drop")),
        ("low-ttl", Game::apart("box:rst+box:drop", "kernel:rst")),
    ];
    let games = cases.clone().map(|(strategy, game)| game.force(strategy));
    for (game, played) in play(&games) {
        let forced = cases.iter().map(|(strategy, _)| *strategy);
        let forced = forced.zip(&games).find(|(_, one)| std::ptr::eq(*one, game));
        let strategy = forced.map(|(strategy, _)| strategy);
        assert_eq!(Some(winner(game, &played).as_str()), strategy, "{game}");
    }
}

/// Plays a game for each plan that is expected, and what is to win with it.
fn plans_are(cases: &[(Game, &[&str], Option<&str>)]) {
    let games: Vec<Game> = cases.iter().map(|(game, ..)| game.clone()).collect();
    for (game, played) in play(&games) {
        let place = games.iter().position(|one| std::ptr::eq(one, game));
        let (_, expected, wins) = &cases[place.expect("one of them")];
        let context = format!("{game}: {:?}\n{}", played.failure, played.trace);
        assert_eq!(played.plan(), *expected, "{context}");
        assert_eq!(played.won_by().as_deref(), *wins, "{context}");
        assert_eq!(played.failure.is_none(), wins.is_some(), "{context}");
        if expected.is_empty() && wins.is_none() {
            let reason = played.said(Peer::A, "failed").next();
            let reason = reason.and_then(|event| event.text("reason"));
            assert_eq!(reason.as_deref(), Some("nothing-to-try"), "{context}");
        }
    }
}

#[test]
fn crafted_segments_are_first_where_all_may_make_them_and_else_not_planned() {
    let strict = || Game::apart("kernel:strict", "kernel:strict");
    let stateless = |name: &str| Game::apart(name, name);
    let (spoofed, crafted, open) = (
        "spoofed-syn-ack, responder",
        "crafted-syn-ack, responder",
        "simultaneous-open, responder",
    );
    plans_are(&[
        (
            strict().raw().spoof(),
            &[spoofed, crafted, open],
            Some("spoofed-syn-ack"),
        ),
        (
            stateless("box:stateless-strict").raw(),
            &[crafted, open],
            Some("crafted-syn-ack"),
        ),
        // The server spoofs for nobody who cannot tell it a number; then two strict NATs are too much.
        (strict().spoof().hopeless(), &[open], None),
        // The server does not spoof: crafted SYN-ACKs alone do not pass what follows sequence numbers.
        (strict().raw().hopeless(), &[crafted, open], None),
        // How far a SYN may go is not known, as no error tells.
        (
            stateless("kernel:stateless").raw().spoof(),
            &[open],
            Some("simultaneous-open"),
        ),
        (stateless("kernel:drop"), &[open], Some("simultaneous-open")),
    ]);
}

#[test]
fn what_the_reports_make_needless_or_hopeless_is_not_planned() {
    let open = "simultaneous-open, responder";
    plans_are(&[
        // Nobody answers: no use for low TTLs or an order, nobody to dial.
        (
            Game::apart("kernel:drop", "kernel:drop"),
            &[open],
            Some("simultaneous-open"),
        ),
        // One dial does, and another one by the other's ports would spoil it.
        (
            Game::apart("kernel:full-cone", "kernel:symmetric"),
            &["dial, responder"],
            Some("dial"),
        ),
        // Nothing to foretell or to guess.
        (
            Game::apart("kernel:symmetric", "kernel:address-restricted"),
            &[open],
            Some("simultaneous-open"),
        ),
        // A step, so that nothing is left to chance.
        (
            Game::apart("kernel:symmetric-seq", "kernel:drop"),
            &["port-prediction, requester"],
            Some("port-prediction"),
        ),
        // Random, and nobody asked for the cost of a birthday.
        (Game::apart("kernel:symmetric", "kernel:drop"), &[], None),
        (
            Game::apart("kernel:symmetric", "kernel:symmetric"),
            &[],
            None,
        ),
        // One NAT that turns nothing around.
        (Game::together("kernel:drop"), &[], Some("host-candidates")),
    ]);
}

#[test]
fn an_order_is_planned_only_where_one_side_answers() {
    let (open, low) = ("simultaneous-open, responder", "low-ttl, responder");
    // With both, none helps.
    let cases: [(Game, &[&str]); 3] = [
        (Game::apart("kernel:rst", "kernel:rst"), &[low, open]),
        (
            Game::apart("kernel:rst", "kernel:drop"),
            &[low, open, "sequential, requester"],
        ),
        (
            Game::apart("kernel:drop", "kernel:icmp"),
            &["low-ttl, requester", open, "sequential, responder"],
        ),
    ];
    let games = cases.clone().map(|(game, _)| game);
    for (game, played) in play(&games) {
        let place = games.iter().position(|one| std::ptr::eq(one, game));
        assert_eq!(
            played.plan(),
            cases[place.expect("one of them")].1,
            "{game}"
        );
        // Raced: whichever is faster.
        let won = winner(game, &played);
        assert!(
            ["low-ttl", "simultaneous-open"].contains(&won.as_str()),
            "{won}"
        );
    }
}

#[test]
fn own_addresses_are_dialled_only_behind_one_nat() {
    for (game, played) in play(&[
        Game::apart("kernel:drop", "kernel:drop"),
        Game::together("kernel:hairpin"),
    ]) {
        let inside = Peer::BOTH.into_iter().any(|peer| {
            let mut dialled = played.said(peer, "dialling");
            dialled.any(|event| {
                let remote = event.text("remote");
                remote.is_some_and(|remote| remote.starts_with("192.168."))
            })
        });
        winner(game, &played);
        assert_eq!(inside, game.to_string().contains("hairpin"), "{game}");
    }
}
