//! The public internet of the lab: a router in user space between lines.
//!
//! Every namespace with a public address has one device for it, called `wan`. What the kernel sends there is read
//! by one thread, kept for as long as the path takes, and written to the device of the namespace that the
//! destination belongs to. A path has a delay, jitter and loss of its own for each direction, and is a chain of
//! router hops that count the TTL down, and answer from global addresses where it ends. (Not netem: there are kernels without it.)

mod capture;
mod conditions;
mod paths;
mod router;

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use nix::sys::eventfd::EventFd;

pub use capture::{Capture, Crossing, Fate};
pub use conditions::{Conditions, Path};

use super::line::Line;

/// The name of the device that leads to the WAN, in every namespace that has one.
pub const DEVICE: &str = "wan";

/// A point where something is attached to the WAN.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Site {
    /// Where the requester is.
    A,
    /// Where the responder is.
    B,
    /// Where the rendezvous server is.
    S,
}

impl Site {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::A, Self::B, Self::S];

    fn index(self) -> usize {
        self as usize
    }
}

/// A range of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prefix {
    address: IpAddr,
    bits: u32,
}

impl Prefix {
    /// The range of the addresses that begin with the same `bits` as `address`.
    #[must_use]
    pub const fn new(address: IpAddr, bits: u32) -> Self {
        Self { address, bits }
    }

    /// The address that it was made from.
    #[must_use]
    pub const fn address(&self) -> IpAddr {
        self.address
    }

    /// Whether an address is in it.
    #[must_use]
    pub fn contains(&self, other: IpAddr) -> bool {
        match (self.address, other) {
            (IpAddr::V4(a), IpAddr::V4(b)) => {
                (a.to_bits() ^ b.to_bits())
                    .checked_shr(32 - self.bits)
                    .unwrap_or(0)
                    == 0
            }
            (IpAddr::V6(a), IpAddr::V6(b)) => {
                (a.to_bits() ^ b.to_bits())
                    .checked_shr(128 - self.bits)
                    .unwrap_or(0)
                    == 0
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

/// One end of the WAN: a line and the addresses behind it.
#[derive(Debug)]
pub struct Attachment {
    /// Where it is.
    pub site: Site,
    /// What is sent to and from there.
    pub line: Line,
    /// Whose packets go there.
    pub prefixes: Vec<Prefix>,
}

/// The running WAN; it ends when this is dropped.
#[derive(Debug)]
pub struct Wan {
    /// What crosses it, for whoever runs sessions, and for traces: neither disturbs the other.
    captures: [Arc<Capture>; 2],
    stop: Arc<EventFd>,
    thread: Option<JoinHandle<()>>,
}

impl Wan {
    /// Starts the router between the attachments.
    ///
    /// # Errors
    /// When no thread or event descriptor can be had.
    pub fn start(conditions: Conditions, attachments: Vec<Attachment>) -> io::Result<Self> {
        let stop = Arc::new(EventFd::new()?);
        let captures = [Arc::new(Capture::default()), Arc::new(Capture::default())];
        let router =
            router::Router::new(conditions, attachments, captures.clone(), Arc::clone(&stop));
        let thread = thread::Builder::new()
            .name("wan".to_owned())
            .spawn(move || router.run())?;
        Ok(Self {
            captures,
            stop,
            thread: Some(thread),
        })
    }

    /// What crossed the WAN.
    #[must_use]
    pub fn capture(&self) -> &Capture {
        &self.captures[0]
    }

    /// The same, for a trace.
    pub(super) fn traced(&self) -> &Capture {
        &self.captures[1]
    }
}

impl Drop for Wan {
    fn drop(&mut self) {
        // Writing to an event descriptor fails only when its counter is full, and then it is readable as well.
        let _ = self.stop.write(1);
        if let Some(thread) = self.thread.take() {
            // Its panic, if any, was printed when it happened.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes() {
        let net = Prefix::new("192.0.2.0".parse().unwrap(), 24);
        assert!(net.contains("192.0.2.255".parse().unwrap()));
        assert!(!net.contains("192.0.3.0".parse().unwrap()));
        assert!(!net.contains("2001:db8::1".parse().unwrap()));
        let one = Prefix::new("192.0.2.1".parse().unwrap(), 32);
        assert!(one.contains("192.0.2.1".parse().unwrap()));
        assert!(!one.contains("192.0.2.2".parse().unwrap()));
        let net = Prefix::new("2001:db8:a::".parse().unwrap(), 48);
        assert!(net.contains("2001:db8:a:1::10".parse().unwrap()));
        assert!(!net.contains("2001:db8:b::10".parse().unwrap()));
    }
}
