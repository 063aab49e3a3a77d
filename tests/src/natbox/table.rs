//! The box's memory: connections, and the mappings that they share.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use tcp_punch_proto::Instant;
use tcp_punch_proto::noise::Jitter;

use super::config::{Addresses, Config, Filtering, Mapping};
use super::ports::Allocator;
use super::track::Tracker;
use super::verdict::Reason;

/// One connection. Its keys are its outer and remote, and its inner and remote endpoint.
#[derive(Debug)]
pub(super) struct Flow {
    pub(super) inner: SocketAddr,
    pub(super) outer: SocketAddr,
    pub(super) tracker: Tracker,
    mapping: MappingKey,
    expires: Instant,
}

/// What a mapping is for: an inner endpoint, and as much of the remote one as matters.
type MappingKey = (SocketAddr, Option<IpAddr>, Option<u16>);

#[derive(Debug)]
struct Mapped {
    outer: SocketAddr,
    flows: usize,
    /// Until then it is kept without flows.
    kept: Instant,
    /// Addresses that it sent to, and until when that lets them in.
    contacted: BTreeMap<IpAddr, Instant>,
}

#[derive(Debug)]
pub(super) struct Table {
    // Ordered maps: the same seed gives the same run.
    flows: BTreeMap<(SocketAddr, SocketAddr), Flow>,
    from_inside: BTreeMap<(SocketAddr, SocketAddr), SocketAddr>,
    mappings: BTreeMap<MappingKey, Mapped>,
    /// Whose an outer endpoint is; where ports are overloaded, the last one that sent.
    owners: BTreeMap<SocketAddr, MappingKey>,
    ports: Allocator,
    /// No entry ends before that.
    sweep: Option<Instant>,
}

