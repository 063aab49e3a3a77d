//! The answer.

use tcp_punch_proto::noise::Role;
use tcp_punch_proto::{Strategies, Strategy};

/// What is to be expected of a strategy.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Chance {
    /// It cannot work.
    #[default]
    None,
    /// It works if ports fall well.
    Luck,
    /// It works.
    Sure,
}

/// What is to be expected of each strategy, whichever side has its special part.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Chances([[Chance; 2]; Strategy::ALL.len()]);

impl Chances {
    pub(super) fn set(&mut self, strategy: Strategy, first: Role, chance: Chance) {
        self.0[index(strategy)][first as usize] = chance;
    }

    /// Of a strategy with that side as the first.
    #[must_use]
    pub fn with_first(&self, strategy: Strategy, first: Role) -> Chance {
        self.0[index(strategy)][first as usize]
    }

    /// Of a strategy with the better side as the first.
    #[must_use]
    pub fn of(&self, strategy: Strategy) -> Chance {
        let [one, other] = self.0[index(strategy)];
        one.max(other)
    }

    /// The strategies that can work.
    #[must_use]
    pub fn possible(&self) -> Strategies {
        Strategy::ALL
            .into_iter()
            .filter(|&strategy| self.of(strategy) > Chance::None)
            .fold(Strategies::NONE, Strategies::with)
    }

    /// Those that can work, but only by luck.
    #[must_use]
    pub fn by_luck(&self) -> Strategies {
        Strategy::ALL
            .into_iter()
            .filter(|&strategy| self.of(strategy) == Chance::Luck)
            .fold(Strategies::NONE, Strategies::with)
    }

    /// Whether a direct stream is possible.
    #[must_use]
    pub fn is_possible(&self) -> bool {
        self.possible() != Strategies::NONE
    }

    /// Of these strategies only.
    #[must_use]
    pub fn among(&self, allowed: Strategies) -> Self {
        let mut chances = *self;
        for strategy in Strategy::ALL {
            if !allowed.allows(strategy) {
                chances.0[index(strategy)] = [Chance::None; 2];
            }
        }
        chances
    }

    /// The better chance of each.
    #[must_use]
    pub fn or(&self, other: &Self) -> Self {
        let mut chances = *self;
        let ours = chances.0.iter_mut().flatten();
        for (ours, theirs) in ours.zip(other.0.iter().flatten()) {
            *ours = (*ours).max(*theirs);
        }
        chances
    }
}

fn index(strategy: Strategy) -> usize {
    Strategy::ALL
        .iter()
        .position(|&other| other == strategy)
        .expect("ALL holds all of them")
}
