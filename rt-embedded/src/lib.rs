//! Drives the TCP hole punching machine of `tcp-punch-proto` on a smoltcp
//! interface: no std, no allocator.
//!
//! ```text
//!   your loop ---- poll(now, iface, set, device) ----> Step::Event, Step::Stream, ..., Step::Wait
//!                         |
//!        Peer <--> Driver <--> SocketSet <--> Interface <--> Device
//! ```
//!
//! You own the interface, the device, the socket set and the storage of its
//! sockets; the [`Driver`] owns the machine and has a number of the sockets to
//! itself. The set may hold others.
//!
//! # The rule: poll to `Wait`
//!
//! 1. Call [`Driver::poll`] until it gives [`Step::Wait`], and do what the steps
//!    before it say.
//! 2. Sleep until the instant in `Wait`, or until the device has received
//!    something, or until you have something to ask of the machine
//!    ([`Driver::peer_mut`]). Then 1.
//!
//! A stream that is handed over is a socket of the set: read from it and write to
//! it there ([`HandOver::records`](proto::HandOver::records) seals and opens), and give it back with
//! [`Driver::take_back`].
//!
//! ```
//! use smoltcp::iface::{Config as IfaceConfig, Interface, SocketSet, SocketStorage};
//! use smoltcp::phy::{Loopback, Medium};
//! use smoltcp::socket::tcp::{Socket, SocketBuffer};
//! use smoltcp::wire::{HardwareAddress, IpAddress, IpCidr};
//! use tcp_punch_embedded::proto::noise::SecretKey;
//! use tcp_punch_embedded::proto::{
//!     Config, Endpoint, Event, Instant, NoAccess, Peer, SessionOptions,
//! };
//! use tcp_punch_embedded::{Driver, Setup, Step};
//!
//! // Storage for eight sockets; on a microcontroller it would be static.
//! const SOCKETS: usize = 8;
//! let mut buffers = [([0; 1_024], [0; 4_096]); SOCKETS];
//! let mut storage = [SocketStorage::EMPTY; SOCKETS];
//! let mut set = SocketSet::new(&mut storage[..]);
//! let handles: Vec<_> = buffers
//!     .iter_mut()
//!     .map(|(rx, tx)| Socket::new(SocketBuffer::new(&mut rx[..]), SocketBuffer::new(&mut tx[..])))
//!     .map(|socket| set.add(socket))
//!     .collect();
//!
//! // The device would be your Ethernet controller, its address from your DHCP.
//! let mut device = Loopback::new(Medium::Ip);
//! let mut config = IfaceConfig::new(HardwareAddress::Ip);
//! // Initial sequence numbers come from it: take it from the host's entropy.
//! config.random_seed = 0x0123_4567_89ab_cdef;
//! let mut iface = Interface::new(config, &mut device, smoltcp::time::Instant::ZERO);
//! iface.update_ip_addrs(|addresses| {
//!     addresses.push(IpCidr::new(IpAddress::v4(192, 168, 1, 2), 24)).expect("room");
//! });
//!
//! // Keys and seed from the host's entropy; the server's key from its address.
//! let secret = SecretKey::from_bytes([1; 32]);
//! let server = SecretKey::from_bytes([2; 32]).public();
//! let peer = Peer::<_, 1, 4>::new(Config::default(), NoAccess, secret, server, [4; 32]);
//! let setup = Setup::new(Endpoint::new([192, 0, 2, 1].into(), 3478), 0x1234);
//! let mut driver = Driver::<_, 1, 4, SOCKETS>::new(peer, setup, &set, &handles)?;
//!
//! driver.peer_mut().start(Instant::ZERO);
//! let other = SecretKey::from_bytes([3; 32]).public().into();
//! let session = driver.peer_mut().connect(Instant::ZERO, other, &SessionOptions::default());
//! let now = Instant::ZERO;
//! let wake_at = loop {
//!     match driver.poll(now, &mut iface, &mut set, &mut device) {
//!         Step::Event(Event::Failed { reason, .. }) => panic!("{reason}"),
//!         Step::Event(event) => println!("{event:?}"),
//!         Step::Stream(stream) => println!("punched: {}", stream.remote),
//!         // Sleep until then or until the device has received something.
//!         Step::Wait(deadline) => break deadline,
//!     }
//! };
//! assert!(wake_at.is_some_and(|at| at > now));
//! # let _ = session;
//! # Ok::<(), tcp_punch_embedded::SetupError>(())
//! ```
//!
//! # How many sockets
//!
//! Each port of the machine has [`Setup::backlog`] listening sockets (IPv4 and
//! IPv6 share them) and up to two assist links; the main link is one more, and a
//! session has one for each port pair that it races, and its stream. Where there
//! are fewer, dials fail with [`Failure::Exhausted`](proto::Failure::Exhausted), and SYNs to a port whose
//! listening sockets are busy are answered with RST.
//!
//! # What smoltcp does otherwise than a kernel
//!
//! - Simultaneous open takes one more one-way trip: a SYN-ACK does not end it, the
//!   ACK that answers it does.
//! - A SYN that nobody answers is sent again after 1, 3, 7, 15 s, and what is lost
//!   later after one second at the earliest.
//! - ICMP errors are not seen: a dial never fails with
//!   [`Failure::Unreachable`](proto::Failure::Unreachable) but for want of an own address, and a short hop
//!   limit does no harm.
//! - There is no backlog, and TIME-WAIT lasts 10 s and takes a socket; it is used
//!   for another connection if there is need.
//!
//! - A SYN for a connection that is up is ignored, where a kernel would send a
//!   challenge ACK: who has lost its memory gets no RST out of us by dialling the
//!   same four-tuple again.
//! - A FIN that arrives before what it follows is ignored, and may then not be
//!   sent again (seen with smoltcp 0.14 at 10 % loss). A closed socket that got
//!   stuck like that is used again after a minute, if there is need.
//!
//! # Not here yet
//!
//! No resolver (the server's endpoints are given in [`Setup`]), no firmware, no
//! `async` front.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

mod convert;
mod driver;
mod observer;
mod setup;
mod sockets;
mod tap;
#[cfg(test)]
mod tests;

pub use driver::{Driver, Step, Stream};
pub use observer::Observer;
/// The machine's crate, `tcp-punch-proto`.
pub use proto;
pub use setup::{MAX_SERVERS, Setup, SetupError};
