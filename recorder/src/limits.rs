//! How many files this process may have open: every program, every attachment and every CPU's clock takes one, some 200 in
//! all and more on large machines, while the usual limit is 1,024 and some services have far less.

use std::os::unix::process::CommandExt;
use std::process::Command;

/// The limit that this process was started with.
#[derive(Clone, Copy, Debug)]
pub struct OpenFiles {
    before: Option<libc::rlimit>,
}

impl OpenFiles {
    /// Raises the limit as far as the system lets any process raise its own.
    #[must_use]
    pub fn raise() -> Self {
        let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        // SAFETY: the call fills `limit`.
        if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } != 0 {
            return Self { before: None };
        }
        let raised = libc::rlimit { rlim_cur: limit.rlim_max, ..limit };
        // SAFETY: the call reads `raised`. If it fails, hooks that find no room say so.
        unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const raised) };
        Self { before: Some(limit) }
    }

    /// Lets a command run with the limit as it was: programs that use `select` cannot have more than 1,024 files.
    pub fn restore_in(self, command: &mut Command) {
        let Some(before) = self.before else { return };
        // SAFETY: runs in the child between fork and exec; setrlimit is a bare system call.
        unsafe {
            command.pre_exec(move || {
                libc::setrlimit(libc::RLIMIT_NOFILE, &raw const before);
                Ok(())
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_has_the_limit_that_was() {
        let soft =
            |command: &mut Command| String::from_utf8(command.output().unwrap().stdout).unwrap().trim().to_owned();
        let shell = || {
            let mut command = Command::new("sh");
            command.args(["-c", "ulimit -n"]);
            command
        };
        let before = soft(&mut shell());
        let limit = OpenFiles::raise();
        let mut command = shell();
        limit.restore_in(&mut command);
        assert_eq!(soft(&mut command), before);
        let hard = soft(Command::new("sh").args(["-c", "ulimit -Hn"]));
        assert_eq!(soft(&mut shell()), hard);
    }
}
