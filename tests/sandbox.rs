//! Claim: a process that an intruder has can do what its role does and nothing else. Every escape of the list is tried in
//! every role's real sandbox, as root and as an ordinary user; targets are watched as well, because an attempt whose effect
//! is seen has succeeded whatever the system answered.

#![cfg(target_os = "linux")]

#[path = "support/inventory.rs"]
mod inventory;

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::net::{SocketAddr, UnixListener};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use gatepost::role::{self, Role};
use gatepost::sandbox::{fallback_identity, probe};
use inventory::Inventory;
use nix::libc::{SIGABRT, SIGSYS};
use tempfile::TempDir;

/// Who is meant by a line of `ALLOWED`.
#[derive(PartialEq)]
enum When {
    Always,
    /// Without root there is no root directory to be locked into, and no kernel rule for looking at names.
    NotRoot,
}

/// What a role may do by its row. All else must be refused or kill.
const ALLOWED: &[(Role, &str, When)] = &[
    // it accepts strangers' connections
    (Role::Listener, "accept", When::Always),
    // it connects to the configured ports
    (Role::Dialer, "connect-allowed-port", When::Always),
    // it asks DNS; landlock can't limit UDP yet
    (Role::Dialer, "udp", When::Always),
    // it reads the resolver's files, and /etc with them, because resolv.conf is renamed over
    (Role::Dialer, "read-etc-passwd", When::Always),
    (Role::Dialer, "stat-etc-passwd", When::Always),
    // it asks for names of files; reading is another matter
    (Role::Vault, "stat-etc-passwd", When::NotRoot),
];

/// What the parent and so everything below it is never to do again.
const REFUSED_TO_PARENT: &[&str] = &[
    "read-parent-memory",
    "create-in-root",
    "read-strange-file",
    "remove-strange-file",
    "connect",
    "connect-inherited-socket",
    "listener-connect",
    "unix-abstract",
    "execute-shell",
    "make-memory-file",
    "trace-sibling",
    "trace-parent",
    "read-sibling",
    "take-descriptor",
    "signal-parent",
    "signal-sibling",
    "new-user-space",
    "mount",
    "type-into-terminal",
    "io-uring",
    "bpf",
    "performance-events",
    "user-faults",
    "read-keyring",
    "add-key",
];

fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// Those that a filter holds. A mailer runs programs, and is looked at by itself.
fn children() -> impl Iterator<Item = Role> {
    role::TABLE.iter().map(|row| row.role).filter(|role| !matches!(role, Role::Parent | Role::Mailer))
}

#[test]
fn a_mailer_can_become_nobody_else_and_leaves_others_alone_though_no_filter_holds_it() {
    let mut targets = Targets::new(Role::Mailer);
    // What its user may: it runs programs, and these may do this.
    for action in ["fork", "execute-shell"] {
        let (status, said) = targets.run(Role::Mailer, action);
        assert_eq!(status.code(), Some(probe::SUCCEEDED.into()), "{action}: {status}: {said}");
        assert!(said.contains("missing: a mailer runs a program without landlock"), "{said}");
    }
    for action in ["create-in-root", "become-root", "change-root", "read-parent-memory", "trace-parent", "mount"] {
        let (status, said) = targets.run(Role::Mailer, action);
        assert!(held_back(status) || !is_root(), "{action}: {status}: {said}");
    }
    assert_eq!(targets.noticed(), Vec::<&str>::new());
    let mut command = Command::new(program());
    command.args(["probe", Role::Mailer.name(), "inventory"]).env_clear().env("TMPDIR", targets.work());
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(said.next().unwrap().unwrap(), "descriptors [0, 1, 2]");
    assert_eq!(said.nth(1).unwrap().unwrap(), "directory \"/\"");
    let held = Inventory::of(child.id());
    let [inheritable, permitted, effective, bounding, ambient] = held.capabilities;
    assert_eq!([inheritable, permitted, effective, ambient], [0; 4]);
    assert!(!held.no_new_privs, "the program could not become its file's group");
    assert_eq!(held.core_limit, ("0".into(), "0".into()));
    if is_root() {
        assert_eq!(bounding, 0);
        assert_eq!(held.users, [fallback_identity(Role::Mailer).user; 4]);
        assert_eq!(held.groups, [0; 0]);
    }
    drop(child.stdin.take());
    assert!(child.wait_with_output().unwrap().status.success());
}

