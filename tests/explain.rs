//! Claims: `gatepost explain` says what becomes of a message and by which rule, as the service then does; it takes nothing of a limit and
//! leaves no trace; and without the service it judges what the file declares by the same rules. `gatepost config show` says where a
//! setting comes from, and no secret.

mod support;

use std::process::Output;

use serde_json::Value;
use support::{Service, Setting, gatepost};

const HASH: &str = "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$cmFuZG9tIG9jdGV0cyBvZiBhIGhhc2ggLSAzMiBsb25n";

fn object(output: &Output) -> Value {
    let text = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text}{}", String::from_utf8_lossy(&output.stderr)))
}

fn explain(service: &Service, credential: &str, from: &str, to: &[&str], more: &[&str]) -> (Value, Option<i32>) {
    let mut words = vec!["explain", "--json", "--credential", credential, "--from", from];
    to.iter().for_each(|to| words.extend(["--to", to]));
    words.extend(more);
    let output = service.command(&words);
    (object(&output), output.status.code())
}

/// The word for what is in the way, and the rule that says so.
fn reason(answer: &Value) -> (Option<&str>, String) {
    let step = answer["steps"].as_array().unwrap().iter().find(|step| !step["refused"].is_null());
    (answer["reason"].as_str(), step.map_or_else(String::new, |step| step["rule"].as_str().unwrap().to_owned()))
}

fn declared() -> String {
    format!(
        "[[credential]]\nid = \"shop\"\nsecrets = [{{ key = \"key1\", hash = \"{HASH}\" }}]\nsenders = [\"@example.net\"]\n\
         networks = [\"192.0.2.0/24\"]\nrecipients = {{ deny = [\"@competitor.example\"] }}\n\
         rewrite = {{ \"root@lan.example\" = \"devices@example.net\" }}\n"
    )
}

