//! Telling what happens: JSON lines or plain words, on standard error.

mod tell;

use std::collections::HashSet;
use std::io::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tcp_punch_tokio::{Peer, RegisterError, SessionId, Tried};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use crate::outcome::Trouble;
use crate::words::{kebab, tried_fields};

use tell::Noted;

/// Tells events to the user. Clones tell to the same one.
#[derive(Clone, Debug)]
pub(crate) struct Reporter {
    json: bool,
    /// Plans and what comes of them, with reasons.
    explain: bool,
    start: Instant,
    /// Put before everything, where several peers are told about.
    who: Option<&'static str>,
    /// Sessions whose `verified` was told and whose `closed` was not.
    verified: Arc<watch::Sender<HashSet<SessionId>>>,
    following: Arc<Mutex<Vec<JoinHandle<()>>>>,
    /// The program gives up: what it cancels itself is no news.
    giving_up: Arc<AtomicBool>,
    /// Why the program ends has been told: by a session, or by the link that it
    /// waited for, whichever came first.
    told: Arc<AtomicBool>,
}

/// How a stream ended.
#[derive(Copy, Clone, Debug, Default)]
pub(crate) struct Carried {
    /// Bytes to the other side.
    pub(crate) sent: u64,
    /// Bytes from there.
    pub(crate) received: u64,
}

impl Reporter {
    pub(crate) fn new(json: bool) -> Self {
        Self {
            json,
            explain: false,
            start: Instant::now(),
            who: None,
            verified: Arc::new(watch::Sender::default()),
            following: Arc::default(),
            giving_up: Arc::default(),
            told: Arc::default(),
        }
    }

    /// The same reporter, which explains what is tried, or does not.
    pub(crate) fn explaining(self, explain: bool) -> Self {
        Self { explain, ..self }
    }

    /// The same reporter, for one of several peers.
    pub(crate) fn about(&self, who: &'static str) -> Self {
        Self {
            who: Some(who),
            ..self.clone()
        }
    }

    /// Tells everything that happens to a peer from now on.
    pub(crate) fn follow(&self, peer: &Peer) {
        let mut events = peer.events();
        let this = self.clone();
        let task = tokio::spawn(async move {
            let mut noted = Noted::default();
            while let Some((at, event)) = events.next_stamped().await {
                this.tell(at, &event, &mut noted);
            }
        });
        self.following
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(task);
    }

    /// Waits until what happened to the peers has been told; they must have been
    /// shut down.
    pub(crate) async fn finish(&self) {
        let following = std::mem::take(
            &mut *self
                .following
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        );
        for task in following {
            // Only a peer that still runs can keep it; then enough was told.
            let _ = timeout(Duration::from_secs(1), task).await;
        }
    }

    /// A stream ended, in order or not; told after its `verified`.
    pub(crate) async fn closed(&self, session: SessionId, carried: Carried, error: Option<&str>) {
        let mut verified = self.verified.subscribe();
        let told = verified.wait_for(|sessions| sessions.contains(&session));
        // Events can be lost where thousands come at once.
        let _ = timeout(Duration::from_secs(1), told).await;
        self.verified
            .send_if_modified(|sessions| sessions.remove(&session));
        let Carried { sent, received } = carried;
        let words = match error {
            None => format!("closed in order: {sent} bytes sent, {received} received"),
            Some(error) => format!("broken: {error}; {sent} bytes sent, {received} received"),
        };
        self.emit(
            "closed",
            json!({
                "session": session.to_string(),
                "in_order": error.is_none(),
                "error": error,
                "sent": sent,
                "received": received,
            }),
            &words,
        );
    }

    /// Connections to this address will be carried.
    pub(crate) fn listening(&self, local: std::net::SocketAddr) {
        self.emit(
            "listening",
            json!({ "local": local.to_string() }),
            &format!("carrying connections that come to {local}"),
        );
    }

    pub(crate) fn warn(&self, text: &str) {
        self.emit(
            "warning",
            json!({ "message": text }),
            &format!("warning: {text}"),
        );
    }

    /// From now on the program only cleans up.
    pub(crate) fn give_up(&self) {
        self.giving_up.store(true, Ordering::Relaxed);
    }

    /// Something failed that is no session's end, and the program with it.
    pub(crate) fn failed(&self, reason: &str, message: &str) -> Trouble {
        self.give_up();
        if self.told.swap(true, Ordering::Relaxed) {
            return Trouble::Told;
        }
        self.emit(
            "failed",
            json!({ "reason": reason, "message": message, "tried": tried_fields(&Tried::default()) }),
            message,
        );
        Trouble::Told
    }

    /// The peer will not be registered by waiting.
    pub(crate) fn unregistered(&self, error: RegisterError) -> Trouble {
        match error {
            RegisterError::Link(reason) => self.failed(&kebab(&reason), &error.to_string()),
            RegisterError::Stopped => self.failed("stopped", &error.to_string()),
            _ => self.failed("link", &error.to_string()),
        }
    }

    fn emit(&self, event: &str, fields: Value, words: &str) {
        self.emit_at(Instant::now(), event, fields, words);
    }

    /// Without words it is for scripts alone.
    fn emit_at(&self, at: Instant, event: &str, fields: Value, words: &str) {
        if words.is_empty() && !self.json {
            return;
        }
        let mut line = if self.json {
            // To the microsecond: benchmarks read it.
            let t_ms = at.duration_since(self.start).as_micros() as f64 / 1e3;
            // By hand, so that time and event come first.
            let mut line = format!("{{\"t_ms\":{},\"event\":{}", json!(t_ms), json!(event));
            if let Some(who) = self.who {
                line += &format!(",\"who\":{}", json!(who));
            }
            if let Value::Object(fields) = fields {
                for (name, value) in fields {
                    line += &format!(",{}:{value}", json!(name));
                }
            }
            line + "}"
        } else {
            self.who
                .map_or_else(|| words.to_owned(), |who| format!("{who}: {words}"))
        };
        // In one piece, as other programs may write there too. A standard error
        // that is gone is no reason to end a stream.
        line.push('\n');
        let _ = std::io::stderr().write_all(line.as_bytes());
    }
}
