//! Has the server dial one port back, and dials it at its own outer endpoint.

use core::time::Duration;

use super::core::Core;
use super::outbox::{Action, Letter};
use crate::addr::Endpoint;
use crate::id::SocketId;
use crate::io::Close;
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
