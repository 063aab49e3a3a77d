//! Has the server dial one port back, and dials it at its own outer endpoint.

use core::time::Duration;

use super::Peer;
use super::core::Core;
use super::outbox::{Action, Letter};
use super::ports::{Observed, Purpose};
use crate::addr::Endpoint;
use crate::config::Access;
use crate::id::SocketId;
use crate::io::Close;
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

    /// The dial to the own outer endpoint ended; false if it is another one.
    pub(crate) fn hairpin_ended(&mut self, core: &mut Core, id: SocketId, up: bool) -> bool {
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
            && self.hairpin_dial.is_none();
        all || now >= self.deadline
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        earlier(Some(self.deadline), self.hairpin_dial.map(|(_, at)| at))
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

    pub(super) fn hairpin_ended(&mut self, id: SocketId, up: bool) -> bool {
        let Self { core, probe, .. } = self;
        probe
            .as_mut()
            .is_some_and(|probe| probe.hairpin_ended(core, id, up))
    }

    /// Does one thing for the NAT report; false if there is nothing to do.
    pub(super) fn step_probe(&mut self) -> bool {
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
            self.report = NatReport {
                translated: self.main.is_translated(),
                mapping,
                mapping_from_two_addresses,
                allocation,
                preserves_port: self.main.preserves_port(),
                filtering,
                early_syn,
                hairpin: probe.hairpin,
                ..NatReport::default()
            };
            self.probe = None;
            self.ports.drop_probe(&mut self.core);
            self.core.out.push(Action::NatLearnt);
            return true;
        }
        // Once: a port that cannot be observed leaves the rest not tested.
        !begun && probe.wants_port() && self.ports.bind(&mut self.core, Purpose::Probe)
    }

    /// What was begun under an older registration comes to nothing.
    pub(super) fn abandon_probe(&mut self) {
        if let Some(mut probe) = self.probe.take() {
            probe.give_hairpin_up(&mut self.core, true);
            self.ports.drop_probe(&mut self.core);
        }
    }
}
