//! The boxes of [`crate::natbox`] at work between real kernels: each is a thread with a line to the outside, and a LAN
//! of lines to whoever is behind it.
//!
//! The LAN is a switch: what one of it sends to another does not touch the box.

use std::io;
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::eventfd::EventFd;
use nix::sys::time::TimeSpec;
use tcp_punch_proto::Instant as BoxTime;

use super::line::Line;
use super::tap::Record;
use super::wan::Prefix;
use super::{packet, sys};
use crate::natbox::{Addresses, Config, NatBox, Side};

/// Packets read from one line before the others get their turn.
const BURST: usize = 64;

/// An order is carried out at once, even by a busy thread.
const PATIENCE: Duration = Duration::from_secs(5);

/// Somebody in the LAN of a box.
#[derive(Debug)]
struct Member {
    prefixes: Vec<Prefix>,
    line: Line,
}

/// What the builder of the network and the box's thread share.
#[derive(Debug)]
struct Shared {
    members: Mutex<Vec<Arc<Member>>>,
    orders: Mutex<Vec<(Order, Sender<()>)>>,
    /// What is on the outer line.
    record: Arc<Record>,
    wake: EventFd,
    stop: Mutex<bool>,
}

/// What shall happen to the box.
#[derive(Debug, Clone, Copy)]
enum Order {
    Forget,
    Reboot(Duration),
}

/// A running box; it ends when this is dropped.
#[derive(Debug)]
pub(super) struct RunningBox {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl RunningBox {
    /// Starts a box with nobody behind it.
    pub(super) fn start(
        name: &str,
        config: Config,
        addresses: Addresses,
        seed: u64,
        outer: Line,
    ) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            members: Mutex::default(),
            orders: Mutex::default(),
            record: Arc::default(),
            wake: EventFd::new()?,
            stop: Mutex::default(),
        });
        let worker = Worker {
            nat: NatBox::new(config, addresses, seed),
            addresses,
            outer,
            members: Vec::new(),
            shared: Arc::clone(&shared),
            start: Instant::now(),
        };
        let thread = thread::Builder::new()
            .name(format!("box {name}"))
            .spawn(move || worker.run())?;
        Ok(Self {
            shared,
            thread: Some(thread),
        })
    }

    /// Puts somebody into its LAN.
    pub(super) fn join(&self, prefixes: Vec<Prefix>, line: Line) {
        let member = Arc::new(Member { prefixes, line });
        lock(&self.shared.members).push(member);
        self.wake();
    }

    /// Routes a further range to whoever has an address.
    pub(super) fn delegate(&self, range: Prefix, via: IpAddr) -> io::Result<()> {
        let mut members = lock(&self.shared.members);
        let member = members
            .iter_mut()
            .find(|member| member.prefixes.iter().any(|prefix| prefix.contains(via)))
            .ok_or_else(|| io::Error::other(format!("nobody behind the box has {via}")))?;
        let mut prefixes = member.prefixes.clone();
        prefixes.push(range);
        let line = member.line.try_clone()?;
        *member = Arc::new(Member { prefixes, line });
        drop(members);
        self.wake();
        Ok(())
    }

    /// Loses all mappings and connections.
    pub(super) fn forget(&self) -> io::Result<()> {
        self.order(Order::Forget)
    }

    /// Loses all, and passes nothing for that long.
    pub(super) fn reboot(&self, takes: Duration) -> io::Result<()> {
        self.order(Order::Reboot(takes))
    }

    /// What is on its outer line.
    pub(super) fn record(&self) -> &Arc<Record> {
        &self.shared.record
    }

    /// Returns when it has happened.
    fn order(&self, order: Order) -> io::Result<()> {
        let (done, wait) = mpsc::channel();
        lock(&self.shared.orders).push((order, done));
        self.wake();
        wait.recv_timeout(PATIENCE)
            .map_err(|_| io::Error::other("the box has no thread any more"))
    }

    fn wake(&self) {
        // Writing fails only when the counter is full, and then the thread wakes as well.
        let _ = self.shared.wake.write(1);
    }
}

impl Drop for RunningBox {
    fn drop(&mut self) {
        *lock(&self.shared.stop) = true;
        self.wake();
        if let Some(thread) = self.thread.take() {
            // Its panic, if any, was printed when it happened.
            let _ = thread.join();
        }
    }
}

struct Worker {
    nat: NatBox,
    addresses: Addresses,
    outer: Line,
    members: Vec<Arc<Member>>,
    shared: Arc<Shared>,
    start: Instant,
}

