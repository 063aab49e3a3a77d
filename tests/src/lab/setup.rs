//! `nft`, the one program of the system that the lab can use, and how a machine gets it.

use std::env;
use std::io;
use std::process::Command;

use nix::unistd::geteuid;

/// Whether `nft` is there. Without it, boxes play the NATs.
#[must_use]
pub fn has_nft() -> bool {
    Command::new("nft")
        .arg("--version")
        .output()
        .is_ok_and(|output| output.status.success())
}

/// What every system calls the package.
const PACKAGE: &str = "nftables";

/// A system's package manager.
#[derive(Debug, Clone, Copy)]
struct Manager {
    program: &'static str,
    install: &'static [&'static str],
    /// Commands before it that get a fresh list of packages.
    refresh: &'static [&'static str],
}

const MANAGERS: [Manager; 5] = [
    Manager {
        program: "apt-get",
        install: &["install", "--yes"],
        refresh: &["update"],
    },
    Manager {
        program: "dnf",
        install: &["install", "-y"],
        refresh: &[],
    },
    Manager {
        program: "pacman",
        install: &["-S", "--noconfirm", "--needed"],
        refresh: &["-Sy"],
    },
    Manager {
        program: "apk",
        install: &["add"],
        refresh: &["update"],
    },
    Manager {
        program: "zypper",
        install: &["--non-interactive", "install"],
        refresh: &["--non-interactive", "refresh"],
    },
];

impl Manager {
    fn found() -> Option<Self> {
        MANAGERS
            .into_iter()
            .find(|manager| in_path(manager.program))
    }
}

/// How to get it.
#[must_use]
pub fn advice() -> String {
    let by_hand = Manager::found().map(|manager| {
        let sudo = if geteuid().is_root() { "" } else { "sudo " };
        let (program, install) = (manager.program, manager.install.join(" "));
        format!(" or `{sudo}{program} {install} {PACKAGE}`")
    });
    format!(
        "install it with `cargo lab --setup`{}",
        by_hand.unwrap_or_default()
    )
}

/// Installs it with the system's package manager, which says on the terminal what it does.
///
/// # Errors
/// When there is no known package manager, or it fails.
pub fn install() -> io::Result<()> {
    let manager = Manager::found()
        .ok_or_else(|| io::Error::other("no package manager that the lab knows"))?;
    if !manager.refresh.is_empty() {
        // An old list may still do; the installation itself shows.
        run(manager.program, manager.refresh.iter().copied())
            .unwrap_or_else(|error| eprintln!("lab: {error}"));
    }
    let words = manager.install.iter().copied().chain([PACKAGE]);
    run(manager.program, words)?;
    if has_nft() {
        Ok(())
    } else {
        Err(io::Error::other("nft is still not there"))
    }
}

fn run(program: &str, arguments: impl Iterator<Item = &'static str>) -> io::Result<()> {
    let mut command = if geteuid().is_root() {
        Command::new(program)
    } else {
        let mut command = Command::new("sudo");
        command.arg(program);
        command
    };
    let status = command.args(arguments).status()?;
    if status.success() {
        Ok(())
    } else {
        Err(io::Error::other(format!("{program} ended with {status}")))
    }
}

fn in_path(program: &str) -> bool {
    env::var_os("PATH")
        .is_some_and(|path| env::split_paths(&path).any(|folder| folder.join(program).is_file()))
}
