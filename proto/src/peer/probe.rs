//! Has the server dial one port back, and dials it at its own outer endpoint.

mod trace;

use core::net::IpAddr;
use core::time::Duration;

use self::trace::Trace;
use super::Peer;
use super::core::Core;
use super::outbox::{Action, Letter};
use super::ports::{Observed, Purpose};
use crate::addr::Endpoint;
use crate::config::Access;
use crate::id::SocketId;
use crate::io::{Close, Failure, Hops};
use crate::nat::{NatReport, classify_dial_backs};
use crate::time::{Instant, earlier};
use crate::wire::DialBackOutcome;

/// Time for all of it, from the registration: binding and observing the port
/// takes three round trips, the server's dials 3 s at most.
const DEADLINE: Duration = Duration::from_secs(5);

/// Time for a dial to the own outer endpoint: it goes no farther than the NAT.
const HAIRPIN_DEADLINE: Duration = Duration::from_secs(1);

/// What was found out so far.
#[derive(Debug)]
pub(crate) struct Probe {
    deadline: Instant,
    bound: bool,
    port: Option<u16>,
    pub(crate) same_address: Option<DialBackOutcome>,
    pub(crate) other_address: Option<DialBackOutcome>,
    pub(crate) hairpin: Option<bool>,
    hairpin_dial: Option<(SocketId, Instant)>,
    trace: Option<Trace>,
    levels: Option<u8>,
}

impl Probe {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            deadline: now.after(DEADLINE),
            bound: false,
            port: None,
            same_address: None,
            other_address: None,
            hairpin: None,
            hairpin_dial: None,
            trace: None,
            levels: None,
        }
    }

    /// The port is there and was seen at `mapped`.
    pub(crate) fn begin(
        &mut self,
        core: &mut Core,
        port: u16,
        mapped: Endpoint,
        main_port: u16,
        translated: bool,
    ) {
        self.port = Some(port);
        core.tell_server(Letter::Probe { port });
        if translated {
            let id = core.ids.socket();
            self.hairpin_dial = Some((id, core.now.after(HAIRPIN_DEADLINE)));
            core.out.push(Action::Dial {
                id,
                local_port: main_port,
                remote: mapped,
                hops: Hops::Default.into(),
            });
        }
    }

    pub(crate) fn probed(&mut self, port: u16, other_address: bool, outcome: DialBackOutcome) {
        if self.port == Some(port) {
            let result = if other_address {
                &mut self.other_address
            } else {
                &mut self.same_address
            };
            result.get_or_insert(outcome);
        }
    }

    /// A dial to the own outer endpoint, or one that counts hops, ended; false if
    /// it is another one.
    pub(crate) fn ended(&mut self, core: &mut Core, id: SocketId, up: bool) -> bool {
        if self
            .trace
            .as_mut()
            .is_some_and(|trace| trace.ended(core, id, up))
        {
            return true;
        }
        let ours = self.hairpin_dial.take_if(|(dial, _)| *dial == id).is_some();
        if ours {
            self.hairpin = Some(up);
            if up {
                core.out.close(id, Close::Reset);
            }
        }
        ours
    }

    /// Whether its port is still to be bound; true once.
    pub(crate) fn wants_port(&mut self) -> bool {
        !core::mem::replace(&mut self.bound, true)
    }

    /// Whether its time is over.
    pub(crate) fn is_late(&self, now: Instant) -> bool {
        now >= self.deadline
    }

    /// Whether nothing more is to come.
    pub(crate) fn is_done(&self, now: Instant) -> bool {
        let all = self.same_address.is_some()
            && self.other_address.is_some()
            && self.hairpin_dial.is_none()
            && self.trace.as_ref().is_none_or(Trace::is_over);
        all || now >= self.deadline
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        let hairpin = self.hairpin_dial.map(|(_, at)| at);
        let trace = self.trace.as_ref().and_then(Trace::deadline);
        earlier(Some(self.deadline), earlier(hairpin, trace))
    }

    /// Gives the dial to the own outer endpoint up if it is time, or at the end;
    /// false if there is nothing to do.
    pub(crate) fn give_hairpin_up(&mut self, core: &mut Core, over: bool) -> bool {
        let now = core.now;
        match self.hairpin_dial.take_if(|(_, at)| over || now >= *at) {
            Some((id, _)) => {
                core.out.close(id, Close::Silent);
                self.hairpin = Some(false);
                true
            }
            None => false,
        }
    }
}

impl<A: Access, const SESSIONS: usize, const PORTS: usize> Peer<A, SESSIONS, PORTS> {
    pub(super) fn observed(&mut self, port: u16, assist: u8, mapped: Endpoint) {
        let Some(lease) = self.main.lease.as_ref() else {
            return;
        };
        let server_ip = self.main.server_endpoint().map(|at| at.ip);
        match self
            .ports
            .observed(&mut self.core, port, assist, mapped, lease, server_ip)
        {
            Observed::Nothing => {}
            Observed::Mapping(mapping) => self.core.out.push(Action::MappingLearnt(mapping)),
            Observed::Probe { port, mapped } => {
                let translated = self.main.is_translated() == Some(true);
                let main_port = self.main.port;
                match &mut self.probe {
                    Some(probe) => probe.begin(&mut self.core, port, mapped, main_port, translated),
                    None => self.ports.drop_probe(&mut self.core),
                }
            }
        }
    }

