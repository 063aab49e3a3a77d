//! Local ports: the main link's, and fresh ones that are bound, observed by the
//! server and kept ready ahead of the sessions that will punch from them.

mod assist;

use core::time::Duration;

use heapless::{Deque, Vec};

use super::core::Core;
use super::link::Lease;
use super::outbox::{Action, Letter};
use crate::addr::{Endpoint, Family};
use crate::event::Mapping;
use crate::id::{ListenerId, SocketId};
use crate::io::{Close, Failure};
use crate::nat::{Allocation, Contact};
use crate::time::{Instant, earlier};

/// Assist links that the main port is compared by.
const COMPARED: usize = 2;

/// Assist links of one port: two to tell the main port's mapping from, one for
/// the other address family.
const MAX_ASSIST_LINKS: usize = 3;

/// Time for binding a port and for its observation to come back.
const OBSERVE_DEADLINE: Duration = Duration::from_secs(5);

/// For so long what was seen of a port twice tells where it comes out next.
const COMPARED_FRESH: Duration = Duration::from_secs(1);

/// Pause after a port could not be bound or observed.
const REFILL_PAUSE: Duration = Duration::from_secs(1);

/// Pause after the host gave a port that is not to be used yet.
const USED_PAUSE: Duration = Duration::from_millis(20);

/// A port is not used for another session so soon: NATs keep what they know of
/// a closed connection for up to 4 min (RFC 5382 REQ-5, transitory idle).
const REUSE_AFTER: Duration = Duration::from_secs(240);

/// Unanswered keep-alives after which an assist link is dead.
const MAX_UNANSWERED: u8 = 2;

/// What a port is for.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Its listener is being made.
    Binding,
    /// Its endpoint is on its way from the server.
    Observing,
    /// Ready for a session.
    Spare,
    /// A session punches from it.
    InUse,
    /// Seen once by the server, and now once more, somewhere else.
    Comparing,
    /// Seen twice just now: ready for a session.
    Compared,
    /// The server dials it back.
    Probing,
    /// The main link's port.
    Main,
    /// Was the main link's port; sessions may still punch from it.
    Retired,
}

/// One local port.
#[derive(Debug)]
pub(crate) struct Port {
    /// 0 while it is being bound.
    pub(crate) local: u16,
    pub(crate) stage: Stage,
    /// IPv4 and IPv6.
    listeners: [Option<ListenerId>; 2],
    links: Vec<AssistLink, MAX_ASSIST_LINKS>,
    /// Binding and observing are given up then.
    deadline: Option<Instant>,
    purpose: Purpose,
}

impl Port {
    /// Whether it is ready for any session, or will be.
    fn is_coming(&self) -> bool {
        self.purpose == Purpose::Spare
            && matches!(self.stage, Stage::Binding | Stage::Observing | Stage::Spare)
    }
}

/// What a port is bound for.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    Main,
    Spare,
    /// For one session, which needs to know where it would come out next.
    Compared,
    Probe,
}

#[derive(Debug)]
struct AssistLink {
    socket: SocketId,
    assist: u8,
    family: Family,
    up: bool,
    observed: bool,
    keep_alive_at: Option<Instant>,
    unanswered: u8,
    reading_body: bool,
}

/// The ports of a peer.
#[derive(Debug)]
pub(crate) struct Ports<const N: usize> {
    list: Vec<Port, N>,
    /// Ports of sessions that are over, the last `N` of them: the host picks
    /// among tens of thousands, so one that is forgotten too early is rare.
    used: Deque<(u16, Instant), N>,
    refill_at: Instant,
    next_sequence: u32,
    /// What assist links showed of the main port's mapping.
    contacts: Vec<(u8, Contact), COMPARED>,
    judged: (Mapping, Allocation),
}

/// What came of an observation.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Observed {
    Nothing,
    /// The judgement of the main port's mapping changed.
    Mapping(Mapping),
    /// This port can be dialled back, there.
    Probe {
        port: u16,
        mapped: Endpoint,
    },
}

/// What came of something that happened to a port.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum PortNews {
    Nothing,
    /// The main port is bound here.
    MainBound(u16),
    /// The main port cannot be bound.
    MainFailed(Failure),
}

