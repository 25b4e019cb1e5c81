//! landlock: files by path, TCP by port, signals and abstract sockets by scope. The second layer under the filters: a
//! kernel that lacks a part of it is told of, with what makes up for it, and doesn't stop the start.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, LandlockStatus, NetPort, PathBeneath, PathFd, Ruleset, RulesetAttr,
    RulesetCreated, RulesetCreatedAttr, Scope, make_bitflags,
};

use crate::sandbox::policy::{DNS, Files, Network, RESOLVER, Row};
use crate::sandbox::{Grounds, ParentGrounds};

/// What the rules were tested with. An older kernel gives what it has; a newer one is not asked for more.
const TESTED: ABI = ABI::V7;

const READ: BitFlags<AccessFs> = make_bitflags!(AccessFs::{ReadFile | ReadDir});
/// READ_DIR too: SQLite opens the directory to sync it, and says nothing when it can't.
const KEEP: BitFlags<AccessFs> =
    make_bitflags!(AccessFs::{ReadFile | ReadDir | WriteFile | MakeReg | RemoveFile | Truncate});
/// The parent makes directories and sockets as well, at start and for the control socket.
const KEEP_ALL: BitFlags<AccessFs> = make_bitflags!(AccessFs::{
    ReadFile | ReadDir | WriteFile | MakeReg | RemoveFile | Truncate | MakeDir | RemoveDir | MakeSock
});
const RUN: BitFlags<AccessFs> = make_bitflags!(AccessFs::{Execute | ReadFile | ReadDir});
const DEVICE: BitFlags<AccessFs> = make_bitflags!(AccessFs::{ReadFile | WriteFile});

/// What every program's start needs besides itself: process facts, the loader's cache (below the resolver's /etc), random
/// numbers for the C libraries that read them from there.
const STARTUP: [&str; 2] = ["/proc", "/dev/urandom"];

/// Rules whose paths were opened before the root directory changed.
pub struct Rules(RulesetCreated);

/// What the kernel gave.
pub struct Given {
    files: bool,
    ports: bool,
    scopes: bool,
}

impl Rules {
    pub fn of(row: &Row, grounds: &Grounds) -> Result<Self, String> {
        let mut rules = Self::none()?;
        match row.files {
            Files::Nothing | Files::Run => {}
            Files::Keep(directories) => {
                let home = grounds.home.as_deref().ok_or_else(|| format!("the {} was given no home", row.role))?;
                for directory in directories {
                    rules = rules.path(&home.join(directory), KEEP)?;
                }
            }
            Files::Read(directories) => {
                for directory in present(directories) {
                    rules = rules.path(directory, READ)?;
                }
            }
        }
        match row.network {
            Network::None => Ok(rules),
            Network::Connect => {
                // Any free port, of whatever address: 0 is never another's.
                let sources: &[u16] = if grounds.sources { &[0] } else { &[] };
                let rules = rules.ports(&grounds.ports, AccessNet::ConnectTcp)?.ports(&[DNS], AccessNet::ConnectTcp)?;
                rules.ports(sources, AccessNet::BindTcp)
            }
        }
    }

    /// Everything below the parent inherits its rules, so they hold what any child needs.
    pub fn of_parent(grounds: &ParentGrounds) -> Result<Self, String> {
        let mut rules = Self::none()?;
        // The very file that runs, even when an upgrade has put another in its place: children are the same program.
        rules = rules.path(Path::new("/proc/self/exe"), make_bitflags!(AccessFs::{Execute | ReadFile}))?;
        for directory in libraries()? {
            rules = rules.path(&directory, RUN)?;
        }
        for path in present(&STARTUP).chain(present(RESOLVER)) {
            rules = rules.path(path, READ)?;
        }
        rules = rules.path(Path::new("/dev/null"), DEVICE)?;
        for path in &grounds.read {
            rules = rules.path(path, READ)?;
        }
        for path in &grounds.write {
            rules = rules.path(path, KEEP_ALL)?;
        }
        rules
            .ports(&grounds.bind, AccessNet::BindTcp)?
            .ports(&grounds.connect, AccessNet::ConnectTcp)?
            .ports(&[DNS], AccessNet::ConnectTcp)
    }

