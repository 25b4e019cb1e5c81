//! Claim: every command that a page shows is typed by a test, as it stands there, and doesn't fail; or the block says above itself
//! why no test types it: `<!-- not run: WHY -->`.
//!
//! docs/getting-started.md and the drills of docs/runbook.md have tests of their own, and so have the queries of docs/audit-log.md.

#[path = "support/fences.rs"]
mod fences;
mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use fences::{Fence, fences, pages, root};
use support::{Service, Setting, gatepost};

/// The page's own words, and what stands for them here: the test's ports, folders and ids in shell variables, and what a reader
/// does between two lines.
type Words = &'static [(&'static str, &'static str)];

/// True of every page that has them.
const EVERYWHERE: Words = &[
    ("http://127.0.0.1:8080/", "http://127.0.0.1:$HTTP/"),
    ("/etc/gatepost/tls/fullchain.pem", "$HOME/certificate.pem"),
    ("/etc/gatepost/tls/", "$HOME/"),
    ("/etc/gatepost/", "$HOME/"),
    ("/var/lib/gatepost", "$HOME/state"),
    ("/var/backups/gatepost", "backup"),
    ("smarthost", "sink"),
    ("01a1f866-0d7b-7d39-bc3d-1f2a8b5c6d7e", "$SENT"),
    ("0199e2a4-6c1d-7e2b-9c55-3f2f4a1b7d10", "$WAITS"),
    ("req_01M7W6C3BVFMWVRF8Z5A5NRVBY", "$WAITS"),
    ("\"2026-11-26T09:00:00+01:00\"", "\"'$LATER'\""),
];