impl<const N: usize> Ports<N> {
    pub(crate) const fn new() -> Self {
        Self {
            list: Vec::new(),
            used: Deque::new(),
            refill_at: Instant::ZERO,
            next_sequence: 0,
            contacts: Vec::new(),
            judged: (Mapping::Unknown, Allocation::Unknown),
        }
    }

    /// Binds a port of the host's choice.
    pub(crate) fn bind(&mut self, core: &mut Core, purpose: Purpose) -> bool {
        let binding = |port: &Port| port.purpose == purpose && port.stage == Stage::Binding;
        if purpose != Purpose::Spare
            && let Some(index) = self.list.iter().position(binding)
        {
            // An earlier attempt gave up on it; its outcome is not to be mixed
            // up with that of this one.
            self.drop_at(core, index);
        }
        if purpose == Purpose::Compared
            && self.list.is_full()
            && let Some(index) = self.list.iter().position(|port| port.stage == Stage::Spare)
        {
            // What a session waits for goes before what one might want.
            self.drop_at(core, index);
        }
        let id = core.ids.listener();
        let port = Port {
            local: 0,
            stage: Stage::Binding,
            listeners: [Some(id), None],
            links: Vec::new(),
            deadline: Some(core.now.after(OBSERVE_DEADLINE)),
            purpose,
        };
        if self.list.push(port).is_err() {
            return false;
        }
        core.out.push(Action::Listen {
            id,
            local: Endpoint::unspecified(Family::V4, 0),
        });
        true
    }

    fn by_listener(&self, id: ListenerId) -> Option<usize> {
        self.list
            .iter()
            .position(|port| port.listeners.contains(&Some(id)))
    }

    /// The local port of a listener.
    pub(crate) fn port_of(&self, id: ListenerId) -> Option<u16> {
        self.by_listener(id)
            .and_then(|index| self.list.get(index))
            .map(|port| port.local)
    }

    pub(crate) fn listening(
        &mut self,
        core: &mut Core,
        id: ListenerId,
        local: Endpoint,
        lease: Option<&Lease>,
    ) -> PortNews {
        let Some(index) = self.by_listener(id) else {
            // Nobody wants it any more; the runtime was told to close it.
            core.late = core.late.saturating_add(1);
            return PortNews::Nothing;
        };
        let now = core.now;
        while self
            .used
            .front()
            .is_some_and(|(_, at)| now.since(*at) >= REUSE_AFTER)
        {
            self.used.pop_front();
        }
        let used = self.used.iter().any(|(port, _)| *port == local.port);
        let Some(port) = self.list.get_mut(index) else {
            return PortNews::Nothing;
        };
        if port.stage != Stage::Binding {
            return PortNews::Nothing;
        }
        if used && port.purpose != Purpose::Main {
            // The host gave a port back that is too fresh in the NAT's memory.
            self.drop_at(core, index);
            self.refill_at = now.after(USED_PAUSE);
            return PortNews::Nothing;
        }
        port.local = local.port;
        if core.has_family(Family::V6) {
            let id = core.ids.listener();
            port.listeners[1] = Some(id);
            core.out.push(Action::Listen {
                id,
                local: Endpoint::unspecified(Family::V6, local.port),
            });
        }
        if port.purpose == Purpose::Main {
            port.stage = Stage::Main;
            port.deadline = None;
            return PortNews::MainBound(local.port);
        }
        port.stage = Stage::Observing;
        if let Some(lease) = lease {
            self.observe(core, index, lease);
        }
        PortNews::Nothing
    }

    pub(crate) fn listen_failed(
        &mut self,
        core: &mut Core,
        id: ListenerId,
        failure: Failure,
    ) -> PortNews {
        let Some(index) = self.by_listener(id) else {
            return PortNews::Nothing;
        };
        let Some(port) = self.list.get_mut(index) else {
            return PortNews::Nothing;
        };
        let [v4, v6] = &mut port.listeners;
        if *v6 == Some(id) {
            // One family will have to do.
            *v6 = None;
            return PortNews::Nothing;
        }
        *v4 = None;
        let main = port.purpose == Purpose::Main;
        self.drop_at(core, index);
        self.refill_at = core.now.after(REFILL_PAUSE);
        if main {
            PortNews::MainFailed(failure)
        } else {
            PortNews::Nothing
        }
    }

