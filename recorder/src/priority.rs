//! Priority of the draining thread: a ring overflows when its reader has to wait for a busy CPU longer than the ring
//! lasts, so the reader, which needs little, goes first.

use std::os::unix::process::CommandExt;
use std::process::Command;

/// Nice value of the draining thread.
const DRAIN: libc::c_int = -15;

/// The nice value that this process was started with.
#[derive(Clone, Copy, Debug)]
pub struct Priority {
    before: libc::c_int,
}

impl Priority {
    /// Raises the calling thread, and only it, where that is allowed (CAP_SYS_NICE).
    /// Threads started later inherit it: call it last.
    #[must_use]
    pub fn raise() -> Self {
        // SAFETY: both calls take and return numbers; on Linux id 0 means the calling thread.
        unsafe {
            let before = libc::getpriority(libc::PRIO_PROCESS, 0);
            if before > DRAIN {
                libc::setpriority(libc::PRIO_PROCESS, 0, DRAIN);
            }
            Self { before }
        }
    }

    /// Lets a command run as if the recorder had not raised itself.
    pub fn restore_in(self, command: &mut Command) {
        let before = self.before;
        // SAFETY: runs in the child between fork and exec; setpriority is a bare system call.
        unsafe {
            command.pre_exec(move || {
                libc::setpriority(libc::PRIO_PROCESS, 0, before);
                Ok(())
            });
        }
    }
}
