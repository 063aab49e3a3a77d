//! The built network: namespaces with their devices, addresses, routes and rules; and the boxes.

mod boxed;
mod build;
mod record;
mod switches;

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use build::Builder;
pub(super) use record::Recording;

use super::boxes::RunningBox;
use super::line::Lines;
use super::means::Means;
use super::netns::Namespace;
use super::topology::{Addresses, Family, Lan, Layout, second_server, sink};
use super::wan::{self, Conditions, Site, Wan};

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
    pub(super) name: String,
    made: Made,
    /// Its addresses towards the WAN.
    pub outer: Addresses,
    lan: Lan,
    parent: Outer,
}

/// Who plays a NAT.
#[derive(Debug)]
enum Made {
    /// The kernel, in a namespace, with its rules, and so many ports on its bridge.
    Kernel {
        namespace: Namespace,
        ruleset: String,
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
    pub(super) routers: Vec<Router>,
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
        for more in [second_server(), sink()] {
            builder.address(&s.namespace, wan::DEVICE, more, [32, 128])?;
        }
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
