//! A requester that stays: registered, with its NAT found out, and asked for a session by each local connection.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::events::Event;
use super::netns::Namespace;
use super::pair::{HELLO, SESSION, failure, registered, timed};
use super::procs::Running;
use super::service::{ANSWER, GREETING};
use super::stage::Stage;

/// Finding a NAT out takes 6 s from the registration at most.
const LEARN: Duration = Duration::from_secs(8);
/// Bytes on a stream that is up, or its end: a lossy path may take that long.
const BYTES: Duration = Duration::from_secs(10);

/// `connect --forward`.
#[derive(Debug)]
pub(super) struct Standing {
    running: Running,
    namespace: Arc<Namespace>,
    local: SocketAddr,
}

impl Standing {
    /// Starts it as A, and waits until it knows its NAT.
    pub(super) fn start(stage: &Stage, server: &str, more: &[&str]) -> io::Result<Self> {
        let mut arguments = vec!["--forward", "127.0.0.1:0"];
        arguments.extend(more);
        let running = stage.connect(server, &arguments)?;
        registered(&running)?;
        learnt(&running)?;
        let listening = running.log().wait(0, &["listening"], Instant::now());
        let local = listening
            .and_then(|event| event.text("local")?.parse().ok())
            .ok_or_else(|| io::Error::other("connect does not say where it listens"))?;
        Ok(Self {
            running,
            namespace: Arc::clone(&stage.network.a.namespace),
            local,
        })
    }

    /// One session: why it failed, if it did, and what the requester said. `verified` waits for the responder.
    pub(super) fn session(
        &self,
        verified: impl FnOnce() -> Result<(), String>,
    ) -> (Option<String>, Vec<(Instant, Event)>) {
        let log = self.running.log();
        let before = log.len();
        let failure = self.play(before, verified).err();
        (failure, timed(log, log.since(before)))
    }

    fn play(
        &self,
        before: usize,
        verified: impl FnOnce() -> Result<(), String>,
    ) -> Result<(), String> {
        let (log, local) = (self.running.log(), self.local);
        let mut stream = self
            .namespace
            .run(move || TcpStream::connect(local))
            .map_err(|error| format!("connect takes no connection: {error}"))?;
        let event = log.wait(before, &["verified", "failed"], Instant::now() + SESSION);
        if event.as_ref().is_none_or(|event| event.name != "verified") {
            return Err(failure(&self.running, event.as_ref()));
        }
        talk(&mut stream).map_err(|error| format!("instead of the greeting: {error}"))?;
        verified()?;
        let end = log.wait(before, &["closed"], Instant::now() + BYTES);
        match end.map(|event| event.text("error")) {
            Some(None) => Ok(()),
            Some(Some(error)) => Err(format!("the stream did not end in order: {error}")),
            None => Err("the requester did not say that the stream is closed".to_owned()),
        }
    }
}

/// Waits until a peer has found out what can be found out about its NAT.
pub(super) fn learnt(peer: &Running) -> io::Result<()> {
    let deadline = Instant::now() + LEARN;
    match peer.log().wait(0, &["nat-learnt"], deadline) {
        Some(_) => Ok(()),
        None => Err(io::Error::other(format!(
            "a peer does not find its NAT out: {}",
            peer.log().words()
        ))),
    }
}

/// A greeting each way, and the end of both directions.
fn talk(stream: &mut TcpStream) -> io::Result<()> {
    stream.set_read_timeout(Some(BYTES))?;
    stream.write_all(HELLO)?;
    let expected = [GREETING, ANSWER].concat();
    let mut got = vec![0; expected.len()];
    stream.read_exact(&mut got)?;
    stream.shutdown(Shutdown::Write)?;
    let more = stream.read(&mut [0])?;
    if got != expected || more > 0 {
        let text = format!("{:?} came", String::from_utf8_lossy(&got));
        return Err(io::Error::other(text));
    }
    Ok(())
}
