//! One listener of a server and the connections that came by it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::{Shared, assist, link};
use crate::socket;

/// How long nothing is accepted after the system said that it cannot: the
/// connections wait in the backlog, and asking again at once would spin.
const PAUSE: Duration = Duration::from_millis(100);

/// How long links have for closing in order when the server stops.
const DRAIN_DEADLINE: Duration = Duration::from_secs(5);

/// What a listener is for.
#[derive(Copy, Clone, Debug)]
pub(super) enum Kind {
    Main,
    /// With the index of its endpoint among those that peers are told.
    Assist(u8),
}

#[derive(Debug)]
pub(super) struct Accept {
    pub(super) shared: Arc<Shared>,
    pub(super) kind: Kind,
    pub(super) stop: CancellationToken,
}

impl Accept {
    /// Accepts until the server stops, then waits for what it accepted.
    ///
    /// Cancel safety: dropping the future closes the listener and all its
    /// connections at once.
    pub(super) async fn run(self, listener: TcpListener) {
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                biased;
                () = self.stop.cancelled() => break,
                accepted = listener.accept() => match accepted {
                    Ok((stream, remote)) => self.take_in(stream, remote, &mut connections),
                    Err(error) if socket::is_of_one_connection(&error) => {
                        tracing::debug!(%error, "accept failed");
                    }
                    Err(error) => {
                        socket::warn_of_pause(&error);
                        sleep(PAUSE).await;
                    }
                },
                Some(ended) = connections.join_next() => tell_if_lost(ended),
            }
        }
        drop(listener);
        if let Kind::Assist(_) = self.kind {
            // They have nothing to say to each other any more; the close is a
            // FIN, and TIME_WAIT stays here.
            connections.abort_all();
        }
        let drained = timeout(DRAIN_DEADLINE, async {
            while connections.join_next().await.is_some() {}
        });
        if drained.await.is_err() {
            tracing::warn!(
                left = connections.len(),
                "closed without waiting any longer"
            );
        }
    }

    fn take_in(&self, stream: TcpStream, remote: SocketAddr, connections: &mut JoinSet<()>) {
        // Where connections come without a pause, nobody else clears away what
        // has ended.
        while let Some(ended) = connections.try_join_next() {
            tell_if_lost(ended);
        }
        let Some(permit) = self.shared.limits.admit(remote.ip()) else {
            tracing::debug!(%remote, "turned away: too many connections");
            return socket::reset(stream);
        };
        if socket::prepare_accepted(&stream).is_err() {
            return;
        }
        let shared = Arc::clone(&self.shared);
        match self.kind {
            Kind::Main => connections.spawn(async move {
                link::serve(shared, stream, remote.into()).await;
                drop(permit);
            }),
            Kind::Assist(index) => connections.spawn(async move {
                assist::serve(shared, index, stream, remote.into()).await;
                drop(permit);
            }),
        };
    }
}

fn tell_if_lost(ended: Result<(), JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "a connection's task failed");
    }
}
