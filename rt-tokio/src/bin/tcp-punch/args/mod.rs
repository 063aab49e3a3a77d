//! What the command line takes, and the help that teaches it.

mod strategies;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand, ValueEnum};
use tcp_punch_tokio::{Bind, PeerId, ServerAddr, StreamMode};

pub(crate) use strategies::StrategyArgs;

/// Direct TCP streams between two hosts behind NATs.
///
/// Two peers register at a rendezvous server, which introduces them to each
/// other; then they punch a direct TCP connection through both NATs, prove to
/// each other who they are, and encrypt what passes. The server never sees or
/// carries their data.
#[derive(Debug, Parser)]
#[command(name = "tcp-punch", version, after_help = OVERVIEW)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

const OVERVIEW: &str = "\
To try it on this host alone:
  tcp-punch demo

To use it, on a host that everybody can reach:
  tcp-punch keygen --out server.key
  tcp-punch serve --key server.key --main 0.0.0.0:3478 --assist 0.0.0.0:3479 --assist 0.0.0.0:3480
on the host that shall be reached:
  tcp-punch keygen --out b.key
  tcp-punch listen --server HOST:3478/KEY --key b.key --allow ID_OF_A --forward localhost:22
on the host that reaches it:
  tcp-punch keygen --out a.key
  ssh -o ProxyCommand='tcp-punch connect --server HOST:3478/KEY --key a.key ID_OF_B' user@b

Exit codes:
  0  the stream ended in order
  1  the punch or the link failed; the reason and what to do next are on standard error
  2  the command line, or a file that it names, cannot be used";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a secret key and print the peer id that belongs to it
    Keygen(KeygenArgs),
    /// Print the peer id that belongs to a secret key
    Id(IdArgs),
    /// Run a rendezvous server
    Serve(ServeArgs),
    /// Wait for another peer to ask for a stream
    Listen(ListenArgs),
    /// Ask another peer for a stream
    Connect(ConnectArgs),
    /// Tell what the NAT here does, and what that allows
    Doctor(DoctorArgs),
    /// Show the whole thing on this host: a server, two peers, a stream
    Demo(DemoArgs),
}

impl Command {
    /// Whether standard error belongs to the events.
    pub(crate) const fn wants_json(&self) -> bool {
        match self {
            Self::Keygen(_) | Self::Id(_) | Self::Serve(_) => false,
            Self::Listen(args) => args.peer.json,
            Self::Connect(args) => args.peer.json,
            Self::Doctor(args) => args.json,
            Self::Demo(args) => args.json,
        }
    }
}

#[derive(Debug, Parser)]
#[command(after_help = "\
Example:
  $ tcp-punch keygen --out laptop.key
  mfrggzdfmztwq2lknnwg23tpobyxe43uov3ho6dzpiydcmrtgq2q

The file is for its owner only (mode 0600) and is never overwritten. Whoever has it is that peer.")]
pub(crate) struct KeygenArgs {
    /// Where to write the secret key; must not exist
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
}

#[derive(Debug, Parser)]
#[command(after_help = "\
Example:
  $ tcp-punch listen ... --allow $(tcp-punch id --key laptop.key)")]
pub(crate) struct IdArgs {
    /// The secret key
    #[arg(long, value_name = "FILE")]
    pub(crate) key: PathBuf,
}

#[derive(Debug, Parser)]
#[command(after_help = "\
Example:
  $ tcp-punch serve --key server.key --main 0.0.0.0:3478 --assist 0.0.0.0:3479 --assist 0.0.0.0:3480
  server 192.0.2.1:3478/mfrggzdfmztwq2lknnwg23tpobyxe43uov3ho6dzpiydcmrtgq2q

