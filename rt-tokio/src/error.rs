//! Why there is no stream or no link, and what to do about it.

use std::fmt;

use proto::{FailReason, Failure, LinkFailure, Misuse, PeerId, SessionId, Tried};

/// Why a stream did not come about. Its text says what was tried and what to do
/// next.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConnectError {
    /// The session ended without a stream.
    Session {
        /// The session.
        session: SessionId,
        /// The other side.
        peer: PeerId,
        /// Why.
        reason: FailReason,
        /// What was tried and what came back.
        tried: Tried,
        /// What was last wrong with the link to the server, if it is not up.
        link: Option<LinkFailure>,
    },
    /// It could not even begin.
    Misuse(Misuse),
    /// The peer was shut down.
    Stopped,
}

impl ConnectError {
    /// Why the session failed; `None` where there was no session.
    pub const fn reason(&self) -> Option<FailReason> {
        match self {
            Self::Session { reason, .. } => Some(*reason),
            Self::Misuse(_) | Self::Stopped => None,
        }
    }

    /// What was tried; nothing where there was no session.
    pub fn tried(&self) -> Tried {
        match self {
            Self::Session { tried, .. } => *tried,
            Self::Misuse(_) | Self::Stopped => Tried::default(),
        }
    }

    /// What to do next, in one sentence.
    pub const fn advice(&self) -> &'static str {
        match self {
            Self::Session {
                reason: FailReason::NoServer,
                link: Some(link),
                ..
            } => link_advice(*link),
            Self::Session { reason, tried, .. } => session_advice(*reason, tried),
            Self::Misuse(Misuse::TooManySessions) => "wait for other sessions to end",
            Self::Misuse(Misuse::OwnId) => "give the id of the other peer, not the own one",
            Self::Misuse(Misuse::UnknownSession) => {
                "nothing to do: the other side gave up before the decision"
            }
            Self::Misuse(_) | Self::Stopped => "start the peer again",
        }
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Session {
                reason,
                tried,
                link,
                ..
            } => {
                write!(f, "{reason}")?;
                if let (FailReason::NoServer, Some(link)) = (reason, link) {
                    write!(f, ": {link}")?;
                }
                if tried.dials > 0 || tried.connected > 0 {
                    write!(f, " (tried: {})", Summary(tried))?;
                }
            }
            Self::Misuse(misuse) => f.write_str(misuse_text(*misuse))?,
            Self::Stopped => f.write_str("the peer was shut down")?,
        }
        write!(f, "; {}", self.advice())
    }
}

impl std::error::Error for ConnectError {}

/// Why a peer is not registered and will not be by waiting. Its text says what to
/// do next.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RegisterError {
    /// The link failed for a reason that somebody has to do something about.
    Link(LinkFailure),
    /// The peer was shut down.
    Stopped,
}

impl fmt::Display for RegisterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Link(reason) => write!(f, "{reason}; {}", link_advice(*reason)),
            Self::Stopped => f.write_str("the peer was shut down; start it again"),
        }
    }
}

impl std::error::Error for RegisterError {}

/// What a session tried, in words.
#[derive(Debug)]
struct Summary<'a>(&'a Tried);

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tried = self.0;
        write!(f, "{} dials from {} port pairs", tried.dials, tried.pairs)?;
        for (count, what) in [
            (tried.refused, "refused"),
            (tried.unreachable, "unreachable"),
            (tried.failed, "failed otherwise"),
            (tried.unanswered, "unanswered"),
            (tried.connected, "connected"),
            (tried.unverified, "not verified"),
        ] {
            if count > 0 {
                write!(f, ", {count} {what}")?;
            }
        }
        write!(
            f,
            "; mapping here {}, there {}",
            tried.own_mapping, tried.peer_mapping
        )
    }
}

/// What to do about a link that failed.
pub const fn link_advice(reason: LinkFailure) -> &'static str {
    match reason {
        LinkFailure::NameNotFound => {
            "check the spelling of the server's name and this host's name service"
        }
        LinkFailure::Dial(Failure::Refused) => {
            "check that the server runs and that its port is right"
        }
        LinkFailure::Dial(_) | LinkFailure::TimedOut | LinkFailure::Dead => {
            "check this host's network, and that no firewall is between it and the server"
        }
        LinkFailure::WrongKey => {
            "take HOST:PORT/KEY anew from the line that `tcp-punch serve` prints; if it is right, \
             somebody else answers at that address"
        }
        LinkFailure::Version => "use the same release at the peer and the server",
        LinkFailure::Protocol => {
            "check that the port is the server's main port and not another one"
        }
        LinkFailure::TokenRefused => "ask the server's operator for its token and give it",
        LinkFailure::Busy => "try again later, or use another server",
        LinkFailure::Replaced => "give every running peer a key of its own",
        LinkFailure::Closed => "nothing to do: it is tried again by itself",
        LinkFailure::NoPort(Failure::Exhausted) => "raise this process's limit of open files",
        LinkFailure::NoPort(_) => "check what holds this host's TCP ports, and its limits",
        _ => "try again later",
    }
}

