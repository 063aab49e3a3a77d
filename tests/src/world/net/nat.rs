//! A NAT box, or for IPv6 a stateful firewall: what it is, and what it does to
//! packets. Behaviour as measured on Linux (NAT-FACTS.md section 1).

use std::net::IpAddr;
use std::time::Duration;

use tcp_punch_proto::noise::Jitter;
use tcp_punch_proto::{Endpoint, Family, Instant};

use super::flow::{Flow, Passage};
use super::segment::{Body, DEFAULT_HOPS, Packet};

/// How inner endpoints are mapped to outer ones (RFC 4787 section 4.1). IPv6 is
/// never translated.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Mapped {
    /// One outer endpoint for each inner one; the same port if it is free.
    Independent,
    /// Another, random port for every destination ("symmetric").
    Dependent,
}

/// Who gets in to a mapped port (RFC 4787 section 5).
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Filter {
    /// Anyone ("full cone").
    Open,
    /// Any port of an address that was contacted.
    Address,
    /// Only endpoints that were contacted.
    AddressAndPort,
}

/// What a packet that does not get in is answered with.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Early {
    /// Nothing.
    Drop,
    /// RST.
    Reset,
    /// ICMP unreachable.
    Unreachable,
}

/// What happens to a packet from within to the own outer address.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Hairpin {
    /// It is treated like an early SYN.
    No,
    /// It comes back in.
    Yes,
}

/// What a NAT is like.
#[derive(Copy, Clone, Debug)]
pub struct Nat {
    /// How it maps.
    pub mapped: Mapped,
    /// Whom it lets in.
    pub filter: Filter,
    /// How it turns others away.
    pub early: Early,
    /// Whether its hosts can reach each other by their outer endpoints.
    pub hairpin: Hairpin,
    /// How long an established connection may be idle before it is forgotten.
    pub idle: Duration,
}

impl Nat {
    /// Endpoint-independent mapping, address-and-port-dependent filtering,
    /// silence for early SYNs: `masquerade` with a closed firewall.
    pub const fn dropping() -> Self {
        Self {
            mapped: Mapped::Independent,
            filter: Filter::AddressAndPort,
            early: Early::Drop,
            hairpin: Hairpin::No,
            // RFC 5382 REQ-5.
            idle: Duration::from_secs(2 * 3_600 + 4 * 60),
        }
    }

    /// The same with RST for early SYNs: `masquerade` without a firewall.
    pub const fn resetting() -> Self {
        Self {
            early: Early::Reset,
            ..Self::dropping()
        }
    }

    /// The same with ICMP unreachable.
    pub const fn unreachable() -> Self {
        Self {
            early: Early::Unreachable,
            ..Self::dropping()
        }
    }

    /// A random port for every destination.
    pub const fn symmetric() -> Self {
        Self {
            mapped: Mapped::Dependent,
            ..Self::dropping()
        }
    }

    /// Lets anyone in to a mapped port.
    pub const fn full_cone() -> Self {
        Self {
            filter: Filter::Open,
            ..Self::dropping()
        }
    }

    /// The same NAT with another patience for idle connections.
    #[must_use]
    pub const fn idle(self, idle: Duration) -> Self {
        Self { idle, ..self }
    }

    /// The same NAT with hairpinning.
    #[must_use]
    pub const fn hairpinning(self) -> Self {
        Self {
            hairpin: Hairpin::Yes,
            ..self
        }
    }
}

/// Where a packet goes after the box.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// On its way, rewritten.
    Forward(Packet),
    /// Hairpin: back in, rewritten.
    Back(Packet),
    /// An answer to whoever sent it.
    Answer(Packet),
    /// Nowhere, for this reason.
    Drop(&'static str),
}

/// A NAT at work.
#[derive(Debug)]
pub(crate) struct NatBox {
    nat: Nat,
    outer: Vec<IpAddr>,
    flows: Vec<Flow>,
    random: Jitter,
}

impl NatBox {
    pub(crate) fn new(nat: Nat, outer: Vec<IpAddr>, random: Jitter) -> Self {
        Self {
            nat,
            outer,
            flows: Vec::new(),
            random,
        }
    }

    pub(crate) fn owns(&self, ip: IpAddr) -> bool {
        self.outer.contains(&ip)
    }

    /// As after a restart, or a change of the outer address.
    pub(crate) fn forget_all(&mut self) {
        self.flows.clear();
    }

