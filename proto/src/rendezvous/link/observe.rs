//! What assist links and dial-backs show of the peer's ports.

use core::time::Duration;

use subtle::ConstantTimeEq;

use super::{Action, Letter, Link, State};
use crate::plan::Abilities;
use crate::rendezvous::{Observation, ServerConfig};
use crate::wire::{DialBackOutcome, Report, assist_mac};

/// A peer is dialled back so often at most.
const PROBE_PAUSE: Duration = Duration::from_secs(2);

impl Link {
    /// Our peer asks to be dialled back: only where it was seen itself, and not
    /// often, so that it cannot use us against somebody else.
    pub(super) fn probe(&mut self, port: u16) {
        let to = self
            .ports
            .seen_at(port)
            .filter(|_| self.now >= self.probe_at);
        self.probing = Some(port);
        for other_address in [false, true] {
            self.push(match to {
                Some(to) => Action::DialBack {
                    port,
                    other_address,
                    to,
                },
                None => Action::Send(Letter::Probed {
                    port,
                    other_address,
                    outcome: DialBackOutcome::NotTried,
                }),
            });
        }
        if to.is_some() {
            self.probe_at = self.now.after(PROBE_PAUSE);
        }
    }

    /// What our peer found out about its NAT.
    pub(super) const fn reported(&mut self, config: &ServerConfig, told: &Report<'_>) {
        self.report = told.report;
        self.abilities = Abilities {
            spoof: config.spoof,
            ..told.abilities
        };
    }

    pub(super) fn observed(&mut self, config: &ServerConfig, seen: &Observation) {
        let mac = assist_mac(&self.assist_secret, self.handle, seen.port, seen.sequence);
        let genuine = bool::from(mac.as_slice().ct_eq(&seen.mac));
        if self.state == State::Registered
            && genuine
            && self
                .ports
                .observe(self.now, seen, same_address(config, seen.assist))
        {
            let Observation {
                port,
                assist,
                mapped,
                ..
            } = *seen;
            self.push(Action::Send(Letter::Observed {
                port,
                assist,
                mapped,
            }));
        }
    }
}

/// Whether an assist endpoint is at the address of the first one, which is taken
/// for that of the main ports.
fn same_address(config: &ServerConfig, assist: u8) -> bool {
    let at = |index: usize| config.assists.get(index).map(|assist| assist.ip);
    at(usize::from(assist)) == at(0)
}
