//! Building with boxes: NATs that run in this process, and what is behind them.

use std::io;
use std::sync::atomic::Ordering;

use super::build::Builder;
use super::{Made, Outer, Router};
use crate::lab::boxes::RunningBox;
use crate::lab::line::Line;
use crate::lab::netlink::Via;
use crate::lab::netns::Namespace;
use crate::lab::topology::{Addresses, Lan, prefixes, public};
use crate::lab::wan::{Attachment, Prefix};
use crate::natbox::{self, Config};

impl Builder {
    /// A NAT that is a box.
    pub(super) fn boxed(
        &mut self,
        name: &str,
        config: Config,
        outer: Outer,
        home: bool,
    ) -> io::Result<()> {
        let number = 100 + self.routers.len() as u8;
        let (address, line) = self.outer_line(outer, number)?;
        self.lans += 1;
        let lan = Lan::new(self.site(outer), self.lans, home);
        let inner = lan.router();
        let own = natbox::Addresses {
            outer_v4: self.family.has_v4().then_some(address.v4),
            inner_v4: self.family.has_v4().then_some(inner.v4),
            outer_v6: self.family.has_v6().then_some(address.v6),
            inner_v6: self.family.has_v6().then_some(inner.v6),
        };
        // Another seed for each, and the same in each run.
        let seed = self.seed.wrapping_mul(256).wrapping_add(number.into());
        let running = RunningBox::start(name, config, own, seed, line)?;
        if self.family.has_v6() {
            self.delegate(lan, outer, address)?;
        }
        self.routers.push(Router {
            name: name.to_owned(),
            made: Made::Box(running),
            outer: address,
            lan,
            parent: outer,
        });
        Ok(())
    }

    /// The line from a box to the WAN, or into a LAN.
    fn outer_line(&mut self, outer: Outer, number: u8) -> io::Result<(Addresses, Line)> {
        let at = match outer {
            Outer::Wan(site) => {
                let (ours, theirs) = Line::pair()?;
                self.attachments.push(Attachment {
                    site,
                    line: theirs,
                    prefixes: prefixes(site),
                });
                return Ok((public(site), ours));
            }
            Outer::Lan(at) => at,
        };
        let router = &self.routers[at];
        let address = router.lan.address(number);
        match &router.made {
            Made::Box(running) => {
                let (ours, theirs) = Line::pair()?;
                running.join(alone(address), theirs);
                Ok((address, ours))
            }
            // Not a port of its bridge, which carries frames: a device of its own, to which only this address leads.
            Made::Kernel {
                namespace, ports, ..
            } => {
                let device = format!("port{}", ports.fetch_add(1, Ordering::Relaxed));
                let line = self.lines.to(namespace, &device)?;
                // Others in that LAN ask for it by ARP, and the router answers.
                namespace.sysctl("ipv4/conf/lan/proxy_arp", "1")?;
                self.each_family(namespace, address, move |netlink, address| {
                    let bits = if address.is_ipv4() { 32 } else { 128 };
                    netlink.route(address, bits, Via::Device(&device))
                })?;
                Ok((address, line))
            }
        }
    }

    /// Puts a namespace into the LAN of a box, by a line.
    pub(super) fn behind_box(
        &self,
        running: &RunningBox,
        lan: Lan,
        namespace: &Namespace,
        device: &str,
        number: u8,
    ) -> io::Result<Addresses> {
        let line = self.lines.to(namespace, device)?;
        let own = self.in_lan(namespace, device, lan, number)?;
        running.join(alone(own), line);
        Ok(own)
    }
}

/// The ranges of somebody with these addresses and nobody behind.
fn alone(address: Addresses) -> Vec<Prefix> {
    vec![
        Prefix::new(address.v4.into(), 32),
        Prefix::new(address.v6.into(), 128),
    ]
}
