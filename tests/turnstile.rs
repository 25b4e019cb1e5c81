//! Claims: a message of a credential that demands Turnstile leaves once Cloudflare has taken its token, and nothing is left of any other;
//! what is refused says why to its page and to the log; and the site's secret and visitors' tokens are nowhere but where they are used.

mod support;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use support::provider::{Provider, Request};
use support::traces::holding;
use support::{Service, Setting, await_that, free_port, programs};

const SECRET: &str = "0x4AAAAAAA-the-secret-of-the-site";
const GOOD: &str = "0.a-token-that-is-good";
const USED: &str = "0.a-token-that-was-used";
const ELSEWHERE: &str = "0.a-token-of-another-page";
const LOGIN: &str = "0.a-token-for-another-action";
const GARBAGE: &str = "0.a-token-that-is-answered-oddly";
const TOKENS: [&str; 5] = [GOOD, USED, ELSEWHERE, LOGIN, GARBAGE];

/// The value of a member of a form whose values need no escapes.
fn member<'r>(request: &'r Request, name: &str) -> &'r str {
    let form = std::str::from_utf8(&request.body).unwrap();
    form.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('=')).unwrap_or_default()
}

/// What siteverify says.
fn answer(request: &Request) -> (u16, String) {
    let no = |code: &str| (200, json!({ "success": false, "error-codes": [code] }).to_string());
    let yes = |hostname: &str, action: &str| {
        let body = json!({ "success": true, "hostname": hostname, "action": action, "error-codes": [], "cdata": "" });
        (200, body.to_string())
    };
    if request.line != "POST /turnstile/v0/siteverify HTTP/1.1" {
        return (404, String::new());
    }
    match member(request, "response") {
        _ if member(request, "secret") != SECRET => no("invalid-input-secret"),
        GOOD => yes("www.example.net", "contact"),
        USED => no("timeout-or-duplicate"),
        ELSEWHERE => yes("evil.example", "contact"),
        LOGIN => yes("www.example.net", "login"),
        GARBAGE => (200, format!("<html>{GARBAGE} {SECRET}</html>")),
        _ => no("invalid-input-response"),
    }
}

/// A gate with pages' messages, and the siteverify that it asks.
struct House {
    service: Service,
    port: u16,
    site: Provider,
    key: String,
    is_away: Arc<AtomicBool>,
}

impl House {
    fn build(secret: &str) -> Self {
        let is_away = Arc::new(AtomicBool::new(false));
        let shared = Arc::clone(&is_away);
        let site = Provider::start(move |request| (!shared.load(Ordering::Relaxed)).then(|| answer(request)));
        let folder = tempfile::Builder::new().prefix("gatepost-test-").tempdir().unwrap();
        let place = folder.path().display().to_string();
        fs::write(folder.path().join("trusted.pem"), &site.pair.certificate).unwrap();
        fs::write(folder.path().join("site.secret"), format!("{secret}\n")).unwrap();
        fs::set_permissions(folder.path().join("site.secret"), fs::Permissions::from_mode(0o600)).unwrap();
        let port = free_port();
        let more = format!(
            "[[listener]]\nname = \"pages\"\naddress = [\"127.0.0.1:{port}\"]\nprotocol = \"http\"\n\
             serve = [\"v1\", \"send\", \"ops\"]\norigins = [\"https://www.example.net\"]\n\
             [turnstile]\nsecret_file = \"{place}/site.secret\"\nurl = \"https://localhost:{}\"\n\
             authorities_file = \"{place}/trusted.pem\"\n",
            site.port
        );
        let service = Service::start_in(folder, &Setting { more, ..Setting::default() });
        let added = service.command(
            &[
                &["credential", "add", "page", "--sender", "a@example.net", "--recipient-allow", "b@example.org"][..],
                &["--scope", "send", "--turnstile-hostname", "www.example.net", "--turnstile-action", "contact"],
            ]
            .concat(),
        );
        assert!(added.status.success(), "{}", programs::said(&added));
        let key = String::from_utf8(added.stdout).unwrap().lines().last().unwrap().to_owned();
        Self { service, port, site, key, is_away }
    }

