//! Providers: each phase and each answer has the outcome of its table.

mod account;
mod ends;
mod keys;
mod parts;
mod turnstile;
mod webhook;

use std::sync::mpsc::{Receiver, channel};

use nix::libc::linger;
use nix::sys::socket::{setsockopt, sockopt};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::*;
use crate::config::slice::{Api, Endpoint};
use crate::courier::provider::Settings as Provided;

/// How a server treats its one request.
#[derive(Clone)]
pub enum Act {
    Answer(String),
    /// It closes once it has read so many octets of the body.
    Leave(usize),
    /// It ends the connection by RST once it has read so many octets of the body.
    Reset(usize),
    /// The same, before it has read anything.
    ResetAtOnce,
    /// It says nothing until the other side leaves.
    Hang,
}

pub fn status(line: &str, body: &str) -> Act {
    Act::Answer(format!("HTTP/1.1 {line}\r\nContent-Length: {}\r\n\r\n{body}", body.len()))
}

/// A server of one request after the other, its port, and heads and bodies as they come.
pub fn server(acts: Vec<Act>, tls: Option<Arc<ServerConfig>>) -> (u16, Receiver<(String, Vec<u8>)>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let (tell, told) = channel();
    thread::spawn(move || {
        for act in acts {
            let (socket, _) = listener.accept().unwrap();
            if matches!(act, Act::Reset(_) | Act::ResetAtOnce) {
                setsockopt(&socket, sockopt::Linger, &linger { l_onoff: 1, l_linger: 0 }).unwrap();
            }
            if matches!(act, Act::ResetAtOnce) {
                continue;
            }
            let seen = match &tls {
                None => serve(socket, &act),
                Some(config) => {
                    let server = ServerConnection::new(Arc::clone(config)).unwrap();
                    serve(StreamOwned::new(server, socket), &act)
                }
            };
            // A handshake that failed is no request.
            if let Some(seen) = seen {
                tell.send(seen).unwrap();
            }
        }
    });
    (port, told)
}

pub fn serve(mut stream: impl Read + Write, act: &Act) -> Option<(String, Vec<u8>)> {
    let mut octets = Vec::new();
    let head = loop {
        let mut one = [0];
        if stream.read(&mut one).ok()? == 0 {
            return None;
        }
        octets.push(one[0]);
        if octets.ends_with(b"\r\n\r\n") {
            break String::from_utf8(octets).unwrap().to_ascii_lowercase();
        }
    };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap_or("0");
    let length: usize = length.parse().unwrap();
    let most = if let Act::Leave(most) | Act::Reset(most) = act { length.min(*most) } else { length };
    let mut body = vec![0; most];
    stream.read_exact(&mut body).ok()?;
    if let Act::Answer(text) = act {
        stream.write_all(text.as_bytes()).ok()?;
        stream.flush().ok()?;
    }
    if matches!(act, Act::Hang) {
        let _ = stream.read(&mut [0]);
    }
    Some((head, body))
}

pub fn slice(api: Api, port: u16, tls: bool) -> ProviderSlice {
    ProviderSlice {
        upstream: "provider".into(),
        host: "api.test".into(),
        port,
        tls,
        belief: Belief::default(),
        path: "/hook?a=b".into(),
        api,
        max_size: 4 << 20,
        connections: 2,
    }
}

fn secret(api: &Api) -> Secret<String> {
    Secret::new(match api {
        Api::Webhook => "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned(),
        Api::Cloudflare { .. } | Api::Bytesend { .. } => "sesame".to_owned(),
    })
}

pub fn business(slice: ProviderSlice) -> Business {
    let secret = secret(&slice.api);
    Business::Provider(Box::new(Provided::new(slice, None, secret).unwrap()))
}

pub fn bench(api: Api, port: u16) -> Bench {
    bench_at(api, port, "/hook?a=b")
}

pub fn bench_at(api: Api, port: u16, path: &str) -> Bench {
    let mut bench = Bench::with(business(ProviderSlice { path: path.to_owned(), ..slice(api, port, false) }));
    bench.attach_dialer(&vec![("api.test".to_owned(), port)], Ipv4Addr::LOCALHOST);
    assert_eq!(bench.vault.slots(), 2);
    bench
}

