//! The clear first frames of a main link: versions beside the Noise messages.
//!
//! They are laid out by hand, because they are what tells all versions apart.

use super::WireError;

/// First version of the protocol that we speak.
pub const VERSION_MIN: u8 = 1;

/// Last version of the protocol that we speak.
pub const VERSION_MAX: u8 = 1;

const CLIENT_HELLO: u8 = 0x01;
const SERVER_HELLO: u8 = 0x02;
const SERVER_REJECT: u8 = 0x03;
const MAGIC: [u8; 4] = *b"tcpp";

/// Bytes of a client's hello before its Noise message: type, magic, lowest and
/// highest version. They are the handshake's prologue.
pub const CLIENT_HELLO_PREFIX: usize = 7;

/// The prologue of a client that speaks versions `min` to `max`.
pub const fn client_prologue(min: u8, max: u8) -> [u8; CLIENT_HELLO_PREFIX] {
    let [a, b, c, d] = MAGIC;
    [CLIENT_HELLO, a, b, c, d, min, max]
}

/// A client's first frame.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct ClientHello<'a> {
    /// Lowest version it speaks.
    pub min: u8,
    /// Highest version it speaks.
    pub max: u8,
    /// Noise message 1.
    pub noise: &'a [u8],
}

impl<'a> ClientHello<'a> {
    /// Reads a frame's body.
    ///
    /// # Errors
    ///
    /// [`WireError::Malformed`] if it is anything else.
    pub fn decode(body: &'a [u8]) -> Result<Self, WireError> {
        match body {
            [CLIENT_HELLO, a, b, c, d, min, max, noise @ ..]
                if [*a, *b, *c, *d] == MAGIC && min <= max =>
            {
                Ok(Self {
                    min: *min,
                    max: *max,
                    noise,
                })
            }
            _ => Err(WireError::Malformed),
        }
    }

    /// The highest version that both speak.
    pub fn common_version(&self) -> Option<u8> {
        let version = self.max.min(VERSION_MAX);
        (version >= self.min.max(VERSION_MIN)).then_some(version)
    }
}

/// A server's first frame.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum ServerHello<'a> {
    /// Noise message 2; its payload is the chosen version, one byte.
    Accept(&'a [u8]),
    /// The server goes no further. Nothing proves that it was the server who
    /// said so: a hint for people, nothing to act on.
    Reject(u8),
}

/// The handshake cannot be read.
pub const REJECT_HANDSHAKE: u8 = 1;
/// No version in common.
pub const REJECT_VERSION: u8 = 2;
/// No room.
pub const REJECT_BUSY: u8 = 3;

impl<'a> ServerHello<'a> {
    /// Reads a frame's body.
    ///
    /// # Errors
    ///
    /// [`WireError::Malformed`] if it is anything else.
    pub const fn decode(body: &'a [u8]) -> Result<Self, WireError> {
        match body {
            [SERVER_HELLO, noise @ ..] => Ok(Self::Accept(noise)),
            [SERVER_REJECT, code, ..] => Ok(Self::Reject(*code)),
            _ => Err(WireError::Malformed),
        }
    }

    /// Type byte of an accepting hello, before its Noise message.
    pub const ACCEPT: u8 = SERVER_HELLO;

    /// The body of a rejecting hello.
    pub const fn reject(code: u8) -> [u8; 2] {
        [SERVER_REJECT, code]
    }
}
