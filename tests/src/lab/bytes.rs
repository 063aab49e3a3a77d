//! Bulk: many bytes each way at once, checked by hash at both ends, and how fast they went.
//!
//! The same is done over a punched stream, for records and for the bare stream, and over a plain TCP connection
//! through the same NATs. The plain one needs a hole that nobody punched: a port that B's NAT forwards.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::{Duration, Instant};

use blake2::{Blake2b512, Digest as _};
use serde::{Deserialize, Serialize};

use super::network::{Network, Plan, Router};
use super::pair::{Pair, Terms};
use super::program::Program;
use super::rng::Rng;
use super::service::Service;
use super::stage::Stage;
use super::topology::public;
use super::wan::Site;

/// The port that B's NAT forwards to B for the plain connection.
const FORWARDED: u16 = 5000;
/// Long enough for 100 MiB at 10 Mbit/s.
const PATIENCE: Duration = Duration::from_secs(90);
const CHUNK: usize = 64 * 1024;

/// What the two directions carry, so that one cannot be mistaken for the other.
const SEED_A: u64 = 0xa;
const SEED_B: u64 = 0xb;

/// What came of one way to carry bytes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Carried {
    /// `plain`, `bare` or `records`.
    pub over: String,
    /// Mbit/s from A to B, the other direction being busy as well.
    pub a_to_b: f64,
    /// Mbit/s from B to A.
    pub b_to_a: f64,
}

/// One end's account.
#[derive(Debug)]
struct Received {
    bytes: u64,
    hash: Vec<u8>,
    done: Instant,
}

/// Carries `bytes` each way over a punched stream of that kind.
///
/// # Errors
/// When there is no stream, or when other bytes arrive than were sent.
pub fn punched(plan: &Plan, program: &Program, stream: &str, bytes: u64) -> io::Result<Carried> {
    let stage = Stage::new(Network::build(plan)?, program)?;
    let (service, at_b) = bulk_service(&stage.network, (Ipv4Addr::LOCALHOST, 0).into(), bytes)?;
    let terms = Terms {
        stream: Some(stream.to_owned()),
        ..Terms::default()
    };
    let pair = Pair::with_service(stage, terms, service)?;
    let mut connector = pair.connect_raw()?;
    let (Some(stdin), Some(stdout)) = (connector.take_stdin(), connector.take_stdout()) else {
        return Err(io::Error::other("connect has no standard input or output"));
    };
    let deadline = Instant::now() + PATIENCE;
    let event = connector.log().wait(0, &["verified", "failed"], deadline);
    if event.as_ref().is_none_or(|event| event.name != "verified") {
        return Err(io::Error::other(super::pair::failure(
            &connector,
            event.as_ref(),
        )));
    }
    let start = Instant::now();
    let (account, at_a) = mpsc::channel();
    // On a thread of its own: a stream that stalls must not stall the lab.
    thread::Builder::new().name("a".to_owned()).spawn(move || {
        // Dropping the standard input ends A's direction.
        both_ways(stdout, stdin, drop, SEED_A, bytes).map(|received| account.send(received))
    })?;
    let carried = check(stream, start, bytes, &at_a, &at_b)?;
    match connector.exit(deadline) {
        Some(status) if status.success() => Ok(carried),
        status => Err(io::Error::other(format!(
            "connect ended with {status:?}: {}",
            connector.log().words()
        ))),
    }
}

/// Carries `bytes` each way over a TCP connection that B's NAT forwards.
///
/// # Errors
/// When it cannot be connected, or when other bytes arrive than were sent.
pub fn plain(plan: &Plan, bytes: u64) -> io::Result<Carried> {
    let network = Network::build(plan)?;
    let inside = network.b.addresses.v4;
    let (_service, at_b) = bulk_service(&network, (inside, FORWARDED).into(), bytes)?;
    if let Some(nat) = network.router("nat-b").and_then(Router::namespace) {
        nat.nft(&format!(
            "table ip forwarded {{\n chain pre {{ type nat hook prerouting priority dstnat - 1;\n  \
             iifname wan tcp dport {FORWARDED} dnat to {inside}:{FORWARDED}\n }}\n}}\n"
        ))?;
    }
    let to = SocketAddr::new(public(Site::B).v4.into(), FORWARDED);
    let stream = network
        .a
        .namespace
        .run(move || TcpStream::connect_timeout(&to, Duration::from_secs(10)))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let start = Instant::now();
    let (account, at_a) = mpsc::channel();
    // Its receiver is right here.
    let _ = account.send(both_ways(stream.try_clone()?, stream, end, SEED_A, bytes)?);
    check("plain", start, bytes, &at_a, &at_b)
}

