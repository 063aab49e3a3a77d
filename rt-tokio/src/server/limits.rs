//! How many connections there may be, in total and from one address.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

#[derive(Clone, Debug)]
pub(super) struct Limits {
    total: usize,
    per_address: usize,
    counts: Arc<Mutex<Counts>>,
}

#[derive(Debug, Default)]
struct Counts {
    total: usize,
    by_address: HashMap<IpAddr, usize>,
}

impl Limits {
    pub(super) fn new(total: usize, per_address: usize) -> Self {
        Self {
            total,
            per_address,
            counts: Arc::default(),
        }
    }

    /// Room for one more connection from `ip`, until the permit is dropped.
    pub(super) fn admit(&self, ip: IpAddr) -> Option<Permit> {
        let network = network(ip);
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.total >= self.total {
            return None;
        }
        let here = counts.by_address.entry(network).or_default();
        if *here >= self.per_address {
            return None;
        }
        *here += 1;
        counts.total += 1;
        Some(Permit {
            network,
            counts: Arc::clone(&self.counts),
        })
    }
}

/// A place that is taken.
#[derive(Debug)]
pub(super) struct Permit {
    network: IpAddr,
    counts: Arc<Mutex<Counts>>,
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.total -= 1;
        if let Some(here) = counts.by_address.get_mut(&self.network) {
            *here -= 1;
            if *here == 0 {
                counts.by_address.remove(&self.network);
            }
        }
    }
}

/// Who counts as one: an IPv4 address, or an IPv6 /64, which is the least that a
/// site has to itself (RFC 6177).
fn network(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V4(ip) => IpAddr::V4(ip),
        IpAddr::V6(ip) => {
            let [a, b, c, d, ..] = ip.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_come_back() {
        let limits = Limits::new(3, 2);
        let ip = |text: &str| text.parse().unwrap();
        let first = limits.admit(ip("2001:db8::1")).unwrap();
        let _second = limits.admit(ip("2001:db8::2")).unwrap();
        assert!(
            limits.admit(ip("2001:db8::3")).is_none(),
            "one /64 is one address"
        );
        let _third = limits.admit(ip("192.0.2.1")).unwrap();
        assert!(
            limits.admit(ip("192.0.2.2")).is_none(),
            "the total counts too"
        );
        drop(first);
        assert!(limits.admit(ip("192.0.2.2")).is_some());
        assert_eq!(
            limits.counts.lock().unwrap().by_address.len(),
            2,
            "the empty ones are forgotten"
        );
    }
}
