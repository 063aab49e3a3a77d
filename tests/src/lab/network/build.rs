//! Putting the network together.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::{Host, Made, Outer, Router};
use crate::lab::line::Lines;
use crate::lab::means::{Maker, Means};
use crate::lab::nat::NatKind;
use crate::lab::netlink::{End, Netlink, Via, everywhere};
use crate::lab::netns::Namespace;
use crate::lab::setup;
use crate::lab::topology::{Addresses, Family, Lan, prefixes, public};
use crate::lab::wan::{self, Attachment, Prefix, Site};

/// What has been built so far.
pub(super) struct Builder {
    pub(super) family: Family,
    pub(super) seed: u64,
    pub(super) routers: Vec<Router>,
    pub(super) attachments: Vec<Attachment>,
    pub(super) lans: u16,
    pub(super) means: Means,
    pub(super) lines: Arc<Lines>,
}

impl Builder {
    /// Puts NATs, given from the inside outwards, inside `outer`; returns where the innermost leads to.
    pub(super) fn chain(
        &mut self,
        outer: Outer,
        kinds: &[NatKind],
        suffix: &str,
        home: bool,
    ) -> io::Result<Outer> {
        let mut outer = outer;
        for (level, kind) in kinds.iter().enumerate().rev() {
            let innermost = home && level == 0;
            let name = if innermost { "nat" } else { "carrier" };
            self.nat(&format!("{name}{suffix}"), *kind, outer, innermost)?;
            outer = Outer::Lan(self.routers.len() - 1);
        }
        Ok(outer)
    }

    fn nat(&mut self, name: &str, kind: NatKind, outer: Outer, home: bool) -> io::Result<()> {
        if let Some(config) = kind.config() {
            return self.boxed(name, config, outer, home);
        }
        if self.means.nats == Maker::Boxes && !setup::has_nft() {
            return Err(io::Error::other(format!(
                "{kind} needs nft: {}",
                setup::advice()
            )));
        }
        let namespace = self.namespace(name)?;
        namespace.sysctl("ipv4/ip_forward", "1")?;
        if self.family.has_v6() {
            namespace.sysctl("ipv6/conf/all/forwarding", "1")?;
        }
        // Its position in the outer LAN; any number will do that no host has.
        let address = self.connect(
            &namespace,
            wan::DEVICE,
            outer,
            100 + self.routers.len() as u8,
        )?;
        self.lans += 1;
        let lan = Lan::new(self.site(outer), self.lans, home);
        namespace.configure(|netlink| {
            netlink.bridge("lan")?;
            netlink.up("lan")
        })?;
        // Where the module br_netfilter is loaded, bridged packets would pass the rules a second time.
        for family in ["iptables", "ip6tables", "arptables"] {
            let _ = namespace.sysctl(&format!("bridge/bridge-nf-call-{family}"), "0");
        }
        self.address(&namespace, "lan", lan.router(), [24, 64])?;
        ask_often(&namespace, "lan");
        let ruleset = kind.ruleset(address.v4);
        namespace.nft(&ruleset)?;
        if self.family.has_v6() {
            self.delegate(lan, outer, address)?;
        }
        self.routers.push(Router {
            name: name.to_owned(),
            made: Made::Kernel {
                namespace,
                ruleset,
                ports: AtomicU32::new(0),
            },
            outer: address,
            lan,
            parent: outer,
        });
        Ok(())
    }

    /// Tells the routers further out where an IPv6 network is.
    pub(super) fn delegate(&self, lan: Lan, outer: Outer, via: Addresses) -> io::Result<()> {
        let (mut outer, mut via) = (outer, via);
        let range = Prefix::new(lan.address(0).v6.into(), 64);
        while let Outer::Lan(at) = outer {
            let router = &self.routers[at];
            match &router.made {
                Made::Kernel { namespace, .. } => {
                    let via = Via::Gateway(via.v6.into());
                    namespace.configure(move |netlink| netlink.route(range.address(), 64, via))?;
                }
                Made::Box(running) => running.delegate(range, via.v6.into())?,
            }
            (outer, via) = (router.parent, router.outer);
        }
        Ok(())
    }

    pub(super) fn host(&mut self, name: &str, outer: Outer, number: u8) -> io::Result<Host> {
        let namespace = self.namespace(name)?;
        let device = if matches!(outer, Outer::Wan(_)) {
            wan::DEVICE
        } else {
            "eth0"
        };
        let addresses = self.connect(&namespace, device, outer, number)?;
        Ok(Host {
            namespace: Arc::new(namespace),
            addresses,
        })
    }

