//! A small TCP service on a host, for `listen --forward` to carry connections to.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use socket2::SockRef;

use super::netns::Namespace;

/// What the service says first to everybody.
pub const GREETING: &[u8] = b"hello from B\n";

/// What it answers to every line.
pub const ANSWER: &[u8] = b"B heard you\n";

/// A service on the loopback address of a namespace; it takes no more connections once this is dropped.
#[derive(Debug)]
pub struct Service {
    address: SocketAddr,
    listener: TcpListener,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Service {
    /// Greets everybody, answers every line, and closes when the other side has.
    ///
    /// # Errors
    /// When no socket or thread can be had.
    pub fn greeter(namespace: &Arc<Namespace>) -> io::Result<Self> {
        Self::new(namespace, (Ipv4Addr::LOCALHOST, 0).into(), greet)
    }

    /// Runs a handler for every connection, each on a thread of its own.
    ///
    /// # Errors
    /// When no socket or thread can be had.
    pub fn new(
        namespace: &Arc<Namespace>,
        address: SocketAddr,
        handler: impl Fn(TcpStream) -> io::Result<()> + Clone + Send + 'static,
    ) -> io::Result<Self> {
        let listener = namespace.run(move || TcpListener::bind(address))?;
        let address = listener.local_addr()?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let waiting = listener.try_clone()?;
        // Its sockets stay in the namespace they were made in, wherever the thread is.
        let thread = thread::Builder::new()
            .name("service".to_owned())
            .spawn(move || {
                for stream in waiting.incoming() {
                    if stopped.load(Ordering::Relaxed) {
                        return;
                    }
                    let Ok(stream) = stream else { continue };
                    let handler = handler.clone();
                    // A connection that breaks is noticed at its other end, where the session is judged.
                    thread::spawn(move || drop(handler(stream)));
                }
            })?;
        Ok(Self {
            address,
            listener,
            stop,
            thread: Some(thread),
        })
    }

    /// Where it listens, inside its namespace.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // Wakes the thread, which then looks, also where the address is gone with its device. It fails only where
        // nothing waits any more.
        let _ = SockRef::from(&self.listener).shutdown(Shutdown::Both);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn greet(mut stream: TcpStream) -> io::Result<()> {
    stream.write_all(GREETING)?;
    let mut byte = [0];
    while stream.read(&mut byte)? == 1 {
        if byte == *b"\n" {
            stream.write_all(ANSWER)?;
        }
    }
    Ok(())
}
