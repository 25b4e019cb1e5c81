//! `/v1/send-raw`: what its client wrote goes out as it stands below our own fields, or not at all.

use super::house::{House, KEY, Ways, post_with};
use crate::mail::flaw::Flaw;
use crate::policy::Grant;
use crate::policy::refusal::Refusal;
use crate::policy::scope::Scope;

const MESSAGE: &str = "From: Ann <ann@example.net>\r\nTo: b@example.org\r\nBcc: secret@example.org\r\nSubject: x\r\n\
                       X-Odd:  two  blanks\r\n\r\n.dot\r\nbody \t\r\n";

fn ask(fields: &str, message: &str) -> String {
    format!(
        "POST /v1/send-raw HTTP/1.1\r\nHost: gate\r\nAuthorization: Bearer {KEY}\r\nContent-Type: message/rfc822\r\n{fields}\
         Content-Length: {}\r\n\r\n{message}",
        message.len()
    )
}

#[tokio::test]
async fn a_whole_message_goes_out_as_it_stands_to_whom_it_names_without_its_bcc() {
    let mut house = House::new(Ways::default());
    let response = house.client.ask(&ask("", MESSAGE)).await;
    assert_eq!((response.status, &response.body["status"]), (202, &"accepted".into()), "{response:?}");
    let named = "X-Mail-From: <bounce@example.net>\r\nX-Rcpt-To: c@example.org\r\nX-Rcpt-To: <c@example.org>\r\n";
    assert_eq!(house.client.ask(&ask(named, MESSAGE)).await.status, 202);
    let seen = house.hang_up().await;
    let [message, other] = seen.kept.as_slice() else { panic!("{seen:?}") };
    assert_eq!(response.body["message_id"], format!("<{}>", message.facts.message_id));
    assert_eq!(
        (message.sender.as_str(), &message.recipients[..]),
        ("ann@example.net", &["b@example.org".to_owned(), "secret@example.org".to_owned()][..])
    );
    assert_eq!(
        (other.sender.as_str(), &other.recipients[..]),
        ("bounce@example.net", &["c@example.org".to_owned()][..])
    );
    let below = MESSAGE.replace("Bcc: secret@example.org\r\n", "");
    let (header, body) = below.split_once("\r\n\r\n").unwrap();
    assert!(
        message
            .content
            .starts_with("Received: from localhost (address not shown)\r\n\tby gate.example.net (Gatepost api)")
    );
    assert!(message.content.contains(&format!("\r\n{header}\r\nDate: ")), "{}", message.content);
    assert!(message.content.ends_with(&format!(">\r\n\r\n{body}")), "{}", message.content);
    assert_eq!(message.size, message.content.len() as u64);
    assert!(!message.content.contains("secret"));
}

#[tokio::test]
async fn what_smtp_does_not_take_is_not_taken_here() {
    let long = format!("{MESSAGE}{}\r\n", "x".repeat(1000));
    for (message, finding) in [
        (MESSAGE.replace("body", "a\nb"), "invalid_line message"),
        (MESSAGE.replace("body", "a\rb"), "invalid_line message"),
        (MESSAGE.replace("body", "a\0b"), "invalid_line message"),
        (MESSAGE.replace("body \t\r\n", "\n.\r\nMAIL FROM:<x@example.net>\r\n"), "invalid_line message"),
        (long, "invalid_line message"),
        (MESSAGE.replace("Subject: x", "Subject: ä"), "invalid_header message"),
        (MESSAGE.replace("Subject: x", "From: c@example.net"), "invalid_header From"),
        (MESSAGE.replace("Subject: x", "no field"), "invalid_header message"),
        (MESSAGE.replace("From: Ann <ann@example.net>\r\n", ""), "invalid_header From"),
        (MESSAGE.replace("ann@example.net", "ceo@evil.example"), "sender_not_allowed From"),
        (MESSAGE.replace("b@example.org", "b@competitor.example"), "recipient_not_allowed To"),
        ("From: ann@example.net\r\n\r\nx\r\n".to_owned(), "required X-Rcpt-To"),
    ] {
        let mut house = House::new(Ways::default());
        let response = house.client.ask(&ask("", &message)).await;
        assert_eq!(response.findings(), [finding], "{message}");
        let seen = house.hang_up().await;
        assert_eq!((seen.mails, seen.kept.len()), (0, 0), "{message}");
    }
    let mut house = House::new(Ways::default());
    let forged = ask("X-Mail-From: ann@example.net\r\n", &MESSAGE.replace("ann@example.net", "ceo@evil.example"));
    assert_eq!(house.client.ask(&forged).await.code(), "forbidden_sender");
    assert_eq!(house.hang_up().await.turned[0].3, Refusal::AuthorNotAllowed);
    let mut house = House::new(Ways::default());
    let json = ask("", MESSAGE).replace("message/rfc822", "application/json");
    assert_eq!(house.client.ask(&json).await.code(), "unsupported_media_type");
    let twice = ask("X-Mail-From: a@example.net\r\nX-Mail-From: b@example.net\r\n", MESSAGE);
    assert_eq!(House::new(Ways::default()).client.ask(&twice).await.status, 400);
    let vast = House::new(Ways::default()).client.ask(&ask("", &format!("{MESSAGE}{}", "x\r\n".repeat(400_000)))).await;
    assert_eq!(vast.status, 413);
}

