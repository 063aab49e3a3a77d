//! The command line.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{CommandFactory as _, Parser, Subcommand, ValueEnum};
use tcp_punch_tests::lab::means::Devices;
use tcp_punch_tests::lab::nat::NatKind;
use tcp_punch_tests::lab::network::{Network, Plan};
use tcp_punch_tests::lab::others::Others;
use tcp_punch_tests::lab::pair::{Consent, Terms};
use tcp_punch_tests::lab::topology::{Family, Layout};
use tcp_punch_tests::lab::wan::{Conditions, Site};

use crate::matrix::Matrix;
use crate::words::{Levels, kinds, levels, milliseconds, one_way, percent, rate};

const EXAMPLES: &str = "\
Examples:
  cargo lab                                     two NATs, RTT 40 / 40 / 80 ms, one session, the ladder
  cargo lab --nat-a rst --nat-b symmetric       other NATs; `none` puts a host on the WAN itself
  cargo lab --nat-a drop+drop                   a home NAT behind a carrier NAT
  cargo lab --same-nat drop                     both peers in one LAN
  cargo lab --ip 6 --nat-a rst                  IPv6 with stateful firewalls
  cargo lab --rtt 200 --loss 5 --sessions 20    a longer, lossy path, many sessions
  cargo lab --owd A-B=20 --owd B-A=100          a path that differs by direction
  cargo lab suite --filter loss                 the cases that must be won, those with `loss` in their name
  cargo lab matrix --sessions 5                 every kind of NAT against every other, as a table
  cargo lab matrix --rows rst --columns icmp    one cell of it
  cargo lab bench --json                        times against the floor that the delays allow
  cargo lab --nat-a box:hold --nat-b kernel:rst a NAT that runs in the lab's process, and one of the kernel
  cargo lab agree                               do the boxes come to the same as the kernel's NATs? (ten minutes)
  cargo lab bytes                               100 MiB each way at once, beside plain TCP
  cargo lab trouble --filter server             refusals, dead servers, strangers; those with `server` in their name
  cargo lab compare                             the kept results once more: what got worse?

It needs root or user namespaces, and nothing else. NATs are the kernel's where it is root and has the program `nft`
(`cargo lab --setup` installs it), and otherwise boxes of the same names in its own process; kernel: or box: before
a KIND asks for one of them. Without the rights it runs `tcp-punch demo` instead and says what was not shown; with LAB=require in the
environment that is a failure. Exit code: 0 all done, 1 something failed, 2 usage.";

/// Runs tcp-punch between hosts behind real NATs, in network namespaces of this machine.
#[derive(Debug, Parser)]
#[command(name = "cargo lab", after_help = EXAMPLES, after_long_help = format!("{}\n{EXAMPLES}", kinds()))]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,

    /// Install `nft` with the system's package manager where it is missing, then go on.
    #[arg(long, global = true)]
    pub(crate) setup: bool,

    /// How packets come from the hosts to the NATs and the WAN of this process [default: tun, or veth without it].
    #[arg(long, global = true, value_enum, value_name = "MAKE")]
    devices: Option<DevicesWord>,

    /// A tcp-punch binary to run instead of building it.
    #[arg(long, global = true, value_name = "PATH")]
    pub(crate) bin: Option<PathBuf>,

    /// Print the figures as JSON.
    #[arg(long, global = true)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) one: OnePair,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the cases in which every session must be won.
    Suite(Many),
    /// Measure the times from the request against the floor that the delays allow.
    Bench(Many),
    /// Run every kind of NAT against every other, and hold what wins against what can.
    Matrix(Matrix),
    /// Run the same sessions over the kernel's NATs and over boxes, which must come to the same; freely, and with each
    /// strategy by itself.
    Agree(Agreements),
    /// Carry many bytes each way at once, and compare the speed with plain TCP.
    Bytes(Bytes),
    /// Check that refusals, dead servers, strangers and crowds end as they must.
    Trouble(Troubles),
    /// Check that `tcp-punch doctor` names every kind of NAT.
    Doctor,
    /// Run kept results again, and say what got worse.
    Compare(Compare),
}

/// Options for comparing.
#[derive(Debug, clap::Args)]
pub(crate) struct Compare {
    /// The kept results, as written by --out [default: every file in tests/results].
    #[arg(value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,

    /// Compare with these results instead of running anything.
    #[arg(long, value_name = "FILE", requires = "file")]
    pub(crate) with: Option<PathBuf>,
}

/// Options for trouble.
#[derive(Debug, clap::Args)]
pub(crate) struct Troubles {
    /// Only items with this in their name.
    #[arg(long, default_value = "")]
    pub(crate) filter: String,

