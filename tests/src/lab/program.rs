//! The `tcp-punch` binary: where it comes from.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

/// The binary that the hosts run.
#[derive(Debug, Clone)]
pub struct Program(PathBuf);

impl Program {
    /// Takes a binary that is there already.
    ///
    /// # Errors
    /// When there is none.
    pub fn at(path: &Path) -> io::Result<Self> {
        // Absolute, so that it can be started from anywhere.
        path.canonicalize()
            .map(Self)
            .map_err(|e| io::Error::new(e.kind(), format!("{}: {e}", path.display())))
    }

    /// Builds it with cargo, quietly unless that fails.
    ///
    /// # Errors
    /// When it does not build; what cargo said is then on standard error.
    pub fn build() -> io::Result<Self> {
        // Set by `cargo run`, which is how the lab is started; that very cargo has the right tool chain.
        let cargo = std::env::var_os("CARGO");
        let output = Command::new(cargo.as_deref().unwrap_or_else(|| OsStr::new("cargo")))
            .args([
                "build",
                "--quiet",
                "--release",
                "--package",
                "tcp-punch-tokio",
                "--features",
                "cli,raw",
            ])
            .args([
                "--bin",
                "tcp-punch",
                "--message-format",
                "json-render-diagnostics",
            ])
            .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .output()?;
        if !output.status.success() {
            return Err(io::Error::other("tcp-punch does not build"));
        }
        let path = String::from_utf8_lossy(&output.stdout)
            .lines()
            .find_map(executable);
        path.map(Self)
            .ok_or_else(|| io::Error::other("cargo does not say where it put tcp-punch"))
    }

    /// A command that runs it.
    #[must_use]
    pub fn command(&self) -> Command {
        Command::new(&self.0)
    }

    /// Makes a key file; returns the peer id that belongs to it.
    ///
    /// # Errors
    /// When the program fails or prints something else than an id.
    pub fn keygen(&self, file: &Path) -> io::Result<String> {
        let output = self
            .command()
            .arg("keygen")
            .arg("--out")
            .arg(file)
            .output()?;
        let id = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        // 32 bytes in base32 without padding.
        if output.status.success()
            && id.len() == 52
            && id.bytes().all(|byte| byte.is_ascii_alphanumeric())
        {
            return Ok(id);
        }
        let said = String::from_utf8_lossy(&output.stderr);
        Err(io::Error::other(format!(
            "tcp-punch keygen printed {id:?}, {}: {}",
            output.status,
            said.trim()
        )))
    }
}

fn executable(line: &str) -> Option<PathBuf> {
    let message: Value = serde_json::from_str(line).ok()?;
    if message.get("target")?.get("name")? != "tcp-punch" {
        return None;
    }
    message.get("executable")?.as_str().map(PathBuf::from)
}
