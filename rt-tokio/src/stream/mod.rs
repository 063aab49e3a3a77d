//! The direct, verified stream between two peers.

mod records;
#[cfg(test)]
mod tests;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use proto::noise::{Records, Role};
use proto::{PeerId, SessionId, Strategy, StreamMode, Tried};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use records::RecordStream;

/// A direct TCP stream to another peer, who has proven to be that peer.
///
/// By default bytes travel as encrypted and authenticated records, and the end
/// of the stream is proven too: reading gives "no more bytes" only after the
/// other side's close record. A stream that is cut, by a forged FIN or by a peer
/// that died, ends with [`io::ErrorKind::UnexpectedEof`]; one that was tampered
/// with, with [`io::ErrorKind::InvalidData`].
///
/// - **Flush** after writing, as with any buffered writer: bytes that the socket
///   did not take at once wait for the next write, flush or shutdown.
/// - **Shut down** ([`AsyncWriteExt::shutdown`]) to end it in order. It closes
///   this direction only; the other one can be read to its end. A stream that is
///   dropped without is cut, and the other side sees that.
/// - To read and write at once, take [`tokio::io::split`] or
///   [`tokio::io::copy_bidirectional`].
///
/// In bare mode ([`is_bare`](Self::is_bare)), which both sides have to ask for,
/// bytes pass as they are and nothing protects them.
///
/// [`AsyncWriteExt::shutdown`]: tokio::io::AsyncWriteExt::shutdown
pub struct PunchedStream {
    tcp: TcpStream,
    mode: Mode,
    facts: Box<Facts>,
}

enum Mode {
    Records(Box<RecordStream>),
    Bare,
}

/// What is known of a stream.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    pub(crate) session: SessionId,
    pub(crate) peer: PeerId,
    pub(crate) role: Role,
    pub(crate) strategy: Strategy,
    pub(crate) tried: Tried,
    pub(crate) handshake_hash: [u8; 32],
    pub(crate) local: SocketAddr,
    pub(crate) remote: SocketAddr,
}

impl PunchedStream {
    /// A stream that was handed over, with nothing of the punch left to send.
    ///
    /// `max_record`: the most data in one record that the other side takes.
    pub(crate) fn new(
        tcp: TcpStream,
        mode: StreamMode,
        records: Records,
        max_record: usize,
        facts: Facts,
    ) -> Self {
        let mode = match mode {
            StreamMode::Records => Mode::Records(Box::new(RecordStream::new(records, max_record))),
            StreamMode::Bare => Mode::Bare,
        };
        Self {
            tcp,
            mode,
            facts: Box::new(facts),
        }
    }

    /// The other side: it has proven to hold this id's secret key.
    pub const fn peer_id(&self) -> PeerId {
        self.facts.peer
    }

    /// The session that the stream came from; the same at both ends.
    pub const fn session(&self) -> SessionId {
        self.facts.session
    }

    /// Who asked for the stream, which both ends agree on. Who dialled says
    /// nothing: after a simultaneous open both did.
    pub const fn role(&self) -> Role {
        self.facts.role
    }

    /// Hash of the handshake between the two peers: equal at both ends, unique
    /// to the session, not a secret. For channel binding, in a protocol that
    /// runs over the stream.
    pub const fn handshake_hash(&self) -> &[u8; 32] {
        &self.facts.handshake_hash
    }

    /// What worked.
    pub const fn strategy(&self) -> Strategy {
        self.facts.strategy
    }

    /// What it took.
    pub const fn tried(&self) -> Tried {
        self.facts.tried
    }

    /// Our end.
    pub const fn local_addr(&self) -> SocketAddr {
        self.facts.local
    }

    /// The other end, as we see it: a NAT's outer side, where there is one.
    pub const fn remote_addr(&self) -> SocketAddr {
        self.facts.remote
    }

    /// Whether bytes travel unprotected, because both sides asked for it.
    pub const fn is_bare(&self) -> bool {
        matches!(self.mode, Mode::Bare)
    }

    /// The TCP stream itself, where bare mode was agreed upon.
    ///
    /// It was proven who was there when the stream began. From then on nothing
    /// is: anyone on the path can read and change the bytes. Run a protocol of
    /// your own over it (TLS, SSH), bound to
    /// [`handshake_hash`](Self::handshake_hash).
    ///
    /// # Errors
    ///
    /// Gives the stream back if it carries records.
    pub fn into_bare(self) -> Result<TcpStream, Self> {
        if self.is_bare() {
            Ok(self.tcp)
        } else {
            Err(self)
        }
    }
}

impl AsyncRead for PunchedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { tcp, mode, .. } = &mut *self;
        match mode {
            Mode::Records(records) => records.poll_read(tcp, cx, buf),
            Mode::Bare => Pin::new(tcp).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for PunchedStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        let Self { tcp, mode, .. } = &mut *self;
        match mode {
            Mode::Records(records) => records.poll_write(tcp, cx, data),
            Mode::Bare => Pin::new(tcp).poll_write(cx, data),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { tcp, mode, .. } = &mut *self;
        match mode {
            Mode::Records(records) => records.poll_flush(tcp, cx),
            Mode::Bare => Pin::new(tcp).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { tcp, mode, .. } = &mut *self;
        match mode {
            Mode::Records(records) => records.poll_shutdown(tcp, cx),
            Mode::Bare => Pin::new(tcp).poll_shutdown(cx),
        }
    }
}

impl fmt::Debug for PunchedStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PunchedStream")
            .field("session", &self.facts.session)
            .field("peer", &self.facts.peer)
            .field("bare", &self.is_bare())
            .finish_non_exhaustive()
    }
}
