//! The command line of tcp-punch.

mod args;
mod connect;
mod demo;
mod doctor;
mod events;
mod explain;
mod files;
mod forward;
mod keys;
mod listen;
mod nat_words;
mod outcome;
mod pipe;
mod possible;
mod serve;
mod setup;
mod signals;
mod table;
mod words;

use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;

use clap::Parser as _;
use tracing_subscriber::EnvFilter;

use args::{Args, Command};
use events::Reporter;
use outcome::{Outcome, Trouble};

fn main() -> ExitCode {
    // A usage error ends the program here, with exit code 2.
    let args = Args::parse();
    let wants_json = args.command.wants_json();
    if !wants_json {
        log_to_stderr();
    }
    files::raise_limit();
    let (reason, text, code) = match run(args.command) {
        Ok(()) => return ExitCode::SUCCESS,
        Err(Trouble::Told) => return ExitCode::from(1),
        Err(Trouble::Failed(text)) => ("other", text, 1),
        Err(Trouble::Usage(text)) => ("usage", text, 2),
    };
    if wants_json {
        drop(Reporter::new(true).failed(reason, &text));
    } else {
        // A standard error that is gone is no reason for another exit code.
        let _ = writeln!(std::io::stderr(), "tcp-punch: {text}");
    }
    ExitCode::from(code)
}

fn run(command: Command) -> Outcome {
    match command {
        Command::Keygen(args) => keys::keygen(&args),
        Command::Id(args) => keys::id(&args),
        Command::Serve(args) => block_on(serve::run(args)),
        Command::Listen(args) => block_on(listen::run(args)),
        Command::Connect(args) => block_on(connect::run(args)),
        Command::Doctor(args) => block_on(doctor::run(args)),
        Command::Demo(args) => block_on(demo::run(args)),
    }
}

fn block_on(work: impl Future<Output = Outcome>) -> Outcome {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Trouble::Failed(format!("no threads: {error}")))?;
    let outcome = runtime.block_on(work);
    // Not waited for: a blocked write to standard output would hold us here.
    runtime.shutdown_background();
    outcome
}

/// Logs for operators and developers, by `RUST_LOG`; warnings without it.
fn log_to_stderr() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
}
