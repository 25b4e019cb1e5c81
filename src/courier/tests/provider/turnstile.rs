//! Asking Turnstile over real sockets: what is posted, whom it is believed to be, and what is made of its answers.

use std::net::IpAddr;

use super::super::*;
use super::{Act, server, status};
use crate::config::slice::TurnstileSlice;
use crate::courier::turnstile::Settings as Site;
use crate::ipc::token::Token;
use crate::ipc::turnstile::{Answer, Ask, Reply};

const SECRET: &str = "0x4AAA-the-site's secret";
const TOKEN: &str = "0.a-token_of+a/visitor";

/// The vault's end of the courier of Turnstile.
struct Asking {
    bench: Bench,
    stream: UnixStream,
    inbox: Inbox,
}

impl Asking {
    fn start(port: u16, connector: Option<TlsConnector>) -> Self {
        let tls = connector.is_some();
        let slice = TurnstileSlice { host: "turnstile.test".into(), port, tls, prefix: "/base".into() };
        let site = Site::new(slice, connector, Secret::new(SECRET.to_owned()));
        let mut bench = Bench::with(Business::Turnstile(site));
        bench.attach_dialer(&vec![("turnstile.test".to_owned(), port)], Ipv4Addr::LOCALHOST);
        let (stream, theirs) = UnixStream::pair().unwrap();
        bench.control().send(&Order::Peer(peer(Talk::Turnstile)), Some(theirs.as_fd())).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { bench, stream, inbox: Inbox::default() }
    }

    fn show(&mut self, ticket: u64, address: Option<IpAddr>) {
        let mut out = Outbox::default();
        out.push(&Ask::Verify { ticket, token: Token::new(TOKEN).unwrap(), address }).unwrap();
        self.stream.write_all(&out.bytes).unwrap();
    }

    /// The next answer; none when the courier has closed.
    fn hear(&mut self) -> Option<Reply> {
        let mut buffer = [0; 16 * 1024];
        loop {
            if let Some(reply) = self.inbox.take().unwrap() {
                return Some(reply);
            }
            match self.stream.read(&mut buffer).unwrap() {
                0 => return None,
                read => self.inbox.feed(&buffer[..read]),
            }
        }
    }

    fn ask(&mut self) -> Answer {
        self.show(7, Some("192.0.2.7".parse().unwrap()));
        let Reply { ticket: 7, answer } = self.hear().unwrap() else { panic!("of another") };
        answer
    }
}

fn failed(answer: Answer) -> String {
    let Answer::Failed { reason } = answer else { panic!("{answer:?}") };
    assert!(!reason.contains("visitor") && !reason.contains("0x4AAA"), "{reason}");
    reason
}

/// The value of a member of a form.
fn member<'f>(form: &'f str, name: &str) -> Option<&'f str> {
    form.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
}

const GOOD: &str = r#"{"success":true,"challenge_ts":"2026-11-28T12:00:00Z","hostname":"www.example.net","action":"contact","cdata":"","error-codes":[],"metadata":{"x":1}}"#;

#[test]
fn a_token_is_asked_of_with_the_secret_and_where_it_was_solved_is_told() {
    let (bundle, config) = protected::certified(&["turnstile.test"]);
    let bare = r#"{"success":true}"#;
    let (port, told) = server(vec![status("200 OK", GOOD), status("200 OK", bare)], Some(config));
    let mut asking = Asking::start(port, Some(tls::connector(bundle.as_bytes()).unwrap()));
    let solved = |hostname: &str, action: &str| Answer::Solved { hostname: hostname.into(), action: action.into() };
    assert_eq!(asking.ask(), solved("www.example.net", "contact"));
    asking.show(8, None);
    assert_eq!(asking.hear(), Some(Reply { ticket: 8, answer: solved("", "") }));
    let (head, body) = told.recv_timeout(PATIENCE).unwrap();
    assert!(head.starts_with("post /base/turnstile/v0/siteverify http/1.1\r\n"), "{head}");
    assert!(head.contains("content-type: application/x-www-form-urlencoded\r\n"), "{head}");
    let body = String::from_utf8(body).unwrap();
    assert_eq!(member(&body, "secret"), Some("0x4AAA-the-site%27s+secret"));
    assert_eq!(member(&body, "response"), Some("0.a-token_of%2Ba%2Fvisitor"));
    assert_eq!(member(&body, "remoteip"), Some("192.0.2.7"));
    let id: uuid::Uuid = member(&body, "idempotency_key").unwrap().parse().unwrap();
    let (_, second) = told.recv_timeout(PATIENCE).unwrap();
    let second = String::from_utf8(second).unwrap();
    assert_eq!(member(&second, "remoteip"), None);
    assert_ne!(member(&second, "idempotency_key").unwrap().parse(), Ok(id), "each question has its own");
}

