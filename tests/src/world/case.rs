//! What the oracle is asked about a world.

use tcp_punch_proto::plan::Abilities;
use tcp_punch_proto::{Family, Strategies};

use super::builder::Builder;
use super::net::Nat;
use super::setup::Site;
use super::sim::{A, B};
use crate::natbox::Mapping;
use crate::oracle::{Case, Host, Stack, Surroundings, Topology};

impl Builder {
    /// Whether and by what A and B, if they want these strategies, can get a
    /// stream.
    pub fn case(&self, allowed: Strategies) -> Case {
        let shared = self.shared();
        let own = |peer: usize| {
            let mut boxes = self.boxes(peer);
            boxes.truncate(boxes.len() - shared);
            boxes
        };
        let boxes = self.boxes(A);
        Case {
            topology: Topology {
                a: own(A),
                b: own(B),
                shared: boxes[boxes.len() - shared..].to_vec(),
            },
            a: self.oracle_host(A, allowed),
            b: self.oracle_host(B, allowed),
            around: Surroundings::default(),
        }
    }

    /// What a peer is behind, the innermost first.
    pub(super) fn boxes(&self, number: usize) -> Vec<Nat> {
        let boxes = match self.peers[number].site {
            Site::Public => Vec::new(),
            Site::Behind(nat) => vec![nat],
            Site::Nested(nat, carrier) => vec![nat, carrier],
            Site::With(other) => self.boxes(other),
            Site::BehindToo(other, nat) => {
                let outermost = self.boxes(other).pop();
                [Some(nat), outermost].into_iter().flatten().collect()
            }
        };
        match self.family {
            Family::V4 => boxes,
            Family::V6 => boxes.into_iter().map(untranslated).collect(),
        }
    }

    /// How many of them, the outermost, A and B have in common.
    fn shared(&self) -> usize {
        match self.peers[B].site {
            Site::With(A) => self.boxes(A).len(),
            Site::BehindToo(A, _) => 1,
            Site::With(_)
            | Site::BehindToo(..)
            | Site::Public
            | Site::Behind(_)
            | Site::Nested(..) => 0,
        }
    }

    fn oracle_host(&self, number: usize, allowed: Strategies) -> Host {
        let setup = &self.peers[number];
        let boxes = self.boxes(number).len();
        let hops = u8::try_from(boxes + 1).ok();
        Host {
            stack: Stack::Smoltcp,
            abilities: Abilities {
                hops: hops.filter(|_| setup.runtime.low_ttl && setup.knows_hops),
                raw: setup.runtime.raw,
                spoof: false,
                dials: setup.runtime.dials,
            },
            allowed,
            names_router: setup.names_router,
        }
    }
}

/// What a box is to IPv6.
const fn untranslated(nat: Nat) -> Nat {
    Nat {
        mapping: Mapping::Untranslated,
        ..nat
    }
}
