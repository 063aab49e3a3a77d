//! Who may get a stream to us.

use std::collections::HashSet;

use proto::config::MAX_NAMED;
use proto::{Access, Decision, InAdvance, PeerId};

/// Whom a peer lets in, and whether the server may introduce them unasked.
///
/// ```
/// use tcp_punch_tokio::{AccessPolicy, PeerId};
///
/// let friend = PeerId::from_bytes([7; 32]);
/// // The friend comes in at once, anybody else is put to the application.
/// let policy = AccessPolicy::only([friend]).ask_for_others().consent_in_advance();
/// # let _ = policy;
/// ```
#[derive(Clone, Debug)]
pub struct AccessPolicy {
    listed: HashSet<PeerId>,
    others: Decision,
    in_advance: bool,
    /// What the server is told: as much of the list as it takes.
    named: Vec<PeerId>,
}

impl AccessPolicy {
    /// Nobody: for peers that only make requests. The default.
    pub fn nobody() -> Self {
        Self {
            listed: HashSet::new(),
            others: Decision::Refuse,
            in_advance: false,
            named: Vec::new(),
        }
    }

    /// Anyone who knows our id. They have proven theirs, and that is all.
    pub fn anyone() -> Self {
        Self {
            others: Decision::Allow,
            ..Self::nobody()
        }
    }

    /// These and nobody else; any number of them.
    pub fn only(peers: impl IntoIterator<Item = PeerId>) -> Self {
        Self {
            listed: peers.into_iter().collect(),
            ..Self::nobody()
        }
    }

    /// The application decides about everyone
    /// ([`Peer::accept_request`](crate::Peer::accept_request)).
    pub fn ask() -> Self {
        Self::nobody().ask_for_others()
    }

    /// The application decides about those who are not listed.
    #[must_use]
    pub const fn ask_for_others(mut self) -> Self {
        self.others = Decision::Ask;
        self
    }

    /// Tells the server whom it may introduce without asking us first, which
    /// saves a round trip.
    ///
    /// For that the server learns who is allowed, and tells them our endpoint
    /// when they ask. It takes 16 names; more are allowed all the same, and asked
    /// for one by one. Our own list is consulted in any case.
    #[must_use]
    pub fn consent_in_advance(mut self) -> Self {
        self.in_advance = true;
        self.named = self.listed.iter().copied().take(MAX_NAMED).collect();
        self
    }
}

impl Default for AccessPolicy {
    fn default() -> Self {
        Self::nobody()
    }
}

impl Access for AccessPolicy {
    fn decide(&self, peer: &PeerId) -> Decision {
        if self.listed.contains(peer) {
            Decision::Allow
        } else {
            self.others
        }
    }

    fn in_advance(&self) -> InAdvance<'_> {
        match (self.in_advance, self.others) {
            (false, _) => InAdvance::Nobody,
            (true, Decision::Allow) => InAdvance::Anyone,
            (true, Decision::Refuse | Decision::Ask) if self.named.is_empty() => InAdvance::Nobody,
            (true, Decision::Refuse | Decision::Ask) => InAdvance::Named(&self.named),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRIEND: PeerId = PeerId::from_bytes([1; 32]);
    const STRANGER: PeerId = PeerId::from_bytes([2; 32]);

    #[test]
    fn policies_by_table() {
        use Decision::{Allow, Ask, Refuse};
        for (policy, friend, stranger) in [
            (AccessPolicy::nobody(), Refuse, Refuse),
            (AccessPolicy::anyone(), Allow, Allow),
            (AccessPolicy::only([FRIEND]), Allow, Refuse),
            (AccessPolicy::ask(), Ask, Ask),
            (AccessPolicy::only([FRIEND]).ask_for_others(), Allow, Ask),
        ] {
            assert_eq!(
                (policy.decide(&FRIEND), policy.decide(&STRANGER)),
                (friend, stranger),
                "{policy:?}"
            );
            assert_eq!(
                policy.in_advance(),
                InAdvance::Nobody,
                "nothing is told unless asked for"
            );
        }
    }

    #[test]
    fn the_server_is_told_what_it_may_do_unasked() {
        assert_eq!(
            AccessPolicy::anyone().consent_in_advance().in_advance(),
            InAdvance::Anyone
        );
        assert_eq!(
            AccessPolicy::ask().consent_in_advance().in_advance(),
            InAdvance::Nobody
        );
        let one = AccessPolicy::only([FRIEND])
            .ask_for_others()
            .consent_in_advance();
        assert_eq!(one.in_advance(), InAdvance::Named(&[FRIEND]));
        let many = (0..100).map(|i| PeerId::from_bytes([i; 32]));
        let many = AccessPolicy::only(many).consent_in_advance();
        let InAdvance::Named(named) = many.in_advance() else {
            panic!()
        };
        assert_eq!(named.len(), MAX_NAMED);
        assert_eq!(many.decide(&PeerId::from_bytes([99; 32])), Decision::Allow);
    }
}
