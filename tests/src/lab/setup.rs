//! The programs that the lab drives, and how a machine gets them.

use std::env;
use std::io;
use std::process::Command;

use nix::unistd::geteuid;

/// A program of the system that the lab needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tool {
    /// `ip` of iproute2; the one of BusyBox knows too little.
    Ip,
    /// `nft`.
    Nft,
}

impl Tool {
    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ip => "ip",
            Self::Nft => "nft",
        }
    }

    fn is_there(self) -> bool {
        let Ok(output) = Command::new(self.name()).arg("-V").output() else {
            return false;
        };
        let said = [output.stdout, output.stderr].concat();
        output.status.success() && !String::from_utf8_lossy(&said).contains("BusyBox")
    }
}

/// The tools that are not there.
#[must_use]
pub fn missing() -> Vec<Tool> {
    [Tool::Ip, Tool::Nft]
        .into_iter()
        .filter(|tool| !tool.is_there())
        .collect()
}

/// A system's package manager.
#[derive(Debug, Clone, Copy)]
struct Manager {
    program: &'static str,
    install: &'static [&'static str],
    /// Commands before it that get a fresh list of packages.
    refresh: &'static [&'static str],
    iproute: &'static str,
}

const MANAGERS: [Manager; 5] = [
    Manager {
        program: "apt-get",
        install: &["install", "--yes"],
        refresh: &["update"],
        iproute: "iproute2",
    },
    Manager {
        program: "dnf",
        install: &["install", "-y"],
        refresh: &[],
        iproute: "iproute",
    },
    Manager {
        program: "pacman",
        install: &["-S", "--noconfirm", "--needed"],
        refresh: &["-Sy"],
        iproute: "iproute2",
    },
    Manager {
        program: "apk",
        install: &["add"],
        refresh: &["update"],
        iproute: "iproute2",
    },
    Manager {
        program: "zypper",
        install: &["--non-interactive", "install"],
        refresh: &["--non-interactive", "refresh"],
        iproute: "iproute2",
    },
];

impl Manager {
    fn found() -> Option<Self> {
        MANAGERS
            .into_iter()
            .find(|manager| in_path(manager.program))
    }

    fn packages(self, tools: &[Tool]) -> impl Iterator<Item = &'static str> {
        tools.iter().map(move |tool| match tool {
            Tool::Ip => self.iproute,
            Tool::Nft => "nftables",
        })
    }
}

/// The command by which a person would install the tools, where the system's way is known.
#[must_use]
pub fn by_hand(tools: &[Tool]) -> Option<String> {
    let manager = Manager::found()?;
    let words = manager
        .install
        .iter()
        .copied()
        .chain(manager.packages(tools));
    let sudo = if geteuid().is_root() { "" } else { "sudo " };
    Some(format!(
        "{sudo}{} {}",
        manager.program,
        words.collect::<Vec<_>>().join(" ")
    ))
}

/// Installs the tools with the system's package manager, which says on the terminal what it does.
///
/// # Errors
/// When there is no known package manager, or it fails.
pub fn install(tools: &[Tool]) -> io::Result<()> {
    let manager = Manager::found()
        .ok_or_else(|| io::Error::other("no package manager that the lab knows"))?;
    if !manager.refresh.is_empty() {
        // An old list may still do; the installation itself shows.
        run(manager.program, manager.refresh.iter().copied())
            .unwrap_or_else(|error| eprintln!("lab: {error}"));
    }
    run(
        manager.program,
        manager
            .install
            .iter()
            .copied()
            .chain(manager.packages(tools)),
    )?;
    match missing().as_slice() {
        [] => Ok(()),
        [tool, ..] => Err(io::Error::other(format!(
            "{} is still not there",
            tool.name()
        ))),
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