    /// Nothing is allowed: no file, no port, no signal and no abstract socket to whoever is not below this process.
    fn none() -> Result<Self, String> {
        Ruleset::default()
            .handle_access(AccessFs::from_all(TESTED))
            .and_then(|rules| rules.handle_access(AccessNet::from_all(TESTED)))
            .and_then(|rules| rules.scope(Scope::from_all(TESTED)))
            .and_then(Ruleset::create)
            .map(Self)
            .map_err(|error| format!("can't make landlock rules: {error}"))
    }

    fn path(self, path: &Path, access: BitFlags<AccessFs>) -> Result<Self, String> {
        let refused = |error: &dyn std::fmt::Display| {
            format!("can't open {} to allow it in the sandbox: {error}", path.display())
        };
        let descriptor = PathFd::new(path).map_err(|error| refused(&error))?;
        // Rights on directories mean nothing for a file, and the kernel refuses to be asked.
        let access = if path.is_dir() { access } else { access & AccessFs::from_file(TESTED) };
        self.0.add_rule(PathBeneath::new(descriptor, access)).map(Self).map_err(|error| refused(&error))
    }

    fn ports(self, ports: &[u16], access: AccessNet) -> Result<Self, String> {
        ports.iter().try_fold(self, |rules, port| {
            let rule = NetPort::new(*port, access);
            rules.0.add_rule(rule).map(Self).map_err(|error| format!("can't allow port {port} in the sandbox: {error}"))
        })
    }

    pub fn enforce(self) -> Result<Given, String> {
        let status = self.0.restrict_self().map_err(|error| format!("can't enforce landlock rules: {error}"))?;
        let abi = match status.landlock {
            LandlockStatus::Available { effective_abi, .. } => effective_abi,
            LandlockStatus::NotEnabled | LandlockStatus::NotImplemented => ABI::Unsupported,
        };
        Ok(Given { files: abi >= ABI::V1, ports: abi >= ABI::V4, scopes: abi >= ABI::V6 })
    }
}

impl Given {
    /// What this kernel lacks for this role, in words for the operator.
    pub fn missing(&self, row: &Row, grounds: &Grounds) -> Vec<String> {
        let mut missing = self.absent();
        if row.network == Network::Connect {
            missing.extend(outside_resolver());
        }
        if self.ports {
            return missing;
        }
        let user = row.role.row().user.filter(|_| grounds.identity.is_some());
        missing.push(match (row.network, user) {
            (Network::Connect, Some(user)) => format!(
                "landlock's port rules (Linux 6.7): the {} could connect to any port; make up for it with: nft add rule inet filter output meta skuid {user} tcp dport != {{ {} }} reject",
                row.role,
                listed(&grounds.ports),
            ),
            (Network::Connect, None) => {
                format!("landlock's port rules (Linux 6.7): the {} could connect to any port", row.role)
            }
            (Network::None, Some(user)) => format!(
                "landlock's port rules (Linux 6.7): only its filter keeps the {} from connecting; a second layer: nft add rule inet filter output meta skuid {user} ct state new reject",
                row.role,
            ),
            (Network::None, None) => {
                format!("landlock's port rules (Linux 6.7): only its filter keeps the {} from connecting", row.role)
            }
        });
        missing
    }

    pub fn missing_in_parent(&self) -> Vec<String> {
        let mut missing = self.absent();
        if !self.ports {
            missing.push("landlock's port rules (Linux 6.7): the parent could bind and connect to any port".into());
        }
        missing
    }

