//! Another peer's request for a stream, to be decided by the application.

use proto::{PeerId, SessionId};
use tokio::sync::oneshot;

use crate::driver::Reply;
use crate::error::ConnectError;
use crate::stream::PunchedStream;

/// Another peer asks for a stream. Dropping the request refuses it.
#[derive(Debug)]
pub struct Request {
    session: SessionId,
    peer: PeerId,
    decision: oneshot::Sender<Reply>,
}

impl Request {
    pub(crate) const fn new(
        session: SessionId,
        peer: PeerId,
        decision: oneshot::Sender<Reply>,
    ) -> Self {
        Self {
            session,
            peer,
            decision,
        }
    }

    /// Who asks: proven to the server; to us it will be on the stream.
    pub const fn peer_id(&self) -> PeerId {
        self.peer
    }

    /// The session that it is about.
    pub const fn session(&self) -> SessionId {
        self.session
    }

    /// Lets the peer in and waits for the stream.
    ///
    /// # Errors
    ///
    /// [`ConnectError`], with the reason, what was tried and what to do next.
    /// The other side may have given up before the decision.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future cancels the session; the other side is told.
    pub async fn accept(self) -> Result<PunchedStream, ConnectError> {
        let (reply, answer) = oneshot::channel();
        let has_session = self.decision.send(reply).is_ok();
        match answer.await {
            Ok(answer) => answer,
            Err(_) if has_session => Err(ConnectError::Stopped),
            Err(_) => Err(ConnectError::Misuse(proto::Misuse::UnknownSession)),
        }
    }

    /// Turns the peer away; it is told.
    pub fn refuse(self) {
        // What the driver makes of a dropped request.
        drop(self);
    }
}
