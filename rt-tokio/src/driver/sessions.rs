//! What the application waits for: streams asked for, requests to decide, the
//! state of the link, events.

use std::collections::HashMap;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use proto::noise::Role;
use proto::{
    Event, FailReason, HandOver, LinkFailure, Misuse, PeerId, SessionId, SessionOptions, Tried,
};
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::conn::Conn;
use crate::error::ConnectError;
use crate::request::Request;
use crate::status::{LinkStatus, Stamped};
use crate::stream::{Facts, PunchedStream};

/// Where the stream goes, or why there is none. Dropped by an application that
/// does not want it any more.
pub(crate) type Reply = oneshot::Sender<Result<PunchedStream, ConnectError>>;

/// What a [`Peer`](crate::Peer) handle asks its driver for.
#[derive(Debug)]
pub(crate) struct Connect {
    pub(crate) peer: PeerId,
    pub(crate) options: SessionOptions,
    pub(crate) reply: Reply,
}

/// Where the driver puts what it has for the application.
#[derive(Debug)]
pub(crate) struct Outlets {
    pub(crate) link: watch::Sender<LinkStatus>,
    pub(crate) events: broadcast::Sender<Stamped>,
    pub(crate) incoming: mpsc::Sender<PunchedStream>,
    pub(crate) requests: mpsc::Sender<Request>,
}

/// How the last bytes of a punch leave is not worth more time than this.
const FLUSH_DEADLINE: Duration = Duration::from_secs(5);

/// What the application decided about a session.
#[derive(Debug)]
pub(super) enum Decided {
    Accept(Reply),
    Refuse,
    Cancel,
}

#[derive(Debug)]
pub(super) struct Sessions {
    outlets: Outlets,
    /// Streams that somebody waits for.
    waiting: HashMap<SessionId, Reply>,
    /// Requests that the application has to decide: it sends its reply channel
    /// to accept, and drops the sender to refuse.
    asked: HashMap<SessionId, oneshot::Receiver<Reply>>,
    /// Handed over a moment ago; the event with the rest of the facts follows.
    handed_over: Vec<(HandOver, Option<Conn>)>,
    /// Streams whose last bytes of the punch are still leaving.
    finishing: JoinSet<()>,
    last_link_failure: Option<LinkFailure>,
}

impl Drop for Sessions {
    fn drop(&mut self) {
        self.outlets.link.send_replace(LinkStatus::Ended);
    }
}

impl Sessions {
    pub(super) fn new(outlets: Outlets) -> Self {
        Self {
            outlets,
            waiting: HashMap::new(),
            asked: HashMap::new(),
            handed_over: Vec::new(),
            finishing: JoinSet::new(),
            last_link_failure: None,
        }
    }

    /// A request was made, or could not be.
    pub(super) fn asked_for(
        &mut self,
        peer: PeerId,
        asked: Result<SessionId, Misuse>,
        reply: Reply,
    ) {
        match asked {
            Ok(session) => {
                tracing::debug!(%session, %peer, "asking for a stream");
                self.waiting.insert(session, reply);
            }
            Err(misuse) => answer(reply, Err(ConnectError::Misuse(misuse))),
        }
    }

    /// A request of another peer was accepted, or could not be any more.
    pub(super) fn accepted(
        &mut self,
        session: SessionId,
        accepted: Result<(), Misuse>,
        reply: Reply,
    ) {
        match accepted {
            Ok(()) => {
                self.waiting.insert(session, reply);
            }
            Err(misuse) => answer(reply, Err(ConnectError::Misuse(misuse))),
        }
    }

    /// Keeps a stream until its event comes.
    pub(super) fn hand_over(&mut self, stream: HandOver, conn: Option<Conn>) {
        self.handed_over.push((stream, conn));
    }

    /// What the application decided meanwhile; the task is woken when it decides
    /// more.
    pub(super) fn poll_decided(&mut self, cx: &mut Context<'_>) -> Vec<(SessionId, Decided)> {
        let mut decided = Vec::new();
        self.waiting.retain(|&session, reply| {
            let is_wanted = reply.poll_closed(cx).is_pending();
            if !is_wanted {
                decided.push((session, Decided::Cancel));
            }
            is_wanted
        });
        self.asked.retain(
            |&session, answer| match std::pin::Pin::new(answer).poll(cx) {
                Poll::Ready(answer) => {
                    decided.push((session, answer.map_or(Decided::Refuse, Decided::Accept)));
                    false
                }
                Poll::Pending => true,
            },
        );
        decided
    }

    /// Keeps the streams going whose last bytes are leaving; ready when there
    /// are none.
    pub(super) fn poll_finishing(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while ready!(self.finishing.poll_join_next(cx)).is_some() {}
        Poll::Ready(())
    }