fn is_allowed(role: Role, action: &str) -> bool {
    ALLOWED.iter().any(|(r, a, when)| (*r, *a) == (role, action) && (*when == When::Always || !is_root()))
}

/// Targets outside the sandbox that notice when they are reached, and a process of the role's own user.
struct Targets {
    place: TempDir,
    tcp: TcpListener,
    allowed: TcpListener,
    udp: UdpSocket,
    pathname: UnixListener,
    abstract_socket: UnixListener,
    abstract_name: String,
    sibling: Child,
}

impl Targets {
    fn new(role: Role) -> Self {
        let place = TempDir::new().unwrap();
        fs::set_permissions(place.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let open_to_all = place.path().join("open");
        fs::create_dir(&open_to_all).unwrap();
        fs::set_permissions(&open_to_all, fs::Permissions::from_mode(0o777)).unwrap();
        fs::write(open_to_all.join("file"), "not yours").unwrap();
        fs::set_permissions(open_to_all.join("file"), fs::Permissions::from_mode(0o666)).unwrap();
        let pathname = UnixListener::bind(open_to_all.join("socket")).unwrap();
        fs::set_permissions(open_to_all.join("socket"), fs::Permissions::from_mode(0o777)).unwrap();
        // The directory's name is nobody else's.
        let abstract_name = place.path().to_string_lossy().into_owned();
        let address = SocketAddr::from_abstract_name(&abstract_name).unwrap();
        let mut sibling = Command::new("sleep");
        if is_root() && role != Role::Parent {
            let identity = fallback_identity(role);
            sibling.uid(identity.user).gid(identity.group);
        }
        let targets = Self {
            tcp: TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap(),
            allowed: TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap(),
            udp: UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap(),
            pathname,
            abstract_socket: UnixListener::bind_addr(&address).unwrap(),
            abstract_name,
            sibling: sibling.arg("300").spawn().unwrap(),
            place,
        };
        targets.tcp.set_nonblocking(true).unwrap();
        targets.allowed.set_nonblocking(true).unwrap();
        targets.udp.set_nonblocking(true).unwrap();
        targets.pathname.set_nonblocking(true).unwrap();
        targets.abstract_socket.set_nonblocking(true).unwrap();
        targets
    }

    fn file(&self) -> PathBuf {
        self.place.path().join("open/file")
    }

    /// The probe's own directories; a fresh one, so that roles don't meet.
    fn work(&self) -> PathBuf {
        let work = self.place.path().join("work");
        fs::create_dir_all(&work).unwrap();
        work
    }

    fn probe(&self, role: Role, action: &str) -> Command {
        let mut command = Command::new(program());
        command.args(["probe", role.name(), action]).env_clear().stdin(Stdio::null());
        command.env("TMPDIR", self.work());
        // A name server that doesn't answer must not hold the test up.
        command.env("RES_OPTIONS", "timeout:1 attempts:1");
        command.env("GATEPOST_PROBE_TCP", self.tcp.local_addr().unwrap().port().to_string());
        command.env("GATEPOST_PROBE_ALLOWED", self.allowed.local_addr().unwrap().port().to_string());
        command.env("GATEPOST_PROBE_UDP", self.udp.local_addr().unwrap().port().to_string());
        command.env("GATEPOST_PROBE_UNIX", self.place.path().join("open/socket"));
        command.env("GATEPOST_PROBE_ABSTRACT", &self.abstract_name);
        command.env("GATEPOST_PROBE_SIBLING", self.sibling.id().to_string());
        command.env("GATEPOST_PROBE_FILE", self.file());
        command
    }

    fn run(&self, role: Role, action: &str) -> (ExitStatus, String) {
        let output = self.probe(role, action).output().unwrap();
        (output.status, String::from_utf8_lossy(&output.stderr).into_owned())
    }

    /// What noticed something since it was last asked.
    fn noticed(&mut self) -> Vec<&'static str> {
        let mut octets = [0; 64];
        let seen = [
            ("the port that no role may connect to", self.tcp.accept().is_ok()),
            ("the port that the dialer may connect to", self.allowed.accept().is_ok()),
            ("the UDP socket", self.udp.recv(&mut octets).is_ok()),
            ("the unix socket", self.pathname.accept().is_ok()),
            ("the abstract socket", self.abstract_socket.accept().is_ok()),
            ("the file", fs::read(self.file()).ok().as_deref() != Some(b"not yours")),
            ("the sibling", self.sibling.try_wait().unwrap().is_some()),
        ];
        seen.into_iter().filter_map(|(what, reached)| reached.then_some(what)).collect()
    }
}