That line appears when the server is ready; its second word is what peers give as --server. Behind a
port-forwarding router, say what peers are to dial: --main 10.0.0.5:3478=192.0.2.1:3478. Two assist
ports are needed to see how a NAT maps; a second address for one of them sees more. IPv6 wants binds
of its own: --main '[::]:3478'. Where all is bound to loopback addresses, loopback peers are
introduced to each other. SIGINT and SIGTERM close all links in order and end with exit code 0.")]
pub(crate) struct ServeArgs {
    /// The server's secret key
    #[arg(long, value_name = "FILE")]
    pub(crate) key: PathBuf,
    /// Where peers register, and the address they are to dial if it is another
    #[arg(long, value_name = "BIND[=ADVERTISED]", required = true)]
    pub(crate) main: Vec<Bind>,
    /// Where peers see how their NAT maps; 1 to 4 times
    #[arg(long, value_name = "BIND[=ADVERTISED]", required = true)]
    pub(crate) assist: Vec<Bind>,
    /// A word that every peer has to know; at most 64 bytes
    #[arg(long, value_name = "T")]
    pub(crate) token: Option<String>,
    /// Send SYN-ACKs in the names of two peers that both ask for it: for labs
    ///
    /// For strategy `spoofed-syn-ack`. It works only in networks that let this host send from
    /// addresses that are not its own, which decent ones do not. Needs a program built with feature
    /// `raw`, Linux, and CAP_NET_RAW.
    #[arg(long)]
    pub(crate) spoof: bool,
}

/// What `listen` and `connect` have in common.
#[derive(Debug, Parser)]
pub(crate) struct PeerArgs {
    /// The rendezvous server, as `serve` prints it
    #[arg(long, value_name = "HOST:PORT/KEY")]
    pub(crate) server: ServerAddr,
    /// The own secret key
    #[arg(long, value_name = "FILE")]
    pub(crate) key: PathBuf,
    /// The word that the server wants to hear
    #[arg(long, value_name = "T")]
    pub(crate) token: Option<String>,
    /// A secret that both peers have and the server never sees
    ///
    /// The whole file counts, up to spaces and line ends at its end. It protects also against
    /// somebody who has a peer's secret key; take at least 16 random bytes.
    #[arg(long, value_name = "FILE")]
    pub(crate) secret_file: Option<PathBuf>,
    /// How bytes travel
    ///
    /// `records`: encrypted, and every change or cut is noticed. `bare`: as they are, after both
    /// sides have proven who they are; NOTHING protects them from then on. Only where both sides
    /// ask for it.
    #[arg(long, value_name = "MODE", value_enum, default_value_t = StreamArg::Records)]
    pub(crate) stream: StreamArg,
    #[command(flatten)]
    pub(crate) strategies: StrategyArgs,
    /// Tell both NATs, the plan with its reasons, and what came of each step
    ///
    /// With --json the events `planned`, `step-begun` and `step-ended` tell it, with or without this.
    #[arg(long)]
    pub(crate) explain: bool,
    /// Tell what happens as one JSON object a line on standard error
    ///
    /// Each has `t_ms` (milliseconds since the start) and `event`: registered, requested, notified,
    /// planned, step-begun, dialling, connected, step-ended, verified, failed, closed, link-down,
    /// mapping-learnt, nat-learnt, port-changed, listening, warning.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Parser)]
#[command(after_help = "\
Example:
  $ tcp-punch doctor --server HOST:3478/KEY
  What is here: port-restricted cone.
  ...

The peer registers under a new id that is forgotten afterwards, so nothing that runs is disturbed. A
server with a second address sees more; what was not tested is said to be so.")]
pub(crate) struct DoctorArgs {
    /// The rendezvous server, as `serve` prints it
    #[arg(long, value_name = "HOST:PORT/KEY")]
    pub(crate) server: ServerAddr,
    /// The word that the server wants to hear
    #[arg(long, value_name = "T")]
    pub(crate) token: Option<String>,
    /// Print the report as one JSON object on standard output, and events as JSON on standard error
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Parser)]
#[command(group = clap::ArgGroup::new("who").required(true), after_help = "\
Examples:
  Let one peer reach this host's SSH server, as often as it likes:
  $ tcp-punch listen --server HOST:3478/KEY --key b.key --allow ID_OF_A --forward localhost:22

  Receive one file:
  $ tcp-punch listen --server HOST:3478/KEY --key b.key --allow ID_OF_A < /dev/null > file

