//! Claim: an operator sees the sessions that were asked for, line by line while they happen, and never a secret; nobody who is
//! not followed is told of; and the audit log has who followed whom.

mod support;

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStderr, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use support::smtp::trusting;
use support::{CREDENTIAL, PATIENCE, Service, Setting, Smtp, gatepost};

/// A trace that runs.
struct Trace {
    process: Child,
    lines: Receiver<String>,
    err: BufReader<ChildStderr>,
    seen: String,
}

impl Trace {
    /// The service knows of it by the time that this comes back.
    fn begin(service: &Service, words: &[&str]) -> Self {
        let mut command = gatepost();
        command.arg("trace").args(words).arg("--config").arg(service.config());
        let mut process = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let out = BufReader::new(process.stdout.take().unwrap());
        let mut err = BufReader::new(process.stderr.take().unwrap());
        let mut line = String::new();
        err.read_line(&mut line).unwrap();
        assert!(line.contains("following sessions"), "{line}");
        let (tell, lines) = channel();
        std::thread::spawn(move || out.lines().map_while(Result::ok).try_for_each(|line| tell.send(line)));
        Self { process, lines, err, seen: String::new() }
    }

    /// The next line; none when it has ended.
    fn line(&mut self) -> Option<String> {
        match self.lines.recv_timeout(PATIENCE) {
            Ok(line) => {
                self.seen += &line;
                self.seen.push('\n');
                Some(line)
            }
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => panic!("nothing behind {}", self.seen),
        }
    }

    /// Lines up to one that ends like this, without their times and sessions.
    fn until(&mut self, end: &str) -> Vec<String> {
        let mut all = Vec::new();
        loop {
            let line = self.line().unwrap_or_else(|| panic!("no {end:?} in {all:#?}"));
            all.push(line.splitn(3, ' ').nth(2).unwrap().to_owned());
            if line.ends_with(end) {
                return all;
            }
        }
    }

    /// Does something again and again until the first line of it is there: the edges know by then, too.
    fn await_line(&mut self, mut again: impl FnMut()) -> String {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            again();
            if let Ok(line) = self.lines.recv_timeout(Duration::from_millis(100)) {
                return line;
            }
        }
        panic!("nobody was followed");
    }

    /// Ctrl-C. Gives all that was printed, on both.
    fn end(mut self) -> String {
        kill(Pid::from_raw(i32::try_from(self.process.id()).unwrap()), Signal::SIGINT).unwrap();
        self.ended()
    }

    fn ended(&mut self) -> String {
        while self.line().is_some() {}
        let mut words = String::new();
        while self.err.read_line(&mut words).unwrap() > 0 {}
        assert!(self.process.wait().unwrap().success(), "{words}");
        self.seen.clone() + &words
    }
}

/// None of the forms in which a secret is said.
fn insist_on_none(secrets: &[&str], shown: &str) {
    for secret in secrets {
        let bearer = |user: &str| STANDARD.encode(format!("n,{user},\x01auth=Bearer {secret}\x01\x01"));
        let forms = [(*secret).to_owned(), STANDARD.encode(secret), support::smtp::plain(secret), bearer("a=tester")];
        for form in forms {
            assert!(!shown.contains(form.trim_end_matches('=')), "{form} in {shown}");
        }
    }
}

const MESSAGE: [(&str, u16); 3] = [("MAIL FROM:<a@example.net>", 250), ("RCPT TO:<b@example.org>", 250), ("DATA", 354)];