    /// How long a listener is left alone before it must still be registered, in seconds.
    #[arg(long, default_value_t = 45)]
    pub(crate) idle: u64,
}

/// Options for bulk.
#[derive(Debug, clap::Args)]
pub(crate) struct Bytes {
    /// How much each way, in MiB.
    #[arg(long, default_value_t = 100)]
    pub(crate) mib: u64,

    /// Round trip between A and B, in milliseconds.
    #[arg(long, value_name = "MS", default_value = "80", value_parser = milliseconds)]
    pub(crate) path_rtt: Duration,
}

/// Options for agreeing.
#[derive(Debug, clap::Args)]
pub(crate) struct Agreements {
    /// Sessions in each network.
    #[arg(long, default_value_t = 1)]
    pub(crate) sessions: usize,

    /// Only networks with this in their name, such as `low-ttl: ` for all of a strategy.
    #[arg(long, default_value = "")]
    pub(crate) filter: String,

    /// Networks at a time, each of both makes.
    #[arg(long, default_value_t = 6)]
    pub(crate) at_once: usize,

    /// Write the table to a file.
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

/// Options for many cases.
#[derive(Debug, clap::Args)]
pub(crate) struct Many {
    /// Sessions for each case.
    #[arg(long, default_value_t = 20)]
    pub(crate) sessions: usize,

    /// Only cases with this in their name.
    #[arg(long, default_value = "")]
    pub(crate) filter: String,

    /// Write the results to a file, to compare with later.
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

/// The network and the peers of a single pair.
#[derive(Debug, clap::Args)]
pub(crate) struct OnePair {
    /// NATs of the requester, from the host outwards: KIND, KIND+KIND for two levels, or none [default: drop].
    #[arg(long, value_name = "KIND", value_parser = levels)]
    nat_a: Option<Levels>,

    /// NATs of the responder, the same way [default: drop].
    #[arg(long, value_name = "KIND", value_parser = levels)]
    nat_b: Option<Levels>,

    /// A NAT that both are behind; --nat-a and --nat-b are then inside it [default: none].
    #[arg(long, value_name = "KIND", value_parser = levels)]
    same_nat: Option<Levels>,

    /// Which versions of IP the network has.
    #[arg(long, value_name = "VERSION", value_enum, default_value = "4")]
    ip: Ip,

    /// Round trip between A and the server, in milliseconds.
    #[arg(long, value_name = "MS", default_value = "40", value_parser = milliseconds)]
    rtt_a: Duration,

    /// Round trip between B and the server.
    #[arg(long, value_name = "MS", default_value = "40", value_parser = milliseconds)]
    rtt_b: Duration,

    /// Round trip between A and B.
    #[arg(long, value_name = "MS", default_value = "80", value_parser = milliseconds)]
    rtt: Duration,

    /// One direction of a path, such as A-S=5 or B-A=100, instead of half its round trip; may be repeated.
    #[arg(long, value_name = "FROM-TO=MS", value_parser = one_way)]
    owd: Vec<(Site, Site, Duration)>,

    /// How much longer a packet may take, on every path, in milliseconds.
    #[arg(long, value_name = "MS", default_value = "0", value_parser = milliseconds)]
    jitter: Duration,

    /// Loss between A and B, in percent.
    #[arg(long, value_name = "PERCENT", default_value = "0", value_parser = percent)]
    loss: f64,

    /// Loss on the paths to the server, in percent.
    #[arg(long, value_name = "PERCENT", default_value = "0", value_parser = percent)]
    server_loss: f64,

    /// Connections a second that other hosts behind A's NAT open, on average.
    #[arg(long, value_name = "NUMBER", default_value = "0", value_parser = rate)]
    others_a: f64,

    /// The same behind B's NAT.
    #[arg(long, value_name = "NUMBER", default_value = "0", value_parser = rate)]
    others_b: f64,

    /// Router hops between any two sites.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(0..=64))]
    hops: u8,

    /// Where loss, jitter and the connections of others come from.
    #[arg(long, default_value_t = 1)]
    seed: u64,

    /// Sessions, one after the other; the ladder is drawn of the first.
    #[arg(long, default_value_t = 1)]
    pub(crate) sessions: usize,

    /// When the responder agrees: asked for each session, or in advance.
    #[arg(long, value_enum, default_value = "ask")]
    consent: ConsentWord,

    /// Force a strategy.
    #[arg(long, value_name = "NAME")]
    strategy: Option<String>,

    /// Keep the requester registered too, so that both know their NATs before the first session.
    #[arg(long)]
    standing: bool,

    /// Allow birthday at both sides, for NATs whose outer ports are random.
    #[arg(long)]
    birthday: bool,

    /// Tell both peers the outer addresses of their own routers, behind one carrier's NAT.
    #[arg(long, requires = "same_nat")]
    outer_addresses: bool,

