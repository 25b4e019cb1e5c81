//! What the documents name exists, and what can be configured is explained.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use crate::source::{files, root};

/// The tables of the configuration file, by the structs that read them.
const TABLES: [(&str, &str); 25] = [
    ("Config", ""),
    ("Listener", "[[listener]]"),
    ("Tls", "[tls]"),
    ("Pair", "[tls]"),
    ("Credential", "[[credential]]"),
    ("KeyHash", "[[credential]]"),
    ("Recipients", "[[credential]]"),
    ("CredentialLimits", "[[credential]]"),
    ("Upstream", "[[upstream]]"),
    ("Pace", "[[upstream]]"),
    ("Bounce", "[[upstream]]"),
    ("Oauth2", "[[upstream]]"),
    ("WebhookIn", "[[upstream]]"),
    ("Route", "[[route]]"),
    ("Spool", "[spool]"),
    ("Suppression", "[suppression]"),
    ("Alerts", "[alerts]"),
    ("Limits", "[limits]"),
    ("Audit", "[audit]"),
    ("Log", "[log]"),
    ("Rates", "[limits]"),
    ("FailedLogins", "[limits]"),
    ("Anomaly", "[limits]"),
    ("Anchor", "[[anchor]]"),
    ("Webhook", "[[webhook]]"),
];

fn documents() -> Vec<PathBuf> {
    let top = fs::read_dir(root()).unwrap().map(|entry| entry.unwrap().path());
    let mut found: Vec<PathBuf> = top.filter(|path| path.extension().is_some_and(|e| e == "md")).collect();
    found.extend(files("docs", &[".md"]));
    assert!(found.len() > 5, "the documents were not found");
    found
}

/// `a/{b,c}.rs` is `a/b.rs` and `a/c.rs`.
fn expand(path: &str) -> Vec<String> {
    let Some((before, rest)) = path.split_once('{') else { return vec![path.to_owned()] };
    let (list, after) = rest.split_once('}').unwrap_or((rest, ""));
    list.split(',').map(|part| format!("{before}{}{after}", part.trim())).collect()
}

/// What a document says in backquotes or links to.
fn named(text: &str) -> Vec<String> {
    let quoted = text.split('`').skip(1).step_by(2).map(str::to_owned);
    let linked = text.split("](").skip(1).filter_map(|rest| rest.split(')').next()).map(str::to_owned);
    quoted.chain(linked).collect()
}

