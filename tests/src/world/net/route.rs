//! How packets get from one host to another: up through the sender's NATs,
//! over the wide area network, down through the receiver's.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use tcp_punch_proto::{Family, Instant};

use super::conditions::Conditions;
use super::packet::Glance;
use super::{Event, HostId, NatId, Network, Node, Place};
use crate::natbox::{Passage, Reason, Routers, Side, Verdict};

/// Routers between any two sites: what a short hop limit is to end at.
const ROUTERS: Routers = Routers {
    v4: Ipv4Addr::new(198, 51, 100, 241),
    v6: Ipv6Addr::new(0x2001, 0xdb8, 0xffff, 0, 0, 0, 0, 1),
    count: 4,
};

impl Network {
    /// The host that has received something by it.
    pub(super) fn happen(&mut self, now: Instant, event: Event) -> Option<HostId> {
        match event {
            Event::Arrives(Node::Host(id), packet) => {
                let host = &mut self.hosts[id.0];
                if !host.is_alive {
                    return None;
                }
                let glance = Glance::at(&packet);
                host.stack.wire.incoming.push_back(packet);
                self.note(now, glance, "arrives");
                Some(id)
            }
            Event::Arrives(Node::Nat(nat), packet) => {
                self.enter(now, nat, &packet);
                None
            }
            Event::NatTimer(nat) => {
                self.gateways[nat.0].due = None;
                while let Some(packet) = self.gateways[nat.0].nat.handle_timeout(now) {
                    self.emit(now, Node::Nat(nat), packet);
                }
                self.arm(nat);
                None
            }
        }
    }

    /// Puts a packet on the cable of its sender.
    pub(super) fn emit(&mut self, now: Instant, sender: Node, packet: Vec<u8>) {
        let Some(glance) = Glance::at(&packet) else {
            return;
        };
        match self.place_of(sender) {
            Place::Wan => self.cross(now, sender, packet, glance),
            Place::Behind(nat) => match self.owner(Place::Behind(nat), glance.to.ip) {
                Some(owner) if self.are_isolated(sender, owner) => {
                    self.note(now, Some(glance), "isolated");
                }
                Some(owner) => {
                    let arrival = Conditions::lan_arrival(now);
                    self.queue.push(arrival, Event::Arrives(owner, packet));
                }
                None => self.leave(now, nat, &packet, glance),
            },
        }
    }

    /// Through a NAT from within.
    fn leave(&mut self, now: Instant, id: NatId, packet: &[u8], glance: Glance) {
        let verdict = self.gateways[id.0].nat.handle(now, Side::Inside, packet);
        self.arm(id);
        match verdict {
            Verdict::Forward(packet) => self.emit(now, Node::Nat(id), packet),
            Verdict::Leak(packet) => {
                self.note_at(now, id, glance, "leaks out as it came");
                self.emit(now, Node::Nat(id), packet);
            }
            Verdict::Back(packet) => self.deliver_within(now, id, packet),
            Verdict::Answer(answer) => {
                self.note_at(now, id, glance, "turned back");
                self.deliver_within(now, id, answer);
            }
            Verdict::Drop(why) => self.note_drop(now, id, glance, why),
        }
    }

    /// Through a NAT from outside.
    fn enter(&mut self, now: Instant, id: NatId, packet: &[u8]) {
        let Some(glance) = Glance::at(packet) else {
            return;
        };
        let verdict = self.gateways[id.0].nat.handle(now, Side::Outside, packet);
        self.arm(id);
        match verdict {
            Verdict::Forward(packet) => self.deliver_within(now, id, packet),
            Verdict::Answer(answer) | Verdict::Back(answer) | Verdict::Leak(answer) => {
                self.note_at(now, id, glance, "turned away");
                self.emit(now, Node::Nat(id), answer);
            }
            Verdict::Drop(why) => self.note_drop(now, id, glance, why),
        }
    }