impl Table {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            flows: BTreeMap::new(),
            from_inside: BTreeMap::new(),
            mappings: BTreeMap::new(),
            owners: BTreeMap::new(),
            ports: Allocator::new(config.ports),
            sweep: None,
        }
    }

    /// Ends what has come to its end.
    pub(super) fn expire(&mut self, now: Instant) {
        if self.sweep.is_none_or(|sweep| sweep > now) {
            return;
        }
        let over: Vec<_> = self
            .flows
            .iter()
            .filter(|(_, flow)| flow.expires <= now)
            .map(|(key, _)| *key)
            .collect();
        for (outer, remote) in over {
            self.remove(outer, remote);
        }
        let owners = &mut self.owners;
        let mut left = Vec::new();
        self.mappings.retain(|key, mapped| {
            mapped.contacted.retain(|_, until| *until > now);
            let stays = mapped.flows > 0 || mapped.kept > now;
            if !stays && owners.get(&mapped.outer) == Some(key) {
                owners.remove(&mapped.outer);
                left.push(mapped.outer);
            }
            stays
        });
        for outer in left {
            self.hand_on(outer);
        }
        let flows = self.flows.values().map(|flow| flow.expires);
        let mappings = self.mappings.values().filter(|mapped| mapped.flows == 0);
        self.sweep = flows.chain(mappings.map(|mapped| mapped.kept)).min();
    }

    /// Gives an outer endpoint whose owner is gone to who else holds it: where the mapping depends on the destination,
    /// ports that are preserved are held by many.
    fn hand_on(&mut self, outer: SocketAddr) {
        let others = self.mappings.iter();
        let last = others
            .filter(|(_, mapped)| mapped.outer == outer)
            // It was kept when it sent.
            .max_by_key(|(_, mapped)| mapped.kept);
        if let Some((key, _)) = last {
            self.owners.insert(outer, *key);
        }
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.flows.clear();
        self.from_inside.clear();
        self.mappings.clear();
        self.owners.clear();
        self.sweep = None;
    }

    pub(super) fn len(&self) -> usize {
        self.flows.len()
    }

    /// The connection between an outer and a remote endpoint.
    pub(super) fn outer_flow(
        &mut self,
        outer: SocketAddr,
        remote: SocketAddr,
    ) -> Option<&mut Flow> {
        self.flows.get_mut(&(outer, remote))
    }

    /// The connection between an inner and a remote endpoint.
    pub(super) fn inner_flow(
        &mut self,
        inner: SocketAddr,
        remote: SocketAddr,
    ) -> Option<&mut Flow> {
        let outer = *self.from_inside.get(&(inner, remote))?;
        self.flows.get_mut(&(outer, remote))
    }

    pub(super) fn remove(&mut self, outer: SocketAddr, remote: SocketAddr) {
        let Some(flow) = self.flows.remove(&(outer, remote)) else {
            return;
        };
        self.from_inside.remove(&(flow.inner, remote));
        if let Some(mapped) = self.mappings.get_mut(&flow.mapping) {
            mapped.flows -= 1;
            let kept = mapped.kept;
            self.sweep = Some(self.sweep.map_or(kept, |sweep| sweep.min(kept)));
        }
    }

    /// Gives an entry its time from now on.
    pub(super) fn renew(
        &mut self,
        now: Instant,
        config: &Config,
        outer: SocketAddr,
        remote: SocketAddr,
    ) {
        if let Some(flow) = self.flows.get_mut(&(outer, remote)) {
            flow.expires = now.after(flow.tracker.patience(&config.timeouts));
            let expires = flow.expires;
            self.sweep = Some(self.sweep.map_or(expires, |sweep| sweep.min(expires)));
        }
    }

    /// Something of that connection went out by its mapping.
    pub(super) fn sent(
        &mut self,
        now: Instant,
        config: &Config,
        outer: SocketAddr,
        remote: SocketAddr,
    ) {
        let Some(key) = self.flows.get(&(outer, remote)).map(|flow| flow.mapping) else {
            return;
        };
        if let Some(mapped) = self.mappings.get_mut(&key) {
            mapped.kept = now.after(config.timeouts.mapping);
            mapped.contacted.insert(remote.ip(), mapped.kept);
            self.owners.insert(outer, key);
        }
    }

    /// Makes an entry for a connection from inside; returns its outer endpoint.
    pub(super) fn open(
        &mut self,
        now: Instant,
        config: &Config,
        addresses: &Addresses,
        (inner, remote): (SocketAddr, SocketAddr),
        tracker: Tracker,
        random: &mut Jitter,
    ) -> Result<SocketAddr, Reason> {
        if self.flows.len() >= config.most {
            return Err(Reason::TableFull);
        }
        let key = mapping_key(config, inner, remote);
        let known = self
            .mappings
            .get(&key)
            .map(|mapped| mapped.outer)
            // An overloaded port may be in use for that remote endpoint.
            .filter(|outer| !self.flows.contains_key(&(*outer, remote)));
        let outer = match known {
            Some(outer) => outer,
            None if config.translates(inner.ip()) => {
                let ip = addresses.outer_v4.ok_or(Reason::NotForMe)?;
                let (flows, owners) = (&self.flows, &self.owners);
                let is_free = |port: u16| {
                    let outer = SocketAddr::new(ip.into(), port);
                    if config.ports.overload {
                        !flows.contains_key(&(outer, remote))
                    } else {
                        !owners.contains_key(&outer)
                    }
                };
                let port = self.ports.choose(inner.port(), random, is_free);
                SocketAddr::new(ip.into(), port.ok_or(Reason::NoPort)?)
            }
            None => inner,
        };
        self.insert(now, config, key, (inner, outer, remote), tracker);
        Ok(outer)
    }

    /// The inner endpoint that someone new gets to by an outer one, where the filter lets them in.
    pub(super) fn admits(
        &self,
        now: Instant,
        filtering: Filtering,
        outer: SocketAddr,
        remote: SocketAddr,
    ) -> Option<SocketAddr> {
        let key = self.owners.get(&outer)?;
        let mapped = self.mappings.get(key)?;
        let lets_in = match filtering {
            Filtering::Open => true,
            Filtering::AddressDependent => {
                let recently = mapped.contacted.get(&remote.ip());
                let connected = (outer, SocketAddr::new(remote.ip(), 0))
                    ..=(outer, SocketAddr::new(remote.ip(), u16::MAX));
                recently.is_some_and(|until| *until > now)
                    || self.flows.range(connected).next().is_some()
            }
            // Those who were contacted have an entry.
            Filtering::AddressAndPortDependent => false,
        };
        lets_in.then_some(key.0)
    }

    /// Whether an outer endpoint is mapped, and to which inner one.
    pub(super) fn behind(&self, outer: SocketAddr) -> Option<SocketAddr> {
        self.owners.get(&outer).map(|key| key.0)
    }

    /// Makes an entry for a connection from outside that was let in.
    pub(super) fn enter(
        &mut self,
        now: Instant,
        config: &Config,
        (inner, outer, remote): (SocketAddr, SocketAddr, SocketAddr),
        tracker: Tracker,
    ) -> Result<(), Reason> {
        if self.flows.len() >= config.most {
            return Err(Reason::TableFull);
        }
        let key = self.owners.get(&outer).copied();
        let key = key.unwrap_or_else(|| mapping_key(config, inner, remote));
        self.insert(now, config, key, (inner, outer, remote), tracker);
        Ok(())
    }

    fn insert(
        &mut self,
        now: Instant,
        config: &Config,
        mapping: MappingKey,
        (inner, outer, remote): (SocketAddr, SocketAddr, SocketAddr),
        tracker: Tracker,
    ) {
        let mapped = self.mappings.entry(mapping).or_insert_with(|| Mapped {
            outer,
            flows: 0,
            kept: now,
            contacted: BTreeMap::new(),
        });
        mapped.flows += 1;
        self.owners.entry(outer).or_insert(mapping);
        self.from_inside.insert((inner, remote), outer);
        let flow = Flow {
            inner,
            outer,
            tracker,
            mapping,
            expires: now,
        };
        self.flows.insert((outer, remote), flow);
        self.renew(now, config, outer, remote);
    }
}

fn mapping_key(config: &Config, inner: SocketAddr, remote: SocketAddr) -> MappingKey {
    if !config.translates(inner.ip()) {
        return (inner, None, None);
    }
    match config.mapping {
        Mapping::Independent | Mapping::Untranslated => (inner, None, None),
        Mapping::AddressDependent => (inner, Some(remote.ip()), None),
        Mapping::AddressAndPortDependent => (inner, Some(remote.ip()), Some(remote.port())),
    }
}
