//! With a key of its sender's: the provider is asked whether it takes it, and what it sends goes with that and no other.

use super::*;
use crate::config::slice::{Api, Endpoint, OnUnsupported};
use crate::courier::tests::provider::{Act, bench_at, server, status};
use crate::ipc::delivery::Verified;

const KEY: &str = "us_their-own-key";
const INVALID_NAME: &str = "{\"valid\":false,\"message\":\"Invalid username\"}";

fn bytesend() -> Api {
    Api::Bytesend { on_unsupported: OnUnsupported::Fail }
}

fn verify(bench: &mut Bench, key: &str) -> Verified {
    bench.vault.job += 1;
    let job = Job(bench.vault.job);
    bench.vault.say(&Offer::Verify { job, key: Secret::new(key.to_owned()) });
    match bench.vault.hear() {
        Some(Progress::Verified { job: of, verified }) if of == job => verified,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_provider_is_asked_with_the_key_itself_and_says_whether_it_takes_it() {
    let answers = [
        (status("200 OK", "[]"), Some(Verified::Taken)),
        (status("401 Unauthorized", ""), Some(Verified::Refused)),
        // So says useSend of a key that it doesn't know.
        (status("403 Forbidden", "{\"error\":{\"code\":\"FORBIDDEN\"}}"), Some(Verified::Refused)),
        (status("429 Too Many Requests", ""), None),
        // A page in its place, which says so to everybody.
        (status("200 OK", "<html>back soon</html>"), None),
        (status("500 Oops", "us_their-own-key is odd"), None),
        (Act::Leave(0), None),
    ];
    for (turn, (act, expected)) in answers.into_iter().enumerate() {
        // A deployment that can't be asked for a login, and one that has another name for it.
        let absent = [status("404 Not Found", "{}"), status("405 Not Allowed", "{}"), status("401 No", INVALID_NAME)];
        let first = absent[turn % absent.len()].clone();
        let (port, told) = server(vec![first, act], None);
        let mut bench = bench_at(bytesend(), port, "/api/v1/emails");
        let verified = verify(&mut bench, KEY);
        match expected {
            Some(expected) => assert_eq!(verified, expected),
            None => {
                let Verified::Unknown(why) = verified else { panic!("{verified:?}") };
                assert!(!why.contains(KEY) && why.contains("api.test") && !why.contains("odd"), "{why}");
            }
        }
        let (head, body) = told.recv_timeout(PATIENCE).unwrap();
        assert!(head.starts_with("post /api/v1/smtp/auth ") && !head.contains("authorization"), "{head}");
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body, serde_json::json!({ "username": "usesend", "password": KEY }));
        let (head, _) = told.recv_timeout(PATIENCE).unwrap();
        assert!(head.starts_with("get /api/v1/domains "), "{head}");
        assert!(head.contains(&format!("authorization: bearer {KEY}\r\n")) && !head.contains("sesame"), "{head}");
    }
}

#[test]
fn what_can_be_no_key_is_shown_to_nobody_and_cloudflare_is_asked_for_tokens_of_our_account_alone() {
    let (port, told) = server(vec![status("200 OK", "[]")], None);
    let mut bench = bench_at(bytesend(), port, "/api/v1/emails");
    assert_eq!(verify(&mut bench, "two words"), Verified::Refused);
    assert!(told.recv_timeout(Duration::from_millis(50)).is_err());

    let no = status("401 Unauthorized", "{\"success\":false,\"errors\":[{\"code\":1000}]}");
    let yes = status("200 OK", "{\"success\":true,\"result\":{\"status\":\"active\"}}");
    for (answer, expected) in [(yes, Verified::Taken), (no, Verified::Refused)] {
        let (port, told) = server(vec![answer], None);
        let mut bench = bench_at(
            Api::Cloudflare { drop_headers: vec![], endpoint: Endpoint::SendRaw },
            port,
            "/v4/accounts/1/email/sending/send_raw",
        );
        assert_eq!(verify(&mut bench, KEY), expected);
        let (head, _) = told.recv_timeout(PATIENCE).unwrap();
        assert!(head.starts_with("get /v4/accounts/1/tokens/verify "), "every account of the world has tokens: {head}");
    }
}

#[test]
fn what_answers_in_the_place_of_cloudflare_says_nothing_of_a_token() {
    let away = [
        status("302 There\r\nLocation: http://127.0.0.1/", ""),
        status("200 OK", "<html>back soon</html>"),
        status("404 Not Found", "{\"success\":false,\"errors\":[{\"code\":7003}]}"),
        status("403 Forbidden", "<html>blocked</html>"),
        status("408 Late", ""),
    ];
    for answer in away {
        let (port, _told) = server(vec![answer], None);
        let api = Api::Cloudflare { drop_headers: vec![], endpoint: Endpoint::SendRaw };
        let mut bench = bench_at(api, port, "/v4/accounts/1/email/sending/send_raw");
        assert!(matches!(verify(&mut bench, KEY), Verified::Unknown(_)));
    }
    for refusal in ["{\"success\":false,\"errors\":[],\"result\":null}", "{\"success\":false}"] {
        let (port, _told) = server(vec![status("403 Forbidden", refusal)], None);
        let api = Api::Cloudflare { drop_headers: vec![], endpoint: Endpoint::SendRaw };
        let mut bench = bench_at(api, port, "/v4/accounts/1/email/sending/send_raw");
        assert_eq!(verify(&mut bench, KEY), Verified::Refused);
    }
}

#[test]
fn a_provider_that_was_asked_too_often_is_left_alone_for_a_while() {
    let (port, told) = server(vec![status("429 Too Many Requests", ""), status("200 OK", "[]")], None);
    let mut bench = bench_at(bytesend(), port, "/api/v1/emails");
    for _ in 0..3 {
        assert!(matches!(verify(&mut bench, KEY), Verified::Unknown(_)));
    }
    assert!(told.recv_timeout(PATIENCE).is_ok());
    assert!(told.recv_timeout(Duration::from_millis(50)).is_err(), "it was asked once");
}

#[test]
fn its_mail_goes_with_its_own_key_and_what_is_said_of_that_is_said_to_it_alone() {
    for (act, expected) in [
        (status("200 OK", "{\"emailId\":\"e1\"}"), "delivered"),
        (status("401 Unauthorized", ""), "deferred"),
        (status("403 Forbidden", ""), "failed"),
        (status("429 Too Many Requests", ""), "deferred"),
        (status("404 Not Found", ""), "deferred"),
    ] {
        let (port, told) = server(vec![act], None);
        let mut bench = bench_at(bytesend(), port, "/api/v1/emails");
        let mut sender = Sender::begin_as(&mut bench.vault, Manner::default(), None, Some(KEY));
        sender.name(&["a@b.test"]);
        assert_eq!(sender.answers(1), [Heard::Accepted(1)]);
        sender.content(b"From: sender@gate.test\r\nTo: a@b.test\r\nSubject: x\r\n\r\nhello\r\n");
        sender.end();
        // The route hears nothing of it: others use that with keys of theirs.
        assert_eq!(sender.rest(), [outcome(1, expected), ended("settled")]);
        let (head, _) = told.recv_timeout(PATIENCE).unwrap();
        assert!(head.contains(&format!("authorization: bearer {KEY}\r\n")) && !head.contains("sesame"), "{head}");
    }
}

#[test]
fn a_key_that_may_only_send_is_taken_by_its_login_and_is_asked_for_nothing_more() {
    let refused = "{\"valid\":false,\"message\":\"Invalid API key\"}";
    for (act, expected) in [
        (status("200 OK", "{\"valid\":true}"), Verified::Taken),
        (status("401 Unauthorized", refused), Verified::Refused),
        (status("200 OK", refused), Verified::Refused),
    ] {
        let (port, told) = server(vec![act, status("200 OK", "[]")], None);
        let mut bench = bench_at(bytesend(), port, "/api/v1/emails");
        assert_eq!(verify(&mut bench, KEY), expected);
        assert!(told.recv_timeout(PATIENCE).unwrap().0.starts_with("post /api/v1/smtp/auth "));
        assert!(told.recv_timeout(Duration::from_millis(50)).is_err());
    }
}
