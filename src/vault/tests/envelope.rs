//! What an envelope says beside its addresses, from MAIL to the courier.

use super::*;
use crate::ipc::session::Tls;
use crate::mail::dsn::{Notify, Report, Ret, Wish};
use crate::mail::envelope::Utf8;

/// A message that is kept, with all that may be said of it.
async fn keep(edge: &mut Edge, manner: &Manner, recipients: &[Addressee]) {
    let kept = submit(edge, manner, recipients, false).await;
    assert!(matches!(kept, Answer::Kept { .. }), "{kept:?}");
}

async fn submit(edge: &mut Edge, manner: &Manner, recipients: &[Addressee], utf8: bool) -> Answer {
    let (slot, sender, helo) = (Slot(1), Some(address("a@example.net")), "client.example.net".to_owned());
    let tls = manner.require_tls.then(|| Tls { version: "TLSv1.3".into(), cipher: "x".into(), client: None });
    let mail = Ask::Mail { slot, sender, size: None, manner: manner.clone(), helo, tls, once: None };
    let reserved = edge.ask(mail).await;
    if !matches!(reserved, Answer::Reserved { .. }) {
        return reserved;
    }
    edge.asks.send(Ask::Recipients { slot, batch: recipients.to_vec() }).await.unwrap();
    assert!(matches!(edge.ask(Ask::Content { slot }).await, Answer::Credit { .. }));
    edge.asks.send(Ask::Chunk { slot, octets: Octets(b"x\r\n".to_vec()) }).await.unwrap();
    let facts = Facts { authors: vec![address("a@example.net")], received: 1, utf8, ..Facts::default() };
    let mut answer = edge.ask(Ask::Commit { slot, facts }).await;
    // What is refused already has its credit back.
    while matches!(answer, Answer::Credit { .. }) {
        answer = edge.answer().await;
    }
    answer
}

#[test]
fn rule_x5_rule_x6_what_was_asked_of_reports_is_kept_over_a_restart() {
    let bench = Bench::new();
    let envid = Some("order+2B7".to_owned().try_into().unwrap());
    let manners = [Some(Ret::Full), Some(Ret::Headers), None]
        .map(|ret| Manner { report: Report { ret, envid: envid.clone() }, ..Manner::default() });
    let wish = |notify: &str| Wish {
        notify: Some(Notify::parse(notify).unwrap()),
        orcpt: Some("rfc822;c@example.org".to_owned().try_into().unwrap()),
    };
    let to = |text: &str, wish: Wish| Addressee { address: address(text), wish };
    let recipients = [
        to("b@example.org", wish("NEVER")),
        to("c@example.org", wish("SUCCESS,DELAY")),
        to("d@example.org", Wish::default()),
    ];
    let mut vault = bench.run();
    test(async {
        let mut edge = vault.edge();
        edge.login(&bench, 1).await;
        for manner in &manners {
            keep(&mut edge, manner, &recipients).await;
        }
    });
    vault.drain();
    let mut vault = bench.run();
    test(async {
        let mut courier = vault.courier().await;
        for manner in &manners {
            let (job, _, offered, _, asked) = courier.envelope().await;
            assert_eq!(&asked, manner);
            assert_eq!(offered.into_iter().map(|(_, to)| to).collect::<Vec<_>>(), recipients);
            for number in 0..3 {
                courier.say(job, number, Outcome::Delivered(said(250))).await;
            }
            courier.settled(job).await;
        }
    });
    vault.drain();
}

#[test]
fn rule_x3_rule_x4_whether_utf8_is_asked_for_or_needed_reaches_the_courier() {
    let bench = Bench::new();
    let asked = Manner { utf8: Utf8::Allowed, ..Manner::default() };
    let recipients = [address("jörg@bücher.example").into(), address("b@example.org").into()];
    let mut vault = bench.run();
    test(async {
        let mut edge = vault.edge();
        edge.login(&bench, 1).await;
        for utf8 in [false, true] {
            let kept = submit(&mut edge, &asked, &recipients, utf8).await;
            assert!(matches!(kept, Answer::Kept { .. }), "{kept:?}");
        }
        // What an edge must not have taken is not taken.
        for (recipients, utf8) in [(&recipients[..], false), (&recipients[1..], true)] {
            let refused = submit(&mut edge, &Manner::default(), recipients, utf8).await;
            assert!(matches!(refused, Answer::Refused { refusal: Refusal::Utf8, .. }), "{refused:?}");
        }
        let (slot, sender, helo) = (Slot(1), Some(address("jörg@example.net")), String::new());
        let manner = Manner::default();
        let refused = edge.ask(Ask::Mail { slot, sender, size: None, manner, helo, tls: None, once: None }).await;
        assert!(matches!(refused, Answer::Refused { refusal: Refusal::Utf8, .. }), "{refused:?}");
    });
    vault.drain();
    let mut vault = bench.run();
    test(async {
        let mut courier = vault.courier().await;
        for utf8 in [Utf8::Allowed, Utf8::Needed] {
            let (job, _, offered, _, manner) = courier.envelope().await;
            assert_eq!(manner.utf8, utf8);
            assert_eq!(offered.into_iter().map(|(_, to)| to).collect::<Vec<_>>(), recipients);
            for number in 0..2 {
                courier.say(job, number, Outcome::Delivered(said(250))).await;
            }
            courier.settled(job).await;
        }
    });
    vault.drain();
    // The log has the domain as every rule about it has.
    let delivered = bench.events(&Filter { event: Some("deliver.success".into()), ..Filter::default() });
    assert!(delivered.iter().any(|event| event.get("rcpt_domain") == Some("xn--bcher-kva.example")));
    let spelled = Filter { recipient: Some("jörg@Bücher.example".into()), ..Filter::default() };
    assert!(!bench.events(&spelled).is_empty());
}

