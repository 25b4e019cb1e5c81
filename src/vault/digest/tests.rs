//! A day is what its events say, and its digest is due when it is over.

use super::counts::{OfCredential, OfUpstream, count};
use super::*;
use crate::ipc::admin::digest::Standing;
use crate::mail::id::MessageId;
use crate::policy::principal::GATE;
use crate::policy::refusal::Refusal;
use crate::vault::audit::event::{Event, Field, Name, Outcome};
use crate::vault::audit::specimen::Specimen;

fn of(name: Name, outcome: Outcome, who: &str) -> Event {
    Event { upstream: Some("smarthost".into()), ..Event::new(name, outcome) }.with(Field::Account, who)
}

#[test]
fn the_digest_is_due_from_its_hour_on_and_not_before_the_days_last_events_are_known() {
    let at = |hour, minute: u64| due(Some(hour), 20_000 * counts::DAY_US + minute * 60_000_000);
    assert_eq!((at(7, 7 * 60 - 1), at(7, 7 * 60), at(7, 24 * 60 - 1)), (None, Some(19_999), Some(19_999)));
    assert_eq!((at(0, 4), at(0, 5)), (None, Some(19_999)));
    assert_eq!(due(None, 20_000 * counts::DAY_US + 720 * 60_000_000), None);
}

#[test]
fn a_day_is_counted_by_credential_and_by_upstream_and_others_are_not_in_it() {
    let log = Specimen::empty();
    let taken = |name, message, who: &str, recipients| {
        let event = Event::new(name, Outcome::Success).with(Field::Account, who);
        Event { message: Some(message), bytes: Some(100), rcpt_count: Some(recipients), ..event }
    };
    let accepted = |who: &str, recipients| taken(Name::MsgAccept, MessageId::now(), who, recipients);
    // Its upstream was away while its sender waited, and it was kept.
    let fallen_back = MessageId::now();
    let refused = |who: &str| Event::refusal(Refusal::SenderNotAllowed).with(Field::Account, who);
    log.append(vec![
        accepted("shop", 3),
        taken(Name::MsgIntent, fallen_back, "till", 1),
        taken(Name::MsgAccept, fallen_back, "till", 1),
        accepted(GATE, 2),
        refused("shop"),
        Event::refusal(Refusal::UnknownNetwork),
        of(Name::DeliverSuccess, Outcome::Success, "shop"),
        of(Name::DeliverDefer, Outcome::Deferred, "shop"),
        of(Name::DeliverBounce, Outcome::Failure, "shop"),
        of(Name::DeliverExpire, Outcome::Failure, "till"),
        Event::new(Name::AuthFailure, Outcome::Denied),
        Event { severity: 1, ..Event::new(Name::IntegrityFailure, Outcome::Failure) },
    ]);
    log.publish();
    let (today, now_us) = (month::today(now_us()).0, now_us());
    let counts = count(&log.audit(), today).unwrap();
    let shop = OfCredential { messages: 1, recipients: 3, octets: 100, delivered: 1, failed: 1, refused: 1 };
    assert_eq!((counts.events, counts.first, counts.last), (12, Some(0), 11));
    assert_eq!(counts.credentials["shop"], shop);
    assert_eq!(counts.credentials.keys().collect::<Vec<_>>(), ["shop", "till"], "the gate's own mail is nobody's");
    assert_eq!((counts.sum.messages, counts.sum.recipients, counts.sum.refused), (3, 6, 2));
    assert_eq!(counts.upstreams["smarthost"], OfUpstream { delivered: 1, deferred: 1, failed: 2 });
    assert_eq!((counts.refused["sender-not-allowed"], counts.failed_logins), (1, 1));
    assert_eq!(
        counts.grave.iter().map(|(name, n)| (name.as_str(), *n)).collect::<Vec<_>>(),
        [("integrity.failure", 1)]
    );
    for other in [today - 1, today + 1] {
        let counts = count(&log.audit(), other).unwrap();
        assert_eq!((counts.events, counts.credentials.len()), (0, 0), "{other}");
    }

    let standing = Standing {
        free: Some(9),
        messages: 4,
        certificates: vec![("submission".into(), 12)],
        head: Some((11, now_us)),
        alerts: vec!["certificate submission".into()],
        ..Standing::default()
    };
    let lines = sheet::lines(&counts, Some(&standing), now_us);
    for line in [
        "accepted    3 messages to 6 recipients, 300 octets",
        "  credential shop: messages=1 recipients=3 delivered=1 failed=1 refused=1",
        "  upstream smarthost: delivered=1 deferred=1 failed=2",
        "refused     2; 1 logins failed",
        "log         events 0 to 11, 12 of them",
        "certificate submission: 12 days",
        "  certificate submission",
    ] {
        assert!(lines.iter().any(|known| known == line), "{line}: {lines:#?}");
    }
    let object = sheet::object(&counts, None, now_us);
    assert_eq!((&object["sum"]["recipients"], &object["now"]), (&6.into(), &serde_json::Value::Null));
    assert_eq!(object["day"], sheet::day(today));
}
