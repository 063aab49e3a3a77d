//! The contract of the crate page, checked output by output.

mod dials;

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use tcp_punch_proto::wire::{Frame, MAX_FRAME};
use tcp_punch_proto::{
    Access, Close, Event, FailReason, Instant, ListenerId, Output, Peer, ResolveId, SessionId,
    SocketId,
};

use dials::Dials;

/// No drain is longer: a spray of 1,024 that is closed is the longest.
const MOST_OUTPUTS: usize = 1_600;

#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Dialling,
    /// With the length of the read that is outstanding.
    Up(Option<usize>),
    Over,
}

/// What a peer machine has open, as a runtime sees it.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    pub(crate) sockets: BTreeMap<SocketId, Phase>,
    pub(crate) listeners: BTreeMap<ListenerId, bool>,
    pub(crate) dials: Dials,
    /// Closed by the machine, while dialling or not: what happened meanwhile
    /// comes late.
    pub(crate) closed: BTreeMap<SocketId, bool>,
    pub(crate) resolves: BTreeSet<ResolveId>,
    pub(crate) begun: BTreeSet<SessionId>,
    pub(crate) asked: Vec<SessionId>,
    pub(crate) ended: BTreeSet<SessionId>,
    pub(crate) failed: BTreeMap<SessionId, FailReason>,
    handed_over: BTreeSet<SessionId>,
    verified: BTreeSet<SessionId>,
    trace: DefaultHasher,
    pub(crate) next: Option<Instant>,
}

impl Watch {
    /// Drains, checks every output, and passes it on. `then` may feed the
    /// machine in the middle of the drain.
    pub(crate) fn drain<A: Access, const S: usize, const P: usize>(
        &mut self,
        peer: &mut Peer<A, S, P>,
        now: Instant,
        mut then: impl FnMut(&mut Self, &mut Peer<A, S, P>, Output<'_>),
    ) {
        let mut frame: Frame = [0; MAX_FRAME + 2];
        for _ in 0..MOST_OUTPUTS {
            let output = peer.poll_output(&mut frame);
            self.see(&output);
            self.count(&output);
            if let Output::Wait(next) = output {
                assert!(
                    next.is_none_or(|at| at > now),
                    "it is {now}, and {next:?} is still due"
                );
                self.next = next;
                let Output::Wait(again) = peer.poll_output(&mut frame) else {
                    panic!("drained, and there was more")
                };
                assert_eq!(again, next, "draining again moved the deadline");
                return;
            }
            then(self, peer, output);
        }
        panic!("a drain of more than {MOST_OUTPUTS} outputs");
    }

    fn count(&mut self, output: &Output<'_>) {
        let Self { dials, sockets, .. } = self;
        if let Output::Event(event) = output {
            dials.event(event);
        }
        if !matches!(output, Output::Dial { .. }) {
            dials.settle(|id| sockets.get(&id) == Some(&Phase::Dialling));
        }
        match output {
            Output::Watch { id } => dials.watch(*id),
            Output::Dial {
                id, remote, hops, ..
            } => {
                dials.settle(|id| sockets.get(&id) == Some(&Phase::Dialling));
                dials.dial(*id, *remote, *hops);
            }
            Output::Inject(segment) => dials.inject(*segment),
            Output::Resolve { .. }
            | Output::Listen { .. }
            | Output::Unlisten { .. }
            | Output::Read { .. }
            | Output::Send { .. }
            | Output::Close { .. }
            | Output::HandOver(_)
            | Output::Event(_)
            | Output::Wait(_) => {}
        }
    }

    fn see(&mut self, output: &Output<'_>) {
        let what = format!("{output:?}");
        what.hash(&mut self.trace);
        match output {
            Output::Resolve { id } => assert!(self.resolves.insert(*id), "{what}: reused"),
            Output::Listen { id, .. } => {
                assert!(self.listeners.insert(*id, true).is_none(), "{what}: reused");
            }
            Output::Unlisten { id } => {
                assert_eq!(self.listeners.insert(*id, false), Some(true), "{what}");
            }
            Output::Dial {
                id, local, remote, ..
            } => {
                let known = self.sockets.insert(*id, Phase::Dialling);
                assert_eq!(known, None, "{what}: reused");
                assert_eq!(local.family(), remote.family(), "{what}");
                assert!(local.ip.is_unspecified(), "{what}");
            }
            Output::Read { id, exactly } => {
                assert!((1..=MAX_FRAME).contains(exactly), "{what}");
                let known = self.sockets.insert(*id, Phase::Up(Some(*exactly)));
                assert_eq!(known, Some(Phase::Up(None)), "{what}");
            }
            Output::Send { id, data } => {
                assert!(!data.is_empty(), "{what}");
                assert!(
                    matches!(self.sockets.get(id), Some(Phase::Up(_))),
                    "{what}: {:?}",
                    self.sockets.get(id)
                );
            }
            Output::Close { id, how } => {
                let known = self.sockets.insert(*id, Phase::Over);
                // Of many dials by chance the machine does not know which have
                // failed; it knows that it made them.
                let again = *how == Close::Silent && known == Some(Phase::Over);
                let dialling = known == Some(Phase::Dialling);
                self.closed.entry(*id).or_insert(dialling);
                assert!(
                    again || matches!(known, Some(Phase::Dialling | Phase::Up(_))),
                    "{what}: {known:?}"
                );
            }
            Output::HandOver(over) => {
                let known = self.sockets.insert(over.id, Phase::Over);
                assert_eq!(known, Some(Phase::Up(None)), "{what}");
                assert!(self.handed_over.insert(over.session), "{what}: twice");
            }
            Output::Event(event) => self.event(event),
            Output::Watch { .. } | Output::Inject(_) | Output::Wait(_) => {}
        }
    }

    fn event(&mut self, event: &Event) {
        if let Event::Notified { session, ask, .. } = event {
            assert!(self.begun.insert(*session), "{event:?}: twice");
            if *ask {
                self.asked.push(*session);
            }
        }
        if let Event::Verified { session, .. } = event {
            assert!(self.handed_over.contains(session), "{event:?}");
            self.verified.insert(*session);
        }
        if let Event::Failed {
            session, reason, ..
        } = event
        {
            self.failed.insert(*session, *reason);
        }
        if let Event::Verified { session, .. } | Event::Failed { session, .. } = event {
            assert!(self.ended.insert(*session), "{event:?}: ended before");
        }
    }

    pub(crate) fn in_phase(&self, wanted: impl Fn(Phase) -> bool) -> Vec<SocketId> {
        self.sockets
            .iter()
            .filter(|(_, phase)| wanted(**phase))
            .map(|(id, _)| *id)
            .collect()
    }

    /// Once more than this many sessions have a stream, the worlds went deep.
    pub(crate) fn verified(&self) -> usize {
        self.verified.len()
    }

    pub(crate) fn trace(&self) -> u64 {
        self.trace.finish()
    }

    /// After a shutdown and its drain.
    pub(crate) fn is_all_over(&self) {
        assert_eq!(self.next, None, "nothing to wait for");
        let open = self.in_phase(|phase| phase != Phase::Over);
        assert!(open.is_empty(), "still open: {open:?}");
        let listening: Vec<_> = self.listeners.iter().filter(|(_, open)| **open).collect();
        assert!(listening.is_empty(), "still listening: {listening:?}");
        let lost: Vec<_> = self.begun.difference(&self.ended).collect();
        assert!(lost.is_empty(), "neither verified nor failed: {lost:?}");
        assert_eq!(self.handed_over, self.verified, "handed over and verified");
    }
}
