//! The built network: namespaces with their devices, addresses, routes and rules; and the boxes.

mod boxed;

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::boxes::RunningBox;
use super::line::Lines;
use super::means::{Maker, Means};
use super::nat::NatKind;
use super::netlink::{End, Netlink, Via, everywhere};
use super::netns::Namespace;
use super::setup;
use super::topology::{Addresses, Family, Lan, Layout, prefixes, public, second_server};
use super::wan::{self, Attachment, Conditions, Prefix, Site, Wan};

/// The host part of each peer's address in its LAN.
const HOST_A: u8 = 10;
const HOST_B: u8 = 20;

/// What to build.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The NATs.
    pub layout: Layout,
    /// The versions of IP.
    pub family: Family,
    /// The WAN.
    pub conditions: Conditions,
}

/// A host that programs run on.
#[derive(Debug)]
pub struct Host {
    /// Its namespace.
    pub namespace: Arc<Namespace>,
    /// Its own addresses.
    pub addresses: Addresses,
}

/// A NAT.
#[derive(Debug)]
pub struct Router {
    name: String,
    made: Made,
    /// Its addresses towards the WAN.
    pub outer: Addresses,
    lan: Lan,
    parent: Outer,
}

/// Who plays a NAT.
#[derive(Debug)]
enum Made {
    /// The kernel, in a namespace; with so many ports on its bridge.
    Kernel {
        namespace: Namespace,
        ports: AtomicU32,
    },
    /// This process.
    Box(RunningBox),
}

impl Router {
    /// Its namespace, where it is the kernel's.
    #[must_use]
    pub fn namespace(&self) -> Option<&Namespace> {
        match &self.made {
            Made::Kernel { namespace, .. } => Some(namespace),
            Made::Box(_) => None,
        }
    }
}

/// Where an outer device leads.
#[derive(Debug, Clone, Copy)]
enum Outer {
    Wan(Site),
    /// Into the LAN of that router.
    Lan(usize),
}

/// The running network. Everything in it ends when this is dropped.
#[derive(Debug)]
pub struct Network {
    // The order matters: the WAN ends before what is attached to it.
    wan: Wan,
    /// The requester's host.
    pub a: Host,
    /// The responder's host.
    pub b: Host,
    /// The server's host.
    pub s: Host,
    routers: Vec<Router>,
    plan: Plan,
    means: Means,
    lines: Arc<Lines>,
}

impl Network {
    /// Builds it with the best that there is here.
    ///
    /// # Errors
    /// When a right, a device, a program or a kernel feature is missing; the error says which.
    pub fn build(plan: &Plan) -> io::Result<Self> {
        Self::build_with(plan, Means::here())
    }

    /// Builds it with something that may not be the best.
    ///
    /// # Errors
    /// As [`Self::build`].
    pub fn build_with(plan: &Plan, means: Means) -> io::Result<Self> {
        let plan = &Plan {
            layout: plan.layout.made_by(means.nats),
            ..plan.clone()
        };
        let mut builder = Builder {
            family: plan.family,
            seed: plan.conditions.seed,
            routers: Vec::new(),
            attachments: Vec::new(),
            lans: 0,
            means,
            lines: Arc::new(Lines::new(means.devices)?),
        };
        let layout = &plan.layout;
        let shared = builder.chain(Outer::Wan(Site::A), &layout.shared, "", layout.a.is_empty())?;
        let outside_b = if layout.shared.is_empty() {
            Outer::Wan(Site::B)
        } else {
            shared
        };
        let outside_a = builder.chain(shared, &layout.a, "-a", true)?;
        let outside_b = builder.chain(outside_b, &layout.b, "-b", true)?;
        let a = builder.host("a", outside_a, HOST_A)?;
        let b = builder.host("b", outside_b, HOST_B)?;
        let s = builder.host("s", Outer::Wan(Site::S), 0)?;
        let second = second_server();
        builder.address(&s.namespace, wan::DEVICE, second, [32, 128])?;
        let wan = Wan::start(plan.conditions.clone(), builder.attachments)?;
        Ok(Self {
            wan,
            a,
            b,
            s,
            routers: builder.routers,
            plan: plan.clone(),
            means,
            lines: builder.lines,
        })
    }

