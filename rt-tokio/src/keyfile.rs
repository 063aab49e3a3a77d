//! Secret keys in files: one format, read by every program of the project.
//!
//! ```text
//! # tcp-punch secret key: whoever has it is this peer. Peer id: <52 characters>
//! <52 characters: the 32 secret bytes in base32>
//! ```
//!
//! Lines that are empty or begin with `#` say nothing. The text form is the one
//! of peer ids (RFC 4648 base32, lower case, no padding).

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use proto::PeerId;
use proto::noise::SecretKey;
use zeroize::{Zeroize as _, Zeroizing};

/// No key file is longer; a mistyped path to something huge is not read.
const MAX_LEN: u64 = 4_096;

/// Draws a new secret key from the operating system's generator.
///
/// # Errors
///
/// The system has no randomness to give.
pub fn generate() -> io::Result<SecretKey> {
    Ok(SecretKey::from_bytes(*crate::random_seed()?))
}

/// Writes a key to a new file that only its owner may read (mode 0600 on Unix;
/// elsewhere the directory has to protect it).
///
/// # Errors
///
/// [`KeyFileError::Exists`]: a file is never overwritten, as the key in it could
/// not be had again. [`KeyFileError::Io`] for anything else; what was begun is
/// removed.
pub fn create(path: &Path, secret: &SecretKey) -> Result<(), KeyFileError> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let failed = |error| KeyFileError::Io(path.to_owned(), error);
    let mut file = options.open(path).map_err(|error| {
        if error.kind() == io::ErrorKind::AlreadyExists {
            KeyFileError::Exists(path.to_owned())
        } else {
            failed(error)
        }
    })?;
    let id = PeerId::from(secret.public());
    let mut bytes = Zeroizing::new(secret.to_bytes());
    let mut text = format!(
        "# tcp-punch secret key: whoever has it is this peer. Peer id: {id}\n{}\n",
        PeerId::from_bytes(*bytes)
    )
    .into_bytes();
    bytes.zeroize();
    let written = file.write_all(&text).and_then(|()| file.sync_all());
    text.zeroize();
    written.map_err(|error| {
        // Half a key is of no use and would be in the way of the next try.
        let _ = std::fs::remove_file(path);
        failed(error)
    })
}

/// Reads a key.
///
/// # Errors
///
/// [`KeyFileError::Exposed`] where others than the owner may read or change the
/// file (Unix), [`KeyFileError::NotAKey`] where its content is something else,
/// [`KeyFileError::Io`] where it cannot be read.
pub fn read(path: &Path) -> Result<SecretKey, KeyFileError> {
    let failed = |error| KeyFileError::Io(path.to_owned(), error);
    let file = File::open(path).map_err(|error| {
        failed(if error.kind() == io::ErrorKind::NotFound {
            let advice = "there is no such file; `tcp-punch keygen --out FILE` makes a key";
            io::Error::new(error.kind(), advice)
        } else {
            error
        })
    })?;
    check_private(path, &file)?;
    let mut text = Vec::new();
    let read = file.take(MAX_LEN + 1).read_to_end(&mut text);
    let key = parse(&text);
    text.zeroize();
    read.map_err(failed)?;
    key.ok_or_else(|| KeyFileError::NotAKey(path.to_owned()))
}

fn parse(text: &[u8]) -> Option<SecretKey> {
    if text.len() as u64 > MAX_LEN {
        return None;
    }
    let mut lines = std::str::from_utf8(text)
        .ok()?
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    let (line, None) = (lines.next()?, lines.next()) else {
        return None;
    };
    // Not an id, but the same 32 bytes in the same text form.
    let bytes: PeerId = line.parse().ok()?;
    Some(SecretKey::from_bytes(*bytes.as_bytes()))
}

/// Refuses a file that others may read: its key may be known already.
#[cfg(unix)]
fn check_private(path: &Path, file: &File) -> Result<(), KeyFileError> {
    use std::os::unix::fs::PermissionsExt as _;

    let metadata = file
        .metadata()
        .map_err(|error| KeyFileError::Io(path.to_owned(), error))?;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 == 0 {
        Ok(())
    } else {
        Err(KeyFileError::Exposed(path.to_owned(), mode))
    }
}