/// How one message ends, given this act.
fn ending(api: Api, act: Act) -> Ending {
    let (port, _told) = server(vec![act], None);
    bench(api, port).deliver(&["a@b.test", "c@b.test"])
}

#[test]
fn rule_u16_each_status_of_a_webhook_has_the_outcome_of_its_table() {
    for (line, expected) in [
        ("200 OK", "delivered"),
        ("202 Accepted", "delivered"),
        ("301 Moved\r\nLocation: http://127.0.0.1/", "route"),
        ("400 Bad", "failed"),
        ("401 Who", "route"),
        ("402 Pay", "route"),
        ("403 No", "route"),
        ("404 Where", "route"),
        ("405 Not so", "route"),
        ("411 How long", "route"),
        ("426 Not by this", "route"),
        ("428 Not without", "route"),
        ("431 Too many fields", "route"),
        ("408 Late", "deferred"),
        ("409 Busy", "deferred"),
        ("423 Locked", "deferred"),
        ("424 Not before that", "deferred"),
        ("410 Gone", "route"),
        ("413 Large", "failed"),
        ("422 Odd", "failed"),
        ("425 Early", "deferred"),
        ("429 Slow", "route"),
        ("500 Ouch", "broken off"),
        ("503 Away", "broken off"),
        ("503 Away\r\nRetry-After: 9", "route"),
        ("600 What", "unknown"),
    ] {
        let ending = ending(Api::Webhook, status(line, "why\r\n\u{1b}[31mso"));
        assert_eq!(ending.word(), expected, "{line}: {ending:?}");
        let is_login = ["401", "402", "403"].iter().any(|login| line.starts_with(login));
        assert_eq!(matches!(ending, Ending::LoginRefused(_)), is_login, "{line}: {ending:?}");
        let text = match &ending {
            Ending::Settled(outcomes) => {
                assert_eq!(outcomes.len(), 2);
                assert_eq!(outcomes[0].1.said().host, "api.test");
                outcomes[0].1.said().text.clone()
            }
            other => other.reason().to_owned(),
        };
        assert!(text.contains("why   [31mso"), "{text:?}");
    }
}

#[test]
fn rule_u16_a_provider_that_asks_to_be_left_alone_is_for_as_long_as_it_says() {
    let (port, _told) = server(vec![status("429 Slow\r\nRetry-After: 17", "")], None);
    let mut bench = bench(Api::Webhook, port);
    assert!(matches!(bench.deliver(&["a@b.test"]), Ending::RouteFailed(_)));
    assert_eq!(bench.vault.rest, Some(Duration::from_secs(17)));
}

#[test]
fn rule_u16_what_a_provider_can_not_take_is_not_sent_to_it() {
    let (port, told) = server(vec![status("200 OK", "")], None);
    let mut bench = bench(Api::Webhook, port);
    let ending = bench.vault.deliver(&["a@b.test"], &vec![b'x'; (4 << 20) + 1]);
    assert_eq!(ending.outcome().said().enhanced.as_deref(), Some("5.3.4"), "{ending:?}");
    assert!(matches!(ending.outcome(), Outcome::Unsendable(said) if said.host.is_empty()), "{ending:?}");
    let manner = Manner { require_tls: true, ..Manner::default() };
    let job = bench.vault.offer_with(manner, vec![Address::parse("a@b.test").unwrap().into()], 3);
    let ending = bench.vault.follow(job, b"x\r\n");
    assert_eq!(ending.outcome().said().enhanced.as_deref(), Some("5.7.30"), "{ending:?}");
    assert!(matches!(ending.outcome(), Outcome::Unsendable(said) if said.host.is_empty()), "{ending:?}");
    assert!(bench.dials().is_empty() && told.try_recv().is_err());
}

#[test]
fn rule_u16_in_clear_a_provider_is_spoken_to_on_this_machine_alone() {
    let (port, told) = server(vec![status("200 OK", "")], None);
    let settings = Provided::new(slice(Api::Webhook, port, false), None, secret(&Api::Webhook)).unwrap();
    let mut bench = Bench::with(Business::Provider(Box::new(settings)));
    bench.attach_dialer(&vec![("api.test".to_owned(), port)], Ipv4Addr::new(192, 0, 2, 1));
    assert!(matches!(bench.deliver(&["a@b.test"]), Ending::RouteFailed(_)));
    assert!(told.try_recv().is_err());
}