    /// Passes an event on, and answers whoever waited for it.
    pub(super) fn tell(&mut self, at: Instant, event: &Event) {
        tracing::debug!(?event);
        // First, so that whoever gets a stream can already read how it came
        // about. Nobody has to listen.
        let _ = self.outlets.events.send((at, event.clone()));
        #[allow(
            clippy::wildcard_enum_match_arm,
            reason = "the other events change nothing here"
        )]
        match event {
            Event::Registered { mapped } => {
                self.last_link_failure = None;
                self.outlets
                    .link
                    .send_replace(LinkStatus::Up { mapped: *mapped });
            }
            Event::LinkDown { reason, retry_in } => {
                self.last_link_failure = Some(*reason);
                self.outlets.link.send_replace(LinkStatus::Down {
                    reason: *reason,
                    retry_in: *retry_in,
                });
            }
            Event::Notified {
                session,
                peer,
                ask: true,
            } => self.ask(*session, *peer),
            Event::Verified {
                session,
                peer,
                role,
                strategy,
                local,
                remote,
                tried,
            } => {
                let facts = Facts {
                    session: *session,
                    peer: *peer,
                    role: *role,
                    strategy: *strategy,
                    tried: *tried,
                    handshake_hash: [0; 32],
                    local: (*local).into(),
                    remote: (*remote).into(),
                };
                self.deliver(facts);
            }
            Event::Failed {
                session,
                peer,
                role: _,
                reason,
                tried,
            } => {
                self.asked.remove(session);
                if let Some(reply) = self.waiting.remove(session) {
                    answer(reply, Err(self.failed(*session, *peer, *reason, *tried)));
                }
            }
            _ => {}
        }
    }

    fn ask(&mut self, session: SessionId, peer: PeerId) {
        let (decision, decided) = oneshot::channel();
        self.asked.insert(session, decided);
        if self
            .outlets
            .requests
            .try_send(Request::new(session, peer, decision))
            .is_err()
        {
            // The request is dropped and with that refused.
            tracing::warn!(%session, "refused: the application does not take its requests");
        }
    }

    fn deliver(&mut self, mut facts: Facts) {
        let reply = self.waiting.remove(&facts.session);
        self.asked.remove(&facts.session);
        let at = self
            .handed_over
            .iter()
            .position(|(stream, _)| stream.session == facts.session);
        let Some((stream, conn)) = at.map(|at| self.handed_over.swap_remove(at)) else {
            tracing::error!(session = %facts.session, "verified, but not handed over");
            return;
        };
        let Some(mut conn) = conn else {
            // It broke within the same moment.
            if let Some(reply) = reply {
                let lost = self.failed(
                    facts.session,
                    facts.peer,
                    FailReason::WinnerLost,
                    facts.tried,
                );
                answer(reply, Err(lost));
            }
            return;
        };
        facts.handshake_hash = stream.handshake_hash;
        let outlet = match (reply, facts.role) {
            (Some(reply), _) => Outlet::Reply(reply),
            (None, Role::Responder) => Outlet::Incoming(self.outlets.incoming.clone()),
            // The application stopped waiting a moment ago.
            (None, Role::Requester) => return,
        };
        if conn.is_flushed() {
            outlet.put(PunchedStream::new(
                conn.into_stream(),
                stream.mode,
                stream.records,
                stream.max_record,
                facts,
            ));
        } else {
            self.finishing.spawn(async move {
                // If that fails, the stream will say so.
                let _ = tokio::time::timeout(FLUSH_DEADLINE, conn.flush()).await;
                outlet.put(PunchedStream::new(
                    conn.into_stream(),
                    stream.mode,
                    stream.records,
                    stream.max_record,
                    facts,
                ));
            });
        }
    }

    const fn failed(
        &self,
        session: SessionId,
        peer: PeerId,
        reason: FailReason,
        tried: Tried,
    ) -> ConnectError {
        ConnectError::Session {
            session,
            peer,
            reason,
            tried,
            link: self.last_link_failure,
        }
    }
}

/// Who gets a stream.
#[derive(Debug)]
enum Outlet {
    Reply(Reply),
    Incoming(mpsc::Sender<PunchedStream>),
}

impl Outlet {
    fn put(self, stream: PunchedStream) {
        let session = stream.session();
        match self {
            Self::Reply(reply) => answer(reply, Ok(stream)),
            Self::Incoming(incoming) => {
                if incoming.try_send(stream).is_err() {
                    tracing::warn!(%session, "closed: the application does not take its streams");
                }
            }
        }
    }
}

/// Who does not wait any more does not need an answer.
fn answer(reply: Reply, answer: Result<PunchedStream, ConnectError>) {
    let _ = reply.send(answer);
}
