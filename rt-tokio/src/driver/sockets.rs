//! Everything of a peer that has a descriptor: dials, connections, listeners.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use proto::{Close, Endpoint, Failure, Family, Hops, ListenerId, Segment, SocketId};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Sleep, sleep};

use super::listeners::Listeners;
use super::ready::Ready;
use crate::conn::Conn;
use crate::raw::Raw;
use crate::socket::{self, DialError};

/// How long an IPv6 dial whose SYN is to die on the way hears nothing: routers of
/// the first few hops have answered by then, and what it misses of the other side
/// is repeated.
const DEAFNESS: Duration = Duration::from_millis(50);

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
    Expired {
        id: SocketId,
        hop: std::net::IpAddr,
    },
    Sequence {
        id: SocketId,
        number: u32,
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
    hops: Hops,
    waker: Waker,
}

#[derive(Debug)]
pub(super) struct Sockets {
    slots: BTreeMap<SocketId, Slot>,
    /// Those of them that want to be polled.
    ready: Ready,
    listeners: Listeners,
    raw: Option<Raw>,
    /// Outcomes that were known at once; they wait for the drain to end.
    known: VecDeque<Happening>,
    /// Connections that are being closed in order.
    closing: JoinSet<()>,
    /// Dials that hear nothing; who may again first comes first.
    deaf: VecDeque<Deaf>,
}

#[derive(Debug)]
struct Deaf {
    id: SocketId,
    until: Pin<Box<Sleep>>,
    /// Its first sequence number, where that was asked for: whoever is told it
    /// answers at once, and that must be heard.
    number: Option<u32>,
}

impl Sockets {
    /// With `raw`, first sequence numbers can be watched and segments sent.
    pub(super) fn new(raw: Option<Raw>) -> Self {
        Self {
            slots: BTreeMap::new(),
            ready: Ready::default(),
            listeners: Listeners::default(),
            raw,
            known: VecDeque::new(),
            closing: JoinSet::new(),
            deaf: VecDeque::new(),
        }
    }

    pub(super) fn listen(&mut self, id: ListenerId, local: Endpoint) {
        let outcome = self.listeners.listen(id, local);
        self.known.push_back(outcome);
    }

    pub(super) fn unlisten(&mut self, id: ListenerId) {
        self.listeners.unlisten(id);
    }

    /// Where raw sockets were not declared nobody asks.
    pub(super) fn watch(&mut self, id: SocketId) {
        if let Some(raw) = &mut self.raw {
            raw.watch(id);
        }
    }

    /// As [`watch`](Self::watch).
    pub(super) fn inject(&self, segment: &Segment) {
        if let Some(raw) = &self.raw
            && let Err(error) = raw.inject(segment)
        {
            tracing::debug!(remote = %segment.remote, %error, "a segment could not be sent");
        }
    }

    pub(super) fn dial(&mut self, id: SocketId, local: Endpoint, remote: Endpoint, hops: Hops) {
        tracing::trace!(port = local.port, %remote, ?hops, "dialling");
        match socket::dial(local, remote, hops) {
            Ok(stream) => {
                if let (Some(raw), Ok(local)) = (&mut self.raw, stream.local_addr()) {
                    raw.dialled(id, local.into(), remote);
                }
                if matches!(hops, Hops::Short(_)) && remote.family() == Family::V6 {
                    self.deaf.push_back(Deaf {
                        id,
                        until: Box::pin(sleep(DEAFNESS)),
                        number: None,
                    });
                }
                self.insert(id, stream, hops, false);
            }
            Err(error) => {
                tracing::debug!(port = local.port, %remote, %error, "dial failed at once");
                if let Some(raw) = &mut self.raw {
                    raw.forget(id);
                }
                self.known.push_back(not_up(id, hops, &error));
            }
        }
    }

    /// Takes in an accepted connection.
    pub(super) fn adopt(&mut self, id: SocketId, stream: TcpStream) {
        self.insert(id, stream, Hops::Default, true);
    }