impl Drop for Targets {
    fn drop(&mut self) {
        let _ = self.sibling.kill();
        let _ = self.sibling.wait();
    }
}

/// The program under test: this build's, or another that was copied to where an ordinary user can run it.
fn program() -> PathBuf {
    std::env::var_os("GATEPOST_BIN").map_or_else(|| env!("CARGO_BIN_EXE_gatepost").into(), PathBuf::from)
}

fn held_back(status: ExitStatus) -> bool {
    status.signal() == Some(SIGSYS) || status.code() == Some(probe::REFUSED.into())
}

#[test]
fn rule_t12_every_escape_is_refused_or_kills_in_every_role() {
    let escaped: Vec<String> = std::thread::scope(|scope| {
        let roles: Vec<_> = children().map(|role| scope.spawn(move || escapes_of(role))).collect();
        roles.into_iter().flat_map(|role| role.join().unwrap()).collect()
    });
    assert!(escaped.is_empty(), "{}", escaped.join("\n"));
}

fn escapes_of(role: Role) -> Vec<String> {
    let mut targets = Targets::new(role);
    let mut escaped = Vec::new();
    for action in probe::actions() {
        let (status, said) = targets.run(role, action);
        let noticed = targets.noticed();
        let fine = match is_allowed(role, action) {
            true => status.code() == Some(probe::SUCCEEDED.into()),
            false => held_back(status) && noticed.is_empty(),
        };
        if !fine {
            escaped.push(format!("{role} {action}: {status}, noticed by {noticed:?}: {said}"));
        }
    }
    escaped
}

#[test]
fn every_role_lives_through_a_day_of_work() {
    for role in children() {
        let targets = Targets::new(role);
        let (status, said) = targets.run(role, "harmless");
        assert_eq!(status.code(), Some(0), "{role}: {status}: {said}");
    }
}

/// The second of the two shows that the first can fail: the same attempts, with the filters forgotten.
#[cfg(debug_assertions)]
#[test]
fn forgotten_filters_are_noticed() {
    let targets = Targets::new(Role::EdgeSmtp);
    for action in ["fork", "thread", "udp", "unix-socket-pair", "share-memory", "map-writable-code", "become-readable"]
    {
        let (status, said) = targets.run(Role::EdgeSmtp, action);
        assert!(held_back(status), "{action}: {status}: {said}");
        let (status, said) = targets.run(Role::EdgeSmtp, &format!("{action}:without-seccomp"));
        assert_eq!(status.code(), Some(0), "{action}: {status}: {said}");
    }
}

