//! Claims: what ByteSend or useSend tells later by a signed webhook becomes the state of the message, once, whenever it comes and over a
//! kill of the vault too; what isn't rightly signed, for now, for this upstream changes nothing; and no secret is in the log.

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use hmac::{Hmac, KeyInit, Mac};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use sha2::Sha256;
use support::provider::{Answer, Provider, Request};
use support::{CREDENTIAL, Service, Setting, await_that, free_port, processes};

const SECRET: &str = "whsec_5ecre75ecre75ecre75ecre75ecre75e";
const OLD: &str = "whsec_01d01d01d01d01d01d01d01d01d01d01";
const OTHERS: &str = "whsec_07e507e507e507e507e507e507e507e5";

struct Gate {
    service: Service,
    hooks: u16,
    key: String,
}

fn keep(folder: &Path, name: &str, secret: &str) {
    let path = folder.join(name);
    fs::write(&path, format!("{secret}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
}

/// A gate in front of that provider, and of another of the same kind that nothing goes to.
fn gate(provider: &Provider) -> Gate {
    let folder = tempfile::Builder::new().prefix("gatepost-test-").tempdir().unwrap();
    fs::write(folder.path().join("trusted.pem"), &provider.pair.certificate).unwrap();
    for (name, secret) in [("token", "bs_sesame"), ("secret", SECRET), ("old", OLD), ("others", OTHERS)] {
        keep(folder.path(), name, secret);
    }
    let (place, hooks, port) = (folder.path().display().to_string(), free_port(), provider.port);
    let upstream = |name: &str, secrets: &str| {
        format!(
            "kind = \"bytesend\"\nurl = \"https://localhost:{port}/api\"\ntoken_file = \"{place}/token\"\n\
             authorities_file = \"{place}/trusted.pem\"\nwebhook_in = {{ name = \"{name}\", {secrets} }}\n"
        )
    };
    let both = format!("secret_file = \"{place}/secret\", previous_secret_file = \"{place}/old\"");
    let more = format!(
        "[[upstream]]\nname = \"second\"\n{}\n\
         [[listener]]\nname = \"hooks\"\naddress = [\"127.0.0.1:{hooks}\"]\nprotocol = \"http\"\nserve = [\"hooks\"]\n\
         [suppression]\nbounces = true\nafter = 1\n[spool]\nretry = [\"1h\"]\n",
        upstream("second", &format!("secret_file = \"{place}/others\""))
    );
    let setting =
        Setting { way: Some(upstream("bytesend", &both)), upstream: String::new(), more, ..Setting::default() };
    let service = Service::start_in(folder, &setting);
    let key = service.add_credential();
    let set = service.command(&["credential", "set", CREDENTIAL, "--mask", "none"]);
    assert!(set.status.success(), "{set:?}");
    Gate { service, hooks, key }
}

fn now_ms() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()
}

fn event(call: &str, kind: &str, reference: &str, to: &[&str]) -> String {
    let data = json!({
        "id": reference, "status": kind.to_uppercase(), "from": "a@example.net", "to": to, "subject": "x",
        "bounce": { "type": "Permanent", "subType": "NoEmail", "message": "smtp; 550 5.1.1 unknown" },
    });
    json!({ "id": call, "type": format!("email.{kind}"), "version": "2026-01-18", "teamId": 7, "data": data, "attempt": 1 })
        .to_string()
}

fn sign(secret: &str, timestamp: u128, body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(format!("{timestamp}.{body}").as_bytes());
    mac.finalize().into_bytes().iter().map(|octet| format!("{octet:02x}")).collect()
}

impl Gate {
    /// As a provider of that family posts it. The status and the body.
    fn post_as(&self, family: &str, hook: &str, secret: &str, timestamp: u128, body: &str) -> (u16, Value) {
        let signature = sign(secret, timestamp, body);
        let request = format!(
            "POST /hooks/{hook} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n\
             X-{family}-Signature: v1={signature}\r\nX-{family}-Timestamp: {timestamp}\r\nX-{family}-Event: email\r\n\
             X-{family}-Call: c\r\nX-{family}-Retry: 0\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let Gate { hooks: port, .. } = self;
        let response = self.at(*port, &request);
        let (head, body) = response.split_once("\r\n\r\n").unwrap_or((&response, ""));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default();
        (status, serde_json::from_str(body).unwrap_or_default())
    }

    fn at(&self, port: u16, request: &str) -> String {
        use std::io::{Read, Write};
        let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_read_timeout(Some(support::PATIENCE)).unwrap();
        // It may be refused before all of it is sent.
        let _ = stream.write_all(request.as_bytes());
        let mut response = Vec::new();
        let _ = stream.read_to_end(&mut response);
        String::from_utf8_lossy(&response).into_owned()
    }

    fn post(&self, body: &str) -> u16 {
        self.post_as("ByteSend", "bytesend", SECRET, now_ms(), body).0
    }

    fn send(&self, to: &[&str]) -> String {
        let letter = json!({ "from": "a@example.net", "to": to, "subject": "x", "text": "hi" }).to_string();
        let (status, body) = self.ask("POST /v1/send", &letter);
        assert_eq!(status, 202, "{body}\n{}", self.service.log());
        body["request_id"].as_str().unwrap().to_owned()
    }

    fn ask(&self, line: &str, body: &str) -> (u16, Value) {
        let kind = if body.is_empty() { "" } else { "Content-Type: application/json\r\n" };
        let response = self.service.http(&format!(
            "{line} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\nConnection: close\r\n{kind}\
             Content-Length: {}\r\n\r\n{body}",
            self.key,
            body.len()
        ));
        let (head, body) = response.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), serde_json::from_str(body).unwrap_or_default())
    }

    fn await_status(&self, id: &str, status: &str) -> Value {
        let mut found = Value::Null;
        await_that(&format!("{status} of {id}\n{}", self.service.log()), || {
            found = self.ask(&format!("GET /v1/submissions/{id}"), "").1;
            found["status"] == status
        });
        found
    }

    /// Waits until these are the reasons of events of that name: they reach the auditors' files a moment later.
    fn await_audited(&self, name: &str, reasons: &[&str]) {
        await_that(&format!("{name} {reasons:?}"), || self.audited(name) == reasons);
    }

    /// The reasons of events of that name.
    fn audited(&self, name: &str) -> Vec<String> {
        let output = self.service.command(&["audit", "query", "--event", name, "--json"]);
        let text = String::from_utf8(output.stdout).unwrap();
        let reason = |line: &str| serde_json::from_str::<Value>(line).ok()?["reason"].as_str().map(str::to_owned);
        text.lines().filter_map(reason).collect()
    }
}