    fn ask(&self, request: &str) -> (u16, String, String) {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut response = String::new();
        stream.read_to_string(&mut response).unwrap();
        let (head, body) = response.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), head.to_ascii_lowercase(), body.to_owned())
    }

    fn post(&self, path: &str, fields: &str, body: &Value) -> (u16, Value) {
        let body = body.to_string();
        let (status, head, said) = self.ask(&format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: Bearer {}\r\n\
             Origin: https://www.example.net\r\nContent-Type: application/json\r\nContent-Length: {}\r\n{fields}\r\n{body}",
            self.key,
            body.len()
        ));
        assert!(path != "/send" || head.contains("access-control-allow-origin: https://www.example.net"), "{head}");
        assert!(head.contains("x-request-id: "), "{head}");
        (status, serde_json::from_str(&said).unwrap_or_else(|_| panic!("{said}")))
    }

    fn send(&self, subject: &str, token: &str) -> (u16, Value) {
        self.post("/send", "", &letter(subject, Some(token)))
    }

    fn refused(&self, token: &str, status: u16, code: &str, why: &str) {
        let (answered, body) = self.send("refused", token);
        assert_eq!((answered, body["code"].as_str()), (status, Some(code)), "{token}: {body}");
        assert!(body["error"].as_str().unwrap().contains(why), "{body}");
    }

    fn metrics(&self) -> String {
        self.ask("GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").2
    }
}

fn letter(subject: &str, token: Option<&str>) -> Value {
    let letter = json!({ "from": "a@example.net", "to": "b@example.org", "subject": subject, "text": "hi" });
    let Value::Object(mut members) = letter else { unreachable!() };
    members.extend(token.map(|token| ("cf-turnstile-response".to_owned(), token.into())));
    Value::Object(members)
}

fn events(service: &Service, name: &str) -> Vec<Value> {
    let output = service.command(&["audit", "query", "--event", name, "--json"]);
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn row_57_a_message_leaves_when_its_token_is_taken_and_every_other_leaves_nothing() {
    let house = House::build(SECRET);
    let (status, body) = house.send("proven", GOOD);
    assert_eq!((status, body["ok"].as_bool()), (200, Some(true)), "{body}");
    let (status, _) = house.post("/send", &format!("CF-Turnstile-Response: {GOOD}\r\n"), &letter("by header", None));
    assert_eq!(status, 200);
    house.service.await_arrival(vec!["proven".into(), "by header".into()]);
    let requests = house.site.await_requests(2);
    assert_eq!((member(&requests[0], "remoteip"), member(&requests[0], "secret")), ("127.0.0.1", SECRET));
    // The key stands in a page: nobody sees others' mail by it, nor takes it back.
    for path in ["/v1/submissions", "/v1/events"] {
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: Bearer {}\r\n\r\n",
            house.key
        );
        let (status, _, said) = house.ask(&request);
        assert_eq!(status, 403, "{path}: {said}");
    }
    assert!(uuid::Uuid::parse_str(member(&requests[0], "idempotency_key")).is_ok());

    house.refused(USED, 403, "turnstile_failed", "used before");
    house.refused(ELSEWHERE, 403, "turnstile_failed", "hostnames");
    house.refused(LOGIN, 403, "turnstile_failed", "another action");
    house.refused("0.nonsense", 403, "turnstile_failed", "not valid");
    house.refused(GARBAGE, 503, "turnstile_unavailable", "send it again");
    house.refused(&"x".repeat(2049), 400, "invalid", "no token");
    // What policy refuses asks nobody; nor does what has no token, by whichever path.
    let asked = house.site.await_requests(7).len();
    let elsewhere = json!({ "from": "a@example.net", "to": "c@example.org", "subject": "x", "text": "hi",
                            "cf-turnstile-response": GOOD });
    assert_eq!(house.post("/send", "", &elsewhere).0, 403);
    for path in ["/send", "/v1/send"] {
        let (status, body) = house.post(path, "", &letter("without", None));
        assert_eq!((status, body["code"].as_str()), (403, Some("turnstile_failed")), "{body}");
    }
    let mut session = house.service.connect().secure(&support::smtp::trusting(&house.service.pair));
    let login = STANDARD.encode(format!("\0page\0{}", house.key));
    assert_eq!(session.say(&format!("AUTH PLAIN {login}")), 535, "it is for /send alone");
    house.is_away.store(true, Ordering::Relaxed);
    house.refused(GOOD, 503, "turnstile_unavailable", "send it again");
    house.is_away.store(false, Ordering::Relaxed);
    // Twice, by one name: the first had no answer.
    let requests = house.site.await_requests(asked + 2);
    assert_eq!(requests.len(), asked + 2);
    assert_eq!(member(&requests[asked], "idempotency_key"), member(&requests[asked + 1], "idempotency_key"));

    // Done once: the same request is answered from what was kept, and its token is asked of no more.
    let key = "Idempotency-Key: page-1\r\n";
    let first = house.post("/send", key, &letter("once", Some(GOOD)));
    assert_eq!((first.0, house.post("/send", key, &letter("once", Some(GOOD)))), (200, first.clone()));
    assert_eq!(house.site.await_requests(asked + 3).len(), asked + 3);
    house.service.await_arrival(vec!["once".into()]);
    let begun = house.service.sink.tally().commands.iter().filter(|line| line.starts_with("MAIL")).count();
    assert_eq!(begun, 3);

    for (result, count) in [("ok", 3), ("failed", 4), ("error", 2)] {
        let line = format!("gatepost_turnstile_verifications_total{{result=\"{result}\"}} {count}\n");
        // They are told every two seconds.
        await_that(&line, || house.metrics().contains(&line));
    }
    let reasons: Vec<String> = events(&house.service, "msg.reject").iter().map(Value::to_string).collect();
    for (reason, said) in [
        ("turnstile-refused", "timeout-or-duplicate"),
        ("turnstile-hostname", "evil.example"),
        ("turnstile-action", "login"),
        ("turnstile-unavailable", "localhost"),
        ("turnstile-missing", ""),
    ] {
        assert!(reasons.iter().any(|event| event.contains(reason) && event.contains(said)), "{reason} {reasons:?}");
    }
    assert!(events(&house.service, "msg.accept")[0].to_string().contains("www.example.net"));
    let state = house.service.folder.path().join("state");
    let found: Vec<_> = TOKENS.into_iter().chain([SECRET]).flat_map(|text| holding(&state, text)).collect();
    assert_eq!(found, Vec::<String>::new());
    let log = house.service.stop();
    for text in TOKENS.into_iter().chain([SECRET, house.key.as_str()]) {
        assert!(!log.contains(text), "{text} in {log}");
    }
}