#[tokio::test]
async fn whose_scopes_lack_send_raw_is_told_so_before_its_message_is_read() {
    for (grants, path, status) in [
        ((|grant| grant.scopes.0 = [Scope::Send].into()) as fn(&mut Grant), "/v1/send-raw", 403),
        (|grant| grant.scopes.0 = [Scope::SendRaw].into(), "/v1/send-raw", 202),
        (|grant| grant.scopes.0 = [Scope::SendRaw].into(), "/v1/send", 403),
        (|grant| grant.scopes.0 = [Scope::Send].into(), "/v1/send", 202),
    ] {
        let mut house = House::new(Ways { grants: Some(grants), ..Ways::default() });
        let response = match path {
            "/v1/send" => house.client.send(super::GOOD).await,
            // Of one that is refused for its scope nothing is known, least of all what it says of itself.
            // And nothing of its message is waited for.
            _ if status == 403 => {
                let head = ask("X-Mail-From: ceo@customer.example\r\n", "");
                house.client.ask(&head.replace("Content-Length: 0", "Content-Length: 15000000")).await
            }
            _ => house.client.ask(&ask("", MESSAGE)).await,
        };
        assert_eq!(response.status, status, "{path} {response:?}");
        let seen = house.hang_up().await;
        if status == 403 {
            let word = if path == "/v1/send" { "\"send\"" } else { "\"send_raw\"" };
            assert!(response.code() == "insufficient_scope" && response.message().contains(word), "{response:?}");
            assert_eq!(seen.turned, [(None, None, 0, Refusal::Scope)]);
            assert_eq!((seen.unfit.len(), seen.mails), (0, 0));
        }
    }
}

#[tokio::test]
async fn the_sender_is_judged_before_the_message_and_none_that_may_not_be_is_in_the_log() {
    let broken = MESSAGE.replace("Subject: x", "no field");
    let mut house = House::new(Ways::default());
    let foreign = house.client.ask(&ask("X-Mail-From: ceo@customer.example\r\n", &broken)).await;
    assert_eq!(
        (foreign.code(), foreign.findings()),
        ("forbidden_sender", vec!["sender_not_allowed X-Mail-From".into()])
    );
    let own = house.client.ask(&ask("X-Mail-From: bounce@example.net\r\n", &broken)).await;
    assert_eq!(own.findings(), ["invalid_header message"]);
    // Nor one that only a message says that can't be read.
    assert_eq!(house.client.ask(&ask("", &broken)).await.findings(), ["invalid_header message"]);
    let seen = house.hang_up().await;
    assert_eq!(seen.turned, [(Some("ceo@customer.example".into()), None, 0, Refusal::SenderNotAllowed)]);
    assert_eq!(seen.unfit, [(Some("bounce@example.net".into()), Flaw::Line), (None, Flaw::Line)]);
}

#[tokio::test]
async fn recipients_may_stand_in_one_field_or_in_several() {
    for fields in [
        "X-Rcpt-To: a@example.org, <b@example.org>,c@example.org\r\n",
        "X-Rcpt-To: a@example.org,, b@example.org ,\r\nX-Rcpt-To: <c@example.org>\r\n",
        "X-Rcpt-To: a@example.org\r\nX-Rcpt-To: b@example.org\r\nX-Rcpt-To: c@example.org,a@example.org\r\n",
    ] {
        let mut house = House::new(Ways::default());
        assert_eq!(house.client.ask(&ask(fields, MESSAGE)).await.status, 202, "{fields}");
        let seen = house.hang_up().await;
        assert_eq!(seen.kept[0].recipients, ["a@example.org", "b@example.org", "c@example.org"], "{fields}");
    }
    for (fields, findings) in [
        // None named is not nobody named: the message's own would be others.
        ("X-Rcpt-To: ,\r\n", &["invalid_address X-Rcpt-To"][..]),
        ("X-Rcpt-To:\r\n", &["invalid_address X-Rcpt-To"]),
        ("X-Rcpt-To: \"a,b\"@example.org\r\n", &["invalid_address X-Rcpt-To"; 2]),
        ("X-Rcpt-To: a@example.org b@example.org\r\n", &["invalid_address X-Rcpt-To"]),
        ("X-Mail-From: <>\r\nX-Rcpt-To: a\r\n", &["invalid_address X-Mail-From", "invalid_address X-Rcpt-To"]),
        ("X-Mail-From: a@example.net, b@example.net\r\n", &["invalid_address X-Mail-From"]),
        ("X-Rcpt-To: b@competitor.example\r\n", &["recipient_not_allowed X-Rcpt-To"]),
    ] {
        let mut house = House::new(Ways::default());
        let response = house.client.ask(&ask(fields, MESSAGE)).await;
        assert_eq!(response.findings(), findings, "{fields}");
        assert_eq!(house.hang_up().await.mails, 0);
    }
}