/// Takes everything, under a name that has the first recipient's.
fn named() -> impl Fn(&Request) -> Answer + Send + Sync + 'static {
    |request| {
        let to = request.json()["to"][0].as_str().unwrap_or_default().to_owned();
        Some((200, format!("{{\"emailId\":\"em_{}\"}}", to.split('@').next().unwrap_or_default())))
    }
}

#[test]
fn what_a_provider_tells_later_becomes_the_state_of_the_message_once() {
    let provider = Provider::start(named());
    let gate = gate(&provider);
    let (first, second) = (gate.send(&["rosa@example.org"]), gate.send(&["ann@example.org"]));
    gate.await_status(&first, "smtp_accepted");
    gate.await_status(&second, "smtp_accepted");
    let (rosa, ann) = ("em_rosa", "em_ann");

    let bounced = event("call_1", "bounced", rosa, &["rosa@example.org", "eve@example.org"]);
    assert_eq!(gate.post(&bounced), 200);
    let found = gate.await_status(&first, "smtp_failed");
    let recipient = &found["recipients"][0];
    assert_eq!((&recipient["code"], &recipient["may_be_delivered"]), (&"5.1.1".into(), &false.into()), "{found}");
    assert!(recipient["reply"].as_str().unwrap().contains("550 5.1.1 unknown"), "{found}");
    // useSend's names, the secret before, and the same again.
    let delivered = event("call_2", "delivered", ann, &["ann@example.org"]);
    assert_eq!(gate.post_as("UseSend", "bytesend", OLD, now_ms(), &delivered).0, 200);
    assert_eq!((gate.post(&bounced), gate.post(&delivered)), (200, 200));
    assert_eq!(gate.post(&event("call_3", "opened", ann, &["ann@example.org"])), 200);
    gate.await_audited("feedback.received", &["bounced", "delivered"]);
    gate.await_audited("suppress.add", &["bounce"]);
    assert_eq!(gate.ask(&format!("GET /v1/submissions/{second}"), "").1["status"], "smtp_accepted");
    // The edge has its figures from the vault now and then.
    for line in [
        "gatepost_hook_events_total{hook=\"bytesend\",result=\"repeated\"} 2\n",
        "gatepost_hook_events_total{hook=\"bytesend\",result=\"applied\"} 2\n",
        "gatepost_hook_events_total{hook=\"second\",result=\"applied\"} 0\n",
    ] {
        let page = "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        await_that(line, || gate.service.http(page).contains(line));
    }

    let mut gate = gate;
    gate.service.end();
    gate.service.restart();
    assert_eq!((gate.post(&bounced), gate.post(&delivered)), (200, 200));
    let later = event("call_4", "complained", ann, &["ann@example.org"]);
    assert_eq!(gate.post(&later), 200);
    gate.await_audited("feedback.received", &["bounced", "delivered", "complained"]);
    gate.await_audited("suppress.add", &["bounce", "complaint"]);
    let log = gate.service.stop();
    assert!(log.contains("an event names recipients that its message doesn't have"), "{log}");
    for secret in [SECRET, OLD, OTHERS, "bs_sesame"] {
        assert!(!log.contains(secret), "{log}");
    }
}

