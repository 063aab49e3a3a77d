//! What became of a run: times, ends, the ladder.

use std::time::Duration;

use tcp_punch_proto::{
    Endpoint, Event, FailReason, Instant, LinkFailure, SessionId, StreamMode, Tried,
};

use super::sim::World;

/// What a session took at one end, from the request on.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// Until the first TCP connection was up.
    pub up: Option<Duration>,
    /// Until the stream was verified.
    pub verified: Option<Duration>,
    /// Whether the verified stream's socket was dialled here.
    pub dialled: Option<bool>,
}

impl World {
    /// The run's hash: equal for equal seeds and inputs.
    pub fn trace_hash(&self) -> u64 {
        self.trace.hash()
    }

    /// The run as text, with names in the place of ids.
    pub fn ladder(&self) -> String {
        let mut ladder = self.trace.ladder();
        for peer in &self.peers {
            ladder = ladder.replace(&peer.id().to_string(), &peer.parts.name);
        }
        for (number, session) in self.requested.keys().enumerate() {
            ladder = ladder.replace(&session.to_string(), &format!("#{}", number + 1));
        }
        ladder
    }

    /// What a session took at one end.
    pub fn times(&self, peer: usize, wanted: SessionId) -> Times {
        let mut times = Times::default();
        let Some(&requested) = self.requested.get(&wanted) else {
            return times;
        };
        let mut ends = Vec::new();
        for (at, event) in self.events(peer) {
            let after = at.since(requested);
            if let Event::Connected {
                session,
                local,
                remote,
                dialled,
            } = event
                && *session == wanted
            {
                times.up = times.up.or(Some(after));
                ends.push((*local, *remote, *dialled));
            }
            if let Event::Verified {
                session,
                local,
                remote,
                ..
            } = event
                && *session == wanted
            {
                times.verified = Some(after);
                let end = ends.iter().find(|end| (end.0, end.1) == (*local, *remote));
                times.dialled = end.map(|end| end.2);
            }
        }
        times
    }

    /// Whether a peer has a verified stream of this session.
    pub fn is_verified(&self, peer: usize, wanted: SessionId) -> bool {
        self.events(peer).iter().any(
            |(_, event)| matches!(event, Event::Verified { session, .. } if *session == wanted),
        )
    }

    /// How a session ended at one end without a stream.
    pub fn failure(&self, peer: usize, session: SessionId) -> Option<(FailReason, Tried)> {
        self.peers[peer].failure(session)
    }

    /// The reason alone.
    pub fn reason(&self, peer: usize, session: SessionId) -> Option<FailReason> {
        self.failure(peer, session).map(|(reason, _)| reason)
    }

    /// Whether a session is over at one end, one way or the other.
    pub fn is_over(&self, peer: usize, session: SessionId) -> bool {
        self.is_verified(peer, session) || self.failure(peer, session).is_some()
    }

    /// Whether a peer has been told of a session by the server.
    pub fn is_notified(&self, peer: usize, wanted: SessionId) -> bool {
        self.events(peer).iter().any(
            |(_, event)| matches!(event, Event::Notified { session, .. } if *session == wanted),
        )
    }

    /// Whether a peer's link to the server is up, by what it told last.
    pub fn is_registered(&self, peer: usize) -> bool {
        let up = |event: &Event| matches!(event, Event::Registered { .. });
        let down = |event: &Event| matches!(event, Event::LinkDown { .. });
        let mut events = self.events(peer).iter().rev().map(|(_, event)| event);
        events
            .find(|event| up(event) || down(event))
            .is_some_and(up)
    }

    /// Where a peer's main port is mapped to, as it was last told.
    pub fn mapped(&self, peer: usize) -> Option<Endpoint> {
        self.events(peer).iter().rev().find_map(|(_, event)| {
            if let Event::Registered { mapped } = event {
                Some(*mapped)
            } else {
                None
            }
        })
    }

    /// Where a peer's machine had its host dial, from the beginning.
    pub fn dialled(&self, peer: usize) -> &[Endpoint] {
        self.peers[peer].dialled()
    }

    /// When it did, since its last start.
    pub fn dialled_at(&self, peer: usize) -> &[Instant] {
        self.peers[peer].dialled_at()
    }

    /// How often a peer's deadline came.
    pub fn wakes(&self, peer: usize) -> u64 {
        self.peers[peer].wakes
    }

    /// How a session's bytes travel.
    pub fn mode(&self, peer: usize, session: SessionId) -> Option<StreamMode> {
        let mut streams = self.peers[peer].streams.iter();
        streams
            .find(|stream| stream.session == session)
            .map(|stream| stream.mode)
    }

    /// Whether a peer's machine has a deadline, or its application.
    pub fn waits(&self, peer: usize) -> bool {
        self.peers[peer].waits()
    }

    /// Every time that a peer was without a link, and why.
    pub fn link_failures(&self, peer: usize) -> Vec<(Instant, LinkFailure)> {
        let events = self.events(peer).iter();
        events
            .filter_map(|(at, event)| {
                if let Event::LinkDown { reason, .. } = event {
                    Some((*at, *reason))
                } else {
                    None
                }
            })
            .collect()
    }

