//! Claims: with `delivery = "direct"` the client is told what the upstream said, of each recipient and at the dot; the message is never
//! on the disk; what the log says of it is whole; and whatever falls in between, nobody is told of a delivery that was none.

mod support;

use std::fs;
use std::io::Write;

use gatepost::sink::{Act, Fault, Options, Phase};
use nix::sys::signal::Signal;
use serde_json::Value;
use support::processes;
use support::smarthost::{self, PASSWORD, USER};
use support::traces::holding;
use support::{CREDENTIAL, PATIENCE, Pair, Service, Setting, await_that, free_port, is_root};

const LETTER: &str =
    "From: a@example.net\r\nTo: b@example.org\r\nSubject: direct\r\n\r\nA word that nothing keeps: xyzzy.\r\n.";

fn start(sink: fn() -> Options) -> (Service, String) {
    start_with(Setting { sink, ..Setting::default() })
}

fn start_with(setting: Setting) -> (Service, String) {
    let service = Service::start_with(&setting);
    let secret = service.add_credential();
    let set = service.command(&["credential", "set", CREDENTIAL, "--delivery", "direct"]);
    assert!(set.status.success(), "{}", String::from_utf8_lossy(&set.stderr));
    (service, secret)
}

fn events(service: &Service, name: &str) -> Vec<Value> {
    let output = service.command(&["audit", "query", "--event", name, "--json"]);
    String::from_utf8(output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn await_event(service: &Service, name: &str) {
    await_that(name, || !events(service, name).is_empty());
}

#[test]
fn the_client_is_told_what_the_upstream_said_and_the_message_is_never_on_the_disk() {
    let (service, secret) = start(|| Options {
        refuse: vec![
            ("unknown@".into(), "550 5.1.1 no such person here".into()),
            ("full@".into(), "452 4.2.2 mailbox full".into()),
        ],
        ..Options::default()
    });
    let mut session = service.log_in(&secret);
    assert_eq!(session.say("MAIL FROM:<a@example.net>"), 250);
    let (code, words) = session.try_ask("RCPT TO:<unknown@example.org>").unwrap();
    assert!(code == 550 && words.contains("5.1.1") && words.contains("no such person here"), "{code} {words}");
    let (code, words) = session.try_ask("RCPT TO:<full@example.org>").unwrap();
    assert!(code == 452 && words.contains("4.2.2") && words.contains("mailbox full"), "{code} {words}");
    assert_eq!(session.say("RCPT TO:<b@example.org>"), 250);
    assert_eq!(session.say("DATA"), 354);
    let (code, words) = session.try_ask(LETTER).unwrap();
    assert!(code == 250 && words.contains("passed on"), "{code} {words}");
    let received = service.sink.next(PATIENCE).expect("it is there");
    assert_eq!(received.recipients, ["b@example.org"]);
    let text = String::from_utf8(received.content).unwrap();
    assert!(text.starts_with("Received: ") && text.ends_with("xyzzy.\r\n"), "{text}");
    // One that is larger than what the spool has as a row.
    assert_eq!(session.say("MAIL FROM:<a@example.net>"), 250);
    assert_eq!(session.say("RCPT TO:<b@example.org>"), 250);
    assert_eq!(session.say("DATA"), 354);
    let large =
        format!("From: a@example.net\r\n\r\n{}.", "A line with the word plugh in it, many times.\r\n".repeat(40_000));
    assert_eq!(session.say(&large), 250);
    assert!(service.sink.next(PATIENCE).expect("it is there").content.len() > 1_800_000);

    await_event(&service, "deliver.success");
    let (intents, all) = (events(&service, "msg.intent"), events(&service, "deliver.success"));
    assert_eq!((intents.len(), all.len(), events(&service, "msg.accept").len()), (2, 2, 0));
    assert_eq!(intents[0]["msg_id"], all[0]["msg_id"]);
    assert_eq!(events(&service, "deliver.bounce")[0]["smtp_code"], 550);
    assert_eq!(events(&service, "deliver.defer")[0]["smtp_code"], 452);
    let queue = service.command(&["queue", "list"]);
    assert!(!String::from_utf8_lossy(&queue.stdout).contains("example.org"), "nothing waits");
    let state = service.folder.path().join("state");
    let log = service.folder.path().join("log");
    let verified = service.command(&["audit", "verify", "--acks", log.to_str().unwrap()]);
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stderr));
    for word in ["xyzzy", "plugh"] {
        assert_eq!(holding(&state, word), Vec::<String>::new());
    }
    assert!(
        fs::read_dir(state.join("db")).unwrap().all(|entry| !entry
            .unwrap()
            .file_name()
            .to_string_lossy()
            .starts_with("body"))
    );
    let told = service.stop();
    assert!(told.matches("a message was acknowledged").count() == 2 && !told.contains("xyzzy"), "{told}");
}