#[tokio::test]
async fn all_that_is_wrong_is_told_at_once_where_it_stands() {
    let list = |n: usize| (0..n).map(|n| format!("r{n}@example.org")).collect::<Vec<_>>().join(",\r\n ");
    let to = |list: &str| MESSAGE.replace("b@example.org", list);
    for (fields, message, findings) in [
        (
            "X-Rcpt-To: a, b\r\n",
            MESSAGE.replace("body", "\n"),
            vec!["invalid_address X-Rcpt-To", "invalid_address X-Rcpt-To", "invalid_line message"],
        ),
        (
            "X-Mail-From: a\r\n",
            MESSAGE.replace("Subject: x", "To: c@example.org"),
            vec!["invalid_address X-Mail-From", "invalid_header To"],
        ),
        (
            "",
            to("a b, c@example.org").replace("secret@", "\"x y\"@"),
            vec!["invalid_address To", "invalid_address Bcc"],
        ),
        ("", to("b@example.org\r\nResent-To: c@example.org"), vec!["required X-Rcpt-To"]),
        ("", to("undisclosed-recipients:;").replace("Bcc: secret@example.org\r\n", ""), vec!["required X-Rcpt-To"]),
        ("", MESSAGE.replace("Ann <", "c@example.net, Ann <"), vec!["required From"]),
        ("", MESSAGE.replace("X-Odd", "Sender: x@evil.example\r\nX-Odd"), vec!["sender_not_allowed Sender"]),
        (
            "X-Mail-From: a@example.net\r\n",
            MESSAGE.replace("X-Odd", "Sender: x@evil.example\r\nX-Odd"),
            vec!["sender_not_allowed Sender"],
        ),
        ("", MESSAGE.replace("X-Odd", "Sender: \"a b\"@example.net\r\nX-Odd"), vec!["invalid_address Sender"]),
        ("", to(&list(60)), vec!["too_many To"]),
        ("", to(&list(6)), vec!["too_many To"]),
        // Whoever reads no further than so many knows nobody behind them.
        ("", to(&format!("{},\r\n c@example.org", ["b@example.org"; 51].join(",\r\n "))), vec!["too_many To"]),
        (
            "",
            to(&list(40)).replace("X-Odd", &format!("Cc: {}\r\nX-Odd", list(45).replace('r', "q"))),
            vec!["too_many To"],
        ),
        (
            "",
            to("b@competitor.example").replace("secret@example.org", "c@competitor.example"),
            vec!["recipient_not_allowed To", "recipient_not_allowed Bcc"],
        ),
        (
            "",
            MESSAGE.replace("X-Odd", &format!("{}X-Odd", "Received: x\r\n".repeat(100))),
            vec!["invalid_header Received"],
        ),
    ] {
        let mut house = House::new(Ways::default());
        let response = house.client.ask(&ask(fields, &message)).await;
        assert_eq!(response.findings(), findings, "{message}");
        assert_eq!(house.hang_up().await.mails, 0, "{message}");
    }
    // Somebody named twice is one.
    let mut house = House::new(Ways::default());
    let twice = to(&format!("{}\r\nCc: {}", list(5), list(5))).replace("Bcc: secret@example.org\r\n", "");
    assert_eq!(house.client.ask(&ask("", &twice)).await.status, 202);
    for (refusal, finding) in [
        (Refusal::NoRoute, "no_route X-Rcpt-To"),
        (Refusal::Suppressed, "suppressed X-Rcpt-To"),
        (Refusal::BackedUp(7), "backed_up X-Rcpt-To"),
        (Refusal::TooManyRecipients, "too_many X-Rcpt-To"),
        (Refusal::AuthorNotAllowed, "sender_not_allowed From"),
    ] {
        let mut house = House::new(Ways { at_commit: Some(refusal), ..Ways::default() });
        let response = house.client.ask(&ask("X-Rcpt-To: b@example.org\r\n", MESSAGE)).await;
        assert_eq!(response.findings(), [finding]);
    }
}

