//! Login by tokens: what the token endpoint is asked, what the upstream is told, and what each of their answers means. Nobody is shown
//! a secret, whoever says it back.

mod endpoints;

use std::io::{BufRead, BufReader};
use std::sync::mpsc::Receiver;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::provider::{Act, serve, server, status};
use super::rehearsals::rehearse;
use super::*;
use crate::config::slice;

/// The dialer's answer to a courier that asks for the token endpoint at this port.
pub fn connect(dialer: &DialerEnd, ticket: u32, claimed: Ipv4Addr, port: u16) -> std::io::Result<()> {
    let Ok(socket) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)) else {
        return dialer.send(&Dialed::Failed { ticket, reasons: vec!["refused".into()] }, None);
    };
    let (host, address) = ("tokens.test".to_owned(), SocketAddr::from((claimed, port)));
    dialer.send(&Dialed::Connected { ticket, index: 0, host, address }, Some(socket.as_fd()))
}

const USER: &str = "gate@x.test";
const CLIENT_SECRET: &str = "cl1ent~s3cret/+";
const REFRESH: &str = "1//0-refresh-me";

/// An upstream that takes these tokens, and notes every line of AUTH, and how many messages it took.
#[derive(Default)]
struct Mailbox {
    mechanisms: &'static str,
    takes: Mutex<Vec<String>>,
    heard: Mutex<Vec<String>>,
    messages: Mutex<usize>,
    /// It ends the session with the refusal.
    leaves: bool,
    /// Its final word about a token that it doesn't take, in which `TOKEN` and `LINE` are what it was told.
    refusal: &'static str,
    /// What it says to RCPT, in the same way.
    rcpt: &'static str,
}

impl Mailbox {
    fn taking(tokens: &[&str]) -> Self {
        let takes = Mutex::new(tokens.iter().map(|token| (*token).to_owned()).collect());
        let (refusal, rcpt) = ("535 5.7.8 no", "250 ok");
        Self { mechanisms: "XOAUTH2 OAUTHBEARER", takes, refusal, rcpt, ..Self::default() }
    }

    fn start(self) -> (Arc<Self>, u16) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let (port, shared) = (listener.local_addr().unwrap().port(), Arc::new(self));
        let mailbox = Arc::clone(&shared);
        thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                let mailbox = Arc::clone(&mailbox);
                thread::spawn(move || mailbox.serve(socket));
            }
        });
        (shared, port)
    }

    fn serve(&self, mut socket: TcpStream) -> Option<()> {
        socket.set_read_timeout(Some(PATIENCE)).ok()?;
        let mut lines = BufReader::new(socket.try_clone().ok()?).lines();
        let mut last = (String::new(), String::new());
        let mut say = |text: &str| socket.write_all(format!("{text}\r\n").as_bytes()).ok();
        say("220 mx")?;
        loop {
            let line = lines.next()?.ok()?;
            let command = line.split(' ').next().unwrap_or_default().to_owned();
            let echo = |text: &str| text.replace("TOKEN", &last.0).replace("LINE", &last.1);
            match command.as_str() {
                "EHLO" => say(&format!("250-mx\r\n250 AUTH {}", self.mechanisms))?,
                "AUTH" => {
                    self.heard.lock().unwrap().push(line.clone());
                    let words: Vec<&str> = line.split(' ').collect();
                    let response = match words.get(2) {
                        Some(response) => (*response).to_owned(),
                        None => {
                            say("334 ")?;
                            let response = lines.next()?.ok()?;
                            self.heard.lock().unwrap().push(response.clone());
                            response
                        }
                    };
                    let expected = |token: &String| STANDARD.encode(shown(words[1], token));
                    if self.takes.lock().unwrap().iter().any(|token| expected(token) == response) {
                        last = (self.takes.lock().unwrap()[0].clone(), response);
                        say("235 2.7.0 welcome")?;
                        continue;
                    }
                    say(&format!("334 {}", STANDARD.encode("{\"status\":\"401\",\"schemes\":\"bearer\"}")))?;
                    self.heard.lock().unwrap().push(lines.next()?.ok()?);
                    let told = String::from_utf8(STANDARD.decode(&response).unwrap()).unwrap();
                    let token = told.split("Bearer ").nth(1).unwrap().trim_end_matches('\x01');
                    say(&self.refusal.replace("TOKEN", token).replace("LINE", &response))?;
                    if self.leaves {
                        return None;
                    }
                }
                "RCPT" => say(&echo(self.rcpt))?,
                "DATA" => {
                    say("354 go on")?;
                    while lines.next()?.ok()? != "." {}
                    *self.messages.lock().unwrap() += 1;
                    say("250 taken")?;
                }
                "QUIT" => return say("221 bye"),
                _ => say("250 ok")?,
            }
        }
    }

    fn heard(&self) -> Vec<String> {
        self.heard.lock().unwrap().clone()
    }
}

