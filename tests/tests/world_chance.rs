//! What is a matter of luck, and how often it is had: `--nocapture` prints the
//! rates, `WORLD_SEEDS` makes them more exact.

use std::time::Duration;

use tcp_punch_proto::noise::Jitter;
use tcp_punch_proto::{Endpoint, Event, SessionId, SessionOptions, Strategies, Strategy};
use tcp_punch_tests::natbox::preset;
use tcp_punch_tests::world::net::Nat;
use tcp_punch_tests::world::{A, B, Habit, World, seeds};

/// The whole of it: consent was given in advance.
const DEADLINE: Duration = Duration::from_secs(16);

/// From the last contact with the server, where it leaves the NAT, to the dial:
/// the SYN's round trip, the token's way to the server, the server's word and the
/// answer to it, the word to go.
const BETWEEN: Duration = Duration::from_millis(120);

fn nat(name: &str) -> Nat {
    preset(name).expect("a preset")
}

/// What A began, and in which round.
fn steps(world: &World) -> impl Iterator<Item = (u8, Strategy)> {
    world.events(A).iter().filter_map(|(_, event)| {
        let Event::StepBegun { round, step, .. } = event else {
            return None;
        };
        Some((*round, step.strategy))
    })
}

/// In which round a session was verified; `None`: in none.
fn round_of(world: &World, session: SessionId) -> Option<u8> {
    if !world.is_verified(A, session) || !world.is_verified(B, session) {
        return None;
    }
    steps(world).map(|(round, _)| round).max()
}

/// Runs a session while others behind one side's NAT open connections, so many
/// between the last contact and the dial on average.
fn foretold_among_others(seed: u64, name: &str, counting: usize, others: f64) -> Option<u8> {
    let nats = match counting {
        A => (nat(name), Nat::dropping()),
        _ => (Nat::dropping(), nat(name)),
    };
    let mut world = World::builder(seed).nats(nats.0, nats.1).build();
    world.register();
    let own = [10, 0, u8::try_from(counting + 1).expect("two"), 200];
    let neighbour = world.add_stranger(world.place(counting), own.into(), Habit::Silent);
    let mut random = Jitter::new(seed);
    // The time to the next of a Poisson process.
    let mut pause = || {
        let uniform = (random.below(1 << 52) + 1) as f64 / (1_u64 << 52) as f64;
        BETWEEN.mul_f64(-uniform.ln() / others)
    };
    let session = world.connect(A, B);
    let end = world.now().after(DEADLINE);
    let over = |world: &World| world.is_over(A, session) && world.is_over(B, session);
    let mut port = 1;
    while world.now() < end && !world.run_until(over, pause()) {
        port = port % 60_000 + 1;
        let remote = Endpoint::new([192, 0, 2, 99].into(), port);
        world.stranger_knocks(neighbour, remote);
    }
    let round = round_of(&world, session);
    if round.is_some() {
        world.expect_stream(A, B, session, DEADLINE);
    }
    round
}

/// A batch: how many were met in the first round, and how many in time.
fn batch(name: &str, counting: usize, others: f64) -> (usize, usize, usize) {
    let rounds: Vec<_> = seeds(20)
        .map(|seed| foretold_among_others(seed, name, counting, others))
        .collect();
    let at_once = rounds.iter().filter(|round| **round == Some(1)).count();
    let met = rounds.iter().flatten().count();
    eprintln!(
        "{name} at {counting}, {others} others between: of {}, {at_once} in the first round, {met} in time",
        rounds.len()
    );
    (rounds.len(), at_once, met)
}

#[test]
fn foretold_ports_are_met_among_the_connections_of_others() {
    for others in [3.0, 10.0] {
        for counting in [A, B] {
            let (all, at_once, met) = batch("symmetric-seq", counting, others);
            assert!(at_once * 20 >= all * 19, "{at_once} of {all} at once");
            assert_eq!(met, all, "by the deadline");
        }
    }
}

#[test]
fn the_end_of_a_short_range_costs_rounds() {
    // 8,000 ports, 256 apart: every 31 connections the count begins anew, and
    // nobody knows where.
    let (all, _, met) = batch("symmetric-256", A, 10.0);
    assert!(met * 20 >= all * 19, "{met} of {all}");
}

/// Most dials within any second.
fn most_a_second(world: &World, peer: usize) -> usize {
    let times = world.dialled_at(peer);
    let within = |first: usize| {
        let end = times[first].after(Duration::from_secs(1));
        times[first..].iter().take_while(|at| **at < end).count()
    };
    (0..times.len()).map(within).max().unwrap_or_default()
}

#[test]
fn random_ports_are_met_by_chance() {
    let (mut all, mut at_once, mut met, mut misread) = (0, 0, 0, 0);
    for changing in [A, B] {
        for seed in seeds(20) {
            let nats = match changing {
                A => (nat("symmetric"), Nat::dropping()),
                _ => (Nat::dropping(), nat("symmetric")),
            };
            let builder = World::builder(seed).nats(nats.0, nats.1).by_chance();
            let mut world = builder.build();
            world.register();
            let options = SessionOptions {
                strategies: Strategies::ANY,
                ..SessionOptions::default()
            };
            let before = [A, B].map(|peer| world.dialled(peer).len());
            let to = world.id(B);
            let session = world.connect_with(A, to, options).expect("a request");
            let over = |world: &World| world.is_over(A, session) && world.is_over(B, session);
            assert!(world.run_until(over, DEADLINE), "never a hang");
            let round = round_of(&world, session);
            all += 1;
            at_once += usize::from(round == Some(1));
            met += usize::from(round.is_some());
            // Two random ports may look as if the NAT counted.
            misread += usize::from(!matches!(
                steps(&world).next(),
                Some((_, Strategy::Birthday))
            ));
            // What the host candidates and the contacts with the server add.
            let beside = 32;
            let rounds = usize::from(round.unwrap_or(4));
            for (peer, most) in [(changing, 256), (1 - changing, 1_024)] {
                let dials = world.dialled(peer).len() - before[peer];
                assert!(
                    dials <= most * rounds + beside,
                    "{dials} in {rounds} rounds"
                );
                let rate = most_a_second(&world, peer);
                assert!(rate <= 1_000 + beside, "{rate} a second");
            }
            if round.is_some() {
                world.expect_stream(A, B, session, DEADLINE);
            }
        }
    }
    eprintln!(
        "by chance: of {all}, {at_once} in the first round, {met} in time; {misread} misread"
    );
    assert!(met * 100 >= all * 95, "{met} of {all}");
    assert!(misread * 50 <= all, "{misread} of {all} taken for counting");
}
