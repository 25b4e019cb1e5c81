//! Claims: the units for systemd are as tight as they say, each point that remains has its reason beside its line, and the
//! service starts, sends and stops with no more than they give it: capabilities, system calls, kinds of sockets, modes.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use gatepost::config::Config;
use support::{Service, Setting, is_root};

fn shipped(name: &str) -> PathBuf {
    Path::new(&std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it")).join(name)
}

fn read(name: &str) -> String {
    fs::read_to_string(shipped(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn output(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}: install systemd and strace"));
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{command:?}: {said}{}", String::from_utf8_lossy(&output.stderr));
    said
}

/// The values of a setting of a unit, one for each line of it.
fn values(unit: &str, setting: &str) -> Vec<String> {
    let text = read(&format!("systemd/{unit}"));
    let lines = text.lines().filter_map(|line| line.split_once('='));
    lines.filter(|(key, _)| *key == setting).map(|(_, value)| value.to_owned()).collect()
}

/// What `systemd-analyze security` counts, by the word that the unit has for it.
const WORDS: [(&str, &str); 17] = [
    ("CapabilityBoundingSet_CAP_KILL", "KILL"),
    ("CapabilityBoundingSet_CAP_NET_BIND_SERVICE_BROADCAST_RAW)", "NET_BIND_SERVICE"),
    ("CapabilityBoundingSet_CAP_SET_UID_GID_PCAP", "SETUID SETGID SETPCAP"),
    ("CapabilityBoundingSet_CAP_SYS_CHROOT", "SYS_CHROOT"),
    ("DeviceAllow", "DeviceAllow"),
    ("IPAddressDeny", "IPAddressDeny"),
    ("PrivateNetwork", "PrivateNetwork"),
    ("PrivateUsers", "PrivateUsers"),
    ("RestrictAddressFamilies_AF_INET_INET6", "AF_INET AF_INET6"),
    ("RestrictAddressFamilies_AF_UNIX", "AF_UNIX"),
    ("RootDirectoryOrRootImage", "RootDirectory"),
    ("SystemCallFilter_mount", "@mount"),
    ("SystemCallFilter_privileged", "@privileged"),
    ("SystemCallFilter_resources", "@resources"),
    ("UserOrDynamicUser", "User"),
    // Newer versions write these otherwise.
    ("CapabilityBoundingSet_CAP_NET_BIND_SERVICE_BROADCAST_RAW", "NET_BIND_SERVICE"),
    ("RestrictAddressFamilies_AF_INET_INET6_", "AF_INET AF_INET6"),
];

#[test]
fn the_units_are_as_tight_as_they_say_and_give_a_reason_for_each_point_that_remains() {
    for (unit, most) in [("gatepost.service", 2.4), ("gatepost-unprivileged.service", 1.2)] {
        let analyze = |more: &[&str]| {
            let mut command = Command::new("systemd-analyze");
            output(
                command
                    .args(["security", "--offline=true", "--no-pager"])
                    .args(more)
                    .arg(shipped("systemd").join(unit)),
            )
        };
        let said = analyze(&[]);
        let level = said.rsplit("exposure level for").next().and_then(|rest| rest.split_whitespace().nth(1));
        let level: f64 = level.and_then(|level| level.parse().ok()).unwrap_or_else(|| panic!("no level: {said}"));
        assert!(level <= most, "{unit}: {level} is more than {most}\n{said}");
        let text = read(&format!("systemd/{unit}"));
        assert!(text.contains(&format!("says at most {most};")), "{unit} names another figure than {most}");
        // Comments are broken as it fits.
        let reasons = text.replace("\n# ", " ");
        let rows: Vec<serde_json::Value> = serde_json::from_str(&analyze(&["--json=short"])).unwrap();
        for row in rows.iter().filter(|row| row["exposure"].is_string() && row["set"] != true) {
            let field = row["json_field"].as_str().unwrap();
            let word = WORDS.iter().find(|(of, _)| *of == field);
            let (_, word) = word.unwrap_or_else(|| panic!("{unit}: {row} has no reason beside its line"));
            assert!(reasons.contains(&format!(", {word}: ")), "{unit}: {row} has no reason beside its line");
        }
    }
}

#[test]
fn the_example_for_the_unit_that_never_is_root_loads_and_fits_its_socket() {
    let plan = Config::load(&shipped("packaging/deb/unprivileged.toml")).unwrap_or_else(|errors| panic!("{errors}"));
    let names = values("gatepost.socket", "FileDescriptorName");
    assert_eq!(format!("{:?}", plan.listeners[0].addresses), format!("[Systemd({:?})]", names[0]));
    let streams = values("gatepost.socket", "ListenStream");
    assert_eq!(streams.len(), 1, "one name is one socket: a second one of it would be listened on by nobody");
    let credentials: BTreeSet<String> = read("packaging/deb/unprivileged.toml")
        .split("\"credential:")
        .skip(1)
        .map(|rest| rest.split('"').next().unwrap().to_owned())
        .collect();
    let text = read("systemd/gatepost-unprivileged.service");
    let shown = text.lines().filter_map(|line| line.split_once("LoadCredential=")?.1.split(':').next());
    assert_eq!(credentials, shown.map(str::to_owned).collect());
}

#[test]
fn the_directories_are_made_as_the_service_wants_them_and_whose_they_are_by_then_stays() {
    if !is_root() {
        return eprintln!("NOT CHECKED: owners of directories are root's to give");
    }
    let root = tempfile::tempdir().unwrap();
    fs::create_dir(root.path().join("etc")).unwrap();
    let made = |program: &str, words: &[&str], file: &str| {
        output(Command::new(program).arg("--root").arg(root.path()).args(words).arg(shipped(file)));
    };
    made("systemd-sysusers", &[], "systemd/gatepost.sysusers");
    made("systemd-tmpfiles", &["--create"], "systemd/gatepost.tmpfiles");
    let id = |file: &str, name: &str| -> u32 {
        let text = fs::read_to_string(root.path().join("etc").join(file)).unwrap();
        let line = text.lines().find(|line| line.split(':').next() == Some(name)).unwrap();
        line.split(':').nth(2).unwrap().parse().unwrap()
    };
    let (vault, auditors) = (id("passwd", "_gatepost-vault"), id("group", "_gatepost-audit"));
    let found = |name: &str| {
        use std::os::unix::fs::MetadataExt;
        let found = fs::metadata(root.path().join(name)).unwrap();
        (found.mode() & 0o7777, found.uid(), found.gid())
    };
    assert_eq!(found("run/gatepost"), (0o700, 0, 0));
    assert_eq!(found("var/lib/gatepost"), (0o755, 0, 0));
    assert_eq!(found("var/lib/gatepost/db"), (0o700, vault, id("group", "_gatepost-vault")));
    assert_eq!(found("var/lib/gatepost/audit"), (0o2750, vault, auditors));
    // The unit that never is root owns them all.
    for name in ["run/gatepost", "var/lib/gatepost"] {
        std::os::unix::fs::chown(root.path().join(name), Some(vault), Some(vault)).unwrap();
    }
    made("systemd-tmpfiles", &["--create"], "systemd/gatepost.tmpfiles");
    assert_eq!((found("run/gatepost"), found("var/lib/gatepost")), ((0o700, vault, vault), (0o755, vault, vault)));
}

/// The system calls that a unit allows, by name.
fn allowed(unit: &str) -> BTreeSet<String> {
    let text = output(Command::new("systemd-analyze").args(["syscall-filter", "--no-pager"]));
    let mut sets: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut current = String::new();
    for line in text.lines() {
        match line.trim() {
            set if line.starts_with('@') => current = set.to_owned(),
            "" => current.clear(),
            name if !name.starts_with('#') && !current.is_empty() => {
                sets.entry(current.clone()).or_default().push(name.to_owned());
            }
            _ => {}
        }
    }
    fn expand(sets: &BTreeMap<String, Vec<String>>, name: &str, into: &mut Vec<String>) {
        match sets.get(name) {
            Some(members) => members.iter().for_each(|member| expand(sets, member, into)),
            None => into.push(name.to_owned()),
        }
    }
    let mut allowed = BTreeSet::new();
    for line in values(unit, "SystemCallFilter") {
        let (denies, names) = line.strip_prefix('~').map_or((false, line.as_str()), |names| (true, names));
        let mut listed = Vec::new();
        names.split_whitespace().for_each(|name| expand(&sets, name, &mut listed));
        for name in listed {
            if denies {
                allowed.remove(&name)
            } else {
                allowed.insert(name)
            };
        }
    }
    assert!(allowed.contains("read") && allowed.len() > 100, "{unit}: {allowed:?}");
    allowed
}

/// What a trace shows of calls after the program itself was started.
struct Calls {
    names: BTreeSet<String>,
    families: BTreeSet<String>,
    /// Memory that can be written and run.
    writable_code: Vec<String>,
}

fn calls(trace: &str) -> Calls {
    let mut calls = Calls { names: BTreeSet::new(), families: BTreeSet::new(), writable_code: Vec::new() };
    // The first program is the one that takes rights away.
    let starts = |line: &str| line.contains("execve(") && line.contains("\"serve\"") && !line.contains("setpriv\", [");
    let begun = trace.lines().skip_while(|line| !starts(line));
    for line in begun.skip(1) {
        let Some((_, call)) = line.split_once(' ') else { continue };
        let call = call.trim_start();
        // "read(...", or "<... read resumed>"; what a signal does to a process is no call.
        let name = call.split('(').next().unwrap();
        // A number below zero is what a process shows that ends within a call.
        if name.is_empty()
            || name.starts_with("syscall_0xffff")
            || !name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        {
            continue;
        }
        if name == "socket" {
            let family = call.split(['(', ',']).nth(1).unwrap();
            calls.families.insert(family.to_owned());
        }
        if call.contains("PROT_WRITE|PROT_EXEC") {
            calls.writable_code.push(call.to_owned());
        }
        calls.names.insert(name.to_owned());
    }
    calls
}

/// Copies a state with its owners; without `files` only its directories, as they are made for a first start.
fn copied(from: &Path, files: bool) -> tempfile::TempDir {
    let to = tempfile::Builder::new().prefix("gatepost-test-").tempdir().unwrap();
    output(Command::new("cp").arg("-a").arg(from.join("state")).arg(to.path()));
    if !files {
        output(Command::new("find").arg(to.path().join("state")).args(["-type", "f", "-delete"]));
    }
    to
}

#[test]
fn the_service_needs_no_more_than_its_unit_gives() {
    let unit = if is_root() { "gatepost.service" } else { "gatepost-unprivileged.service" };
    let capabilities: String = values(unit, "CapabilityBoundingSet")[0]
        .split_whitespace()
        .map(|name| format!(",+{}", name.strip_prefix("CAP_").unwrap().to_lowercase()))
        .collect();
    let allowed = allowed(unit);
    let mut before = Service::start();
    let known = before.add_credential();
    before.end();
    for files in [false, true] {
        let folder = copied(before.folder.path(), files);
        let trace = folder.path().join("trace");
        let mut under: Vec<String> = ["strace", "-D", "-f", "-q", "-s", "32", "-o"].map(str::to_owned).to_vec();
        under.extend([trace.to_str().unwrap(), "setpriv", "--no-new-privs"].map(str::to_owned));
        if is_root() {
            under.push(format!("--bounding-set=-all{capabilities}"));
        }
        under.push("--".into());
        let service = Service::start_in(folder, &Setting { under, ..Setting::default() });
        let secret = if files { known.clone() } else { service.add_credential() };
        assert_eq!(service.log_in(&secret).send("in its unit"), 250);
        service.await_arrival(vec!["in its unit".into()]);
        let parent = service.pid();
        let trace = service.folder.path().join("trace");
        let mut service = service;
        service.end();
        // The tracer writes on when the service has gone.
        let last = |line: &str| {
            // Behind a number that is short there is more room.
            let (of, what) = line.split_once(' ').unwrap_or_default();
            of == parent.to_string() && what.trim_start().starts_with("+++ exited with 0")
        };
        let mut text = String::new();
        support::await_that("the trace is whole", || {
            text = fs::read_to_string(&trace).unwrap();
            text.lines().any(last)
        });
        let calls = calls(&text);
        assert!(calls.names.contains("execve") && calls.names.contains("seccomp"), "{:?}", calls.names);
        let refused: BTreeSet<&String> = calls.names.difference(&allowed).collect();
        assert!(refused.is_empty(), "{unit} refuses: {refused:?}");
        let families = values(unit, "RestrictAddressFamilies").join(" ");
        let families: BTreeSet<String> = families.split_whitespace().map(str::to_owned).collect();
        assert!(calls.families.is_subset(&families), "{unit} refuses: {:?}", calls.families);
        assert!(calls.writable_code.is_empty(), "{unit} refuses: {:?}", calls.writable_code);
    }
}
