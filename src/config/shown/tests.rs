//! What is shown of a file, and that what is shown of defaults is true.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use super::*;
use crate::policy::DEFAULT_RECIPIENTS;

/// A file that nobody else can read, for a secret stands in it.
fn written(text: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gatepost.toml");
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    (folder, path)
}

const FILE: &str = r#"version = 1
state_directory = "/srv/gatepost"
hostname = "gate.example.net"
[[listener]]
name = "a"
address = ["127.0.0.1:2525"]
protocol = "smtp"
[[listener]]
name = "b"
address = ["127.0.0.1:8025"]
protocol = "http"
[[credential]]
id = "app"
secrets = [{ key = "key1", hash = "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$cmFuZG9tIG9jdGV0cyBvZiBhIGhhc2ggLSAzMiBsb25n" }]
senders = [
  "@example.net", # ours
  "a@example.org",
]
limits = { per_day = 5_000 }
[[upstream]]
name = "u"
kind = "smtp"
hosts = ["smtp.example.net:587"]
tls = "starttls"
username = "gate"
password_insecure_inline = "hunter2hunter2"
[[upstream]]
name = "c"
kind = "webhook"
url = "https://mail.example.net/hook?token=hunter2"
secret_file = "/etc/gatepost/hook.secret"
[[route]]
via = ["u"]
[[anchor]]
name = "disk"
kind = "file"
path = "/var/log/heads"
[[webhook]]
name = "app"
url = "https://app.example.net/"
secret_file = "/etc/gatepost/app.secret"
[suppression]
bounces = true
[alerts]
webhook = "app"
"#;

#[test]
fn what_is_written_is_shown_with_its_line_and_no_secret_of_it() {
    let (_folder, path) = written(FILE);
    let all = settings(&path, false).unwrap();
    let find = |path: &str| all.iter().find(|one| one.path == path).unwrap_or_else(|| panic!("{path}: {all:#?}"));
    for (path, value, line) in [
        ("hostname", "\"gate.example.net\"", 3),
        ("listener[b].protocol", "\"http\"", 11),
        ("credential[app].senders", "[\"@example.net\", \"a@example.org\"]", 15),
        ("credential[app].limits.per_day", "5_000", 19),
        ("credential[app].secrets[key1].key", "\"key1\"", 14),
        ("upstream[u].password_insecure_inline", "(set, 14 characters)", 26),
        ("upstream[c].url", "\"https://mail.example.net/hook\" (and a query, 13 characters)", 30),
        ("route[1].via", "[\"u\"]", 33),
        ("suppression.bounces", "true", 43),
    ] {
        assert_eq!(*find(path), Setting { path: path.into(), value: value.into(), origin: Origin::Line(line) });
    }
    let text = format!("{all:?}");
    assert!(!text.contains("hunter2") && !text.contains("$argon2id"), "{text}");
}

#[test]
fn what_a_program_is_told_is_counted() {
    let text = "[[upstream]]\nname = \"p\"\nkind = \"sendmail\"\ncommand = \"/bin/x\"\narguments = [\"--password\", \"hunter2\"]\n";
    let (tree, _) = DeTable::parse_recoverable(text);
    let mut found = Vec::new();
    walk(&Text::of(text), "", tree.get_ref(), &mut |setting, _| found.push((setting.path, setting.value)));
    assert!(found.contains(&("upstream[p].arguments".to_owned(), "(set, 2 arguments)".to_owned())), "{found:?}");
}