/// What stands in the base64, octet by octet.
fn shown(mechanism: &str, token: &str) -> String {
    match mechanism {
        "XOAUTH2" => format!("user={USER}\x01auth=Bearer {token}\x01\x01"),
        _ => format!("n,a={USER},\x01auth=Bearer {token}\x01\x01"),
    }
}

fn slice(grant: Grant, port: u16) -> Oauth2Slice {
    Oauth2Slice {
        bearer: slice::Bearer::Xoauth2,
        grant,
        host: "tokens.test".into(),
        port,
        tls: false,
        path: "/token?a=b".into(),
        client_id: "gate way".into(),
        client_secret: true,
        scope: Some("https://mail.test/ x".into()),
    }
}

fn tokens(slice: Oauth2Slice) -> Tokens {
    let refresh_token = (slice.grant == Grant::RefreshToken).then(|| Secret::new(REFRESH.to_owned()));
    let client_secret = Some(Secret::new(CLIENT_SECRET.to_owned()));
    Tokens::new(tokens::Settings { slice, connector: None, client_secret, refresh_token })
}

/// A courier of this upstream, whose endpoint does this, and what that is asked.
fn bench(mailbox: u16, acts: Vec<Act>) -> (Bench, Receiver<(String, Vec<u8>)>) {
    let (port, told) = server(acts, None);
    (bench_with(mailbox, tokens(slice(Grant::RefreshToken, port)), port), told)
}

fn bench_with(mailbox: u16, tokens: Tokens, port: u16) -> Bench {
    bench_by(mailbox, slice::Bearer::Xoauth2, tokens, port)
}

fn bench_by(mailbox: u16, mechanism: slice::Bearer, tokens: Tokens, port: u16) -> Bench {
    let login = Some(Login::Token(Box::new(Bearer::new(USER.into(), mechanism, tokens))));
    // A connection for each message, so that each is logged in for.
    let settings = Settings { login, messages: 1, connections: 3, ..settings_for(&one(mailbox)) };
    let mut bench = Bench::without_dialer(settings);
    bench.attach_dialer_with(&one(mailbox), Ipv4Addr::LOCALHOST, Some(port));
    bench
}

fn given(token: &str, more: &str) -> Act {
    status("200 OK", &format!("{{\"access_token\":\"{token}\",\"token_type\":\"Bearer\"{more}}}"))
}

fn hour(token: &str) -> Act {
    given(token, ",\"expires_in\":3600")
}