#[test]
fn the_rule_that_decides_is_said_and_nothing_is_taken() {
    let service = Service::start_with(&Setting { more: declared(), ..Setting::default() });
    let add = ["credential", "add", "once", "--sender", "@example.net", "--per-day", "1"];
    assert!(service.command(&add).status.success());
    assert!(service.command(&["suppress", "add", "gone@example.org"]).status.success());
    let (from, to) = ("a@example.net", "x@example.org");
    /// Credential, sender, recipients, more words, what is refused, and the rule.
    type Case<'a> = (&'a str, &'a str, &'a [&'a str], &'a [&'a str], Option<&'a str>, &'a str);
    let cases: [Case<'_>; 7] = [
        ("once", from, &[to], &[], None, ""),
        ("once", "a@example.com", &[to], &[], Some("sender-not-allowed"), "none of senders = [\"@example.net\"]"),
        ("once", from, &["gone@example.org"], &[], Some("suppressed"), "gatepost suppress list: "),
        ("shop", from, &[to], &["--address", "192.0.2.7"], None, ""),
        ("shop", from, &[to], &["--address", "198.51.100.7"], Some("network"), "networks = [\"192.0.2.0/24\"]"),
        (
            "shop",
            from,
            &[to, "y@competitor.example"],
            &[],
            Some("recipient-not-allowed"),
            "recipients.deny: \"@competitor.example\"",
        ),
        ("shop", "root@lan.example", &[to], &[], None, ""),
    ];
    for _ in 0..3 {
        for (credential, from, to, more, expected, rule) in cases {
            let (answer, code) = explain(&service, credential, from, to, more);
            let (word, said) = reason(&answer);
            assert_eq!((word, code), (expected, Some(if expected.is_some() { 3 } else { 0 })), "{answer:#}");
            assert!(said.starts_with(rule) && answer["by_service"] == true, "{rule}: {answer:#}");
        }
    }
    let (rewritten, _) = explain(&service, "shop", "root@lan.example", &[to], &[]);
    assert_eq!(rewritten["steps"][1]["about"], "root@lan.example, rewritten as devices@example.net");
    // Nobody was counted for having asked, and the log has nothing of it.
    let log = service.command(&["audit", "query", "--json"]);
    let log = String::from_utf8_lossy(&log.stdout).into_owned();
    let trace = ["msg.", "rate.", "quota.", "auth.", "session.", "suppress.view"];
    assert!(!trace.iter().any(|kind| log.contains(&format!("\"event\":\"{kind}"))), "{log}");
    // What is said is what is done.
    let send = ["send", "--credential", "once", "--from", from, "--to", to];
    let sent = service.command(&send);
    assert!(sent.status.success(), "{}", String::from_utf8_lossy(&sent.stderr));
    let (answer, code) = explain(&service, "once", from, &[to], &[]);
    assert_eq!((reason(&answer), code), ((Some("quota-exceeded"), "per_day of credential once".to_owned()), Some(3)));
    assert!(answer["steps"].as_array().unwrap().iter().any(|step| step["wait"].as_u64().is_some_and(|wait| wait > 0)));
    assert!(!service.command(&send).status.success());
    assert!(service.command(&["credential", "disable", "once"]).status.success());
    assert_eq!(reason(&explain(&service, "once", from, &[to], &[]).0).0, Some("disabled"));

    let nobody = service.command(&["explain", "--credential", "nobody", "--from", from, "--to", to]);
    assert!(
        nobody.status.code() == Some(1) && String::from_utf8_lossy(&nobody.stderr).contains("no credential \"nobody\"")
    );
    let people = service.command(&["explain", "--credential", "shop", "--from", from, "--to", "y@competitor.example"]);
    let people = String::from_utf8_lossy(&people.stdout).into_owned();
    assert!(people.starts_with("refused: recipient-not-allowed\n") && people.contains("recipients.deny"), "{people}");
}

#[test]
fn without_the_service_the_file_is_asked_by_the_same_rules_and_settings_have_their_place() {
    let mut service = Service::start_with(&Setting { more: declared(), ..Setting::default() });
    service.add_credential();
    let question =
        |service: &Service| explain(service, "shop", "a@example.net", &["x@example.org", "y@competitor.example"], &[]);
    let (running, _) = question(&service);
    service.end();
    let (stopped, code) = question(&service);
    assert_eq!((&stopped["by_service"], code), (&Value::from(false), Some(3)));
    assert_eq!(running["steps"], stopped["steps"], "the same rules");
    let unknown = service.command(&[
        "explain",
        "--credential",
        support::CREDENTIAL,
        "--from",
        "a@example.net",
        "--to",
        "x@example.org",
    ]);
    assert!(
        unknown.status.code() == Some(1)
            && String::from_utf8_lossy(&unknown.stderr).contains("the service does not run")
    );
    let near = ["explain", "--credential", "shpo", "--from", "a@example.net", "--to", "x@example.org"];
    let near = String::from_utf8_lossy(&service.command(&near).stderr).into_owned();
    assert!(near.contains("the service does not run") && near.contains("did you mean \"shop\"?"), "{near}");

    let shown = |more: &[&str]| {
        let output =
            gatepost().args(["config", "show"]).args(more).arg("--config").arg(service.config()).output().unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap()
    };
    let lines = shown(&[]);
    let file = service.config().display().to_string();
    assert!(lines.lines().any(|line| line == format!("hostname = \"gate.test.example\"    # {file}:4")), "{lines}");
    assert!(lines.contains("credential[shop].secrets[key1].hash = (set, ") && !lines.contains("$argon2id"), "{lines}");
    assert!(!lines.contains("# default"), "{lines}");
    let all = shown(&["--effective"]);
    for line in [
        "limits.idle = \"5m\"    # default",
        "listener[submission].zone = \"main\"    # default",
        "upstream[sink].helo    # not set",
    ] {
        assert!(all.lines().any(|one| one == line), "{line}: {all}");
    }
    let objects: Value = serde_json::from_str(&shown(&["--effective", "--json"])).unwrap();
    let idle = objects.as_array().unwrap().iter().find(|one| one["key"] == "limits.idle").unwrap();
    assert_eq!((&idle["origin"], &idle["line"]), (&Value::from("default"), &Value::Null));
}