#[test]
fn rule_u16_rule_u4_a_provider_with_the_certificate_of_another_gets_nothing() {
    for (name, expected) in [("api.test", "delivered"), ("other.test", "route")] {
        let (bundle, config) = protected::certified(&[name]);
        let (port, told) = server(vec![status("200 OK", "")], Some(config));
        let connector = Some(tls::connector(bundle.as_bytes()).unwrap());
        let settings = Provided::new(slice(Api::Webhook, port, true), connector, secret(&Api::Webhook)).unwrap();
        let mut bench = Bench::with(Business::Provider(Box::new(settings)));
        bench.attach_dialer(&vec![("api.test".to_owned(), port)], Ipv4Addr::LOCALHOST);
        // Of many windows, so that it is asked for piece by piece.
        let content = b"Subject: long\r\n\r\n".iter().copied().chain((0..1 << 20).map(|n| b'a' + n as u8 % 26));
        let content: Vec<u8> = content.collect();
        let ending = bench.vault.deliver(&["a@b.test"], &content);
        assert_eq!(ending.word(), expected, "{ending:?}");
        if expected == "route" {
            assert!(told.try_recv().is_err());
            continue;
        }
        assert_eq!(ending.outcome().said().tls.as_deref(), Some("TLSv1.3"));
        let (head, body) = told.recv_timeout(PATIENCE).unwrap();
        assert!(head.starts_with("post /hook?a=b http/1.1\r\n"), "{head}");
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        use base64::Engine as _;
        let message = base64::engine::general_purpose::STANDARD.decode(body["data"]["message"].as_str().unwrap());
        assert_eq!(message.unwrap(), content);
    }
}

#[test]
fn a_provider_is_tried_as_far_as_that_goes_without_a_message() {
    let (port, told) = server(vec![status("200 OK", "")], None);
    let mut bench = bench(Api::Webhook, port);
    let (lines, passed) = rehearsals::rehearse(&mut bench, "");
    assert!(passed && lines[0] == "* api.test: connected in clear, on this machine", "{lines:?}");
    assert!(told.try_recv().is_err());
    let closed = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
    let (lines, passed) = rehearsals::rehearse(&mut self::bench(Api::Webhook, closed), "");
    assert!(!passed && lines.len() == 1, "{lines:?}");
}

/// What a rehearsal finds where messages are posted to that path, and the paths that were asked for.
fn tried(api: Api, path: &str, acts: Vec<Act>) -> (Vec<String>, bool, Vec<String>) {
    let expected = acts.len();
    let (port, told) = server(acts, None);
    let mut bench = bench_at(api, port, path);
    let (lines, passed) = rehearsals::rehearse(&mut bench, "");
    // The server tells of a request behind its answer, which may have come here before.
    let heard = (0..expected).map_while(|_| told.recv_timeout(Duration::from_secs(10)).ok());
    let asked = heard.map(|(head, body)| {
        let login = head.starts_with("post ") && body.ends_with(b"\"password\":\"sesame\"}");
        assert!(login || head.contains("authorization: bearer sesame\r\n") && body.is_empty(), "{head}");
        head.lines().next().unwrap_or_default().to_owned()
    });
    (lines, passed, asked.collect())
}

