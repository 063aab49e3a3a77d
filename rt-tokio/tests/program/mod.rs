//! Running the program, for all suites that do.
#![allow(dead_code, reason = "no suite uses all of it")]
#![allow(
    unreachable_pub,
    reason = "each suite includes it as a module of its own"
)]

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

pub fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tcp-punch"));
    command
        .env_remove("RUST_LOG")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// A directory of its own for each test.
pub struct Scratch(pub PathBuf);

impl Scratch {
    pub fn new(name: &str) -> Self {
        let path =
            std::env::temp_dir().join(format!("tcp-punch-cli-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// A key file; gives its path and its peer id.
    pub fn key(&self, name: &str) -> (PathBuf, String) {
        let path = self.0.join(name);
        let output = program()
            .args(["keygen", "--out"])
            .arg(&path)
            .output()
            .unwrap();
        assert!(output.status.success());
        (
            path,
            String::from_utf8(output.stdout).unwrap().trim().to_owned(),
        )
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A process that does not outlive the test.
pub struct Running(pub Child);

impl Running {
    pub fn start(command: &mut Command) -> Self {
        Self(command.spawn().unwrap())
    }

    /// What it writes until it ends, which must be soon.
    pub fn end(mut self) -> Output {
        let (mut stdout, mut stderr) = (self.0.stdout.take(), self.0.stderr.take());
        let read_out = thread::spawn(move || read_all(stdout.as_mut()));
        let read_err = thread::spawn(move || read_all(stderr.as_mut()));
        let before = Instant::now();
        let status = loop {
            if let Some(status) = self.0.try_wait().unwrap() {
                break status;
            }
            assert!(
                before.elapsed() < Duration::from_secs(20),
                "it does not end"
            );
            thread::sleep(Duration::from_millis(5));
        };
        Output {
            status,
            stdout: read_out.join().unwrap(),
            stderr: read_err.join().unwrap(),
        }
    }

    #[cfg(unix)]
    pub fn signal(&self, name: &str) {
        let pid = self.0.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-s", name, &pid])
                .status()
                .unwrap()
                .success()
        );
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub fn read_all(from: Option<&mut impl std::io::Read>) -> Vec<u8> {
    let mut all = Vec::new();
    if let Some(from) = from {
        from.read_to_end(&mut all).unwrap();
    }
    all
}

/// The first line that `is_it`, which must come soon.
pub fn line(
    from: impl std::io::Read + Send + 'static,
    is_it: impl Fn(&str) -> bool + Send + 'static,
) -> String {
    let (found, line) = mpsc::channel();
    thread::spawn(move || {
        // Read to the end: a full pipe would stop the program.
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            if is_it(&line) {
                let _ = found.send(line);
            }
        }
    });
    line.recv_timeout(Duration::from_secs(20))
        .expect("the line never came")
}

pub struct Server {
    pub process: Running,
    pub addr: String,
}

pub fn server(scratch: &Scratch, more: &[&str]) -> Server {
    let (key, _) = scratch.key("server");
    let mut process = Running::start(
        program()
            .args([
                "serve",
                "--main",
                "127.0.0.1:0",
                "--assist",
                "127.0.0.1:0",
                "--assist",
                "127.0.0.1:0",
            ])
            .args(more)
            .arg("--key")
            .arg(key),
    );
    let ready = line(process.0.stdout.take().unwrap(), |_| true);
    let addr = ready.strip_prefix("server ").unwrap().to_owned();
    Server { process, addr }
}

pub fn peer(verb: &str, server: &str, key: &Path) -> Command {
    let mut command = program();
    command
        .args([verb, "--json", "--server", server, "--key"])
        .arg(key);
    command
}

/// Starts a listener and waits until it is registered.
pub fn listening(command: &mut Command) -> Running {
    let mut running = Running::start(command);
    line(running.0.stderr.take().unwrap(), |line| {
        line.contains("\"registered\"")
    });
    running
}

pub fn events(output: &Output) -> Vec<serde_json::Value> {
    let text = String::from_utf8(output.stderr.clone()).unwrap();
    let parse = |line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}"));
    let events: Vec<serde_json::Value> = text.lines().map(parse).collect();
    assert!(
        events
            .iter()
            .all(|event| event["t_ms"].is_number() && event["event"].is_string())
    );
    events
}

pub fn find<'a>(events: &'a [serde_json::Value], name: &str) -> &'a serde_json::Value {
    events
        .iter()
        .find(|event| event["event"] == name)
        .unwrap_or_else(|| panic!("no {name} in {events:#?}"))
}
