//! A peer: registered at a server, asks for streams and is asked for them.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use proto::noise::SecretKey;
use proto::{Endpoint, PeerId, SessionOptions, Strategies};
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::builder::PeerBuilder;
use crate::driver::Connect;
use crate::error::{ConnectError, RegisterError};
use crate::request::Request;
use crate::server_addr::ServerAddr;
use crate::status::{Events, LinkStatus, Stamped};
use crate::stream::PunchedStream;

/// A running peer. Clones are handles to the same one; it stops with the last of
/// them. Streams that it gave live on without it.
///
/// ```no_run
/// use tcp_punch_tokio::{Peer, keyfile};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let server = "punch.example.org:3478/aeaqcaibaeaqcaibaeaqcaibaeaqcaibaeaqcaibaeaqcaibaeaq".parse()?;
/// let peer = Peer::builder(server, keyfile::generate()?).start()?;
/// peer.registered().await?;
/// let other = "aeaqcaibaeaqcaibaeaqcaibaeaqcaibaeaqcaibaeaqcaibaeaq".parse()?;
/// let stream = peer.connect(other).await?;
/// # let _ = stream;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Peer {
    shared: Arc<Shared>,
}

pub(crate) struct Shared {
    pub(crate) id: PeerId,
    /// What sessions may use that are asked for without options.
    pub(crate) strategies: Strategies,
    pub(crate) wanted: mpsc::Sender<Connect>,
    pub(crate) stop: CancellationToken,
    pub(crate) link: watch::Receiver<LinkStatus>,
    pub(crate) incoming: tokio::sync::Mutex<mpsc::Receiver<PunchedStream>>,
    pub(crate) requests: tokio::sync::Mutex<mpsc::Receiver<Request>>,
    /// Has everything since the start; given to the first who asks.
    pub(crate) first_events: Mutex<Option<broadcast::Receiver<Stamped>>>,
    /// Only to make further receivers of.
    pub(crate) later_events: broadcast::Receiver<Stamped>,
}

impl Peer {
    /// A peer that will register at this server, under the id of this key.
    pub fn builder(server: ServerAddr, secret: SecretKey) -> PeerBuilder {
        PeerBuilder::new(server, secret)
    }

    /// The own id.
    pub fn id(&self) -> PeerId {
        self.shared.id
    }

    /// How it stands with the link to the server now.
    pub fn link(&self) -> LinkStatus {
        *self.shared.link.borrow()
    }

    /// Waits until the server knows us; gives our endpoint as it sees it.
    ///
    /// Waits for ever while trying again makes sense: a server that is down may
    /// come back. Put it under a timeout where that is too long.
    ///
    /// # Errors
    ///
    /// [`RegisterError`] where waiting is of no use: the server has another key,
    /// wants another token, has given our place to another program with the
    /// same key, or the peer was shut down.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing.
    pub async fn registered(&self) -> Result<Endpoint, RegisterError> {
        let mut link = self.shared.link.clone();
        let status = link.wait_for(|status| status.settled().is_some()).await;
        status
            .ok()
            .and_then(|status| status.settled())
            .unwrap_or(Err(RegisterError::Stopped))
    }

    /// Waits until the link to the server has failed so that the peer does not
    /// try again by itself, or until it was shut down.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing.
    pub async fn link_lost(&self) -> RegisterError {
        let mut link = self.shared.link.clone();
        let status = link.wait_for(|status| status.lost().is_some()).await;
        status
            .ok()
            .and_then(|status| status.lost())
            .unwrap_or(RegisterError::Stopped)
    }

    pub(crate) fn new(shared: Shared) -> Self {
        Self {
            shared: Arc::new(shared),
        }
    }

    /// Asks for a stream to another peer, with the options of
    /// [`SessionOptions::default`] and the strategies that the peer was built
    /// with.
    ///
    /// # Errors
    ///
    /// Those of [`connect_with`](Self::connect_with).
    ///
    /// # Cancel safety
    ///
    /// That of [`connect_with`](Self::connect_with).
    pub async fn connect(&self, peer: PeerId) -> Result<PunchedStream, ConnectError> {
        let options = SessionOptions {
            strategies: self.shared.strategies,
            ..SessionOptions::default()
        };
        self.connect_with(peer, options).await
    }

    /// Asks for a stream to another peer. Several can be under way at once, to
    /// the same peer too: ten are sure to find their ports and their place at
    /// the server, more may fail with `NoPort` or `Busy`.
    ///
    /// The strategies are those of the options alone, not those that the peer was
    /// built with.
    ///
    /// # Errors
    ///
    /// [`ConnectError`], with the reason, what was tried and what to do next;
    /// by the options' deadline at the latest.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future cancels the session; the other side is told, and a
    /// stream that came up in the same moment is closed.
    pub async fn connect_with(
        &self,
        peer: PeerId,
        options: SessionOptions,
    ) -> Result<PunchedStream, ConnectError> {
        let (reply, answer) = oneshot::channel();
        let asked = self
            .shared
            .wanted
            .send(Connect {
                peer,
                options,
                reply,
            })
            .await;
        asked.map_err(|_| ConnectError::Stopped)?;
        answer.await.unwrap_or(Err(ConnectError::Stopped))
    }

    /// The next stream that another peer asked for and that the
    /// [`AccessPolicy`](crate::AccessPolicy) let in; `None` once the peer was shut down.
    ///
    /// Streams wait here in small number; those that nobody takes are closed.
    /// Several callers get different streams.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses no stream.
    pub async fn incoming(&self) -> Option<PunchedStream> {
        self.shared.incoming.lock().await.recv().await
    }

    /// The next request that the [`AccessPolicy`](crate::AccessPolicy) leaves to the application;
    /// `None` once the peer was shut down.
    ///
    /// A request that is not decided within the consent deadline is over.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses no request.
    pub async fn accept_request(&self) -> Option<Request> {
        self.shared.requests.lock().await.recv().await
    }

    /// What happens, as it happens. The first who asks gets everything since the
    /// start, anyone later what comes from then on.
    pub fn events(&self) -> Events {
        // A poisoned lock: somebody panicked while taking; there is nothing to
        // be in disorder.
        let first = self
            .shared
            .first_events
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        Events::new(first.unwrap_or_else(|| self.shared.later_events.resubscribe()))
    }

    /// Ends all sessions and the link to the server in order, and waits until
    /// that is done, a few seconds at most. Streams that were given stay.
    ///
    /// # Cancel safety
    ///
    /// Once it was polled, the peer stops also if the future is dropped.
    pub async fn shutdown(&self) {
        self.shared.stop.cancel();
        let mut link = self.shared.link.clone();
        let _ = link.wait_for(|status| *status == LinkStatus::Ended).await;
    }
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peer")
            .field("id", &self.id())
            .field("link", &self.link())
            .finish_non_exhaustive()
    }
}
