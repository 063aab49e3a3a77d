//! How packets get from one host to another: up through the sender's NATs,
//! over the wide area network, down through the receiver's.

use std::net::IpAddr;

use tcp_punch_proto::{Family, Instant};

use super::conditions::Conditions;
use super::nat::Verdict;
use super::segment::{Body, Packet};
use super::{Event, HostId, NatId, Network, Node, Place};

/// Routers between any two sites.
const WAN_HOPS: u8 = 4;

impl Network {
    pub(super) fn happen(&mut self, now: Instant, event: Event) {
        match event {
            Event::Arrives(Node::Host(host), packet) => {
                if !self.hosts[host.0].alive {
                    return;
                }
                self.note(now, &packet, || "arrives".to_owned());
                let fresh = self.new_socket();
                self.with_stack(now, host, |stack, effects| {
                    stack.on_packet(packet, fresh, effects)
                });
            }
            Event::Arrives(Node::Nat(nat), packet) => self.enter(now, nat, packet),
            Event::Timer(host, socket, timer) => {
                self.with_stack(now, host, |stack, effects| {
                    stack.on_timer(socket, timer, effects)
                });
            }
        }
    }

    /// Puts a packet on the cable of its sender.
    pub(super) fn emit(&mut self, now: Instant, sender: Node, packet: Packet) {
        match self.place_of(sender) {
            Place::Wan => self.cross(now, sender, packet),
            Place::Behind(nat) => match self.owner(Place::Behind(nat), packet.to.ip) {
                Some(owner) if self.are_isolated(sender, owner) => {
                    self.note(now, &packet, || "isolated".to_owned());
                }
                Some(owner) => {
                    self.queue
                        .push(Conditions::lan_arrival(now), Event::Arrives(owner, packet));
                }
                None => self.leave(now, nat, packet),
            },
        }
    }

    /// Through a NAT from within.
    fn leave(&mut self, now: Instant, id: NatId, packet: Packet) {
        let seen = packet.clone();
        match self.gateways[id.0].nat.outbound(now, packet) {
            Verdict::Forward(packet) => self.emit(now, Node::Nat(id), packet),
            Verdict::Back(packet) | Verdict::Answer(packet) => self.deliver_within(now, id, packet),
            Verdict::Drop(why) => self.note_at(now, id, &seen, why),
        }
    }

    /// Through a NAT from outside.
    fn enter(&mut self, now: Instant, id: NatId, packet: Packet) {
        let seen = packet.clone();
        match self.gateways[id.0].nat.inbound(now, packet) {
            Verdict::Forward(packet) | Verdict::Back(packet) => {
                self.deliver_within(now, id, packet)
            }
            Verdict::Answer(answer) => {
                self.note_at(now, id, &seen, "turned away");
                self.emit(now, Node::Nat(id), answer);
            }
            Verdict::Drop(why) => self.note_at(now, id, &seen, why),
        }
    }

    /// In the inner network of a NAT, without delay: that of the way is the
    /// wide area network's.
    fn deliver_within(&mut self, now: Instant, nat: NatId, packet: Packet) {
        match self.owner(Place::Behind(nat), packet.to.ip) {
            Some(owner) => self.queue.push(now, Event::Arrives(owner, packet)),
            None => self.note_at(now, nat, &packet, "nobody there"),
        }
    }

    fn cross(&mut self, now: Instant, sender: Node, mut packet: Packet) {
        let Some(owner) = self.owner(Place::Wan, packet.to.ip) else {
            self.note(now, &packet, || "no route".to_owned());
            return;
        };
        packet.hops = packet.hops.saturating_sub(WAN_HOPS);
        if packet.hops == 0 {
            self.note(now, &packet, || "hop limit".to_owned());
            return;
        }
        let flow = (packet.from, packet.to);
        match self.conditions.travel(now, (sender, owner), flow) {
            Some(arrival) => {
                self.note(now, &packet, || "on the way".to_owned());
                self.queue.push(arrival, Event::Arrives(owner, packet));
            }
            None => self.note(now, &packet, || "lost".to_owned()),
        }
    }

    /// Who answers to an address in a place.
    fn owner(&self, place: Place, ip: IpAddr) -> Option<Node> {
        let host = self
            .hosts
            .iter()
            .position(|host| host.place == place && host.stack.owns(ip));
        if let Some(host) = host {
            return Some(Node::Host(HostId(host)));
        }
        let beneath = |id: usize| Family::of(ip) == Family::V6 && self.is_beneath(NatId(id), ip);
        let mut gateways = self.gateways.iter().enumerate();
        gateways
            .find(|(id, gateway)| gateway.place == place && (gateway.nat.owns(ip) || beneath(*id)))
            .map(|(id, _)| Node::Nat(NatId(id)))
    }

    /// IPv6 is routed to the box in front of the host.
    fn is_beneath(&self, nat: NatId, ip: IpAddr) -> bool {
        self.owner(Place::Behind(nat), ip).is_some()
    }

    fn are_isolated(&self, one: Node, other: Node) -> bool {
        match (one, other) {
            (Node::Host(one), Node::Host(other)) => self.isolated.contains(&(one, other)),
            (Node::Nat(_), _) | (_, Node::Nat(_)) => false,
        }
    }

    fn place_of(&self, node: Node) -> Place {
        match node {
            Node::Host(host) => self.hosts[host.0].place,
            Node::Nat(nat) => self.gateways[nat.0].place,
        }
    }

    /// The host itself or the outermost NAT before it.
    pub(super) fn site_of(&self, host: HostId) -> Node {
        let mut node = Node::Host(host);
        while let Place::Behind(nat) = self.place_of(node) {
            node = Node::Nat(nat);
        }
        node
    }

    fn note_at(&mut self, now: Instant, nat: NatId, packet: &Packet, why: &str) {
        let name = self.gateways[nat.0].name.clone();
        self.note(now, packet, || format!("{name}: {why}"));
    }

    /// Opening and ending segments and whatever did not get through; the rest
    /// would drown them.
    fn note(&mut self, now: Instant, packet: &Packet, what: impl FnOnce() -> String) {
        let what = what();
        let worth = match &packet.body {
            Body::Tcp(segment) => segment.syn || segment.rst || segment.fin,
            Body::Unreachable { .. } => true,
        };
        if worth || (what != "arrives" && what != "on the way") {
            self.log.push((now, format!("{packet}: {what}")));
        }
    }
}
