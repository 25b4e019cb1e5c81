//! Which part may name which, and which crate and call may be used where.

use gatepost::role::{Role, TABLE, link};

use crate::source::{Source, sources};

/// What each part of the house may name of it. Roles never name each other: they talk through `ipc`.
const MAY_NAME: [(&str, &[&str]); 24] = [
    // Nouns and tools, which know nothing of processes.
    ("secret", &[]),
    // What can't be read as mail is refused by a word of the same list.
    ("mail", &["policy::refusal"]),
    ("log", &["sys"]),
    // Certificates are read by whoever shows them, meets them or looks at them for the operator.
    ("certificate", &[]),
    ("sys", &["secret"]),
    // Keys of a secret are secret.
    ("policy", &["mail", "secret"]),
    // What is proven is a secret.
    ("sasl", &["secret"]),
    ("merkle", &["ipc::sealing"]),
    ("sink", &["mail", "sasl", "secret"]),
    // The frame of every process.
    ("role", &["ipc", "sandbox", "sys"]),
    ("sandbox", &["role", "sys", "log"]),
    ("ipc", &["role", "sandbox", "mail", "policy", "secret", "sys"]),
    // A witness' key is checked where it is written.
    (
        "config",
        &[
            "ipc::capsule",
            "ipc::delivery",
            "ipc::feedback",
            "ipc::frame",
            "ipc::turnstile",
            "ipc::witnessing",
            "mail",
            "merkle::cosignature",
            "policy",
            "secret",
        ],
    ),
    // The roles. Parent makes the files that sealer and vault keep, before these exist.
    ("parent", &["role", "sandbox", "ipc", "config", "mail::unseen", "secret", "sys", "log", "sealer", "vault"]),
    ("listener", &["role", "sandbox", "ipc", "config::slice", "policy::presence", "secret", "sys", "log::flood"]),
    (
        "edge",
        &[
            "role",
            "sandbox",
            "ipc",
            "certificate",
            "config::slice",
            "mail",
            "policy",
            "sasl",
            "secret",
            "sys",
            "log::flood",
        ],
    ),
    ("keyholder", &["role", "sandbox", "ipc", "config::slice", "secret", "sys"]),
    // Of SASL the vault reads what is proven by keys that no edge may see.
    (
        "vault",
        &[
            "role",
            "sandbox",
            "ipc",
            "config::slice",
            "mail",
            "policy",
            "sasl::scram",
            "sasl::gs2",
            "sasl::proof",
            "secret",
            "sys",
            "merkle",
            "log::flood",
        ],
    ),
    ("sealer", &["role", "sandbox", "ipc", "config::slice", "secret", "sys", "merkle"]),
    ("dialer", &["role", "sandbox", "ipc", "config::slice", "sys"]),
    (
        "courier",
        &[
            "role",
            "sandbox",
            "ipc",
            "jobs",
            "certificate",
            "config::slice",
            "mail",
            "sasl::client",
            "sasl::proof",
            "secret",
            "sys",
        ],
    ),
    ("mailer", &["role", "sandbox", "ipc", "jobs", "config::slice", "mail", "secret", "sys"]),
    // What those two have in common: the vault's messages.
    ("jobs", &["ipc", "mail", "secret"]),
    // The commands start the roles and ask the vault.
    (
        "cli",
        &[
            "role",
            "sandbox",
            "ipc",
            "certificate",
            "config",
            "mail",
            "policy",
            "sasl::client",
            "secret",
            "sys",
            "log",
            "merkle",
            "sink",
            "parent",
            "listener",
            "edge",
            "keyholder",
            "vault",
            "sealer",
            "dialer",
            "courier",
            "mailer",
        ],
    ),
];

