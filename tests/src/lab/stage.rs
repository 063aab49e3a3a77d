//! A network with the three roles on it: who has which key, and how each `tcp-punch` is started.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use super::network::{Host, Network};
use super::procs::Running;
use super::program::Program;
use super::scratch::Scratch;
use super::topology::{public, second_server};
use super::wan::Site;

/// The server's ports; any would do.
pub const MAIN_PORT: u16 = 7000;
/// The port of both assist endpoints, one on each of the server's addresses.
pub const ASSIST_PORT: u16 = 7001;

/// How long the server may take until it says that it is ready.
const READY: Duration = Duration::from_secs(10);

/// A key file and the peer id that belongs to it.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The id.
    pub id: String,
    /// The file.
    pub key: PathBuf,
}

/// The network, the keys, the binary.
#[derive(Debug)]
pub struct Stage {
    /// The network.
    pub network: Network,
    /// The requester.
    pub a: Identity,
    /// The responder.
    pub b: Identity,
    server: Identity,
    program: Program,
    scratch: Scratch,
}

/// A running rendezvous server.
#[derive(Debug)]
pub struct Server {
    /// The program.
    pub running: Running,
    /// What peers are given as `--server`.
    pub address: String,
}

impl Stage {
    /// Makes the keys for a network.
    ///
    /// # Errors
    /// When a file cannot be written or the binary does not run.
    pub fn new(network: Network, program: &Program) -> io::Result<Self> {
        let scratch = Scratch::new()?;
        let identity = |name: &str| identity(program, &scratch, name);
        let (a, b, server) = (identity("a")?, identity("b")?, identity("s")?);
        Ok(Self {
            network,
            a,
            b,
            server,
            program: program.clone(),
            scratch,
        })
    }

    /// A further identity.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn identity(&self, name: &str) -> io::Result<Identity> {
        identity(&self.program, &self.scratch, name)
    }

    /// Writes a file that lives as long as the stage.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn file(&self, name: &str, content: &str) -> io::Result<PathBuf> {
        let path = self.scratch.file(name);
        fs::write(&path, content)?;
        Ok(path)
    }

    /// Starts the server and waits until it is ready.
    ///
    /// # Errors
    /// When it ends or says nothing; the error carries its words.
    pub fn server(&self, more: &[&str]) -> io::Result<Server> {
        self.server_at(&self.assist_endpoints(), more)
    }

    /// The same with other assist endpoints: ones of a single address show less of a NAT.
    ///
    /// # Errors
    /// As [`Self::server`].
    pub fn server_at(&self, assists: &[SocketAddr], more: &[&str]) -> io::Result<Server> {
        let mut command = self.program.command();
        command.arg("serve").arg("--key").arg(&self.server.key);
        command.arg("--main").arg(self.main_endpoint().to_string());
        for assist in assists {
            command.arg("--assist").arg(assist.to_string());
        }
        command.args(more);
        let running = Running::start(&self.network.s.namespace, command)?;
        let line = running.first_line(Instant::now() + READY);
        let address = line
            .as_deref()
            .and_then(|line| line.strip_prefix("server "))
            .map(str::trim);
        let Some(address) = address else {
            let said = running.log().words();
            return Err(io::Error::other(format!(
                "the server printed {line:?} and said: {said}"
            )));
        };
        let address = address.to_owned();
        Ok(Server { running, address })
    }

    /// The server's main endpoint.
    #[must_use]
    pub fn main_endpoint(&self) -> SocketAddr {
        SocketAddr::new(public(Site::S).main(self.network.plan().family), MAIN_PORT)
    }

    /// The server's assist endpoints.
    #[must_use]
    pub fn assist_endpoints(&self) -> [SocketAddr; 2] {
        let family = self.network.plan().family;
        [public(Site::S), second_server()]
            .map(|address| SocketAddr::new(address.main(family), ASSIST_PORT))
    }

    /// Starts `listen` as B.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn listen(&self, server: &str, more: &[&str]) -> io::Result<Running> {
        self.listen_as(&self.b, &self.network.b, server, more)
    }

    /// Starts `listen` as somebody, somewhere.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn listen_as(
        &self,
        who: &Identity,
        host: &Host,
        server: &str,
        more: &[&str],
    ) -> io::Result<Running> {
        let mut command = self.peer("listen", server, who);
        command.args(more);
        Running::start(&host.namespace, command)
    }

    /// Starts `connect` as A to B.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn connect(&self, server: &str, more: &[&str]) -> io::Result<Running> {
        self.connect_as(&self.a, &self.network.a, server, &self.b.id, more)
    }

    /// Starts `connect` as somebody, somewhere, to a peer.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn connect_as(
        &self,
        who: &Identity,
        host: &Host,
        server: &str,
        peer: &str,
        more: &[&str],
    ) -> io::Result<Running> {
        Running::start(
            &host.namespace,
            self.connect_command(who, server, peer, more),
        )
    }

    /// Starts `connect` as A to B, whose standard output the caller reads himself.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn connect_raw(&self, server: &str, more: &[&str]) -> io::Result<Running> {
        Running::start_raw(
            &self.network.a.namespace,
            self.connect_command(&self.a, server, &self.b.id, more),
        )
    }

    fn connect_command(&self, who: &Identity, server: &str, peer: &str, more: &[&str]) -> Command {
        let mut command = self.peer("connect", server, who);
        command.args(more).arg(peer);
        command
    }

    fn peer(&self, verb: &str, server: &str, who: &Identity) -> Command {
        let mut command = self.program.command();
        command
            .args([verb, "--json", "--server", server])
            .arg("--key")
            .arg(&who.key);
        command
    }
}

fn identity(program: &Program, scratch: &Scratch, name: &str) -> io::Result<Identity> {
    let key = scratch.file(&format!("{name}.key"));
    let id = program.keygen(&key)?;
    Ok(Identity { id, key })
}