#[test]
fn a_group_goes_to_the_upstream_as_one_and_is_answered_in_its_order() {
    let (service, secret) =
        start(|| Options { refuse: vec![("no".into(), "550 5.1.1 no".into())], ..Options::default() });
    let mut session = service.log_in(&secret);
    let group = "MAIL FROM:<a@example.net>\r\nRCPT TO:<b@example.org>\r\nRCPT TO:<no@example.org>\r\nRCPT TO:<c@example.org>\r\nDATA";
    assert_eq!(session.say(group), 250);
    assert_eq!([0; 4].map(|_| session.code()), [250, 550, 250, 354]);
    assert_eq!(session.say(LETTER), 250);
    assert_eq!(service.sink.next(PATIENCE).unwrap().recipients, ["b@example.org", "c@example.org"]);
    service.stop();
}

/// How the upstream behaves, then the client's reply and its status, and the events.
type Row = (fn() -> Options, u16, &'static str, &'static [&'static str]);

/// What the client is told when the upstream does this: at RCPT, or at the dot.
fn fault(sink: fn() -> Options) -> (u16, String, Vec<String>) {
    let (service, secret) = start(sink);
    let mut session = service.log_in(&secret);
    assert_eq!(session.say("MAIL FROM:<a@example.net>"), 250);
    let (code, words) = session.try_ask("RCPT TO:<b@example.org>").unwrap();
    let told = if code == 250 {
        assert_eq!(session.say("DATA"), 354);
        session.try_ask(LETTER).unwrap()
    } else {
        (code, words)
    };
    assert_eq!(session.say("RSET"), 250, "the session goes on");
    assert!(service.sink.next(std::time::Duration::from_millis(50)).is_none());
    let names = ["msg.intent", "deliver.defer", "deliver.bounce", "deliver.unknown", "route.pause", "deliver.success"];
    await_that("the log has it", || {
        names.iter().any(|name| *name != "msg.intent" && !events(&service, name).is_empty())
    });
    let named = names.iter().filter(|name| !events(&service, name).is_empty()).map(|name| (*name).to_owned());
    let named = named.collect();
    service.stop();
    (told.0, told.1, named)
}

#[test]
fn every_phase_has_the_reply_of_the_table_and_its_event() {
    fn with(fault: Fault) -> Options {
        Options { faults: vec![fault], ..Options::default() }
    }
    let table: [Row; 12] = [
        (|| with(Fault::at(Phase::Greeting, Act::Close)), 451, "4.4.1", &["route.pause"]),
        (|| with(Fault::say(Phase::Mail, "550 5.7.1 not you")), 550, "5.7.1", &["deliver.bounce"]),
        (|| with(Fault::say(Phase::Rcpt, "450 4.2.1 later")), 450, "4.2.1", &["deliver.defer"]),
        (|| with(Fault::say(Phase::Data, "451 4.3.0 later")), 451, "4.3.0", &["deliver.defer"]),
        (|| with(Fault::at(Phase::Content, Act::Close)), 451, "4.4.1", &["deliver.defer"]),
        (|| with(Fault::say(Phase::Dot, "554 5.6.0 spam")), 554, "5.6.0", &["msg.intent", "deliver.bounce"]),
        (|| with(Fault::say(Phase::Dot, "452 4.3.1 full")), 452, "4.3.1", &["msg.intent", "deliver.defer"]),
        (|| with(Fault::at(Phase::Dot, Act::Close)), 451, "4.4.2", &["msg.intent", "deliver.unknown"]),
        (|| with(Fault::at(Phase::Connect, Act::Reset)), 451, "4.4.1", &["route.pause"]),
        (|| with(Fault::at(Phase::Content, Act::Reset)), 451, "4.4.1", &["deliver.defer"]),
        (|| with(Fault::at(Phase::Dot, Act::Reset)), 451, "4.4.2", &["msg.intent", "deliver.unknown"]),
        (|| with(Fault::say(Phase::Dot, "2500 what")), 451, "4.4.2", &["msg.intent", "deliver.unknown"]),
    ];
    for (sink, code, status, named) in table {
        let (told, words, log) = fault(sink);
        assert!(told == code && words.contains(status), "{code} {status}: {told} {words}");
        for name in named {
            assert!(log.iter().any(|event| event == name), "{code} {status}: no {name} in {log:?}");
        }
        // What comes while the content does may come later than its end.
        if !matches!(status, "4.3.0" | "4.4.1") {
            assert_eq!(
                log.iter().any(|event| event == "msg.intent"),
                named.contains(&"msg.intent"),
                "{status} {log:?}"
            );
        }
        assert_eq!(words.contains("spam"), status == "5.6.0", "{words}");
        assert!(!words.contains("127.0.0.1"), "{words}");
        assert_eq!(words.contains("may have been delivered"), status == "4.4.2", "{words}");
    }
}

#[test]
fn without_an_upstream_it_is_not_now_at_rcpt() {
    let port = free_port();
    let (service, secret) = start_with(Setting { host: Some(format!("127.0.0.1:{port}")), ..Setting::default() });
    let mut session = service.log_in(&secret);
    assert_eq!(session.say("MAIL FROM:<a@example.net>"), 250);
    for _ in 0..2 {
        // The second time it rests.
        let (code, words) = session.try_ask("RCPT TO:<b@example.org>").unwrap();
        assert!(code == 451 && words.contains("4.4.1"), "{code} {words}");
    }
    assert_eq!(session.say("DATA"), 554);
    service.stop();
}

#[test]
fn a_listener_says_how_mail_leaves_of_those_who_do_not() {
    let setting = Setting { listener: "delivery = \"direct\"".into(), ..Setting::default() };
    let service = Service::start_with(&setting);
    let secret = service.add_credential();
    let mut session = service.log_in(&secret);
    assert_eq!(session.send("by the listener"), 250);
    service.await_arrival(vec!["by the listener".into()]);
    await_event(&service, "msg.intent");
    let set = service.command(&["credential", "set", CREDENTIAL, "--delivery", "spool"]);
    assert!(set.status.success());
    let mut session = service.log_in(&secret);
    assert_eq!(session.send("by its own word"), 250);
    await_event(&service, "msg.accept");
    service.await_arrival(vec!["by its own word".into()]);
    assert!(
        service
            .command(&["credential", "set", CREDENTIAL, "--unset", "delivery", "--always-bcc", "c@example.org"])
            .status
            .success()
    );
    let mut session = service.log_in(&secret);
    assert_eq!(session.send("with a copy"), 250);
    service.await_arrival(vec!["with a copy".into()]);
    await_that("what goes elsewhere is kept", || events(&service, "msg.accept").len() == 2);
    let refused = service.command(&["credential", "set", CREDENTIAL, "--delivery", "direct"]);
    let why = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && why.contains("always_bcc"), "{why}");
    service.stop();
}

#[test]
fn a_client_that_is_gone_within_the_content_has_sent_nothing() {
    let (service, secret) = start(Options::default);
    for large in [false, true] {
        let mut session = service.log_in(&secret);
        assert_eq!(session.say("MAIL FROM:<a@example.net>"), 250);
        assert_eq!(session.say("RCPT TO:<b@example.org>"), 250);
        assert_eq!(session.say("DATA"), 354);
        let lines = "0123456789\r\n".repeat(if large { 30_000 } else { 1 });
        session.stream().write_all(format!("From: a@example.net\r\n\r\n{lines}").as_bytes()).unwrap();
        drop(session);
    }
    await_that("the upstream sees them go", || {
        service.sink.tally().broken_off + usize::from(service.sink.tally().commands.iter().any(|line| line == "RSET"))
            >= 1
    });
    // The way is as good as ever.
    let mut session = service.log_in(&secret);
    assert_eq!(session.send("behind them"), 250);
    let next = service.sink.next(PATIENCE).unwrap();
    assert!(String::from_utf8_lossy(&next.content).contains("Subject: behind them"));
    service.stop();
}

#[test]
fn a_courier_that_falls_at_the_dot_leaves_a_doubt_and_a_stop_lets_what_has_begun_end() {
    let (service, secret) = start(|| Options {
        faults: vec![Fault { connection: Some(0), ..Fault::at(Phase::Dot, Act::Hang) }],
        ..Options::default()
    });
    let mut session = service.log_in(&secret);
    assert_eq!(session.say("MAIL FROM:<a@example.net>"), 250);
    assert_eq!(session.say("RCPT TO:<b@example.org>"), 250);
    assert_eq!(session.say("DATA"), 354);
    session.stream().write_all(format!("{LETTER}\r\n").as_bytes()).unwrap();
    session.stream().flush().unwrap();
    await_event(&service, "msg.intent");
    processes::signal(processes::child(service.pid(), "courier sink"), Signal::SIGKILL);
    assert_eq!(session.code(), 451);
    await_event(&service, "deliver.unknown");
    await_event(&service, "queue.drop");

    // Its successor takes the next one, which ends although the service stops meanwhile.
    await_that("there is a new one", || {
        let begun = session.say("MAIL FROM:<a@example.net>") == 250;
        let taken = session.say("RCPT TO:<b@example.org>") == 250;
        if begun && !taken {
            assert_eq!(session.say("RSET"), 250);
        }
        begun && taken
    });
    assert_eq!(session.say("DATA"), 354);
    service.signal(Signal::SIGTERM);
    session.stream().write_all(b"From: a@example.net\r\n").unwrap();
    std::thread::sleep(std::time::Duration::from_millis(500));
    assert_eq!(session.say("Subject: at the last moment\r\n\r\nx\r\n."), 250);
    service.await_arrival(vec!["at the last moment".into()]);
    let mut service = service;
    service.await_end();
}

#[test]
fn content_in_chunks_and_a_reload_within_it_change_nothing_for_its_client() {
    let (service, secret) = start(Options::default);
    let mut session = service.log_in(&secret);
    let (first, last) = ("From: a@example.net\r\nSubject: in chunks\r\n\r\n", "the rest\r\n".repeat(20_000));
    assert_eq!(session.say("MAIL FROM:<a@example.net>"), 250);
    assert_eq!(session.say("RCPT TO:<b@example.org>"), 250);
    session.stream().write_all(format!("BDAT {}\r\n{first}", first.len()).as_bytes()).unwrap();
    assert_eq!(session.code(), 250);
    service.signal(Signal::SIGHUP);
    service.await_log(0, "reload done");
    // Its last line end is written behind it.
    let chunk = format!("BDAT {} LAST\r\n{}", last.len(), last.strip_suffix("\r\n").unwrap());
    let (code, words) = session.try_ask(&chunk).unwrap();
    assert!(code == 250 && words.contains("passed on"), "{code} {words}");
    let received = service.sink.next(PATIENCE).expect("it is there");
    let text = String::from_utf8(received.content).unwrap();
    assert_eq!(text.split_once("\r\n\r\n").unwrap().1, last);
    assert_eq!((events(&service, "msg.intent").len(), events(&service, "msg.accept").len()), (1, 0));
    service.stop();
}

#[test]
fn postfix_is_asked_for_each_recipient_and_names_its_queue_id() {
    if !is_root() {
        println!("NOT RUN: Postfix's master must be root; the run as root does it");
        return;
    }
    let pair = Pair::ecdsa();
    let rules = "smtpd_recipient_restrictions = check_recipient_access inline:{nobody@example.org=REJECT}, permit_sasl_authenticated, reject";
    let postfix = smarthost::start("PLAIN LOGIN", rules, &pair);
    let folder = tempfile::Builder::new().prefix("gatepost-test-").tempdir().unwrap();
    let (trust, password) = (folder.path().join("trusted.pem"), folder.path().join("secret"));
    fs::write(&trust, &pair.certificate).unwrap();
    fs::write(&password, format!("{PASSWORD}\n")).unwrap();
    fs::set_permissions(&password, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let upstream = format!(
        "username = \"{USER}\"\npassword_file = \"{}\"\nauthorities_file = \"{}\"\n",
        password.display(),
        trust.display()
    );
    let setting = Setting {
        host: Some(format!("localhost:{}", postfix.port())),
        upstream,
        listener: "delivery = \"direct\"".into(),
        ..Setting::default()
    };
    let service = Service::start_in(folder, &setting);
    let secret = service.add_credential();
    let mut session = service.log_in(&secret);
    assert_eq!(session.say("MAIL FROM:<a@example.net>"), 250);
    let (code, words) = session.try_ask("RCPT TO:<nobody@example.org>").unwrap();
    assert!(code == 554 && words.contains("5.7.1") && words.contains("Recipient address rejected"), "{code} {words}");
    assert_eq!(session.say("RCPT TO:<b@example.org>"), 250);
    assert_eq!(session.say("DATA"), 354);
    let (code, words) = session.try_ask(LETTER).unwrap();
    assert!(code == 250 && words.contains("queued as "), "{code} {words}");
    let id = words.rsplit("queued as ").next().unwrap().trim().to_owned();
    postfix.await_log(&[&id, "to=<b@example.org>", "status=sent"]);
    service.stop();
}
