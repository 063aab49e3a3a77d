//! Who is where: the links of this server and the peers that they speak for.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use proto::rendezvous::{Observation, Routed};
use proto::wire::DialBackOutcome;
use proto::{LinkHandle, PeerId};
use tokio::sync::mpsc::{Receiver, Sender, channel};

/// Messages that may wait for one link. A link that does not keep up with these
/// is stuck in its own sends; what comes then is unroutable.
const INBOX: usize = 32;

/// What reaches a link from elsewhere in the server. Boxed: thousands of inboxes
/// have room for 32 each, and nearly all are empty.
#[derive(Debug)]
pub(super) enum Message {
    Routed(Box<Routed>),
    Unroutable(Box<Routed>),
    Observed(Box<Observation>),
    DialedBack {
        port: u16,
        other_address: bool,
        outcome: DialBackOutcome,
    },
    Replaced,
    Drain,
}

/// The routing tables. Locks are held for a few map operations only, never
/// across an await.
#[derive(Debug, Default)]
pub(super) struct Registry {
    tables: Mutex<Tables>,
}

#[derive(Debug, Default)]
struct Tables {
    links: HashMap<LinkHandle, Sender<Message>>,
    peers: HashMap<PeerId, Registration>,
    draining: bool,
}

#[derive(Copy, Clone, Debug)]
struct Registration {
    epoch: u64,
    handle: LinkHandle,
}

/// What became of a registration.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Registered {
    /// The link speaks for the peer now.
    Yes,
    /// A newer link does already.
    Outdated,
}

impl Registry {
    fn tables(&self) -> MutexGuard<'_, Tables> {
        // A task that panicked in here has not left half a change: each is one
        // map operation or ordered so that it does not matter.
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in a link; `None` if the server is draining or the handle is taken.
    ///
    /// The registry holds the only sender: when the link finds its inbox closed,
    /// it was put out for not keeping up.
    pub(super) fn add(&self, handle: LinkHandle) -> Option<Receiver<Message>> {
        let mut tables = self.tables();
        if tables.draining || tables.links.contains_key(&handle) {
            return None;
        }
        let (sender, inbox) = channel(INBOX);
        tables.links.insert(handle, sender);
        Some(inbox)
    }

    /// Forgets a link, and its peer unless a newer link speaks for that.
    pub(super) fn remove(&self, handle: LinkHandle, peer: Option<PeerId>) {
        let mut tables = self.tables();
        tables.links.remove(&handle);
        if let Some(peer) = peer
            && tables
                .peers
                .get(&peer)
                .is_some_and(|registration| registration.handle == handle)
        {
            tables.peers.remove(&peer);
        }
    }

    /// Lets a link speak for a peer. An older link of that peer is told, or put
    /// out if it does not keep up.
    pub(super) fn register(&self, peer: PeerId, epoch: u64, handle: LinkHandle) -> Registered {
        let mut tables = self.tables();
        let before = tables.peers.get(&peer).copied();
        if let Some(before) = before
            && before.handle != handle
        {
            if before.epoch > epoch {
                return Registered::Outdated;
            }
            let told = tables
                .links
                .get(&before.handle)
                .map(|link| link.try_send(Message::Replaced));
            if let Some(Err(_)) = told {
                tables.links.remove(&before.handle);
            }
        }
        tables.peers.insert(peer, Registration { epoch, handle });
        Registered::Yes
    }

    /// Delivers a message to the addressee's link, or gives it back.
    pub(super) fn route(&self, routed: Box<Routed>) -> Result<(), Box<Routed>> {
        let tables = self.tables();
        let link = tables
            .peers
            .get(&routed.to)
            .and_then(|registration| tables.links.get(&registration.handle));
        let Some(link) = link else {
            return Err(routed);
        };
        link.try_send(Message::Routed(routed))
            .map_err(|error| match error.into_inner() {
                Message::Routed(routed) | Message::Unroutable(routed) => routed,
                Message::Observed(_)
                | Message::DialedBack { .. }
                | Message::Replaced
                | Message::Drain => {
                    unreachable!("what comes back is what was sent")
                }
            })
    }

