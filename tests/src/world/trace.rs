//! What a run did: a hash of it, and a ladder that a person can read.

use std::fmt::{self, Debug, Write};

use tcp_punch_proto::Instant;

/// FNV-1a, 64 bits: the hash has to be the same on every machine and with every
/// compiler, which the standard library's does not promise.
#[derive(Debug)]
struct Hasher(u64);

impl Hasher {
    fn bytes(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

impl Write for Hasher {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.bytes(text.as_bytes());
        Ok(())
    }
}

/// Lines that the ladder keeps: the last ones, so that hours of keep-alives do
/// not fill the memory.
const LINES: usize = 4_000;

/// The trace of a run.
#[derive(Debug)]
pub(crate) struct Trace {
    hasher: Hasher,
    lines: std::collections::VecDeque<(Instant, String)>,
}

impl Trace {
    pub(crate) fn new() -> Self {
        Self {
            hasher: Hasher(0xcbf2_9ce4_8422_2325),
            lines: std::collections::VecDeque::new(),
        }
    }

    /// An output of a machine: all of it counts.
    pub(crate) fn output(&mut self, now: Instant, who: &str, output: &dyn Debug) {
        self.hasher.bytes(&now.as_micros().to_le_bytes());
        // Writing to a hasher cannot fail.
        let _ = write!(self.hasher, "{who} {output:?};");
    }

    pub(crate) fn line(&mut self, now: Instant, text: String) {
        if self.lines.len() == LINES {
            self.lines.pop_front();
        }
        self.lines.push_back((now, text));
    }

    pub(crate) fn hash(&self) -> u64 {
        self.hasher.0
    }

    /// The run as text, a line a happening; times in milliseconds.
    pub(crate) fn ladder(&self) -> String {
        let mut text = String::new();
        for (at, line) in &self.lines {
            let micros = at.as_micros();
            let _ = writeln!(
                text,
                "{:>9}.{:03} ms  {line}",
                micros / 1_000,
                micros % 1_000
            );
        }
        text
    }
}