    /// The WAN.
    #[must_use]
    pub fn wan(&self) -> &Wan {
        &self.wan
    }

    /// What it was built from, with every NAT's maker.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The NAT of that name: `nat-a`, `nat-b`, `nat` where both are behind it, `carrier`, `carrier-a`, `carrier-b`.
    #[must_use]
    pub fn router(&self, name: &str) -> Option<&Router> {
        self.routers.iter().find(|router| router.name == name)
    }

    /// The outer address of a NAT, by the version of IP that the peers use: for `nat-a` and `nat-b` inside a carrier's
    /// NAT, that of a home's router in the carrier's network.
    #[must_use]
    pub fn outer_address(&self, nat: &str) -> Option<IpAddr> {
        let router = self.router(nat)?;
        Some(router.outer.main(self.plan.family))
    }

    /// Puts a further host into the LAN of a NAT, with any host part: a stranger.
    ///
    /// # Errors
    /// When there is no such NAT, or the devices cannot be made.
    pub fn add_host(&mut self, name: &str, nat: &str, host: u8) -> io::Result<Host> {
        let at = self.routers.iter().position(|router| router.name == nat);
        let at = at.ok_or_else(|| io::Error::other(format!("there is no NAT {nat}")))?;
        let routers = std::mem::take(&mut self.routers);
        let mut builder = Builder {
            family: self.plan.family,
            seed: self.plan.conditions.seed,
            routers,
            attachments: Vec::new(),
            lans: 0,
            means: self.means,
            lines: Arc::clone(&self.lines),
        };
        let result = builder.host(name, Outer::Lan(at), host);
        self.routers = builder.routers;
        result
    }
}

struct Builder {
    family: Family,
    seed: u64,
    routers: Vec<Router>,
    attachments: Vec<Attachment>,
    lans: u16,
    means: Means,
    lines: Arc<Lines>,
}

impl Builder {
    /// Puts NATs, given from the inside outwards, inside `outer`; returns where the innermost leads to.
    fn chain(
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
        namespace.nft(&kind.ruleset(address.v4))?;
        if self.family.has_v6() {
            self.delegate(lan, outer, address)?;
        }
        self.routers.push(Router {
            name: name.to_owned(),
            made: Made::Kernel {
                namespace,
                ports: AtomicU32::new(0),
            },
            outer: address,
            lan,
            parent: outer,
        });
        Ok(())
    }

    /// Tells the routers further out where an IPv6 network is.
    fn delegate(&self, lan: Lan, outer: Outer, via: Addresses) -> io::Result<()> {
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

    fn host(&mut self, name: &str, outer: Outer, number: u8) -> io::Result<Host> {
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
                    Made::Kernel { namespace, ports } => {
                        (namespace, ports.fetch_add(1, Ordering::Relaxed))
                    }
                };
                let (there, to) = (device.to_owned(), namespace.descriptor());
                router.configure(move |netlink| {
                    let here = format!("port{port}");
                    let end = |name| End { name, mac: None };
                    netlink.veth(end(&here), end(&there), to)?;
                    netlink.join(&here, "lan")?;
                    netlink.up(&here)
                })?;
                self.in_lan(namespace, device, lan, number)
            }
        }
    }

    /// Gives a device its place in a LAN, from where the NAT leads on.
    fn in_lan(
        &self,
        namespace: &Namespace,
        device: &str,
        lan: Lan,
        number: u8,
    ) -> io::Result<Addresses> {
        let own = lan.address(number);
        self.address(namespace, device, own, [24, 64])?;
        self.each_family(namespace, lan.router(), |netlink, router| {
            netlink.route(everywhere(router), 0, Via::Gateway(router))
        })?;
        Ok(own)
    }

    /// Switches a device on and gives it addresses, in networks of so many bits.
    fn address(
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
    fn each_family(
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

    fn site(&self, outer: Outer) -> Site {
        match outer {
            Outer::Wan(site) => site,
            Outer::Lan(at) => self.site(self.routers[at].parent),
        }
    }
}
