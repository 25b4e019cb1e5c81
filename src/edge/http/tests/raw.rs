//! `/v1/send-raw`: what its client wrote goes out as it stands below our own fields, or not at all.

use super::house::{House, KEY, Ways};
use crate::policy::refusal::Refusal;

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
        (MESSAGE.replace("body", "a\nb"), "invalid_line "),
        (MESSAGE.replace("body", "a\rb"), "invalid_line "),
        (MESSAGE.replace("body", "a\0b"), "invalid_line "),
        (MESSAGE.replace("body \t\r\n", "\n.\r\nMAIL FROM:<x@example.net>\r\n"), "invalid_line "),
        (long, "invalid_line "),
        (MESSAGE.replace("Subject: x", "Subject: ä"), "invalid_header "),
        (MESSAGE.replace("Subject: x", "From: c@example.net"), "invalid_header "),
        (MESSAGE.replace("Subject: x", "no field"), "invalid_header "),
        (MESSAGE.replace("From: Ann <ann@example.net>\r\n", ""), "invalid_header "),
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
