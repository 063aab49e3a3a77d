//! `connect`: asks for streams.

use std::net::SocketAddr;
use std::sync::Arc;

use tcp_punch_tokio::{AccessPolicy, ConnectError, Peer, SessionOptions};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::args::ConnectArgs;
use crate::events::Reporter;
use crate::forward::{carry, carry_stdio};
use crate::outcome::{Outcome, Trouble};
use crate::setup;
use crate::signals::{Hangup, Interrupts, interrupted};

/// Connections that wait for their stream, or have one. More wait in the
/// listener's backlog.
const MAX_CARRIED: usize = 1_024;

/// Streams that are asked for at once: each needs ports of its own observed, and
/// a server introduces 12 at once to one peer, whoever asks. More connections
/// wait until it is their turn.
const MAX_ASKED: usize = 4;

pub(crate) async fn run(args: ConnectArgs) -> Outcome {
    let mut interrupts = Interrupts::new().map_err(Trouble::failed)?;
    let reporter = Reporter::new(args.peer.json).explaining(args.peer.explain);
    // First, so that a program that waits for the port need not wait longer.
    let listener = match args.forward {
        Some(local) => Some(listen(local, &reporter).await?),
        None => None,
    };
    let peer = setup::start(&args.peer, AccessPolicy::nobody, &reporter)?;
    if args.to == peer.id() {
        return Err(Trouble::usage(
            "PEER_ID is the id of --key itself: give the other peer's, which `tcp-punch id` prints there",
        ));
    }
    let outcome = tokio::select! {
        outcome = work(&args, &peer, listener, &reporter) => outcome,
        trouble = given_up(&peer, &reporter) => Err(trouble),
        outcome = interrupted(&mut interrupts, args.forward.is_some(), &reporter) => outcome,
    };
    peer.shutdown().await;
    reporter.finish().await;
    outcome
}

async fn work(
    args: &ConnectArgs,
    peer: &Peer,
    listener: Option<TcpListener>,
    reporter: &Reporter,
) -> Outcome {
    match listener {
        Some(listener) => forward(args, peer, listener, reporter).await,
        None => {
            let mut hangup = Hangup::new().map_err(Trouble::failed)?;
            let asked = tokio::select! {
                biased;
                asked = peer.connect_with(args.to, options(args)) => asked,
                () = hangup.next() => {
                    return Err(reporter.failed("interrupted", "interrupted before there was a stream"));
                }
            };
            let stream = asked.map_err(|error| refused(&error, reporter))?;
            if carry_stdio(stream, reporter).await {
                Ok(())
            } else {
                Err(Trouble::Told)
            }
        }
    }
}

/// Ready when the server will not have us, so that waiting is of no use; told
/// before the session that waits is cancelled.
///
/// A stream that is up needs no server any more; it is carried to its end.
async fn given_up(peer: &Peer, reporter: &Reporter) -> Trouble {
    match peer.registered().await {
        Err(error) => reporter.unregistered(error),
        Ok(_) => std::future::pending().await,
    }
}

fn options(args: &ConnectArgs) -> SessionOptions {
    SessionOptions {
        mode: args.peer.stream.into(),
        strategies: args.peer.strategies.allowed(),
        deadline: args.timeout,
    }
}

/// A session that failed has been told with its event.
fn refused(error: &ConnectError, reporter: &Reporter) -> Trouble {
    match error {
        ConnectError::Session { .. } => Trouble::Told,
        ConnectError::Misuse(_) | ConnectError::Stopped => {
            reporter.failed("misuse", &error.to_string())
        }
        _ => reporter.failed("other", &error.to_string()),
    }
}

async fn listen(local: SocketAddr, reporter: &Reporter) -> Result<TcpListener, Trouble> {
    let bound = async {
        let listener = TcpListener::bind(local).await?;
        reporter.listening(listener.local_addr()?);
        std::io::Result::Ok(listener)
    };
    bound.await.map_err(|error| {
        reporter.failed(
            "forward",
            &format!(
                "{local} cannot be bound: {error}; give --forward another IP:PORT of this host"
            ),
        )
    })
}

/// Carries all connections that come, for ever; where the link to the server is
/// lost for good, those that are up to their end.
async fn forward(
    args: &ConnectArgs,
    peer: &Peer,
    listener: TcpListener,
    reporter: &Reporter,
) -> Outcome {
    let mut carried = JoinSet::new();
    let (to, options) = (args.to, options(args));
    let turns = Arc::new(Semaphore::new(MAX_ASKED));
    let error = loop {
        tokio::select! {
            accepted = listener.accept(), if carried.len() < MAX_CARRIED => match accepted {
                Ok((local, _)) => {
                    let (peer, reporter) = (peer.clone(), reporter.clone());
                    let turns = Arc::clone(&turns);
                    carried.spawn(async move {
                        let asked = {
                            // Nobody closes it.
                            let _turn = turns.acquire().await;
                            peer.connect_with(to, options).await
                        };
                        match asked {
                            Ok(stream) => drop(carry(local, stream, &reporter).await),
                            // Dropping the local connection tells whoever made it.
                            Err(error) => drop(refused(&error, &reporter)),
                        }
                    });
                }
                Err(error) => {
                    reporter.warn(&format!("cannot accept: {error}"));
                    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                }
            },
            // One that fails has been told, and is not the others' concern.
            Some(_) = carried.join_next() => {}
            error = peer.link_lost() => break error,
        }
    };
    // Who comes now is refused; streams that are up need no server.
    drop(listener);
    let trouble = reporter.unregistered(error);
    while carried.join_next().await.is_some() {}
    Err(trouble)
}
