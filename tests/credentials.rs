//! Claims: a credential can be made, changed, rotated, disabled and removed at any time, by commands, whether the service runs
//! or not; what its open sessions may ends with it; and no secret is ever shown twice.

mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Output, Stdio};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use gatepost::sink::{Fault, Options, Phase};
use serde_json::Value;
use support::smtp::{Tls, trusting};
use support::{PATIENCE, Service, Setting, Smtp, await_that};

/// A command about credentials, with its JSON answer.
fn credential(service: &Service, words: &str) -> Value {
    let output = run(service, words, "");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{words}: {text}{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{words}: {error}: {text}"))
}

/// Why a command was not done.
fn refused(service: &Service, words: &str, input: &str) -> String {
    let output = run(service, words, input);
    assert!(!output.status.success(), "{words}: {}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8(output.stderr).unwrap()
}

fn run(service: &Service, words: &str, input: &str) -> Output {
    let mut child = support::gatepost()
        .args(["credential"])
        .args(words.split_whitespace())
        .args(["--json", "--fallback-ids", "--config"])
        .arg(service.config())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A command that refuses at once reads nothing.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}")).to_owned()
}

fn session(service: &Service) -> Smtp<Tls> {
    service.connect().secure(&trusting(&service.pair))
}

fn log_in(session: &mut Smtp<Tls>, user: &str, secret: &str) -> u16 {
    session.say(&format!("AUTH PLAIN {}", STANDARD.encode(format!("\0{user}\0{secret}"))))
}

fn request(secret: &str) -> String {
    let body = r#"{"from":"a@example.net","to":"b@example.org","subject":"s","text":"hi"}"#;
    format!(
        "POST /v1/send HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {secret}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// One request on a connection that stays; its status and body.
fn post(stream: &mut TcpStream, secret: &str) -> (u16, String) {
    stream.write_all(request(secret).as_bytes()).unwrap();
    let mut answer = Vec::new();
    let mut octet = [0];
    while !answer.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut octet).unwrap();
        answer.push(octet[0]);
    }
    let head = String::from_utf8(answer).unwrap();
    let length = head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    stream.read_exact(&mut body).unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), String::from_utf8(body).unwrap())
}

fn http(service: &Service) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", service.http)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

