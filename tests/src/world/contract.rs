//! The contract's rules, checked at every step of every machine: what a runtime
//! may rely on and never has to handle.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use tcp_punch_proto::wire::MAX_FRAME;
use tcp_punch_proto::{Event, Instant, ListenerId, Output, ResolveId, SessionId, SocketId};

#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Phase {
    Dialling,
    Up {
        reading: bool,
    },
    /// Closed by the machine, handed over, or reported as ended.
    Over,
}

/// A machine has no room to remember every port that it used; so many at least.
const SPENT: usize = 6;

/// Watches one peer machine.
#[derive(Debug, Default)]
pub(crate) struct Contract {
    sockets: BTreeMap<SocketId, Phase>,
    /// Dials that came to nothing.
    failed: BTreeSet<SocketId>,
    listeners: BTreeSet<ListenerId>,
    unlistened: BTreeSet<ListenerId>,
    resolves: BTreeSet<ResolveId>,
    handed_over: BTreeSet<SessionId>,
    ended: BTreeSet<SessionId>,
    requested: BTreeSet<SessionId>,
    /// Ports that requests were punched from last: for which session, and when.
    spent: VecDeque<(u16, SessionId, Instant)>,
}

impl Contract {
    /// Checks an output before it is carried out.
    pub(crate) fn on_output(&mut self, now: Instant, output: &Output<'_>) {
        match output {
            Output::Resolve { id } => assert!(self.resolves.insert(*id), "{id:?} is reused"),
            Output::Listen { id, local } => {
                assert!(self.listeners.insert(*id), "{id:?} is reused");
                assert!(
                    local.ip.is_unspecified(),
                    "{output:?}: the address is not ours to choose"
                );
            }
            Output::Unlisten { id } => {
                assert!(self.listeners.contains(id), "{id:?} was never a listener");
                assert!(self.unlistened.insert(*id), "{id:?} is closed twice");
            }
            Output::Dial {
                id, local, remote, ..
            } => {
                self.new_socket(*id, Phase::Dialling);
                assert!(
                    local.ip.is_unspecified(),
                    "{output:?}: the address is not ours to choose"
                );
                assert_eq!(local.family(), remote.family(), "{output:?}");
                assert!(
                    remote.port != 0 && !remote.ip.is_unspecified(),
                    "{output:?}"
                );
            }
            Output::Read { id, exactly } => {
                let what = format!("{output:?}");
                assert!((1..=MAX_FRAME).contains(exactly), "{what}");
                match self.phase(*id) {
                    Phase::Up { reading } => assert!(!*reading, "{what} while one is outstanding"),
                    Phase::Dialling => panic!("{what} before it is connected"),
                    Phase::Over => panic!("{what} after its end"),
                }
                *self.phase(*id) = Phase::Up { reading: true };
            }
            Output::Send { id, data } => {
                assert!(!data.is_empty(), "{id:?}: an empty send");
                match self.phase(*id) {
                    Phase::Up { .. } => {}
                    Phase::Dialling => panic!("{output:?} before it is connected"),
                    Phase::Over => panic!("{output:?} after its end"),
                }
            }
            // No host declares raw segments.
            Output::Watch { .. } | Output::Inject(_) => panic!("{output:?} was not declared"),
            Output::Close { id, how } => {
                // Of many dials by chance the machine does not know which have
                // failed.
                let again = *how == tcp_punch_proto::Close::Silent;
                assert!(
                    again || *self.phase(*id) != Phase::Over,
                    "{output:?} after its end"
                );
                *self.phase(*id) = Phase::Over;
            }
            Output::HandOver(over) => {
                let (id, session) = (over.id, over.session);
                assert_eq!(
                    *self.phase(id),
                    Phase::Up { reading: false },
                    "{output:?}: an outstanding read would swallow the application's bytes"
                );
                *self.phase(id) = Phase::Over;
                assert!(
                    self.handed_over.insert(session),
                    "{session} is handed over twice"
                );
            }
            Output::Event(event) => self.on_event(now, event),
            Output::Wait(_) => {}
        }
    }

    /// A dial succeeded, or a listener accepted this socket.
    pub(crate) fn is_up(&mut self, id: SocketId) {
        *self.phase(id) = Phase::Up { reading: false };
    }

    /// An accepted socket's fresh id.
    pub(crate) fn accepted(&mut self, id: SocketId) {
        self.new_socket(id, Phase::Up { reading: false });
    }

    /// The read that was outstanding has been answered.
    pub(crate) fn was_read(&mut self, id: SocketId) {
        self.is_up(id);
    }

    /// The machine has been told that the dial or the stream is no more.
    pub(crate) fn is_over(&mut self, id: SocketId) {
        *self.phase(id) = Phase::Over;
    }

    /// The machine has been told that the dial failed.
    pub(crate) fn has_failed(&mut self, id: SocketId) {
        self.is_over(id);
        self.failed.insert(id);
    }

    /// After a drain: a second one must bring nothing, and what was due has been
    /// done.
    pub(crate) fn drained(now: Instant, first: Option<Instant>, second: &Output<'_>) {
        let Output::Wait(again) = second else {
            panic!("drained, and then: {second:?}")
        };
        assert_eq!(*again, first, "draining again moved the deadline");
        if let Some(deadline) = first {
            assert!(deadline > now, "it is {now}, and {deadline} is still due");
        }
    }

    /// One of the sockets that are no more, but for dials that failed: they have
    /// had their one outcome, and of many in a row the machine remembers none.
    pub(crate) fn some_that_is_over(&self, pick: u64) -> Option<SocketId> {
        let over =
            |entry: &(&SocketId, &Phase)| *entry.1 == Phase::Over && !self.failed.contains(entry.0);
        let count = self.sockets.iter().filter(over).count() as u64;
        let index = usize::try_from(pick.checked_rem(count)?).ok()?;
        self.sockets
            .iter()
            .filter(over)
            .nth(index)
            .map(|(id, _)| *id)
    }

    fn on_event(&mut self, now: Instant, event: &Event) {
        if let Event::Requested { session, .. } = event {
            self.requested.insert(*session);
        }
        // DESIGN.md section 5, "Ports": no pair inherits the NAT state of an old
        // one.
        if let Event::Dialling {
            session,
            local_port,
            ..
        } = event
            && self.requested.contains(session)
        {
            for (port, last, at) in &self.spent {
                let fresh = port != local_port
                    || last == session
                    || now.since(*at) >= Duration::from_secs(240);
                assert!(fresh, "port {port} of {last} is used again for {session}");
            }
            self.spent.retain(|(port, ..)| port != local_port);
            self.spent.push_front((*local_port, *session, now));
            self.spent.truncate(SPENT);
        }
        if let Event::Verified { session, .. } = event {
            assert!(
                self.handed_over.contains(session),
                "{session} is verified, not handed over"
            );
        }
        if let Event::Verified { session, .. } | Event::Failed { session, .. } = event {
            assert!(
                self.ended.insert(*session),
                "{session} ends twice: {event:?}"
            );
        }
        if let Event::Failed { session, .. } = event {
            assert!(
                !self.handed_over.contains(session),
                "{session} failed after its hand-over"
            );
        }
    }

    fn new_socket(&mut self, id: SocketId, phase: Phase) {
        assert!(self.sockets.insert(id, phase).is_none(), "{id:?} is reused");
    }

    fn phase(&mut self, id: SocketId) -> &mut Phase {
        self.sockets
            .get_mut(&id)
            .unwrap_or_else(|| panic!("{id:?} was never a socket"))
    }
}
