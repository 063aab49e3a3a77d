//! One function a strategy: whether what it sends comes through.
//!
//! Two things go without saying. A SYN that comes to a host which dials that very endpoint meets the dial, and is
//! answered from the dial's own first sequence number, so that no box finds fault with the answer; every other one
//! meets the listener, by an entry of its own. And the answer always gets in to whoever sent that SYN, because it is
//! the answer.

use tcp_punch_proto::Strategy;
use tcp_punch_proto::noise::Role;
use tcp_punch_proto::plan::Abilities;

use super::chances::{Chance, Chances};
use super::passage::{Answer, Source, Way};
use super::ports::Towards;
use super::topology::{Case, translates};

/// The ports that a NAT chooses among.
const PORTS: f64 = 64_512.0;

/// Below this, nobody waits for it: a round takes seconds.
const WORTH_IT: f64 = 0.01;

/// A side of the pair.
struct Side<'a> {
    way: &'a Way,
    abilities: Abilities,
}

impl Case {
    /// What is to be expected of each strategy that both sides want.
    #[must_use]
    pub fn chances(&self) -> Chances {
        let mut chances = Chances::default();
        let roles = [Role::Requester, Role::Responder];
        if self.host_candidates() {
            for role in roles {
                chances.set(Strategy::HostCandidates, role, Chance::Sure);
            }
        }
        let way = |role| {
            let host = self.host(role);
            Way::between(self.topology.own(role), &self.topology.shared, host.stack)
        };
        if let [Some(a), Some(b)] = roles.map(way) {
            let [a, b] = [(&a, Role::Requester), (&b, Role::Responder)].map(|(way, role)| Side {
                way,
                abilities: self.host(role).abilities,
            });
            for (first, second, role) in [(&a, &b, Role::Requester), (&b, &a, Role::Responder)] {
                for strategy in Strategy::ALL {
                    if strategy != Strategy::HostCandidates {
                        chances.set(strategy, role, self.chance(strategy, first, second));
                    }
                }
            }
        }
        chances.among(self.a.allowed.and(self.b.allowed))
    }

    fn chance(&self, strategy: Strategy, first: &Side<'_>, second: &Side<'_>) -> Chance {
        let (one, other) = (first.way, second.way);
        let sure = |works: bool| if works { Chance::Sure } else { Chance::None };
        match strategy {
            Strategy::SimultaneousOpen => unless_crossed(simultaneous_open(one, other), one, other),
            Strategy::Dial => sure(dial(other)),
            Strategy::Sequential => unless_crossed(sequential(one, other), one, other),
            Strategy::LowTtl => {
                let works = first.abilities.hops.is_some() && self.low_ttl(one, other);
                unless_crossed(works, one, other)
            }
            Strategy::PortPrediction => match prediction(one, other) {
                true if self.around.traffic => Chance::Luck,
                // The box that turns packets around refuses what comes to a port that nobody behind it has used
                // yet, so the stepping side has to be the first.
                true if !self.ends_between()
                    && other.meets(Source::Stranger).ends_dial(one.stack) =>
                {
                    Chance::Luck
                }
                works => sure(works),
            },
            Strategy::Birthday => {
                let odds = birthday_odds(first.abilities.dials, second.abilities.dials);
                if birthday(one, other) && odds >= WORTH_IT {
                    Chance::Luck
                } else {
                    Chance::None
                }
            }
            Strategy::CraftedSynAck => sure(self.silent_syns(first, second) && crafted(one, other)),
            Strategy::SpoofedSynAck => {
                let may = first.abilities.spoof && second.abilities.spoof;
                let arrives = may && !self.around.ingress_filter;
                sure(arrives && self.silent_syns(first, second))
            }
            // Not by the endpoints that the server saw.
            Strategy::HostCandidates => Chance::None,
            strategy => unreachable!("there is no rule for {strategy}"),
        }
    }

    /// Whether a SYN with few hops can leave all own boxes and end before the other side's: where it has to turn
    /// around, the first box on the other side is as near as the place where it should end, and answers it.
    fn ends_between(&self) -> bool {
        !self.topology.shared.iter().any(translates)
    }

    /// The first side's SYN opens its own boxes and ends on the way, so nobody can answer it.
    fn low_ttl(&self, first: &Way, second: &Way) -> bool {
        if self.ends_between() {
            both_pending(first, second)
        } else {
            sequential(first, second)
        }
    }