#[cfg(debug_assertions)]
#[test]
fn a_kernel_without_landlock_is_told_of_and_one_without_filters_refused() {
    for role in [Role::EdgeHttp, Role::Dialer, Role::Vault] {
        let targets = Targets::new(role);
        let (status, said) = targets.run(role, "fork:on-kernel-without-landlock");
        assert_eq!(status.signal(), Some(SIGSYS), "{role}: {status}: {said}");
        assert!(said.contains("missing: landlock's file rules (Linux 5.13"), "{role}: {said}");
        assert!(said.contains("missing: landlock's port rules (Linux 6.7)"), "{role}: {said}");
        assert_eq!(said.contains("nft add rule"), is_root(), "{role}: {said}");
        let (status, said) = targets.run(role, "fork:on-kernel-without-seccomp");
        assert_eq!(status.code(), Some(probe::NOT_SET_UP.into()), "{role}: {status}: {said}");
        assert!(said.contains("refuses seccomp filters, which no process may run without"), "{role}: {said}");
    }
}

#[test]
fn a_panic_that_aborts_says_why_and_is_no_violation() {
    for role in [Role::Vault, Role::Keyholder, Role::Sealer] {
        let (status, said) = Targets::new(role).run(role, "panic");
        assert_eq!(status.signal(), Some(SIGABRT), "{role}: {status}: {said}");
        assert!(said.contains("asked for") && !status.core_dumped(), "{role}: {said}");
    }
}

#[test]
fn rule_t12_a_sealed_process_holds_nothing_it_was_not_given() {
    let filters_before = Inventory::of(std::process::id()).filters;
    for role in children() {
        let targets = Targets::new(role);
        let mut command = Command::new(program());
        command.args(["probe", role.name(), "inventory"]).env_clear().env("TMPDIR", targets.work());
        // A log is a pipe: FSIZE 0 ends a process that writes to a file, and the test's own stderr may be one.
        let pipes = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = pipes.spawn().unwrap();
        let mut said = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut line = || said.next().unwrap().unwrap();
        assert_eq!(line(), "descriptors [0, 1, 2]", "{role}");
        assert_eq!(line(), "environment [\"TMPDIR\"]", "{role}");
        line();
        let held = Inventory::of(child.id());
        let [inheritable, permitted, effective, bounding, ambient] = held.capabilities;
        assert_eq!([inheritable, permitted, effective, ambient], [0; 4], "{role}");
        assert!(held.no_new_privs, "{role}");
        assert_eq!(held.filters, filters_before + 2, "{role}");
        assert_eq!(held.core_limit, ("0".into(), "0".into()), "{role}");
        assert_eq!(held.descriptor_limit, ("256".into(), "256".into()), "{role}");
        if is_root() {
            assert_eq!(bounding, 0, "{role}");
            assert_eq!(held.users, [fallback_identity(role).user; 4], "{role}");
            assert_eq!(held.groups, [0; 0], "{role}");
            let locked_in = held.root.unwrap() != Path::new("/");
            assert_eq!(locked_in, role != Role::Dialer, "{role}");
        }
        drop(child.stdin.take());
        let ended = child.wait_with_output().unwrap();
        assert!(ended.status.success(), "{role}: {ended:?}");
    }
}

#[test]
fn a_confined_parent_does_its_work_and_nothing_of_the_deny_list() {
    let mut targets = Targets::new(Role::Parent);
    let home = targets.place.path().join("home");
    for directory in ["db", "audit"] {
        fs::create_dir_all(home.join(directory)).unwrap();
        if is_root() {
            let identity = fallback_identity(Role::Vault);
            chown(home.join(directory), Some(identity.user), Some(identity.group)).unwrap();
        }
    }
    fs::create_dir_all(targets.work()).unwrap();
    let output = targets.probe(Role::Parent, "harmless").env("GATEPOST_PROBE_HOME", &home).output().unwrap();
    assert!(output.status.success(), "{}: {}", output.status, String::from_utf8_lossy(&output.stderr));
    for action in REFUSED_TO_PARENT {
        let (status, said) = targets.run(Role::Parent, action);
        assert!(held_back(status), "{action}: {status}: {said}");
    }
    assert_eq!(targets.noticed(), Vec::<&str>::new());
}
