//! Which SYN from outside passes the boxes of a side, and what becomes of the others.

use super::ports::{Outer, Towards};
use super::topology::{Stack, translates};
use crate::natbox::{Config, Early, Filtering, Hairpin, Invalid, Mapping, Tracking};

/// What a SYN meets at the other side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// It comes to the host: to its dial, or else to its listener.
    In,
    /// Nothing: it will be sent again after 1 s and 3 s.
    Silence,
    /// RST: the dial is over, and the sender's own boxes forget it.
    Reset,
    /// ICMP: the dial is over where the stack hears of it.
    Unreachable,
}

impl Answer {
    /// Whether the dial that it is the answer to is over.
    pub(super) fn ends_dial(self, stack: Stack) -> bool {
        match self {
            Self::In | Self::Silence => false,
            Self::Reset => true,
            Self::Unreachable => stack == Stack::Linux,
        }
    }
}

/// Where a SYN comes from, as far as the boxes it comes to have seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// From an address never contacted.
    Stranger,
    /// From an address that was contacted, but from another port of it.
    KnownAddress,
    /// From the very endpoint that was dialled.
    Dialled,
}

/// The boxes between a host and where both sides' packets meet, the innermost first.
#[derive(Debug, Clone)]
pub(super) struct Way {
    levels: Vec<Level>,
    pub(super) stack: Stack,
}

#[derive(Debug, Clone)]
struct Level {
    config: Config,
    /// After it.
    outer: Outer,
}

impl Way {
    /// From a host through its own boxes and those that it shares with the other, as far out as it has to go; `None`
    /// where the outermost of them does not turn it around.
    pub(super) fn between(own: &[Config], shared: &[Config], stack: Stack) -> Option<Self> {
        let mut levels = own.to_vec();
        // Both sides' outer addresses are the same box's, and what stands before it is not reached. If none of the
        // shared boxes translates, the addresses are those of one network inside of all.
        if let Some(turn) = shared.iter().rposition(translates) {
            levels.extend(&shared[..turn]);
            levels.push(turning(&shared[turn])?);
        }
        Some(Self::through(&levels, stack))
    }

    /// From a host through these boxes.
    pub(super) fn through(levels: &[Config], stack: Stack) -> Self {
        let mut outer = Outer::HOST;
        let levels = levels
            .iter()
            .map(|&config| {
                outer = outer.through(&config);
                Level { config, outer }
            })
            .collect();
        Self { levels, stack }
    }

    fn outer(&self) -> Outer {
        self.levels.last().map_or(Outer::HOST, |level| level.outer)
    }

    /// The outer port towards the other side.
    pub(super) fn towards(&self) -> Towards {
        self.outer().towards
    }

    /// Whether the other side can know where this one's SYN comes from.
    pub(super) fn is_kept(&self) -> bool {
        self.towards() == Towards::Kept
    }

    /// Whether the outer port is the host's own.
    pub(super) fn is_preserved(&self) -> bool {
        self.outer().preserved
    }

    /// Whether some box lets no SYN in at all.
    pub(super) fn is_strict(&self) -> bool {
        self.levels.iter().any(|level| level.config.strict_syn)
    }

    /// What a SYN meets that comes to the endpoint that the server saw.
    pub(super) fn meets(&self, source: Source) -> Answer {
        self.come_in(|_| source)
    }

    /// What the other side's SYN meets once this side has dialled the other's endpoint that the server saw.
    pub(super) fn meets_after_dial(&self, from: &Self) -> Answer {
        // What the dial left behind is of the mapping that the server saw only as long as no level gave it another
        // port. Further out, it is as if nobody had dialled.
        self.come_in(|level| match (level.outer.towards, from.is_kept()) {
            (Towards::Kept, true) => Source::Dialled,
            (Towards::Kept, false) => Source::KnownAddress,
            (Towards::Stepping(_) | Towards::Random, _) => Source::Stranger,
        })
    }

    /// A SYN comes in from level to level, the outermost first.
    fn come_in(&self, source: impl Fn(&Level) -> Source) -> Answer {
        for level in self.levels.iter().rev() {
            let source = source(level);
            let admitted = match admits(&level.config) {
                Filtering::Open => true,
                Filtering::AddressDependent => source != Source::Stranger,
                Filtering::AddressAndPortDependent => source == Source::Dialled,
            };
            if !admitted {
                return refusal(level.config.early);
            }
            if level.config.strict_syn {
                return Answer::Silence;
            }
        }
        Answer::In
    }

    /// Whether the host may answer a SYN of the other side by a SYN-ACK without that SYN having come: its own SYN was
    /// the first, and who follows sequence numbers takes none but the other's answer then.
    pub(super) fn lets_answer_unasked(&self) -> bool {
        self.levels.iter().all(|level| {
            let config = &level.config;
            match config.tracking {
                // What is let out as it came is right where nothing is translated.
                Tracking::Strict { .. } => !translates(config) && config.invalid == Invalid::Leak,
                Tracking::Liberal | Tracking::None => true,
            }
        })
    }
}

/// A box as those see it who come from inside to its outer address: everybody is let in. `None`: nobody is.
fn turning(config: &Config) -> Option<Config> {
    match config.hairpin {
        Hairpin::OuterSource => Some(Config {
            filtering: Filtering::Open,
            strict_syn: false,
            ..*config
        }),
        // Where the source is the inner one, the answer does not come by the NAT, and belongs to no dial.
        Hairpin::InnerSource | Hairpin::Refuse | Hairpin::Drop => None,
    }
}

/// Whom a box lets in: those of what it does not translate are of a rule of its own.
pub(super) fn admits(config: &Config) -> Filtering {
    match config.mapping {
        Mapping::Untranslated => config.firewall,
        Mapping::Independent | Mapping::AddressDependent | Mapping::AddressAndPortDependent => {
            config.filtering
        }
    }
}

fn refusal(early: Early) -> Answer {
    match early {
        // Held for seconds, and forgotten when the own side dials: both dial long before.
        Early::Drop | Early::Hold(_) => Answer::Silence,
        Early::Reset => Answer::Reset,
        Early::PortUnreachable | Early::Prohibited => Answer::Unreachable,
    }
}
