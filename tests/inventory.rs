//! Claim: each process of a running service holds what the table of roles gives it, and nothing else: descriptors,
//! environment, capabilities, filters, user, root directory, limits.

mod support;

use std::collections::BTreeSet;
use std::path::Path;

use gatepost::role::Role;
use gatepost::sandbox::fallback_identity;
use support::inventory::Inventory;
use support::{Service, await_that, is_root, processes};

/// What a role may have open beside the control channel, /dev/null, its log and its event loop.
struct Row {
    role: Role,
    /// Sockets: channels to neighbours, and what it listens on.
    sockets: usize,
    files: &'static [&'static str],
}

/// One SMTP and one HTTP listener, one upstream.
const ROWS: [Row; 8] = [
    // vault
    Row { role: Role::Sealer, sockets: 1, files: &["seal/head.0", "seal/head.1"] },
    // sealer, courier, two edges
    Row { role: Role::Vault, sockets: 4, files: &["db", "audit"] },
    // two edges
    Row { role: Role::Keyholder, sockets: 2, files: &[] },
    // courier
    Row { role: Role::Dialer, sockets: 1, files: &[] },
    // vault, dialer
    Row { role: Role::Courier, sockets: 2, files: &[] },
    // listener, vault, keyholder
    Row { role: Role::EdgeSmtp, sockets: 3, files: &[] },
    Row { role: Role::EdgeHttp, sockets: 3, files: &[] },
    // two edges, two listening sockets
    Row { role: Role::Listener, sockets: 4, files: &[] },
];

#[test]
fn rule_t12_each_process_holds_what_the_table_gives_it_and_nothing_else() {
    let service = Service::start();
    let parent = Inventory::of(service.pid());
    assert!(parent.no_new_privs, "the parent, too, can't gain rights by running a program");
    let state = service.folder.path().join("state");
    let mut seen = BTreeSet::new();
    for (title, pid) in processes::children(service.pid()) {
        let role = Role::named(title.split(' ').next().unwrap()).unwrap();
        let row = ROWS.iter().find(|row| row.role == role).unwrap();
        let held = Inventory::of(pid);
        let [inheritable, permitted, effective, bounding, ambient] = held.capabilities;
        assert_eq!([inheritable, permitted, effective, ambient], [0; 4], "{title}: capabilities");
        assert!(held.no_new_privs, "{title}: no_new_privs");
        assert_eq!(held.filters, parent.filters + 2, "{title}: two filters of its own on top of the parent's");
        assert_eq!(held.core_limit, ("0".into(), "0".into()), "{title}: core dumps");
        seen.insert(role);
        if !is_root() {
            continue;
        }
        assert_eq!(bounding, 0, "{title}: bounding set");
        assert_eq!(held.users, [fallback_identity(role).user; 4], "{title}: user");
        assert_eq!(held.groups, [0; 0], "{title}: groups");
        assert_eq!(held.environment.as_deref(), Some(&[][..]), "{title}: environment");
        let root = match role {
            Role::Dialer => Path::new("/").to_owned(),
            Role::Vault => state.clone(),
            _ => service.folder.path().join("run/empty"),
        };
        assert_eq!(held.root, Some(root), "{title}: root directory");
        // Channels to neighbours are plugged in a moment after a process is ready.
        await_that(&format!("{title} has all its channels"), || sockets(&Inventory::of(pid)) == 1 + row.sockets);
        descriptors(&title, row, &Inventory::of(pid), &state);
    }
    assert_eq!(seen.len(), ROWS.len(), "every role was looked at: {seen:?}");
    if !is_root() {
        println!(
            "descriptors, environment and root directory were NOT looked at: only root may; the run as root does it"
        );
    }
    service.stop();
}

fn sockets(held: &Inventory) -> usize {
    let open = held.descriptors.as_ref().unwrap();
    open.values().filter(|path| path.to_string_lossy().starts_with("socket:")).count()
}

fn descriptors(title: &str, row: &Row, held: &Inventory, state: &Path) {
    let open = held.descriptors.as_ref().unwrap();
    let shown: Vec<String> = open.values().map(|path| path.display().to_string()).collect();
    let count = |kind: &str| shown.iter().filter(|name| name.starts_with(kind)).count();
    assert_eq!(open.get(&1).map(|path| path.as_path()), Some(Path::new("/dev/null")), "{title}");
    assert_eq!(count("/dev/null"), 1, "{title}: {shown:?}");
    assert_eq!(count("pipe:"), 1, "{title}: its log alone: {shown:?}");
    for name in &shown {
        let allowed = name.starts_with("socket:")
            || name.starts_with("pipe:")
            || name == "/dev/null"
            || name == "anon_inode:[eventpoll]"
            || name == "anon_inode:[eventfd]"
            || row.files.iter().any(|file| name.starts_with(&*state.join(file).to_string_lossy()));
        assert!(allowed, "{title} has {name} open");
    }
}
