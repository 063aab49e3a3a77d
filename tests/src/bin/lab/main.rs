//! `cargo lab`: tcp-punch in networks with real NATs. The library's `lab` module does the work.

#![allow(
    clippy::print_stdout,
    reason = "this is a command line: its results go to standard output"
)]

#[cfg(target_os = "linux")]
mod agree;
#[cfg(target_os = "linux")]
mod args;
#[cfg(target_os = "linux")]
mod bytes;
#[cfg(target_os = "linux")]
mod compare;
#[cfg(target_os = "linux")]
mod doctor;
#[cfg(target_os = "linux")]
mod many;
#[cfg(target_os = "linux")]
mod matrix;
#[cfg(target_os = "linux")]
mod one;
#[cfg(target_os = "linux")]
mod prepare;
#[cfg(target_os = "linux")]
mod trouble;
#[cfg(target_os = "linux")]
mod words;

#[cfg(target_os = "linux")]
fn main() -> std::process::ExitCode {
    let args = args::Args::checked();
    let program = match prepare::prepare(&args) {
        Ok(program) => program,
        Err(instead) => return instead.run(&args),
    };
    let done = match &args.command {
        None => one::run(&args, &program),
        Some(args::Command::Suite(more)) => many::suite(&args, more, &program),
        Some(args::Command::Matrix(more)) => matrix::run(&args, more, &program),
        Some(args::Command::Agree(more)) => agree::run(&args, more, &program),
        Some(args::Command::Bytes(more)) => bytes::run(&args, more, &program),
        Some(args::Command::Trouble(more)) => trouble::run(&args, more, &program),
        Some(args::Command::Doctor) => doctor::run(&args, &program),
        Some(args::Command::Compare(more)) => compare::run(&args, more, &program),
        Some(args::Command::Bench(more)) => many::bench(&args, more, &program),
    };
    match done {
        Ok(true) => std::process::ExitCode::SUCCESS,
        Ok(false) => std::process::ExitCode::FAILURE,
        Err(error) => {
            eprintln!("lab: {error}");
            std::process::ExitCode::FAILURE
        }
    }
}

#[cfg(not(target_os = "linux"))]
fn main() -> std::process::ExitCode {
    eprintln!("lab: it is made of Linux network namespaces; `tcp-punch demo` runs everywhere");
    std::process::ExitCode::FAILURE
}
