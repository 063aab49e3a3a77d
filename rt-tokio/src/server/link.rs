//! The task of one main link.

use std::collections::VecDeque;
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use proto::rendezvous::{Link, LinkEvent, LinkInput, LinkOutput};
use proto::wire::MAX_FRAME;
use proto::{Close, Endpoint, Family, Instant, LinkHandle, PeerId, Segment};
use tokio::net::TcpStream;
use tokio::sync::mpsc::Receiver;
use tokio::time::Sleep;

use super::registry::{Message, Registered};
use super::{Shared, dial_back};
use crate::conn::Conn;
use crate::random_seed;

/// Rounds before other links have their turn.
const MAX_ROUNDS: usize = 16;

/// Serves one main link to its end.
///
/// Cancel safety: dropping the future closes the connection at once and forgets
/// what it registered.
pub(super) async fn serve(shared: Arc<Shared>, stream: TcpStream, remote: Endpoint) {
    let (Ok(seed), Ok(secret)) = (random_seed(), random_seed()) else {
        tracing::error!("the system has no randomness to give");
        return;
    };
    let [a, b, c, d, e, f, g, h, ..] = *secret;
    let handle = LinkHandle(u64::from_le_bytes([a, b, c, d, e, f, g, h]));
    let Some(inbox) = shared.registry.add(handle) else {
        return;
    };
    let epoch = shared.next_epoch.fetch_add(1, Ordering::Relaxed);
    let now = shared.clock.now();
    let mut task = LinkTask {
        local: stream
            .local_addr()
            .ok()
            .map(|local| local.ip().to_canonical()),
        machine: Link::new(now, &shared.config, remote, epoch, handle, *seed),
        conn: Some(Conn::new(stream)),
        entry: Entry {
            shared: Arc::clone(&shared),
            handle,
            peer: None,
        },
        inbox: Some(inbox),
        own: VecDeque::new(),
        closing: None,
        deadline: None,
        timer: Box::pin(tokio::time::sleep_until(shared.clock.to_tokio(now))),
        timer_at: now,
    };
    drop(seed);
    task.drain();
    let closed = (&mut task).await;
    // Nobody shall route to a link that is closing.
    drop(task);
    if let Some((conn, how)) = closed {
        conn.close(how).await;
    }
}

/// The link's place in the registry: left when it ends, however it ends.
#[derive(Debug)]
struct Entry {
    shared: Arc<Shared>,
    handle: LinkHandle,
    peer: Option<PeerId>,
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.shared.registry.remove(self.handle, self.peer);
    }
}

#[derive(Debug)]
struct LinkTask {
    machine: Link,
    /// The address that the link came to.
    local: Option<IpAddr>,
    /// Until it is closed.
    conn: Option<Conn>,
    entry: Entry,
    /// `None` once the registry has put the link out.
    inbox: Option<Receiver<Message>>,
    /// What the link's own outputs brought back; told after the drain.
    own: VecDeque<Message>,
    closing: Option<Close>,
    deadline: Option<Instant>,
    timer: Pin<Box<Sleep>>,
    timer_at: Instant,
}

impl LinkTask {
    /// Tells the machine one thing, then does all it says: drain to Wait.
    fn input(&mut self, input: LinkInput<'_>) {
        let shared = Arc::clone(&self.entry.shared);
        self.machine
            .handle_input(shared.clock.now(), &shared.config, input);
        self.drain();
    }

    /// Does all outputs up to the next `Wait`, in their order.
    fn drain(&mut self) {
        let shared = Arc::clone(&self.entry.shared);
        // On the stack, so that an idle link has none.
        let mut frame = [0; MAX_FRAME + 2];
        loop {
            match self.machine.poll_output(&shared.config, &mut frame) {
                LinkOutput::Read { exactly } => {
                    if let Some(conn) = &mut self.conn {
                        conn.read(exactly);
                    }
                }
                LinkOutput::Send { data } => {
                    if let Some(conn) = &mut self.conn {
                        conn.send(data);
                    }
                }
                LinkOutput::Register { peer, epoch } => {
                    self.entry.peer = Some(peer);
                    let registered = shared.registry.register(peer, epoch, self.entry.handle);
                    if registered == Registered::Outdated {
                        self.own.push_back(Message::Replaced);
                    }
                }
                LinkOutput::Route(routed) => {
                    if let Err(routed) = shared.registry.route(Box::new(routed)) {
                        self.own.push_back(Message::Unroutable(routed));
                    }
                }
                LinkOutput::DialBack {
                    port,
                    other_address,
                    to,
                } => {
                    let from = self.dial_back_from(other_address, to);
                    dial_back::start(
                        Arc::clone(&shared),
                        self.entry.handle,
                        port,
                        other_address,
                        from,
                        to,
                    );
                }
                LinkOutput::Inject(segment) => inject(&shared, &segment),
                LinkOutput::Event(event) => log(event),
                LinkOutput::Close(how) => self.closing = Some(how),
                LinkOutput::Wait(deadline) => {
                    self.deadline = deadline;
                    return;
                }
            }
        }
    }

