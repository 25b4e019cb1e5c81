//! Login by a proof of the password: what the upstream must show, and what it gets when it does not.

use std::io::{BufRead, BufReader};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::protected::{credential, login};
use super::*;
use crate::config::slice::Auth;

fn offering(mechanisms: &str) -> Options {
    Options { login: login(), mechanisms: mechanisms.into(), ..Options::default() }
}

fn logging_in(port: u16, password: &str, auth: Auth) -> Bench {
    let login = Some(Credential::new("gate".into(), Secret::new(password.into()), auth).into());
    Bench::start(&one(port), Settings { login, ..settings_for(&one(port)) })
}

#[test]
fn rule_u5_scram_is_preferred_and_its_keys_serve_for_the_next_login() {
    let (sink, port) = sink(offering("PLAIN LOGIN SCRAM-SHA-256"));
    let patience = Patience { idle: Duration::ZERO, ..Patience::default() };
    let settings = Settings { login: credential("sesame"), patience, ..settings_for(&one(port)) };
    let mut bench = Bench::start(&one(port), settings);
    for connections in 1..3 {
        assert_eq!(bench.deliver(&["a@b.test"]).word(), "delivered 250");
        assert_eq!(sink.next(PATIENCE).unwrap().authenticated.as_deref(), Some("gate"));
        eventually("the connection is left", || sink.tally().commands.last().is_some_and(|last| last == "QUIT"));
        let tally = sink.tally();
        assert_eq!((tally.connections, tally.mechanisms), (connections, vec!["SCRAM-SHA-256".to_owned(); connections]));
    }
}

#[test]
fn rule_u5_a_mechanism_that_was_asked_for_is_the_only_one() {
    for (auth, offered, used) in [
        (Auth::Plain, "SCRAM-SHA-256 PLAIN", Some("PLAIN")),
        (Auth::Login, "SCRAM-SHA-256 PLAIN LOGIN", Some("LOGIN")),
        (Auth::ScramSha256, "SCRAM-SHA-256 PLAIN", Some("SCRAM-SHA-256")),
        (Auth::ScramSha256, "PLAIN LOGIN", None),
        (Auth::Plain, "LOGIN", None),
    ] {
        let (sink, port) = sink(offering(offered));
        let ending = logging_in(port, "sesame", auth).deliver(&["a@b.test"]);
        assert_eq!(ending.word(), if used.is_some() { "delivered 250" } else { "route" }, "{auth:?} {ending:?}");
        assert_eq!(sink.tally().mechanisms.first().map(String::as_str), used);
    }
}

#[test]
fn rule_u5_a_refused_proof_is_the_routes_failure_and_no_password_follows_it() {
    let (sink, port) = sink(offering("PLAIN SCRAM-SHA-256"));
    let ending = logging_in(port, "wrong-sesame", Auth::Auto).deliver(&["a@b.test"]);
    let reason = ending.reason();
    assert!(reason.contains("AUTH SCRAM-SHA-256: 535 5.7.8") && !reason.contains("sesame"), "{reason}");
    assert_eq!(sink.tally().mechanisms, ["SCRAM-SHA-256"]);
}

/// An upstream that offers SCRAM and PLAIN and answers what the client says in AUTH by these lines, whose `NONCE` is the client's.
/// Gives all that it was told.
fn impostor(answers: Vec<String>) -> (thread::JoinHandle<String>, u16) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let serving = thread::spawn(move || {
        let (mut socket, _) = listener.accept().unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut lines = BufReader::new(socket.try_clone().unwrap()).lines();
        let mut heard = String::new();
        let mut hear = || {
            let line = lines.next().and_then(Result::ok).unwrap_or_default();
            heard += &format!("{line}\n");
            line
        };
        socket.write_all(b"220 impostor\r\n").unwrap();
        hear();
        socket.write_all(b"250-impostor\r\n250 AUTH SCRAM-SHA-256 PLAIN\r\n").unwrap();
        let first = STANDARD.decode(hear().rsplit_once(' ').unwrap().1).unwrap();
        let nonce = String::from_utf8(first).unwrap().rsplit_once("r=").unwrap().1.to_owned();
        for answer in answers {
            let answer = match answer.strip_prefix("334 ") {
                Some(text) => format!("334 {}", STANDARD.encode(text.replace("NONCE", &nonce))),
                None => answer,
            };
            socket.write_all(format!("{answer}\r\n").as_bytes()).unwrap();
            hear();
        }
        heard
    });
    (serving, port)
}

#[test]
fn rule_u5_who_does_not_show_that_it_knows_the_password_gets_no_message() {
    let asked = "334 r=NONCEx,s=AAAA,i=4096";
    let forged = format!("334 v={}", STANDARD.encode([7; 32]));
    let cases: [(&[&str], &str); 9] = [
        (&["235 2.7.0 welcome"], "235"),
        (&["334 r=other,s=AAAA,i=4096"], "not of this login"),
        (&["334 r=NONCE,s=AAAA,i=4096"], "not of this login"),
        (&["334 r=NONCEx,s=AAAA,i=1"], "fewer than 4096"),
        (&["334 r=NONCEx,s=AAAA,i=4000000000"], "more than 1000000"),
        (&[asked, "235 2.7.0 welcome"], "did not show that it knows"),
        (&[asked, &forged, "235 2.7.0 welcome"], "it is not who it pretends to be"),
        (&[asked, "334 e=other\u{1b}-error"], r"it says e=other\u{1b}-error"),
        (&[asked, "334 v="], "it is not who it pretends to be"),
    ];
    for (answers, why) in cases {
        let (serving, port) = impostor(answers.iter().map(|answer| (*answer).to_owned()).collect());
        let ending = logging_in(port, "sesame", Auth::Auto).deliver(&["a@b.test"]);
        assert!(ending.reason().contains("AUTH SCRAM-SHA-256: ") && ending.reason().contains(why), "{ending:?}");
        let heard = serving.join().unwrap();
        assert!(!heard.contains("MAIL") && !heard.contains("PLAIN"), "{heard}");
        assert!(!heard.contains(&STANDARD.encode("sesame")), "{heard}");
    }
}

#[test]
fn rule_q3_a_proof_that_is_refused_within_the_exchange_is_a_refused_login() {
    for (error, is_login) in
        [("invalid-proof", true), ("unknown-user,x", true), ("other-error", false), ("invalid-proofs", false)]
    {
        let answers = vec!["334 r=NONCEx,s=AAAA,i=4096".to_owned(), format!("334 e={error}")];
        let (serving, port) = impostor(answers);
        let ending = logging_in(port, "sesame", Auth::Auto).deliver(&["a@b.test"]);
        assert_eq!(matches!(ending, Ending::LoginRefused(_)), is_login, "{error}: {ending:?}");
        serving.join().unwrap();
    }
}
