//! The surfaces as their clients see them, with a vault that remembers.

mod bulk;
mod gateway;
mod postmark;
mod resend;
mod strict;
mod usesend;

use proptest::prelude::*;

use super::*;
use crate::edge::http::json::parse_octets;
use crate::edge::http::tests::house::{House, KEY, Ways};
use crate::ipc::inquiry::Over;

/// A gate that serves these.
fn house(ways: Ways, serve: &[Serve]) -> House {
    // Nobody waits longer than for an answer, unless a test says so.
    let ways = Ways { over: ways.over.or(Some(Over::Crowded)), ..ways };
    House::with_desk(ways, |desk| desk.serve = serve.to_vec())
}

/// A request with a key and a body.
fn post(path: &str, body: &str) -> String {
    post_with(path, &format!("Authorization: Bearer {KEY}\r\n"), body)
}

fn post_with(path: &str, fields: &str, body: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nHost: gate\r\n{fields}Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

#[test]
fn a_path_is_answered_in_the_words_of_its_surface() {
    let all = [Serve::V1, Serve::Resend, Serve::Ops, Serve::Postmark, Serve::Usesend, Serve::Send];
    for (path, served, surface) in [
        ("/emails", &all[..], Surface::Resend),
        ("//emails/x", &all, Surface::Resend),
        ("/resend/nothing", &all, Surface::Resend),
        ("/domains", &all, Surface::Resend),
        ("/email/x", &all, Surface::Postmark),
        ("/messages/outbound", &all, Surface::Postmark),
        ("/deliverystats", &all, Surface::Postmark),
        ("/triggers/inboundrules", &all, Surface::Postmark),
        ("/postmark/emails", &all, Surface::Postmark),
        // Both have it; the listener's first one is asked.
        ("/webhooks", &all, Surface::Resend),
        ("/webhooks", &[Serve::Postmark, Serve::V1], Surface::Postmark),
        ("/api/v1/contactBooks", &all, Surface::Usesend),
        ("/send", &all, Surface::Send),
        ("/v1/nothing", &all, Surface::V1),
        ("/nothing", &all, Surface::V1),
        ("/resendx", &all, Surface::V1),
        ("/nothing", &[Serve::Resend, Serve::Ops], Surface::Resend),
        ("/emails", &[Serve::V1, Serve::Ops], Surface::V1),
        ("/nothing", &[Serve::Ops], Surface::Bare),
        ("", &all, Surface::V1),
    ] {
        assert_eq!(Surface::of(path, served), surface, "{path} {served:?}");
    }
}

#[test]
fn every_call_is_found_at_the_root_and_at_its_mount_where_it_is_served() {
    let found = |path: &str, served: &[Serve]| find(path, &hyper::Method::POST, served).map(|found| found.2);
    for path in ["/emails", "//emails", "/resend/emails", "//resend/emails", "/resend//emails"] {
        assert_eq!(found(path, &[Serve::Resend]), Some(Call::ResendEmail), "{path}");
        assert_eq!(found(path, &[Serve::V1, Serve::Ops]), None, "{path}");
    }
    for (path, call) in [
        ("/email", Call::PostmarkEmail),
        ("/postmark/email/batch", Call::PostmarkBatch),
        ("/email/withTemplate/", Call::PostmarkTemplate),
        ("/server", Call::PostmarkServer),
    ] {
        assert_eq!(found(path, &[Serve::Postmark, Serve::Resend]), Some(call), "{path}");
        assert_eq!(found(path, &[Serve::Resend]), None, "{path}");
    }
    assert_eq!(found("/resend/email", &[Serve::Postmark, Serve::Resend]), None, "a mount has its own paths alone");
    assert_eq!(found("/api/v1/emails", &[Serve::Usesend]), Some(Call::UsesendEmail));
    let got =
        |path: &str| find(path, &hyper::Method::GET, &[Serve::Resend, Serve::Postmark]).map(|found| (found.1, found.2));
    for (path, allow, call) in [
        ("/emails", "GET, POST", Call::ResendAll),
        ("/resend/emails/x", "GET, PATCH", Call::ResendOne),
        // A batch is no email, and a cancel is asked for otherwise.
        ("/emails/batch", "POST", Call::ResendBatch),
        ("/emails/x/cancel", "POST", Call::ResendCancel),
        ("/messages/outbound", "GET", Call::PostmarkAll),
        ("/postmark/messages/outbound/x/details", "GET", Call::PostmarkOne),
    ] {
        assert_eq!(got(path), Some((allow, call)), "{path}");
    }
    let patched = find("/resend/emails/x", &hyper::Method::PATCH, &[Serve::Resend]).map(|found| found.2);
    assert_eq!(patched, Some(Call::ResendUpdate));
    for path in ["/emails/x/y", "/emails//cancel", "/messages/outbound/x", "/messages/outbound/x/dump"] {
        assert_eq!(got(path), None, "{path}");
    }
    for path in ["/emails/", "/Emails", "/resendemails", "/resend", "/resend/resend/emails", "///emails"] {
        assert_eq!(found(path, &[Serve::Resend]), None, "{path}");
    }
}

#[tokio::test]
async fn what_is_read_of_bodies_is_counted_by_whose_api_they_spoke() {
    use crate::ipc::counted::Api;

    let mut house = house(Ways::default(), &[Serve::Resend, Serve::Postmark]);
    let resend = r#"{"from":"a@example.net","to":"b@example.org","subject":"x","text":"hi"}"#;
    let postmark = r#"{"From":"a@example.net","To":"b@example.org","Subject":"x","TextBody":"hi"}"#;
    let token = "X-Postmark-Server-Token: POSTMARK_API_TEST\r\n";
    let get = format!("GET /emails HTTP/1.1\r\nHost: gate\r\nAuthorization: Bearer {KEY}\r\n\r\n");
    // The last one is refused for what it announces.
    let long = post("/emails", "").replace("Content-Length: 0", "Content-Length: 99999999");
    let requests = [post("/emails", resend), post("/emails", "{}"), get, post_with("/email", token, postmark), long];
    let mut codes = Vec::new();
    for request in &requests {
        codes.push(house.client.ask(request).await.status);
    }
    assert_eq!(codes, [200, 422, 200, 200, 413]);
    let told = house.front.meter.take("api").unwrap().bodies;
    let told: Vec<_> = told.iter().map(|(api, spread)| (*api, spread.counts[0], spread.sum)).collect();
    let octets = |bodies: &[&str]| bodies.iter().map(|body| body.len() as u64).sum::<u64>();
    assert_eq!(told, [(Api::Resend, 2, octets(&[resend, "{}"])), (Api::Postmark, 1, octets(&[postmark]))]);
}

proptest! {
    #[test]
    fn no_body_makes_a_surface_panic_and_no_refusal_repeats_a_text(
        names in prop::sample::subsequence(
            vec!["from", "to", "subject", "text", "attachments", "headers", "From", "To", "Cc", "TextBody", "Headers", "Attachments", "replyTo"],
            0..6,
        ),
        values in prop::collection::vec(
            r#"(null|7|\[[0-9, ]{0,6}\]|"s3cr3t"|"[a@<>,\u{e4}]{0,9}"|\[\{"(Name|Content|content|filename)":"s3cr3t"\}\]|\{"a":"b"\})"#,
            6,
        ),
    ) {
        let members: Vec<_> = names.iter().zip(&values).map(|(name, value)| format!("\"{name}\":{value}")).collect();
        let body = format!("{{{}}}", members.join(","));
        let Ok(node) = parse_octets(body.as_bytes(), false) else { return Ok(()) };
        let echo = &mut super::postmark::Echo::default();
        let read = [super::gateway::letter(node.clone()), super::resend::letter(node.clone()), super::usesend::letter(node.clone())];
        for fault in read.into_iter().filter_map(Result::err) {
            prop_assert!(!format!("{fault:?}").contains("s3cr3t"), "{body}: {fault:?}");
        }
        // Of this one's clients addresses are read back, and nothing else.
        if let Err(fault) = super::postmark::letter(node, echo) {
            let told = fault.message.replace("address: 's3cr3t'", "");
            prop_assert!(!told.contains("s3cr3t"), "{body}: {fault:?}");
        }
    }
}