/// What to do about a session that failed.
pub const fn session_advice(reason: FailReason, tried: &Tried) -> &'static str {
    match reason {
        FailReason::PeerUnknown => {
            "check the id, and that the other peer runs and is registered at the same server"
        }
        FailReason::NotAllowed => {
            "have this peer's id (`tcp-punch id`) put on the other side's list"
        }
        FailReason::Busy => "try again in a moment",
        FailReason::ConsentTimedOut => "have somebody answer at the other side, then try again",
        FailReason::NoServer => "check the link to the server",
        FailReason::NoPort => {
            "check this host's limit of open files and that the assist ports are reachable"
        }
        FailReason::NothingToTry => "allow more strategies at one of the two sides",
        FailReason::PunchTimedOut => match (tried.own_mapping, tried.peer_mapping) {
            (own, peer) if own.is_dependent() && peer.is_dependent() => {
                "both NATs choose another port for every destination (symmetric): no punch can work; \
                 put one side behind another router, forward a port there, or use IPv6"
            }
            (own, _) if own.is_dependent() => {
                "the NAT here chooses another port for every destination (symmetric): forward a port, \
                 use another router, or IPv6"
            }
            (_, peer) if peer.is_dependent() => {
                "the other side's NAT chooses another port for every destination (symmetric): forward a \
                 port there, use another router, or IPv6"
            }
            _ if tried.refused > 0 && tried.unanswered == 0 => {
                "something refuses the connections: check both sides' firewalls"
            }
            _ => {
                "try again; if it stays so, check that both sides' firewalls let outgoing TCP through"
            }
        },
        FailReason::NotVerified => {
            "check that both sides have the same shared secret; if so, somebody else answered at the \
             other side's address"
        }
        FailReason::WinnerLost => "try again: the network broke the connection at the last moment",
        FailReason::Untrusted => {
            "check that both sides have the same shared secret and are of one release"
        }
        FailReason::Cancelled => "nothing to do: it was cancelled",
        FailReason::Gone => "try again",
        _ => "try again later",
    }
}

const fn misuse_text(misuse: Misuse) -> &'static str {
    match misuse {
        Misuse::TooManySessions => "too many sessions at once",
        Misuse::UnknownSession => "the session is over already",
        Misuse::OwnId => "a peer cannot connect to itself",
        Misuse::NotRunning => "the peer is not running",
        _ => "the call makes no sense now",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(reason: FailReason, tried: Tried, link: Option<LinkFailure>) -> ConnectError {
        ConnectError::Session {
            session: SessionId::from_bytes([0; 16]),
            peer: PeerId::from_bytes([0; 32]),
            reason,
            tried,
            link,
        }
    }

    #[test]
    fn an_error_says_what_was_tried_and_what_to_do() {
        let tried = Tried {
            pairs: 2,
            dials: 5,
            refused: 3,
            unanswered: 2,
            own_mapping: proto::Mapping::AddressAndPortDependent,
            peer_mapping: proto::Mapping::AddressDependent,
            ..Tried::default()
        };
        let text = failed(FailReason::PunchTimedOut, tried, None).to_string();
        for part in [
            "before the deadline",
            "5 dials from 2 port pairs",
            "3 refused",
            "2 unanswered",
            "symmetric",
        ] {
            assert!(text.contains(part), "{part:?} is not in {text:?}");
        }
        assert!(
            !text.contains("0 "),
            "nothing that did not happen: {text:?}"
        );
    }

    #[test]
    fn without_a_server_the_link_is_to_blame() {
        let text = failed(
            FailReason::NoServer,
            Tried::default(),
            Some(LinkFailure::TokenRefused),
        )
        .to_string();
        assert!(
            text.contains("wants another token") && text.contains("operator"),
            "{text}"
        );
        assert!(!text.contains("tried"), "{text}");
    }
}