#[test]
fn every_path_that_the_documents_name_exists() {
    const PLACES: [&str; 9] =
        ["src/", "docs/", "tests/", "etc/gatepost.toml", "systemd/", "benches/", "fuzz/", "rc.d/", ".ci/"];
    let mut wrong = Vec::new();
    for document in documents() {
        let text = fs::read_to_string(&document).unwrap();
        let folder = document.parent().unwrap();
        for name in named(&text) {
            let name = name.split('#').next().unwrap();
            for path in expand(name) {
                let is_ours = PLACES.iter().any(|place| path.starts_with(place)) && !path.contains(' ');
                let is_link = path.ends_with(".md") && !path.contains("://");
                let exists = root().join(&path).exists() || is_link && folder.join(&path).exists();
                if (is_ours || is_link) && !exists {
                    wrong.push(format!("{}: {path}", document.strip_prefix(root()).unwrap().display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The keys of the configuration file by table, read off the structs.
fn keys() -> BTreeMap<&'static str, Vec<String>> {
    let parts = ["src/config/file.rs", "src/config/file/upstream.rs"];
    let text = parts.map(|part| fs::read_to_string(root().join(part)).unwrap()).concat();
    let mut keys: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for part in text.split("pub struct ").skip(1) {
        let (name, body) = part.split_once(" {").unwrap();
        let (_, table) =
            TABLES.iter().find(|(known, _)| *known == name).unwrap_or_else(|| panic!("{name} is not listed"));
        let fields = body.split("\n}").next().unwrap().lines().filter_map(|line| {
            let (name, _) = line.trim().strip_prefix("pub ")?.split_once(':')?;
            Some(name.to_owned())
        });
        keys.entry(table).or_default().extend(fields);
    }
    assert!(keys.values().map(Vec::len).sum::<usize>() > 40, "the keys were not found: {keys:?}");
    keys
}

#[test]
fn every_key_is_in_the_default_file() {
    let text = fs::read_to_string(root().join("etc/gatepost.toml")).unwrap();
    let mut parts: BTreeMap<&str, String> = BTreeMap::new();
    let mut table = "";
    for line in text.lines() {
        let bare = line.trim_start_matches('#');
        if bare.starts_with('[') {
            table = bare;
            // A table is a key of the whole file.
            *parts.entry("").or_default() += &format!("{} =\n", bare.trim_matches(['[', ']']));
        }
        *parts.entry(table).or_default() += &format!("{line}\n");
    }
    for (table, keys) in keys() {
        let part = parts.get(table).unwrap_or_else(|| panic!("{table} is not in the default file"));
        for key in keys {
            let before = |c: char| c.is_alphanumeric() || c == '_';
            let found = part.match_indices(&format!("{key} =")).any(|(at, _)| !part[..at].ends_with(before));
            assert!(found, "{table} {key} is not in the default file");
        }
    }
}

#[test]
fn every_key_is_in_the_manual() {
    let text = fs::read_to_string(root().join("docs/man/gatepost.toml.5")).unwrap();
    for (table, keys) in keys() {
        let heading = if table.is_empty() { ".Sh TOP LEVEL".to_owned() } else { format!(".Sh {table}") };
        let part = text.split(&format!("\n{heading}\n")).nth(1).unwrap_or_else(|| panic!("{heading} is missing"));
        let part = part.split("\n.Sh ").next().unwrap();
        let items = part.lines().filter_map(|line| line.strip_prefix(".It Ic "));
        let explained: Vec<&str> = items.flat_map(|line| line.split(" , Ic ")).collect();
        for key in keys {
            assert!(explained.contains(&key.as_str()), "{heading}: {key} is not explained");
        }
    }
}

#[test]
fn the_page_on_the_audit_log_names_the_events_that_are_written_and_no_others() {
    let read = |path: &str| fs::read_to_string(root().join(path)).unwrap();
    let (list, page) = (read("src/vault/audit/event.rs"), read("docs/audit-log.md"));
    let written: String = files("src/vault", &[".rs"])
        .iter()
        .filter(|path| !path.ends_with("audit/event.rs"))
        // Wherever the tree lies, and whatever that place is called.
        .filter(|path| !path.strip_prefix(root()).unwrap_or(path).to_string_lossy().contains("tests"))
        .map(|path| fs::read_to_string(path).unwrap().split("\nmod tests {").next().unwrap().to_owned())
        .collect();
    let names: Vec<(&str, &str)> = list
        .split("\nnames! {\n")
        .nth(1)
        .and_then(|rest| rest.split("\n}").next())
        .unwrap()
        .lines()
        .map(|line| line.trim().split_once(' ').unwrap())
        .collect();
    assert!(names.len() > 40, "the names were not found");
    // A refusal's event is made where the list is.
    let refusals = ["MsgReject", "RateLimited", "QuotaExceeded"];
    let is_written = |name: &str| {
        let used = written.split(&format!("Name::{name}")).skip(1).any(|rest| !rest.starts_with(char::is_alphanumeric));
        used || refusals.contains(&name)
    };
    for (name, word) in names {
        let told = page.contains(&format!("`{}`", word.trim_matches('"')));
        assert_eq!(told, is_written(name), "{word}: written, but not on the page, or the other way round");
    }
}

#[test]
fn the_project_speaks_of_itself_alone() {
    // Taken apart, so that this file is no finding of its own.
    let private = [["/wo", "rk/"], ["/tmp", "/gp"], ["/ro", "ot/"], ["shared", "/design"]].map(|parts| parts.concat());
    let everything = ["src", "tests", "docs", "etc", "systemd", ".ci", "benches", "fuzz/targets"]
        .iter()
        .flat_map(|folder| files(folder, &[".rs", ".md", ".toml", ".5", ".8", ".sh", "run", ".sysusers", ".dialog"]))
        .chain(documents())
        .chain(["Cargo.toml", "deny.toml", "LICENSE"].map(|name| root().join(name)));
    for path in everything {
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        for word in &private {
            assert!(!text.contains(word.as_str()), "{} names {word}", path.display());
        }
    }
}

#[test]
fn the_page_on_the_audit_log_says_what_each_reason_for_a_refusal_means() {
    let read = |path: &str| fs::read_to_string(root().join(path)).unwrap();
    let page = read("docs/audit-log.md");
    let told = page.split("\n## The words of `reason`\n").nth(1).and_then(|rest| rest.split("\n## ").next()).unwrap();
    for list in ["src/vault/login/reason.rs", "src/policy/refusal.rs"] {
        let text = read(list);
        let words: Vec<&str> = text
            .lines()
            .filter_map(|line| line.trim().strip_prefix("Self::")?.split_once(" => \"")?.1.strip_suffix("\","))
            .collect();
        assert!(words.len() > 10, "the words of {list} were not found");
        let missing: Vec<_> = words.iter().filter(|word| !told.contains(&format!("`{word}`"))).collect();
        assert!(missing.is_empty(), "docs/audit-log.md doesn't say what these words of {list} mean: {missing:?}");
    }
}
