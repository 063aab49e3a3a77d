//! Ctrl-C and SIGTERM end a run as cleanly as its own end does.
//!
//! Programs die with the thread that started them, and namespaces and devices with their last descriptor, so
//! that ending the process is all that is to be done beside removing the scratch directory.

use std::io;
use std::process::Command;
use std::thread;

use nix::sys::signal::{SigSet, Signal};

use super::{scratch, sys};

/// What a shell shows for a program that a signal ended: 128 and the signal's number.
const BASE: i32 = 128;

/// Takes the signals over. To be called before any other thread is started, which would get them otherwise.
///
/// Programs that are started later inherit that the signals are blocked, unless they are [released](release).
///
/// # Errors
/// When the signals cannot be blocked, or no thread can be started.
pub fn handle() -> io::Result<()> {
    let signals = SigSet::from_iter([Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP]);
    signals.thread_block()?;
    thread::Builder::new()
        .name("interrupt".to_owned())
        .spawn(move || {
            if let Ok(signal) = signals.wait() {
                scratch::remove_all();
                std::process::exit(BASE + signal as i32);
            }
        })?;
    Ok(())
}

/// Lets a command's process have the signals that the lab keeps from its own threads.
pub fn release(command: &mut Command) {
    sys::unblock_signals(command);
}