#[test]
fn rule_a18_an_operator_sees_the_sessions_of_one_credential_and_none_of_its_secrets() {
    let listener = "mechanisms = [\"PLAIN\", \"LOGIN\", \"OAUTHBEARER\"]".to_owned();
    let service = Service::start_with(&Setting { listener, ..Setting::default() });
    let secret = service.add_credential();
    let other = service.command(&["credential", "add", "other", "--sender", "@example.net"]);
    let other = String::from_utf8(other.stdout).unwrap().lines().last().unwrap().to_owned();
    let mut trace = Trace::begin(&service, &["--credential", CREDENTIAL]);
    let mut all = Trace::begin(&service, &["--address", "127.0.0.0/8", "--json"]);

    all.await_line(|| {
        let mut short = service.connect();
        assert_eq!((short.code(), short.say("QUIT")), (220, 221));
    });

    // Another's session, beside it all the time.
    let mut beside = service.connect().secure(&trusting(&service.pair));
    assert_eq!(beside.say(&format!("AUTH PLAIN {}", STANDARD.encode(format!("\0other\0{other}")))), 235);

    let mut session = service.connect().secure(&trusting(&service.pair));
    assert_eq!(session.say("AUTH LOGIN"), 334);
    assert_eq!(session.say(&STANDARD.encode(CREDENTIAL)), 334);
    assert_eq!(session.say(&STANDARD.encode("a wrong guess")), 535);
    assert_eq!(session.say("AUTH LOGIN"), 334);
    assert_eq!(session.say(&STANDARD.encode(CREDENTIAL)), 334);
    assert_eq!(session.say(&STANDARD.encode(&secret)), 235);
    for (line, code) in MESSAGE {
        assert_eq!(beside.say(line), code);
        assert_eq!(session.say(line), code);
    }
    assert_eq!(session.say(&format!("From: a@example.net\r\n\r\nkey: {secret}\r\n.")), 250);
    // A password at the wrong time.
    assert_eq!(session.say(&secret), 500);
    assert_eq!(session.say("QUIT"), 221);
    let lines = trace.until("-- over");
    let kept = lines.iter().find_map(|line| line.strip_prefix("S: 250 2.0.0 kept as ")).unwrap().to_owned();
    let (met, rest) = lines.split_first().unwrap();
    assert!(
        met.starts_with("-- session ") && met.contains(" from 127.0.0.1:") && met.ends_with(" at submission"),
        "{met}"
    );
    let octets = format!("From: a@example.net\r\n\r\nkey: {secret}\r\n").len();
    assert_eq!(
        rest.join("\n").replace(&kept, "ID"),
        format!(
            "C: AUTH LOGIN
S: 535 5.7.8 authentication credentials invalid
C: AUTH LOGIN
S: 334 [hidden]
C: [hidden]
S: 334 [hidden]
C: [hidden]
-- logged in as tester
S: 235 2.7.0 welcome
C: MAIL FROM:<a@example.net>
S: 250 2.1.0 sender ok
C: RCPT TO:<b@example.org>
S: 250 2.1.5 recipient ok
C: DATA
S: 354 end with a line that is a single dot
C: [{octets} octets of content]
S: 250 2.0.0 kept as ID
C: [a line of {} octets that is no command]
S: 500 5.5.2 unknown command
C: QUIT
S: 221 2.0.0 goodbye
-- over",
            secret.len()
        )
    );

    // A key that names its credential itself, and a login in one round.
    let mut session = service.connect().secure(&trusting(&service.pair));
    let token = STANDARD.encode(format!("n,,\x01auth=Bearer {secret}\x01\x01"));
    assert_eq!(session.say(&format!("AUTH OAUTHBEARER {token}")), 235);
    drop(session);
    let bearer = trace.until("-- over");
    assert_eq!(bearer[1..4], ["C: AUTH OAUTHBEARER", "-- logged in as tester", "S: 235 2.7.0 welcome"], "{bearer:#?}");
    let mut session = service.connect().secure(&trusting(&service.pair));
    assert_eq!(session.log_in(&secret), 235);
    drop(session);
    trace.until("-- over");
    drop(beside);

    let followed = trace.end();
    assert!(!followed.contains("other"), "{followed}");
    let (mut objects, mut over): (Vec<Value>, _) = (Vec::new(), 0);
    let of = |objects: &[Value], kind: &str| -> Vec<String> {
        let those = objects.iter().filter(|object| object["kind"] == kind);
        those.map(|object| object["session"].as_str().unwrap().to_owned()).collect()
    };
    while over < 4 {
        objects.push(serde_json::from_str(&all.line().expect("it goes on")).unwrap());
        let ended = of(&objects, "over");
        over = of(&objects, "login").iter().filter(|session| ended.contains(session)).count();
    }
    let first = of(&objects, "login").swap_remove(0);
    let first: Vec<&Value> = objects.iter().filter(|object| object["session"] == first.as_str()).collect();
    let kinds: Vec<_> = first.iter().map(|object| object["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds[..2], ["session", "server"]);
    assert_eq!(first[0]["listener"], "submission");
    let text = |kind: &str, begin: &str| {
        first.iter().any(|o| o["kind"] == kind && o["text"].as_str().is_some_and(|text| text.starts_with(begin)))
    };
    assert!(
        text("server", "220 gate.test.example ESMTP") && text("client", "STARTTLS") && text("stage", "TLS: TLSv1.3")
    );
    assert!(text("client", "AUTH PLAIN [hidden]") && first.iter().any(|o| o["credential"] == "other"));
    let shown = all.end();
    insist_on_none(&[&secret, &other, "a wrong guess"], &(followed + &shown));

    let trail = service.command(&["audit", "query", "--json"]);
    let trail = String::from_utf8(trail.stdout).unwrap();
    let told = |words: &[&str]| trail.lines().any(|line| words.iter().all(|word| line.contains(word)));
    assert!(told(&["trace.begin", "\"tester\"", "uid "]) && told(&["trace.end", "\"tester\"", "lines"]), "{trail}");
    assert!(told(&["trace.begin", "127.0.0.0/8"]), "{trail}");
    assert!(!trail.contains("ipc.violation") && service.command(&["audit", "verify"]).status.success());
    service.stop();
}

#[test]
fn a_trace_ends_by_itself_and_says_why_it_can_not_begin() {
    let service = Service::start();
    service.add_credential();
    let refused = |words: &[&str], why: &str| {
        let output = service.command(words);
        assert!(!output.status.success() && output.stdout.is_empty());
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains(why), "{said}");
    };
    refused(&["trace", "--credential", "testr"], "there is no credential \"testr\"");
    refused(&["trace", "--address", "printer"], "is not a network");
    refused(&["trace", "--session", "7"], "not the id of a session: write it as");
    let output = service.command(&["trace", "--for", "1"]);
    assert!(output.status.success() && output.stdout.is_empty());

    // One that comes in the middle of a session sees it from there on, and its end with the service's.
    let mut session = Smtp::connect(service.smtp);
    assert_eq!((session.code(), session.say("EHLO before.example")), (220, 250));
    let mut trace = Trace::begin(&service, &[]);
    let first = trace.await_line(|| assert_eq!(session.say("NOOP"), 250));
    assert!(first.contains("-- session "), "{first}");
    let config = service.config();
    service.stop();
    let shown = trace.ended();
    assert!(!shown.contains("before.example") && shown.contains("S: 421 4.3.2 "), "{shown}");
    assert!(shown.contains("the service stops, and this trace with it"), "{shown}");
    let alone = gatepost().arg("trace").arg("--config").arg(config).output().unwrap();
    assert!(!alone.status.success());
    drop(session);
}

#[test]
fn what_goes_wrong_before_a_login_is_seen_also_by_the_id_of_a_session_and_after_a_reload() {
    let service = Service::start();
    let mut trace = Trace::begin(&service, &["--address", "127.0.0.1"]);
    let mut session = Smtp::connect(service.smtp);
    assert_eq!((session.code(), session.say("EHLO one.example")), (220, 250));
    let first = trace.await_line(|| assert_eq!(session.say("NOOP"), 250));
    let id = first.split(' ').find(|word| word.len() == 36).unwrap().to_owned();
    let mut one = Trace::begin(&service, &["--session", &id]);
    one.await_line(|| assert_eq!(session.say("NOOP"), 250));

    // A client that has never heard of our certificate's issuer, or of TLS.
    let mut garbage = Smtp::connect(service.smtp);
    assert_eq!((garbage.code(), garbage.say("EHLO two.example"), garbage.say("STARTTLS")), (220, 250, 220));
    assert_eq!(garbage.try_say("MAIL FROM:<a@example.net>"), None);
    let lines = trace.until("-- over");
    let failed = lines.iter().position(|line| line.starts_with("-- the TLS handshake failed: "));
    assert!(failed == Some(lines.len() - 2) && lines[lines.len() - 3] == "S: 220 2.0.0 go ahead", "{lines:#?}");

    let before = service.log().len();
    service.signal(Signal::SIGHUP);
    service.await_log(before, "reload done");
    let mut after = service.connect();
    assert_eq!((after.code(), after.say("QUIT")), (220, 221));
    assert!(trace.until("-- over").contains(&"S: 221 2.0.0 goodbye".to_owned()), "{}", trace.seen);
    assert_eq!(session.say("QUIT"), 221);
    one.until("-- over");
    let shown = one.end();
    assert!(shown.contains("S: 221 2.0.0 ") && !shown.contains("two.example") && !shown.contains("TLS"), "{shown}");
    trace.end();
    service.stop();
}
