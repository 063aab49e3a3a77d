//! The text that names a rendezvous server: `HOST:PORT/KEY`.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use proto::noise::PublicKey;
use proto::{ParseIdError, PeerId};

/// Where a rendezvous server is, and the key that proves it to be that server.
///
/// Text form `HOST:PORT/KEY`: the host is a name, an IPv4 address, or an IPv6
/// address in brackets; the key is 52 characters of base32. `tcp-punch serve`
/// prints it.
///
/// ```
/// let text = "punch.example.org:3478/aeaqcaibaeaqcaibaeaqcaibaeaqcaibaeaqcaibaeaqcaibaeaq";
/// let server: tcp_punch_tokio::ServerAddr = text.parse()?;
/// assert_eq!(server.port(), 3478);
/// assert_eq!(server.to_string(), text);
/// # Ok::<(), tcp_punch_tokio::ParseServerAddrError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ServerAddr {
    host: String,
    port: u16,
    key: PublicKey,
}

impl ServerAddr {
    /// From its parts; `host` is a name or an address, without brackets.
    pub fn new(host: impl Into<String>, port: u16, key: PublicKey) -> Self {
        Self {
            host: host.into(),
            port,
            key,
        }
    }

    /// Name or address, without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The TCP port of the main link.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The server's public key.
    pub const fn key(&self) -> PublicKey {
        self.key
    }

    /// Whether the host is given as an address of the own host (or `localhost`),
    /// so that server and peers can only be on one host.
    pub fn is_loopback(&self) -> bool {
        match self.host.parse::<IpAddr>() {
            Ok(ip) => ip.to_canonical().is_loopback(),
            Err(_) => self.host.eq_ignore_ascii_case("localhost"),
        }
    }
}

impl fmt::Display for ServerAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = PeerId::from(self.key);
        if self.host.contains(':') {
            write!(f, "[{}]:{}/{key}", self.host, self.port)
        } else {
            write!(f, "{}:{}/{key}", self.host, self.port)
        }
    }
}

impl FromStr for ServerAddr {
    type Err = ParseServerAddrError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (place, key) = text.rsplit_once('/').ok_or(ParseServerAddrError::NoKey)?;
        let key: PeerId = key.parse().map_err(ParseServerAddrError::Key)?;
        let (host, port) = place.rsplit_once(':').ok_or(ParseServerAddrError::NoPort)?;
        let port = port
            .parse()
            .ok()
            .filter(|port| *port != 0)
            .ok_or(ParseServerAddrError::NoPort)?;
        let host = match host.strip_prefix('[') {
            Some(rest) => {
                let ip = rest.strip_suffix(']').ok_or(ParseServerAddrError::Host)?;
                ip.parse::<Ipv6Addr>()
                    .map_err(|_| ParseServerAddrError::Host)?
                    .to_string()
            }
            None => host.to_owned(),
        };
        let is_bare_v6 = host.contains(':') && !place.starts_with('[');
        if host.is_empty() || is_bare_v6 || host.contains(|c: char| c.is_whitespace() || c == '/') {
            return Err(ParseServerAddrError::Host);
        }
        Ok(Self {
            host,
            port,
            key: PublicKey(*key.as_bytes()),
        })
    }
}

/// Why a text names no server.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ParseServerAddrError {
    /// There is no `/KEY` at the end.
    NoKey,
    /// What follows the slash is no key.
    Key(ParseIdError),
    /// There is no port, or it is no number from 1 to 65535.
    NoPort,
    /// The host is empty, or an IPv6 address without brackets.
    Host,
}

impl fmt::Display for ParseServerAddrError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoKey => {
                "a server is HOST:PORT/KEY, as `tcp-punch serve` prints it: the key is missing"
            }
            Self::Key(_) => {
                "a server is HOST:PORT/KEY: the key is 52 characters of base32 (a-z, 2-7)"
            }
            Self::NoPort => "a server is HOST:PORT/KEY: the port is a number from 1 to 65535",
            Self::Host => {
                "a server is HOST:PORT/KEY: a name, an IPv4 address, or an IPv6 address in brackets"
            }
        })
    }
}

impl std::error::Error for ParseServerAddrError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Key(error) => Some(error),
            Self::NoKey | Self::NoPort | Self::Host => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> String {
        PeerId::from_bytes([9; 32]).to_string()
    }

    #[test]
    fn every_kind_of_host_survives_its_text_form() {
        for host in [
            "example.org:3478",
            "192.0.2.1:1",
            "[2001:db8::1]:65535",
            "localhost:9",
        ] {
            let text = format!("{host}/{}", key());
            let parsed: ServerAddr = text.parse().unwrap();
            assert_eq!(parsed.to_string(), text);
            assert_eq!(parsed.key(), PublicKey([9; 32]));
        }
    }

    #[test]
    fn what_names_no_server_says_why() {
        let key = key();
        for (text, error) in [
            ("example.org:3478".to_owned(), ParseServerAddrError::NoKey),
            (
                "example.org:3478/short".to_owned(),
                ParseServerAddrError::Key(ParseIdError),
            ),
            (format!("example.org/{key}"), ParseServerAddrError::NoPort),
            (format!("example.org:0/{key}"), ParseServerAddrError::NoPort),
            (
                format!("example.org:65536/{key}"),
                ParseServerAddrError::NoPort,
            ),
            (format!(":3478/{key}"), ParseServerAddrError::Host),
            (
                format!("2001:db8::1:3478/{key}"),
                ParseServerAddrError::Host,
            ),
            (
                format!("[2001:db8::1:3478/{key}"),
                ParseServerAddrError::Host,
            ),
            (
                format!("[example.org]:3478/{key}"),
                ParseServerAddrError::Host,
            ),
            (format!("a b:3478/{key}"), ParseServerAddrError::Host),
        ] {
            assert_eq!(text.parse::<ServerAddr>(), Err(error), "{text}");
        }
    }

    #[test]
    fn loopback_is_known_by_its_addresses_and_its_name() {
        for (host, loopback) in [
            ("127.0.0.1", true),
            ("127.9.9.9", true),
            ("::1", true),
            ("LocalHost", true),
            ("192.0.2.1", false),
        ] {
            assert_eq!(
                ServerAddr::new(host, 1, PublicKey([0; 32])).is_loopback(),
                loopback,
                "{host}"
            );
        }
    }
}