/// Crates that stand for a power or a danger, and where they may be used.
const CRATES: [(&str, &[&str]); 26] = [
    // the only code that reads and writes the database; the probe shows that the vault's sandbox lets it; what of SQLite is unsafe
    ("rusqlite", &["vault", "sandbox/probe", "sys/sqlite.rs"]),
    // the only code that speaks HTTP: with strangers, and with witnesses and providers
    ("hyper", &["edge/http", "courier/http"]),
    ("hyper_util", &["edge/http", "courier/http"]),
    ("http_body_util", &["edge/http", "courier/http"]),
    // the only code that makes MIME
    ("mail_builder", &["edge/http"]),
    // the only code that reads MIME, and it is confined with what it read
    ("mail_parser", &["courier/provider/fields"]),
    // the sandbox has one house
    ("landlock", &["sandbox"]),
    ("seccompiler", &["sandbox", "sys"]),
    ("pledge", &["sandbox"]),
    ("unveil", &["sandbox"]),
    ("libc", &["sys", "sandbox"]),
    // TLS: who speaks it, who signs for it, and the command that checks its files
    ("tokio_rustls", &["edge", "courier", "sink", "cli/demo"]),
    ("rustls", &["certificate", "edge", "courier", "keyholder", "sink", "cli"]),
    ("webpki", &["certificate", "edge", "cli"]),
    ("rustls_native_certs", &["parent", "courier"]),
    // keys: TLS signatures, the log's signatures and their proof, the provider of outgoing TLS, bodies at rest, SCRAM
    ("ring", &["keyholder", "sealer", "merkle", "courier", "vault/cipher.rs", "vault/master.rs", "sasl/proof.rs"]),
    ("rcgen", &["cli/demo"]),
    // password hashes: made and checked in the vault; the form of those that were made elsewhere
    ("argon2", &["vault", "policy/phc.rs"]),
    ("subtle", &["vault"]),
    ("hmac", &["ipc/capsule", "vault", "sasl/proof.rs", "courier/signature.rs"]),
    // parsers of text that only we write
    ("toml", &["config"]),
    ("clap", &["cli"]),
    // JSON comes from strangers at the HTTP edge, and from token endpoints; elsewhere it is written
    ("serde_json", &["edge/http", "vault", "cli", "courier/provider", "courier/tokens", "courier/turnstile.rs"]),
    (
        "base64",
        &[
            "certificate",
            "edge",
            "courier",
            "sink",
            "merkle",
            "vault",
            "cli",
            "mail",
            "sasl",
            "policy/derived.rs",
            "config/protection.rs",
        ],
    ),
    ("tracing_subscriber", &["log", "cli"]),
    (
        "tokio",
        &[
            "edge",
            "vault",
            "keyholder",
            "sealer",
            "dialer",
            "courier",
            "mailer",
            "jobs",
            "listener",
            "ipc",
            "sys",
            "sandbox",
            "sink",
            "cli",
            "log/flood.rs",
        ],
    ),
];

/// Calls that stand for a power, and where they may be made.
const CALLS: [(&str, &[&str]); 15] = [
    // new processes: the parent's, and the one program of a mailer; the demo plays the operator, and so does init
    // for the first credential; upgrade has the service manager restart the service; the probe plays the intruder
    (
        "process::Command",
        &[
            "parent",
            "mailer/run.rs",
            "sys",
            "cli/demo",
            "cli/check",
            "cli/init",
            "cli/upgrade/restart.rs",
            "sandbox/probe",
        ],
    ),
    ("posix_spawn", &["sys"]),
    // connections outwards
    ("TcpStream::connect", &["dialer", "cli/demo", "cli/doctor/dns", "cli/sendmail/talk", "sandbox/probe"]),
    // sendmail: its tests, beside what looks whose socket it speaks to
    ("TcpListener::bind", &["parent", "cli/demo", "cli/sendmail/talk/holder.rs", "sink", "sandbox/probe"]),
    // the checklist asks name servers what domains publish
    ("UdpSocket", &["sandbox/probe", "dialer", "cli/doctor/dns"]),
    // files by path: the parent opens them for others, the vault has its two directories
    ("File::open", &["parent", "vault", "config", "cli", "sandbox", "sys", "sealer/key.rs", "dialer"]),
    ("OpenOptions", &["parent", "vault", "config/source.rs", "cli", "sandbox", "sys", "sealer/key.rs"]),
    ("fs::read", &["parent", "vault", "cli", "sandbox", "sys", "sealer/key.rs", "dialer"]),
    ("fs::write", &["vault", "cli", "sandbox", "sys"]),
    // only the listener introduces sessions
    ("Capsule::seal", &["listener"]),
    // what would need threads, files or sockets after the sandbox is sealed
    ("spawn_blocking", &[]),
    ("tokio::fs", &[]),
    ("tokio::process", &[]),
    ("tokio::signal", &[]),
    ("lookup_host", &[]),
];

