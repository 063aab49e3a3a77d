//! Network namespaces without names: nothing to remove, even after the lab was killed.
//!
//! A namespace here is a thread that lives in it and a descriptor that keeps it. Programs are started, devices
//! made and sockets opened by that thread. When the lab's process ends, for whatever reason, the kernel takes
//! the descriptors back, kills the programs (they are bound to the thread that started them), and the namespace
//! goes with its last user.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, Sender};
use std::thread::{self, JoinHandle};

use nix::sched::{CloneFlags, unshare};

use super::netlink::Netlink;
use super::sys;

type Job = Box<dyn FnOnce() + Send>;

/// One network namespace, and the thread that works in it.
#[derive(Debug)]
pub struct Namespace {
    name: String,
    file: File,
    jobs: Option<Sender<Job>>,
    worker: Option<JoinHandle<()>>,
}

impl Namespace {
    /// Makes an empty namespace with loopback up. The name is for messages only.
    ///
    /// # Errors
    /// Where the process may not make one.
    pub fn new(name: &str) -> io::Result<Self> {
        let (jobs, inbox) = mpsc::channel::<Job>();
        let (ready, made) = mpsc::channel();
        let worker = thread::Builder::new()
            .name(format!("ns {name}"))
            .spawn(move || {
                let file = unshare(CloneFlags::CLONE_NEWNET)
                    .map_err(io::Error::from)
                    .and_then(|()| File::open("/proc/thread-self/ns/net"));
                let failed = file.is_err();
                if ready.send(file).is_err() || failed {
                    return;
                }
                for job in inbox {
                    job();
                }
            })?;
        let file = made
            .recv()
            .map_err(|_| io::Error::other("the namespace's thread died"))??;
        let namespace = Self {
            name: name.to_owned(),
            file,
            jobs: Some(jobs),
            worker: Some(worker),
        };
        namespace.configure(|netlink| netlink.up("lo"))?;
        Ok(namespace)
    }

    /// The name it was made with.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A descriptor by which a device can be moved into this namespace while it is there.
    pub(super) fn descriptor(&self) -> RawFd {
        self.file.as_raw_fd()
    }

    /// Runs a job in the namespace, on its thread, and waits for the result.
    ///
    /// # Panics
    /// When the job panics: the namespace is of no use after that.
    pub fn run<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> T {
        let (done, result) = mpsc::channel();
        let job: Job = Box::new(move || {
            // Nobody waits any more only where the caller panicked.
            let _ = done.send(job());
        });
        let sent = self
            .jobs
            .as_ref()
            .is_some_and(|jobs| jobs.send(job).is_ok());
        assert!(sent, "namespace {} has no thread any more", self.name);
        result
            .recv()
            .unwrap_or_else(|_| panic!("a job in namespace {} panicked", self.name))
    }

    /// Starts a program in the namespace; it dies with the namespace.
    ///
    /// It gets a process group of its own, so that Ctrl-C reaches the lab alone, which then ends it in order.
    ///
    /// # Errors
    /// When the program cannot be started.
    pub fn spawn(&self, mut command: Command) -> io::Result<std::process::Child> {
        use std::os::unix::process::CommandExt;
        self.run(move || {
            sys::die_with_thread(&mut command);
            sys::unblock_signals(&mut command);
            command.process_group(0).spawn()
        })
    }

    /// Sets up devices, addresses and routes.
    pub(super) fn configure(
        &self,
        job: impl FnOnce(&mut Netlink) -> io::Result<()> + Send + 'static,
    ) -> io::Result<()> {
        self.run(move || job(&mut Netlink::open()?))
            .map_err(|e| io::Error::new(e.kind(), format!("in {}: {e}", self.name)))
    }

    /// Loads an nftables ruleset.
    ///
    /// # Errors
    /// When `nft` refuses it; the error carries what it said.
    pub fn nft(&self, ruleset: &str) -> io::Result<()> {
        let mut command = Command::new("nft");
        command
            .args(["-f", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut child = self
            .spawn(command)
            .map_err(|e| io::Error::new(e.kind(), format!("nft: {e}")))?;
        if let Some(mut stdin) = child.stdin.take() {
            // A program that gave up early says why on its standard error, below.
            let _ = stdin.write_all(ruleset.as_bytes());
        }
        let output = child.wait_with_output()?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        Err(io::Error::other(format!(
            "nft in {}: {}",
            self.name,
            said.trim()
        )))
    }

    /// Sets one of the namespace's own kernel settings, named as under `/proc/sys/net`.
    ///
    /// # Errors
    /// When the kernel has no such setting or refuses the value.
    pub fn sysctl(&self, key: &str, value: &str) -> io::Result<()> {
        let path = format!("/proc/sys/net/{key}");
        let value = value.to_owned();
        // `/proc/sys/net` shows the namespace of the thread that opens it.
        self.run(move || {
            fs::write(&path, value).map_err(|e| io::Error::new(e.kind(), format!("{path}: {e}")))
        })
    }

    /// The ports on which somebody in the namespace listens for TCP.
    ///
    /// # Errors
    /// When the kernel's table cannot be read.
    pub fn listening(&self) -> io::Result<Vec<u16>> {
        let tables = self.run(|| {
            // The second table is that of IPv6, which not every kernel has.
            let v4 = fs::read_to_string("/proc/thread-self/net/tcp")?;
            Ok::<_, io::Error>(
                v4 + &fs::read_to_string("/proc/thread-self/net/tcp6").unwrap_or_default(),
            )
        })?;
        Ok(tables.lines().filter_map(listening_port).collect())
    }
}

/// The local port of a line of `/proc/net/tcp`, where its state is LISTEN (0A).
fn listening_port(line: &str) -> Option<u16> {
    let mut columns = line.split_whitespace().skip(1);
    let (local, _, state) = (columns.next()?, columns.next()?, columns.next()?);
    let (_, port) = local.rsplit_once(':')?;
    u16::from_str_radix(port, 16).ok().filter(|_| state == "0A")
}

impl Drop for Namespace {
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(worker) = self.worker.take() {
            // A panic of the worker was already told by whoever asked it for the job.
            let _ = worker.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::listening_port;

    #[test]
    fn only_listening_sockets_count() {
        let listens =
            "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000";
        let connected =
            "   1: 0100007F:1F91 0100007F:1F92 01 00000000:00000000 00:00000000 00000000  1000";
        let head =
            "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid";
        assert_eq!(
            [listens, connected, head].map(listening_port),
            [Some(8080), None, None]
        );
    }
}