#[test]
fn rule_x8_requiretls_is_kept_and_taken_only_where_it_can_be_kept_to() {
    let tagged = Manner { require_tls: true, ..Manner::default() };
    let recipients = [address("b@example.org").into()];
    let mut bench = Bench::new();
    let mut vault = bench.run();
    test(async {
        let mut edge = vault.edge();
        edge.login(&bench, 1).await;
        let refused = submit(&mut edge, &tagged, &recipients, false).await;
        assert!(matches!(refused, Answer::Refused { refusal: Refusal::RequireTls, .. }), "no way: {refused:?}");
    });
    vault.drain();
    bench.slice.routes[0].requiretls = true;
    let mut vault = bench.run();
    test(async {
        let mut edge = vault.edge();
        edge.login(&bench, 1).await;
        let (slot, sender, helo) = (Slot(1), Some(address("a@example.net")), String::new());
        let manner = tagged.clone();
        let refused = edge.ask(Ask::Mail { slot, sender, size: None, manner, helo, tls: None, once: None }).await;
        assert!(matches!(refused, Answer::Refused { refusal: Refusal::RequireTls, .. }), "in clear: {refused:?}");
        keep(&mut edge, &tagged, &recipients).await;
        keep(&mut edge, &Manner::default(), &recipients).await;
    });
    vault.drain();
    let mut vault = bench.run();
    test(async {
        let mut courier = vault.courier().await;
        for manner in [tagged.clone(), Manner::default()] {
            let (job, _, _, _, said_of_it) = courier.envelope().await;
            assert_eq!(said_of_it, manner);
            courier.say(job, 0, Outcome::Delivered(said(250))).await;
            courier.settled(job).await;
        }
    });
    vault.drain();
    let accepted = bench.events(&Filter { event: Some("msg.accept".into()), ..Filter::default() });
    let promises: Vec<_> = accepted.iter().map(|event| event.get("data").unwrap_or_default()).collect();
    assert_eq!(promises, [r#"{"requiretls":true}"#, ""]);
}

#[test]
fn rule_x10_what_is_held_waits_for_its_time_and_lives_from_then_on() {
    let mut bench = Bench::new();
    let hour = Duration::from_secs(3600);
    let recipients = [address("b@example.org").into()];
    let at = |wait: Duration| {
        let release_us = Some(now_us() + u64::try_from(wait.as_micros()).unwrap());
        Manner { release_us, ..Manner::default() }
    };
    let mut vault = bench.run();
    test(async {
        let mut edge = vault.edge();
        edge.login(&bench, 1).await;
        let refused = submit(&mut edge, &at(hour), &recipients, false).await;
        assert!(matches!(refused, Answer::Refused { refusal: Refusal::HeldTooLong, .. }), "not here: {refused:?}");
    });
    vault.drain();
    for counter in &mut bench.slice.listeners {
        counter.future_release = Some(hour);
    }
    let held = at(hour);
    let mut vault = bench.run();
    test(async {
        let mut edge = vault.edge();
        edge.login(&bench, 1).await;
        let refused = submit(&mut edge, &at(2 * hour), &recipients, false).await;
        assert!(matches!(refused, Answer::Refused { refusal: Refusal::HeldTooLong, .. }), "too long: {refused:?}");
        keep(&mut edge, &held, &recipients).await;
        keep(&mut edge, &at(Duration::ZERO), &[address("c@example.org").into()]).await;
        let mut courier = vault.courier().await;
        let (job, _, offered, _) = courier.message().await;
        assert_eq!(offered[0].1, address("c@example.org"), "the other waits");
        courier.say(job, 0, Outcome::Delivered(said(250))).await;
        courier.settled(job).await;
    });
    vault.drain();
    let release = held.release_us.unwrap();
    let lifetime = bench.slice.lifetime.as_micros();
    assert_eq!(bench.count(&format!("SELECT count(*) FROM spool_rcpt WHERE state = 0 AND next_us = {release}")), 1);
    assert_eq!(bench.count(&format!("SELECT count(*) FROM spool_msg WHERE expires_us = {release} + {lifetime}")), 1);
    let accepted = bench.events(&Filter { event: Some("msg.accept".into()), ..Filter::default() });
    assert_eq!(accepted[0].get("data"), Some(format!(r#"{{"held_until_us":{release}}}"#).as_str()));
}
