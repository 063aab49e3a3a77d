//! Peers before their world begins.

use std::net::IpAddr;

use tcp_punch_proto::config::Runtime;
use tcp_punch_proto::noise::PublicKey;
use tcp_punch_proto::{Config, ConfigBuilder};

use super::app::Consent;
use super::net::Nat;

/// What `rt-embedded` can do on smoltcp, but for the trace, which would cost every
/// run the time that it takes; and dials enough for any prediction.
const RUNTIME: Runtime = Runtime {
    low_ttl: true,
    trace: false,
    raw: false,
    dials: 64,
};

/// Sockets of a host: what ports and sessions need, a spray of 48, and what a
/// crowd of strangers takes.
pub(super) const SOCKETS: usize = 256;

/// The most that one session opens at once.
pub(super) const MOST_DIALS: u16 = 1_024;

/// Where a peer sits.
#[derive(Copy, Clone, Debug)]
pub enum Site {
    /// Behind a NAT of its own; for IPv6 a firewall.
    Behind(Nat),
    /// Behind the NAT of an earlier peer, in the same network.
    With(usize),
    /// Behind a NAT of its own, which is in the inner network of an earlier
    /// peer's outermost NAT: both share a carrier.
    BehindToo(usize, Nat),
    /// Behind a NAT of its own, which is behind a carrier's.
    Nested(Nat, Nat),
    /// In the open.
    Public,
}

/// A peer, before the world begins.
#[derive(Clone, Debug)]
pub struct PeerSetup {
    /// Its name in the ladder.
    pub name: String,
    /// Where it sits.
    pub site: Site,
    /// Round trip to the server in milliseconds.
    pub rtt: u64,
    /// Whom it lets in.
    pub consent: Consent,
    /// Its configuration; a builder, so that a test changes what it is about.
    pub config: ConfigBuilder,
    /// The key that it believes the server to have, if it is not the real one.
    pub server_key: Option<PublicKey>,
    /// Addresses that it claims beside its own.
    pub claims: Vec<IpAddr>,
    /// Which of the seed's keys it has; by itself that of its number.
    pub key: usize,
    /// What its runtime can do.
    pub runtime: Runtime,
    /// Whether it knows how many hops away the last of its own boxes is.
    pub knows_hops: bool,
    /// Whether it knows the outer address of its own router, which is behind a
    /// carrier's.
    pub names_router: bool,
    /// How many sockets its host has.
    pub sockets: usize,
}

impl PeerSetup {
    pub(super) fn new(number: usize) -> Self {
        let letter = char::from(b'a' + u8::try_from(number).expect("few peers"));
        Self {
            name: letter.to_string(),
            site: Site::Behind(Nat::dropping()),
            rtt: 40,
            consent: Consent::InAdvance,
            config: Config::builder(),
            server_key: None,
            claims: Vec::new(),
            key: number,
            runtime: RUNTIME,
            knows_hops: true,
            names_router: false,
            sockets: SOCKETS,
        }
    }
}