/// A test for each page, by its name.
macro_rules! typed {
    ($($test:ident: $page:literal, $words:expr;)*) => {
        const TYPED: &[&str] = &[$($page),*];
        $(#[test] fn $test() { follow($page, $words); })*
    };
}

typed! {
    the_front_page: "README.md", &[
        ("cargo run --release -- demo", "timeout --preserve-status -s INT 20 gatepost demo"),
        // The users are those of the test's machine, and the service runs.
        ("systemd-sysusers \"$PWD/", "test -s \"$ROOT/"),
        ("gatepost serve  ", ": "),
        ("KEY=gp_live_...", "KEY=$(secret)"),
    ];
    audit_log: "docs/audit-log.md", &[
        ("sqlite3 -readonly audit.db", "copies; cp DIRECTORY/audit.db .; cp audit.db audit-2026-10.db\nsqlite3 -readonly audit.db"),
        ("audit show 15", "audit show $ACCEPTED"),
        ("--seq 15 ", "--seq $ACCEPTED "),
        ("prove 15 ", "prove $ACCEPTED "),
        ("--seq 1200-1250", "--seq 1-$ACCEPTED"),
        ("gatepost audit verify --directory DIRECTORY --key FILE", "copies\ngatepost audit verify --directory DIRECTORY --key log.vkey"),
        ("tools/verify_audit.py", "$ROOT/tools/verify_audit.py"),
        ("gatepost audit checkpoint\n", "gatepost audit anchor; cat \"$HOME/log\" \"$HOME/kept/heads\" > gate.log\ngatepost audit checkpoint | tee heads.mbox\n"),
        ("/var/log/remote/gate.log", "gate.log"),
        ("gatepost audit verify --directory DIRECTORY --key log.vkey --against FILE", "copies\ngatepost audit verify --directory DIRECTORY --key log.vkey --against heads.mbox"),
    ];
    credentials: "docs/credentials.md", &[
        ("--unset network\n", "--unset network\nKEY=$(secret); echo $KEY > key-file; WAITS=$(post \", \\\"scheduled_at\\\": \\\"$LATER\\\"\")\n"),
        ("gatepost credential set web01", "gatepost credential add web01 --sender web01@example.net\ngatepost credential set web01"),
        ("# put it where", "secret > new-key-file # put it where"),
        ("--retire 7fQ2mKx9", "--retire $(secret | cut -d_ -f3)"),
    ];
    http_api: "docs/http-api.md", &[("export KEY=...", "export KEY=$(secret)")];
    operations: "docs/operations.md", &[
        // It asks what domains publish: tests/doctor.rs has servers that answer.
        ("gatepost doctor    ", "gatepost doctor --help > /dev/null"),
        ("gatepost serve     ", ": "),
        ("pkill -TERM -o -x gatepost            # stop", ":"),
        ("gatepost route resume", "gatepost route pause sink\ngatepost route resume"),
        ("client.pem", "$HOME/certificate.pem"),
    ];
    runbook: "docs/runbook.md", &[];
    submissions: "docs/submissions.md", &[("&after=evt_1777888801500000", "")];
    test_keys: "docs/test-keys.md", &[];
    turnstile: "docs/turnstile.md", &[];
    upstreams: "docs/upstreams.md", &[("mx1.example.net:587", "127.0.0.1:$SMTP")];
    hosts: "docs/recipes/hosts.md", &[];
    proxies: "docs/recipes/proxies.md", &[];
    providers: "docs/recipes/upstreams.md", &[];
    web_applications: "docs/recipes/web-applications.md", &[];
}

/// The headings of the runbook whose blocks are typed by tests/drills.rs.
fn drilled() -> Vec<String> {
    let drills = fs::read_to_string(root().join("tests/drills.rs")).unwrap();
    let names = drills.split("Drill::of(\"").skip(1).filter_map(|rest| Some(rest.split_once('"')?.0.to_owned()));
    names.collect()
}

/// Whether a test that isn't here types the block.
fn is_elsewhere(page: &str, fence: &Fence) -> bool {
    match (page, fence.word.as_str()) {
        ("docs/getting-started.md", "sh") | ("docs/audit-log.md", "sql") => true,
        ("docs/runbook.md", "sh") => drilled().contains(&fence.heading),
        _ => false,
    }
}

/// What is to be typed of a page, in order.
fn blocks(page: &str) -> Vec<Fence> {
    let text = fs::read_to_string(root().join(page)).unwrap();
    let open = fences(&text).into_iter().filter(|fence| fence.is_typed() && fence.mark.is_none());
    open.filter(|fence| !is_elsewhere(page, fence)).collect()
}

#[test]
fn each_block_is_typed_by_a_test_or_says_why_not() {
    let (mut typed, mut marked, mut wrong) = (0, 0, Vec::new());
    for page in pages() {
        let text = fs::read_to_string(root().join(&page)).unwrap();
        for fence in fences(&text) {
            let at = format!("{page}:{}", fence.line);
            match &fence.mark {
                _ if fence.word.is_empty() => wrong.push(format!("{at}: what is it? `sh` or `text` or another word")),
                Some(_) if !fence.is_typed() => wrong.push(format!("{at}: a mark above what nobody types")),
                Some(reason) => {
                    marked += 1;
                    // A reason may name the test that does the same another way.
                    let named = reason.split("tests/").skip(1).filter_map(|rest| rest.split_once(".rs"));
                    for (name, _) in named {
                        if !root().join(format!("tests/{name}.rs")).exists() {
                            wrong.push(format!("{at}: there is no tests/{name}.rs"));
                        }
                    }
                    if reason.len() < 20 {
                        wrong.push(format!("{at}: {reason:?} is no reason"));
                    }
                }
                None if !fence.is_typed() => {}
                None if is_elsewhere(&page, &fence) => typed += 1,
                None if fence.word == "sh" && TYPED.contains(&page.as_str()) => typed += 1,
                None => wrong.push(format!("{at}: no test types it, and it doesn't say why: <!-- not run: WHY -->")),
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(typed > 60 && typed > marked, "{typed} are typed, {marked} are not");
}

/// What a shell has before the first line of a page: a credential, a message that was delivered and one that waits.
const HEAD: &str = r#"
set -eE -o pipefail
exec >> printed 2>&1
trap 'echo "@failed: $BASH_COMMAND"' ERR
secret() { grep -aoE 'gp_(live|test)_[A-Za-z0-9_-]+' printed | tail -1; }
post() {
    local body="{\"from\": \"billing@example.net\", \"to\": \"rosa@example.org\", \"subject\": \"One\", \"text\": \"One.\"$1}"
    curl http://127.0.0.1:$HTTP/v1/send -H "Authorization: Bearer $KEY" --json "$body" | grep -o '"id":"[^"]*"' | cut -d '"' -f 4
}
# The files of the log as they are between two writes.
copies() {
    gatepost audit verify > /dev/null
    until rm -rf DIRECTORY; cp -r "$HOME/state/audit" DIRECTORY; sleep 0.3; diff -r "$HOME/state/audit" DIRECTORY; do :; done
    cp "$HOME/state/seal/log.vkey" .
}
export KEY=$(gatepost credential add billing --sender @example.net | tee -a printed | tail -1)
SENT=$(post "")
WAITS=$(post ", \"scheduled_at\": \"$LATER\"")
until gatepost audit query --event deliver.success | grep -q .; do sleep 0.1; done
ACCEPTED=$(gatepost audit query --event msg.accept --json | head -1 | grep -o '"seq":[0-9]*' | cut -d : -f 2)
echo invoice > invoice.pdf; echo logo > logo.png
printf 'From: billing@example.net\nTo: rosa@example.org\nSubject: whole\n\nhello\n' > message.eml
echo 'rosa@example.org' > list.csv
openssl rand -hex 32 > secret.txt
gatepost credential hash < secret.txt | grep -o '[$]argon2id[^"]*' > hash.txt
cp "$HOME/key.pem" new-key.pem; cp "$HOME/certificate.pem" new-chain.pem
"#;

/// `gatepost` as the page's reader has it: it finds the configuration, its questions are answered, and Ctrl-C ends what goes on.
const PROGRAM: &str = r#"#!/bin/bash
more=(--config "$HOME/gatepost.toml")
case "$1 $2" in
    "audit check-proof" | "credential hash" | "demo "*) more=() ;;
    "queue drop") more+=(--yes) ;;
    "check "*) more+=(--fallback-ids) ;;
    "trace "*) exec timeout --preserve-status -s INT 2 "$PROGRAM" "$@" "${more[@]}" ;;
