//! How many files a process may have open.

/// The soft limit of open files; `None` where the system has or tells none.
#[cfg(unix)]
pub(crate) fn open_files() -> Option<u64> {
    use nix::sys::resource::{Resource, getrlimit};

    getrlimit(Resource::RLIMIT_NOFILE)
        .ok()
        .map(|(soft, _)| soft)
}

/// Not run. Windows has no such limit for sockets.
#[cfg(not(unix))]
pub(crate) fn open_files() -> Option<u64> {
    None
}

#[cfg(all(test, unix))]
mod tests {
    #[test]
    fn there_is_a_limit_and_room_below_it() {
        assert!(super::open_files().is_some_and(|files| files > 16));
    }
}