    /// What the punched stream carries: records (encrypted) or bare.
    #[arg(long, value_name = "KIND")]
    stream: Option<String>,

    /// Let both peers make segments by themselves.
    #[arg(long)]
    raw: bool,

    /// Let the server send SYN-ACKs in the peers' names.
    #[arg(long)]
    spoof: bool,

    /// Tell both peers the hop limit that passes their NATs [default: they find out].
    #[arg(long, value_name = "N")]
    peer_hops: Option<u8>,
}

impl Args {
    /// The command line of this process; ends the process with the usage where it asks for what cannot be.
    pub(crate) fn checked() -> Self {
        let args = Self::parse();
        let ip6_only = matches!(args.one.ip, Ip::V6);
        if let Some(kind) = args
            .one
            .plan()
            .layout
            .kinds()
            .find(|kind| ip6_only && !kind.is_for_ipv6())
        {
            let text = format!(
                "with --ip 6 nothing is translated, so that {} means nothing",
                kind.name
            );
            Self::command()
                .error(ErrorKind::ArgumentConflict, text)
                .exit();
        }
        args
    }
}

impl Args {
    /// The devices that were asked for.
    pub(crate) fn devices(&self) -> Option<Devices> {
        self.devices.map(|word| match word {
            DevicesWord::Tun => Devices::Tun,
            DevicesWord::Veth => Devices::Veth,
        })
    }
}

impl OnePair {
    /// The network it asks for.
    pub(crate) fn plan(&self) -> Plan {
        let default = if self.same_nat.is_some() {
            Vec::new()
        } else {
            vec![NatKind::DROP]
        };
        let levels = |given: &Option<Levels>| {
            given
                .as_ref()
                .map_or_else(|| default.clone(), |given| given.0.clone())
        };
        let shared = self
            .same_nat
            .as_ref()
            .map(|given| given.0.clone())
            .unwrap_or_default();
        let layout = Layout {
            a: levels(&self.nat_a),
            b: levels(&self.nat_b),
            shared,
        };

        let mut conditions = Conditions::from_rtt(self.rtt_a, self.rtt_b, self.rtt);
        for &(from, to, delay) in &self.owd {
            conditions.path_mut(from, to).delay = delay;
        }
        for from in Site::ALL {
            for to in Site::ALL {
                let path = conditions.path_mut(from, to);
                path.jitter = self.jitter;
                path.loss = if from == Site::S || to == Site::S {
                    self.server_loss
                } else {
                    self.loss
                };
            }
        }
        conditions.hops = self.hops;
        conditions.seed = self.seed;
        let family = match self.ip {
            Ip::V4 => Family::V4,
            Ip::V6 => Family::V6,
            Ip::Both => Family::Both,
        };
        Plan {
            layout,
            family,
            conditions,
        }
    }

    /// Starts what others do behind the NATs.
    pub(crate) fn others(&self, network: &mut Network) -> io::Result<Vec<Others>> {
        let layout = &network.plan().layout;
        // Where a peer has no NAT of its own, the one that both are behind.
        let nearest = |own: &[NatKind], name| if own.is_empty() { "nat" } else { name };
        let (a, b) = (nearest(&layout.a, "nat-a"), nearest(&layout.b, "nat-b"));
        let sides = [(a, self.others_a, 0), (b, self.others_b, 1)];
        sides
            .into_iter()
            .filter(|(_, rate, _)| *rate > 0.0)
            .map(|(nat, rate, side)| Others::start(network, nat, rate, self.seed * 2 + side))
            .collect()
    }

    /// How the peers are started.
    pub(crate) fn terms(&self, network: &Network) -> Terms {
        let consent = match self.consent {
            ConsentWord::Ask => Consent::Ask,
            ConsentWord::Open => Consent::Open,
        };
        Terms {
            consent,
            strategy: self.strategy.clone(),
            stream: self.stream.clone(),
            raw: self.raw,
            hops: [self.peer_hops; 2],
            spoof: self.spoof,
            patience: None,
            standing: self.standing,
            more: ["nat-a", "nat-b"].map(|nat| {
                let outer = network.outer_address(nat);
                let outer = outer.filter(|_| self.outer_addresses);
                let birthday = self.birthday.then(|| "--birthday".to_owned());
                let outer = outer.map(|outer| format!("--outer-address={outer}"));
                birthday.into_iter().chain(outer).collect()
            }),
        }
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Ip {
    #[value(name = "4")]
    V4,
    #[value(name = "6")]
    V6,
    Both,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum ConsentWord {
    Ask,
    Open,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum DevicesWord {
    /// TUN devices, which need /dev/net/tun.
    Tun,
    /// Packet sockets on pairs of veth devices.
    Veth,
}
