//! How many sockets the program may have.

/// Raises the soft limit of open files to the hard one: a server has a socket for
/// each peer, birthday a thousand for one session. The soft one is low for the
/// sake of `select`, which nothing here uses.
#[cfg(unix)]
pub(crate) fn raise_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    let limit = getrlimit(Resource::Nofile);
    // Where it cannot be raised, it is as it was.
    let _ = setrlimit(
        Resource::Nofile,
        Rlimit {
            current: limit.maximum,
            maximum: limit.maximum,
        },
    );
}

/// Not run. Windows has no such limit.
#[cfg(not(unix))]
pub(crate) fn raise_limit() {}
