//! A TCP stream as the machines use it: exact reads, sends taken whole.

use std::future::poll_fn;
use std::io;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use proto::{Close, SEND_BUFFER};
use tokio::io::{AsyncRead as _, AsyncReadExt as _, AsyncWrite as _, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;

use crate::socket;

/// How long an orderly close may take: the tail to leave, the other side to say
/// that it has read everything. Beyond two round trips it only waits for hosts
/// that are gone.
const CLOSE_DEADLINE: Duration = Duration::from_secs(3);

/// A connected stream with what has not left yet and what has come of a read.
#[derive(Debug)]
pub(crate) struct Conn {
    stream: TcpStream,
    /// The unsent tail; empty nearly always.
    unsent: Vec<u8>,
    /// What has come of the read that is asked for.
    received: Vec<u8>,
    /// How long the read is to be; 0: none is asked for.
    wanted: usize,
    /// Why nothing can be sent any more.
    broken: Option<io::Error>,
}

impl Conn {
    pub(crate) const fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            unsent: Vec::new(),
            received: Vec::new(),
            wanted: 0,
            broken: None,
        }
    }

    pub(crate) const fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Sends at once what the socket takes and keeps the rest.
    ///
    /// Trouble shows up in [`poll`](Self::poll): what the other side sent before
    /// it went may still be there to be read.
    pub(crate) fn send(&mut self, mut data: &[u8]) {
        if self.broken.is_some() {
            return;
        }
        while self.unsent.is_empty() && !data.is_empty() {
            match self.stream.try_write(data) {
                Ok(sent) => data = &data[sent..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => {
                    self.broken = Some(error);
                    return;
                }
            }
        }
        if self.unsent.len() + data.len() > SEND_BUFFER {
            self.broken = Some(io::Error::other("the send buffer is full"));
            self.unsent = Vec::new();
        } else {
            self.unsent.extend_from_slice(data);
        }
    }

    /// Asks for exactly this many bytes; what lies behind them stays in the
    /// socket.
    pub(crate) fn read(&mut self, exactly: usize) {
        debug_assert_eq!(self.wanted, 0, "one read at a time");
        self.received.clear();
        self.wanted = exactly;
    }

    /// Sends and receives what is possible now. Ready with the bytes that were
    /// asked for, in full, or with the end: an error, or `UnexpectedEof` for an
    /// orderly one.
    ///
    /// Pending also when there is nothing to do at all. May be dropped and
    /// called again at will.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Vec<u8>>> {
        self.poll_send(cx);
        if self.wanted > 0
            && let Poll::Ready(received) = self.poll_receive(cx)
        {
            // A failed send is the better reason: reading may only say "end".
            return Poll::Ready(received.map_err(|error| self.broken.take().unwrap_or(error)));
        }
        match self.broken.take() {
            Some(error) => Poll::Ready(Err(error)),
            None => Poll::Pending,
        }
    }

    fn poll_send(&mut self, cx: &mut Context<'_>) {
        let mut sent = 0;
        while sent < self.unsent.len() {
            match Pin::new(&mut self.stream).poll_write(cx, &self.unsent[sent..]) {
                Poll::Ready(Ok(now)) => sent += now,
                Poll::Ready(Err(error)) => {
                    self.broken = Some(error);
                    self.unsent = Vec::new();
                    return;
                }
                Poll::Pending => break,
            }
        }
        if sent == self.unsent.len() {
            // An idle connection holds no memory for a tail.
            self.unsent = Vec::new();
        } else {
            self.unsent.drain(..sent);
        }
    }

    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Vec<u8>>> {
        let mut chunk = [0; 512];
        while self.received.len() < self.wanted {
            let room = (self.wanted - self.received.len()).min(chunk.len());
            let mut buf = ReadBuf::new(&mut chunk[..room]);
            ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buf))?;
            if buf.filled().is_empty() {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
            self.received.extend_from_slice(buf.filled());
        }
        self.wanted = 0;
        Poll::Ready(Ok(mem::take(&mut self.received)))
    }

    /// Whether everything has left that was to be sent.
    pub(crate) const fn is_flushed(&self) -> bool {
        self.unsent.is_empty()
    }

    /// Waits until everything has left.
    ///
    /// Cancel safety: nothing is lost; it may be called again.
    pub(crate) async fn flush(&mut self) {
        poll_fn(|cx| {
            self.poll_send(cx);
            if self.is_flushed() {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
    }

    /// The stream by itself. Where something of what was to be sent is lost, both
    /// directions are shut down: what comes behind a gap makes no sense.
    pub(crate) fn into_stream(self) -> TcpStream {
        if self.broken.is_some() || !self.unsent.is_empty() {
            // One that is not connected any more needs no shutdown.
            let _ = socket2::SockRef::from(&self.stream).shutdown(std::net::Shutdown::Both);
        }
        self.stream
    }

    /// Closes the stream as the machine wants the other side to see it.
    ///
    /// Ends by itself within a few seconds. Cancel safety: dropping it closes
    /// the stream at once; the unsent tail is lost.
    pub(crate) async fn close(mut self, how: Close) {
        match how {
            Close::Silent => {}
            Close::Reset => socket::reset(self.stream),
            Close::Fin => {
                // A close with unread bytes would be a RST, and overtake what was
                // sent. So: say the end, then read until the other side does.
                let orderly = async {
                    let mut rest = [0; 512];
                    self.flush().await;
                    self.stream.shutdown().await?;
                    while self.stream.read(&mut rest).await? > 0 {}
                    io::Result::Ok(())
                };
                // Either way it is over now.
                let _ = tokio::time::timeout(CLOSE_DEADLINE, orderly).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    async fn pair() -> (Conn, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (near, far) = tokio::join!(
            TcpStream::connect(listener.local_addr().unwrap()),
            listener.accept()
        );
        (Conn::new(near.unwrap()), far.unwrap().0)
    }

    async fn next(conn: &mut Conn) -> io::Result<Vec<u8>> {
        poll_fn(|cx| conn.poll(cx)).await
    }

    #[tokio::test]
    async fn never_reads_more_than_was_asked_for() {
        let (mut conn, mut far) = pair().await;
        far.write_all(b"headbodyrest").await.unwrap();
        conn.read(4);
        assert_eq!(next(&mut conn).await.unwrap(), b"head");
        conn.read(4);
        assert_eq!(next(&mut conn).await.unwrap(), b"body");
        assert!(conn.is_flushed());
        let mut stream = conn.into_stream();
        let mut rest = [0; 4];
        stream.read_exact(&mut rest).await.unwrap();
        assert_eq!(&rest, b"rest");
    }

    #[tokio::test]
    async fn an_end_within_a_read_is_an_end() {
        let (mut conn, mut far) = pair().await;
        far.write_all(b"hal").await.unwrap();
        drop(far);
        conn.read(4);
        assert_eq!(
            next(&mut conn).await.unwrap_err().kind(),
            io::ErrorKind::UnexpectedEof
        );
    }

    #[tokio::test]
    async fn the_tail_is_kept_and_goes_out_first() {
        let (mut conn, mut far) = pair().await;
        let chunk = [7; SEND_BUFFER];
        let mut total = 0;
        // Fill what the two kernels buffer, until something stays with us.
        while conn.unsent.is_empty() {
            conn.send(&chunk);
            total += chunk.len();
        }
        let reader = tokio::spawn(async move {
            let mut got = vec![0; total];
            far.read_exact(&mut got).await.unwrap();
            got
        });
        conn.close(Close::Fin).await;
        assert!(reader.await.unwrap().iter().all(|byte| *byte == 7));
    }

    #[tokio::test]
    async fn a_full_send_buffer_ends_the_connection() {
        let (mut conn, _far) = pair().await;
        while conn.broken.is_none() {
            conn.send(&[7; SEND_BUFFER]);
        }
        // Also while a read is outstanding that will never be answered.
        conn.read(1);
        assert_eq!(
            next(&mut conn).await.unwrap_err().kind(),
            io::ErrorKind::Other
        );
    }

    #[tokio::test]
    async fn a_gap_is_never_written_behind() {
        let (mut conn, _far) = pair().await;
        while conn.broken.is_none() && conn.is_flushed() {
            conn.send(&[7; SEND_BUFFER]);
        }
        let mut stream = conn.into_stream();
        assert_eq!(
            stream.write(b"behind the gap").await.unwrap_err().kind(),
            io::ErrorKind::BrokenPipe
        );
    }

    #[tokio::test]
    async fn last_words_are_read_before_a_reset_is_noticed() {
        let (mut conn, mut far) = pair().await;
        far.write_all(b"last words").await.unwrap();
        tokio::task::yield_now().await;
        drop(far);
        conn.read(10);
        conn.send(b"to nobody");
        conn.send(b"to nobody");
        assert_eq!(next(&mut conn).await.unwrap(), b"last words");
    }

    #[tokio::test]
    async fn fin_lets_the_other_side_read_everything() {
        let (mut conn, mut far) = pair().await;
        // Unread bytes at our end must not turn the FIN into a RST.
        far.write_all(b"never read").await.unwrap();
        conn.send(b"all of it");
        let reader = tokio::spawn(async move {
            let mut all = Vec::new();
            far.read_to_end(&mut all).await.unwrap();
            all
        });
        conn.close(Close::Fin).await;
        assert_eq!(reader.await.unwrap(), b"all of it");
    }
}