    /// A registration is there, or there anew: the main port is compared, and
    /// what was observed under an older one is observed again.
    pub(crate) fn registered(&mut self, core: &mut Core, lease: &Lease) {
        self.contacts.clear();
        self.judged = (Mapping::Unknown, Allocation::Unknown);
        for index in 0..self.list.len() {
            let Some(port) = self.list.get_mut(index) else {
                continue;
            };
            match port.stage {
                Stage::Main => {
                    for link in &port.links {
                        core.out.close(link.socket, Close::Reset);
                    }
                    port.links.clear();
                    self.observe(core, index, lease);
                }
                Stage::Observing | Stage::Spare => {
                    // What the older registration saw counts for nothing: the
                    // port is given up by its deadline, and a fresh one comes.
                    port.stage = Stage::Observing;
                    port.deadline = Some(core.now);
                }
                Stage::Binding | Stage::InUse | Stage::Retired => {}
                Stage::Probing | Stage::Comparing | Stage::Compared => {
                    port.deadline = Some(core.now);
                }
            }
        }
        self.refill_at = core.now;
    }

    /// What is known of the main port's mapping, and whether it was seen from
    /// two addresses.
    pub(crate) fn mapping(&self) -> (Mapping, Allocation, bool) {
        let far = self.contacts.iter().any(|(_, seen)| !seen.same_address);
        (self.judged.0, self.judged.1, far)
    }

    /// Whether all that compares the main port has come back.
    pub(crate) fn is_compared(&self) -> bool {
        let main = self.list.iter().find(|port| port.stage == Stage::Main);
        main.is_none_or(|port| port.links.iter().all(|link| link.observed))
    }

    /// Closes the port that was dialled back, if there is one.
    pub(crate) fn drop_probe(&mut self, core: &mut Core) {
        if let Some(index) = self
            .list
            .iter()
            .position(|port| port.purpose == Purpose::Probe)
        {
            self.drop_at(core, index);
        }
    }

    /// Whether a port for dialling back is there or on its way.
    pub(crate) fn has_probe(&self) -> bool {
        self.list.iter().any(|port| port.purpose == Purpose::Probe)
    }

    /// How many ports are ready.
    pub(crate) fn spares(&self) -> usize {
        self.list
            .iter()
            .filter(|port| port.stage == Stage::Spare)
            .count()
    }

    /// Takes up to `ports.capacity()` ready ports for a session.
    pub(crate) fn take<const K: usize>(&mut self) -> Vec<u16, K> {
        let spares = self
            .list
            .iter_mut()
            .filter(|port| port.stage == Stage::Spare)
            .take(K);
        spares
            .map(|port| {
                port.stage = Stage::InUse;
                port.local
            })
            .collect()
    }

    /// Takes the port that was seen twice just now.
    pub(crate) fn take_compared(&mut self) -> Option<u16> {
        let ready = |port: &&mut Port| port.stage == Stage::Compared;
        let port = self.list.iter_mut().find(ready)?;
        port.stage = Stage::InUse;
        port.deadline = None;
        Some(port.local)
    }

    /// Binds a port that is to be seen twice, unless one is on its way or the last
    /// one failed a moment ago; true if one was begun.
    pub(crate) fn begin_compare(&mut self, core: &mut Core) -> bool {
        let on_its_way =
            |port: &Port| port.purpose == Purpose::Compared && port.stage != Stage::InUse;
        core.now >= self.refill_at
            && !self.list.iter().any(on_its_way)
            && self.bind(core, Purpose::Compared)
    }

    /// When the pause after a failure is over.
    pub(crate) fn compare_at(&self, now: Instant) -> Option<Instant> {
        (self.refill_at > now).then_some(self.refill_at)
    }

    /// A session is done with its port.
    pub(crate) fn release(&mut self, core: &mut Core, local: u16) {
        let in_use = |port: &Port| port.local == local && port.stage == Stage::InUse;
        if let Some(index) = self.list.iter().position(in_use) {
            self.drop_at(core, index);
            if self.used.is_full() {
                self.used.pop_front();
            }
            // Room was just made.
            let _ = self.used.push_back((local, core.now));
        }
    }