#[test]
fn what_holds_without_being_written_means_the_same_when_it_is_written() {
    let (_folder, path) = written(FILE);
    let plan = Config::load(&path).unwrap();
    let all = settings(&path, true).unwrap();
    // A file with all of it: each default behind the line that opens its table.
    let mut text = String::new();
    let mut table = String::new();
    let mut counts = std::collections::BTreeMap::new();
    let defaults = |prefix: &str| {
        let own = |one: &&Setting| {
            one.origin == Origin::Default && one.path.rsplit_once('.').map_or("", |(table, _)| table) == prefix
        };
        all.iter()
            .filter(own)
            .map(|one| format!("{} = {}\n", one.path.rsplit('.').next().unwrap(), one.value))
            .collect::<String>()
    };
    text += &defaults("");
    for line in FILE.lines() {
        text += &format!("{line}\n");
        if let Some(name) = line.strip_prefix("[[").and_then(|rest| rest.strip_suffix("]]")) {
            let at: &mut usize = counts.entry(name.to_owned()).or_default();
            *at += 1;
            let lines: Vec<&str> = FILE.split(&format!("[[{name}]]\n")).nth(*at).unwrap().lines().collect();
            let own = lines[0].split_once(" = \"").map(|(_, name)| name.trim_matches('"').to_owned());
            table = format!("{name}[{}]", if name == "route" { at.to_string() } else { own.unwrap() });
            text += &defaults(&table);
        }
        if line == "[suppression]" {
            text += &defaults("suppression");
        }
        if line == "[alerts]" {
            text += &defaults("alerts");
        }
    }
    for single in ["limits", "spool", "audit", "log"] {
        text += &format!("[{single}]\n{}", defaults(single));
    }
    assert!(!table.is_empty() && text.contains("per_prefix = 400") && text.contains("shed_latency = "), "{text}");
    fs::write(&path, &text).unwrap();
    let again = Config::load(&path).unwrap_or_else(|errors| panic!("{errors}\n{text}"));
    let meant = |mut plan: Plan| {
        for credential in &mut plan.credentials {
            // It is looked at where it is asked for.
            credential.policy.max_recipients.get_or_insert(DEFAULT_RECIPIENTS);
        }
        format!(
            "{:#?}",
            Plan { digest: String::new(), written: change::Written::default(), warnings: Vec::new(), ..plan }
        )
    };
    let (before, after) = (meant(plan), meant(again));
    let different: Vec<_> = before.lines().zip(after.lines()).filter(|(one, other)| one != other).collect();
    assert!(before == after, "{different:#?}");
    let holding = all.iter().filter(|one| one.origin == Origin::Default).count();
    assert!(holding > 70, "{holding}");
}

/// The keys of the file's tables, read off the structs.
#[test]
fn every_key_is_known() {
    let (_folder, path) = written(FILE);
    let plan = Config::load(&path).unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/config");
    let text = ["file.rs", "file/upstream.rs"].map(|part| fs::read_to_string(root.join(part)).unwrap()).concat();
    for (name, table) in [
        ("Listener", "listener"),
        ("Tls", "tls"),
        ("Credential", "credential"),
        ("Upstream", "upstream"),
        ("Route", "route"),
        ("Anchor", "anchor"),
        ("Webhook", "webhook"),
        ("Alerts", "alerts"),
        ("Limits", "limits"),
        ("Spool", "spool"),
        ("Suppression", "suppression"),
        ("Audit", "audit"),
        ("Log", "log"),
    ] {
        let body = text.split(&format!("pub struct {name} {{\n")).nth(1).unwrap().split("\n}").next().unwrap();
        let keys: Vec<&str> =
            body.lines().filter_map(|line| Some(line.trim().strip_prefix("pub ")?.split_once(':')?.0)).collect();
        let known: Vec<&str> = defaults::of(table, "smtp", &plan).into_iter().map(|(key, _)| key).collect();
        assert_eq!(keys, known, "{table}");
    }
}

#[test]
fn the_line_of_a_place_is_one_more_than_the_ends_of_lines_before_it() {
    for text in ["", "one", "one\n", "\n\none\ntwo\n\nthree"] {
        let lines = Text::of(text);
        for at in 0..=text.len() {
            assert_eq!(lines.line(at), text[..at].matches('\n').count() + 1, "{text:?} {at}");
        }
    }
}
