//! What befalls a NAT while the network runs.

use std::io;
use std::thread;
use std::time::Duration;

use super::{Made, Network, Router};
use crate::lab::conntrack;

/// Nothing passes, and nothing is answered.
const DOWN: &str = "flush ruleset
table inet down {
 chain pre { type filter hook prerouting priority -400; policy drop; }
 chain out { type filter hook output priority -400; policy drop; }
}";

impl Network {
    /// Has a NAT forget every mapping and connection, as one whose table was flushed; it goes on at once.
    ///
    /// What is sent through it afterwards makes new entries, perhaps with other ports.
    ///
    /// # Errors
    /// When there is no such NAT, or the kernel does not let its table go.
    pub fn forget(&self, nat: &str) -> io::Result<()> {
        match &self.known(nat)?.made {
            Made::Kernel {
                namespace, ruleset, ..
            } => {
                // Some kinds remember in sets of their rules. Loading them anew first: what is sent in between makes
                // entries that end with the others.
                namespace.nft(ruleset)?;
                namespace.run(conntrack::flush)
            }
            Made::Box(running) => running.forget(),
        }
    }

    /// Reboots a NAT; returns when it is up again. Until then it passes nothing, and it comes back with nothing.
    ///
    /// # Errors
    /// As [`Self::forget`].
    pub fn reboot(&self, nat: &str, takes: Duration) -> io::Result<()> {
        match &self.known(nat)?.made {
            Made::Kernel { namespace, .. } => {
                namespace.nft(DOWN)?;
                thread::sleep(takes);
                self.forget(nat)
            }
            Made::Box(running) => {
                running.reboot(takes)?;
                thread::sleep(takes);
                Ok(())
            }
        }
    }

    fn known(&self, nat: &str) -> io::Result<&Router> {
        self.router(nat)
            .ok_or_else(|| io::Error::other(format!("there is no NAT {nat}")))
    }
}