    fn absent(&self) -> Vec<String> {
        let mut missing = Vec::new();
        if !self.files {
            missing.push("landlock's file rules (Linux 5.13, with landlock in lsm= at boot): only users, root directories and filters keep files apart".into());
        }
        if !self.scopes {
            missing.push("landlock's scopes (Linux 6.12): only users and filters keep processes from signals and abstract sockets of others".into());
        }
        missing
    }
}

/// DNS first, then each port once: what an nft set holds.
fn listed(ports: &[u16]) -> String {
    let ports: BTreeSet<u16> = ports.iter().copied().chain([DNS]).collect();
    ports.iter().map(u16::to_string).collect::<Vec<_>>().join(", ")
}

fn present<'a>(paths: &'a [&'a str]) -> impl Iterator<Item = &'a Path> {
    paths.iter().map(Path::new).filter(|path| path.exists())
}

/// The directories of the libraries that this process has mapped, its loader among them: another process of the same
/// program begins by opening them. Directories, so that an upgrade of the C library doesn't keep children from starting.
fn libraries() -> Result<BTreeSet<PathBuf>, String> {
    let maps = fs::read_to_string("/proc/self/maps")
        .map_err(|error| format!("can't read /proc/self/maps to see which libraries are in use: {error}"))?;
    let program = fs::read_link("/proc/self/exe").unwrap_or_default();
    // After an upgrade the kernel marks a mapped file that is gone; its directory is still the right one.
    let files = maps.lines().filter_map(|line| line.find('/').and_then(|at| line.get(at..))).map(Path::new);
    let directories = files.filter(|file| *file != program).filter_map(Path::parent);
    Ok(directories.filter(|directory| directory.is_dir() && *directory != Path::new("/")).map(Path::to_owned).collect())
}

/// resolv.conf may be a link to where the dialer can't look; then no name would be found, for no visible reason.
fn outside_resolver() -> Option<String> {
    let file = fs::canonicalize("/etc/resolv.conf").ok()?;
    let readable = present(RESOLVER).filter_map(|path| path.canonicalize().ok()).any(|path| file.starts_with(path));
    (!readable).then(|| {
        format!("/etc/resolv.conf is a link to {}, which the dialer may not read: names won't be found", file.display())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::role::Role;
    use crate::sandbox::{Identity, policy};

    #[test]
    fn a_kernel_without_port_rules_is_told_of_with_the_rule_that_makes_up_for_it() {
        let given = Given { files: true, ports: false, scopes: false };
        let identity = Some(Identity { user: 61184, group: 61184, groups: Vec::new() });
        let grounds = Grounds { identity, ports: vec![587, 465, 587], ..Grounds::default() };
        let missing = given.missing(policy::of(Role::Dialer).unwrap(), &grounds).join("\n");
        assert!(missing.contains("Linux 6.7") && missing.contains("Linux 6.12"), "{missing}");
        assert!(missing.contains("skuid _gatepost-dial tcp dport != { 53, 465, 587 } reject"), "{missing}");
        let missing = given.missing(policy::of(Role::Courier).unwrap(), &grounds).join("\n");
        assert!(missing.contains("skuid _gatepost-courier ct state new reject"), "{missing}");
    }

    #[test]
    fn a_kernel_that_has_all_is_not_complained_of() {
        let given = Given { files: true, ports: true, scopes: true };
        assert_eq!(given.missing(policy::of(Role::Vault).unwrap(), &Grounds::default()), Vec::<String>::new());
        assert_eq!(given.missing_in_parent(), Vec::<String>::new());
    }

    #[test]
    fn the_loader_is_among_the_libraries() {
        let libraries = libraries().unwrap();
        let loader = |directory: &Path| {
            fs::read_dir(directory).is_ok_and(|mut entries| {
                entries.any(|entry| entry.is_ok_and(|entry| entry.file_name().to_string_lossy().starts_with("ld-")))
            })
        };
        assert!(libraries.iter().any(|directory| loader(directory)), "{libraries:?}");
    }
}
