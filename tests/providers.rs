//! Claims: what is submitted by SMTP reaches a provider by its HTTP API, over verified TLS, whole and to nobody else; a provider that
//! refuses what it knows us by stops the route and bounces nothing; and no secret is in the log.

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use support::provider::{Provider, Request};
use support::{Service, Setting};

const KEY: &str = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// A service whose upstream is this provider. `FOLDER` in its lines is a folder with `trusted.pem` and `secret`.
fn towards(provider: &Provider, secret: &str, lines: &str) -> Service {
    let folder = tempfile::Builder::new().prefix("gatepost-test-").tempdir().unwrap();
    fs::write(folder.path().join("trusted.pem"), &provider.pair.certificate).unwrap();
    let path = folder.path().join("secret");
    fs::write(&path, format!("{secret}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    let lines = lines.replace("FOLDER", &folder.path().display().to_string());
    let lines = lines.replace("PORT", &provider.port.to_string());
    let upstream = format!("authorities_file = \"{}/trusted.pem\"", folder.path().display());
    Service::start_in(folder, &Setting { way: Some(lines), upstream, ..Setting::default() })
}

fn submit(service: &Service, secret: &str, recipients: &[&str], content: &str) {
    let mut session = service.log_in(secret);
    assert_eq!(session.say("MAIL FROM:<a@example.net>"), 250);
    for recipient in recipients {
        assert_eq!(session.say(&format!("RCPT TO:<{recipient}>")), 250);
    }
    assert_eq!(session.say("DATA"), 354);
    assert_eq!(
        session.say(&format!("From: a@example.net\r\nTo: b@example.org\r\nSubject: x\r\n\r\n{content}\r\n.")),
        250
    );
}

const WEBHOOK: &str = "kind = \"webhook\"\nurl = \"https://localhost:PORT/hook/?t=1\"\nsecret_file = \"FOLDER/secret\"";

/// As a receiver does it by the standard.
fn verify(request: &Request) {
    let mut mac = Hmac::<Sha256>::new_from_slice(&STANDARD.decode(KEY).unwrap()).unwrap();
    mac.update(format!("{}.{}.", request.header("webhook-id"), request.header("webhook-timestamp")).as_bytes());
    mac.update(&request.body);
    let expected = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
    assert_eq!(request.header("webhook-signature"), expected);
}

#[test]
fn rule_u16_a_message_reaches_a_webhook_signed_and_whole() {
    let provider = Provider::start(|_| Some((202, String::new())));
    let service = towards(&provider, &format!("whsec_{KEY}"), WEBHOOK);
    let secret = service.add_credential();
    submit(&service, &secret, &["b@example.org", "hidden@example.org"], "h\u{e9}llo\r\n..");
    let request = &provider.await_requests(1)[0];
    assert_eq!(request.line, "POST /hook/?t=1 HTTP/1.1");
    verify(request);
    let body = request.json();
    assert_eq!(body["type"], "message.submitted");
    assert_eq!(body["data"]["from"], "a@example.net");
    assert_eq!(body["data"]["to"], serde_json::json!(["b@example.org", "hidden@example.org"]));
    let message = STANDARD.decode(body["data"]["message"].as_str().unwrap()).unwrap();
    let message = String::from_utf8(message).unwrap();
    assert!(message.starts_with("Received: ") && message.ends_with("\r\n\r\nh\u{e9}llo\r\n.\r\n"), "{message}");
    service.await_log(0, "attempt settled");
    let log = service.stop();
    assert!(log.contains("delivered=2") && log.contains("tls=\"TLSv1.3\"") && !log.contains(KEY), "{log}");
}

#[test]
fn rule_u16_a_webhook_that_does_not_know_us_stops_the_route_and_gets_the_message_when_it_does() {
    let status = Arc::new(AtomicU16::new(401));
    let answered = Arc::clone(&status);
    let provider = Provider::start(move |_| Some((answered.load(Ordering::Relaxed), "who are you".into())));
    let service = towards(&provider, &format!("whsec_{KEY}"), WEBHOOK);
    let secret = service.add_credential();
    submit(&service, &secret, &["b@example.org"], "hello");
    let from = service.await_log(0, "login refused");
    assert!(service.log().contains("localhost: HTTP 401 who are you"), "{}", service.log());
    let listed = service.command(&["queue", "list", "--json"]);
    assert!(String::from_utf8_lossy(&listed.stdout).contains("\"states\":{\"ready\":1}"), "{listed:?}");
    status.store(204, Ordering::Relaxed);
    assert!(service.command(&["route", "resume", "sink"]).status.success());
    service.await_log(from, "delivered=1");
    let requests = provider.await_requests(2);
    assert_eq!(requests[0].header("webhook-id"), requests[1].header("webhook-id"));
    requests.iter().for_each(verify);
    service.stop();
}

const CLOUDFLARE: &str = "kind = \"cloudflare\"\nurl = \"https://localhost:PORT/v4\"\naccount = \"0123abcd\"\n\
                          token_file = \"FOLDER/secret\"\ndrop_headers = [\"Received\"]";

#[test]
fn rule_u16_a_message_reaches_cloudflare_with_its_envelope_and_bounces_whom_it_bounces() {
    let provider = Provider::start(|request| {
        let body = request.json();
        let to: Vec<&str> = body["recipients"].as_array().unwrap().iter().map(|to| to.as_str().unwrap()).collect();
        let (bounced, queued): (Vec<&str>, Vec<&str>) = to.iter().partition(|to| to.starts_with("gone"));
        let result = serde_json::json!({"delivered": [], "permanent_bounces": bounced, "queued": queued});
        Some((200, serde_json::json!({"success": true, "errors": [], "messages": [], "result": result}).to_string()))
    });
    let service = towards(&provider, "cf-token-sesame", CLOUDFLARE);
    let secret = service.add_credential();
    submit(&service, &secret, &["b@example.org", "gone@example.org"], "h\u{e9}llo");
    let request = &provider.await_requests(1)[0];
    assert_eq!(request.line, "POST /v4/accounts/0123abcd/email/sending/send_raw HTTP/1.1");
    assert_eq!(request.header("authorization"), "Bearer cf-token-sesame");
    let body = request.json();
    assert_eq!(body["from"], "a@example.net");
    assert_eq!(body["recipients"], serde_json::json!(["b@example.org", "gone@example.org"]));
    let message = body["mime_message"].as_str().unwrap();
    assert!(message.contains("\r\nSubject: x\r\n") && message.ends_with("\r\n\r\nh\u{e9}llo\r\n"), "{message}");
    assert!(!message.contains("Received:"), "{message}");
    service.await_log(0, "delivered=1 deferred=0 failed=1");
    // The report about the bounced one is from nobody, and so has no way through this API.
    service.await_log(0, "delivered=0 deferred=0 failed=1");
    let log = service.stop();
    assert!(!log.contains("cf-token-sesame"), "{log}");
    assert_eq!(provider.await_requests(1).len(), 1);
}

#[test]
fn rule_u16_a_message_reaches_cloudflare_as_fields_where_that_is_asked_for() {
    let provider = Provider::start(|_| {
        let result = serde_json::json!({"delivered": ["b@example.org", "hidden@example.org"], "permanent_bounces": [], "queued": []});
        Some((200, serde_json::json!({"success": true, "errors": [], "messages": [], "result": result}).to_string()))
    });
    let lines = CLOUDFLARE.replace("drop_headers = [\"Received\"]", "endpoint = \"send\"\non_unsupported = \"drop\"");
    let service = towards(&provider, "cf-token-sesame", &lines);
    let secret = service.add_credential();
    submit(&service, &secret, &["b@example.org", "hidden@example.org"], "h\u{e9}llo");
    let request = &provider.await_requests(1)[0];
    assert_eq!(request.line, "POST /v4/accounts/0123abcd/email/sending/send HTTP/1.1");
    assert_eq!(request.header("authorization"), "Bearer cf-token-sesame");
    let body = request.json();
    assert_eq!((&body["from"], &body["subject"]), (&"a@example.net".into(), &"x".into()));
    assert_eq!(
        (&body["to"], &body["bcc"]),
        (&serde_json::json!(["b@example.org"]), &serde_json::json!(["hidden@example.org"]))
    );
    assert!(body["text"].as_str().unwrap().starts_with("h\u{e9}llo") && body.get("headers").is_none(), "{body}");
    service.await_log(0, "delivered=2 deferred=0 failed=0 unknown=0");
    service.stop();
}

#[test]
fn rule_u16_an_answer_of_bytesend_that_was_lost_is_asked_for_again_by_its_key() {
    let asked = Arc::new(AtomicU16::new(0));
    let provider = Provider::start(move |_| match asked.fetch_add(1, Ordering::Relaxed) {
        0 => None,
        _ => Some((200, "{\"emailId\":\"em_1\"}".to_owned())),
    });
    let lines = "kind = \"bytesend\"\nurl = \"https://localhost:PORT/api\"\ntoken_file = \"FOLDER/secret\"";
    let service = towards(&provider, "bs_sesame", lines);
    let secret = service.add_credential();
    submit(&service, &secret, &["b@example.org", "hidden@example.org"], "h\u{e9}llo");
    service.await_log(0, "delivered=2 deferred=0 failed=0 unknown=0");
    let requests = provider.await_requests(2);
    for request in &requests {
        assert_eq!(request.line, "POST /api/v1/emails HTTP/1.1");
        assert_eq!(request.header("authorization"), "Bearer bs_sesame");
    }
    assert_eq!(requests[0].header("idempotency-key"), requests[1].header("idempotency-key"));
    assert_eq!(requests[0].body, requests[1].body);
    let body = requests[0].json();
    assert_eq!(
        (&body["to"], &body["bcc"]),
        (&serde_json::json!(["b@example.org"]), &serde_json::json!(["hidden@example.org"]))
    );
    assert_eq!((&body["from"], &body["subject"]), (&"a@example.net".into(), &"x".into()));
    assert!(body["text"].as_str().unwrap().starts_with("h\u{e9}llo"), "{body}");
    assert!(!service.stop().contains("bs_sesame"));
}
