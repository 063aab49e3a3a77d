//! Everything of a peer that has a descriptor: dials, connections, listeners.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use proto::{Close, Endpoint, Failure, Hops, ListenerId, SocketId};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Sleep, sleep};

use crate::conn::Conn;
use crate::socket;

/// Most connections that one listener brings before the others have their turn.
const MAX_ACCEPTS: usize = 16;

/// How long nothing is accepted after the system said that it cannot: the
/// connection stays in the backlog, and asking again at once would spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What happened, in owned form.
#[derive(Debug)]
pub(super) enum Happening {
    Listening {
        id: ListenerId,
        local: Endpoint,
    },
    ListenFailed {
        id: ListenerId,
        failure: Failure,
    },
    Connected {
        id: SocketId,
        local: Endpoint,
    },
    DialFailed {
        id: SocketId,
        failure: Failure,
    },
    Accepted {
        listener: ListenerId,
        stream: TcpStream,
        local: Endpoint,
        remote: Endpoint,
    },
    Received {
        id: SocketId,
        data: Vec<u8>,
    },
    Ended {
        id: SocketId,
        failure: Option<Failure>,
    },
}

/// A dial and the connection that it becomes.
#[derive(Debug)]
struct Slot {
    conn: Conn,
    is_up: bool,
}

/// Ordered by id, so that what happened at one moment is told in the order in
/// which the machine asked for it.
#[derive(Debug, Default)]
pub(super) struct Sockets {
    slots: BTreeMap<SocketId, Slot>,
    listeners: BTreeMap<ListenerId, TcpListener>,
    /// Outcomes that were known at once; they wait for the drain to end.
    known: VecDeque<Happening>,
    /// Connections that are being closed in order.
    closing: JoinSet<()>,
    /// Nothing is accepted before this is over.
    accept_pause: Option<Pin<Box<Sleep>>>,
}

impl Sockets {
    pub(super) fn listen(&mut self, id: ListenerId, local: Endpoint) {
        let made = socket::listen_shared(local).and_then(|listener| {
            let local = Endpoint::from(listener.local_addr()?);
            Ok((listener, local))
        });
        self.known.push_back(match made {
            Ok((listener, local)) => {
                self.listeners.insert(id, listener);
                Happening::Listening { id, local }
            }
            Err(error) => {
                tracing::debug!(%local, %error, "cannot listen");
                Happening::ListenFailed {
                    id,
                    failure: socket::failure(&error),
                }
            }
        });
    }

    pub(super) fn unlisten(&mut self, id: ListenerId) {
        self.listeners.remove(&id);
    }

    pub(super) fn dial(&mut self, id: SocketId, local: Endpoint, remote: Endpoint, hops: Hops) {
        tracing::trace!(port = local.port, %remote, "dialling");
        match socket::dial(local, remote, hops) {
            Ok(stream) => {
                self.slots.insert(
                    id,
                    Slot {
                        conn: Conn::new(stream),
                        is_up: false,
                    },
                );
            }
            Err(error) => {
                tracing::debug!(port = local.port, %remote, %error, "dial failed at once");
                self.known.push_back(Happening::DialFailed {
                    id,
                    failure: socket::failure(&error),
                });
            }
        }
    }

    /// Takes in an accepted connection.
    pub(super) fn adopt(&mut self, id: SocketId, stream: TcpStream) {
        self.slots.insert(
            id,
            Slot {
                conn: Conn::new(stream),
                is_up: true,
            },
        );
    }

    /// Nothing for a socket that has ended: the machine is about to hear of it.
    pub(super) fn read(&mut self, id: SocketId, exactly: usize) {
        if let Some(slot) = self.slots.get_mut(&id) {
            slot.conn.read(exactly);
        }
    }

    /// Nothing for a socket that has ended, as above.
    pub(super) fn send(&mut self, id: SocketId, data: &[u8]) {
        if let Some(slot) = self.slots.get_mut(&id) {
            slot.conn.send(data);
        }
    }

    pub(super) fn close(&mut self, id: SocketId, how: Close) {
        match (self.slots.remove(&id), how) {
            (None, _) => {}
            // A pending dial has nobody to tell: closing it sends nothing.
            (Some(Slot { is_up: false, .. }), _) | (Some(_), Close::Silent) => {}
            (Some(slot), Close::Fin) => {
                self.closing.spawn(slot.conn.close(how));
            }
            (Some(slot), Close::Reset) => socket::reset(slot.conn.into_stream()),
        }
    }

    /// Gives a connection away; `None` if it has ended meanwhile.
    pub(super) fn take(&mut self, id: SocketId) -> Option<Conn> {
        self.slots.remove(&id).map(|slot| slot.conn)
    }

    /// Collects what has happened since the last call, at most one thing of each
    /// socket; none, and the task will be woken when something does.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> VecDeque<Happening> {
        let mut happened = std::mem::take(&mut self.known);
        self.poll_slots(cx, &mut happened);
        self.poll_listeners(cx, &mut happened);
        happened
    }

    /// Keeps orderly closes going; ready when there are none.
    pub(super) fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while ready!(self.closing.poll_join_next(cx)).is_some() {}
        Poll::Ready(())
    }

    fn poll_slots(&mut self, cx: &mut Context<'_>, happened: &mut VecDeque<Happening>) {
        self.slots.retain(|&id, slot| {
            let outcome = if slot.is_up {
                slot.poll_up(id, cx)
            } else {
                slot.poll_dial(id, cx)
            };
            let Poll::Ready(outcome) = outcome else {
                return true;
            };
            let is_over = matches!(
                outcome,
                Happening::DialFailed { .. } | Happening::Ended { .. }
            );
            happened.push_back(outcome);
            !is_over
        });
    }

    fn poll_listeners(&mut self, cx: &mut Context<'_>, happened: &mut VecDeque<Happening>) {
        if let Some(pause) = &mut self.accept_pause {
            if pause.as_mut().poll(cx).is_pending() {
                return;
            }
            self.accept_pause = None;
        }
        for (&listener, socket) in &self.listeners {
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
                        socket::warn_of_pause(&error);
                        let mut pause = Box::pin(sleep(ACCEPT_PAUSE));
                        // Registers the waker; it cannot be over yet.
                        let _ = pause.as_mut().poll(cx);
                        self.accept_pause = Some(pause);
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

impl Slot {
    fn poll_dial(&mut self, id: SocketId, cx: &mut Context<'_>) -> Poll<Happening> {
        socket::poll_connected(self.conn.stream(), cx).map(|connected| {
            match connected.and_then(|()| self.conn.stream().local_addr()) {
                Ok(local) => {
                    self.is_up = true;
                    Happening::Connected {
                        id,
                        local: local.into(),
                    }
                }
                Err(error) => Happening::DialFailed {
                    id,
                    failure: socket::failure(&error),
                },
            }
        })
    }

    fn poll_up(&mut self, id: SocketId, cx: &mut Context<'_>) -> Poll<Happening> {
        self.conn.poll(cx).map(|outcome| match outcome {
            Ok(data) => Happening::Received { id, data },
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Happening::Ended { id, failure: None }
            }
            Err(error) => Happening::Ended {
                id,
                failure: Some(socket::failure(&error)),
            },
        })
    }
}
