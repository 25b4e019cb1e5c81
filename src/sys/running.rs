//! Processes that run, as the kernel shows them to everybody: for a look at a sandbox from outside.

/// One process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Process {
    pub pid: i32,
    /// What it was started as: its own process title.
    pub title: String,
    /// Its effective user.
    pub user: u32,
    /// Its groups, the effective one first.
    pub groups: Vec<u32>,
    /// It can gain no privileges by running a program.
    pub no_new_privileges: bool,
    /// A filter of system calls is on every thread of it.
    pub filtered: bool,
    /// Its effective capabilities, one bit for each.
    pub capabilities: u64,
    /// What it runs is not the file of that name any more. None where we may not look.
    pub replaced: Option<bool>,
    /// It does nothing until somebody lets it go on: SIGSTOP, or a debugger.
    pub stopped: bool,
}

/// A process and those that it started, and those that one of these started, if its title is `relay`. None where the system shows
/// no such thing, or it is gone.
#[cfg(not(target_os = "linux"))]
pub fn family(_: i32, _: &str) -> Option<(Process, Vec<Process>)> {
    None
}

#[cfg(target_os = "linux")]
pub use linux::family;

#[cfg(target_os = "linux")]
mod linux {
    use std::fs;

    use super::Process;

    /// SECCOMP_MODE_FILTER.
    const FILTER: &str = "2";

    /// A process and those that it started, and those that one of these started, if its title is `relay`. None where the system
    /// shows no such thing, or it is gone.
    pub fn family(parent: i32, relay: &str) -> Option<(Process, Vec<Process>)> {
        let head = look(parent)?;
        // Not by the list of children, which a kernel may lack, and which skips some while others end.
        let all = fs::read_dir("/proc").ok()?.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let all: Vec<(i32, i32)> = all.filter_map(|pid| Some((pid, parent_of(pid)?))).collect();
        let of = |parent: i32| all.iter().filter(move |(_, its)| *its == parent).filter_map(|(pid, _)| look(*pid));
        let mut children: Vec<Process> = of(parent).collect();
        let relays: Vec<i32> = children.iter().filter(|child| child.title == relay).map(|child| child.pid).collect();
        children.extend(relays.into_iter().flat_map(of));
        Some((head, children))
    }

    fn parent_of(pid: i32) -> Option<i32> {
        field(&fs::read_to_string(format!("/proc/{pid}/status")).ok()?, "PPid")?.parse().ok()
    }

    fn look(pid: i32) -> Option<Process> {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let title = String::from_utf8_lossy(line.split(|octet| *octet == 0).next()?).into_owned();
        let user = field(&status, "Uid")?.split_whitespace().nth(1)?.parse().ok()?;
        let effective = field(&status, "Gid")?.split_whitespace().nth(1);
        let groups = effective.into_iter().chain(field(&status, "Groups")?.split_whitespace());
        let threads = fs::read_dir(format!("/proc/{pid}/task")).ok()?.flatten();
        // A thread that ended meanwhile has none to be looked at.
        let mut states = threads.filter_map(|thread| fs::read_to_string(thread.path().join("status")).ok());
        let filtered = states.all(|state| field(&state, "Seccomp") == Some(FILTER));
        Some(Process {
            pid,
            title,
            user,
            groups: groups.filter_map(|group| group.parse().ok()).collect(),
            no_new_privileges: field(&status, "NoNewPrivs") == Some("1"),
            filtered,
            capabilities: u64::from_str_radix(field(&status, "CapEff")?, 16).ok()?,
            replaced: fs::read_link(format!("/proc/{pid}/exe"))
                .ok()
                .map(|path| path.as_os_str().to_string_lossy().ends_with(" (deleted)")),
            stopped: field(&status, "State").is_some_and(|state| state.starts_with(['T', 't'])),
        })
    }

    fn field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
        status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn a_process_is_found_with_its_user_and_its_children() {
            let own = i32::try_from(std::process::id()).unwrap();
            let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
            let (head, children) = family(own, "").unwrap();
            let pid = i32::try_from(child.id()).unwrap();
            assert!(children.iter().any(|other| other.pid == pid), "{children:?}");
            assert_eq!(
                (head.user, head.filtered, head.replaced),
                (nix::unistd::geteuid().as_raw(), false, Some(false))
            );
            let is_stopped = || family(own, "").unwrap().1.iter().any(|other| other.pid == pid && other.stopped);
            assert!(!is_stopped());
            nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGSTOP).unwrap();
            while !is_stopped() {
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
            child.kill().unwrap();
            child.wait().unwrap();
            assert!(family(i32::MAX, "").is_none());
        }

        #[test]
        fn who_was_started_by_another_counts_where_that_one_starts_for_it() {
            use std::io::{BufRead, BufReader};
            use std::os::unix::process::CommandExt;

            let own = i32::try_from(std::process::id()).unwrap();
            let mut relay = std::process::Command::new("sh");
            relay.arg0("relay of a test").args(["-c", "sleep 60 & echo $!; read end; kill $!"]);
            let piped = std::process::Stdio::piped;
            let mut relay = relay.stdin(piped()).stdout(piped()).spawn().unwrap();
            let mut line = String::new();
            BufReader::new(relay.stdout.take().unwrap()).read_line(&mut line).unwrap();
            let pid: i32 = line.trim().parse().unwrap();
            let is_found = |relay: &str| family(own, relay).unwrap().1.iter().any(|process| process.pid == pid);
            let found = [is_found("relay of a test"), is_found("another")];
            drop(relay.stdin.take());
            relay.wait().unwrap();
            assert_eq!(found, [true, false]);
        }
    }
}