    fn insert(&mut self, id: SocketId, stream: TcpStream, hops: Hops, is_up: bool) {
        let slot = Slot {
            conn: Conn::new(stream),
            is_up,
            hops,
            waker: self.ready.waker(id),
        };
        self.slots.insert(id, slot);
        self.ready.add(id);
    }

    /// Nothing for a socket that has ended: the machine is about to hear of it.
    pub(super) fn read(&mut self, id: SocketId, exactly: usize) {
        if let Some(slot) = self.slots.get_mut(&id) {
            slot.conn.read(exactly);
            self.ready.add(id);
        }
    }

    /// Nothing for a socket that has ended, as above.
    pub(super) fn send(&mut self, id: SocketId, data: &[u8]) {
        if let Some(slot) = self.slots.get_mut(&id) {
            slot.conn.send(data);
            self.ready.add(id);
        }
    }

    /// Nothing for a socket that has ended, as above.
    pub(super) fn close(&mut self, id: SocketId, how: Close) {
        if let Some(raw) = &mut self.raw {
            raw.forget(id);
        }
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
        if let Some(raw) = &mut self.raw {
            while let Poll::Ready((id, number)) = raw.poll(cx) {
                match self.deaf.iter_mut().find(|deaf| deaf.id == id) {
                    Some(deaf) => deaf.number = Some(number),
                    None => happened.push_back(Happening::Sequence { id, number }),
                }
            }
        }
        self.poll_deaf(cx, &mut happened);
        self.poll_slots(cx, &mut happened);
        self.listeners.poll(cx, &mut happened);
        happened
    }

    /// Keeps orderly closes going; ready when there are none.
    pub(super) fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while ready!(self.closing.poll_join_next(cx)).is_some() {}
        Poll::Ready(())
    }

    fn poll_slots(&mut self, cx: &Context<'_>, happened: &mut VecDeque<Happening>) {
        for id in self.ready.take(cx) {
            let Some(slot) = self.slots.get_mut(&id) else {
                continue;
            };
            let Poll::Ready(outcome) = slot.poll(id) else {
                continue;
            };
            if matches!(
                outcome,
                Happening::Connected { .. } | Happening::Received { .. }
            ) {
                // There may be more of it.
                self.ready.add(id);
            } else {
                self.slots.remove(&id);
                if let Some(raw) = &mut self.raw {
                    raw.forget(id);
                }
            }
            happened.push_back(outcome);
        }
    }

    fn poll_deaf(&mut self, cx: &mut Context<'_>, happened: &mut VecDeque<Happening>) {
        while let Some(Deaf { id, until, number }) = self.deaf.front_mut() {
            if until.as_mut().poll(cx).is_pending() {
                return;
            }
            let id = *id;
            if let Some(slot) = self.slots.get(&id) {
                socket::hear_again(slot.conn.stream(), Family::V6);
                happened.extend(number.map(|number| Happening::Sequence { id, number }));
            }
            self.deaf.pop_front();
        }
    }
}

/// What the machine is told of a dial that did not come up.
fn not_up(id: SocketId, hops: Hops, error: &DialError) -> Happening {
    match (hops, error.expired_at()) {
        (Hops::Trace(_), Some(hop)) => Happening::Expired { id, hop },
        _ => Happening::DialFailed {
            id,
            failure: error.failure(),
        },
    }
}

impl Slot {
    fn poll(&mut self, id: SocketId) -> Poll<Happening> {
        let cx = &mut Context::from_waker(&self.waker);
        if !self.is_up {
            let connected = ready!(socket::poll_connected(self.conn.stream(), cx));
            let local =
                connected.and_then(|()| self.conn.stream().local_addr().map_err(DialError::from));
            return Poll::Ready(match local {
                Ok(local) => {
                    self.is_up = true;
                    Happening::Connected {
                        id,
                        local: local.into(),
                    }
                }
                Err(error) => not_up(id, self.hops, &error),
            });
        }
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
