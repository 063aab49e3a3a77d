//! Which ways to punch are open to a peer.

use std::net::IpAddr;

use clap::Args;
use tcp_punch_tokio::{Strategies, Strategy};

/// A heading for all of them would go on to what comes behind them.
const HEADING: &str = "Strategies";

#[derive(Debug, Args)]
pub(crate) struct StrategyArgs {
    /// Use this strategy; may be given often, and then no others are used
    ///
    /// The other side has to allow it as well. One of host-candidates, simultaneous-open, dial,
    /// sequential, low-ttl, port-prediction, birthday, crafted-syn-ack, spoofed-syn-ack.
    #[arg(help_heading = HEADING, long = "strategy", value_name = "NAME", value_parser = strategy)]
    only: Vec<Strategy>,
    /// Allow birthday too, for NATs whose outer ports are random; at both sides
    ///
    /// A try takes 256 sockets on the side whose ports are random and 1,024 dials on the other, 1,000 a
    /// second at most, and makes as many entries in the routers' tables; old home routers have died of
    /// 5,000. It comes about in 98 of 100 tries; a session makes three at most.
    #[arg(help_heading = HEADING, long)]
    birthday: bool,
    /// Make TCP segments by hand where both sides may
    ///
    /// For the strategies crafted-syn-ack and spoofed-syn-ack. Needs a program built with feature
    /// `raw`, Linux, and CAP_NET_RAW.
    #[arg(help_heading = HEADING, long)]
    pub(crate) raw: bool,
    /// Hops that pass all NATs here and none on the other side: 2 behind one NAT
    ///
    /// For strategy low-ttl. Found out where it is not given.
    #[arg(help_heading = HEADING, long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=32))]
    pub(crate) hops: Option<u8>,
    /// An outer address of the own router where it has a carrier's NAT before it; at most 2
    ///
    /// Peers behind the same carrier can be reached with it even if the carrier's NAT does no hairpin.
    #[arg(help_heading = HEADING, long = "outer-address", value_name = "IP")]
    pub(crate) outer_addresses: Vec<IpAddr>,
}

impl StrategyArgs {
    pub(crate) fn allowed(&self) -> Strategies {
        let named = if self.only.is_empty() {
            Strategies::default()
        } else {
            (self.only.iter()).fold(Strategies::NONE, |all, strategy| all.with(*strategy))
        };
        if self.birthday {
            named.with(Strategy::Birthday)
        } else {
            named
        }
    }
}

fn strategy(text: &str) -> Result<Strategy, String> {
    let names = || Strategy::ALL.map(Strategy::name).join(", ");
    Strategy::ALL
        .into_iter()
        .find(|strategy| strategy.name() == text)
        .ok_or_else(|| format!("the strategies are {}", names()))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        strategies: StrategyArgs,
    }

    fn allowed(line: &str) -> Strategies {
        let line = ["x"].into_iter().chain(line.split_whitespace());
        Line::parse_from(line).strategies.allowed()
    }

    #[test]
    fn what_is_named_is_allowed_and_nothing_else() {
        let two = Strategies::NONE.with(Strategy::Dial).with(Strategy::LowTtl);
        for (line, expected) in [
            ("", Strategies::default()),
            ("--birthday", Strategies::default().with(Strategy::Birthday)),
            ("--strategy dial --strategy low-ttl", two),
            (
                "--strategy dial --strategy low-ttl --birthday",
                two.with(Strategy::Birthday),
            ),
        ] {
            assert_eq!(allowed(line), expected, "{line}");
        }
    }

    #[test]
    fn the_help_names_all_strategies() {
        use clap::CommandFactory as _;

        let help = Line::command().render_long_help().to_string();
        let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
        let names = Strategy::ALL.map(Strategy::name).join(", ");
        assert!(help.contains(&names), "{help}");
    }
}