#[test]
fn rule_u5_a_token_is_asked_for_by_either_grant_and_shown_octet_by_octet() {
    for (grant, form) in [
        (
            Grant::RefreshToken,
            "grant_type=refresh_token&client_id=gate+way&client_secret=cl1ent%7Es3cret%2F%2B&refresh_token=1%2F%2F0-refresh-me&scope=https%3A%2F%2Fmail.test%2F+x",
        ),
        (
            Grant::ClientCredentials,
            "grant_type=client_credentials&client_id=gate+way&client_secret=cl1ent%7Es3cret%2F%2B&scope=https%3A%2F%2Fmail.test%2F+x",
        ),
    ] {
        let (mailbox, mail) = Mailbox::taking(&["t0ken"]).start();
        let (port, told) = server(vec![hour("t0ken")], None);
        let mut bench = bench_with(mail, tokens(slice(grant, port)), port);
        for _ in 0..2 {
            assert_eq!(bench.deliver(&["a@b.test"]).word(), "delivered 250");
        }
        let (head, body) = told.recv().unwrap();
        assert!(head.starts_with("post /token?a=b http/1.1\r\n"), "{head}");
        assert!(head.contains("\r\ncontent-type: application/x-www-form-urlencoded\r\n"), "{head}");
        assert!(
            head.contains(&format!("\r\nhost: tokens.test:{port}\r\n")) && !head.contains("authorization"),
            "{head}"
        );
        assert_eq!(String::from_utf8(body).unwrap(), form);
        let line = format!("AUTH XOAUTH2 {}", STANDARD.encode(shown("XOAUTH2", "t0ken")));
        // One token for two logins.
        assert_eq!(mailbox.heard(), [line.clone(), line]);
        assert!(told.recv().is_err(), "it was asked twice");
    }
}

#[test]
fn rule_u5_oauthbearer_is_shown_where_it_was_asked_for_and_nothing_else_is_tried() {
    let (mailbox, mail) = Mailbox::taking(&["t0ken"]).start();
    let (port, _told) = server(vec![hour("stale"), hour("t0ken")], None);
    let mut bench = bench_by(mail, slice::Bearer::Oauthbearer, tokens(slice(Grant::RefreshToken, port)), port);
    assert_eq!(bench.deliver(&["a@b.test"]).word(), "delivered 250");
    let line = |token| format!("AUTH OAUTHBEARER {}", STANDARD.encode(shown("OAUTHBEARER", token)));
    // RFC 7628 section 3.2.3: a single ^A acknowledges the reason.
    assert_eq!(mailbox.heard(), [line("stale"), "AQ==".to_owned(), line("t0ken")]);
    let unoffered = Mailbox { mechanisms: "PLAIN LOGIN OAUTHBEARER", ..Mailbox::taking(&["t0ken"]) };
    let (mailbox, mail) = unoffered.start();
    let (mut bench, _told) = self::bench(mail, vec![hour("t0ken")]);
    let ending = bench.deliver(&["a@b.test"]);
    assert!(ending.reason().contains("does not offer XOAUTH2, which auth asks for"), "{ending:?}");
    assert!(mailbox.heard().is_empty());
}

#[test]
fn a_token_too_long_for_one_line_is_shown_in_a_line_of_its_own() {
    let long = "t".repeat(2000);
    let (mailbox, mail) = Mailbox::taking(&[&long]).start();
    let (mut bench, _told) = bench(mail, vec![hour(&long)]);
    assert_eq!(bench.deliver(&["a@b.test"]).word(), "delivered 250");
    assert_eq!(mailbox.heard(), ["AUTH XOAUTH2".to_owned(), STANDARD.encode(shown("XOAUTH2", &long))]);
}

#[test]
fn a_token_that_has_ended_is_asked_for_anew_by_the_newest_refresh_token() {
    let (mailbox, mail) = Mailbox::taking(&["first", "second"]).start();
    let acts = vec![given("first", ",\"expires_in\":\"1\",\"refresh_token\":\"newer\""), hour("second")];
    let (mut bench, told) = bench(mail, acts);
    assert_eq!(bench.deliver(&["a@b.test"]).word(), "delivered 250");
    // It was said to last a second, and is used for half of it.
    thread::sleep(Duration::from_millis(600));
    assert_eq!(bench.deliver(&["a@b.test"]).word(), "delivered 250");
    let bodies: Vec<String> = told.iter().take(2).map(|(_, body)| String::from_utf8(body).unwrap()).collect();
    assert!(bodies[0].contains("&refresh_token=1%2F%2F0-refresh-me&"), "{bodies:?}");
    assert!(bodies[1].contains("&refresh_token=newer&"), "{bodies:?}");
    let last = STANDARD.encode(shown("XOAUTH2", "second"));
    assert!(mailbox.heard().last().unwrap().ends_with(&last), "{:?}", mailbox.heard());
}