    /// The address to dial back from: the one that the link came to, or another
    /// one of the server.
    fn dial_back_from(&self, other_address: bool, to: Endpoint) -> Option<IpAddr> {
        let own = self.local?;
        if !other_address {
            return (Family::of(own) == to.family()).then_some(own);
        }
        let addresses = &self.entry.shared.addresses;
        addresses
            .iter()
            .copied()
            .find(|ip| *ip != own && Family::of(*ip) == to.family())
    }

    fn message(&mut self, message: Message) {
        self.input(match message {
            Message::Routed(routed) => LinkInput::Routed(*routed),
            Message::Unroutable(routed) => LinkInput::Unroutable(*routed),
            Message::Observed(observation) => LinkInput::Observed(*observation),
            Message::DialedBack {
                port,
                other_address,
                outcome,
            } => LinkInput::DialedBack {
                port,
                other_address,
                outcome,
            },
            Message::Replaced => LinkInput::Replaced,
            Message::Drain => LinkInput::Drain,
        });
    }

    fn poll_inbox(&mut self, cx: &mut Context<'_>) -> bool {
        if let Some(message) = self.own.pop_front() {
            self.message(message);
            return true;
        }
        let Some(inbox) = &mut self.inbox else {
            return false;
        };
        match inbox.poll_recv(cx) {
            Poll::Ready(Some(message)) => self.message(message),
            Poll::Ready(None) => {
                tracing::debug!("a link that does not keep up was put out");
                self.inbox = None;
                self.input(LinkInput::Ended);
                self.closing = Some(Close::Reset);
            }
            Poll::Pending => return false,
        }
        true
    }

    fn poll_conn(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(conn) = &mut self.conn else {
            return false;
        };
        match conn.poll(cx) {
            Poll::Ready(Ok(mut data)) => self.input(LinkInput::Received(&mut data)),
            Poll::Ready(Err(error)) => {
                tracing::debug!(%error, "a link ended");
                self.input(LinkInput::Ended);
                // The machine has said what others must know.
                self.closing.get_or_insert(Close::Reset);
            }
            Poll::Pending => return false,
        }
        true
    }

    /// Deadlines are compared with the clock; the timer only wakes the task.
    fn poll_clock(&mut self, cx: &mut Context<'_>) -> bool {
        let shared = Arc::clone(&self.entry.shared);
        let Some(deadline) = self.deadline else {
            return false;
        };
        let now = shared.clock.now();
        if deadline <= now {
            self.machine.handle_timeout(now, &shared.config);
            self.drain();
            return true;
        }
        if deadline != self.timer_at {
            self.timer_at = deadline;
            self.timer.as_mut().reset(shared.clock.to_tokio(deadline));
        }
        self.timer.as_mut().poll(cx).is_ready()
    }
}

impl Future for LinkTask {
    /// The connection and how to close it.
    type Output = Option<(Conn, Close)>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        for _ in 0..MAX_ROUNDS {
            let busy = [self.poll_inbox(cx), self.poll_conn(cx), self.poll_clock(cx)];
            // Others are told first what the link has for them.
            if let (Some(how), true) = (self.closing, self.own.is_empty()) {
                return Poll::Ready(self.conn.take().map(|conn| (conn, how)));
            }
            if !busy.contains(&true) {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// Nobody asks where it was not allowed.
fn inject(shared: &Shared, segment: &Segment) {
    if let Some(injector) = &shared.injector
        && let Err(error) = injector.send(segment)
    {
        tracing::debug!(%error, "a segment could not be sent in a peer's name");
    }
}

/// Tells the operator; no ids or addresses above the level for decisions.
fn log(event: LinkEvent) {
    match event {
        LinkEvent::Rejected(why) => tracing::info!(?why, "a peer was turned away"),
        LinkEvent::Malformed => tracing::info!("a peer does not speak the protocol"),
        LinkEvent::Introduced { session } => tracing::info!(%session, "introduced"),
        LinkEvent::Refused { session, reason } => {
            tracing::info!(%session, %reason, "not introduced")
        }
        LinkEvent::Registered { .. } | LinkEvent::Requested { .. } => tracing::debug!(?event),
        _ => tracing::debug!(?event),
    }
}
