//! `listen`: waits for streams.

use tcp_punch_tokio::{Peer, PunchedStream};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::args::{ConsentArg, ListenArgs};
use crate::events::{Carried, Reporter};
use crate::forward::{carry, carry_stdio};
use crate::outcome::{Outcome, Trouble};
use crate::setup;
use crate::signals::{Interrupts, interrupted};

pub(crate) async fn run(args: ListenArgs) -> Outcome {
    let mut interrupts = Interrupts::new().map_err(Trouble::failed)?;
    let reporter = Reporter::new(args.peer.json).explaining(args.peer.explain);
    let in_advance = args.consent == ConsentArg::Open;
    let peer = setup::start(
        &args.peer,
        || setup::access(&args.allow, in_advance),
        &reporter,
    )?;
    let outcome = tokio::select! {
        outcome = serve(&args, &peer, &reporter) => outcome,
        outcome = interrupted(&mut interrupts, args.forward.is_some(), &reporter) => outcome,
    };
    peer.shutdown().await;
    reporter.finish().await;
    outcome
}

async fn serve(args: &ListenArgs, peer: &Peer, reporter: &Reporter) -> Outcome {
    peer.registered()
        .await
        .map_err(|error| reporter.unregistered(error))?;
    if args.forward.is_some() && !args.once {
        return serve_many(args, peer, reporter).await;
    }
    let stream = next(peer, reporter).await?;
    // Nobody else is served, so nobody else shall be let in.
    let (is_in_order, ()) = tokio::join!(serve_one(args, stream, reporter), peer.shutdown());
    if is_in_order {
        Ok(())
    } else {
        Err(Trouble::Told)
    }
}

/// Streams that are carried at once. More wait, a few; those behind are closed.
const MAX_CARRIED: usize = 1_024;

/// Serves all who come, for ever; where the link to the server is lost for good,
/// those who are there to their end.
async fn serve_many(args: &ListenArgs, peer: &Peer, reporter: &Reporter) -> Outcome {
    let mut sessions = JoinSet::new();
    let trouble = loop {
        tokio::select! {
            stream = next(peer, reporter), if sessions.len() < MAX_CARRIED => {
                let stream = match stream {
                    Ok(stream) => stream,
                    Err(trouble) => break trouble,
                };
                let (reporter, target) = (reporter.clone(), args.forward.clone());
                sessions.spawn(async move { to_target(target.as_deref(), stream, &reporter).await });
            }
            // One that fails has been told, and is not the others' concern.
            Some(_) = sessions.join_next() => {}
        }
    };
    // Streams that are up need no server.
    while sessions.join_next().await.is_some() {}
    Err(trouble)
}

async fn next(peer: &Peer, reporter: &Reporter) -> Result<PunchedStream, Trouble> {
    tokio::select! {
        Some(stream) = peer.incoming() => Ok(stream),
        error = peer.link_lost() => Err(reporter.unregistered(error)),
    }
}

async fn serve_one(args: &ListenArgs, stream: PunchedStream, reporter: &Reporter) -> bool {
    match &args.forward {
        None => carry_stdio(stream, reporter).await,
        target => to_target(target.as_deref(), stream, reporter).await,
    }
}

async fn to_target(target: Option<&str>, stream: PunchedStream, reporter: &Reporter) -> bool {
    let target = target.unwrap_or_default();
    match TcpStream::connect(target).await {
        Ok(local) => carry(local, stream, reporter).await,
        Err(error) => {
            let text =
                format!("{target} cannot be reached: {error}; check that a program listens there");
            reporter
                .closed(stream.session(), Carried::default(), Some(&text))
                .await;
            false
        }
    }
}
