//! Claims: a courier that is killed in any phase of a delivery loses no message and doubles none: before the dot, or the last chunk,
//! it costs no attempt, and behind it the log says that nobody knows. One has as many messages under way as it is given connections.

mod support;

use std::fs;
use std::io::Write;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::thread;
use std::time::Duration;

use gatepost::ipc::delivery::MAX_SLOTS;
use gatepost::sink::{Act, Options, Phase, Sink};
use nix::sys::signal::Signal;
use support::{PATIENCE, Pair, Service, Setting, await_that, processes};

const PASSWORD: &str = "under the mat";

/// An upstream with TLS and a login that stops in this phase, once, and whether it did.
fn upstream(pair: &Pair, stops_at: Phase, chunking: bool) -> (Sink, u16, Arc<AtomicBool>) {
    let stopped = Arc::new(AtomicBool::new(false));
    let shared = Arc::clone(&stopped);
    let whim = move |phase| (phase == stops_at && !shared.swap(true, Ordering::SeqCst)).then_some(Act::Hang);
    let keywords = ["PIPELINING", "8BITMIME", "CHUNKING"].into_iter().take(if chunking { 3 } else { 2 });
    let options = Options {
        keywords: keywords.map(str::to_owned).collect(),
        tls: Some(pair.server()),
        login: Some(("gate".into(), PASSWORD.into())),
        whim: Some(Arc::new(whim)),
        ..Options::default()
    };
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    (Sink::start(listener, options), port, stopped)
}

fn towards(pair: &Pair, port: u16) -> Service {
    let folder = tempfile::Builder::new().prefix("gatepost-test-").tempdir().unwrap();
    let at = folder.path().display().to_string();
    fs::write(folder.path().join("trusted.pem"), &pair.certificate).unwrap();
    fs::write(folder.path().join("secret"), PASSWORD).unwrap();
    fs::set_permissions(folder.path().join("secret"), fs::Permissions::from_mode(0o600)).unwrap();
    let upstream = format!(
        "tls = \"starttls\"\nusername = \"gate\"\npassword_file = \"{at}/secret\"\nauthorities_file = \"{at}/trusted.pem\""
    );
    let (host, more) = (Some(format!("localhost:{port}")), "[spool]\nretry = [\"1s\"]".into());
    Service::start_in(folder, &Setting { host, upstream, more, ..Setting::default() })
}

/// How many events there are of that name, and of its first one the text.
fn events(service: &Service, name: &str) -> (usize, String) {
    let output = service.command(&["audit", "query", "--event", name, "--json"]);
    let text = String::from_utf8(output.stdout).unwrap();
    (text.lines().count(), text.lines().next().unwrap_or_default().to_owned())
}

#[test]
fn rule_u10_rule_q7_a_courier_that_is_killed_in_any_phase_loses_and_doubles_nothing() {
    let envelope = [Phase::Connect, Phase::Greeting, Phase::Ehlo, Phase::Starttls, Phase::Handshake, Phase::Auth];
    let transaction = [Phase::Mail, Phase::Rcpt];
    let both = envelope.into_iter().chain(transaction).map(|phase| (phase, false));
    let ends =
        [(Phase::Data, false), (Phase::Dot, false), (Phase::Mail, true), (Phase::Chunk, true), (Phase::Dot, true)];
    // Far more than is under way at once, so that it isn't whole at the courier.
    let long = "0123456789\r\n".repeat(300_000);
    for (phase, chunking) in both.chain(ends) {
        let pair = Pair::ecdsa();
        let (sink, port, stopped) = upstream(&pair, phase, chunking);
        let service = towards(&pair, port);
        let secret = service.add_credential();
        let mut session = service.log_in(&secret);
        assert_eq!(session.say("MAIL FROM:<a@example.net>"), 250);
        assert_eq!(session.say("RCPT TO:<b@example.org>"), 250);
        assert_eq!(session.say("DATA"), 354);
        let body = if phase == Phase::Chunk { &long } else { "x\r\n" };
        session.stream().write_all(format!("From: a@example.net\r\nSubject: once\r\n\r\n{body}").as_bytes()).unwrap();
        assert_eq!(session.say("."), 250);
        await_that("the upstream has stopped", || stopped.load(Ordering::SeqCst));
        processes::signal(processes::child(service.pid(), "courier sink"), Signal::SIGKILL);
        let arrived = sink.next(PATIENCE).unwrap_or_else(|| panic!("{phase:?} {chunking}\n{}", service.log()));
        assert!(String::from_utf8_lossy(&arrived.content).ends_with(body), "{phase:?} {chunking}");
        await_that("its delivery is in the log", || events(&service, "deliver.success").0 == 1);
        let (_, success) = events(&service, "deliver.success");
        let is_charged = phase == Phase::Dot;
        assert_eq!(events(&service, "deliver.unknown").0, usize::from(is_charged), "{phase:?} {chunking}");
        assert_eq!(events(&service, "deliver.defer").0, 0, "{phase:?} {chunking}");
        let attempt = format!("\"attempt\":{}", if is_charged { 2 } else { 1 });
        assert!(success.replace("\\\"", "\"").contains(&attempt), "{phase:?} {chunking}: {success}");
        assert_eq!(sink.next(Duration::from_millis(200)), None, "{phase:?} {chunking}: it came twice");
        service.stop();
    }
}

#[test]
fn an_upstream_has_as_many_messages_at_once_as_it_may_be_given_connections() {
    let (waiting, may_go) = (Arc::new(AtomicU16::new(0)), Arc::new(AtomicBool::new(false)));
    let (count, open) = (Arc::clone(&waiting), Arc::clone(&may_go));
    let whim = move |phase| {
        if phase == Phase::Dot {
            count.fetch_add(1, Ordering::SeqCst);
            while !open.load(Ordering::SeqCst) {
                thread::sleep(Duration::from_millis(20));
            }
        }
        None
    };
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let sink = Sink::start(listener, Options { whim: Some(Arc::new(whim)), ..Options::default() });
    let service = Service::start_with(&Setting {
        host: Some(format!("127.0.0.1:{port}")),
        upstream: format!("tls = \"none\"\nconnections = {MAX_SLOTS}"),
        // Fewer than the connections: the limit of open files goes by these, too.
        limits: "sessions = 20\nstrangers = 10".into(),
        ..Setting::default()
    });
    let secret = service.add_credential();
    let mut session = service.log_in(&secret);
    for _ in 0..MAX_SLOTS {
        assert_eq!(session.say("MAIL FROM:<a@example.net>"), 250);
        assert_eq!(session.say("RCPT TO:<b@example.org>"), 250);
        assert_eq!(session.say("DATA"), 354);
        assert_eq!(session.say("From: a@example.net\r\n\r\nx\r\n."), 250);
    }
    await_that("all of them wait for the upstream's answer", || waiting.load(Ordering::SeqCst) == MAX_SLOTS);
    may_go.store(true, Ordering::SeqCst);
    for _ in 0..MAX_SLOTS {
        sink.next(PATIENCE).unwrap_or_else(|| panic!("{}", service.log()));
    }
    service.stop();
}
