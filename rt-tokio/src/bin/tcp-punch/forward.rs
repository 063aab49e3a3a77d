//! A TCP connection carried over a stream.

use std::io;

use tcp_punch_tokio::PunchedStream;
use tokio::io::copy_bidirectional_with_sizes;
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
    mut local: TcpStream,
    mut stream: PunchedStream,
    reporter: &Reporter,
) -> bool {
    let session = stream.session();
    let _ = local.set_nodelay(true);
    let ended = copy_bidirectional_with_sizes(&mut local, &mut stream, CHUNK, CHUNK).await;
    let carried = match &ended {
        Ok((sent, received)) => Carried {
            sent: *sent,
            received: *received,
        },
        Err(_) => Carried::default(),
    };
    tell(session, carried, ended.map(drop), reporter).await
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
