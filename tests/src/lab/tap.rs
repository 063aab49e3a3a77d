//! What a device sees: with the WAN's record it tells where a NAT dropped a packet, or made one.

use std::io;
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::net::if_::if_nametoindex;
use nix::sys::socket::{LinkAddr, recvfrom};
use socket2::{Domain, Protocol, Socket, Type};

use super::netns::Namespace;
use super::packet::{Body, Summary};

/// How soon the thread notices that it shall stop.
const LOOK: Duration = Duration::from_millis(20);
/// More than any introduction needs; a bulk transfer that is recorded by mistake does not fill the memory.
const MOST: usize = 100_000;

/// Of linux/if_packet.h.
const PACKET_OUTGOING: u8 = 4;

/// A packet that was sent or received at some point.
#[derive(Debug, Clone)]
pub struct Seen {
    /// When.
    pub at: Instant,
    /// Whether it left there, and did not arrive.
    pub outgoing: bool,
    /// What.
    pub packet: Summary,
}

/// Collects what is seen while it is switched on.
#[derive(Debug, Default)]
pub(super) struct Record {
    on: AtomicBool,
    seen: Mutex<Vec<Seen>>,
}

impl Record {
    /// Starts over with an empty record.
    pub(super) fn start(&self) {
        self.lock().clear();
        self.on.store(true, Ordering::Relaxed);
    }

    /// Stops and returns what was seen.
    pub(super) fn take(&self) -> Vec<Seen> {
        self.on.store(false, Ordering::Relaxed);
        std::mem::take(&mut *self.lock())
    }

    /// Keeps a packet, where it is TCP or an ICMP error and the record is switched on.
    pub(super) fn note(&self, outgoing: bool, packet: &[u8]) {
        if !self.on.load(Ordering::Relaxed) {
            return;
        }
        let at = Instant::now();
        let Some(packet) = Summary::of(packet) else {
            return;
        };
        if packet.body == Body::Other || packet.source.is_loopback() {
            return;
        }
        let mut seen = self.lock();
        if seen.len() < MOST {
            seen.push(Seen {
                at,
                outgoing,
                packet,
            });
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Seen>> {
        // What is in it is whole even if a thread panicked beside it.
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A running tap.
#[derive(Debug)]
pub struct Tap {
    record: Arc<Record>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Tap {
    /// Watches all devices of a host but loopback.
    ///
    /// # Errors
    /// When the packet socket may not be opened.
    pub fn start(namespace: &Namespace) -> io::Result<Self> {
        Self::open(namespace, None)
    }

    /// Watches one device.
    ///
    /// # Errors
    /// When there is no such device, or the packet socket may not be opened.
    pub fn on(namespace: &Namespace, device: &str) -> io::Result<Self> {
        Self::open(namespace, Some(device.to_owned()))
    }

    fn open(namespace: &Namespace, device: Option<String>) -> io::Result<Self> {
        // Every protocol; the number is in network order, as packet(7) wants it.
        let every = Protocol::from(i32::from((libc::ETH_P_ALL as u16).to_be()));
        let (socket, only) = namespace.run(move || {
            let only = device
                .map(|name| if_nametoindex(name.as_str()))
                .transpose()?;
            let socket = Socket::new(Domain::PACKET, Type::DGRAM, Some(every))?;
            Ok::<_, io::Error>((socket, only))
        })?;
        socket.set_read_timeout(Some(LOOK))?;
        let (record, stop) = (
            Arc::new(Record::default()),
            Arc::new(AtomicBool::new(false)),
        );
        record.start();
        let (to, stopped) = (Arc::clone(&record), Arc::clone(&stop));
        let thread = thread::Builder::new()
            .name("tap".to_owned())
            .spawn(move || watch(&socket, only, &to, &stopped))?;
        Ok(Self {
            record,
            stop,
            thread: Some(thread),
        })
    }

    /// Stops and returns what was seen.
    #[must_use]
    pub fn take(mut self) -> Vec<Seen> {
        self.end();
        self.record.take()
    }

    fn end(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Reads until it shall stop, and then what has come in until then.
fn watch(socket: &Socket, only: Option<u32>, to: &Record, stopped: &AtomicBool) {
    let mut buffer = vec![0; 0x1_0000];
    let mut stopping = false;
    loop {
        match recvfrom::<LinkAddr>(socket.as_raw_fd(), &mut buffer) {
            Ok((length, Some(from))) => {
                let wanted = |only| u32::try_from(from.ifindex()) == Ok(only);
                if only.is_none_or(wanted) {
                    to.note(from.pkttype() == PACKET_OUTGOING, &buffer[..length]);
                }
            }
            Ok((_, None)) => {}
            // A time-out is the moment to look whether to stop.
            Err(_) if stopping => return,
            Err(_) => {}
        }
        if !stopping && stopped.load(Ordering::Relaxed) {
            stopping = true;
            if socket.set_nonblocking(true).is_err() {
                return;
            }
        }
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.end();
    }
}