    fn namespace(&self, name: &str) -> io::Result<Namespace> {
        let namespace = Namespace::new(name)?;
        // Speeds of two machines can be compared only if both send the same way; every kernel has this one.
        let _ = namespace.sysctl("ipv4/tcp_congestion_control", "cubic");
        for scope in ["all", "default"] {
            namespace.sysctl(&format!("ipv4/conf/{scope}/rp_filter"), "0")?;
            if self.family.has_v6() {
                // An address is usable at once: nobody else is there who could have it.
                namespace.sysctl(&format!("ipv6/conf/{scope}/accept_dad"), "0")?;
            } else {
                // A kernel without IPv6 has nothing to switch off.
                let _ = namespace.sysctl(&format!("ipv6/conf/{scope}/disable_ipv6"), "1");
            }
        }
        Ok(namespace)
    }

    /// Connects a namespace's outer device, and gives it address and default route.
    fn connect(
        &mut self,
        namespace: &Namespace,
        device: &str,
        outer: Outer,
        number: u8,
    ) -> io::Result<Addresses> {
        match outer {
            Outer::Wan(site) => {
                let addresses = public(site);
                self.attachments.push(Attachment {
                    site,
                    line: self.lines.to(namespace, device)?,
                    prefixes: prefixes(site),
                });
                self.address(namespace, device, addresses, [32, 128])?;
                let device = device.to_owned();
                self.each_family(namespace, addresses, move |netlink, own| {
                    netlink.route(everywhere(own), 0, Via::Device(&device))
                })?;
                Ok(addresses)
            }
            Outer::Lan(at) => {
                let lan = self.routers[at].lan;
                let (router, port) = match &self.routers[at].made {
                    Made::Box(running) => {
                        return self.behind_box(running, lan, namespace, device, number);
                    }
                    Made::Kernel {
                        namespace, ports, ..
                    } => (namespace, ports.fetch_add(1, Ordering::Relaxed)),
                };
                let (there, to) = (device.to_owned(), namespace.descriptor());
                router.configure(move |netlink| {
                    let here = format!("port{port}");
                    let end = |name| End { name, mac: None };
                    netlink.veth(port, end(&here), end(&there), to)?;
                    netlink.join(&here, "lan")?;
                    netlink.up(&here)
                })?;
                let own = self.in_lan(namespace, device, lan, number)?;
                router.configure(move |netlink| {
                    netlink.settled(&format!("port{port}"))?;
                    netlink.settled("lan")
                })?;
                Ok(own)
            }
        }
    }

    /// Gives a device its place in a LAN, from where the NAT leads on.
    pub(super) fn in_lan(
        &self,
        namespace: &Namespace,
        device: &str,
        lan: Lan,
        number: u8,
    ) -> io::Result<Addresses> {
        let own = lan.address(number);
        self.address(namespace, device, own, [24, 64])?;
        ask_often(namespace, device);
        self.each_family(namespace, lan.router(), |netlink, router| {
            netlink.route(everywhere(router), 0, Via::Gateway(router))
        })?;
        Ok(own)
    }

    /// Switches a device on and gives it addresses, in networks of so many bits.
    pub(super) fn address(
        &self,
        namespace: &Namespace,
        device: &str,
        own: Addresses,
        bits: [u8; 2],
    ) -> io::Result<()> {
        let device = device.to_owned();
        self.each_family(namespace, own, move |netlink, own| {
            netlink.up(&device)?;
            let [v4, v6] = bits;
            netlink.address(&device, own, if own.is_ipv4() { v4 } else { v6 })
        })
    }

    /// Sets something up for every version of IP that there is, given an address of it.
    pub(super) fn each_family(
        &self,
        namespace: &Namespace,
        addresses: Addresses,
        job: impl Fn(&mut Netlink, IpAddr) -> io::Result<()> + Send + 'static,
    ) -> io::Result<()> {
        let family = self.family;
        namespace.configure(move |netlink| {
            if family.has_v4() {
                job(netlink, addresses.v4.into())?;
            }
            if family.has_v6() {
                job(netlink, addresses.v6.into())?;
            }
            Ok(())
        })
    }

    pub(super) fn site(&self, outer: Outer) -> Site {
        match outer {
            Outer::Wan(site) => site,
            Outer::Lan(at) => self.site(self.routers[at].parent),
        }
    }
}

/// Has a host ask for a neighbour's hardware address every 10 ms instead of every second, for 3 s as usual: a first
/// question may be lost while the other one is not quite up.
fn ask_often(namespace: &Namespace, device: &str) {
    for family in ["ipv4", "ipv6"] {
        // In a user namespace a kernel may hide them, and without IPv6 it has only the others.
        let _ = namespace.sysctl(&format!("{family}/neigh/{device}/retrans_time_ms"), "10");
        let _ = namespace.sysctl(&format!("{family}/neigh/{device}/mcast_solicit"), "300");
    }
}
