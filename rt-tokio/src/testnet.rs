//! Two hosts with a router between them, in network namespaces of one test.
//!
//! ```text
//!   near 10.1.0.2, fd01::2 ──── router ──── 10.2.0.2, fd02::2 far
//! ```

use std::io;
use std::process::Command;
use std::sync::mpsc;
use std::thread;

use nix::sched::{CloneFlags, unshare};
use nix::unistd::gettid;
use proto::Endpoint;

pub(crate) const FAR: &str = "10.2.0.2";
pub(crate) const FAR_V6: &str = "fd02::2";

type Job = Box<dyn FnOnce() + Send>;

/// A network namespace: that of a thread, and gone with it and the sockets that
/// were made there.
#[derive(Debug)]
pub(crate) struct Namespace {
    jobs: mpsc::Sender<Job>,
    thread: i32,
}

impl Namespace {
    fn new() -> io::Result<Self> {
        let (jobs, todo) = mpsc::channel::<Job>();
        let (made, outcome) = mpsc::channel();
        thread::spawn(move || {
            let unshared = unshare(CloneFlags::CLONE_NEWNET).map(|()| gettid().as_raw());
            made.send(unshared).unwrap();
            for job in todo {
                job();
            }
        });
        let thread = outcome.recv().unwrap()?;
        Ok(Self { jobs, thread })
    }

    /// Runs this there: sockets that it makes are of that namespace, wherever they
    /// are used.
    pub(crate) fn run<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> T {
        let (done, outcome) = mpsc::channel();
        let runtime = tokio::runtime::Handle::try_current();
        let job = move || {
            let _guard = runtime.as_ref().map(tokio::runtime::Handle::enter);
            done.send(job()).unwrap();
        };
        self.jobs.send(Box::new(job)).unwrap();
        outcome.recv().unwrap()
    }

    /// Runs a program there; it must succeed.
    pub(crate) fn sh(&self, line: &str) {
        let mut command = Command::new("sh");
        command.args(["-ec", line]);
        let done = self.run(move || command.output()).unwrap();
        let said = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success(), "{line}: {said}");
    }
}

/// Both hosts and the router.
#[derive(Debug)]
pub(crate) struct Net {
    pub(crate) near: Namespace,
    pub(crate) router: Namespace,
    pub(crate) far: Namespace,
}

impl Net {
    /// Makes one; `None`, with a word about it, where this user must not.
    /// `LAB=require` in the environment makes that a failure.
    pub(crate) fn new() -> Option<Self> {
        let made = || {
            io::Result::Ok(Self {
                near: Namespace::new()?,
                router: Namespace::new()?,
                far: Namespace::new()?,
            })
        };
        let net = match made() {
            Ok(net) => net,
            Err(error) => {
                let required = std::env::var("LAB").is_ok_and(|lab| lab == "require");
                assert!(!required, "no network namespaces: {error}");
                eprintln!("skipped: no network namespaces ({error}); run it as root");
                return None;
            }
        };
        let v4_and_v6 = "net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1";
        net.router.sh(&format!("sysctl -qw {v4_and_v6}"));
        for (host, number, name) in [(&net.near, 1, "near"), (&net.far, 2, "far")] {
            let there = net.router.thread;
            host.sh(&format!(
                "ip link set lo up
                 ip link add out type veth peer name {name} netns {there}
                 ip address add 10.{number}.0.2/24 dev out
                 ip address add fd0{number}::2/64 dev out nodad
                 ip link set out up"
            ));
            net.router.sh(&format!(
                "ip address add 10.{number}.0.1/24 dev {name}
                 ip address add fd0{number}::1/64 dev {name} nodad
                 ip link set {name} up"
            ));
            host.sh(&format!(
                "ip route add default via 10.{number}.0.1
                 ip route add default via fd0{number}::1"
            ));
        }
        Some(net)
    }

    /// Whether the router passes anything on.
    pub(crate) fn forward(&self, on: bool) {
        let on = u8::from(on);
        self.router.sh(&format!(
            "sysctl -qw net.ipv4.ip_forward={on} net.ipv6.conf.all.forwarding={on}"
        ));
    }
}

pub(crate) fn end(ip: &str, port: u16) -> Endpoint {
    Endpoint::new(ip.parse().unwrap(), port)
}
