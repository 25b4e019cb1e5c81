//! Claims: a credential can have a provider's keys for its passwords. The provider says which are any; the mail of a session goes there
//! with the key of its login and no other, while its client waits; and no key is on the disk or in a log.

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use support::provider::{Provider, Request};
use support::traces::holding;
use support::{CREDENTIAL, Service, Setting};

const KEY: &str = "us_this-is-their-own-key";
const OURS: &str = "us_this-is-our-own-key";
const LETTER: &str = "From: a@example.net\r\nTo: b@example.org\r\nSubject: passed\r\n\r\nhello\r\n.";

/// A service whose upstream is this provider, and whose one credential has its keys for passwords.
fn start(provider: &Provider) -> Service {
    let folder = tempfile::Builder::new().prefix("gatepost-test-").tempdir().unwrap();
    let place = folder.path().display().to_string();
    fs::write(folder.path().join("trusted.pem"), &provider.pair.certificate).unwrap();
    fs::write(folder.path().join("secret"), OURS).unwrap();
    fs::set_permissions(folder.path().join("secret"), fs::Permissions::from_mode(0o600)).unwrap();
    let way = format!(
        "kind = \"bytesend\"\nurl = \"https://localhost:{}/api\"\ntoken_file = \"{place}/secret\"",
        provider.port
    );
    let upstream = format!("authorities_file = \"{place}/trusted.pem\"");
    let more =
        format!("[[credential]]\nid = \"{CREDENTIAL}\"\npass_through = \"sink\"\nsenders = [\"@example.net\"]\n");
    Service::start_in(folder, &Setting { way: Some(way), upstream, more, ..Setting::default() })
}

fn is_of(request: &Request, key: &str) -> bool {
    match request.line.starts_with("POST /api/v1/smtp/auth ") {
        true => request.json()["password"] == key,
        false => request.header("authorization") == format!("Bearer {key}"),
    }
}

/// Knows `KEY`, which may do nothing but send, and takes mail.
fn answer(request: &Request) -> Option<(u16, String)> {
    Some(match (request.line.as_str(), is_of(request, KEY)) {
        ("POST /api/v1/smtp/auth HTTP/1.1", true) => (200, "{\"valid\":true}".to_owned()),
        ("POST /api/v1/smtp/auth HTTP/1.1", false) => {
            (401, "{\"valid\":false,\"message\":\"Invalid API key\"}".to_owned())
        }
        (_, false) => (403, "{\"error\":{\"code\":\"FORBIDDEN\",\"message\":\"Invalid API token\"}}".to_owned()),
        ("POST /api/v1/emails HTTP/1.1", true) => (200, "{\"emailId\":\"em_1\"}".to_owned()),
        _ => (404, "{}".to_owned()),
    })
}

#[test]
fn mail_goes_with_the_key_of_its_login_and_that_is_kept_nowhere() {
    let provider = Provider::start(answer);
    let service = start(&provider);
    let mut session = service.connect().secure(&support::smtp::trusting(&service.pair));
    // Our own key is none of theirs here, and neither is a guess.
    assert_eq!(session.log_in("us_guess"), 535);
    assert_eq!(session.log_in(KEY), 235);
    assert_eq!(session.say("MAIL FROM:<ceo@example.com>"), 550, "whose key it is doesn't matter: its senders are");
    assert_eq!(session.say("MAIL FROM:<a@example.net>"), 250);
    assert_eq!(session.say("RCPT TO:<b@example.org>"), 250);
    assert_eq!(session.say("DATA"), 354);
    let (code, words) = session.try_ask(LETTER).unwrap();
    assert!(code == 250 && words.contains("passed on"), "{code} {words}");
    drop(session);
    // What is known is not asked again.
    service.log_in(KEY);
    let requests = provider.await_requests(3);
    assert_eq!(requests.len(), 3, "{requests:?}");
    assert!(is_of(&requests[0], "us_guess") && is_of(&requests[1], KEY) && is_of(&requests[2], KEY));
    assert_eq!(requests[2].json()["subject"], "passed");

    let state = service.folder.path().join("state");
    let found: Vec<_> = [KEY, "us_guess"].iter().flat_map(|key| holding(&state, key)).collect();
    assert_eq!(found, Vec::<String>::new());
    let sent =
        service.command(&["send", "--credential", CREDENTIAL, "--from", "a@example.net", "--to", "b@example.org"]);
    let said = String::from_utf8_lossy(&sent.stderr);
    assert!(!sent.status.success() && said.contains("keys of its clients"), "{said}");
    // One key is told from another by a tag, at each login and at each message.
    let events = service.command(&["audit", "query", "--json"]);
    let events = String::from_utf8_lossy(&events.stdout).into_owned();
    let tags: Vec<(&str, &str)> = events
        .lines()
        .filter_map(|line| {
            let name = ["auth.success", "msg.intent"].into_iter().find(|name| line.contains(name))?;
            let (_, tag) = line.split_once("key\\\":\\\"").or_else(|| line.split_once("\"key\":\""))?;
            Some((name, tag.get(..4)?))
        })
        .collect();
    let first = tags.first().unwrap_or_else(|| panic!("{events}")).1;
    assert!(["auth.success", "msg.intent"].iter().all(|name| tags.contains(&(*name, first))), "{events}");
    let log = service.stop();
    assert!(!log.contains(KEY) && !log.contains("us_guess") && !log.contains(OURS), "{log}");
}

#[test]
fn while_the_provider_is_away_a_login_is_put_off_and_is_no_failure() {
    let is_away = Arc::new(AtomicBool::new(true));
    let shared = Arc::clone(&is_away);
    let provider = Provider::start(move |request| match shared.load(Ordering::Relaxed) {
        true => Some((500, format!("oops: {}", String::from_utf8_lossy(&request.body)))),
        false => answer(request),
    });
    let service = start(&provider);
    let mut session = service.connect().secure(&support::smtp::trusting(&service.pair));
    assert_eq!(session.log_in(KEY), 454);
    is_away.store(false, Ordering::Relaxed);
    assert_eq!(session.log_in(KEY), 235);
    let events = service.command(&["audit", "query", "--event", "auth.failure", "--json"]);
    let events = String::from_utf8_lossy(&events.stdout).into_owned();
    assert!(events.lines().count() == 1 && events.contains("provider-away"), "{events}");
    let log = service.stop();
    assert!(log.contains("whether the provider takes a key is not known") && !log.contains(KEY), "{log}");
}
