//! Claim: whatever strangers put into the log is data for whoever reads it: no SQL, no formula, no line, no terminal's command.

mod support;

use std::fs;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use gatepost::sink::Options;
use support::auditor::{python, run, said, select, verifier};
use support::smtp::trusting;
use support::{Service, Setting, await_that};

/// What nobody may be able to do anything with.
const SQL: &str = "'; DROP TABLE event; --";
const FORMULA: &str = "\"=cmd|' /C calc'!A0\"@example.net";

fn hostile() -> Setting {
    let sink = || Options {
        refuse: vec![(
            "refused".into(),
            format!("550 5.1.1 \u{1b}[2J\u{9b}31m\u{202e}{SQL}\u{0}=cmd() \u{2028}\r550 FORGED"),
        )],
        ..Options::default()
    };
    Setting { sink, more: "[audit]\nmask = \"none\"\n".into(), ..Setting::default() }
}

/// A service that was told everything that could harm who reads of it later.
fn fed() -> (Service, String) {
    let service = Service::start_with(&hostile());
    let secret = service.add_credential();
    let mut session = service.connect().secure(&trusting(&service.pair));
    session.say(&format!("EHLO {SQL}"));
    session.say("EHLO =cmd()");
    for user in ["'; DROP TABLE event; --", "=1+1", "@SUM(A1)", "\u{202e}resu", "a\nFORGED", "a\0b"] {
        let guess = [&b"\0"[..], user.as_bytes(), b"\0guess"].concat();
        let mut other = service.connect().secure(&trusting(&service.pair));
        other.say(&format!("AUTH PLAIN {}", STANDARD.encode(guess)));
    }
    let mut other = service.connect().secure(&trusting(&service.pair));
    other.say("AUTH PLAIN AP/+/wD//v8=");
    assert_eq!(session.log_in(&secret), 235);
    let recipients = ["refused@example.org", "\"=HYPERLINK(1)\"@example.org", "+1-2@example.org", "'--@example.org"];
    // The first header is refused for its octets.
    for (subject, expected) in [("\u{202e}\u{9b}", 550), (SQL, 250)] {
        assert_eq!(session.say(&format!("MAIL FROM:<{FORMULA}>")), 250);
        for recipient in recipients {
            assert_eq!(session.say(&format!("RCPT TO:<{recipient}>")), 250, "{recipient}");
        }
        assert_eq!(session.say("DATA"), 354);
        let text = format!("From: {FORMULA}\r\nSubject: {subject}\r\nMessage-ID: <=cmd()@'--.example>\r\n\r\nx\r\n.");
        let (code, words) = session.try_ask(&text).unwrap();
        assert_eq!(code, expected, "{words}");
    }
    session.say("MAIL FROM:<'or'1'='1@evil.example>");
    await_that("the refusal is in the log", || {
        run(&service, &["query", "--event", "deliver.bounce"]).lines().count() > 1
    });
    (service, secret)
}

fn is_calm(text: &str) -> bool {
    !text.chars().any(|c| c != '\n' && (c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2028}')))
}

#[test]
fn what_strangers_say_breaks_no_query_no_export_no_terminal_and_no_log_line() {
    let (service, _) = fed();
    run(&service, &["verify"]);
    let key = fs::read_to_string(service.folder.path().join("state/seal/log.vkey")).unwrap();
    let table = run(&service, &["query"]);
    let bounce = run(&service, &["query", "--event", "deliver.bounce", "--json"]);
    let bounce: serde_json::Value = serde_json::from_str(bounce.lines().next().unwrap()).unwrap();
    let (message, seq) = (bounce["msg_id"].as_str().unwrap(), bounce["seq"].to_string());
    for text in [&table, &run(&service, &["show", message]), &run(&service, &["show", &seq]), &run(&service, &["tail"])]
    {
        assert!(is_calm(text), "{text:?}");
        assert!(!text.lines().any(|line| line.trim_start().starts_with("FORGED")), "{text}");
    }
    // With `mask = "none"` auditors see it all, as data.
    let full = run(&service, &["show", &seq]);
    assert!(full.contains(SQL) && full.contains("=cmd()"), "{full}");
    assert_eq!(run(&service, &["show", &seq, "--json"]).lines().count(), 1);
    for (folder, words) in [("plain", &[][..]), ("sheet", &["--spreadsheet"][..])] {
        let path = service.folder.path().join(folder);
        let path = path.to_str().unwrap();
        run(&service, &[&["export", "--format", "csv", "-o", path], words].concat());
        let script = "import csv,sys\n\
            rows=list(csv.DictReader(open(sys.argv[1],newline='',encoding='utf-8'),strict=True))\n\
            assert all(None not in row and None not in row.values() for row in rows)\n\
            assert [row['seq'] for row in rows]==[str(n) for n in range(len(rows)-1)]+['']\n\
            print(sorted({row['mail_from'] for row in rows}))\n\
            print(any(cell[:1] in tuple('=+-@\\t\\r') for row in rows for cell in row.values() if cell))";
        let output = python(&["-c", script, path]);
        assert!(output.status.success(), "{}", said(&output));
        let expected = if words.is_empty() { "\"=cmd|" } else { "'" };
        assert!(said(&output).contains(expected), "{}", said(&output));
        let formulas = said(&output).lines().last() == Some("True");
        assert_eq!(formulas, words.is_empty(), "{}", said(&output));
    }
    let export = service.folder.path().join("export.jsonl");
    run(&service, &["export", "-o", export.to_str().unwrap()]);
    let output = python(&[&verifier(), "--key", &key, export.to_str().unwrap()]);
    assert!(output.status.success(), "{}", said(&output));
    assert!(is_calm(&fs::read_to_string(&export).unwrap()));
    let events = said(&select(&service, "SELECT count(*) FROM event"));
    assert!(events.trim().parse::<u64>().is_ok_and(|count| count > 10), "no table was dropped: {events}");
    let log = service.stop();
    assert!(is_calm(&log) && !log.lines().any(|line| line.starts_with("FORGED")), "{log}");
}
