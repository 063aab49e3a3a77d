//! Which address to tell peers for a port that is bound to "any".

use std::net::{IpAddr, SocketAddr};

use proto::addr::Scope;
use proto::{Endpoint, Family};

use crate::hosts::{outward_address, own_addresses};

/// Where peers can dial a port: its own address if it has one; else the address
/// that another port of this server is known by, the one that leads out of this
/// host, or the best one that it has.
///
/// `None` where only loopback is left and that is not allowed: guessing further
/// would give peers an address that nobody answers at.
pub(super) fn diallable(
    local: SocketAddr,
    known: &[Endpoint],
    allow_loopback: bool,
) -> Option<Endpoint> {
    let family = Endpoint::from(local).family();
    let known = known
        .iter()
        .map(|end| end.ip)
        .filter(|ip| Family::of(*ip) == family);
    best(
        local.ip(),
        known.chain(outward_address(family)).chain(own_addresses()),
        allow_loopback,
    )
    .map(|ip| Endpoint::new(ip, local.port()))
}

/// The first candidate of the best scope there is.
fn best(
    local: IpAddr,
    candidates: impl IntoIterator<Item = IpAddr>,
    allow_loopback: bool,
) -> Option<IpAddr> {
    let allowed = |ip: &IpAddr| match Scope::of(*ip) {
        Scope::Global | Scope::Private => true,
        Scope::Loopback => allow_loopback,
        Scope::Unusable => false,
    };
    if !local.is_unspecified() {
        return Some(local);
    }
    // `min_by_key` takes the first of equals, and candidates come best first.
    candidates
        .into_iter()
        .filter(|ip| Family::of(*ip) == Family::of(local) && allowed(ip))
        .min_by_key(|ip| Scope::of(*ip) == Scope::Loopback)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn choices_by_table() {
        for (local, candidates, allow_loopback, chosen) in [
            ("192.0.2.1", &["198.51.100.1"][..], false, Some("192.0.2.1")),
            ("127.0.0.1", &[], false, Some("127.0.0.1")),
            (
                "0.0.0.0",
                &["2001:db8::1", "10.0.0.1", "198.51.100.1"],
                false,
                Some("10.0.0.1"),
            ),
            ("0.0.0.0", &["127.0.0.1", "169.254.1.1"], false, None),
            (
                "0.0.0.0",
                &["127.0.0.1", "10.0.0.1"],
                true,
                Some("10.0.0.1"),
            ),
            ("0.0.0.0", &["127.0.0.1"], true, Some("127.0.0.1")),
            (
                "::",
                &["10.0.0.1", "fe80::1", "fd00::1"],
                false,
                Some("fd00::1"),
            ),
            ("::", &["10.0.0.1"], false, None),
        ] {
            let found = best(
                ip(local),
                candidates.iter().map(|text| ip(text)),
                allow_loopback,
            );
            assert_eq!(found, chosen.map(ip), "{local} {candidates:?}");
        }
    }
}
