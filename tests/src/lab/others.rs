//! Other people behind a NAT: hosts that open connections while the peers punch.
//!
//! What they do moves a sequential NAT on, so that a predicted port is off by as many as have opened a connection in
//! between. How many that are is chance, as it is out there: arrivals are Poisson, from a seed.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, Socket, Type};

use super::network::{Host, Network};
use super::rng::Rng;
use super::service::Service;
use super::topology::sink;

/// Its host part in the LAN; no peer has it.
const HOST: u8 = 60;
/// How long a connection is kept: longer than any path takes, so that it comes up.
const KEPT: Duration = Duration::from_secs(2);

/// Connections that are opened behind one NAT; no more are once this is dropped.
#[derive(Debug)]
pub struct Others {
    opened: Arc<AtomicU64>,
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
    _sink: Service,
}

impl Others {
    /// Puts a further host behind a NAT, that opens so many connections a second on average, each from another port,
    /// to an address of the server's site at which the server is not.
    ///
    /// # Errors
    /// When there is no such NAT or the rate is not a positive number, or where devices or threads cannot be had.
    pub fn start(network: &mut Network, nat: &str, per_second: f64, seed: u64) -> io::Result<Self> {
        if !per_second.is_finite() || per_second <= 0.0 {
            let text = format!("{per_second} connections a second are none");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        let host = network.add_host("others", nat, HOST)?;
        let at = SocketAddr::new(sink().main(network.plan().family), 0);
        let sink = Service::new(&network.s.namespace, at, |mut stream| {
            // Until the other end goes, in whichever way.
            let mut byte = [0];
            while stream.read(&mut byte)? > 0 {}
            Ok(())
        })?;
        let to = sink.address();
        let opened = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&opened);
        let (stop, stopped) = mpsc::channel();
        let arrivals = Arrivals::new(per_second, seed);
        let thread = thread::Builder::new()
            .name("others".to_owned())
            .spawn(move || open(&host, to, arrivals, &count, &stopped))?;
        Ok(Self {
            opened,
            stop: Some(stop),
            thread: Some(thread),
            _sink: sink,
        })
    }

    /// How many connections have been opened so far.
    #[must_use]
    pub fn opened(&self) -> u64 {
        self.opened.load(Ordering::Relaxed)
    }
}

impl Drop for Others {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // Its panic, if any, was printed when it happened.
            let _ = thread.join();
        }
    }
}

fn open(
    host: &Host,
    to: SocketAddr,
    arrivals: Arrivals,
    opened: &AtomicU64,
    stopped: &Receiver<()>,
) {
    let start = Instant::now();
    let mut kept = VecDeque::new();
    for after in arrivals {
        let at = start + after;
        let left = at.saturating_duration_since(Instant::now());
        if stopped.recv_timeout(left) != Err(RecvTimeoutError::Timeout) {
            return;
        }
        // A host that is out of ports opens none, and goes on when some have come back.
        if let Ok(socket) = host.namespace.run(move || dial(to)) {
            opened.fetch_add(1, Ordering::Relaxed);
            kept.push_back((Instant::now(), socket));
        }
        while kept.front().is_some_and(|(at, _)| at.elapsed() > KEPT) {
            kept.pop_front();
        }
    }
}

/// Sends a SYN, and leaves it to the kernel what becomes of it.
fn dial(to: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    // Ends with RST, which leaves no entry behind: thousands of them would fill the range of a sequential NAT.
    socket.set_linger(Some(Duration::ZERO))?;
    match socket.connect(&to.into()) {
        Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => Err(error),
        Ok(()) | Err(_) => Ok(socket),
    }
}

/// A Poisson process: the times of its events, from its start, without end.
#[derive(Debug)]
struct Arrivals {
    rng: Rng,
    per_second: f64,
    at: Duration,
}

impl Arrivals {
    fn new(per_second: f64, seed: u64) -> Self {
        Self {
            rng: Rng::new(seed),
            per_second,
            at: Duration::ZERO,
        }
    }
}

impl Iterator for Arrivals {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        // The logarithm's argument is above 0 and at most 1.
        let pause = -(1.0 - self.rng.unit()).ln() / self.per_second;
        self.at = self
            .at
            .checked_add(Duration::try_from_secs_f64(pause).ok()?)?;
        Some(self.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrivals_are_as_many_as_asked_for_and_the_same_for_a_seed() {
        let hour = Duration::from_secs(3_600);
        let times = |seed| -> Vec<Duration> {
            Arrivals::new(2.0, seed)
                .take_while(|at| *at < hour)
                .collect()
        };
        let all = times(7);
        assert!((7_000..7_400).contains(&all.len()), "{}", all.len());
        assert_eq!(all, times(7));
        assert_ne!(all, times(8));
    }

    /// The pauses of a Poisson process are longer than their mean in 1/e of all cases.
    #[test]
    fn pauses_are_exponential() {
        let all: Vec<Duration> = Arrivals::new(1.0, 1).take(10_000).collect();
        let long = all
            .windows(2)
            .filter(|pair| pair[1] - pair[0] > Duration::from_secs(1))
            .count();
        assert!((3_500..3_860).contains(&long), "{long}");
    }
}
