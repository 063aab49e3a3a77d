//! Listeners of a peer, and what comes to them.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use proto::{Endpoint, ListenerId};
use tokio::net::TcpListener;
use tokio::time::{Sleep, sleep};

use super::sockets::Happening;
use crate::socket;

/// Most connections that one listener brings before the others have their turn.
const MAX_ACCEPTS: usize = 16;

/// How long nothing is accepted after the system said that it cannot: the
/// connection stays in the backlog, and asking again at once would spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Ordered by id, so that what happened at one moment is told in the order in
/// which the machine asked for it.
#[derive(Debug, Default)]
pub(super) struct Listeners {
    sockets: BTreeMap<ListenerId, TcpListener>,
    /// Nothing is accepted before this is over.
    pause: Option<Pin<Box<Sleep>>>,
}

impl Listeners {
    pub(super) fn listen(&mut self, id: ListenerId, local: Endpoint) -> Happening {
        let made = socket::listen_shared(local).and_then(|listener| {
            let local = Endpoint::from(listener.local_addr()?);
            Ok((listener, local))
        });
        match made {
            Ok((listener, local)) => {
                self.sockets.insert(id, listener);
                Happening::Listening { id, local }
            }
            Err(error) => {
                tracing::debug!(%local, %error, "cannot listen");
                Happening::ListenFailed {
                    id,
                    failure: socket::failure(&error),
                }
            }
        }
    }

    pub(super) fn unlisten(&mut self, id: ListenerId) {
        self.sockets.remove(&id);
    }

    /// Collects what has come; the task is woken when more does.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, happened: &mut VecDeque<Happening>) {
        if let Some(pause) = &mut self.pause {
            if pause.as_mut().poll(cx).is_pending() {
                return;
            }
            self.pause = None;
        }
        for (&listener, socket) in &self.sockets {
            for _ in 0..MAX_ACCEPTS {
                let accepted = match socket.poll_accept(cx) {
                    Poll::Ready(accepted) => accepted,
                    Poll::Pending => break,
                };
                let (stream, remote) = match accepted {
                    Ok(accepted) => accepted,
                    Err(error) if socket::is_of_one_connection(&error) => {
                        tracing::debug!(%error, "accept failed");
                        // Nothing happened that would bring another round, and
                        // the listener has not registered the task.
                        cx.waker().wake_by_ref();
                        continue;
                    }
                    Err(error) => {
                        self.pause = Some(pause_after(&error, cx));
                        return;
                    }
                };
                let prepared = socket::prepare_accepted(&stream)
                    .and_then(|()| stream.local_addr().map(Endpoint::from));
                match prepared {
                    Ok(local) => happened.push_back(Happening::Accepted {
                        listener,
                        stream,
                        local,
                        remote: remote.into(),
                    }),
                    Err(error) => {
                        tracing::debug!(%error, "it went away as soon as it was accepted");
                        cx.waker().wake_by_ref();
                    }
                }
            }
        }
    }
}

fn pause_after(error: &io::Error, cx: &mut Context<'_>) -> Pin<Box<Sleep>> {
    socket::warn_of_pause(error);
    let mut pause = Box::pin(sleep(ACCEPT_PAUSE));
    // Registers the waker; it cannot be over yet.
    let _ = pause.as_mut().poll(cx);
    pause
}