    /// The main link moves to another port; what punches from this one may end
    /// in peace.
    pub(crate) fn retire(&mut self, local: u16) {
        for port in &mut self.list {
            if port.stage == Stage::Main && port.local == local {
                port.stage = Stage::Retired;
                port.purpose = Purpose::Spare;
            }
        }
    }

    /// Closes one port that nothing punches from any more; false if there is
    /// none.
    pub(crate) fn drop_retired(
        &mut self,
        core: &mut Core,
        still_used: impl Fn(u16) -> bool,
    ) -> bool {
        let done = |port: &Port| port.stage == Stage::Retired && !still_used(port.local);
        match self.list.iter().position(done) {
            Some(index) => {
                self.drop_at(core, index);
                true
            }
            None => false,
        }
    }

    /// Closes one port, whatever it is for; false if there is none left.
    pub(crate) fn drop_any(&mut self, core: &mut Core) -> bool {
        if self.list.is_empty() {
            return false;
        }
        self.drop_at(core, 0);
        true
    }

    fn drop_at(&mut self, core: &mut Core, index: usize) {
        if index >= self.list.len() {
            return;
        }
        let port = self.list.swap_remove(index);
        for link in &port.links {
            core.out.close(link.socket, Close::Reset);
        }
        for id in port.listeners.into_iter().flatten() {
            core.out.push(Action::Unlisten(id));
        }
    }

    /// Keeps `want` ports ready or on their way; true if one was begun.
    pub(crate) fn refill(&mut self, core: &mut Core, want: usize) -> bool {
        core.now >= self.refill_at && self.is_short(want) && self.bind(core, Purpose::Spare)
    }

    /// Closes one port that is ready or on its way, if there are more than
    /// `want`; false if there are not.
    pub(crate) fn drop_surplus(&mut self, core: &mut Core, want: usize) -> bool {
        let ports = self.list.iter().enumerate();
        let mut coming = ports.filter(|(_, port)| port.is_coming());
        match coming.nth(want).map(|(index, _)| index) {
            Some(index) => {
                self.drop_at(core, index);
                true
            }
            None => false,
        }
    }

    /// Whether fewer than `want` ports are ready or on their way.
    fn is_short(&self, want: usize) -> bool {
        self.list.iter().filter(|port| port.is_coming()).count() < want
    }

    /// When a refill that is wanted may begin.
    pub(crate) fn refill_at(&self, now: Instant, want: usize) -> Option<Instant> {
        let short = self.is_short(want) && !self.list.is_full();
        (short && self.refill_at > now).then_some(self.refill_at)
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.list.iter().fold(None, |next, port| {
            let links = port.links.iter().filter_map(|link| link.keep_alive_at);
            links.fold(earlier(next, port.deadline), |next, at| {
                earlier(next, Some(at))
            })
        })
    }

    /// Does one thing that is due.
    pub(crate) fn fire(&mut self, core: &mut Core, lease: Option<&Lease>) -> Option<PortNews> {
        let now = core.now;
        if let Some(index) = self
            .list
            .iter()
            .position(|port| port.deadline.is_some_and(|at| now >= at))
        {
            let main = self
                .list
                .get(index)
                .is_some_and(|port| port.purpose == Purpose::Main);
            self.drop_at(core, index);
            self.refill_at = self.refill_at.max(now);
            return Some(if main {
                PortNews::MainFailed(Failure::TimedOut)
            } else {
                PortNews::Nothing
            });
        }
        let due = |link: &&mut AssistLink| link.keep_alive_at.is_some_and(|at| now >= at);
        let link = self
            .list
            .iter_mut()
            .flat_map(|port| &mut port.links)
            .find(due)?;
        let id = link.socket;
        if link.unanswered >= MAX_UNANSWERED || lease.is_none() {
            core.out.close(id, Close::Reset);
            self.ended(core, id);
        } else {
            link.unanswered = link.unanswered.saturating_add(1);
            let interval = lease.map_or(Duration::from_secs(15), |lease| lease.keep_alive);
            let pause = core.keep_alive_pause(interval);
            link.keep_alive_at = Some(now.after(pause));
            core.out.send(id, Letter::AssistKeepAlive);
        }
        Some(PortNews::Nothing)
    }
}
