//! One session between peers who know their NATs, with every packet of it: for assertions about what a strategy puts
//! on the wire.
//!
//! `connect` asks for its peer as soon as it is registered, when the server has not yet dialled it back. Here it has a
//! port to forward, and is asked to when the reports of both sides are complete, so that the plan is the one of a peer
//! that has been there for a while.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::events::Event;
use super::network::{Network, Plan};
use super::packet::Segment;
use super::pair::{HELLO, Pair, Terms, registered, timed};
use super::procs::Running;
use super::program::Program;
use super::service::{ANSWER, GREETING};
use super::stage::Stage;
use super::trace::{Point, Recorder, Sighting, Trace};

/// The server's dial-backs are over by then, also those that nobody answers: 3 s, and some round trips.
const LEARNT: Duration = Duration::from_millis(3_600);
/// More than a session has to come about in.
const DEADLINE: Duration = Duration::from_secs(20);
/// Where the requester takes connections to carry, on its own loopback device.
const ENTRANCE: (Ipv4Addr, u16) = (Ipv4Addr::LOCALHOST, 8_000);

/// One of the two peers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// The requester.
    A,
    /// The responder.
    B,
}

impl Peer {
    /// Both.
    pub const BOTH: [Self; 2] = [Self::A, Self::B];

    /// Who it talks to.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }

    /// Its host.
    #[must_use]
    pub const fn host(self) -> Point {
        match self {
            Self::A => Point::A,
            Self::B => Point::B,
        }
    }

    /// The outside of its NAT, where it has one of its own.
    #[must_use]
    pub fn outside(self) -> Point {
        Point::outside(match self {
            Self::A => "nat-a",
            Self::B => "nat-b",
        })
    }
}

/// A session, its packets, and the network that it was played in.
#[derive(Debug)]
pub struct Played {
    /// Why no bytes came through, if so.
    pub failure: Option<String>,
    /// What was seen where.
    pub trace: Trace,
    said: [Vec<(Instant, Event)>; 2],
    /// Kept running, so that nobody's end is part of the trace.
    _running: (Option<TcpStream>, Running, Pair),
}

impl Played {
    /// Builds the network, waits until both peers know their NATs, and plays one session.
    ///
    /// # Errors
    /// When something does not come up; a session that is lost is no error.
    pub fn play(plan: &Plan, terms: Terms, program: &Program) -> io::Result<Self> {
        let pair = Pair::start(Stage::new(Network::build(plan)?, program)?, terms)?;
        let entrance = SocketAddr::from(ENTRANCE);
        let mut arguments = pair.terms.requester();
        arguments.extend(["--forward".to_owned(), entrance.to_string()]);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let connector = pair.stage.connect(&pair.server.address, &arguments)?;
        registered(&connector)?;
        thread::sleep(LEARNT);

        let network = &pair.stage.network;
        let recorder = Recorder::start(network)?;
        let (log_a, log_b) = (connector.log(), pair.listener.log());
        let before = [log_a.len(), log_b.len()];
        let (stream, failure) = match network.a.namespace.run(move || talk(entrance)) {
            Ok(stream) => (Some(stream), None),
            Err(error) => (None, Some(error.to_string())),
        };
        let trace = recorder.finish(network);
        let said = [(log_a, before[0]), (log_b, before[1])]
            .map(|(log, before)| timed(log, log.since(before)));
        Ok(Self {
            failure,
            trace,
            said,
            _running: (stream, connector, pair),
        })
    }

    /// What a peer said under a name.
    pub fn said<'p>(&'p self, peer: Peer, name: &'p str) -> impl Iterator<Item = &'p Event> {
        let all = self.said[peer as usize].iter();
        all.map(|(_, event)| event)
            .filter(move |event| event.name == name)
    }