fn checked() -> impl Iterator<Item = Source> {
    sources().into_iter().filter(|source| !source.is_test() && !["lib.rs", "main.rs"].contains(&source.path.as_str()))
}

fn room(role: Role) -> &'static str {
    match role {
        Role::EdgeSmtp | Role::EdgeHttp => "edge",
        other => other.name(),
    }
}

#[test]
fn each_part_names_only_what_it_may() {
    let rooms: Vec<&str> = MAY_NAME.iter().map(|(room, _)| *room).collect();
    let mut wrong = Vec::new();
    for source in checked() {
        let Some((room, may)) = MAY_NAME.iter().find(|(room, _)| *room == source.room()) else {
            wrong.push(format!("src/{} belongs to no part that MAY_NAME lists", source.path));
            continue;
        };
        for name in source.names() {
            let first = name.split("::").next().unwrap();
            let within = |allowed: &&str| name == **allowed || name.starts_with(&format!("{allowed}::"));
            if rooms.contains(&first) && first != *room && !may.iter().any(within) {
                wrong.push(format!("src/{} names crate::{name}", source.path));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn roles_never_name_each_other() {
    let roles: Vec<&str> = TABLE.iter().map(|row| room(row.role)).collect();
    for (part, may) in MAY_NAME.iter().filter(|(part, _)| roles.contains(part) && *part != "parent") {
        assert!(!may.iter().any(|name| roles.contains(name)), "{part}");
    }
}

#[test]
fn a_role_speaks_in_its_own_conversations_only() {
    let talks: Vec<String> = link::LINKS.iter().map(|link| format!("{:?}", link.talk).to_lowercase()).collect();
    let mut wrong = Vec::new();
    for source in checked() {
        let roles: Vec<Role> = TABLE.iter().map(|row| row.role).filter(|role| room(*role) == source.room()).collect();
        if roles.is_empty() {
            continue;
        }
        let its_own: Vec<String> = roles
            .iter()
            .flat_map(|role| link::of(*role))
            .map(|(link, _)| format!("{:?}", link.talk).to_lowercase())
            .collect();
        for name in source.names() {
            let Some(conversation) = name.strip_prefix("ipc::").and_then(|rest| rest.split("::").next()) else {
                continue;
            };
            let is_admin = conversation == "admin" && source.room() != "vault";
            let is_foreign =
                talks.iter().any(|talk| talk == conversation) && !its_own.iter().any(|o| o == conversation);
            if is_admin || is_foreign {
                wrong.push(format!("src/{} speaks {conversation}", source.path));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_conversation_has_its_file() {
    for link in &link::LINKS {
        let path = format!("ipc/{}.rs", format!("{:?}", link.talk).to_lowercase());
        assert!(sources().iter().any(|source| source.path == path), "{path}");
    }
}

#[test]
fn crates_and_calls_are_used_where_they_belong() {
    let mut wrong = Vec::new();
    for source in checked() {
        let is_allowed = |places: &[&str]| places.iter().any(|place| source.is_below(place) || source.path == *place);
        for (name, places) in CRATES {
            if !is_allowed(places) && source.has(&format!("{name}::")) {
                wrong.push(format!("src/{} uses the crate {name}", source.path));
            }
        }
        for (call, places) in CALLS {
            if !is_allowed(places) && source.calls(call) {
                wrong.push(format!("src/{} calls {call}", source.path));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_sandbox_table_covers_every_role() {
    let all = sources();
    // The process table comes first in the building order, the sandbox second.
    let Some(policy) = all.iter().find(|source| source.path == "sandbox/policy.rs") else { return };
    for row in TABLE.iter().filter(|row| row.role != Role::Parent) {
        let line = format!("role: Role::{:?},", row.role);
        assert_eq!(policy.code.matches(&line).count(), 1, "{line}");
    }
    assert!(policy.has("PARENT"), "the parent has its own row");
}
