//! What a host's own devices see: with the WAN's record it tells where a NAT dropped a packet, or made one.

use std::io::{self, Read};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, Socket, Type};

use super::netns::Namespace;
use super::packet::{Body, Summary};

/// How soon the thread notices that it shall stop.
const LOOK: Duration = Duration::from_millis(20);

/// A packet that a host sent or received.
#[derive(Debug, Clone)]
pub struct Seen {
    /// When.
    pub at: Instant,
    /// What.
    pub packet: Summary,
}

/// A running tap.
#[derive(Debug)]
pub struct Tap {
    seen: Arc<Mutex<Vec<Seen>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Tap {
    /// Watches all devices of a host but loopback.
    ///
    /// # Errors
    /// When the packet socket may not be opened.
    pub fn start(namespace: &Namespace) -> io::Result<Self> {
        // Every protocol; the number is in network order, as packet(7) wants it.
        let every = Protocol::from(i32::from((libc::ETH_P_ALL as u16).to_be()));
        let mut socket =
            namespace.run(move || Socket::new(Domain::PACKET, Type::DGRAM, Some(every)))?;
        socket.set_read_timeout(Some(LOOK))?;
        let (seen, stop) = (
            Arc::new(Mutex::new(Vec::new())),
            Arc::new(AtomicBool::new(false)),
        );
        let (to, stopped) = (Arc::clone(&seen), Arc::clone(&stop));
        let thread = thread::Builder::new()
            .name("tap".to_owned())
            .spawn(move || {
                let mut buffer = vec![0; 0x1_0000];
                while !stopped.load(Ordering::Relaxed) {
                    // A time-out is the moment to look whether to stop.
                    let Ok(length) = socket.read(&mut buffer) else {
                        continue;
                    };
                    let at = Instant::now();
                    let Some(packet) = Summary::of(&buffer[..length]) else {
                        continue;
                    };
                    if packet.body != Body::Other && !packet.source.is_loopback() {
                        to.lock()
                            .unwrap_or_else(PoisonError::into_inner)
                            .push(Seen { at, packet });
                    }
                }
            })?;
        Ok(Self {
            seen,
            stop,
            thread: Some(thread),
        })
    }

    /// Stops and returns what was seen.
    #[must_use]
    pub fn take(mut self) -> Vec<Seen> {
        self.end();
        std::mem::take(&mut *self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn end(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.end();
    }
}