#[test]
fn row_57_a_key_of_a_form_may_stand_in_a_page_and_no_address_of_it_does() {
    let mut house = House::build(SECRET);
    let bound = [
        &["credential", "add", "form", "--sender", "a@example.net", "--recipient-allow", "b@example.org"][..],
        &["--scope", "send", "--turnstile-hostname", "www.example.net", "--max-size", "20000"],
        &["--form-origin", "https://www.example.net"],
    ]
    .concat();
    let added = house.service.command(&bound);
    assert!(!added.status.success() && programs::said(&added).contains("--per-hour"), "{}", programs::said(&added));
    let added = house.service.command(&[&bound[..], &["--per-hour", "20"]].concat());
    assert!(added.status.success(), "{}", programs::said(&added));
    house.key = String::from_utf8(added.stdout).unwrap().lines().last().unwrap().to_owned();
    assert!(house.key.starts_with("gp_form_"), "{}", house.key);

    let filled = json!({ "subject": "filled", "text": "hi", "cf-turnstile-response": GOOD });
    let (status, body) = house.post("/send", "", &filled);
    assert_eq!((status, body["outcome"].as_str(), &body["queued"]), (200, Some("queued"), &json!([])), "{body}");
    house.service.await_arrival(vec!["filled".into()]);
    let ask = |path: &str, origin: &str, body: &str| {
        let method = if body.is_empty() { "GET" } else { "POST" };
        let length = body.len();
        house.ask(&format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: Bearer {}\r\n{origin}\
             Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}",
            house.key
        ))
    };
    // Elsewhere than in its page it is nothing, whatever token there is, and nobody is asked of that.
    let asked = house.site.await_requests(1).len();
    for origin in ["", "Origin: https://evil.example\r\n"] {
        let (status, _, said) = ask("/send", origin, &filled.to_string());
        assert_eq!(status, 403, "{said}");
        assert!(said.contains("forbidden_origin"), "{said}");
    }
    assert_eq!(house.site.await_requests(asked).len(), asked);
    // It sees no mail, takes none back, and isn't told whom it sends to.
    let own = "Origin: https://www.example.net\r\n";
    for path in ["/v1/submissions", "/v1/events", "/v1/keys/self"] {
        let (status, _, said) = ask(path, own, "");
        assert_eq!(status, 403, "{path}: {said}");
        assert!(!said.contains("example.org") && !said.contains("forbidden_origin"), "{said}");
    }
    let rejected = events(&house.service, "msg.reject");
    assert_eq!(rejected.iter().filter(|event| event.to_string().contains("form-origin")).count(), 2, "{rejected:?}");
    // What is left of its limits its page is told, and nobody else.
    let limits = ["", own].map(|origin| ask("/v1/limits", origin, "").0);
    assert_eq!(limits, [403, 200]);
    // It is a form's to its end, and so are its keys; another isn't made one.
    let set = |words: &[&str]| {
        let set = house.service.command(&[&["credential", "set"], words].concat());
        assert!(!set.status.success());
        programs::said(&set)
    };
    assert!(set(&["form", "--unset", "form-origin"]).contains("origins"));
    assert!(set(&["form", "--unset", "turnstile"]).contains("turnstile"));
    assert!(set(&["form", "--recipient-allow", "@example.org"]).contains("named"));
    let page = ["page", "--form-origin", "https://www.example.net", "--max-size", "20000", "--per-hour", "20"];
    assert!(set(&page).contains("beginning"));
    let rotated = house.service.command(&["credential", "rotate", "form"]);
    assert!(String::from_utf8_lossy(&rotated.stdout).contains("gp_form_"), "{}", programs::said(&rotated));
    house.service.stop();
}

