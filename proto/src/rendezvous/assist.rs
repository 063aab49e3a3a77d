//! One assist link: says where a peer's port appears on the outside.

use core::time::Duration;

use heapless::Deque;

use super::{AssistInput, AssistOutput, Observation, ServerConfig};
use crate::addr::Endpoint;
use crate::io::Close;
use crate::time::Instant;
use crate::wire::{Clear, Empty, Frame, HEADER, finish_frame, frame_body, frame_len};

/// Longest frame on an assist link.
const LIMIT: usize = 64;

/// Missed keep-alive intervals after which the link is dead.
const PATIENCE: u32 = 3;

/// The server's machine for one assist link.
///
/// The first frame is the peer's token, which is passed to the peer's main link
/// together with what this connection shows; the link then stays open to keep
/// the NAT's mapping and echoes keep-alives. Drain after every call, as
/// [`Link`](super::Link).
#[derive(Debug)]
pub struct Assist {
    now: Instant,
    assist: u8,
    remote: Endpoint,
    deadline: Instant,
    patience: Duration,
    reading_body: bool,
    open: bool,
    known: bool,
    out: Deque<Action, 4>,
}

#[derive(Debug)]
enum Action {
    Read(usize),
    Echo,
    Route(Observation),
    Close(Close),
}

impl Assist {
    /// For a connection from `remote` to the assist endpoint with this index.
    pub fn new(now: Instant, config: &ServerConfig, assist: u8, remote: Endpoint) -> Self {
        let mut link = Self {
            now,
            assist,
            remote,
            deadline: now.after(config.handshake_deadline),
            patience: config.keep_alive.saturating_mul(PATIENCE),
            reading_body: false,
            open: true,
            known: false,
            out: Deque::new(),
        };
        link.push(Action::Read(HEADER));
        link
    }

    fn push(&mut self, action: Action) {
        let room = self.out.push_back(action);
        debug_assert!(room.is_ok(), "an input makes at most three entries");
    }

    /// Takes in something that happened; drain after the call.
    pub fn handle_input(&mut self, now: Instant, input: AssistInput<'_>) {
        self.now = now;
        match input {
            _ if !self.open => {}
            AssistInput::Received(data) => self.received(data),
            AssistInput::Ended | AssistInput::Unroutable => self.close(),
        }
    }

    fn received(&mut self, data: &[u8]) {
        if !self.reading_body {
            match data
                .try_into()
                .ok()
                .and_then(|header| frame_len(header, LIMIT).ok())
            {
                Some(len) => {
                    self.reading_body = true;
                    self.push(Action::Read(len));
                }
                None => self.close(),
            }
            return;
        }
        self.reading_body = false;
        match Clear::decode(data) {
            Ok(Some(Clear::AssistToken(token))) => {
                self.known = true;
                self.push(Action::Route(Observation {
                    handle: token.handle,
                    port: token.port,
                    sequence: token.sequence,
                    mac: token.mac,
                    assist: self.assist,
                    mapped: self.remote,
                }));
            }
            Ok(Some(Clear::AssistKeepAlive(_))) if self.known => self.push(Action::Echo),
            // Unknown types may come from a later version, but not first.
            Ok(None) if self.known => {}
            Ok(Some(Clear::AssistKeepAlive(_) | Clear::StreamHello(_)) | None) | Err(_) => {
                return self.close();
            }
        }
        self.deadline = self.now.after(self.patience);
        self.push(Action::Read(HEADER));
    }

    fn close(&mut self) {
        if self.open {
            self.open = false;
            self.push(Action::Close(Close::Reset));
        }
    }

    /// The deadline has come; harmless if early. Drain after the call.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.now = now;
        if self.open && now >= self.deadline {
            self.close();
        }
    }

    /// What is to be done next. Call until it gives [`AssistOutput::Wait`].
    pub fn poll_output<'a>(&mut self, frame: &'a mut Frame) -> AssistOutput<'a> {
        match self.out.pop_front() {
            Some(Action::Read(exactly)) => AssistOutput::Read { exactly },
            Some(Action::Route(observation)) => AssistOutput::Route(observation),
            Some(Action::Close(how)) => AssistOutput::Close(how),
            Some(Action::Echo) => {
                let echo = Clear::AssistKeepAlive(Empty::default());
                let len = echo.encode(frame_body(frame)).unwrap_or_default();
                AssistOutput::Send {
                    data: finish_frame(frame, len).unwrap_or_default(),
                }
            }
            None => AssistOutput::Wait(self.open.then_some(self.deadline)),
        }
    }
}
