//! What the lab must be allowed to do, and a user namespace where it is not root.

use std::fs;
use std::io;

use nix::sched::{CloneFlags, unshare};
use nix::unistd::{getegid, geteuid};

use super::line::Lines;
use super::means::Means;
use super::netns::Namespace;

/// The two capabilities that the lab uses, as bits of the kernel's set (`linux/capability.h`).
const NEEDED: u64 = 1 << 12 /* CAP_NET_ADMIN */ | 1 << 21 /* CAP_SYS_ADMIN */;

/// Says that something is not run here, or fails where it must be.
///
/// # Panics
/// With `LAB=require` in the environment.
pub fn skip(what: &str, error: &io::Error) {
    let required = std::env::var_os("LAB").is_some_and(|lab| lab == "require");
    assert!(!required, "{what}: {error}");
    eprintln!("skipped: {what}: {error}");
}

/// Becomes root in a user namespace of its own, where the process is not root already.
///
/// To be called while the process has one thread, which is all the kernel allows here.
///
/// # Errors
/// When the kernel does not let this user make a user namespace.
pub fn gain() -> io::Result<()> {
    if has_capabilities() {
        return Ok(());
    }
    let (user, group) = (geteuid(), getegid());
    unshare(CloneFlags::CLONE_NEWUSER).map_err(|e| refused("user namespaces", &e.into()))?;
    // A group map may be written only once the right to leave groups has been given up (user_namespaces(7)).
    fs::write("/proc/self/setgroups", "deny")
        .and_then(|()| fs::write("/proc/self/uid_map", format!("0 {user} 1")))
        .and_then(|()| fs::write("/proc/self/gid_map", format!("0 {group} 1")))
        .map_err(|e| refused("user namespaces", &e))
}

fn refused(what: &str, error: &io::Error) -> io::Error {
    let text = format!(
        "this user may not make {what} ({error}): run it as root, or allow them (user.max_user_namespaces, \
         kernel.unprivileged_userns_clone, kernel.apparmor_restrict_unprivileged_userns)"
    );
    io::Error::new(error.kind(), text)
}

/// Makes one of everything that the lab is made of.
///
/// # Errors
/// Says what could not be made.
pub fn check(means: Means) -> io::Result<()> {
    let namespace = Namespace::new("check").map_err(|e| refused("network namespaces", &e))?;
    Lines::new(means.devices)?
        .to(&namespace, "check")
        .map_err(|e| io::Error::new(e.kind(), format!("no device: {e}")))?;
    Ok(())
}

fn has_capabilities() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    effective
        .and_then(|set| u64::from_str_radix(set.trim(), 16).ok())
        .is_some_and(|set| set & NEEDED == NEEDED)
}
