//! `demo`: server and two peers in one process, over real sockets on loopback.

use std::io::Write as _;
use std::time::Duration;

use tcp_punch_tokio::{
    AccessPolicy, Bind, Config, Peer, PeerId, PunchedStream, Server, ServerAddr, keyfile,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use crate::args::DemoArgs;
use crate::events::{Carried, Reporter};
use crate::outcome::{Outcome, Trouble};

/// It takes milliseconds; this is for hosts where something is wrong.
const DEADLINE: Duration = Duration::from_secs(20);

/// How much each side sends.
const BYTES: usize = 16 << 20;

pub(crate) async fn run(args: DemoArgs) -> Outcome {
    let reporter = Reporter::new(args.json);
    match timeout(DEADLINE, show(args.json, &reporter)).await {
        Ok(outcome) => outcome,
        Err(_) => Err(reporter.failed(
            "timed-out",
            "the demo did not end in time; check that this host's loopback interface is up and not firewalled",
        )),
    }
}

/// The steps, on standard output; with `--json` what happens is told instead.
struct Story {
    silent: bool,
    step: u8,
}

impl Story {
    fn tell(&mut self, text: &str) {
        self.step += 1;
        if !self.silent {
            // A closed standard output is no reason to fail.
            let _ = writeln!(std::io::stdout(), "{}. {text}", self.step);
        }
    }

    fn add(&self, text: &str) {
        if !self.silent {
            let _ = writeln!(std::io::stdout(), "   {text}");
        }
    }
}

async fn show(json: bool, reporter: &Reporter) -> Outcome {
    let mut story = Story {
        silent: json,
        step: 0,
    };

    let server = start_server().await?;
    let stop = CancellationToken::new();
    let addr = server
        .addresses()
        .first()
        .cloned()
        .ok_or_else(|| Trouble::failed("nothing is bound"))?;
    story.tell("A rendezvous server listens, with one main port and two assist ports:");
    story.add(&format!("server {addr}"));
    let serving = tokio::spawn(server.run(stop.clone().cancelled_owned()));

    let a = start_peer(&addr, AccessPolicy::nobody())?;
    let b = start_peer(&addr, AccessPolicy::only([a.id()]))?;
    if json {
        reporter.about("a").follow(&a);
        reporter.about("b").follow(&b);
    }
    story.tell("Two peers register; each proves with its secret key that its id is its own:");
    for (name, peer) in [("A", &a), ("B", &b)] {
        let mapped = peer.registered().await.map_err(Trouble::failed)?;
        story.add(&format!("{name} is {}, seen at {mapped}", peer.id()));
    }

    story.tell(
        "A asks for a stream to B. The server asks B, whose list has A on it; then both dial:",
    );
    let before = Instant::now();
    let (asked, came) = tokio::join!(a.connect(b.id()), b.incoming());
    let took = before.elapsed();
    let near = asked.map_err(Trouble::failed)?;
    let far = came.ok_or_else(|| Trouble::failed("B was shut down"))?;
    check_ends(&near, &far, a.id(), b.id())?;
    story.add(&format!(
        "a stream from {} to {}, by {}, after {:.1} ms",
        near.local_addr(),
        near.remote_addr(),
        near.strategy(),
        took.as_secs_f64() * 1e3
    ));
    story.add("both ends have proven who they are; the server has no part in it any more");

    story.tell(&format!(
        "{} MiB go each way at once, encrypted:",
        BYTES >> 20
    ));
    let before = Instant::now();
    let session = near.session();
    let (at_a, at_b) = tokio::join!(exchange(near), exchange(far));
    at_a.and(at_b)
        .map_err(|error| Trouble::Failed(format!("the stream broke: {error}")))?;
    let carried = Carried {
        sent: BYTES as u64,
        received: BYTES as u64,
    };
    if json {
        reporter.closed(session, carried, None).await;
    }
    let rate = 2.0 * (BYTES >> 20) as f64 / before.elapsed().as_secs_f64();
    story.add(&format!(
        "all arrived as they were sent, {rate:.0} MiB/s; both ends closed in order"
    ));

    tokio::join!(a.shutdown(), b.shutdown());
    stop.cancel();
    let _ = serving.await;
    story.tell("Peers and server are shut down.");
    story.add("");
    story.add("Not shown: NATs. All of this was on one host, where nothing is in the way of a TCP");
    story.add(
        "connection. `cargo lab`, in the sources, does the same through two NATs of the Linux",
    );
    story.add("kernel; `tcp-punch --help` says how to use it between two hosts.");
    reporter.finish().await;
    Ok(())
}

async fn start_server() -> Result<Server, Trouble> {
    let loopback = || Bind::from(std::net::SocketAddr::from(([127, 0, 0, 1], 0)));
    Server::builder(keyfile::generate().map_err(Trouble::failed)?)
        .main(loopback())
        .assist(loopback())
        .assist(loopback())
        .allow_loopback(true)
        .bind()
        .await
        .map_err(Trouble::failed)
}

fn start_peer(server: &ServerAddr, access: AccessPolicy) -> Result<Peer, Trouble> {
    let config = Config::builder().allow_loopback(true);
    let secret = keyfile::generate().map_err(Trouble::failed)?;
    Peer::builder(server.clone(), secret)
        .config(config)
        .access(access)
        .start()
        .map_err(Trouble::failed)
}

fn check_ends(near: &PunchedStream, far: &PunchedStream, a: PeerId, b: PeerId) -> Outcome {
    let is_right = near.peer_id() == b
        && far.peer_id() == a
        && near.session() == far.session()
        && near.handshake_hash() == far.handshake_hash();
    if is_right {
        Ok(())
    } else {
        Err(Trouble::failed("the two ends do not belong together"))
    }
}

/// Sends a pattern, and checks that the other side's arrives.
async fn exchange(stream: PunchedStream) -> std::io::Result<()> {
    let pattern: Vec<u8> = (0..=255_u8).cycle().take(BYTES).collect();
    let (mut reader, mut writer) = tokio::io::split(stream);
    let send = async {
        writer.write_all(&pattern).await?;
        writer.shutdown().await
    };
    let receive = async {
        let mut got = Vec::with_capacity(BYTES);
        reader.read_to_end(&mut got).await?;
        if got == pattern {
            Ok(())
        } else {
            Err(std::io::Error::other("other bytes arrived"))
        }
    };
    tokio::try_join!(send, receive).map(drop)
}