    /// A dial ended; false if the probe did not make it.
    pub(super) fn probe_ended(&mut self, id: SocketId, up: bool) -> bool {
        let Self { core, probe, .. } = self;
        probe
            .as_mut()
            .is_some_and(|probe| probe.ended(core, id, up))
    }

    /// A router dropped a dial that counts hops.
    pub(super) fn expired(&mut self, id: SocketId, hop: IpAddr) {
        let mapped = self.main.lease.as_ref().map(|lease| lease.mapped.ip);
        let found = self
            .probe
            .as_mut()
            .and_then(|probe| Some((probe.trace.as_mut()?.expired(id, hop, mapped)?, probe)));
        match found {
            Some((Some(found), probe)) => {
                probe.levels = found.levels;
                let able = self.core.config.runtime.low_ttl;
                if able && self.core.config.hops.is_none() && self.core.hops != Some(found.hops) {
                    self.core.hops = Some(found.hops);
                    // Not only at the end: a session may begin any time.
                    self.core.tell_server(Letter::Report);
                }
            }
            Some((None, _)) => {}
            None => self.dial_failed(id, Failure::Unreachable),
        }
    }

    /// A registration is there: what is known of the NAT counts for as long as
    /// the outer address is the same, and is looked at again.
    pub(super) fn begin_probe(&mut self, mapped_before: Option<IpAddr>) {
        self.abandon_probe();
        let mapped = self.main.lease.as_ref().map(|lease| lease.mapped);
        if mapped.map(|at| at.ip) != mapped_before {
            self.report = NatReport {
                revision: self.report.revision,
                ..NatReport::NOT_TESTED
            };
            self.core.hops = self
                .core
                .config
                .hops
                .filter(|_| self.core.config.runtime.low_ttl);
        }
        self.core.tell_server(Letter::Report);
        if !self.core.config.probe_nat {
            return;
        }
        let mut probe = Probe::new(self.core.now);
        // Without a NAT there is nothing to count.
        if self.core.config.runtime.trace && self.main.is_translated() == Some(true) {
            probe.trace = Some(Trace::new());
        }
        self.probe = Some(probe);
    }

    /// Where dials that count hops go.
    fn trace_to(&self) -> Option<Endpoint> {
        let lease = self.main.lease.as_ref()?;
        let rules = lease.dial_rules(&self.core, false);
        let fits =
            |at: &&Endpoint| at.family() == lease.mapped.family() && rules.allow_assist(**at);
        lease.assists.iter().find(fits).copied()
    }

    /// The report is complete: it is told where it differs from what was known.
    fn learn(&mut self, mut report: NatReport) {
        let known = NatReport {
            seen: 0,
            revision: 0,
            ..self.report
        };
        let same = self.report.seen > 0 && known == report;
        report.seen = if same {
            self.report.seen.saturating_add(1)
        } else {
            1
        };
        report.revision = if same {
            self.report.revision
        } else {
            self.report.revision.wrapping_add(1)
        };
        self.report = report;
        self.core.tell_server(Letter::Report);
        self.core.out.push(Action::NatLearnt);
    }

    /// Does one thing for the NAT report; false if there is nothing to do.
    pub(super) fn step_probe(&mut self) -> bool {
        let to = self.trace_to();
        let Some(probe) = &mut self.probe else {
            return false;
        };
        let now = self.core.now;
        let begun = self.ports.has_probe();
        let is_over = probe.is_done(now) && (self.ports.is_compared() || probe.is_late(now));
        if probe.give_hairpin_up(&mut self.core, is_over) {
            return true;
        }
        if is_over {
            let (filtering, early_syn) =
                classify_dial_backs(probe.same_address, probe.other_address);
            let (mapping, allocation, mapping_from_two_addresses) = self.ports.mapping();
            let report = NatReport {
                translated: self.main.is_translated(),
                mapping,
                mapping_from_two_addresses,
                allocation,
                preserves_port: self.main.preserves_port(),
                filtering,
                early_syn,
                hairpin: probe.hairpin,
                levels: probe.levels,
                seen: 0,
                revision: 0,
            };
            self.abandon_probe();
            self.learn(report);
            return true;
        }
        if let Some(trace) = &mut probe.trace
            && trace.fire(&mut self.core, to)
        {
            return true;
        }
        // Once: a port that cannot be observed leaves the rest not tested.
        !begun && probe.wants_port() && self.ports.bind(&mut self.core, Purpose::Probe)
    }

    /// What was begun under an older registration comes to nothing.
    pub(super) fn abandon_probe(&mut self) {
        if let Some(mut probe) = self.probe.take() {
            probe.give_hairpin_up(&mut self.core, true);
            if let Some(trace) = &mut probe.trace {
                trace.give_up(&mut self.core);
            }
            self.ports.drop_probe(&mut self.core);
        }
    }
}