#[test]
fn a_provider_is_asked_whether_it_takes_our_secret_where_that_sends_nothing() {
    let path = "/client/v4/accounts/acc/email/sending/send_raw";
    let active = || status("200 OK", r#"{"success":true,"result":{"id":"x","status":"active"}}"#);
    let unknown =
        || status("401 No", r#"{"success":false,"errors":[{"code":1000,"message":"sesame is none"}],"result":null}"#);
    let over = || status("200 OK", r#"{"success":true,"result":{"id":"x","status":"expired"}}"#);
    let user = "get /client/v4/user/tokens/verify http/1.1";
    let account = "get /client/v4/accounts/acc/tokens/verify http/1.1";
    for (acts, passes, asked) in [
        (vec![active()], true, vec![user]),
        (vec![unknown(), active()], true, vec![user, account]),
        (vec![unknown(), unknown()], false, vec![user, account]),
        (vec![over(), over()], false, vec![user, account]),
        (vec![status("503 Away", ""), status("503 Away", "")], false, vec![user, account]),
        (vec![status("302 There\r\nLocation: http://127.0.0.1/", ""), unknown()], false, vec![user, account]),
        (vec![status("200 OK", "<html>"), status("404 Where", "")], false, vec![user, account]),
    ] {
        let (lines, passed, paths) = tried(cloudflare(), path, acts);
        assert_eq!((passed, paths.iter().map(String::as_str).collect()), (passes, asked), "{lines:?}");
        assert!(!lines.iter().any(|line| line.contains("sesame")), "{lines:?}");
    }
}

fn bytesend() -> Api {
    Api::Bytesend { on_unsupported: crate::config::slice::OnUnsupported::Fail }
}

pub fn cloudflare() -> Api {
    Api::Cloudflare { drop_headers: Vec::new(), endpoint: Endpoint::SendRaw }
}

#[test]
fn rule_u16_each_error_of_cloudflare_has_the_outcome_of_its_table() {
    let body = |code: u32| {
        format!(
            "{{\"success\":false,\"errors\":[{{\"code\":{code},\"message\":\"email.sending.error.x\"}}],\"messages\":[],\"result\":null}}"
        )
    };
    for (line, code, expected) in [
        ("400 Bad", 10001, "failed"),
        ("400 Bad", 10200, "failed"),
        ("400 Bad", 10201, "failed"),
        ("400 Bad", 10202, "failed"),
        ("401 Who", 10101, "login"),
        ("401 Who", 10103, "login"),
        ("403 No", 10102, "login"),
        ("403 No", 10105, "login"),
        ("403 No", 10203, "login"),
        ("404 Where", 10000, "route"),
        ("429 Slow", 10004, "route"),
        ("500 Ouch", 10002, "broken off"),
        ("500 Ouch", 10003, "failed"),
        ("503 Away", 10100, "broken off"),
        ("400 Bad", 99999, "failed"),
        ("504 Late", 99999, "unknown"),
        ("200 OK", 99999, "broken off"),
    ] {
        let ending = ending(cloudflare(), status(line, &body(code)));
        let word = if matches!(ending, Ending::LoginRefused(_)) { "login".to_owned() } else { ending.word() };
        assert_eq!(word, expected, "{line} {code}: {ending:?}");
        if let Ending::Settled(outcomes) = &ending {
            let said = outcomes[0].1.said();
            assert!(said.text.contains(&format!("{code}")), "{said:?}");
            assert_eq!(said.enhanced.as_deref() == Some("5.3.4"), code == 10200, "{said:?}");
        }
    }
    for (line, expected) in
        [("200 OK", "unknown"), ("504 Late", "unknown"), ("524 Late", "unknown"), ("522 Down", "broken off")]
    {
        assert_eq!(ending(cloudflare(), status(line, "<html>")).word(), expected, "{line}");
    }
}

#[test]
fn rule_u16_what_is_refused_to_one_sender_stops_no_other() {
    let forbidden = || status("403 No", "the domain of From is not verified");
    let acts = [status("200 OK", ""), forbidden(), forbidden(), status("200 OK", ""), forbidden(), forbidden()];
    let (port, _told) = server(acts.to_vec(), None);
    let mut bench = bench(Api::Webhook, port);
    let mut ending = || bench.deliver(&["a@b.test"]).word();
    assert_eq!([ending(), ending(), ending()], ["delivered", "broken off", "broken off"]);
    assert_eq!([ending(), ending(), ending()], ["delivered", "broken off", "broken off"]);
    // Before anybody has passed it may be the token's.
    let (port, _told) = server(vec![forbidden(), status("401 Who", "")], None);
    let mut fresh = self::bench(Api::Webhook, port);
    assert!(matches!(fresh.deliver(&["a@b.test"]), Ending::LoginRefused(_)));
    assert!(matches!(fresh.deliver(&["a@b.test"]), Ending::LoginRefused(_)), "401 is nobody's but ours");
}

#[test]
fn rule_u16_a_secret_that_is_quoted_is_shown_to_nobody() {
    let sesame = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    for line in ["400 Bad", "401 Who", "500 Ouch", "200 OK"] {
        let ending = ending(Api::Webhook, status(line, &format!("you said {sesame}, didn't you")));
        let text = format!("{ending:?}");
        assert!(text.contains("you said [hidden], didn't you") && !text.contains("MfKQ9r8G"), "{line}: {text}");
    }
}