    pub(crate) fn outbound(&mut self, now: Instant, mut packet: Packet) -> Verdict {
        self.expire(now);
        packet.hops = packet.hops.saturating_sub(1);
        if packet.hops == 0 {
            return Verdict::Drop("hop limit");
        }
        if self.owns(packet.to.ip) && self.nat.hairpin == Hairpin::No {
            return self.turn_away(&packet);
        }
        let Body::Tcp(segment) = &packet.body else {
            return Verdict::Drop("ICMP from within");
        };
        let known = self
            .flows
            .iter()
            .position(|flow| flow.is(packet.from, packet.to));
        let opens = segment.opens();
        let index = match known {
            Some(index) if opens && self.flows[index].is_over() => {
                self.flows.swap_remove(index);
                self.add(packet.from, packet.to)
            }
            Some(index) => Some(index),
            None if opens => self.add(packet.from, packet.to),
            // A real one would let it out untranslated, to be lost further on.
            None => return Verdict::Drop("no entry"),
        };
        let Some(index) = index else {
            return Verdict::Drop("no outer address");
        };
        let flow = &mut self.flows[index];
        flow.used = now;
        let outer = flow.outer;
        match flow.outbound(segment) {
            Passage::Pass => {}
            Passage::PassAndForget => {
                self.flows.swap_remove(index);
            }
            Passage::Invalid => return Verdict::Drop("INVALID"),
        }
        let packet = Packet {
            from: outer,
            ..packet
        };
        if self.owns(packet.to.ip) {
            let verdict = self.inbound(now, packet);
            return if let Verdict::Forward(packet) = verdict {
                Verdict::Back(packet)
            } else {
                verdict
            };
        }
        Verdict::Forward(packet)
    }

    pub(crate) fn inbound(&mut self, now: Instant, packet: Packet) -> Verdict {
        self.expire(now);
        let segment = match &packet.body {
            Body::Tcp(segment) => segment,
            // Whatever it is about must have gone out by the same endpoint.
            Body::Unreachable { about } => {
                let about = *about;
                let flow = self
                    .flows
                    .iter()
                    .find(|flow| flow.comes_in(packet.to, about));
                return match flow {
                    Some(flow) => Verdict::Forward(Packet {
                        to: flow.inner,
                        ..packet
                    }),
                    None => Verdict::Drop("ICMP about nothing known"),
                };
            }
        };
        let known = self
            .flows
            .iter()
            .position(|flow| flow.comes_in(packet.to, packet.from));
        let opens = segment.opens();
        let index = match known {
            Some(index) => index,
            None => match self.admits(&packet).filter(|_| opens) {
                Some(inner) => {
                    self.flows.push(Flow::new(inner, packet.to, packet.from));
                    self.flows.len() - 1
                }
                None => return self.turn_away(&packet),
            },
        };
        let flow = &mut self.flows[index];
        flow.used = now;
        let inner = flow.inner;
        match flow.inbound(segment) {
            Passage::Pass => {}
            Passage::PassAndForget => {
                self.flows.swap_remove(index);
            }
            Passage::Invalid => return Verdict::Drop("INVALID"),
        }
        Verdict::Forward(Packet {
            to: inner,
            ..packet
        })
    }

    /// The inner endpoint for a packet from someone new, if the filter lets it in.
    fn admits(&self, packet: &Packet) -> Option<Endpoint> {
        let lets_in = |flow: &&Flow| match self.nat.filter {
            Filter::Open => true,
            Filter::Address => flow.remote.ip == packet.from.ip,
            Filter::AddressAndPort => false,
        };
        let mut mapped = self.flows.iter().filter(|flow| flow.outer == packet.to);
        mapped.find(lets_in).map(|flow| flow.inner)
    }

    fn turn_away(&self, packet: &Packet) -> Verdict {
        let Body::Tcp(segment) = &packet.body else {
            return Verdict::Drop("not let in");
        };
        let body = match self.nat.early {
            Early::Drop => None,
            Early::Reset => segment.refusal().map(Body::Tcp),
            Early::Unreachable if segment.rst => None,
            Early::Unreachable => Some(Body::Unreachable { about: packet.to }),
        };
        match body {
            None => Verdict::Drop("not let in"),
            Some(body) => Verdict::Answer(Packet {
                from: packet.to,
                to: packet.from,
                hops: DEFAULT_HOPS,
                body,
            }),
        }
    }

    fn add(&mut self, inner: Endpoint, remote: Endpoint) -> Option<usize> {
        let outer = self.map(inner)?;
        self.flows.push(Flow::new(inner, outer, remote));
        Some(self.flows.len() - 1)
    }

    /// An existing mapping lives as long as any flow uses it, so it need not be
    /// kept by itself.
    fn map(&mut self, inner: Endpoint) -> Option<Endpoint> {
        if inner.family() == Family::V6 {
            return Some(inner);
        }
        let ip = self
            .outer
            .iter()
            .copied()
            .find(|&ip| Family::of(ip) == Family::V4)?;
        match self.nat.mapped {
            Mapped::Independent => {
                if let Some(flow) = self.flows.iter().find(|flow| flow.inner == inner) {
                    return Some(flow.outer);
                }
                let same = Endpoint {
                    ip,
                    port: inner.port,
                };
                Some(if self.is_taken(same) {
                    self.random_port(ip)
                } else {
                    same
                })
            }
            Mapped::Dependent => Some(self.random_port(ip)),
        }
    }

    fn random_port(&mut self, ip: IpAddr) -> Endpoint {
        loop {
            let port = 1_024 + u16::try_from(self.random.below(64_512)).unwrap_or_default();
            let outer = Endpoint { ip, port };
            if !self.is_taken(outer) {
                return outer;
            }
        }
    }

    fn is_taken(&self, outer: Endpoint) -> bool {
        self.flows.iter().any(|flow| flow.outer == outer)
    }

    fn expire(&mut self, now: Instant) {
        let idle = self.nat.idle;
        self.flows
            .retain(|flow| now.since(flow.used) < flow.patience(idle));
    }
}
