//! What was measured on real kernels, row by row: ports that depend on the destination.

use tcp_punch_proto::{Strategies, Strategy};

use super::boxes::{able, apart, case, levels};
use crate::oracle::{Case, Chance, Host, Surroundings, birthday_odds};

use Chance::{Luck, None as Never, Sure};

#[test]
fn a_symmetric_side_and_a_port_restricted_one() {
    let traffic = Surroundings {
        traffic: true,
        ..Surroundings::default()
    };
    for (what, a, b, around, prediction, birthday) in [
        (
            "steps",
            "symmetric-seq",
            "drop",
            Surroundings::default(),
            Sure,
            Luck,
        ),
        (
            "steps of 256",
            "symmetric-256",
            "drop",
            Surroundings::default(),
            Sure,
            Luck,
        ),
        (
            "steps, others dial too",
            "symmetric-seq",
            "drop",
            traffic,
            Luck,
            Luck,
        ),
        (
            "steps, RST",
            "symmetric-seq",
            "rst",
            Surroundings::default(),
            Sure,
            Luck,
        ),
        (
            "random",
            "symmetric",
            "drop",
            Surroundings::default(),
            Never,
            Luck,
        ),
        (
            "random, RST",
            "symmetric",
            "rst",
            Surroundings::default(),
            Never,
            Luck,
        ),
        (
            "both random",
            "symmetric",
            "symmetric",
            Surroundings::default(),
            Never,
            Never,
        ),
        (
            "both step",
            "symmetric-seq",
            "symmetric-seq",
            Surroundings::default(),
            Never,
            Never,
        ),
        (
            "steps, strict",
            "symmetric-seq",
            "strict",
            Surroundings::default(),
            Sure,
            Luck,
        ),
    ] {
        let case = Case {
            around,
            ..case(apart(a, b), able())
        };
        let chances = case.chances();
        assert_eq!(chances.of(Strategy::PortPrediction), prediction, "{what}");
        assert_eq!(chances.of(Strategy::Birthday), birthday, "{what}");
        let unasked = Case {
            a: Host {
                allowed: Strategies::default(),
                ..case.a
            },
            ..case
        };
        assert_eq!(unasked.chances().of(Strategy::Birthday), Never, "{what}");
    }
}

#[test]
fn the_odds_of_a_birthday_agree_with_the_trials() {
    for (sockets, dials, won) in [
        (64, 256, 2),
        (256, 256, 8),
        (128, 1_024, 11),
        (256, 1_024, 12),
    ] {
        let expected = birthday_odds(sockets, dials) * 12.0;
        assert!(
            (expected - f64::from(won)).abs() < 1.0,
            "{sockets} x {dials}: {expected} of 12"
        );
    }
    // Ordinary pairs: nobody waits for that.
    let few = Host {
        abilities: Host::default().abilities,
        ..able()
    };
    let chances = case(apart("symmetric", "drop"), few).chances();
    assert_eq!(chances.of(Strategy::Birthday), Never);
}

#[test]
fn ports_through_two_levels() {
    for (a, prediction) in [
        (&["drop", "symmetric-seq"], Sure),
        (&["symmetric-seq", "drop"], Sure),
        (&["symmetric", "symmetric-seq"], Sure),
        (&["symmetric-seq", "symmetric"], Never),
        (&["symmetric-seq", "eim-random"], Never),
        (&["drop", "eim-random"], Never),
    ] {
        let chances = case(levels(a, &["drop"], &[]), able()).chances();
        assert_eq!(chances.of(Strategy::PortPrediction), prediction, "{a:?}");
    }
}
