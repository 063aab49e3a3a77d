//! Standard input and output as a stream.

use std::io::{self, Read as _};

use tcp_punch_tokio::PunchedStream;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, ReadHalf, WriteHalf};
use tokio::sync::mpsc;

use crate::events::Carried;

/// What is moved at once.
const CHUNK: usize = 64 * 1024;

/// Chunks of standard input that wait to be sent.
const AHEAD: usize = 4;

/// Carries standard input to the stream and the stream to standard output, until
/// both have ended.
///
/// The end of standard input ends one direction only. So does the other side's
/// end: standard output is closed then, so that who reads it (an `ssh` with this
/// as its ProxyCommand) sees the end and can end standard input. Where the other side cannot
/// be written to any more, what it has sent is still read to its end.
///
/// Cancel safety: dropping the future cuts the stream.
pub(crate) async fn stdio(stream: PunchedStream, carried: &mut Carried) -> io::Result<()> {
    let (from_peer, to_peer) = tokio::io::split(stream);
    let Carried { sent, received } = carried;
    let up = send(to_peer, stdin(), sent);
    let down = receive(from_peer, received);
    tokio::pin!(up, down);
    let (mut up_ended, mut down_ended) = (None, false);
    while up_ended.is_none() || !down_ended {
        tokio::select! {
            ended = &mut up, if up_ended.is_none() => up_ended = Some(ended),
            ended = &mut down, if !down_ended => {
                ended?;
                down_ended = true;
            }
        }
    }
    up_ended.unwrap_or(Ok(()))
}

async fn send(
    mut to: WriteHalf<PunchedStream>,
    mut from: mpsc::Receiver<io::Result<Vec<u8>>>,
    sent: &mut u64,
) -> io::Result<()> {
    while let Some(chunk) = from.recv().await {
        let chunk = chunk?;
        to.write_all(&chunk).await?;
        *sent += chunk.len() as u64;
        // What was typed goes out now; what comes in bulk, in bulk.
        if from.is_empty() {
            to.flush().await?;
        }
    }
    to.shutdown().await
}

async fn receive(mut from: ReadHalf<PunchedStream>, received: &mut u64) -> io::Result<()> {
    let mut stdout = tokio::io::stdout();
    let mut chunk = vec![0; CHUNK];
    loop {
        let read = from.read(&mut chunk).await?;
        if read == 0 {
            return close_stdout();
        }
        stdout.write_all(&chunk[..read]).await?;
        stdout.flush().await?;
        *received += read as u64;
    }
}

/// Nothing else may be written to it afterwards, and everything has been flushed.
#[cfg(unix)]
fn close_stdout() -> io::Result<()> {
    // Not left open for the next file that is opened: a stray write to it must
    // go nowhere.
    let nowhere = std::fs::OpenOptions::new().write(true).open("/dev/null")?;
    Ok(rustix::stdio::dup2_stdout(nowhere)?)
}

/// Not run on other systems: it is closed when the program ends.
#[cfg(not(unix))]
#[allow(clippy::unnecessary_wraps, reason = "as on the other systems")]
fn close_stdout() -> io::Result<()> {
    Ok(())
}

/// Standard input, read by a thread of its own: a read that blocks for ever must
/// not keep the program from ending.
fn stdin() -> mpsc::Receiver<io::Result<Vec<u8>>> {
    let (chunks, receiver) = mpsc::channel(AHEAD);
    std::thread::spawn(move || {
        let mut stdin = io::stdin().lock();
        loop {
            let mut chunk = vec![0; CHUNK];
            let read = match stdin.read(&mut chunk) {
                Ok(0) => return,
                Ok(read) => {
                    chunk.truncate(read);
                    Ok(chunk)
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => Err(error),
            };
            let is_over = read.is_err();
            if chunks.blocking_send(read).is_err() || is_over {
                return;
            }
        }
    });
    receiver
}
