//! What a running `tcp-punch` says: its JSON events, and everything else line by line.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;

/// One line of `--json`.
#[derive(Debug, Clone)]
pub struct Event {
    /// When the lab read it.
    pub read: Instant,
    /// When it happened, on the program's clock.
    pub at: Duration,
    /// Its name.
    pub name: String,
    /// Its other fields.
    pub fields: BTreeMap<String, Value>,
}

impl Event {
    /// A field as text.
    #[must_use]
    pub fn text(&self, field: &str) -> Option<String> {
        let value = self.fields.get(field).filter(|value| !value.is_null())?;
        Some(
            value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned),
        )
    }

    fn parse(line: &str, read: Instant) -> Option<Self> {
        let Value::Object(fields) = serde_json::from_str(line).ok()? else {
            return None;
        };
        let at = Duration::try_from_secs_f64(fields.get("t_ms")?.as_f64()? / 1000.0).ok()?;
        let name = fields.get("event")?.as_str()?.to_owned();
        let fields = fields
            .into_iter()
            .filter(|(key, _)| key != "t_ms" && key != "event")
            .collect();
        Some(Self {
            read,
            at,
            name,
            fields,
        })
    }
}

/// Everything a program has said so far; it grows while the program runs.
#[derive(Debug)]
pub struct Log {
    started: Instant,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    events: Vec<Event>,
    lines: Vec<String>,
    ended: bool,
}

impl Log {
    pub(super) fn new(started: Instant) -> Self {
        Self {
            started,
            state: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    /// Reads to the end.
    pub(super) fn read(&self, from: impl Read) {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            let event = Event::parse(&line, Instant::now());
            let mut state = self.lock();
            match event {
                Some(event) => state.events.push(event),
                None => state.lines.push(line),
            }
            drop(state);
            self.changed.notify_all();
        }
        self.lock().ended = true;
        self.changed.notify_all();
    }

    /// How many events there are: where a caller goes on looking later.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lock().events.len()
    }

    /// Whether nothing has happened yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All events from a position on.
    #[must_use]
    pub fn since(&self, from: usize) -> Vec<Event> {
        self.lock().events.get(from..).unwrap_or_default().to_vec()
    }

    /// What it said outside of events, the last lines first to matter.
    #[must_use]
    pub fn words(&self) -> String {
        self.lock().lines.join("\n")
    }

    /// Waits for the first event from a position on that has one of the names.
    ///
    /// `None` when the deadline passes or the program ends its output first.
    #[must_use]
    pub fn wait(&self, from: usize, names: &[&str], deadline: Instant) -> Option<Event> {
        let mut state = self.lock();
        loop {
            let found = state
                .events
                .iter()
                .skip(from)
                .find(|event| names.contains(&event.name.as_str()));
            if let Some(event) = found {
                return Some(event.clone());
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if state.ended || left.is_zero() {
                return None;
            }
            state = self
                .changed
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// When an event happened, on the lab's clock.
    ///
    /// A line is read a little after it was written: the shortest way that any of them took is taken as the
    /// distance of the two clocks.
    #[must_use]
    pub fn time(&self, event: &Event) -> Instant {
        let since_start = |event: &Event| event.read.saturating_duration_since(self.started);
        let offset = self
            .lock()
            .events
            .iter()
            .map(|event| since_start(event).saturating_sub(event.at))
            .min();
        self.started + offset.unwrap_or_default() + event.at
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_and_words_are_told_apart() {
        let log = Log::new(Instant::now());
        let said = "{\"t_ms\":1.5,\"event\":\"registered\",\"mapped\":\"a:1\"}\nno JSON\n{\"t_ms\":3,\"event\":\"closed\"}\n";
        log.read(said.as_bytes());
        assert_eq!(log.len(), 2);
        assert_eq!(log.words(), "no JSON");
        let soon = Instant::now() + Duration::from_secs(1);
        let event = log.wait(0, &["registered", "failed"], soon).unwrap();
        assert_eq!(event.text("mapped").as_deref(), Some("a:1"));
        let closed = log.wait(1, &["closed"], soon).unwrap();
        assert_eq!(
            log.time(&closed) - log.time(&event),
            Duration::from_micros(1500)
        );
        // The output has ended: nobody waits until the deadline.
        assert!(
            log.wait(0, &["verified"], Instant::now() + Duration::from_secs(60))
                .is_none()
        );
    }
}
