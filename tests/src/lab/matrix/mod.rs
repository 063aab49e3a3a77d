//! Every kind of NAT against every other, by the real program: which strategy wins, how often, how fast.
//!
//! [`grids`] says who is held against whom, [`run`](run::run) runs sessions in each cell's network, [`sheet`] makes
//! tables of what came of them. What must come of them the [oracle](crate::oracle) says, from what the boxes of the same names
//! are configured to do.

pub mod grids;
pub mod run;
pub mod sheet;

use serde::{Deserialize, Serialize};

use super::cases::usual_conditions;
use super::nat::NatKind;
use super::network::Plan;
use super::topology::{Family, Layout};
use crate::natbox::Config;
use crate::oracle::{Case, Chance, Host, Surroundings, Topology};
use tcp_punch_proto::plan::Abilities;
use tcp_punch_proto::{Strategies, Strategy};

/// Sockets that the program may have open for one session.
const DIALS: u16 = 1_280;

/// Who is held against whom in one cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cell {
    /// The table that it is in.
    pub table: Table,
    /// The requester's side, or the situation of both.
    pub row: String,
    /// The responder's side.
    pub column: String,
    /// The NATs.
    pub layout: Layout,
    /// Whether both peers are told the outer addresses of their own routers.
    pub names_routers: bool,
    /// Whether both allow `birthday`.
    pub birthday: bool,
}

/// One of the tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Table {
    /// Each peer behind NATs of its own.
    Apart,
    /// Both behind one NAT.
    Shared,
    /// One side's ports are random, and both allow `birthday`.
    Birthday,
}

/// What the oracle says of a cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Expected {
    /// A stream comes about every time.
    Sure,
    /// It is a matter of luck.
    Luck,
    /// None can.
    Impossible,
}

impl Cell {
    /// What `--filter` looks at.
    #[must_use]
    pub fn name(&self) -> String {
        let birthday = if self.birthday { ", birthday" } else { "" };
        format!("{} / {}{birthday}", self.row, self.column)
    }

    /// What must come of it.
    #[must_use]
    pub fn expected(&self) -> Expected {
        let chances = self.oracle().chances();
        let best = Strategy::ALL
            .into_iter()
            .map(|strategy| chances.of(strategy))
            .max();
        match best {
            Some(Chance::Sure) if self.meets_at_no_distance() => Expected::Luck,
            Some(Chance::Sure) => Expected::Sure,
            Some(Chance::Luck) => Expected::Luck,
            Some(Chance::None) | None => Expected::Impossible,
        }
    }

    /// Whether the peers meet only in a carrier's network, which takes no time in the lab, at routers that answer early
    /// SYNs. Two SYNs have to cross there, so that each must be sent while the other is on its way: the oracle knows no
    /// time, and out there it is milliseconds, but here it is some 20 us, and a dial is dead soon after.
    fn meets_at_no_distance(&self) -> bool {
        let turns_around = self.layout.shared.iter().any(|kind| kind.is_hairpin());
        let answers = |kinds: &[NatKind]| kinds.iter().any(|kind| kind.is_answering());
        !self.layout.shared.is_empty()
            && !turns_around
            && answers(&self.layout.a)
            && answers(&self.layout.b)
    }

    /// The same for the oracle.
    fn oracle(&self) -> Case {
        let boxes = |kinds: &[NatKind]| -> Vec<Config> {
            kinds
                .iter()
                .filter_map(|kind| kind.config().or_else(|| kind.as_box()?.config()))
                .collect()
        };
        let topology = Topology {
            a: boxes(&self.layout.a),
            b: boxes(&self.layout.b),
            shared: boxes(&self.layout.shared),
        };
        let host = |own: &[Config]| {
            let levels = own.len() + topology.shared.len();
            let hops = u8::try_from(levels).ok().filter(|levels| *levels > 0);
            let allowed = Strategies::default();
            Host {
                abilities: Abilities {
                    // Found out by the program: one more than there are levels.
                    hops: hops.map(|levels| levels + 1),
                    raw: false,
                    spoof: false,
                    dials: DIALS,
                },
                allowed: if self.birthday {
                    allowed.with(Strategy::Birthday)
                } else {
                    allowed
                },
                names_router: self.names_routers,
                ..Host::default()
            }
        };
        let (a, b) = (host(&topology.a), host(&topology.b));
        Case {
            topology,
            a,
            b,
            around: Surroundings::default(),
        }
    }