#[test]
fn what_is_forged_old_too_long_unreadable_or_of_another_upstream_changes_nothing() {
    let provider = Provider::start(named());
    let gate = gate(&provider);
    let id = gate.send(&["rosa@example.org"]);
    gate.await_status(&id, "smtp_accepted");
    let body = event("call_1", "bounced", "em_rosa", &["rosa@example.org"]);
    let (now, minutes) = (now_ms(), 60_000);
    let mut answers = Vec::new();
    for (hook, secret, timestamp) in [
        ("bytesend", OTHERS, now),
        ("bytesend", SECRET, now - 6 * minutes),
        ("bytesend", SECRET, now + 6 * minutes),
        ("nobody", SECRET, now),
        ("second", SECRET, now),
    ] {
        let (status, mut said) = gate.post_as("ByteSend", hook, secret, timestamp, &body);
        said["request_id"] = Value::Null;
        assert_eq!(status, 401, "{hook} {said}");
        answers.push(said);
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "one answer: {answers:?}");
    // Signed by the other upstream's provider, which has no such message.
    assert_eq!(gate.post_as("ByteSend", "second", OTHERS, now_ms(), &body).0, 200);
    assert_eq!((gate.post("no JSON"), gate.post("")), (400, 400));
    let long = event("call_2", "bounced", "em_rosa", &["x".repeat(70_000).as_str()]);
    assert_eq!(gate.post(&long), 413);
    let found = gate.ask(&format!("GET /v1/submissions/{id}"), "").1;
    assert_eq!(found["status"], "smtp_accepted", "{found}");
    gate.await_audited("feedback.received", &["unattributable"]);
    await_that("what was not signed is told", || {
        gate.audited("auth.failure").iter().filter(|why| *why == "hook-not-signed").count() >= 5
    });
    // And what is right is taken all the same.
    assert_eq!(gate.post(&body), 200);
    gate.await_status(&id, "smtp_failed");
    let log = gate.service.stop();
    for secret in [SECRET, OLD, OTHERS] {
        assert!(!log.contains(secret), "{log}");
    }
}

#[test]
fn an_event_that_comes_before_the_providers_own_answer_waits_for_it_over_a_kill_of_the_vault() {
    let (asked, open) = (Arc::new(AtomicU16::new(0)), Arc::new(AtomicBool::new(false)));
    let (count, gate_open) = (Arc::clone(&asked), Arc::clone(&open));
    // It has taken the message and answers late; the same request is the same message.
    let provider = Provider::start(move |_| {
        count.fetch_add(1, Ordering::Relaxed);
        await_that("an answer that is let go", || gate_open.load(Ordering::Relaxed));
        Some((200, "{\"emailId\":\"em_1\"}".to_owned()))
    });
    let gate = gate(&provider);
    let id = gate.send(&["rosa@example.org"]);
    await_that("a request", || asked.load(Ordering::Relaxed) > 0);
    let body = event("call_1", "bounced", "em_1", &["rosa@example.org"]);
    assert_eq!(gate.post(&body), 200);
    assert_eq!(gate.ask(&format!("GET /v1/submissions/{id}"), "").1["status"], "smtp_submission_started", "it waits");
    let from = gate.service.log().len();
    let vault = processes::child(gate.service.pid(), "vault");
    processes::signal(vault, Signal::SIGKILL);
    gate.service.await_log(from, "vault");
    // Its provider comes again, as after every answer that wasn't given.
    let again = event("call_2", "complained", "em_1", &["rosa@example.org"]);
    await_that("the vault is back", || gate.post(&again) == 200);
    // Whether it has the message is not known, so that waits for its time.
    assert!(gate.service.command(&["queue", "retry", "--all"]).status.success());
    open.store(true, Ordering::Relaxed);
    gate.await_status(&id, "smtp_failed");
    await_that("both are told", || gate.audited("feedback.received").len() == 2);
    assert_eq!(gate.post(&body), 200);
    let mut told = gate.audited("feedback.received");
    told.sort_unstable();
    assert_eq!(told, ["bounced", "complained"], "once each");
    gate.service.stop();
}