#[test]
fn rule_q3_a_token_that_is_refused_is_asked_for_once_more_and_then_the_login_is_refused() {
    let (mailbox, mail) = Mailbox::taking(&["good"]).start();
    let (mut bench, told) = bench(mail, vec![hour("revoked"), hour("good"), hour("again")]);
    assert_eq!(bench.deliver(&["a@b.test"]).word(), "delivered 250");
    let line = |token| format!("AUTH XOAUTH2 {}", STANDARD.encode(shown("XOAUTH2", token)));
    // An empty line answers the challenge that says why.
    assert_eq!(mailbox.heard(), [line("revoked"), String::new(), line("good")]);
    mailbox.takes.lock().unwrap().clear();
    mailbox.heard.lock().unwrap().clear();
    let ending = bench.deliver(&["a@b.test"]);
    assert!(matches!(ending, Ending::LoginRefused(_)), "{ending:?}");
    let why = "AUTH XOAUTH2: 535 5.7.8 no {\"status\":\"401\",\"schemes\":\"bearer\"}";
    assert!(ending.reason().contains(why), "{ending:?}");
    assert_eq!(mailbox.heard(), [line("good"), String::new(), line("again"), String::new()]);
    assert_eq!(told.iter().count(), 3);
}

#[test]
fn rule_q3_who_ends_the_session_over_a_token_has_refused_it() {
    let (_mailbox, mail) = Mailbox { leaves: true, ..Mailbox::taking(&[]) }.start();
    let (mut bench, _told) = bench(mail, vec![hour("0ne"), hour("an0ther")]);
    let ending = bench.deliver(&["a@b.test"]);
    assert!(matches!(ending, Ending::LoginRefused(_)), "{ending:?}");
    // What is to be tried again is no refusal.
    let busy = Mailbox { refusal: "454 4.7.0 later", ..Mailbox::taking(&[]) };
    let (_mailbox, mail) = busy.start();
    let (mut bench, told) = self::bench(mail, vec![hour("0ne"), hour("an0ther")]);
    let ending = bench.deliver(&["a@b.test"]);
    assert!(matches!(&ending, Ending::RouteFailed(reason) if reason.contains("454 4.7.0 later")), "{ending:?}");
    assert_eq!(told.try_iter().count(), 1);
}

#[test]
fn all_connections_wait_for_one_token_and_share_it_also_when_it_is_none() {
    let refused = status("400 Bad Request", "{\"error\":\"invalid_grant\"}");
    for (act, taken) in [(hour("t0ken"), 3), (refused, 0)] {
        let (mailbox, mail) = Mailbox::taking(&["t0ken"]).start();
        let endpoint = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = endpoint.local_addr().unwrap().port();
        let mut bench = bench_with(mail, tokens(slice(Grant::RefreshToken, port)), port);
        let ended = three_at_once(&mut bench, || {
            serve(endpoint.accept().unwrap().0, &act).unwrap();
        });
        let as_expected = |progress: &Progress| match progress {
            Progress::Settled { .. } => taken == 3,
            Progress::LoginRefused { reason, .. } => taken == 0 && reason.contains("invalid_grant"),
            _ => false,
        };
        assert!(ended.iter().all(as_expected), "{ended:?}");
        assert_eq!(*mailbox.messages.lock().unwrap(), taken);
        endpoint.set_nonblocking(true).unwrap();
        assert!(endpoint.accept().is_err(), "it was asked twice");
    }
}

/// How three messages end that are offered together; `answer` is called when all of them wait.
fn three_at_once(bench: &mut Bench, answer: impl FnOnce()) -> Vec<Progress> {
    let content = b"Subject: x\r\n\r\n";
    let jobs: Vec<Job> = (0..3).map(|_| bench.vault.offer(&["a@b.test"], content.len())).collect();
    let (mut wanted, mut answer, mut ended) = (0, Some(answer), Vec::new());
    while ended.len() < jobs.len() {
        match bench.vault.hear().unwrap() {
            Progress::Want { job, .. } if jobs.contains(&job) => {
                bench.vault.say(&Offer::Content { job, octets: Octets(content.to_vec()) });
                wanted += 1;
                if wanted == jobs.len()
                    && let Some(answer) = answer.take()
                {
                    answer();
                }
            }
            Progress::Ending { job, turn, .. } => bench.vault.say(&Offer::End { job, turn }),
            Progress::Slots(_) | Progress::Recipient { .. } | Progress::Want { .. } => {}
            other => ended.push(other),
        }
    }
    ended
}