/// A service that sends and expects `bytes` on each connection, and accounts for what it got.
fn bulk_service(
    network: &Network,
    at: SocketAddr,
    bytes: u64,
) -> io::Result<(Service, Receiver<Received>)> {
    let (account, accounts): (Sender<Received>, _) = mpsc::channel();
    let service = Service::new(&network.b.namespace, at, move |stream| {
        let received = both_ways(stream.try_clone()?, stream, end, SEED_B, bytes)?;
        // Nobody waits any more only where the run has failed.
        let _ = account.send(received);
        Ok(())
    })?;
    Ok((service, accounts))
}

fn end(stream: TcpStream) {
    // A stream that is closed already has ended as well.
    let _ = stream.shutdown(Shutdown::Write);
}

/// Sends on one thread while the calling one receives until the end.
fn both_ways<W: Write + Send + 'static>(
    mut from: impl Read,
    mut to: W,
    end: impl FnOnce(W) + Send + 'static,
    seed: u64,
    bytes: u64,
) -> io::Result<Received> {
    let sender = thread::Builder::new()
        .name("sender".to_owned())
        .spawn(move || {
            let sent = send(&mut to, seed, bytes);
            end(to);
            sent
        })?;
    let mut hash = Blake2b512::new();
    let mut buffer = vec![0; CHUNK];
    let mut got = 0;
    loop {
        let length = from.read(&mut buffer)?;
        if length == 0 {
            break;
        }
        hash.update(&buffer[..length]);
        got += length as u64;
    }
    let done = Instant::now();
    sender
        .join()
        .map_err(|_| io::Error::other("the sending thread panicked"))??;
    Ok(Received {
        bytes: got,
        hash: hash.finalize().to_vec(),
        done,
    })
}

fn send(to: &mut impl Write, seed: u64, bytes: u64) -> io::Result<()> {
    for chunk in chunks(seed, bytes) {
        to.write_all(&chunk)?;
    }
    to.flush()
}

/// The bytes of one direction.
fn chunks(seed: u64, bytes: u64) -> impl Iterator<Item = Vec<u8>> {
    let mut rng = Rng::new(seed);
    let mut left = bytes;
    std::iter::from_fn(move || {
        let length = left.min(CHUNK as u64) as usize;
        left -= length as u64;
        (length > 0).then(|| {
            let mut chunk: Vec<u8> = (0..length.div_ceil(8))
                .flat_map(|_| rng.bits().to_le_bytes())
                .collect();
            chunk.truncate(length);
            chunk
        })
    })
}

fn check(
    over: &str,
    start: Instant,
    bytes: u64,
    at_a: &Receiver<Received>,
    at_b: &Receiver<Received>,
) -> io::Result<Carried> {
    let wait = |end: &str, account: &Receiver<Received>| {
        let received = account.recv_timeout(PATIENCE);
        received.map_err(|_| {
            io::Error::other(format!("{over}: {end} did not get to the end of its bytes"))
        })
    };
    let (at_a, at_b) = (wait("A", at_a)?, wait("B", at_b)?);
    for (end, received, seed) in [("A", &at_a, SEED_B), ("B", &at_b, SEED_A)] {
        if received.bytes != bytes {
            return Err(io::Error::other(format!(
                "{over}: {end} got {} of {bytes} bytes",
                received.bytes
            )));
        }
        let mut expected = Blake2b512::new();
        chunks(seed, bytes).for_each(|chunk| expected.update(&chunk));
        if expected.finalize().as_slice() != received.hash {
            return Err(io::Error::other(format!(
                "{over}: {end} got other bytes than were sent"
            )));
        }
    }
    let speed = |received: &Received| {
        let seconds = received.done.saturating_duration_since(start).as_secs_f64();
        (bytes as f64 * 8.0 / seconds / 1e5).round() / 10.0
    };
    Ok(Carried {
        over: over.to_owned(),
        a_to_b: speed(&at_b),
        b_to_a: speed(&at_a),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chunks_are_as_many_bytes_as_asked_for() {
        for bytes in [0, 1, CHUNK as u64, CHUNK as u64 + 7] {
            assert_eq!(
                chunks(1, bytes)
                    .map(|chunk| chunk.len() as u64)
                    .sum::<u64>(),
                bytes
            );
        }
        assert_ne!(chunks(1, 8).next(), chunks(2, 8).next());
    }
}
