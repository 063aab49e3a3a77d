//! Ctrl-C and its kin.

use std::io;

use crate::events::Reporter;
use crate::outcome::Outcome;

/// Waits for a signal and says how the program ends with it: a service that
/// carries connections in order, a single stream that had not ended not.
///
/// Streams that are carried are cut then, as those of any program that is ended.
pub(crate) async fn interrupted(
    signals: &mut Interrupts,
    is_service: bool,
    reporter: &Reporter,
) -> Outcome {
    signals.next().await;
    if is_service {
        reporter.give_up();
        Ok(())
    } else {
        Err(reporter.failed(
            "interrupted",
            "interrupted before the stream had ended in order",
        ))
    }
}

/// Ready when the user or the system wants the program to end.
#[cfg(unix)]
pub(crate) struct Interrupts {
    int: tokio::signal::unix::Signal,
    term: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Interrupts {
    /// Takes SIGINT and SIGTERM over from the system.
    pub(crate) fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            int: signal(SignalKind::interrupt())?,
            term: signal(SignalKind::terminate())?,
        })
    }

    /// Cancel safety: no signal is lost.
    pub(crate) async fn next(&mut self) {
        tokio::select! {
            _ = self.int.recv() => {}
            _ = self.term.recv() => {}
        }
    }
}

/// Not run on other systems.
#[cfg(not(unix))]
pub(crate) struct Interrupts;

#[cfg(not(unix))]
impl Interrupts {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self)
    }

    #[allow(clippy::needless_pass_by_ref_mut, reason = "as on the other systems")]
    pub(crate) async fn next(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            // It cannot be waited for; the system ends the program by itself.
            std::future::pending::<()>().await;
        }
    }
}

/// SIGHUP, taken over from the system for as long as the program runs: `ssh`
/// sends it to its ProxyCommand when it ends. A stream that is up shall end in
/// order then, by the end of standard input, and not be cut.
#[cfg(unix)]
pub(crate) struct Hangup(tokio::signal::unix::Signal);

#[cfg(unix)]
impl Hangup {
    pub(crate) fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self(signal(SignalKind::hangup())?))
    }

    /// Cancel safety: no signal is lost.
    pub(crate) async fn next(&mut self) {
        self.0.recv().await;
    }
}

/// There is no such thing on other systems.
#[cfg(not(unix))]
pub(crate) struct Hangup;

#[cfg(not(unix))]
impl Hangup {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self)
    }

    #[allow(clippy::needless_pass_by_ref_mut, reason = "as on the other systems")]
    pub(crate) async fn next(&mut self) {
        std::future::pending().await
    }
}
