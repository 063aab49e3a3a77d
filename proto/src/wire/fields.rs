//! Parts that several messages have in common.

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use heapless::Vec;
use serde::de::{SeqAccess, Visitor};
use serde::ser::SerializeSeq;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::addr::{Candidate, CandidateKind, Candidates, Endpoint, MAX_HOST_ADDRESSES};
use crate::event::{FailReason, StreamMode};

/// Longest handshake message that an introduction carries: message 1 is 112
/// bytes and its payload, message 2 is 48.
pub const MAX_NOISE: usize = 160;

/// A handshake message on its way.
pub type NoiseMessage = Vec<u8, MAX_NOISE>;

/// The peer's own addresses.
pub type Hosts = Vec<IpAddr, MAX_HOST_ADDRESSES>;

/// What later versions may add to a message: a row of (tag, length, value), one
/// byte, one byte, `length` bytes. Tags that are not known are skipped; none is
/// known yet.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extensions<'a>(#[serde(borrow)] &'a [u8]);

impl<'a> Extensions<'a> {
    /// Nothing added.
    pub const NONE: Self = Self(&[]);

    /// Wraps encoded extensions.
    pub const fn from_bytes(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The encoded form.
    pub const fn as_bytes(&self) -> &'a [u8] {
        self.0
    }

    /// Each tag and its value; stops at the first that is cut short.
    pub fn iter(&self) -> impl Iterator<Item = (u8, &'a [u8])> {
        let mut rest = self.0;
        core::iter::from_fn(move || {
            let (&tag, behind) = rest.split_first()?;
            let (&len, behind) = behind.split_first()?;
            let (value, behind) = behind.split_at_checked(usize::from(len))?;
            rest = behind;
            Some((tag, value))
        })
    }
}

/// What became of a dial from the server to one of a peer's ports.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum DialBackOutcome {
    /// The server has no endpoint to dial from, or had enough to do.
    NotTried,
    /// It was let in.
    Connected,
    /// RST answered.
    Refused,
    /// ICMP answered.
    Unreachable,
    /// Nothing answered in time.
    Silence,
}

/// A list element that may come to have other shapes: its kind, and bytes whose
/// length is known without knowing the kind.
#[derive(Serialize, Deserialize)]
struct Element<'a>(u8, #[serde(borrow)] &'a [u8]);

/// Reads a list, keeps the elements that `parse` knows and that there is room
/// for, and skips the others.
struct Elements<T, const N: usize>(fn(u8, &[u8]) -> Option<T>);

impl<'de, T, const N: usize> Visitor<'de> for Elements<T, N> {
    type Value = Vec<T, N>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of (kind, bytes)")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut known = Vec::new();
        while let Some(Element(kind, bytes)) = seq.next_element()? {
            if let Some(value) = self.0(kind, bytes) {
                // A list that is longer than ours is cut: the best come first.
                let _ = known.push(value);
            }
        }
        Ok(known)
    }
}

const MAPPED_V4: u8 = 1;
const MAPPED_V6: u8 = 2;
const HOST_V4: u8 = 3;
const HOST_V6: u8 = 4;

/// `Candidates` as a list of (kind, address and port big-endian).
pub(super) mod candidates {
    use super::*;

    pub(in crate::wire) fn serialize<S: Serializer>(
        list: &Candidates,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        let mut seq = to.serialize_seq(Some(list.len()))?;
        for candidate in list {
            let kind = match (candidate.kind, candidate.endpoint.ip) {
                (CandidateKind::Mapped, IpAddr::V4(_)) => MAPPED_V4,
                (CandidateKind::Mapped, IpAddr::V6(_)) => MAPPED_V6,
                (CandidateKind::Host, IpAddr::V4(_)) => HOST_V4,
                (CandidateKind::Host, IpAddr::V6(_)) => HOST_V6,
            };
            seq.serialize_element(&Element(kind, &endpoint_bytes(candidate.endpoint)))?;
        }
        seq.end()
    }

    pub(in crate::wire) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Candidates, D::Error> {
        from.deserialize_seq(Elements(|kind, bytes| {
            let (kind, v6) = match kind {
                MAPPED_V4 => (CandidateKind::Mapped, false),
                MAPPED_V6 => (CandidateKind::Mapped, true),
                HOST_V4 => (CandidateKind::Host, false),
                HOST_V6 => (CandidateKind::Host, true),
                _ => return None,
            };
            let endpoint = parse_endpoint(bytes)?;
            (endpoint.ip.is_ipv6() == v6).then_some(Candidate { kind, endpoint })
        }))
    }
}

/// `Endpoint` as address and port big-endian, 6 or 18 bytes.
pub(super) mod endpoint {
    use super::*;
    use serde::de::Error;

    pub(in crate::wire) fn serialize<S: Serializer>(
        endpoint: &Endpoint,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.serialize_bytes(&endpoint_bytes(*endpoint))
    }

    pub(in crate::wire) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Endpoint, D::Error> {
        let bytes = <&[u8]>::deserialize(from)?;
        parse_endpoint(bytes).ok_or_else(|| D::Error::custom("endpoint"))
    }
}

/// A list of `Endpoint`s, (family 4 or 6, address and port).
pub(super) mod endpoints {
    use super::*;