impl Worker {
    fn run(mut self) {
        // As for the WAN: the delays of the lab are those that were asked for.
        let _ = nix::sys::prctl::set_timerslack(1);
        sys::run_first();
        let mut buffer = vec![0; 0x1_0000];
        loop {
            let now = self.now();
            while let Some(packet) = self.nat.handle_timeout(now) {
                self.send_out(&packet);
            }
            let ready = self.wait();
            if *lock(&self.shared.stop) {
                return;
            }
            let [woken, outer, members @ ..] = &ready[..] else {
                return;
            };
            // The WAN ends before the boxes: it would be readable for ever.
            if *outer && !self.drain(None, &mut buffer) {
                return;
            }
            let mut gone = Vec::new();
            for (number, _) in members.iter().enumerate().filter(|(_, ready)| **ready) {
                if !self.drain(Some(number), &mut buffer) {
                    gone.push(Arc::clone(&self.members[number]));
                }
            }
            for member in gone {
                let others = |other: &Arc<Member>| !Arc::ptr_eq(other, &member);
                lock(&self.shared.members).retain(others);
                self.members.retain(others);
            }
            if *woken {
                // It is read to be reset; there is nothing to learn from it.
                let _ = self.shared.wake.read();
                self.members = lock(&self.shared.members).clone();
                self.obey();
            }
        }
    }

    fn obey(&mut self) {
        let orders = std::mem::take(&mut *lock(&self.shared.orders));
        for (order, done) in orders {
            match order {
                Order::Forget => self.nat.forget(),
                Order::Reboot(takes) => self.nat.reboot(self.now(), takes, self.addresses),
            }
            // Nobody waits any more only where the caller panicked.
            let _ = done.send(());
        }
    }

    /// Sleeps until something happens; says what is readable: the wake-up call, the outer line, each member.
    fn wait(&self) -> Vec<bool> {
        let timeout = self.nat.poll_timeout().map(|at| {
            let left = Duration::from_micros(at.as_micros().saturating_sub(self.now().as_micros()));
            TimeSpec::from_duration(left)
        });
        let members = self.members.iter().map(|member| member.line.as_fd());
        let mut polls: Vec<PollFd<'_>> = [self.shared.wake.as_fd(), self.outer.as_fd()]
            .into_iter()
            .chain(members)
            .map(|descriptor| PollFd::new(descriptor, PollFlags::POLLIN))
            .collect();
        match ppoll(&mut polls, timeout, None) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => panic!("a box cannot wait for packets: {error}"),
        }
        // A line whose other end is gone counts as readable: reading it says so.
        let ready = |poll: &PollFd<'_>| poll.revents().is_some_and(|events| !events.is_empty());
        polls.iter().map(ready).collect()
    }

    /// Takes in what a line has; returns whether its other end is still there.
    fn drain(&mut self, member: Option<usize>, buffer: &mut [u8]) -> bool {
        for _ in 0..BURST {
            let line = member.map_or(&self.outer, |number| &self.members[number].line);
            match line.read(buffer) {
                Ok(0) => return false,
                Ok(length) => {
                    if member.is_none() {
                        self.shared.record.note(false, &buffer[..length]);
                    }
                    self.switch(member, &buffer[..length]);
                }
                Err(error) => return error.kind() == io::ErrorKind::WouldBlock,
            }
        }
        true
    }

    fn switch(&mut self, member: Option<usize>, packet: &[u8]) {
        let from = match member {
            None => Side::Outside,
            Some(_) => Side::Inside,
        };
        if from == Side::Inside && self.deliver(packet) {
            return;
        }
        let judged = self.nat.handle(self.now(), from, packet);
        match judged.emitted(from) {
            None => {}
            Some((Side::Outside, packet)) => self.send_out(&packet),
            Some((Side::Inside, packet)) => {
                self.deliver(&packet);
            }
        }
    }

    fn send_out(&self, packet: &[u8]) {
        self.shared.record.note(true, packet);
        self.outer.write(packet);
    }

    /// Gives a packet to whoever of the LAN it is for; returns whether there is such a one.
    fn deliver(&self, packet: &[u8]) -> bool {
        let Some((_, to)) = packet::addresses(packet) else {
            return false;
        };
        let has = |member: &&Arc<Member>| member.prefixes.iter().any(|prefix| prefix.contains(to));
        let member = self.members.iter().find(has);
        if let Some(member) = member {
            member.line.write(packet);
        }
        member.is_some()
    }

    fn now(&self) -> BoxTime {
        BoxTime::ZERO.after(self.start.elapsed())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // What is in it is whole even if a thread panicked beside it.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
