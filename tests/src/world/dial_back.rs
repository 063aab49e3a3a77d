//! The server's dials to where it saw a port of a peer: what the peer's NAT lets
//! in and answers shows in what becomes of them.

use std::collections::BTreeMap;
use std::time::Duration;

use tcp_punch_proto::rendezvous::LinkInput;
use tcp_punch_proto::wire::DialBackOutcome;
use tcp_punch_proto::{Close, Endpoint, Failure, Instant};

use super::net::{Happening, Socket};
use super::peer::Stage;
use super::server::{Mail, ServerHost};

/// How long silence is waited for, as in `rt-tokio`: the SYN is sent twice.
const PATIENCE: Duration = Duration::from_millis(2_500);

/// A dial on its way, for which link, and which of its two it is.
#[derive(Copy, Clone, Debug)]
struct DialBack {
    link: Socket,
    port: u16,
    other_address: bool,
    until: Instant,
}

/// The dials that are pending.
#[derive(Debug, Default)]
pub(super) struct DialBacks(BTreeMap<Socket, DialBack>);

/// What is told to the link.
#[derive(Copy, Clone, Debug)]
pub(super) struct DialedBack {
    port: u16,
    other_address: bool,
    outcome: DialBackOutcome,
}

impl DialedBack {
    pub(super) const fn input(self) -> LinkInput<'static> {
        LinkInput::DialedBack {
            port: self.port,
            other_address: self.other_address,
            outcome: self.outcome,
        }
    }
}

impl ServerHost {
    pub(super) fn dial_back(
        &mut self,
        stage: &mut Stage<'_>,
        link: Socket,
        (port, other_address, to): (u16, bool, Endpoint),
    ) {
        let main = self.mains[0].ip;
        let mut others = self.assists.iter().map(|assist| assist.ip);
        let from = if other_address {
            others.find(|ip| *ip != main).expect("two addresses")
        } else {
            main
        };
        let dial = DialBack {
            link,
            port,
            other_address,
            until: stage.now.after(PATIENCE),
        };
        let ends = (Endpoint::new(from, 0), to);
        match stage.net.dial(stage.now, self.host, ends, None) {
            Ok(socket) => {
                self.dial_backs.0.insert(socket, dial);
            }
            Err(_) => self.tell_of(&dial, DialBackOutcome::NotTried),
        }
    }

    /// False if it is none of the dials.
    pub(super) fn is_dial_back(
        &mut self,
        stage: &mut Stage<'_>,
        socket: Socket,
        what: &Happening,
    ) -> bool {
        let Some(dial) = self.dial_backs.0.remove(&socket) else {
            return false;
        };
        let outcome = match what {
            Happening::DialFailed(Failure::Unreachable) => DialBackOutcome::Unreachable,
            Happening::DialFailed(_) => DialBackOutcome::Refused,
            Happening::Connected { .. }
            | Happening::Accepted { .. }
            | Happening::Readable
            | Happening::Ended => DialBackOutcome::Connected,
        };
        stage.net.close(stage.now, self.host, socket, Close::Reset);
        self.tell_of(&dial, outcome);
        true
    }

    /// Those that have waited long enough.
    pub(super) fn end_dial_backs(&mut self, stage: &mut Stage<'_>) {
        let is_due = |(_, dial): &(&Socket, &DialBack)| dial.until <= stage.now;
        let pending = self.dial_backs.0.iter().filter(is_due);
        let due: Vec<Socket> = pending.map(|(&socket, _)| socket).collect();
        for socket in due {
            stage.net.close(stage.now, self.host, socket, Close::Silent);
            if let Some(dial) = self.dial_backs.0.remove(&socket) {
                self.tell_of(&dial, DialBackOutcome::Silence);
            }
        }
    }

    fn tell_of(&mut self, dial: &DialBack, outcome: DialBackOutcome) {
        let told = DialedBack {
            port: dial.port,
            other_address: dial.other_address,
            outcome,
        };
        self.mail.push_back((dial.link, Mail::DialedBack(told)));
    }
}

impl DialBacks {
    pub(super) fn next_at(&self) -> Option<Instant> {
        self.0.values().map(|dial| dial.until).min()
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}
