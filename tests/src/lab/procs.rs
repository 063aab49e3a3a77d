//! Running programs in namespaces: what they say, what they are fed, how they end.

use std::io::{self, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;

use super::events::Log;
use super::netns::Namespace;

/// How often the end of a program is looked for.
const LOOK: Duration = Duration::from_millis(2);

/// A program that runs, or ran; it is killed when this is dropped.
#[derive(Debug)]
pub struct Running {
    child: Child,
    log: Arc<Log>,
    stdin: Option<ChildStdin>,
    output: Output,
    // A program dies with its namespace's thread: it keeps the namespace.
    _namespace: Arc<Namespace>,
}

/// What to do with a program's standard output.
#[derive(Debug)]
enum Output {
    /// It is collected.
    Collected(Arc<Collected>),
    /// The caller reads it.
    Raw(Option<ChildStdout>),
}

impl Running {
    /// Starts a program and collects what it says on both outputs.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(namespace: &Arc<Namespace>, command: Command) -> io::Result<Self> {
        let mut running = Self::start_raw(namespace, command)?;
        if let Some(stdout) = running.take_stdout() {
            let collected = Arc::new(Collected::default());
            running.output = Output::Collected(Arc::clone(&collected));
            thread::Builder::new()
                .name("stdout".to_owned())
                .spawn(move || collected.read(stdout))?;
        }
        Ok(running)
    }

    /// Starts a program whose standard output the caller reads himself, for bulk.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start_raw(namespace: &Arc<Namespace>, mut command: Command) -> io::Result<Self> {
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let log = Arc::new(Log::new(Instant::now()));
        let mut child = namespace.spawn(command)?;
        if let Some(stderr) = child.stderr.take() {
            let log = Arc::clone(&log);
            thread::Builder::new()
                .name("stderr".to_owned())
                .spawn(move || log.read(stderr))?;
        }
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        Ok(Self {
            child,
            log,
            stdin,
            output: Output::Raw(stdout),
            _namespace: Arc::clone(namespace),
        })
    }

    /// What it says on standard error.
    #[must_use]
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// Its standard input, once; dropping that ends the input.
    pub fn take_stdin(&mut self) -> Option<ChildStdin> {
        self.stdin.take()
    }

    /// Its standard output, once, where it was started raw.
    pub fn take_stdout(&mut self) -> Option<ChildStdout> {
        match &mut self.output {
            Output::Raw(stdout) => stdout.take(),
            Output::Collected(_) => None,
        }
    }

    /// Writes to its standard input.
    ///
    /// # Errors
    /// When it has ended, or the input was closed or taken.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let stdin = self.stdin.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
        stdin.write_all(bytes)?;
        stdin.flush()
    }

    /// Waits until its standard output holds as much, or has ended, or the deadline has passed; returns all of it.
    #[must_use]
    pub fn stdout(&self, least: usize, deadline: Instant) -> Vec<u8> {
        match &self.output {
            Output::Collected(collected) => collected.wait(|bytes| bytes.len() >= least, deadline),
            Output::Raw(_) => Vec::new(),
        }
    }

    /// Waits for the first line of its standard output.
    #[must_use]
    pub fn first_line(&self, deadline: Instant) -> Option<String> {
        let Output::Collected(collected) = &self.output else {
            return None;
        };
        let bytes = collected.wait(|bytes| bytes.contains(&b'\n'), deadline);
        let line = bytes
            .split(|byte| *byte == b'\n')
            .next()
            .filter(|line| line.len() < bytes.len())?;
        Some(String::from_utf8_lossy(line).into_owned())
    }

    /// Waits for its end; `None` when it still runs at the deadline.
    pub fn exit(&mut self, deadline: Instant) -> Option<ExitStatus> {
        loop {
            match self.child.try_wait() {
                Ok(None) if Instant::now() < deadline => thread::sleep(LOOK),
                Ok(status) => return status,
                Err(_) => return None,
            }
        }
    }

    /// Asks it to end (SIGTERM).
    pub fn stop(&mut self) {
        // Not reaped yet means that the process id is still its own.
        if let (Ok(None), Ok(pid)) = (self.child.try_wait(), i32::try_from(self.child.id())) {
            let _ = signal::kill(Pid::from_raw(pid), Signal::SIGTERM);
        }
    }

    /// Ends it at once (SIGKILL).
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Bytes that a thread reads and others wait for.
#[derive(Debug, Default)]
struct Collected {
    state: Mutex<(Vec<u8>, bool)>,
    changed: Condvar,
}

impl Collected {
    fn read(&self, mut from: impl Read) {
        let mut buffer = [0; 4096];
        loop {
            let length = from.read(&mut buffer).unwrap_or(0);
            let mut state = self.lock();
            state.0.extend_from_slice(&buffer[..length]);
            state.1 = length == 0;
            drop(state);
            self.changed.notify_all();
            if length == 0 {
                return;
            }
        }
    }

    fn wait(&self, enough: impl Fn(&[u8]) -> bool, deadline: Instant) -> Vec<u8> {
        let mut state = self.lock();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if state.1 || left.is_zero() || enough(&state.0) {
                return state.0.clone();
            }
            state = self
                .changed
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    fn lock(&self) -> MutexGuard<'_, (Vec<u8>, bool)> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