esac
exec "$PROGRAM" "$@" "${more[@]}"
"#;

/// The same for what has no `--fail` on the page, where its reader sees what went wrong.
const CURL: &str = "#!/bin/sh\nexec /usr/bin/curl -sS --fail-with-body \"$@\"\n";

/// What a page has its reader type, with these words for its own. What it adds is not there yet.
fn script(page: &str, words: Words) -> String {
    let mut script = HEAD.to_owned();
    let mut used = vec![false; words.len()];
    for fence in blocks(page) {
        let mut text = fence.text;
        for (at, (from, to)) in words.iter().chain(EVERYWHERE).enumerate() {
            if let Some(used) = used.get_mut(at).filter(|_| text.contains(from)) {
                *used = true;
            }
            text = text.replace(from, to);
        }
        script += &format!("echo '@ {page}:{}'\n", fence.line);
        for line in text.lines() {
            let mut rest =
                ["add", "import"].iter().filter_map(|verb| line.split_once(&format!("gatepost credential {verb} ")));
            if let Some(name) = rest.next().and_then(|(_, rest)| rest.split(' ').next()) {
                script += &format!("gatepost credential remove {name} --yes > /dev/null 2>&1 || true\n");
            }
            script += &format!("{line}\n");
        }
    }
    let unused: Vec<_> = words.iter().zip(used).filter(|(_, used)| !used).collect();
    assert!(unused.is_empty(), "{page} says this no more: {unused:?}");
    script + "echo; echo '@done'\n"
}

/// Types all of a page that is not typed elsewhere into one shell, beside a gate of its own.
fn follow(page: &str, words: Words) {
    let script = script(page, words);
    let folder = tempfile::Builder::new().prefix("gatepost-test-").tempdir().unwrap();
    let kept = folder.path().join("kept");
    fs::create_dir(&kept).unwrap();
    support::open_folder(&kept);
    let mut more =
        format!("[[anchor]]\nname = \"disk\"\nkind = \"file\"\npath = \"{}\"\n", kept.join("heads").display());
    if page == "docs/turnstile.md" {
        // What the page has written into the file before its commands; nobody is asked by them.
        let secret = folder.path().join("turnstile.secret");
        fs::write(&secret, "1x0000000000000000000000000000000AA\n").unwrap();
        fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
        more += &format!("[turnstile]\nsecret_file = \"{}\"\nurl = \"https://127.0.0.1:1\"\n", secret.display());
    }
    let service = Service::start_in(folder, &Setting { more, ..Setting::default() });
    let home = service.folder.path();
    let (bin, desk) = (home.join("bin"), home.join("desk"));
    fs::create_dir(&bin).unwrap();
    fs::create_dir(&desk).unwrap();
    for (name, text) in [("gatepost", PROGRAM), ("curl", CURL)] {
        fs::write(bin.join(name), text).unwrap();
        fs::set_permissions(bin.join(name), fs::Permissions::from_mode(0o755)).unwrap();
    }
    fs::write(home.join("typed"), script).unwrap();
    let later = SystemTime::now() + Duration::from_secs(86_400);
    let later = later.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let later = Command::new("date").args(["-u", "-d", &format!("@{later}"), "+%FT%TZ"]).output().unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let status = Command::new("timeout")
        .args(["-k", "5", "180", "bash"])
        .arg(home.join("typed"))
        .env("PATH", path)
        .env("HOME", home)
        .env("ROOT", root())
        .env("PROGRAM", gatepost().get_program())
        .env("HTTP", service.http.to_string())
        .env("SMTP", service.smtp.to_string())
        .env("LATER", String::from_utf8(later.stdout).unwrap().trim())
        .env("LC_ALL", "C.UTF-8")
        .stdin(Stdio::null())
        .current_dir(&desk)
        .status()
        .unwrap();
    let printed =
        fs::read(desk.join("printed")).map_or_else(|_| String::new(), |all| String::from_utf8_lossy(&all).into_owned());
    assert!(status.success() && printed.ends_with("\n@done\n"), "{page}: {status}\n{printed}\n{}", service.log());
}