    /// Sees to it that the box is called when it wants to be.
    fn arm(&mut self, id: NatId) {
        let gateway = &mut self.gateways[id.0];
        if let Some(at) = gateway.nat.poll_timeout()
            && gateway.due.is_none_or(|due| at < due)
        {
            gateway.due = Some(at);
            self.queue.push(at, Event::NatTimer(id));
        }
    }

    /// In the inner network of a NAT, without delay: that of the way is the
    /// wide area network's.
    fn deliver_within(&mut self, now: Instant, nat: NatId, packet: Vec<u8>) {
        let Some(glance) = Glance::at(&packet) else {
            return;
        };
        match self.owner(Place::Behind(nat), glance.to.ip) {
            Some(owner) => self.queue.push(now, Event::Arrives(owner, packet)),
            None => self.note_at(now, nat, glance, "nobody there"),
        }
    }

    fn cross(&mut self, now: Instant, sender: Node, mut packet: Vec<u8>, glance: Glance) {
        let Some(owner) = self.owner(Place::Wan, glance.to.ip) else {
            self.note(now, Some(glance), "no route");
            return;
        };
        // BCP 38: what a NAT has let out untranslated ends here.
        if self.owner(Place::Wan, glance.from.ip) != Some(sender) {
            self.note(now, Some(glance), "not of this site");
            return;
        }
        if let Passage::EndsAt(number, answer) = ROUTERS.pass(&mut packet) {
            self.note(now, Some(glance), "hop limit");
            if let Some(answer) = answer {
                let share = (number, ROUTERS.count + 1);
                let arrival = self.conditions.return_from(now, (sender, owner), share);
                self.queue.push(arrival, Event::Arrives(sender, answer));
            }
            return;
        }
        let flow = (glance.from, glance.to);
        match self.conditions.travel(now, (sender, owner), flow) {
            Some(arrival) => {
                self.note(now, Some(glance), "on the way");
                self.queue.push(arrival, Event::Arrives(owner, packet));
            }
            None => self.note(now, Some(glance), "lost"),
        }
    }

    /// Who answers to an address in a place.
    fn owner(&self, place: Place, ip: IpAddr) -> Option<Node> {
        let mut hosts = self.hosts.iter();
        let of_host =
            hosts.position(|host| host.place == place && host.stack.addresses.contains(&ip));
        if let Some(host) = of_host {
            return Some(Node::Host(HostId(host)));
        }
        let mut gateways = self.gateways.iter().enumerate();
        gateways
            .find(|(id, gateway)| {
                gateway.place == place
                    && match ip {
                        IpAddr::V4(ip) => gateway.addresses.outer_v4 == Some(ip),
                        IpAddr::V6(own) => {
                            gateway.addresses.outer_v6 == Some(own)
                                || self.is_beneath(NatId(*id), ip)
                        }
                    }
            })
            .map(|(id, _)| Node::Nat(NatId(id)))
    }

    /// IPv6 is routed to the box in front of the host.
    fn is_beneath(&self, nat: NatId, ip: IpAddr) -> bool {
        Family::of(ip) == Family::V6 && self.owner(Place::Behind(nat), ip).is_some()
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

    fn note_drop(&mut self, now: Instant, nat: NatId, glance: Glance, why: Reason) {
        self.note_at(now, nat, glance, &why.to_string());
    }

    fn note_at(&mut self, now: Instant, nat: NatId, glance: Glance, why: &str) {
        let line = format!("{glance}: {}: {why}", self.gateways[nat.0].name);
        self.log.push((now, line));
    }

    /// Opening and ending segments and whatever did not get through; the rest
    /// would drown them.
    fn note(&mut self, now: Instant, glance: Option<Glance>, what: &str) {
        let Some(glance) = glance else { return };
        if glance.is_remarkable() || (what != "arrives" && what != "on the way") {
            self.log.push((now, format!("{glance}: {what}")));
        }
    }
}