    pub(in crate::wire) fn serialize<S: Serializer, const N: usize>(
        list: &Vec<Endpoint, N>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        let mut seq = to.serialize_seq(Some(list.len()))?;
        for endpoint in list {
            let kind = if endpoint.ip.is_ipv6() { 6 } else { 4 };
            seq.serialize_element(&Element(kind, &endpoint_bytes(*endpoint)))?;
        }
        seq.end()
    }

    pub(in crate::wire) fn deserialize<'de, D: Deserializer<'de>, const N: usize>(
        from: D,
    ) -> Result<Vec<Endpoint, N>, D::Error> {
        from.deserialize_seq(Elements(|kind, bytes| {
            let endpoint = parse_endpoint(bytes)?;
            (endpoint.ip.is_ipv6() == (kind == 6)).then_some(endpoint)
        }))
    }
}

/// `Hosts` as a list of (family 4 or 6, address).
pub(super) mod hosts {
    use super::*;

    pub(in crate::wire) fn serialize<S: Serializer>(
        list: &Hosts,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        let mut seq = to.serialize_seq(Some(list.len()))?;
        for host in list {
            match host {
                IpAddr::V4(ip) => seq.serialize_element(&Element(4, &ip.octets()))?,
                IpAddr::V6(ip) => seq.serialize_element(&Element(6, &ip.octets()))?,
            }
        }
        seq.end()
    }

    pub(in crate::wire) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Hosts, D::Error> {
        from.deserialize_seq(Elements(|kind, bytes| match kind {
            4 => <[u8; 4]>::try_from(bytes)
                .ok()
                .map(|ip| IpAddr::V4(Ipv4Addr::from(ip))),
            6 => <[u8; 16]>::try_from(bytes)
                .ok()
                .map(|ip| IpAddr::V6(Ipv6Addr::from(ip))),
            _ => None,
        }))
    }
}

fn endpoint_bytes(endpoint: Endpoint) -> Vec<u8, 18> {
    let mut bytes = Vec::new();
    let ok = match endpoint.ip {
        IpAddr::V4(ip) => bytes.extend_from_slice(&ip.octets()),
        IpAddr::V6(ip) => bytes.extend_from_slice(&ip.octets()),
    }
    .and_then(|()| bytes.extend_from_slice(&endpoint.port.to_be_bytes()));
    debug_assert!(ok.is_ok(), "18 bytes hold any endpoint");
    bytes
}

fn parse_endpoint(bytes: &[u8]) -> Option<Endpoint> {
    let (ip, port) = bytes.split_at_checked(bytes.len().checked_sub(2)?)?;
    let port = u16::from_be_bytes(port.try_into().ok()?);
    let ip = match ip.len() {
        4 => IpAddr::V4(Ipv4Addr::from(<[u8; 4]>::try_from(ip).ok()?)),
        16 => IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(ip).ok()?)),
        _ => return None,
    };
    // An IPv4 address dressed as IPv6 would be judged by the wrong rules.
    (ip.to_canonical() == ip).then_some(Endpoint { ip, port })
}

/// Numbers of the values that messages carry as one byte. A number that is not
/// known reads as the stated value, so that a later version can add some.
pub(super) mod codes {
    use super::*;

    macro_rules! codes {
        ($name:ident, $type:ty, unknown = $unknown:expr, $($code:literal => $value:path),+ $(,)?) => {
            pub(in crate::wire) mod $name {
                use super::*;

                pub(in crate::wire) fn serialize<S: Serializer>(value: &$type, to: S) -> Result<S::Ok, S::Error> {
                    to.serialize_u8(match value { $($value => $code),+ })
                }

                pub(in crate::wire) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<$type, D::Error> {
                    Ok(match u8::deserialize(from)? { $($code => $value,)+ _ => $unknown })
                }
            }
        };
    }

    codes!(mode, StreamMode, unknown = StreamMode::Records,
        0 => StreamMode::Records,
        1 => StreamMode::Bare,
    );

    codes!(reason, FailReason, unknown = FailReason::Gone,
        1 => FailReason::PeerUnknown,
        2 => FailReason::NotAllowed,
        3 => FailReason::Busy,
        4 => FailReason::ConsentTimedOut,
        5 => FailReason::NoServer,
        6 => FailReason::NoPort,
        7 => FailReason::NothingToTry,
        8 => FailReason::PunchTimedOut,
        9 => FailReason::NotVerified,
        10 => FailReason::WinnerLost,
        11 => FailReason::Untrusted,
        12 => FailReason::Cancelled,
        13 => FailReason::Gone,
    );

    codes!(outcome, DialBackOutcome, unknown = DialBackOutcome::NotTried,
        0 => DialBackOutcome::NotTried,
        1 => DialBackOutcome::Connected,
        2 => DialBackOutcome::Refused,
        3 => DialBackOutcome::Unreachable,
        4 => DialBackOutcome::Silence,
    );

    codes!(rejection, crate::rendezvous::Rejection, unknown = crate::rendezvous::Rejection::Busy,
        1 => crate::rendezvous::Rejection::Handshake,
        2 => crate::rendezvous::Rejection::Version,
        3 => crate::rendezvous::Rejection::Token,
        4 => crate::rendezvous::Rejection::Busy,
        5 => crate::rendezvous::Rejection::TimedOut,
    );
}