    /// Its network.
    #[must_use]
    pub fn plan(&self, seed: u64) -> Plan {
        let mut conditions = usual_conditions();
        conditions.seed = seed;
        Plan {
            layout: self.layout.clone(),
            family: Family::V4,
            conditions,
        }
    }

    /// How to see it alone.
    #[must_use]
    pub fn replay(&self, sessions: usize, seed: u64) -> String {
        let tail = format!("--sessions {sessions} --seed {seed}");
        match self.table {
            Table::Apart | Table::Birthday => {
                let birthday = if self.birthday { " --birthday" } else { "" };
                format!(
                    "cargo lab --standing --nat-a {} --nat-b {}{birthday} {tail}",
                    self.row, self.column
                )
            }
            Table::Shared => {
                let names = |kinds: &[NatKind]| match kinds {
                    [] => "none".to_owned(),
                    kinds => kinds
                        .iter()
                        .map(NatKind::to_string)
                        .collect::<Vec<_>>()
                        .join("+"),
                };
                let Layout { a, b, shared } = &self.layout;
                let outer = if self.names_routers {
                    " --outer-addresses"
                } else {
                    ""
                };
                format!(
                    "cargo lab --standing --same-nat {} --nat-a {} --nat-b {}{outer} {tail}",
                    names(shared),
                    names(a),
                    names(b)
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::grids::{apart, birthday, kinds, shared};
    use super::*;

    fn of(row: &str, column: &str) -> Cell {
        let cells = apart(&kinds(), &kinds());
        let found = |cell: &Cell| cell.row == row && cell.column == column;
        cells.into_iter().find(found).expect("such a cell")
    }

    #[test]
    fn the_oracle_knows_what_is_known_of_pairs() {
        for (row, column, expected) in [
            ("none", "symmetric", Expected::Sure),
            ("drop", "rst", Expected::Sure),
            ("symmetric", "address-restricted", Expected::Sure),
            ("symmetric-256", "icmp", Expected::Sure),
            ("drop", "symmetric", Expected::Impossible),
            ("strict", "strict", Expected::Impossible),
            ("strict", "stateless", Expected::Sure),
            ("drop+symmetric", "full-cone", Expected::Sure),
            ("symmetric", "symmetric-seq", Expected::Impossible),
        ] {
            assert_eq!(of(row, column).expected(), expected, "{row} / {column}");
        }
    }

    #[test]
    fn birthday_turns_the_impossible_into_luck() {
        let cells = birthday();
        let drop = cells.iter().find(|cell| cell.column == "drop");
        assert_eq!(drop.map(Cell::expected), Some(Expected::Luck));
        assert!(cells.iter().all(|cell| cell.birthday));
    }

    #[test]
    fn the_routers_addresses_make_up_for_a_carrier_that_turns_nothing_around() {
        let expected: Vec<_> = shared().iter().map(Cell::expected).collect();
        let impossible = expected
            .iter()
            .filter(|expected| **expected == Expected::Impossible);
        assert_eq!(impossible.count(), 2, "{expected:?}");
        let lucky = shared()
            .into_iter()
            .filter(|cell| cell.expected() == Expected::Luck);
        let replays: Vec<_> = lucky.map(|cell| cell.replay(1, 1)).collect();
        assert_eq!(
            replays,
            [
                "cargo lab --standing --same-nat drop --nat-a rst --nat-b rst --outer-addresses --sessions 1 --seed 1"
            ]
        );
    }

    #[test]
    fn a_cell_can_be_seen_alone() {
        assert_eq!(
            of("drop+drop", "rst").replay(5, 7),
            "cargo lab --standing --nat-a drop+drop --nat-b rst --sessions 5 --seed 7"
        );
    }
}