    /// Tells a link something, if it is still there and keeps up.
    pub(super) fn tell(&self, handle: LinkHandle, message: Message) {
        if let Some(link) = self.tables().links.get(&handle) {
            // A link whose inbox is full has worse to care for.
            let _ = link.try_send(message);
        }
    }

    /// Delivers an observation; false if nobody has that handle, or no room.
    pub(super) fn observed(&self, observation: Observation) -> bool {
        let tables = self.tables();
        tables.links.get(&observation.handle).is_some_and(|link| {
            link.try_send(Message::Observed(Box::new(observation)))
                .is_ok()
        })
    }

    /// Tells every link to close and takes in no more. Those that do not keep up
    /// are put out.
    pub(super) fn drain(&self) {
        let mut tables = self.tables();
        tables.draining = true;
        tables
            .links
            .retain(|_, link| link.try_send(Message::Drain).is_ok());
    }
}

#[cfg(test)]
mod tests {
    use proto::SessionId;
    use proto::rendezvous::RouteMessage;

    use super::*;

    const PEER: PeerId = PeerId::from_bytes([1; 32]);
    const OLD: LinkHandle = LinkHandle(1);
    const NEW: LinkHandle = LinkHandle(2);

    fn message(to: PeerId) -> Box<Routed> {
        Box::new(Routed {
            from: PeerId::from_bytes([9; 32]),
            to,
            session: SessionId::from_bytes([0; 16]),
            message: RouteMessage::Cancel,
        })
    }

    #[test]
    fn a_message_reaches_the_link_that_speaks_for_the_peer() {
        let registry = Registry::default();
        let mut inbox = registry.add(OLD).unwrap();
        assert!(registry.route(message(PEER)).is_err(), "not registered yet");
        registry.register(PEER, 1, OLD);
        registry.route(message(PEER)).unwrap();
        assert!(matches!(inbox.try_recv(), Ok(Message::Routed(_))));
        registry.remove(OLD, Some(PEER));
        assert!(registry.route(message(PEER)).is_err(), "gone");
    }

    #[test]
    fn the_newer_link_wins_whatever_the_order() {
        let registry = Registry::default();
        let (mut old, mut new) = (registry.add(OLD).unwrap(), registry.add(NEW).unwrap());
        assert_eq!(registry.register(PEER, 1, OLD), Registered::Yes);
        assert_eq!(registry.register(PEER, 2, NEW), Registered::Yes);
        assert!(matches!(old.try_recv(), Ok(Message::Replaced)));
        assert_eq!(registry.register(PEER, 1, OLD), Registered::Outdated);
        // What the old link leaves behind does not take the new one's place.
        registry.remove(OLD, Some(PEER));
        registry.route(message(PEER)).unwrap();
        assert!(matches!(new.try_recv(), Ok(Message::Routed(_))));
    }

    #[test]
    fn a_full_inbox_is_unroutable_and_a_stuck_link_is_put_out() {
        let registry = Registry::default();
        let mut stuck = registry.add(OLD).unwrap();
        registry.register(PEER, 1, OLD);
        for _ in 0..INBOX {
            registry.route(message(PEER)).unwrap();
        }
        assert!(registry.route(message(PEER)).is_err());
        let _inbox = registry.add(NEW).unwrap();
        registry.register(PEER, 2, NEW);
        while stuck.try_recv().is_ok() {}
        assert!(stuck.is_closed());
    }

    #[test]
    fn a_draining_server_takes_in_nobody() {
        let registry = Registry::default();
        let mut inbox = registry.add(OLD).unwrap();
        registry.drain();
        assert!(matches!(inbox.try_recv(), Ok(Message::Drain)));
        assert!(registry.add(NEW).is_none());
    }

    #[test]
    fn a_message_in_an_inbox_takes_two_words() {
        // 32 of them are allocated with every link.
        assert!(size_of::<Message>() <= 16);
    }
}
