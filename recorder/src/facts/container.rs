//! Container ids, as container engines put them into cgroup paths.

/// The container id in a cgroup path: the last run of exactly 64 lower-case hex digits that is a path component of its own
/// or framed as engines do it: `docker-ID.scope`, `cri-containerd-ID.scope`, `crio-ID.scope`, `libpod-ID.scope`,
/// `/kubepods/.../ID`, `/docker/ID`. Empty if there is none.
#[must_use]
pub fn id(cgroup: &str) -> &str {
    let hex = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
    cgroup.rsplit(['/', '-', '.', ':']).find(|part| part.len() == 64 && part.chars().all(hex)).unwrap_or("")
}

/// The cgroup path of a process out of the text of `/proc/PID/cgroup`: that of v2, or, where v2 has only the root, the
/// first v1 hierarchy that has more.
#[must_use]
pub fn path(proc_cgroup: &str) -> &str {
    let mut v2 = "";
    let mut v1 = "";
    for line in proc_cgroup.lines() {
        let mut fields = line.splitn(3, ':');
        let (Some(number), Some(controllers), Some(path)) = (fields.next(), fields.next(), fields.next()) else {
            continue;
        };
        if number == "0" && controllers.is_empty() {
            v2 = path;
        } else if v1.is_empty() && path.len() > 1 {
            v1 = path;
        }
    }
    if v2.len() > 1 || v1.is_empty() { v2 } else { v1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    #[test]
    fn engines() {
        for cgroup in [
            format!("/system.slice/docker-{ID}.scope"),
            format!("/docker/{ID}"),
            format!(
                "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1_2.slice/cri-containerd-{ID}.scope"
            ),
            format!("/kubepods/besteffort/pod0a/{ID}"),
            format!("/kubepods.slice/crio-{ID}.scope/container"),
            format!("/machine.slice/libpod-{ID}.scope/container"),
            format!("/system.slice/containerd.service/kubepods-pod1.slice:cri-containerd:{ID}"),
        ] {
            assert_eq!(id(&cgroup), ID, "{cgroup}");
        }
        assert_eq!(id("/user.slice/user-1000.slice/session-2.scope"), "");
        assert_eq!(id(&format!("/docker/{ID}0")), "");
    }

    #[test]
    fn hierarchies() {
        assert_eq!(path("0::/system.slice/a.service\n"), "/system.slice/a.service");
        assert_eq!(path("5:devices:/\n4:memory:/docker/x\n0::/\n"), "/docker/x");
        assert_eq!(path("4:memory:/\n0::/\n"), "/");
        assert_eq!(path(""), "");
    }
}
