//! The nftables ruleset that makes the kernel do what a kind does.

use std::fmt;
use std::fmt::Write as _;
use std::net::Ipv4Addr;

use super::{Early, Filtering, Mapping, NatKind};

impl NatKind {
    /// The ruleset for a namespace whose outer device is `wan`, with that address, and whose inner one is `lan`.
    #[must_use]
    pub fn ruleset(self, outer: Ipv4Addr) -> String {
        let mut rules = String::from("flush ruleset\n");
        let stateless = if self.tracked {
            Ok(())
        } else {
            write_stateless(&mut rules, outer)
        };
        stateless
            .and_then(|()| self.write_translation(&mut rules, outer))
            .and_then(|()| self.write_filter(&mut rules))
            .unwrap_or_else(|_| {
                unreachable!("writing to a string does not fail");
            });
        rules
    }

    fn write_translation(self, out: &mut String, outer: Ipv4Addr) -> fmt::Result {
        let learns = self.hairpin
            || self.filtering == Filtering::Open
            || self.filtering == Filtering::Address;
        writeln!(out, "table ip nat {{")?;
        if learns || self.mapping == Mapping::Random {
            writeln!(
                out,
                " map inside {{ type inet_service : ipv4_addr . inet_service; {DYNAMIC} }}"
            )?;
        }
        if self.mapping == Mapping::Random {
            writeln!(
                out,
                " map outside {{ type ipv4_addr . inet_service : ipv4_addr . inet_service; {DYNAMIC} }}"
            )?;
        }
        if self.filtering == Filtering::Address {
            writeln!(
                out,
                " set contacted {{ type ipv4_addr . inet_service; {DYNAMIC} }}"
            )?;
        }

        writeln!(
            out,
            " chain pre {{ type nat hook prerouting priority dstnat;"
        )?;
        match self.filtering {
            Filtering::Open => {
                writeln!(
                    out,
                    "  iifname wan meta l4proto tcp dnat ip to tcp dport map @inside"
                )?;
            }
            Filtering::Address => {
                writeln!(
                    out,
                    "  iifname wan meta l4proto tcp ip saddr . tcp dport @contacted dnat ip to tcp dport map @inside"
                )?;
            }
            Filtering::Port | Filtering::Strict => {}
        }
        if self.hairpin {
            writeln!(
                out,
                "  iifname lan ip daddr {outer} meta l4proto tcp dnat ip to tcp dport map @inside"
            )?;
        }
        writeln!(out, " }}")?;

        writeln!(
            out,
            " chain post {{ type nat hook postrouting priority srcnat;"
        )?;
        if self.hairpin {
            writeln!(
                out,
                "  iifname lan oifname lan ct status dnat meta l4proto tcp snat to {outer}"
            )?;
        }
        match self.mapping {
            Mapping::Preserving => writeln!(out, "  oifname wan masquerade")?,
            Mapping::Range => {
                writeln!(
                    out,
                    "  oifname wan meta l4proto tcp masquerade to :40000-59999"
                )?;
                writeln!(out, "  oifname wan masquerade")?;
            }
            Mapping::Random => {
                writeln!(
                    out,
                    "  oifname wan meta l4proto tcp snat ip to ip saddr . tcp sport map @outside"
                )?;
                writeln!(out, "  oifname wan masquerade fully-random")?;
            }
            Mapping::SymmetricRandom => writeln!(out, "  oifname wan masquerade random")?,
            Mapping::SymmetricNext { step } => {
                let turn = turn(step);
                let port = |n| format!("{n} : {}", FIRST_PORT + n * step % turn);
                let ports = (0..turn).map(port).collect::<Vec<_>>().join(", ");
                writeln!(
                    out,
                    "  oifname wan meta l4proto tcp snat to {outer} : numgen inc mod {turn} map {{ {ports} }}"
                )?;
                writeln!(out, "  oifname wan masquerade")?;
            }
        }
        writeln!(out, " }}")?;

        // After translation, where a connection's inner and outer endpoint are both known.
        writeln!(
            out,
            " chain learn {{ type filter hook postrouting priority 110;"
        )?;
        let original = "oifname wan meta l4proto tcp ct direction original update";
        let inner = "ct original ip saddr . ct original proto-src";
        if learns || self.mapping == Mapping::Random {
            writeln!(out, "  {original} @inside {{ tcp sport : {inner} }}")?;
        }
        if self.mapping == Mapping::Random {
            writeln!(
                out,
                "  {original} @outside {{ {inner} : ip saddr . tcp sport }}"
            )?;
        }
        if self.filtering == Filtering::Address {
            writeln!(out, "  {original} @contacted {{ ip daddr . tcp sport }}")?;
        }
        writeln!(out, " }}\n}}")
    }

