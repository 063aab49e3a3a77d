//! The system calls for which no safe wrapper exists; the only unsafe code of the lab.
#![allow(
    unsafe_code,
    reason = "raw system calls, each with its reason beside it"
)]

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::sys::signal::{SigSet, Signal};

/// Makes a TUN device called `name` in the network namespace of the calling thread.
///
/// The descriptor does not block; a packet a read, a packet a write, without a header before it. The device
/// lives as long as the descriptor.
pub(super) fn open_tun(name: &str) -> io::Result<File> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NONBLOCK)
        .open("/dev/net/tun")?;
    // SAFETY: `ifreq` is plain data, for which all zeros is a valid value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    // The last byte stays zero: the kernel reads a C string.
    for (to, from) in request
        .ifr_name
        .iter_mut()
        .take(libc::IFNAMSIZ - 1)
        .zip(name.bytes())
    {
        *to = from as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_TUN | libc::IFF_NO_PI) as libc::c_short;
    // SAFETY: the descriptor is open, and TUNSETIFF reads and writes one `ifreq`, which outlives the call.
    let done = unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF as _, &raw mut request) };
    if done < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(file)
}

/// Lets the kernel kill the command's process when the thread that starts it ends, whatever ends it.
pub(super) fn die_with_thread(command: &mut Command) {
    // SAFETY: between fork and exec only async-signal-safe calls are allowed, and prctl is a bare system call.
    unsafe {
        command.pre_exec(|| Ok(nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)?));
    }
}

/// Starts the command's process with no signal blocked, whatever the lab has blocked for itself.
pub(super) fn unblock_signals(command: &mut Command) {
    // SAFETY: as above; pthread_sigmask is async-signal-safe.
    unsafe {
        command.pre_exec(|| Ok(SigSet::empty().thread_set_mask()?));
    }
}

/// Puts the calling thread before all ordinary ones, as far as this process may.
///
/// Returns whether it was allowed; a lab that may not do it works too, with less exact delays on a busy machine.
pub(super) fn run_first() -> bool {
    // SAFETY: `sched_param` is plain data that outlives the call; thread 0 is the calling one.
    unsafe {
        let mut param: libc::sched_param = std::mem::zeroed();
        param.sched_priority = 1;
        libc::sched_setscheduler(0, libc::SCHED_RR, &raw const param) == 0
    }
}