    /// Whether both sides can have a SYN out that nobody answers, from where the other side expects it to come, and
    /// tell its sequence number.
    fn silent_syns(&self, a: &Side<'_>, b: &Side<'_>) -> bool {
        let able = |side: &Side<'_>| {
            side.abilities.raw && side.abilities.hops.is_some() && side.way.is_kept()
        };
        self.ends_between() && able(a) && able(b)
    }

    /// By addresses that are the hosts' own, or their routers', in a network that both are in.
    fn host_candidates(&self) -> bool {
        let Self { topology, a, b, .. } = self;
        let levels = || topology.a.iter().chain(&topology.b);
        let together = topology.shared.iter().any(translates);
        // Elsewhere, an address of one's own is good for something only if it is global.
        if !together && levels().any(translates) {
            return false;
        }
        let inner = [(&topology.a, a), (&topology.b, b)].map(|(own, host)| {
            let way = Way::through(own, host.stack);
            // Its port behind the router is taken for the own one.
            let known = !own.iter().any(translates) || host.names_router && way.is_preserved();
            (way, known)
        });
        let [(a, a_known), (b, b_known)] = inner;
        match (a_known, b_known) {
            (true, true) => simultaneous_open(&a, &b),
            // Who is not known cannot be dialled, and so has to dial.
            (true, false) => dial(&a),
            (false, true) => dial(&b),
            (false, false) => false,
        }
    }
}

/// Both dial, and dial again when they are answered, so neither hole is ever closed for long: one SYN that gets in is
/// enough, so a side that takes none does no harm as long as the other does.
fn simultaneous_open(a: &Way, b: &Way) -> bool {
    a.meets_after_dial(b) == Answer::In || b.meets_after_dial(a) == Answer::In
}

/// The listener has done nothing but contact the server.
fn dial(listener: &Way) -> bool {
    listener.meets(Source::Stranger) == Answer::In
}

/// The first dial comes before the other side has dialled. Once it is over it has done no good: its entry is gone, or
/// lets nothing out but what goes on from it.
fn sequential(first: &Way, second: &Way) -> bool {
    let early = second.meets(Source::Stranger);
    early == Answer::In || !early.ends_dial(first.stack) && both_pending(first, second)
}

/// The first side's dial is pending, now the second one dials, once. Where neither SYN is answered, the first one's is
/// the next to be sent again; a side that is open lets that in even if its own dial is over.
fn both_pending(first: &Way, second: &Way) -> bool {
    let late = first.meets_after_dial(second);
    let again = || second.meets_after_dial(first) == Answer::In;
    late == Answer::In || dial(second) || !late.ends_dial(second.stack) && again()
}

/// Both dial. Where one lets the other's SYN in by the port that the server saw, and its own dial to the very same
/// endpoint went out by another port, its box has two entries for one pair of inner endpoint and remote one: by which
/// of them the answers go, and which of them a RST to the dial ends, is chance.
fn unless_crossed(works: bool, a: &Way, b: &Way) -> Chance {
    let crossed = |way: &Way, from: &Way| {
        !way.is_kept() && from.is_kept() && way.meets_after_dial(from) == Answer::In
    };
    match works {
        false => Chance::None,
        true if crossed(a, b) || crossed(b, a) => Chance::Luck,
        true => Chance::Sure,
    }
}

/// The other side dials the very endpoint that the first one's next SYN will come from; then it is as with any two
/// endpoints that are known: one of the SYNs must get in.
fn prediction(stepping: &Way, other: &Way) -> bool {
    matches!(stepping.towards(), Towards::Stepping(_))
        && other.is_kept()
        && !(stepping.is_strict() && other.is_strict())
}

/// The same for an endpoint that was guessed.
fn birthday(changing: &Way, other: &Way) -> bool {
    !changing.is_kept() && other.is_kept() && !(changing.is_strict() && other.is_strict())
}

/// Each host answers a SYN that never came.
fn crafted(a: &Way, b: &Way) -> bool {
    a.lets_answer_unasked() && b.lets_answer_unasked()
}

/// How likely one of so many sockets gets an outer port that is one of so many dialled.
#[must_use]
pub fn birthday_odds(sockets: u16, dials: u16) -> f64 {
    1.0 - (1.0 - f64::from(dials) / PORTS).powi(sockets.into())
}
