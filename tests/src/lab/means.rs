//! What this machine lets the lab use: who plays the NATs, and how packets come to this process.

use std::fmt;
use std::fs;
use std::io;
use std::sync::OnceLock;

use super::nat::NatKind;
use super::netns::Namespace;
use super::setup;
use super::sys;
use super::topology::public;
use super::wan::Site;

/// Who plays a NAT of which only the kind is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Maker {
    /// The kernel, by nftables.
    Kernel,
    /// A box in this process.
    Boxes,
}

/// How packets come from a namespace's kernel to this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Devices {
    /// TUN devices.
    Tun,
    /// Packet sockets on veth pairs: a little slower, and without `/dev/net/tun`.
    Veth,
}

/// Both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Means {
    /// Who plays the NATs.
    pub nats: Maker,
    /// How packets come here.
    pub devices: Devices,
}

static HERE: OnceLock<Means> = OnceLock::new();

impl Means {
    /// The best that this process may use; found out once.
    #[must_use]
    pub fn here() -> Self {
        *HERE.get_or_init(|| Self {
            nats: Maker::best(),
            devices: Devices::best(),
        })
    }

    /// Settles how packets come here, before anything is built; what was settled or found out before stays.
    pub fn settle(devices: Devices) {
        HERE.get_or_init(|| Self {
            nats: Maker::best(),
            devices,
        });
    }
}

impl fmt::Display for Means {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nats = match self.nats {
            Maker::Kernel => "NATs are the kernel's (nftables)",
            Maker::Boxes => "NATs are boxes in this process (the kernel's want root and nft)",
        };
        let devices = match self.devices {
            Devices::Tun => "TUN devices",
            Devices::Veth => "packet sockets on veth pairs",
        };
        write!(f, "{nats}; {devices}")
    }
}

impl Maker {
    /// The kernel where nftables really works. In a user namespace some of its rulesets are refused, so that there it
    /// is used only when it is asked for.
    fn best() -> Self {
        let works = || -> io::Result<()> {
            Namespace::new("nft")?.nft(&NatKind::DROP.ruleset(public(Site::A).v4))
        };
        if !in_user_namespace() && setup::has_nft() && works().is_ok() {
            Self::Kernel
        } else {
            Self::Boxes
        }
    }
}

impl Devices {
    fn best() -> Self {
        let works = || -> io::Result<()> {
            Namespace::new("tun")?
                .run(|| sys::open_tun("tun"))
                .map(drop)
        };
        if works().is_ok() {
            Self::Tun
        } else {
            Self::Veth
        }
    }
}

/// Whether this process is in another user namespace than the machine's first, which maps every user to itself.
fn in_user_namespace() -> bool {
    let map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    map.split_whitespace().collect::<Vec<_>>() != ["0", "0", "4294967295"]
}