    /// When a peer was registered, each time.
    pub fn registrations(&self, peer: usize) -> Vec<Instant> {
        let events = self.events(peer).iter();
        let registered = events.filter(|(_, event)| matches!(event, Event::Registered { .. }));
        registered.map(|(at, _)| *at).collect()
    }

    /// Dials of a session that a peer told of.
    pub fn dials(&self, peer: usize, wanted: SessionId) -> usize {
        let events = self.events(peer).iter();
        events
            .filter(
                |(_, event)| matches!(event, Event::Dialling { session, .. } if *session == wanted),
            )
            .count()
    }

    /// How many connections a stranger has had, and how many of them ended.
    pub fn stranger_connections(&self, stranger: usize) -> (usize, usize) {
        (
            self.strangers[stranger].connections,
            self.strangers[stranger].ended,
        )
    }

    /// What the peers told a stranger.
    pub fn stranger_heard(&self, stranger: usize) -> &[u8] {
        &self.strangers[stranger].heard
    }

    /// What the application received over a stream.
    pub fn received(&self, peer: usize, session: SessionId) -> &[u8] {
        let mut streams = self.peers[peer].streams.iter();
        streams
            .find(|stream| stream.session == session)
            .map_or(&[], |stream| &stream.received)
    }

    /// Runs until the session is verified at both ends, and proves that it is
    /// one stream: same handshake, right peers, bytes both ways.
    ///
    /// # Panics
    ///
    /// It is not.
    pub fn expect_stream(
        &mut self,
        one: usize,
        other: usize,
        session: SessionId,
        within: Duration,
    ) {
        let both = self.run_until(
            |world| world.is_over(one, session) && world.is_over(other, session),
            within,
        );
        for peer in [one, other] {
            let failure = self.failure(peer, session);
            assert!(
                self.is_verified(peer, session),
                "peer {peer}: over {both}, {failure:?}"
            );
        }
        let find = |peer: usize| {
            let mut streams = self.peers[peer].streams.iter();
            let stream = streams
                .find(|stream| stream.session == session)
                .expect("a stream");
            (stream.peer, stream.handshake_hash, stream.mode)
        };
        let (of_one, of_other) = (find(one), find(other));
        assert_eq!(of_one.0, self.id(other), "the wrong peer");
        assert_eq!(of_other.0, self.id(one), "the wrong peer");
        assert_eq!(
            (of_one.1, of_one.2),
            (of_other.1, of_other.2),
            "two handshakes"
        );
        self.write(one, session, b"to the other");
        self.write(other, session, b"to the one");
        let exchanged = self.run_until(
            |world| {
                world.received(one, session) == b"to the one"
                    && world.received(other, session) == b"to the other"
            },
            Duration::from_secs(60),
        );
        assert!(exchanged, "bytes do not get through");
    }

    /// Runs until the session has failed at both ends, or was never known there.
    ///
    /// # Panics
    ///
    /// It did not end, or it ended well.
    pub fn expect_failure(
        &mut self,
        one: usize,
        session: SessionId,
        within: Duration,
    ) -> (FailReason, Tried) {
        self.run_until(|world| world.is_over(one, session), within);
        assert!(!self.is_verified(one, session), "it must not succeed");
        self.failure(one, session)
            .expect("it ends within its deadline")
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let asked = std::env::var("WORLD_LADDER").ok();
        if !std::thread::panicking() && asked.is_none() {
            return;
        }
        let most = asked.and_then(|lines| lines.parse().ok()).unwrap_or(LADDER);
        let name = std::thread::current().name().unwrap_or("").to_owned();
        let ladder = self.ladder();
        let skip = ladder.lines().count().saturating_sub(most);
        let shown: Vec<&str> = ladder.lines().skip(skip).collect();
        eprintln!(
            "the world of seed {seed} is over; its ladder ({skip} lines left out):\n{}\n\
             replay it: WORLD_SEED={seed} cargo test -p tcp-punch-tests --test '*' -- --exact {name}",
            shown.join("\n"),
            seed = self.seed,
        );
    }
}

/// Most lines that a failing test prints, unless `WORLD_LADDER` says how many;
/// with that set every test prints.
const LADDER: usize = 300;

/// The seeds of a test: so many, or as many as `WORLD_SEEDS` says, or the one
/// that `WORLD_SEED` names.
///
/// # Panics
///
/// They are no numbers.
pub fn seeds(count: u64) -> impl Iterator<Item = u64> {
    let number = |name| {
        let text = std::env::var(name).ok()?;
        Some(
            text.parse::<u64>()
                .unwrap_or_else(|_| panic!("{name} is a number")),
        )
    };
    let count = number("WORLD_SEEDS").unwrap_or(count);
    number("WORLD_SEED").map_or(1..count + 1, |seed| seed..seed + 1)
}

/// The value below which this share of the values lies.
///
/// # Panics
///
/// There are no values.
pub fn percentile(values: &mut [Duration], percent: usize) -> Duration {
    values.sort_unstable();
    let index = (values.len() * percent).div_ceil(100).max(1) - 1;
    values[index]
}