    /// The strategies of the plan, in order, each with who is first: `sequential, requester`.
    ///
    /// # Panics
    /// Where the responder made none, or the requester another one.
    #[must_use]
    pub fn plan(&self) -> Vec<String> {
        let text = |step: &Value, field: &str| step[field].as_str().unwrap_or("?").to_owned();
        let step = |step: &Value| format!("{}, {}", text(step, "strategy"), text(step, "first"));
        let [a, b] = Peer::BOTH.map(|peer| {
            let steps = self.said(peer, "planned").next()?.fields.get("steps")?;
            Some(steps.as_array()?.iter().map(step).collect::<Vec<_>>())
        });
        let b = b.unwrap_or_else(|| panic!("no plan: {:?}\n{}", self.failure, self.trace));
        // Where nothing can be tried, the requester hears that instead of where the other side is.
        if let Some(a) = a.or_else(|| (!b.is_empty()).then(Vec::new)) {
            assert_eq!(a, b, "the peers made different plans");
        }
        b
    }

    /// What won.
    #[must_use]
    pub fn won_by(&self) -> Option<String> {
        self.said(Peer::A, "verified").next()?.text("strategy")
    }

    /// The TCP connection that won.
    ///
    /// # Panics
    /// Where none did at both ends.
    #[must_use]
    pub fn stream(&self) -> Stream<'_> {
        let ends = Peer::BOTH.map(|peer| {
            let verified = self.said(peer, "verified").next();
            let endpoint = |field: &str| verified?.text(field)?.parse().ok();
            let ends: Option<(SocketAddr, SocketAddr)> = endpoint("local").zip(endpoint("remote"));
            ends.unwrap_or_else(|| {
                panic!("{peer:?} has no stream: {:?}\n{}", self.failure, self.trace)
            })
        });
        let [(inner_a, outer_b), (inner_b, outer_a)] = ends;
        let dialled = Peer::BOTH.map(|peer| {
            let (inner, remote) = ends[peer as usize];
            let is_it = |event: &&Event| {
                event.text("local") == Some(inner.to_string())
                    && event.text("remote") == Some(remote.to_string())
            };
            let connected = self.said(peer, "connected").find(is_it);
            connected.and_then(|event| event.fields.get("dialled")?.as_bool())
        });
        Stream {
            trace: &self.trace,
            inner: [inner_a, inner_b],
            outer: [outer_a, outer_b],
            dialled,
        }
    }
}

/// The TCP connection that won, and its packets.
#[derive(Debug)]
pub struct Stream<'p> {
    trace: &'p Trace,
    /// The endpoints of A and B, as they know them.
    pub inner: [SocketAddr; 2],
    /// As the other side knows them.
    pub outer: [SocketAddr; 2],
    /// Whether it is up by connect there, and not by accept.
    pub dialled: [Option<bool>; 2],
}

impl<'p> Stream<'p> {
    /// Its segments by a peer, where they leave that point or arrive there; of the WAN: where they leave and arrive.
    pub fn segments<'s>(
        &'s self,
        from: Peer,
        at: &'s Point,
    ) -> impl Iterator<Item = (&'p Sighting, &'p Segment)> + 's {
        let to = from.other();
        let mut ends = [self.outer[from as usize], self.outer[to as usize]];
        if *at == from.host() {
            ends[0] = self.inner[from as usize];
        } else if *at == to.host() {
            ends[1] = self.inner[to as usize];
        }
        let all = self
            .trace
            .all()
            .iter()
            .filter(move |seen| seen.point == *at);
        all.filter_map(move |seen| {
            let (source, destination, segment) = seen.tcp()?;
            ([source, destination] == ends).then_some((seen, segment))
        })
    }
}

/// A conversation with the greeter, by whoever takes the connection.
fn talk(entrance: SocketAddr) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect(entrance)?;
    stream.set_read_timeout(Some(DEADLINE))?;
    stream.write_all(HELLO)?;
    let mut got = vec![0; GREETING.len() + ANSWER.len()];
    stream.read_exact(&mut got)?;
    if got == [GREETING, ANSWER].concat() {
        return Ok(stream);
    }
    let got = String::from_utf8_lossy(&got).into_owned();
    Err(io::Error::new(io::ErrorKind::InvalidData, got))
}
