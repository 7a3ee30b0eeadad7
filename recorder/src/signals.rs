//! Stop requests: the first SIGINT, SIGTERM or SIGHUP asks the main loop to finish the file, a second one ends the
//! program at once.

use std::sync::atomic::{AtomicI32, AtomicU32, Ordering};

static REQUESTS: AtomicU32 = AtomicU32::new(0);
static LAST: AtomicI32 = AtomicI32::new(0);

extern "C" fn handle(signal: libc::c_int) {
    LAST.store(signal, Ordering::Relaxed);
    if REQUESTS.fetch_add(1, Ordering::Relaxed) > 0 {
        // SAFETY: both calls are async-signal-safe; the default action ends the process with the signal's own status.
        unsafe {
            libc::signal(signal, libc::SIG_DFL);
            libc::raise(signal);
        }
    }
}

/// Takes over the stop signals. SIGPIPE stays ignored, as Rust's runtime sets it: a closed pipe is an ordinary write error.
pub fn install() {
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
        // SAFETY: `action` is fully initialised (zero is a valid sigaction), the handler touches only atomics and
        // async-signal-safe functions. A failure leaves the default action, which is safe too.
        unsafe {
            let mut old: libc::sigaction = std::mem::zeroed();
            libc::sigaction(signal, std::ptr::null(), &raw mut old);
            // nohup: what the parent chose to ignore stays ignored.
            if signal == libc::SIGHUP && old.sa_sigaction == libc::SIG_IGN {
                continue;
            }
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = handle as *const () as usize;
            action.sa_flags = libc::SA_RESTART;
            libc::sigemptyset(&raw mut action.sa_mask);
            libc::sigaction(signal, &raw const action, std::ptr::null_mut());
        }
    }
}

/// The signal that asked for a stop, if one did.
#[must_use]
pub fn stop_requested() -> Option<i32> {
    (REQUESTS.load(Ordering::Relaxed) > 0).then(|| LAST.load(Ordering::Relaxed))
}