#[test]
fn each_answer_means_what_its_table_says() {
    let no = |codes: &str| status("200 OK", &format!("{{\"success\":false,\"error-codes\":[{codes}]}}"));
    let refused = |codes: &str| Some(Answer::Refused { codes: codes.into() });
    let unknown = |codes: &str| Some(Answer::Unknown { codes: codes.into() });
    let long = format!("{{\"success\":true,\"cdata\":\"{}\"}}", "x".repeat(64 * 1024));
    for (act, expected) in [
        (no("\"timeout-or-duplicate\""), refused("timeout-or-duplicate")),
        (no("\"invalid-input-response\""), refused("invalid-input-response")),
        (no("\"missing-input-response\""), refused("missing-input-response")),
        // What it says of the secret is not to be blamed on a visitor, whatever else it says.
        (
            no("\"invalid-input-response\",\"invalid-input-secret\""),
            unknown("invalid-input-response invalid-input-secret"),
        ),
        (no("\"missing-input-secret\""), unknown("missing-input-secret")),
        (
            status("400 Bad", "{\"success\":false,\"error-codes\":[\"invalid-input-secret\"]}"),
            unknown("invalid-input-secret"),
        ),
        // Nobody can say.
        (no("\"bad-request\""), None),
        (no("\"0.a-token_of+a/visitor\""), None),
        (no(""), None),
        (status("403 No", GOOD), None),
        (status("301 Moved\r\nLocation: http://127.0.0.1:1/", GOOD), None),
        (status("200 OK", "<html>0.a-token_of+a/visitor</html>"), None),
        (status("200 OK", "{\"success\":\"true\"}"), None),
        (status("200 OK", "{}"), None),
        (status("200 OK", "[true]"), None),
        (status("200 OK", &long), None),
        (Act::Answer("HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n{\"success\":true}".into()), None),
    ] {
        let (port, _told) = server(vec![act], None);
        let mut asking = Asking::start(port, None);
        match (asking.ask(), expected) {
            (answer, Some(expected)) => assert_eq!(answer, expected),
            (answer, None) => assert!(failed(answer).starts_with("turnstile.test: ")),
        }
        assert_eq!(asking.bench.dials().len(), 1, "what was answered is not asked again");
    }
}

#[test]
fn what_had_no_answer_is_asked_once_more_by_the_same_name_and_then_nobody_can_say() {
    let internal = "{\"success\":false,\"error-codes\":[\"internal-error\"]}";
    let away = [Act::Leave(usize::MAX), status("503 Away", ""), status("200 OK", internal)];
    for act in away {
        let (port, told) = server(vec![act.clone(), status("200 OK", GOOD)], None);
        let mut asking = Asking::start(port, None);
        assert!(matches!(asking.ask(), Answer::Solved { .. }));
        let id = |(_, body): (String, Vec<u8>)| {
            member(&String::from_utf8(body).unwrap(), "idempotency_key").unwrap().to_owned()
        };
        let ids = [(); 2].map(|()| id(told.recv_timeout(PATIENCE).unwrap()));
        assert_eq!(ids[0], ids[1], "or its answer would be that the token was shown before");
        let (port, _told) = server(vec![act.clone(), act], None);
        let mut asking = Asking::start(port, None);
        failed(asking.ask());
        assert_eq!(asking.bench.dials().len(), 2);
    }
    let nobody = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
    assert!(failed(Asking::start(nobody, None).ask()).contains("refused"));
}

#[test]
fn who_is_slow_is_given_five_seconds_in_all_and_holds_up_no_other() {
    let (port, _told) = server(vec![Act::Hang, Act::Hang], None);
    let mut asking = Asking::start(port, None);
    let begun = Instant::now();
    let why = failed(asking.ask());
    let took = begun.elapsed();
    assert!(
        why.contains("within 5 s") && took >= Duration::from_secs(4) && took < Duration::from_secs(8),
        "{why} {took:?}"
    );
}

#[test]
fn rule_u4_who_has_the_certificate_of_another_is_shown_neither_token_nor_secret() {
    let (bundle, config) = protected::certified(&["other.test"]);
    let (port, told) = server(vec![status("200 OK", GOOD), status("200 OK", GOOD)], Some(config));
    let mut asking = Asking::start(port, Some(tls::connector(bundle.as_bytes()).unwrap()));
    assert!(failed(asking.ask()).contains("TLS: "));
    assert!(told.try_recv().is_err());
}

#[test]
fn a_courier_that_drains_answers_what_it_was_asked_and_ends() {
    let (port, _told) = server(vec![status("200 OK", GOOD)], None);
    let mut asking = Asking::start(port, None);
    asking.bench.control().send(&Order::Drain, None).unwrap();
    // It was on its way already.
    assert!(matches!(asking.ask(), Answer::Solved { .. }));
    assert_eq!(asking.hear(), None);
    asking.bench.join().unwrap();
}