#[test]
fn a_rehearsal_tells_of_the_token_and_shows_none() {
    let (_mailbox, mail) = Mailbox { refusal: "535 you said TOKEN in LINE", ..Mailbox::taking(&["t0ken"]) }.start();
    let (mut bench, told) = bench(mail, vec![hour("t0ken"), hour("0ther"), hour("an0ther")]);
    let (lines, passed) = rehearse(&mut bench, "sender@gate.test");
    let port = lines[0].split(':').nth(2).unwrap().split('/').next().unwrap();
    assert_eq!(lines[0], format!("* asked http://tokens.test:{port}/token?a=b for a token: given, for 3600 s"));
    assert!(passed && lines.contains(&"> AUTH XOAUTH2 [hidden]".to_owned()), "{lines:?}");
    // It is asked for although one is at hand, and what the upstream says back of it is hidden.
    let (lines, passed) = rehearse(&mut bench, "sender@gate.test");
    assert!(!passed && told.iter().count() == 3, "{lines:?}");
    let said = lines.iter().filter(|line| line.starts_with("< 535 you said [hidden] in [hidden]")).count();
    assert_eq!(said, 2, "{lines:?}");
    for secret in ["t0ken", "0ther", "an0ther", REFRESH, CLIENT_SECRET] {
        assert!(!lines.iter().any(|line| line.contains(secret)), "{lines:?}");
    }
}

#[test]
fn who_says_a_secret_back_is_not_quoted() {
    let echo = format!(
        "{{\"error\":\"invalid_grant\",\"error_description\":\"{CLIENT_SECRET} {REFRESH} cl1ent%7Es3cret%2F%2B 1%2F%2F0-refresh-me {}\"}}",
        STANDARD.encode(CLIENT_SECRET).trim_end_matches('=')
    );
    let (_mailbox, mail) = Mailbox::taking(&[]).start();
    let (mut bench, _told) = bench(mail, vec![status("400 Bad Request", &echo)]);
    let ending = bench.deliver(&["a@b.test"]);
    assert!(ending.reason().ends_with("invalid_grant: [hidden] [hidden] [hidden] [hidden] [hidden]"), "{ending:?}");
    // An upstream may do so long after the login, too.
    let (_mailbox, mail) = Mailbox { rcpt: "550 no TOKEN, LINE", ..Mailbox::taking(&["t0ken"]) }.start();
    let (mut bench, _told) = self::bench(mail, vec![hour("t0ken")]);
    let ending = bench.deliver(&["a@b.test"]);
    assert_eq!(ending.outcome().said().text, "no [hidden], [hidden]", "{ending:?}");
}

#[test]
fn the_slice_and_its_files_become_tokens() {
    let handed = |content: &str| {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), content).unwrap();
        OwnedFd::from(std::fs::File::open(file.path()).unwrap())
    };
    let mut asked = Vec::new();
    let made = super::tokens(slice(Grant::RefreshToken, 1), &mut |wanted: &File| {
        asked.push(wanted.clone());
        Ok(handed("sesame\n"))
    });
    assert!(made.is_ok() && asked == [File::ClientSecret, File::RefreshToken]);
    let tls = Oauth2Slice { tls: true, client_secret: false, ..slice(Grant::ClientCredentials, 1) };
    let bad = super::tokens(tls, &mut |wanted: &File| match wanted {
        File::TokenAuthorities => Ok(handed("no PEM")),
        other => Err(format!("{other:?}")),
    });
    assert!(bad.is_err_and(|why| why.contains("no certificate")));
    for bad in ["", "a\nb\n"] {
        assert!(super::tokens(slice(Grant::ClientCredentials, 1), &mut |_: &File| Ok(handed(bad))).is_err());
    }
}
