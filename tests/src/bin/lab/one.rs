//! `cargo lab` without a subcommand: one pair, the ladder, a summary.

use std::io;

use tcp_punch_tests::lab::figures::Outcome;
use tcp_punch_tests::lab::floor::floor;
use tcp_punch_tests::lab::ladder::{self, Scene};
use tcp_punch_tests::lab::network::{Host, Network};
use tcp_punch_tests::lab::others::Others;
use tcp_punch_tests::lab::pair::{Pair, Session, Story};
use tcp_punch_tests::lab::program::Program;
use tcp_punch_tests::lab::stage::Stage;
use tcp_punch_tests::lab::tap::Tap;
use tcp_punch_tests::lab::topology::public;
use tcp_punch_tests::lab::wan::Site;

use crate::args::Args;

/// Runs it; returns whether every session was won.
pub(crate) fn run(args: &Args, program: &Program) -> io::Result<bool> {
    let plan = args.one.plan();
    let mut network = Network::build(&plan)?;
    let others = args.one.others(&mut network)?;
    let stage = Stage::new(network, program)?;
    let terms = args.one.terms(&stage.network);
    let consent = terms.consent;
    let mut pair = Pair::start(stage, terms)?;
    let mut sessions = Vec::new();
    for number in 0..args.one.sessions {
        let session = if number == 0 && !args.json {
            let (session, story, taps) = with_taps(&mut pair)?;
            print!("{}", header(&pair));
            print!("{}", draw(&pair, &story, taps));
            println!();
            session
        } else {
            pair.session()?.0
        };
        if !args.json {
            println!("{}", told(&session, number));
        }
        sessions.push(session);
    }
    let outcome = Outcome::of(&plan.layout.to_string(), &sessions, floor(&plan, consent));
    if args.json {
        println!("{}", serde_json::to_string(&outcome)?);
    } else {
        println!("{}", summary(&outcome));
    }
    if !others.is_empty() && !args.json {
        let opened: u64 = others.iter().map(Others::opened).sum();
        println!("other hosts opened {opened} connections meanwhile");
    }
    Ok(outcome.won == outcome.sessions)
}

fn with_taps(pair: &mut Pair) -> io::Result<(Session, Story, [Tap; 2])> {
    let network = &pair.stage.network;
    let taps = [
        Tap::start(&network.a.namespace)?,
        Tap::start(&network.b.namespace)?,
    ];
    let (session, story) = pair.session()?;
    Ok((session, story, taps))
}

fn draw(pair: &Pair, story: &Story, taps: [Tap; 2]) -> String {
    let [tap_a, tap_b] = taps.map(Tap::take);
    let network = &pair.stage.network;
    ladder::render(&Scene {
        layout: &network.plan().layout,
        story,
        tap_a,
        tap_b,
        a: network.a.addresses,
        b: network.b.addresses,
        main: pair.stage.main_endpoint(),
        assists: pair.stage.assist_endpoints(),
    })
}

fn header(pair: &Pair) -> String {
    let network = &pair.stage.network;
    let plan = network.plan();
    let rtt = |one, other| plan.conditions.rtt(one, other).as_secs_f64() * 1000.0;
    let site_b = plan.layout.site_b();
    let (rtt_a, rtt_b) = (rtt(Site::A, Site::S), rtt(site_b, Site::S));
    let mut text = format!(
        "NATs {}; round trips A-S {rtt_a:.0} ms, B-S {rtt_b:.0} ms",
        plan.layout
    );
    if site_b == Site::B {
        text += &format!(", A-B {:.0} ms", rtt(Site::A, Site::B));
    }
    let peer = |name, host: &Host, site| {
        let (own, outer) = (
            host.addresses.main(plan.family),
            public(site).main(plan.family),
        );
        if own.is_ipv6() || own == outer {
            format!("{name} {own}")
        } else {
            format!("{name} {own} at {outer}")
        }
    };
    text += &format!(
        "\n{}, {}, S {}; times in ms from A's request\n\n",
        peer("A", &network.a, Site::A),
        peer("B", &network.b, site_b),
        public(Site::S).main(plan.family)
    );
    text
}

fn told(session: &Session, number: usize) -> String {
    let number = number + 1;
    if let Some(failure) = &session.failure {
        return format!("session {number} FAILED: {failure}");
    }
    let ms = |time: Option<std::time::Duration>| {
        time.map_or_else(
            || "?".to_owned(),
            |time| format!("{:.1}", time.as_secs_f64() * 1000.0),
        )
    };
    format!(
        "session {number}: TCP up A {} B {}, verified A {} B {} ms; {}; SYNs {} and {}; hello both ways",
        ms(session.a.up),
        ms(session.b.up),
        ms(session.a.verified),
        ms(session.b.verified),
        session.strategy.as_deref().unwrap_or("strategy not said"),
        session.syns[0],
        session.syns[1],
    )
}

fn summary(outcome: &Outcome) -> String {
    let mut text = format!("{} of {} sessions won", outcome.won, outcome.sessions);
    for (name, figure) in outcome.figures() {
        if let Some(figure) = figure {
            text += &format!(
                "; {name} {:.1} ms, floor {:.0}, ratio {:.2}",
                figure.median_ms, figure.floor_ms, figure.ratio
            );
        }
    }
    text
}
