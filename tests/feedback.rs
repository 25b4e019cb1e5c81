//! Claims: a webhook is told over verified TLS what became of mail, so that the library of the standard verifies it and by no secret
//! but its own; what it can't take waits for it, over a restart too, and mail goes on; and where its credential wants it so, it is
//! told of failures in the place of a report.

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use gatepost::sink::Options;
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use support::provider::{Provider, Request};
use support::{CREDENTIAL, PATIENCE, Pair, Service, Setting, await_that, free_port, programs};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const OLD: &str = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// An upstream that puts some off and refuses others.
fn picky() -> Options {
    let refuse = [("slow", "451 4.2.1 greylisted"), ("gone", "550 5.1.1 no such user")];
    let refuse = refuse.map(|(who, reply)| (who.to_owned(), reply.to_owned())).to_vec();
    Options { refuse, ..Options::default() }
}

fn keep(folder: &Path, name: &str, secret: &str) {
    let path = folder.join(name);
    fs::write(&path, format!("{secret}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
}

/// A service that tells a receiver with this certificate. `FOLDER` in its lines is a folder with both secrets, and a credential whose mail is told of.
fn telling(port: u16, pair: &Pair, lines: &str) -> (Service, String) {
    let folder = tempfile::Builder::new().prefix("gatepost-test-").tempdir().unwrap();
    fs::write(folder.path().join("trusted.pem"), &pair.certificate).unwrap();
    keep(folder.path(), "secret", SECRET);
    keep(folder.path(), "old", OLD);
    let place = folder.path().display();
    let lines = lines.replace("FOLDER", &place.to_string());
    let more = format!(
        "[[webhook]]\nname = \"app\"\nurl = \"https://localhost:{port}/hooks/mail\"\nsecret_file = \"{place}/secret\"\n\
         authorities_file = \"{place}/trusted.pem\"\n{lines}\n[spool]\nretry = [\"1h\"]\n"
    );
    let service = Service::start_in(folder, &Setting { sink: picky, more, ..Setting::default() });
    let secret = service.add_credential();
    set(&service, &["--webhook", "app"]);
    (service, secret)
}

fn set(service: &Service, options: &[&str]) {
    let done = service.command(&[&["credential", "set", CREDENTIAL], options].concat());
    assert!(done.status.success(), "{}", programs::said(&done));
}

fn send(service: &Service, secret: &str, recipients: &[&str]) {
    let mut session = service.log_in(secret);
    assert_eq!(session.say("MAIL FROM:<a@example.net>"), 250);
    for recipient in recipients {
        assert_eq!(session.say(&format!("RCPT TO:<{recipient}>")), 250);
    }
    assert_eq!(session.say("DATA"), 354);
    assert_eq!(session.say("From: a@example.net\r\nSubject: offer\r\n\r\nthe body\r\n."), 250);
}

fn root() -> PathBuf {
    std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo says where the sources are").into()
}

/// A request, for who verifies it.
fn told(request: &Request) -> String {
    let headers: serde_json::Map<String, Value> =
        request.headers.iter().map(|(name, value)| (name.clone(), value.as_str().into())).collect();
    json!({ "headers": headers, "body": String::from_utf8(request.body.clone()).unwrap() }).to_string()
}

/// Whether the lines that the page on webhooks gives to authors of receivers believe a request.
fn believed(request: &Request, secret: &str) -> bool {
    let page = fs::read_to_string(root().join("docs/webhooks.md")).unwrap();
    let lines = page.split("```python\n").nth(1).and_then(|rest| rest.split("```").next()).expect("lines of Python");
    let program = format!(
        "{lines}\nimport json, sys\ntold = json.load(sys.stdin)\n\
         print(verified(sys.argv[1], told['headers'], told['body'].encode()))"
    );
    let done = programs::run(Command::new("python3").args(["-c", &program, secret]), &told(request));
    assert!(done.status.success(), "{}", programs::said(&done));
    String::from_utf8_lossy(&done.stdout).trim() == "True"
}

/// What the library of the standard makes of a request, by that secret. Errors: its words.
fn verified(request: &Request, secret: &str) -> Result<Value, String> {
    let modules = root().join("target/clients/node_modules");
    let is_there = modules.join("standardwebhooks").is_dir();
    assert!(is_there, "standardwebhooks is not in {}: run tools/test.sh", modules.display());
    // The page's own lines.
    let page = fs::read_to_string(root().join("docs/webhooks.md")).unwrap();
    let lines = page.split("```js\n").nth(1).and_then(|rest| rest.split("```").next()).expect("lines of JavaScript");
    let program = format!(
        "const {{ headers, body: rawBody }} = JSON.parse(require('fs').readFileSync(0, 'utf8'));\n{lines}\n\
         process.stdout.write(JSON.stringify(event));"
    );
    let mut node = Command::new("node");
    node.args(["-e", &program]).env("SECRET", secret).env("NODE_PATH", modules);
    let done = programs::run(&mut node, &told(request));
    match done.status.success() {
        true => Ok(serde_json::from_slice(&done.stdout).unwrap()),
        false => Err(programs::said(&done)),
    }
}

/// The types of what was told, in order of the letters.
fn kinds(requests: &[Request]) -> Vec<String> {
    let mut kinds: Vec<String> =
        requests.iter().map(|request| request.json()["type"].as_str().unwrap().to_owned()).collect();
    kinds.sort();
    kinds
}

fn status(service: &Service) -> Value {
    let shown = service.command(&["webhook", "status", "--json"]);
    serde_json::from_slice(&shown.stdout).unwrap_or_else(|_| panic!("{}", programs::said(&shown)))
}

fn events(service: &Service, name: &str) -> Vec<Value> {
    let output = service.command(&["audit", "query", "--event", name, "--json"]);
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn what_became_of_mail_is_told_signed_and_while_secrets_change_by_both() {
    let receiver = Provider::start(|_| Some((204, String::new())));
    let (service, secret) = telling(receiver.port, &receiver.pair, "previous_secret_file = \"FOLDER/old\"");
    send(&service, &secret, &["b@example.org", "slow@example.org", "gone@example.org"]);
    let requests = receiver.await_requests(3);
    assert_eq!(kinds(&requests), ["email.bounced", "email.delivery_delayed", "email.sent"]);
    for request in &requests {
        assert_eq!(request.line, "POST /hooks/mail HTTP/1.1");
        for known in [SECRET, OLD] {
            assert_eq!(verified(request, known), Ok(request.json()));
            assert!(believed(request, known));
        }
        assert!(
            verified(request, "whsec_BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB").unwrap_err().contains("No matching signature")
        );
        let body = String::from_utf8(request.body.clone()).unwrap().replacen("email.", "spam.", 1).into_bytes();
        let changed = Request { body, ..request.clone() };
        assert!(verified(&changed, SECRET).is_err() && !believed(&changed, SECRET));
        for name in ["id", "timestamp", "signature"] {
            assert_eq!(request.header(&format!("svix-{name}")), request.header(&format!("webhook-{name}")));
        }
        let data = &request.json()["data"];
        assert_eq!((&data["credential"], &data["from"]), (&CREDENTIAL.into(), &"a@example.net".into()), "{data}");
        assert_eq!((&data["upstream"], &data["attempts"]), (&"sink".into(), &1.into()), "{data}");
    }
    let bounced = requests.iter().map(Request::json).find(|body| body["type"] == "email.bounced").unwrap();
    assert_eq!(bounced["data"]["to"], json!(["gone@example.org"]));
    let reply = &bounced["data"]["reply"];
    assert_eq!((&reply["code"], &reply["enhanced"]), (&550.into(), &"5.1.1".into()), "{bounced}");
    let tested = service.command(&["webhook", "test", "app"]);
    assert!(
        tested.status.success() && programs::said(&tested) == "app: HTTP 204: taken\n",
        "{}",
        programs::said(&tested)
    );
    assert_eq!(receiver.await_requests(4)[3].json()["type"], "gatepost.test");
    await_that("all were taken", || status(&service)["waiting"] == 0);
    assert_eq!(status(&service)["state"], "up");
    // The receiver has the new secret: the old one goes.
    let text = fs::read_to_string(service.config()).unwrap();
    let without: Vec<&str> = text.lines().filter(|line| !line.starts_with("previous_secret_file")).collect();
    fs::write(service.config(), without.join("\n")).unwrap();
    let from = service.log().len();
    service.signal(Signal::SIGHUP);
    service.await_log(from, "reload done");
    assert!(service.command(&["webhook", "test", "app"]).status.success());
    let last = receiver.await_requests(5).remove(4);
    assert!(verified(&last, SECRET).is_ok() && verified(&last, OLD).is_err(), "{last:?}");
    let log = service.stop();
    assert!(!log.contains("MfKQ9r8G") && !log.contains("AAAAAAAA"), "{log}");
}

#[test]
fn a_receiver_that_is_down_holds_up_no_mail_and_is_told_when_it_is_back_over_a_restart_too() {
    let (port, pair) = (free_port(), Pair::ecdsa());
    let (mut service, secret) = telling(port, &pair, "events = [\"sent\"]");
    for _ in 0..3 {
        send(&service, &secret, &["b@example.org"]);
        assert!(service.sink.next(PATIENCE).is_some(), "{}", service.log());
    }
    await_that("it rests, and three wait", || {
        let state = status(&service);
        state["waiting"] == 3 && state["failures"].as_u64() > Some(0)
    });
    assert_eq!(events(&service, "webhook.pause").len(), 1);
    let tested = service.command(&["webhook", "test", "app"]);
    assert!(!tested.status.success() && programs::said(&tested).contains("not taken"), "{}", programs::said(&tested));
    service.end();
    service.restart();
    assert_eq!(status(&service)["waiting"], 3);
    let receiver = Provider::start_at(port, pair, |_| Some((200, String::new())));
    let mut told = receiver.await_requests(3);
    told.sort_by_key(|request| request.header("webhook-id").to_owned());
    told.dedup_by_key(|request| request.header("webhook-id").to_owned());
    assert_eq!(told.len(), 3);
    assert!(told.iter().all(|request| verified(request, SECRET) == Ok(request.json())));
    await_that("all were taken", || status(&service)["waiting"] == 0);
    service.stop();
}

#[test]
fn rule_q13_a_failure_is_told_by_webhook_and_no_report_is_made() {
    let receiver = Provider::start(|_| Some((200, "thanks".to_owned())));
    let (service, secret) = telling(receiver.port, &receiver.pair, "events = [\"sent\"]");
    set(&service, &["--reports", "webhook"]);
    send(&service, &secret, &["gone@example.org", "b@example.org"]);
    let requests = receiver.await_requests(2);
    assert_eq!(kinds(&requests), ["email.bounced", "email.sent"]);
    await_that("both were taken", || status(&service)["waiting"] == 0);
    let bounced = events(&service, "deliver.bounce");
    assert!(bounced[0].to_string().contains("webhook"), "{bounced:?}");
    assert!(events(&service, "dsn.sent").is_empty());
    assert!(service.sink.next(Duration::from_millis(500)).is_some_and(|mail| mail.recipients == ["b@example.org"]));
    assert!(service.sink.next(Duration::from_millis(1)).is_none());
    let wrong = service.command(&["credential", "set", CREDENTIAL, "--webhook", "ap"]);
    let said = programs::said(&wrong);
    assert!(said.contains("there is no webhook \"ap\": did you mean \"app\"?"), "{said}");
    let retried = service.command(&["webhook", "retry", "app", "--json"]);
    let retried: serde_json::Value = serde_json::from_slice(&retried.stdout).unwrap();
    assert_eq!(retried, serde_json::json!({ "webhook": "app", "waiting": 0 }));
    service.stop();
}
