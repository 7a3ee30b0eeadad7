//! Ids of tracepoints lie in tracefs, which is not mounted everywhere. To mount it on the node would
//! change the node; so it is mounted where only the loading thread sees it.

use std::{ffi::CStr, path::Path};

const MOUNT_POINT: &CStr = c"/sys/kernel/tracing";

/// Whether tracefs is there for everybody.
#[must_use]
pub(crate) fn mounted() -> bool {
    ["/sys/kernel/tracing/events", "/sys/kernel/debug/tracing/events"].iter().any(|p| Path::new(p).exists())
}

/// Makes tracefs visible to the calling thread only: its own mount namespace, from which no mount gets out.
/// The thread must end afterwards. Nothing happens if tracefs is mounted.
pub(crate) fn mount_for_this_thread() -> std::io::Result<()> {
    if mounted() {
        return Ok(());
    }
    let check = |r: i32| if r == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) };
    // SAFETY: all pointers are to constant strings or null; unshare touches this thread only.
    unsafe {
        check(libc::unshare(libc::CLONE_NEWNS))?;
        check(libc::mount(
            std::ptr::null(),
            c"/".as_ptr(),
            std::ptr::null(),
            libc::MS_REC | libc::MS_PRIVATE,
            std::ptr::null(),
        ))?;
        check(libc::mount(
            c"tracefs".as_ptr(),
            MOUNT_POINT.as_ptr(),
            c"tracefs".as_ptr(),
            libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC | libc::MS_RDONLY,
            std::ptr::null(),
        ))
    }
}