fn events(service: &Service, event: &str) -> Vec<Value> {
    let output = service.command(&["audit", "query", "--event", event, "--json"]);
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn two_secrets_work_while_one_replaces_the_other_over_smtp_and_http() {
    let service = Service::start();
    let added = credential(&service, "add till --sender @example.net --description till");
    let (one, first) = (text(&added["key"]), text(&added["secret"]));
    let mut open = session(&service);
    assert_eq!(log_in(&mut open, "till", &first), 235);
    let second = text(&credential(&service, "rotate till --overlap 7d")["secret"]);
    for secret in [&first, &second] {
        assert_eq!(log_in(&mut session(&service), "till", secret), 235);
        assert_eq!(post(&mut http(&service), secret).0, 202);
    }
    assert_eq!(open.send("a session of the first secret goes on"), 250);
    assert!(refused(&service, "rotate till", "").contains("two live secrets"));

    let done = credential(&service, "rotate till --finish --yes");
    assert_eq!(done["keys"], serde_json::json!([one]));
    assert_eq!(log_in(&mut session(&service), "till", &first), 535);
    assert_eq!(post(&mut http(&service), &first).0, 403);
    assert_eq!(log_in(&mut session(&service), "till", &second), 235);
    assert_eq!(post(&mut http(&service), &second).0, 202);
    assert!(refused(&service, "rotate till --finish --yes", "").contains("no rotation"));
    let steps: Vec<String> =
        events(&service, "credential.rotate").iter().map(|event| event["data"].to_string()).collect();
    assert_eq!(steps.len(), 2, "{steps:?}");
    service.stop();
}

#[test]
fn row_47_revocation_ends_what_open_sessions_may_at_once() {
    let service = Service::start();
    for verb in ["disable", "remove"] {
        let secret = text(&credential(&service, &format!("add {verb}d --sender @example.net"))["secret"]);
        let (mut early, mut midway, mut web) = (session(&service), session(&service), http(&service));
        assert_eq!(log_in(&mut early, &format!("{verb}d"), &secret), 235);
        assert_eq!(log_in(&mut midway, &format!("{verb}d"), &secret), 235);
        assert_eq!(post(&mut web, &secret).0, 202);
        assert_eq!(midway.say("MAIL FROM:<a@example.net>"), 250);
        assert_eq!(midway.say("RCPT TO:<b@example.org>"), 250);
        assert_eq!(midway.say("DATA"), 354);
        credential(&service, &format!("{verb} {verb}d --queue deliver --yes"));
        assert_eq!(midway.say("From: a@example.net\r\nSubject: too late\r\n\r\nHello.\r\n."), 550);
        // At the next command it is nobody.
        assert!([530, 550].contains(&early.say("MAIL FROM:<a@example.net>")));
        let (status, body) = post(&mut web, &secret);
        assert!([403, 503].contains(&status), "{status} {body}");
        assert_eq!(post(&mut http(&service), &secret).0, 403);
        assert_eq!(log_in(&mut session(&service), &format!("{verb}d"), &secret), 535);
    }
    credential(&service, "enable disabled");
    assert_eq!(credential(&service, "show disabled")["state"], "enabled");
    assert!(refused(&service, "show removed", "").contains("no credential"));
    service.stop();
}

/// The whole reply to a login, text and all.
fn reply(service: &Service, user: &str, secret: &str) -> String {
    let mut session = session(service);
    let line = format!("AUTH PLAIN {}\r\n", STANDARD.encode(format!("\0{user}\0{secret}")));
    session.stream().write_all(line.as_bytes()).unwrap();
    let mut answer = [0; 512];
    let length = session.stream().read(&mut answer).unwrap();
    String::from_utf8(answer[..length].to_vec()).unwrap()
}

#[test]
fn rule_a9_row_45_unknown_disabled_expired_and_elsewhere_get_one_answer() {
    let service = Service::start();
    let made = |id: &str, options: &str| {
        text(&credential(&service, &format!("add {id} --sender @example.net {options}"))["secret"])
    };
    let known = made("known", "");
    let off = made("off", "");
    credential(&service, "disable off --queue deliver");
    let over = made("over", "--expires 1s");
    await_that("it is over", || credential(&service, "show over")["state"] == "expired");
    let elsewhere = made("elsewhere", "--network 192.0.2.0/24");
    let web = made("web", "--scope send");
    let smtp = made("smtp", "--scope smtp");
    let expected = "535 5.7.8 authentication credentials invalid\r\n";
    for (user, secret) in [
        ("nobody", known.as_str()),
        ("nobody", "guess"),
        ("known", "guess"),
        ("known", off.as_str()),
        ("off", off.as_str()),
        ("over", over.as_str()),
        ("elsewhere", elsewhere.as_str()),
        ("web", web.as_str()),
    ] {
        assert_eq!(reply(&service, user, secret), expected, "{user}");
    }
    let body = |secret: &str| {
        let (status, body) = post(&mut http(&service), secret);
        let body: Value = serde_json::from_str(&body).unwrap();
        (status, text(&body["code"]), text(&body["message"]))
    };
    let guess = body(&known.replace("gp_live_", "gp_live_x"));
    assert_eq!(guess.0, 403);
    for secret in [&off, &over, &elsewhere] {
        assert_eq!(body(secret), guess);
    }
    assert_eq!(body(&smtp).1, "insufficient_scope");
    assert_eq!(post(&mut http(&service), &web).0, 202);
    service.stop();
}

#[test]
fn row_43_the_size_and_the_recipients_of_a_credential_are_its_own() {
    let service = Service::start();
    let secret =
        text(&credential(&service, "add small --sender @example.net --max-size 2000 --max-recipients 1")["secret"]);
    let mut session = session(&service);
    assert_eq!(log_in(&mut session, "small", &secret), 235);
    assert_eq!(session.say("MAIL FROM:<a@example.net> SIZE=3000"), 552);
    assert_eq!(session.say("MAIL FROM:<a@example.net>"), 250);
    assert_eq!(session.say("RCPT TO:<b@example.org>"), 250);
    assert_eq!(session.say("RCPT TO:<c@example.org>"), 452);
    assert_eq!(session.say("DATA"), 354);
    let long = "x".repeat(70) + "\r\n";
    assert_eq!(session.say(&format!("From: a@example.net\r\n\r\n{}.", long.repeat(30))), 552);
    assert_eq!(session.send("short"), 250);
    // A limit is changed in place, and the open session hears of it.
    credential(&service, "set small --max-size 9000 --unset max-recipients");
    await_that("the session is nobody's", || session.say("MAIL FROM:<a@example.net>") == 530);
    assert_eq!(log_in(&mut session, "small", &secret), 235);
    assert_eq!(session.say("MAIL FROM:<a@example.net> SIZE=3000"), 250);
    assert_eq!(session.say("RCPT TO:<b@example.org>"), 250);
    assert_eq!(session.say("RCPT TO:<c@example.org>"), 250);
    let shown = credential(&service, "show small");
    assert_eq!(shown["policy"]["max_size"], 9000);
    assert_eq!(shown["policy"]["max_recipients"], Value::Null);
    let changes = events(&service, "credential.change");
    assert_eq!(changes.len(), 1);
    assert!(changes[0]["data"].to_string().contains("9000"), "{}", changes[0]);
    service.stop();
}

#[test]
fn row_44_imported_secrets_are_strong_or_refused_and_never_shown() {
    const STRONG: &str = "kV7xpQ2mZx9Lr4Tn8Wb3Yc6Hd1Jf5Gs0Ka7Pv2Mq9Xz4Rt8";
    let service = Service::start();
    let import = "import old --sender @example.net --key old1 --secret-file -";
    for weak in ["changeme", "hunter2", "password-password-password-password-password-password", "", "two\nlines"] {
        let why = refused(&service, import, weak);
        assert!(weak.is_empty() || !why.contains(weak), "{why}");
    }
    assert!(refused(&service, "import old --sender @example.net --hash-file -", STRONG).contains("PHC"));
    let output = run(&service, import, &format!("{STRONG}\n"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(log_in(&mut session(&service), "old", STRONG), 235);
    let verdict = |words: &str, secret: &str| -> Value {
        serde_json::from_slice(&run(&service, &format!("test {words}"), secret).stdout).unwrap()
    };
    assert_eq!(verdict("old", STRONG)["would_log_in"], true);
    assert_eq!(verdict("old", "guess")["obstacles"], serde_json::json!(["wrong-name-or-password"]));
    // A test is no login: nobody is locked out by it, and nothing is written down.
    let before = events(&service, "auth.failure").len();
    (0..25).for_each(|_| drop(verdict("old", "guess")));
    assert_eq!(log_in(&mut session(&service), "old", STRONG), 235);
    assert_eq!(events(&service, "auth.failure").len(), before);
    for words in ["list", "show old"] {
        let shown = credential(&service, words).to_string();
        assert!(!shown.contains("argon2") && !shown.contains(STRONG), "{shown}");
    }
    let log = service.stop();
    assert!(!log.contains(STRONG) && !log.contains("argon2"), "{log}");
}

#[test]
fn the_same_is_done_while_the_service_is_stopped() {
    let mut service = Service::start();
    let secret = text(&credential(&service, "add till --sender @example.net")["secret"]);
    let verbs = |service: &Service| {
        credential(service, "set till --per-day 7");
        credential(service, "disable till --queue deliver");
        credential(service, "enable till");
        credential(service, "rotate till");
        credential(service, "rotate till --finish --yes");
        let extra = credential(service, "add extra --sender @example.net");
        credential(service, "remove extra --queue deliver --yes");
        credential(service, "set till --unset per-day");
        text(&extra["secret"])
    };
    let names = |list: Vec<Value>| -> Vec<String> { list.iter().map(|event| text(&event["event"])).collect() };
    let all = |service: &Service| -> Vec<String> {
        let output = service.command(&["audit", "query", "--json"]);
        let lines = String::from_utf8(output.stdout).unwrap();
        let events = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        names(events).into_iter().filter(|name| name.starts_with("credential.")).collect()
    };
    verbs(&service);
    let online = all(&service).split_off(1);
    service.end();
    assert_eq!(credential(&service, "list").as_array().unwrap().len(), 1);
    verbs(&service);
    let verdict = run(&service, "test till", &secret);
    let verdict: Value = serde_json::from_slice(&verdict.stdout).unwrap();
    assert_eq!(verdict["would_log_in"], false, "it was rotated away");
    assert!(refused(&service, "enable till", "").contains("not disabled"));
    service.restart();
    let both = all(&service);
    assert_eq!(both[1 + online.len()..], online, "the same rows and events");
    service.stop();
}

#[test]
fn what_stands_in_the_file_is_listed_and_changed_there_alone() {
    let hash = "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$cmFuZG9tIG9jdGV0cyBvZiBhIGhhc2ggLSAzMiBsb25n";
    let more = format!(
        "[[credential]]\nid = \"filed\"\nenabled = false\nsenders = [\"@example.net\"]\n\
         secrets = [{{ key = \"7fQ2mKx9\", hash = \"{hash}\" }}]\n"
    );
    let service = Service::start_with(&Setting { more, ..Setting::default() });
    credential(&service, "add kept --sender @example.net");
    let listed = credential(&service, "list");
    let rows: Vec<_> =
        listed.as_array().unwrap().iter().map(|entry| ["id", "from", "state"].map(|key| text(&entry[key]))).collect();
    assert_eq!(rows, [["filed", "file", "disabled"], ["kept", "vault", "enabled"]]);
    for verb in ["enable filed", "disable filed", "set filed --per-day 5", "rotate filed", "remove filed --yes"] {
        let why = refused(&service, verb, "");
        assert!(why.contains("gatepost.toml") || why.contains("the configuration file"), "{why}");
    }
    service.stop();
}

#[test]
fn the_queue_of_a_revoked_credential_is_held_unless_something_else_is_asked_for() {
    // The upstream takes nothing for now.
    let sink = || Options { faults: vec![Fault::say(Phase::Mail, "451 4.3.0 come again")], ..Options::default() };
    let service = Service::start_with(&Setting { sink, ..Setting::default() });
    let fill = |id: &str, messages: usize| {
        let secret = text(&credential(&service, &format!("add {id} --sender @example.net"))["secret"]);
        let mut session = session(&service);
        assert_eq!(log_in(&mut session, id, &secret), 235);
        (0..messages).for_each(|n| assert_eq!(session.send(&format!("{id} {n}")), 250));
    };
    let queue = |done: &Value| (text(&done["queue"]["what"]), done["queue"]["messages"].as_u64().unwrap());
    fill("other", 1);
    fill("held", 2);
    let done = credential(&service, "disable held");
    assert_eq!(queue(&done), ("hold".to_owned(), 2));
    let holds = events(&service, "queue.hold");
    assert_eq!(holds.len(), 1, "{holds:?}");
    assert_eq!((text(&holds[0]["account"]), text(&holds[0]["reason"])), ("held".to_owned(), "revoked".to_owned()));
    assert_eq!(queue(&credential(&service, "remove held --queue drop --yes")), ("drop".to_owned(), 2));
    assert_eq!(events(&service, "queue.drop").len(), 2);

    fill("going", 3);
    assert_eq!(queue(&credential(&service, "remove going --queue deliver --yes")), ("deliver".to_owned(), 3));

    fill("leaked", 1);
    let key = text(&credential(&service, "show leaked")["keys"][0]["key"]);
    credential(&service, "rotate leaked");
    let done = credential(&service, &format!("rotate leaked --retire {key} --yes"));
    assert_eq!(queue(&done), ("hold".to_owned(), 1));
    service.stop();
}
