//! Before the lab: rights, devices, the binary; and what happens instead where they cannot be had.

use std::process::ExitCode;

use tcp_punch_tests::lab::means::Means;
use tcp_punch_tests::lab::program::Program;
use tcp_punch_tests::lab::{interrupt, rights, setup};

use crate::args::Args;

/// The lab cannot run here.
#[derive(Debug)]
pub(crate) struct Instead {
    reason: String,
}

/// Gets everything ready.
///
/// The order matters: installing is for the user's real rights, a user namespace can be entered while there is one
/// thread, and the handler for signals is one more thread. Until that is there, Ctrl-C simply ends everything, and
/// there is nothing yet to be removed.
pub(crate) fn prepare(args: &Args) -> Result<Program, Instead> {
    if args.setup && !setup::has_nft() {
        eprintln!("lab: installing nft");
        setup::install().map_err(|error| Instead {
            reason: format!("nft not installed: {error}"),
        })?;
    }
    let gained = rights::gain();
    let program = program(args).map_err(|error| Instead {
        reason: error.to_string(),
    })?;
    if let Err(error) = interrupt::handle() {
        eprintln!("lab: after an interrupt some files may be left over: {error}");
    }
    gained.and_then(|()| check(args)).map_err(|error| Instead {
        reason: error.to_string(),
    })?;
    Ok(program)
}

/// Tries what is needed, and says what is used.
fn check(args: &Args) -> std::io::Result<()> {
    if let Some(devices) = args.devices() {
        Means::settle(devices);
    }
    let means = Means::here();
    rights::check(means)?;
    eprintln!("lab: {means}");
    Ok(())
}

fn program(args: &Args) -> std::io::Result<Program> {
    args.bin.as_deref().map_or_else(Program::build, Program::at)
}

impl Instead {
    /// Runs the demo where a single pair was asked for, and says what that does not show.
    pub(crate) fn run(&self, args: &Args) -> ExitCode {
        eprintln!("lab: cannot run here: {}", self.reason);
        if std::env::var_os("LAB").is_some_and(|lab| lab == "require") {
            eprintln!("lab: LAB=require makes that a failure");
            return ExitCode::FAILURE;
        }
        if args.command.is_some() {
            println!("skipped: {}", self.reason);
            return ExitCode::SUCCESS;
        }
        eprintln!(
            "lab: running `tcp-punch demo` instead: no NATs, no delays, no ladder are shown by it"
        );
        let run = program(args).and_then(|program| {
            let mut command = program.command();
            command.arg("demo");
            interrupt::release(&mut command);
            if args.json {
                command.arg("--json");
            }
            command.status()
        });
        match run {
            Ok(status) if status.success() => ExitCode::SUCCESS,
            Ok(_) => ExitCode::FAILURE,
            Err(error) => {
                eprintln!("lab: {error}");
                ExitCode::FAILURE
            }
        }
    }
}