Without --forward, standard input and output are the stream, and listen ends with the first one.")]
pub(crate) struct ListenArgs {
    #[command(flatten)]
    pub(crate) peer: PeerArgs,
    /// Let this peer in; may be given often
    #[arg(long, value_name = "ID", num_args = 1.., group = "who")]
    pub(crate) allow: Vec<PeerId>,
    /// Let anybody in who knows this peer's id
    #[arg(long, group = "who")]
    pub(crate) allow_any: bool,
    /// Whether the server has to ask for each session
    ///
    /// `ask`: it asks first and tells nobody where this peer is before it has agreed. `open`: it
    /// may introduce the allowed peers at once, which saves a round trip; for that it learns whom
    /// this peer allows.
    #[arg(long, value_name = "HOW", value_enum, default_value_t = ConsentArg::Ask)]
    pub(crate) consent: ConsentArg,
    /// Connect every stream to this TCP port
    #[arg(long, value_name = "HOST:PORT", value_parser = target)]
    pub(crate) forward: Option<String>,
    /// With --forward: end after the first stream
    #[arg(long)]
    pub(crate) once: bool,
}

#[derive(Debug, Parser)]
#[command(after_help = "\
Examples:
  $ ssh -o ProxyCommand='tcp-punch connect --server HOST:3478/KEY --key a.key ID_OF_B' user@b

  Carry every connection to a local port, each over a stream of its own:
  $ tcp-punch connect --server HOST:3478/KEY --key a.key ID_OF_B --forward 127.0.0.1:8080

  Send one file:
  $ tcp-punch connect --server HOST:3478/KEY --key a.key ID_OF_B < file

  See what is tried, and why:
  $ tcp-punch connect --server HOST:3478/KEY --key a.key ID_OF_B --explain < /dev/null

Without --forward, standard input and output are the stream. The end of standard input ends that
direction only, and the other side's end closes standard output; connect ends when both have ended.")]
pub(crate) struct ConnectArgs {
    #[command(flatten)]
    pub(crate) peer: PeerArgs,
    /// The peer to connect to
    #[arg(value_name = "PEER_ID")]
    pub(crate) to: PeerId,
    /// Carry the TCP connections that come to this address
    #[arg(long, value_name = "LISTEN_IP:PORT", value_parser = entrance)]
    pub(crate) forward: Option<SocketAddr>,
    /// Time for a stream to come about: the server, the other side's consent, the punch
    #[arg(long, value_name = "SECONDS", default_value = "45", value_parser = seconds)]
    pub(crate) timeout: Duration,
}

#[derive(Debug, Parser)]
#[command(after_help = "\
Example:
  $ tcp-punch demo

Server and peers are real and talk over this host's loopback interface, so there is no NAT between
them: it shows the flow, not the punching. `cargo lab`, in the sources, does that.")]
pub(crate) struct DemoArgs {
    /// Tell what happens as one JSON object a line on standard error
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Copy, Clone, Debug, ValueEnum)]
pub(crate) enum StreamArg {
    Records,
    Bare,
}

impl From<StreamArg> for StreamMode {
    fn from(arg: StreamArg) -> Self {
        match arg {
            StreamArg::Records => Self::Records,
            StreamArg::Bare => Self::Bare,
        }
    }
}

#[derive(Copy, Clone, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ConsentArg {
    Ask,
    Open,
}

fn target(text: &str) -> Result<String, String> {
    let port = text
        .rsplit_once(':')
        .filter(|(host, _)| !host.is_empty())
        .map(|(_, port)| port);
    match port.map(str::parse::<u16>) {
        Some(Ok(port)) if port != 0 => Ok(text.to_owned()),
        _ => Err("it is HOST:PORT".to_owned()),
    }
}

fn entrance(text: &str) -> Result<SocketAddr, String> {
    text.parse()
        .map_err(|_| "it is IP:PORT, such as 127.0.0.1:8080".to_owned())
}

/// A day is as good as for ever, and keeps far from every overflow.
fn seconds(text: &str) -> Result<Duration, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (1.0..=86_400.0).contains(&seconds) => Ok(Duration::from_secs_f64(seconds)),
        _ => Err("it is a number of seconds from 1 to 86400".to_owned()),
    }
}

#[cfg(test)]
mod tests;