#[tokio::test]
async fn several_authors_need_a_sender_and_whose_mail_is_rewritten_does_not_say_so() {
    let authors = MESSAGE.replace("Ann <ann@example.net>", "a@example.net, b@example.net");
    let mut house = House::new(Ways::default());
    let with_sender = authors.replace("X-Odd", "Sender: c@example.net\r\nX-Odd");
    assert_eq!(house.client.ask(&ask("", &with_sender)).await.status, 202);
    assert_eq!(house.client.ask(&ask("X-Mail-From: d@example.net\r\n", &authors)).await.status, 202);
    let kept = house.hang_up().await.kept;
    assert_eq!((kept[0].sender.as_str(), kept[1].sender.as_str()), ("c@example.net", "d@example.net"));
    assert_eq!(kept[1].facts.authors.len(), 2);

    let grants: fn(&mut Grant) = |grant| {
        grant.rewrite = vec!["ann@old.example=ann@example.net".parse().unwrap()];
    };
    let mut house = House::new(Ways { grants: Some(grants), ..Ways::default() });
    let response = house.client.ask(&ask("", &MESSAGE.replace("ann@example.net", "ann@old.example"))).await;
    assert_eq!(response.status, 202, "{response:?}");
    let kept = house.hang_up().await.kept;
    assert_eq!(kept[0].sender, "ann@example.net");
    assert!(kept[0].content.contains("\r\nFrom: Ann <ann@example.net>\r\n"), "{}", kept[0].content);
    assert_eq!(kept[0].facts.changes.sender.as_ref().map(ToString::to_string), Some("ann@old.example".into()));
}

#[tokio::test]
async fn what_is_signed_keeps_what_its_signature_covers_or_is_not_taken() {
    let signed = |fields: &str| {
        let signature = format!("DKIM-Signature: v=1; a=ed25519-sha256; d=example.net; s=s; h={fields}; bh=x; b=x\r\n");
        format!("{signature}{MESSAGE}")
    };
    let mut house = House::new(Ways::default());
    assert_eq!(house.client.ask(&ask("", &signed("from:bcc"))).await.findings(), ["invalid_header Bcc"]);
    let response = house.client.ask(&ask("", &signed("from:date:message-id"))).await;
    assert_eq!((response.status, response.body.get("message_id")), (202, None), "{response:?}");
    let kept = house.hang_up().await.kept;
    assert!(!kept[0].content.contains("Date:") && !kept[0].content.contains("Message-ID:"), "{}", kept[0].content);
}

#[tokio::test]
async fn a_message_id_is_told_back_only_when_it_is_one() {
    for (id, told) in
        [("<1@shop.example>", Some("<1@shop.example>")), ("x <a@b> y", None), ("<a@b><c@d>", None), ("none", None)]
    {
        let mut house = House::new(Ways::default());
        let response =
            house.client.ask(&ask("", &MESSAGE.replace("X-Odd:", &format!("Message-ID: {id}\r\nX-Odd:")))).await;
        assert_eq!((response.status, response.body["message_id"].as_str()), (202, told), "{id}");
    }
}

#[tokio::test]
async fn the_same_with_the_same_key_is_kept_once_and_keys_of_letters_are_others() {
    let key = "Idempotency-Key: order-17\r\n";
    let mut house = House::new(Ways::default());
    let first = house.client.ask(&ask(key, MESSAGE)).await;
    let again = house.client.ask(&ask(key, MESSAGE)).await;
    assert_eq!((first.status, first.field("idempotency-replayed")), (202, None));
    assert_eq!((again.status, again.field("idempotency-replayed")), (202, Some("true")));
    assert_eq!(first.body, again.body);
    for (fields, message) in [
        ("", MESSAGE.replace("body", "bode")),
        ("X-Rcpt-To: c@example.org\r\n", MESSAGE.to_owned()),
        ("X-Mail-From: c@example.net\r\n", MESSAGE.to_owned()),
    ] {
        let other = house.client.ask(&ask(&format!("{key}{fields}"), &message)).await;
        assert_eq!((other.status, other.code()), (422, "idempotency_mismatch"), "{fields}");
    }
    let fields = format!("Authorization: Bearer {KEY}\r\nContent-Type: application/json\r\n{key}");
    assert_eq!(house.client.ask(&post_with(&fields, super::GOOD)).await.status, 202);
    assert_eq!(house.hang_up().await.kept.len(), 2);
}
