//! A TCP connection carried over a stream.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tcp_punch_tokio::PunchedStream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf, copy_bidirectional_with_sizes};
use tokio::net::TcpStream;

use crate::events::{Carried, Reporter};
use crate::pipe;

/// What is moved at once.
const CHUNK: usize = 64 * 1024;

/// Carries bytes both ways until both have ended, and tells how it went. True if
/// it ended in order.
///
/// Cancel safety: dropping the future cuts both.
pub(crate) async fn carry(
    local: TcpStream,
    mut stream: PunchedStream,
    reporter: &Reporter,
) -> bool {
    let session = stream.session();
    let _ = local.set_nodelay(true);
    let mut local = Counted {
        local,
        carried: Carried::default(),
    };
    let ended = copy_bidirectional_with_sizes(&mut local, &mut stream, CHUNK, CHUNK).await;
    tell(session, local.carried, ended.map(drop), reporter).await
}

/// Carries standard input and output, the same way.
///
/// Cancel safety: dropping the future cuts the stream.
pub(crate) async fn carry_stdio(stream: PunchedStream, reporter: &Reporter) -> bool {
    let session = stream.session();
    let mut carried = Carried::default();
    let ended = pipe::stdio(stream, &mut carried).await;
    tell(session, carried, ended, reporter).await
}

/// A connection whose bytes are counted: what was carried before something broke
/// is told as well.
struct Counted {
    local: TcpStream,
    carried: Carried,
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.local).poll_read(cx, buf);
        self.carried.sent += (buf.filled().len() - before) as u64;
        read
    }
}

impl AsyncWrite for Counted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.local).poll_write(cx, data);
        if let Poll::Ready(Ok(written)) = written {
            self.carried.received += written as u64;
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.local).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.local).poll_shutdown(cx)
    }
}

async fn tell(
    session: tcp_punch_tokio::SessionId,
    carried: Carried,
    ended: io::Result<()>,
    reporter: &Reporter,
) -> bool {
    let error = ended.err().map(|error| error.to_string());
    reporter.closed(session, carried, error.as_deref()).await;
    error.is_none()
}