/// Not run: other systems keep their access lists elsewhere.
#[cfg(not(unix))]
fn check_private(_: &Path, _: &File) -> Result<(), KeyFileError> {
    Ok(())
}

/// Why a key file could not be written or read. Its text says what to do.
#[derive(Debug)]
#[non_exhaustive]
pub enum KeyFileError {
    /// The file exists already.
    Exists(PathBuf),
    /// Others than the owner may read or change it; the mode.
    Exposed(PathBuf, u32),
    /// The file holds no key, or more than one.
    NotAKey(PathBuf),
    /// The system refused.
    Io(PathBuf, io::Error),
}

impl fmt::Display for KeyFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exists(path) => write!(
                f,
                "{} exists already; a key is never overwritten: choose another name, or remove the file \
                 if nobody knows its peer id any more",
                path.display()
            ),
            Self::Exposed(path, mode) => write!(
                f,
                "{path} can be used by others than its owner (mode {mode:03o}): run `chmod 600 {path}`, \
                 and make a new key if somebody may have read this one",
                path = path.display()
            ),
            Self::NotAKey(path) => write!(
                f,
                "{} is no key file: it should have one line with 52 characters of base32; \
                 `tcp-punch keygen --out FILE` makes one",
                path.display()
            ),
            Self::Io(path, error) => write!(f, "{}: {error}", path.display()),
        }
    }
}

impl std::error::Error for KeyFileError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(_, error) => Some(error),
            Self::Exists(_) | Self::Exposed(..) | Self::NotAKey(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory that goes away with the test.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir()
                .join(format!("tcp-punch-keyfile-{name}-{}", std::process::id()));
            std::fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        fn file(&self, text: &str) -> PathBuf {
            let path = self.0.join("key");
            let _ = std::fs::remove_file(&path);
            let mut options = OpenOptions::new();
            options.write(true).create_new(true);
            #[cfg(unix)]
            std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
            options
                .open(&path)
                .unwrap()
                .write_all(text.as_bytes())
                .unwrap();
            path
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_key_comes_back_as_it_went() {
        let scratch = Scratch::new("roundtrip");
        let path = scratch.0.join("new");
        let secret = generate().unwrap();
        create(&path, &secret).unwrap();
        assert_eq!(read(&path).unwrap().to_bytes(), secret.to_bytes());
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("# tcp-punch secret key"));
        assert!(text.contains(&PeerId::from(secret.public()).to_string()));
    }

    #[test]
    fn an_existing_file_is_never_overwritten() {
        let scratch = Scratch::new("exists");
        let path = scratch.file("precious");
        let error = create(&path, &generate().unwrap()).unwrap_err();
        assert!(matches!(error, KeyFileError::Exists(_)), "{error}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let scratch = Scratch::new("garbage");
        let key = "a".repeat(52);
        for text in [
            "",
            "# only a comment\n",
            "abc\n",
            &format!("{key}\n{key}\n"),
            &"\n".repeat(5_000),
        ] {
            let error = read(&scratch.file(text)).unwrap_err();
            assert!(
                matches!(error, KeyFileError::NotAKey(_)),
                "{text:?}: {error}"
            );
        }
        assert!(read(&scratch.file(&format!("# note\r\n\r\n  {key}\r\n"))).is_ok());
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = read(Path::new("/nonexistent/key")).unwrap_err();
        assert!(error.to_string().contains("/nonexistent/key"));
        assert!(error.to_string().contains("keygen"), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn a_file_that_others_may_read_is_refused() {
        use std::os::unix::fs::PermissionsExt as _;

        let scratch = Scratch::new("exposed");
        let path = scratch.0.join("key");
        create(&path, &generate().unwrap()).unwrap();
        assert_eq!(
            std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        let error = read(&path).unwrap_err();
        assert!(error.to_string().contains("chmod 600"), "{error}");
    }
}