    /// In IPv4 an unsolicited packet is addressed to the NAT itself (`input`), in IPv6 to a host behind it.
    fn write_filter(self, out: &mut String) -> fmt::Result {
        writeln!(out, "table inet fw {{")?;
        writeln!(
            out,
            " chain input {{ type filter hook input priority 0; policy accept;"
        )?;
        writeln!(out, "  ct state established,related accept")?;
        writeln!(out, "  meta l4proto ipv6-icmp accept")?;
        match self.early {
            // The kernel answers by itself: nothing of its own listens there.
            Early::KernelRst => {}
            Early::Silence | Early::RuleRst | Early::PortUnreachable | Early::Prohibited => {
                self.write_answer(out)?;
            }
        }
        writeln!(out, " }}")?;
        writeln!(
            out,
            " chain forward {{ type filter hook forward priority 0; policy accept;"
        )?;
        if self.filtering == Filtering::Strict {
            writeln!(out, "  iifname wan tcp flags & (syn | ack) == syn drop")?;
        }
        writeln!(out, "  ct state established,related,untracked accept")?;
        writeln!(out, "  ct status dnat accept")?;
        writeln!(out, "  iifname wan meta nfproto ipv4 drop")?;
        self.write_answer(out)?;
        writeln!(out, " }}\n}}")
    }

    fn write_answer(self, out: &mut String) -> fmt::Result {
        match self.early {
            Early::Silence => {}
            Early::RuleRst | Early::KernelRst => {
                writeln!(out, "  iifname wan meta l4proto tcp reject with tcp reset")?;
            }
            Early::PortUnreachable => {
                writeln!(
                    out,
                    "  iifname wan meta l4proto tcp reject with icmpx type port-unreachable"
                )?;
            }
            Early::Prohibited => {
                writeln!(
                    out,
                    "  iifname wan meta l4proto tcp reject with icmpx type admin-prohibited"
                )?;
            }
        }
        writeln!(out, "  iifname wan drop")
    }
}

/// Translates TCP past connection tracking: the inner port is the outer one, and whoever was sent to may answer.
///
/// ICMP errors about it are for a connection that nobody knows, and end here.
fn write_stateless(out: &mut String, outer: Ipv4Addr) -> fmt::Result {
    writeln!(
        out,
        "table ip stateless {{
 map inside {{ type inet_service : ipv4_addr; {DYNAMIC} }}
 set holes {{ type ipv4_addr . inet_service . inet_service; flags dynamic,timeout; timeout 120s; size 65535; }}
 chain pre {{ type filter hook prerouting priority raw;
  meta l4proto tcp notrack
  iifname wan meta l4proto tcp ip saddr . tcp sport . tcp dport @holes ip daddr set tcp dport map @inside
 }}
 chain post {{ type filter hook postrouting priority 300;
  oifname wan meta l4proto tcp update @holes {{ ip daddr . tcp dport . tcp sport }}
  oifname wan meta l4proto tcp update @inside {{ tcp sport : ip saddr }}
  oifname wan meta l4proto tcp ip saddr set {outer}
 }}
}}"
    )
}

/// The first of the ports that are given out one after the other, and how many there are at most.
const FIRST_PORT: u32 = 40_000;
const PORTS: u32 = 8_000;

/// How many ports come before the first one again: as many as the steps reach all of.
fn turn(step: u32) -> u32 {
    let shared = |a: u32, b: u32| (2..=b).any(|by| a.is_multiple_of(by) && b.is_multiple_of(by));
    (1..=PORTS)
        .rev()
        .find(|&turn| !shared(turn, step))
        .unwrap_or(1)
}

/// Entries that the rules add themselves and that end when they are not used.
const DYNAMIC: &str = "flags dynamic,timeout; timeout 300s; size 65535;";
