//! The files we ship are the files the program reads: they load, and their examples do too.

#[path = "support/commands.rs"]
mod commands;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use commands::{commands, help, options};
use gatepost::config::{Config, Plan};
use gatepost::role;

fn shipped(name: &str) -> PathBuf {
    Path::new(&std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it")).join(name)
}

fn read(name: &str) -> String {
    fs::read_to_string(shipped(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The plan of a configuration text, as a file of which only its owner can read anything.
fn load(text: &str) -> Plan {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("gatepost.toml");
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    Config::load(&path).unwrap_or_else(|errors| panic!("{errors}"))
}

/// The shipped configuration with every example switched on.
fn with_examples(text: &str) -> String {
    let example = |line: &str| line.strip_prefix('#').filter(|rest| !rest.starts_with(' ')).map(str::to_owned);
    text.lines().map(|line| example(line).unwrap_or_else(|| line.to_owned()) + "\n").collect()
}

#[test]
fn the_shipped_configuration_loads_and_sends_nothing() {
    let plan = Config::load(&shipped("etc/gatepost.toml")).unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(plan.listeners.len(), 1);
    let addresses: Vec<String> = plan.listeners[0].addresses.iter().map(|bind| format!("{bind:?}")).collect();
    assert_eq!(addresses, ["Address(127.0.0.1:2525)"]);
    assert!(plan.credentials.is_empty() && plan.upstreams.is_empty() && plan.routes.is_empty());
}

#[test]
fn the_examples_in_the_shipped_configuration_load_and_show_the_real_defaults() {
    let text = read("etc/gatepost.toml");
    let (bare, full) = (load(&text), load(&with_examples(&text)));
    assert_eq!((full.listeners.len(), full.credentials.len(), full.upstreams.len()), (5, 4, 6));
    // By default there is no rate of a tier, so what is shown is none.
    let mut limits = full.limits.clone();
    assert!(limits.vault.tiers != bare.limits.vault.tiers);
    limits.vault.tiers = bare.limits.vault.tiers;
    assert_eq!(format!("{:?}", bare.limits), format!("{limits:?}"));
    assert_eq!(format!("{:?}", bare.spool), format!("{:?}", full.spool));
    let (default, shown) = (&full.listeners[2], &full.listeners[1]);
    assert_eq!((default.per_address, default.per_prefix), (shown.per_address, shown.per_prefix));
    assert_eq!(default.zone, shown.zone);
    let odd: Vec<&String> = full.warnings.iter().filter(|line| !line.contains("hostname")).collect();
    assert!(odd.is_empty(), "the examples should need no excuse: {odd:#?}");
}

#[test]
fn the_users_file_makes_every_user_of_the_process_table_and_nobody_else() {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir(root.path().join("etc")).unwrap();
    let file = shipped("systemd/gatepost.sysusers");
    let output = Command::new("systemd-sysusers").arg("--root").arg(root.path()).arg(file).output();
    let output = output.expect("systemd-sysusers is needed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let first = |file: &str| -> BTreeSet<String> {
        let text = fs::read_to_string(root.path().join("etc").join(file)).unwrap();
        text.lines().map(|line| line.split(':').next().unwrap().to_owned()).collect()
    };
    let users: BTreeSet<String> = role::TABLE.iter().filter_map(|row| row.user).map(str::to_owned).collect();
    assert_eq!(first("passwd"), users);
    let groups = fs::read_to_string(root.path().join("etc/group")).unwrap();
    let auditors = groups.lines().find(|line| line.starts_with(role::AUDIT_GROUP)).unwrap();
    assert!(auditors.ends_with(":_gatepost-vault"), "the vault writes the auditors' files for their group: {auditors}");
}

#[test]
fn every_option_of_every_command_is_in_the_manual() {
    let pages = ["gatepost", "gatepost-audit"].map(|page| read(&format!("docs/man/{page}.8")));
    let [gatepost, audit] = pages.each_ref().map(|page| -> Vec<&str> {
        let options = page.split("Fl -").skip(1);
        options.filter_map(|rest| rest.split(|c: char| !c.is_ascii_alphanumeric() && c != '-').next()).collect()
    });
    let (mut open, mut found, mut missing) = (vec![Vec::new()], 0, Vec::new());
    while let Some(command) = open.pop() {
        let help = help(&command).unwrap_or_else(|| panic!("{command:?}"));
        open.extend(commands(&help).filter(|name| *name != "help").map(|name| {
            let mut words: Vec<String> = command.clone();
            words.push(name.to_owned());
            words
        }));
        let is_audit = command.first().is_some_and(|word| word == "audit");
        let explained = if is_audit { &audit } else { &gatepost };
        if is_audit && command.len() == 2 {
            assert!(pages[1].contains(&format!("\n.Ss audit {}\n", command[1])), "{command:?} has no section");
        }
        for option in options(&help).filter(|option| !(is_audit && ["help", "version"].contains(option))) {
            found += 1;
            if !explained.contains(&option) {
                missing.push(format!("{} --{option}", command.join(" ")));
            }
        }
    }
    assert!(found > 30, "the options were not found");
    assert!(missing.is_empty(), "not in its manual page: {missing:#?}");
}

#[test]
fn the_questions_in_the_page_on_the_audit_log_are_answered_by_its_files() {
    let page = read("docs/audit-log.md");
    let log = rusqlite::Connection::open_in_memory().unwrap();
    for step in 1..=2 {
        log.execute_batch(&read(&format!("src/vault/audit/schema/{step}.sql"))).unwrap();
    }
    let questions: Vec<&str> = page.split("```sql\n").skip(1).map(|block| block.split("```").next().unwrap()).collect();
    assert!(questions.len() > 4, "the questions were not found");
    for question in questions {
        log.prepare(question).unwrap_or_else(|error| panic!("{error}: {question}"));
    }
    let manual = read("docs/man/gatepost-audit.8");
    let session: Vec<&str> = manual.lines().filter_map(|line| line.strip_prefix("sqlite> ")).collect();
    assert!(session.len() > 4, "the auditor's session was not found");
    for question in session {
        log.prepare(question).unwrap_or_else(|error| panic!("{error}: {question}"));
    }
    let view = log.prepare("SELECT * FROM audit_v1").unwrap();
    for column in view.column_names() {
        assert!(page.contains(&format!("`{column}`")), "the column {column} is not explained");
    }
}
