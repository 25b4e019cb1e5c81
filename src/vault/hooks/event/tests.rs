//! What is read of an event, and whom it is about.

use serde_json::{Value, json};

use super::*;

fn event(kind: &str, data: Value) -> Event {
    let mut whole = json!({ "id": "em_1", "to": ["rosa@example.org"] });
    whole.as_object_mut().unwrap().extend(data.as_object().unwrap().clone());
    let body =
        json!({ "id": "call_1", "type": kind, "version": "2026-01-18", "teamId": 7, "data": whole, "attempt": 1 });
    match read(body.to_string().as_bytes()) {
        Read::Event(event) => *event,
        other => panic!("{other:?}"),
    }
}

fn address(text: &str) -> Address {
    Address::parse_international(text).unwrap()
}

#[test]
fn a_bounce_is_hard_where_no_such_mailbox_is_there() {
    for (kind, part, message, code, enhanced) in [
        ("Permanent", "General", "smtp; 550 5.1.1 <rosa@example.org> unknown", 550, "5.1.1"),
        ("Permanent", "NoEmail", "", 550, "5.1.1"),
        ("Permanent", "General", "", 550, "5.0.0"),
        ("Permanent", "General", "smtp; 550 blocked using example-rbl", 550, "5.0.0"),
        ("Permanent", "General", "smtp; 550-5.7.26 x 5.7.26 y", 550, "5.7.26"),
        ("Permanent", "Suppressed", "", 550, "5.0.0"),
        ("Transient", "MailboxFull", "smtp; 552 5.2.2 full", 450, "4.0.0"),
        ("Undetermined", "General", "4.2.2", 450, "4.2.2"),
    ] {
        let bounce = json!({ "bounce": { "type": kind, "subType": part, "message": message } });
        let event = event("email.bounced", bounce);
        assert_eq!((event.code, event.enhanced.as_str()), (code, enhanced), "{kind} {part} {message}");
    }
    assert_eq!(event("email.bounced", json!({})).code, 450, "nothing is said of its kind");
}

#[test]
fn what_an_event_can_do_without_does_not_refuse_it_for_its_type() {
    for wrong in [json!(7), json!(null), json!("x"), json!([1]), json!({ "a": 1 })] {
        for member in ["to", "bounce", "failed", "suppression", "metadata"] {
            let read = event("email.bounced", json!({ member: wrong }));
            assert_eq!((read.kind, read.reference.as_str()), (Kind::Bounced, "em_1"), "{member}: {wrong}");
        }
        let bounce = json!({ "type": "Permanent", "subType": wrong, "message": "550 5.1.1 gone" });
        let read = event("email.bounced", json!({ "bounce": bounce }));
        assert_eq!((read.code, read.enhanced.as_str()), (550, "5.1.1"), "the rest of it is read: {wrong}");
        let failed = event("email.failed", json!({ "failed": { "reason": wrong } }));
        assert!(failed.text.starts_with("told later: failed"), "{wrong}");
    }
    let long = event("email.failed", json!({ "failed": { "reason": "x".repeat(60_000) } }));
    assert!(long.text.len() <= MAX_TEXT, "a provider's words are cut");
}

#[test]
fn what_can_not_be_read_is_told_apart_from_what_means_nothing_here() {
    for body in ["", "{", "[]", "{}", "null", "{\"id\":1,\"type\":\"email.bounced\",\"data\":{\"id\":\"x\"}}"] {
        assert_eq!(read(body.as_bytes()), Read::Unreadable, "{body}");
    }
    let deep = format!("{{\"id\":\"c\",\"type\":\"email.sent\",\"data\":{}{}}}", "[".repeat(9000), "]".repeat(9000));
    assert_eq!(read(deep.as_bytes()), Read::Unreadable);
    let with = |call: &str, kind: &str, id: &str| {
        read(json!({ "id": call, "type": kind, "data": { "id": id } }).to_string().as_bytes())
    };
    for kind in
        ["email.sent", "email.queued", "email.opened", "email.clicked", "contact.created", "webhook.test", "new"]
    {
        assert_eq!(with("c", kind, "x"), Read::Other, "{kind}");
    }
    for (call, id) in [("", "x"), ("c", ""), ("c c", "x"), ("c", "x\ny"), ("c", &"x".repeat(MAX_REFERENCE + 1))] {
        assert_eq!(with(call, "email.delivered", id), Read::Unreadable, "{call:?} {id:?}");
    }
}

#[test]
fn every_kind_has_a_bit_and_a_word_of_its_own() {
    let bits = Kind::ALL.iter().fold(0, |all, kind| all | kind.bit());
    assert_eq!(bits.count_ones() as usize, Kind::ALL.len());
    assert_eq!(Kind::ALL.iter().filter(|kind| kind.is_failure()).count(), 6);
}

#[test]
fn whom_it_is_about_is_said_by_the_only_recipient_and_a_hosts_words_are_a_hint() {
    let (rosa, ann) = (address("Rosa@example.org"), address("ann@example.org"));
    let bounce =
        |message: &str| event("email.bounced", json!({ "bounce": { "type": "Permanent", "message": message } }));
    assert_eq!(bounce("").about(&[&rosa]), (vec![&rosa], true));
    assert_eq!(bounce("").about(&[&ann]), (vec![], true), "it names somebody else");
    assert_eq!(bounce("").about(&[&rosa, &ann]), (vec![&rosa, &ann], false), "ann may be in Bcc");
    let quoting = bounce("<ann@example.org>: gone");
    assert_eq!(quoting.about(&[&rosa, &ann]), (vec![&ann], false), "any host may say so: it is no proof");
    for not in ["joann@example.org", "ann@example.org.net", "x.ann@example.org"] {
        assert_eq!(bounce(not).about(&[&rosa, &ann]), (vec![&rosa, &ann], false), "{not}");
    }
    let eve = address("eve@example.org");
    assert_eq!(bounce("").about(&[&eve, &ann]), (vec![], false), "it names nobody of them");
    assert_eq!((bounce("").strangers(&[&ann]), bounce("").strangers(&[&rosa])), (1, 0));
    let odd = event("email.delivered", json!({ "to": ["no address", 7, "rosa@example.org"] }));
    assert_eq!((odd.strange, odd.named.len()), (2, 1));
}
