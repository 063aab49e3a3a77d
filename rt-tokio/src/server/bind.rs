//! Where a server listens, and how peers reach it there.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use proto::Endpoint;

/// An address to bind, and the one to advertise where it differs: behind a
/// port-forwarding router, or a cloud's address translation.
///
/// Text form `IP:PORT` or `IP:PORT=IP:PORT`; without the second port it is the
/// one that was bound.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Bind {
    local: SocketAddr,
    advertised: Option<(IpAddr, Option<u16>)>,
}

impl Bind {
    /// Peers dial another address than the one that is bound.
    #[must_use]
    pub const fn advertise(mut self, advertised: SocketAddr) -> Self {
        self.advertised = Some((advertised.ip(), Some(advertised.port())));
        self
    }

    /// The address to bind.
    pub const fn local(&self) -> SocketAddr {
        self.local
    }

    /// What was given to advertise, `bound` being what the system made of it.
    pub(super) fn advertised(&self, bound: SocketAddr) -> Option<Endpoint> {
        self.advertised
            .map(|(ip, port)| Endpoint::new(ip, port.unwrap_or_else(|| bound.port())))
    }
}

impl From<SocketAddr> for Bind {
    /// Advertises the same address; where that is "any", one of this host's.
    fn from(local: SocketAddr) -> Self {
        Self {
            local,
            advertised: None,
        }
    }
}

impl FromStr for Bind {
    type Err = ParseBindError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (local, advertised) = match text.split_once('=') {
            Some((local, advertised)) => (local, Some(advertised)),
            None => (text, None),
        };
        let local = local.parse().map_err(|_| ParseBindError)?;
        let advertised = advertised
            .map(
                |text| match (text.parse::<SocketAddr>(), text.parse::<IpAddr>()) {
                    (Ok(addr), _) if addr.port() != 0 && !addr.ip().is_unspecified() => {
                        Ok((addr.ip(), Some(addr.port())))
                    }
                    (Err(_), Ok(ip)) if !ip.is_unspecified() => Ok((ip, None)),
                    _ => Err(ParseBindError),
                },
            )
            .transpose()?;
        Ok(Self { local, advertised })
    }
}

/// The text is no `IP:PORT` or `IP:PORT=IP:PORT`.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct ParseBindError;

impl fmt::Display for ParseBindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "where to listen is IP:PORT, or IP:PORT=IP:PORT where peers dial another address",
        )
    }
}

impl std::error::Error for ParseBindError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_by_table() {
        let end = |text: &str| Some(Endpoint::from(text.parse::<SocketAddr>().unwrap()));
        let bound = "0.0.0.0:999".parse().unwrap();
        for (text, advertised) in [
            ("0.0.0.0:1", None),
            ("[::]:0", None),
            ("0.0.0.0:0=192.0.2.1", end("192.0.2.1:999")),
            ("10.0.0.1:5=192.0.2.1:80", end("192.0.2.1:80")),
            ("[::]:5=[2001:db8::1]:80", end("[2001:db8::1]:80")),
        ] {
            assert_eq!(
                text.parse::<Bind>().unwrap().advertised(bound),
                advertised,
                "{text}"
            );
        }
        for text in [
            "",
            "1.2.3.4",
            "host:1",
            "1.2.3.4:x",
            "1.2.3.4:1=",
            "1.2.3.4:1=0.0.0.0",
            "1.2.3.4:1=5.6.7.8:0",
        ] {
            assert_eq!(text.parse::<Bind>(), Err(ParseBindError), "{text}");
        }
    }
}
