//! Looks over the shoulder of a peer's driver: holds the machine to its
//! contract, and writes the ladder.

use tcp_punch_embedded::Observer;
use tcp_punch_proto::{Endpoint, Input, Instant, Output};

use super::contract::Contract;
use super::trace::Trace;

/// Sees every output and input of one machine. `now` is the machine's own time.
#[derive(Debug)]
pub(crate) struct Watcher {
    name: String,
    pub(crate) contract: Contract,
    /// The world's trace, while this machine is at work.
    pub(crate) trace: Trace,
    /// The world's time.
    pub(crate) world_now: Instant,
    pub(crate) dialled: Vec<Endpoint>,
    /// When it dialled, each time.
    pub(crate) dialled_at: Vec<Instant>,
}

impl Watcher {
    pub(crate) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            contract: Contract::default(),
            trace: Trace::new(),
            world_now: Instant::ZERO,
            dialled: Vec::new(),
            dialled_at: Vec::new(),
        }
    }

    fn line(&mut self, text: &str) {
        let line = format!("{}: {text}", self.name);
        self.trace.line(self.world_now, line);
    }
}

impl Observer for Watcher {
    fn output(&mut self, now: Instant, output: &Output<'_>) {
        self.trace.output(self.world_now, &self.name, output);
        self.contract.on_output(now, output);
        match output {
            Output::Listen { local, .. } => self.line(&format!("listens on {local}")),
            Output::Dial {
                id, local, remote, ..
            } => {
                self.dialled.push(*remote);
                self.dialled_at.push(self.world_now);
                self.line(&format!("dials {remote} from {}: {id:?}", local.port));
            }
            Output::Send { id, data } => {
                self.line(&format!("sends {} B on {id:?}", data.len()));
            }
            Output::Close { id, how } => self.line(&format!("closes {id:?} {how:?}")),
            Output::HandOver(over) => {
                self.line(&format!("hands over {:?} of {}", over.id, over.session));
            }
            Output::Event(event) => self.line(&format!("EVENT {event:?}")),
            Output::Resolve { .. }
            | Output::Unlisten { .. }
            | Output::Read { .. }
            | Output::Watch { .. }
            | Output::Inject(_)
            | Output::Wait(_) => {}
        }
    }

    fn input(&mut self, _: Instant, input: &Input<'_>) {
        match *input {
            Input::Connected { id, .. } => self.contract.is_up(id),
            Input::Accepted { id, .. } => self.contract.accepted(id),
            Input::Received { id, .. } => {
                self.contract.was_read(id);
                return;
            }
            Input::DialFailed { id, .. } => self.contract.has_failed(id),
            Input::Expired { id, .. } | Input::Ended { id, .. } => self.contract.is_over(id),
            Input::HostAddresses(_)
            | Input::Resolved { .. }
            | Input::Listening { .. }
            | Input::ListenFailed { .. }
            | Input::Sequence { .. } => {}
        }
        self.line(&format!("learns {input:?}"));
    }
}

impl Drop for Watcher {
    /// A machine that breaks its contract does so while it has the trace.
    fn drop(&mut self) {
        let ladder = self.trace.ladder();
        if std::thread::panicking() && !ladder.is_empty() {
            let skip = ladder.lines().count().saturating_sub(LADDER);
            let shown: Vec<&str> = ladder.lines().skip(skip).collect();
            eprintln!("{} was at work:\n{}", self.name, shown.join("\n"));
        }
    }
}

/// Most lines that are printed.
const LADDER: usize = 300;
