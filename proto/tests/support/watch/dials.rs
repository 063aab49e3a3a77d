//! How many SYNs a session sends, and where to.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use tcp_punch_proto::{Endpoint, Event, Hops, Runtime, Segment, SessionId, SocketId, Strategy};

/// Most SYNs of a session: of its port pairs, to foretold ports, and by chance.
const MOST_PAIRS: usize = 64;
const MOST_FORETOLD: usize = 192;
const MOST_BY_CHANCE: usize = 3_072;

/// Outer ports that no NAT gives out.
const FIRST_SPRAYED: u16 = 1_024;

#[derive(Debug, Default)]
struct Counts {
    pairs: usize,
    foretold: usize,
    by_chance: usize,
    /// Of the step that runs, or ran last.
    strategy: Option<Strategy>,
}

/// The dials of a peer machine.
#[derive(Debug, Default)]
pub(crate) struct Dials {
    /// What the runtime said that it can do.
    pub(crate) runtime: Runtime,
    /// Sprays go there for this session; without an entry for the last one that
    /// began a step with sprays.
    pub(crate) whose: BTreeMap<IpAddr, SessionId>,
    /// Whoever is dialled there is not the other side of a session.
    pub(crate) others: BTreeSet<IpAddr>,
    counts: BTreeMap<SessionId, Counts>,
    last_spray: Option<SessionId>,
    /// Of a port pair, if the next output says so.
    last: Option<(SocketId, Endpoint, Hops)>,
    /// The dial that must follow.
    watched: Option<SocketId>,
    pub(crate) to_tell: Vec<SocketId>,
    pub(crate) traces: BTreeSet<SocketId>,
    pub(crate) sprayed: BTreeSet<SocketId>,
    pub(crate) injected: Vec<Segment>,
    /// The last round of each session.
    pub(crate) rounds: BTreeMap<SessionId, u8>,
}

impl Dials {
    pub(super) fn watch(&mut self, id: SocketId) {
        assert!(self.runtime.raw, "it did not declare that it can watch");
        assert_eq!(self.watched.replace(id), None, "no dial followed");
    }

    pub(super) fn dial(&mut self, id: SocketId, remote: Endpoint, hops: Hops) {
        match hops {
            Hops::Default => {}
            Hops::Short(_) => assert!(self.runtime.low_ttl, "{hops:?} was not declared"),
            Hops::Trace(_) => {
                assert!(self.runtime.trace, "{hops:?} was not declared");
                self.traces.insert(id);
            }
        }
        if let Some(watched) = self.watched.take() {
            assert_eq!(watched, id, "another dial was to follow");
            self.to_tell.push(id);
        }
        self.last = Some((id, remote, hops));
    }

    pub(super) fn inject(&mut self, segment: Segment) {
        assert!(self.runtime.raw, "it did not declare that it can inject");
        assert!(segment.local.ip.is_unspecified(), "{segment:?}");
        let again = |known: &Segment| known.sequence == segment.sequence;
        assert!(!self.injected.iter().any(again), "{segment:?}: again");
        self.injected.push(segment);
    }

    /// An event behind a dial tells what the dial was.
    pub(super) fn event(&mut self, event: &Event) {
        if let Event::Dialling { session, .. } = event {
            assert!(self.last.take().is_some(), "{event:?}: which dial?");
            let counts = self.counts.entry(*session).or_default();
            counts.pairs += 1;
            assert!(counts.pairs <= MOST_PAIRS, "{event:?}: {counts:?}");
        }
        if let Event::StepBegun {
            session,
            round,
            step,
        } = event
        {
            self.rounds.insert(*session, *round);
            self.counts.entry(*session).or_default().strategy = Some(step.strategy);
            if step.needs_fresh_ports() {
                self.last_spray = Some(*session);
            }
        }
    }

    /// Before the next output; `pending` tells whether a dial is.
    pub(super) fn settle(&mut self, pending: impl Fn(SocketId) -> bool) {
        let Some((id, remote, hops)) = self.last.take() else {
            return;
        };
        if self.others.contains(&remote.ip) || matches!(hops, Hops::Trace(_)) {
            return;
        }
        let by_ip = self.whose.get(&remote.ip).copied();
        let session = by_ip.or(self.last_spray).expect("nobody sprays");
        self.sprayed.insert(id);
        let counts = self.counts.entry(session).or_default();
        match counts.strategy {
            Some(Strategy::PortPrediction) => counts.foretold += 1,
            Some(Strategy::Birthday) => counts.by_chance += 1,
            other => panic!("{session} sprays {remote} in a step of {other:?}"),
        }
        assert!(counts.foretold <= MOST_FORETOLD, "{counts:?}");
        assert!(counts.by_chance <= MOST_BY_CHANCE, "{counts:?}");
        assert!(remote.port >= FIRST_SPRAYED, "{remote} was sprayed");
        let open = self.sprayed.iter().filter(|id| pending(**id)).count();
        let most = usize::from(self.runtime.dials);
        assert!(open <= most, "{open} dials of a spray at once, of {most}");
    }

    /// SYNs of a session: of its pairs, foretold, by chance.
    pub(crate) fn of(&self, session: SessionId) -> [usize; 3] {
        let none = Counts::default();
        let counts = self.counts.get(&session).unwrap_or(&none);
        [counts.pairs, counts.foretold, counts.by_chance]
    }
}
