//! The NATs of the lab: what each kind does, and the nftables ruleset that makes the kernel do it.
//!
//! A kind is data, three answers and a switch; the ruleset is put together from them. The words are those of
//! RFC 4787 and RFC 5382.

use std::fmt;
use std::fmt::Write as _;
use std::net::Ipv4Addr;

/// Which outer port an inner endpoint gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mapping {
    /// The inner port where it is free, the same for all destinations.
    Preserving,
    /// A port of a range, the same for all destinations.
    Range,
    /// A random port, the same for all destinations.
    Random,
    /// A random port for each destination.
    SymmetricRandom,
    /// The next port for each destination.
    SymmetricNext,
}

/// Whose packets are let in at a mapped endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Filtering {
    /// Those of the endpoints that were sent to.
    Port,
    /// Those of the addresses that were sent to.
    Address,
    /// Everybody's.
    Open,
    /// As `Port`, and never a SYN without ACK.
    Strict,
}

/// What an unsolicited SYN is answered with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Early {
    Silence,
    /// A RST, because a rule says so.
    RuleRst,
    /// A RST, because no rule is there and the kernel itself has no listener.
    KernelRst,
    PortUnreachable,
    Prohibited,
}

/// One kind of NAT, or of stateful IPv6 firewall.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NatKind {
    /// What it is called on the command line.
    pub name: &'static str,
    /// What it does, in a few words.
    pub about: &'static str,
    mapping: Mapping,
    filtering: Filtering,
    early: Early,
    hairpin: bool,
}

/// What the others are variations of: plain `masquerade`.
const DROP: NatKind = NatKind {
    name: "drop",
    about: "masquerade; unsolicited packets are dropped",
    mapping: Mapping::Preserving,
    filtering: Filtering::Port,
    early: Early::Silence,
    hairpin: false,
};

/// All kinds, in the order in which `--help` lists them.
pub const KINDS: [NatKind; 13] = [
    DROP,
    NatKind {
        name: "rst-rule",
        about: "... answered with RST by a rule",
        early: Early::RuleRst,
        ..DROP
    },
    NatKind {
        name: "rst",
        about: "... answered with RST by the kernel itself",
        early: Early::KernelRst,
        ..DROP
    },
    NatKind {
        name: "icmp",
        about: "... answered with ICMP port unreachable",
        early: Early::PortUnreachable,
        ..DROP
    },
    NatKind {
        name: "icmp-admin",
        about: "... answered with ICMP prohibited",
        early: Early::Prohibited,
        ..DROP
    },
    NatKind {
        name: "full-cone",
        about: "lets everybody in at a mapped port",
        filtering: Filtering::Open,
        ..DROP
    },
    NatKind {
        name: "address-restricted",
        about: "lets every port of a contacted address in",
        filtering: Filtering::Address,
        ..DROP
    },
    NatKind {
        name: "symmetric",
        about: "a random port for each destination",
        mapping: Mapping::SymmetricRandom,
        ..DROP
    },
    NatKind {
        name: "symmetric-seq",
        about: "the next port for each destination",
        mapping: Mapping::SymmetricNext,
        ..DROP
    },
    NatKind {
        name: "eim-range",
        about: "another port range, one port for all",
        mapping: Mapping::Range,
        ..DROP
    },
    NatKind {
        name: "eim-random",
        about: "a random port, one for all",
        mapping: Mapping::Random,
        ..DROP
    },
    NatKind {
        name: "hairpin",
        about: "drop, and turns LAN packets to its own address around",
        hairpin: true,
        ..DROP
    },
    NatKind {
        name: "strict",
        about: "lets no inbound SYN pass, whoever it is from",
        filtering: Filtering::Strict,
        ..DROP
    },
];

impl NatKind {
    /// The default: plain `masquerade`, unsolicited packets dropped.
    pub const DROP: Self = DROP;

    /// The kind of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        KINDS.into_iter().find(|kind| kind.name == name)
    }

    /// Whether it can be told from `drop` where there is nothing to translate, as a firewall for IPv6.
    #[must_use]
    pub fn is_for_ipv6(self) -> bool {
        self.mapping == Mapping::Preserving && self.filtering == Filtering::Port && !self.hairpin
    }

    /// Whether the outer port depends on the destination.
    #[must_use]
    pub fn is_symmetric(self) -> bool {
        matches!(
            self.mapping,
            Mapping::SymmetricRandom | Mapping::SymmetricNext
        )
    }

    /// The ruleset for a namespace whose outer device is `wan`, with that address, and whose inner one is `lan`.
    #[must_use]
    pub fn ruleset(self, outer: Ipv4Addr) -> String {
        let mut rules = String::from("flush ruleset\n");
        self.write_translation(&mut rules, outer)
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
            Mapping::SymmetricNext => {
                let ports: Vec<String> =
                    (0..8000).map(|n| format!("{n} : {}", 40000 + n)).collect();
                let ports = ports.join(", ");
                writeln!(
                    out,
                    "  oifname wan meta l4proto tcp snat to {outer} : numgen inc mod 8000 map {{ {ports} }}"
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

/// Entries that the rules add themselves and that end when they are not used.
const DYNAMIC: &str = "flags dynamic,timeout; timeout 300s; size 65535;";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_found_by_its_name() {
        for kind in KINDS {
            assert_eq!(NatKind::named(kind.name), Some(kind));
        }
        assert_eq!(NatKind::named("none"), None);
    }

    #[test]
    fn rulesets_have_balanced_braces_and_the_outer_address_where_needed() {
        let outer = Ipv4Addr::new(198, 51, 100, 1);
        for kind in KINDS {
            let rules = kind.ruleset(outer);
            assert_eq!(
                rules.matches('{').count(),
                rules.matches('}').count(),
                "{}",
                kind.name
            );
        }
        assert!(
            NatKind::named("hairpin")
                .unwrap()
                .ruleset(outer)
                .contains("snat to 198.51.100.1")
        );
    }

    #[test]
    fn ipv6_has_the_kinds_that_only_filter() {
        let names: Vec<_> = KINDS
            .into_iter()
            .filter(|kind| kind.is_for_ipv6())
            .map(|kind| kind.name)
            .collect();
        assert_eq!(names, ["drop", "rst-rule", "rst", "icmp", "icmp-admin"]);
    }
}