#[test]
fn a_wrong_secret_is_found_before_anybody_is_refused_for_it_and_then_nothing_is_taken() {
    let house = House::build("0x4AAAAAAA-of-another-site");
    house.refused(GOOD, 503, "turnstile_unavailable", "send it again");
    let tried = house.service.command(&["check", "--connect", "--fallback-ids"]);
    let said = programs::said(&tried);
    assert!(!tried.status.success() && said.contains("invalid-input-secret") && said.contains("secret_file"), "{said}");
    let looked = house.service.command(&["doctor", "--json", "--fallback-ids", "--resolver", "127.0.0.1:9"]);
    let sheet = String::from_utf8(looked.stdout).unwrap();
    assert!(sheet.contains("upstreams.turnstile") && sheet.contains("invalid-input-secret"), "{sheet}");
    let log = house.service.stop();
    assert!(log.contains("Turnstile does not know our secret") && !log.contains("of-another-site"), "{log}");

    let house = House::build(SECRET);
    let explained = ["explain", "--credential", "page", "--from", "a@example.net", "--to", "b@example.org"];
    let explained = programs::said(&house.service.command(&explained));
    assert!(explained.contains("proof") && explained.contains("www.example.net"), "{explained}");
    let tried = house.service.command(&["check", "--connect", "--fallback-ids"]);
    let said = programs::said(&tried);
    assert!(tried.status.success() && said.contains("* turnstile: it knows the secret"), "{said}");
    house.service.stop();
}

#[test]
fn who_would_demand_what_nobody_is_asked_of_is_refused() {
    let service = Service::start();
    let added = |more: &[&str]| {
        let words =
            ["credential", "add", "page", "--sender", "a@example.net", "--turnstile-hostname", "www.example.net"];
        let added = service.command(&[&words[..], more].concat());
        assert!(!added.status.success());
        programs::said(&added)
    };
    assert!(added(&["--scope", "send"]).contains("[turnstile]"));
    let said = {
        let house = House::build(SECRET);
        let words = ["credential", "set", "page", "--scope", "send", "--scope", "smtp"];
        let set = house.service.command(&words);
        assert!(!set.status.success());
        let free = house.service.command(&["credential", "set", "page", "--unset", "turnstile"]);
        assert!(free.status.success(), "{}", programs::said(&free));
        assert_eq!(house.post("/v1/send", "", &letter("free", None)).0, 202);
        house.service.stop();
        programs::said(&set)
    };
    assert!(said.contains("POST /send alone"), "{said}");
    service.stop();
}
