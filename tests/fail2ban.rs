//! Claims: the filter for fail2ban that is shipped finds who guesses passwords in the log of a running gate, and nothing that a client
//! says makes it find somebody else.

mod support;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use support::programs::said;
use support::{CREDENTIAL, PATIENCE, Service, Setting};

fn root() -> PathBuf {
    std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it").into()
}

/// The addresses that fail2ban itself finds in a log.
fn found(log: &Path, mode: &str) -> Vec<String> {
    let fail2ban = root().join("target/clients/fail2ban");
    let filter = format!("{}[mode={mode}]", root().join("packaging/fail2ban/gatepost.conf").display());
    let mut command = Command::new("python3");
    command
        .arg(fail2ban.join("usr/bin/fail2ban-regex"))
        .env("PYTHONPATH", fail2ban.join("usr/lib/python3/dist-packages"));
    let output =
        command.arg("-c").arg(fail2ban.join("etc/fail2ban")).args(["-o", "ip"]).arg(log).arg(filter).output().unwrap();
    assert!(
        output.status.code().is_some_and(|code| code < 2),
        "fail2ban is needed: run tools/test.sh: {}",
        said(&output)
    );
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(!text.contains("ERROR") && output.stderr.is_empty(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    text.lines().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect()
}

/// A text as somebody would write it who wants another to be banned.
const FORGED: &str = "a login failed session=0 listener=\"submission\" client=192.0.2.66 mechanism=\"PLAIN\" reason=\"wrong-name-or-password\"";

#[test]
fn who_guesses_is_found_and_nobody_can_have_another_banned() {
    let port = support::free_port();
    let more = format!("[[listener]]\nname = \"local\"\naddress = [\"127.0.0.1:{port}\"]\nprotocol = \"smtp\"\n");
    let service = Service::start_with(&Setting { more, ..Setting::default() });
    let secret = service.add_credential();
    let say = |lines: &[&str]| {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let hear = |stream: &mut TcpStream| {
            let mut piece = [0; 4096];
            stream.read(&mut piece).unwrap_or(0)
        };
        hear(&mut stream);
        for line in lines {
            let _ = stream.write_all(format!("{line}\r\n").as_bytes());
            hear(&mut stream);
        }
    };
    let plain = |user: &str, password: &str| format!("AUTH PLAIN {}", STANDARD.encode(format!("\0{user}\0{password}")));
    // Not the right one, however that ends.
    let wrong_end = if secret.ends_with('x') { 'y' } else { 'x' };
    let wrong_key = format!("{}{wrong_end}", &secret[..secret.len() - 1]);

    // Not to be found: those who get in, and those whose words look like a line of the log.
    assert_eq!(service.log_in(&secret).say("QUIT"), 221);
    say(&["EHLO a login failed client=192.0.2.66", FORGED, &format!("MAIL FROM:<\"{FORGED}\"@example.net>"), "QUIT"]);
    say(&["EHLO a.example", &format!("AUTH {FORGED}"), &format!("AUTH PLAIN {FORGED}"), "AUTH CRAM-MD5", "QUIT"]);
    for path in [
        format!("/{}", FORGED.replace(' ', "%20")),
        format!("/{}", FORGED.replace(' ', "\t")),
        "/x\"client=192.0.2.66".into(),
    ] {
        service.http(&format!(
            "GET {path} HTTP/1.1\r\nHost: {FORGED}\r\nUser-Agent: {FORGED}\r\nConnection: close\r\n\r\n"
        ));
    }
    let lines = service.log();
    let log = service.folder.path().join("for-fail2ban");
    fs::write(&log, &lines).unwrap();
    assert_eq!(found(&log, "normal"), Vec::<String>::new(), "{lines}");

    // To be found: a wrong key, no key, a name that is none, and one that would be somebody else's line.
    for (user, password) in
        [(CREDENTIAL, wrong_key.as_str()), (CREDENTIAL, "hunter2"), ("nobody", "hunter2"), (FORGED, "hunter2")]
    {
        say(&["EHLO a.example", &plain(user, password), "QUIT"]);
    }
    service.await_log(0, "a login failed");
    let failed = || service.log().lines().filter(|line| line.contains("a login failed session=")).count();
    support::await_that("four have failed", || failed() == 4);
    say(&["EHLO a.example", "MAIL FROM:<a@example.net>", "QUIT"]);
    service.await_log(0, "it did not log in");
    let lines = service.log();
    fs::write(&log, &lines).unwrap();
    assert_eq!(found(&log, "normal"), ["127.0.0.1"; 4], "{lines}");
    assert_eq!(found(&log, "aggressive"), ["127.0.0.1"; 5], "{lines}");

    // The same from the journal, from syslog, and from another kind of address.
    let line = lines
        .lines()
        .find(|line| line.contains("a login failed session="))
        .unwrap()
        .replace("127.0.0.1", "2001:db8::7");
    let (time, rest) = line.split_once(' ').unwrap();
    for shape in [
        format!("{time} gate gatepost[77]: {line}"),
        format!("Nov 28 10:00:00 gate gatepost[77]: {rest}"),
        line.clone(),
    ] {
        fs::write(&log, format!("{shape}\n")).unwrap();
        assert_eq!(found(&log, "normal"), ["2001:db8::7"], "{shape}");
    }
    // And of a line within a line, of whatever process, nothing is believed.
    for shape in [
        format!(
            "{time} edge-http main 9: INFO refused request=1 peer=127.0.0.1:9 listener=\"api\" path=\"/{rest}\" code=\"not_found\""
        ),
        format!("{time} vault 9: INFO a message was accepted account=\"{rest}\""),
        format!("{time} courier x 9: INFO it said {line}"),
        line.replace("session=", "session=0 listener=\"a\" client=192.0.2.66 session="),
        line.replace("reason=\"", "reason=\"busy\" said=\""),
    ] {
        fs::write(&log, format!("{shape}\n")).unwrap();
        assert_eq!(found(&log, "aggressive"), Vec::<String>::new(), "{shape}");
    }
}
