//! Room for a batch: all of it or none, whatever others of the credential ask for meanwhile.

use super::super::ahead::Ahead;
use super::*;
use crate::ipc::inquiry::{Batch, OfDomain};

fn batch(messages: u32, recipients: u32, octets: u64) -> Batch {
    Batch { messages, recipients, octets, ..Batch::default() }
}

fn ahead(desk: &mut Desk, batch: &Batch, now: Now) -> Result<Ahead, Denied> {
    let (rules, tiers, anomaly, address, credential) = desk.origin();
    let origin = Origin { credential, rules: &rules, tiers: &tiers, anomaly, address: Some(address) };
    desk.limits.reserve_all(&origin, batch, now)
}

/// MAIL to the dot of one message of a batch.
fn send(desk: &mut Desk, all: &mut Ahead, to: &[&str], octets: u64) -> Result<(), Denied> {
    let mut place = all.draw("shop", octets).expect("a place");
    all.name(&mut place, u64::try_from(to.len()).unwrap());
    desk.accept(&mut place, to, octets, at(0))
}

#[test]
fn a_batch_has_room_whole_or_not_at_all_and_nobody_takes_it_from_it() {
    let rules = Rules {
        per_minute: Some(60),
        burst: Some(10),
        recipients_per_day: Some(12),
        bytes_per_day: Some(5000),
        ..Rules::default()
    };
    let mut desk = Desk::new(rules);
    desk.send(ONE, at(0)).unwrap();
    // A message and a recipient are used up, and 1000 octets.
    for (asked, refusal) in [
        (batch(10, 10, 100), Refusal::RateLimited(1)),
        (batch(11, 11, 100), Refusal::TooManyRecipients),
        (batch(2, 13, 100), Refusal::TooManyRecipients),
        (batch(2, 2, 5001), Refusal::TooBig),
    ] {
        assert_eq!(ahead(&mut desk, &asked, at(0)).unwrap_err().refusal, refusal, "{asked:?}");
    }
    assert!(matches!(ahead(&mut desk, &batch(2, 12, 100), at(0)).unwrap_err().refusal, Refusal::QuotaExceeded(_)));
    let two = ["b@example.org", "c@example.org"];
    let mut all = ahead(&mut desk, &batch(5, 10, 4000), at(0)).unwrap();
    // Of messages four are left for others; of recipients one, and of octets none.
    let other = |desk: &mut Desk, bytes| {
        let mut place = desk.reserve(at(0))?;
        let taken = desk.accept(&mut place, &two, bytes, at(0));
        desk.limits.release(place, at(0));
        taken
    };
    assert!(matches!(other(&mut desk, 1).unwrap_err().refusal, Refusal::QuotaExceeded(_)));
    for n in 0..5 {
        assert_eq!(send(&mut desk, &mut all, &two, 800), Ok(()), "{n}");
    }
    assert!(all.draw("shop", 1).is_none() && all.draw("billing", 1).is_none());
    desk.limits.release_all(&all);
    assert!(matches!(desk.send(ONE, at(0)).unwrap_err().refusal, Refusal::QuotaExceeded(_)));
}

#[test]
fn what_a_batch_does_not_use_is_given_back_and_its_domains_are_looked_at() {
    let of_domain = Rates { per_minute: Some(60), burst: Some(2), ..Rates::default() };
    let rules =
        Rules { per_minute: Some(60), burst: Some(3), per_recipient_domain: Some(of_domain), ..Rules::default() };
    let mut desk = Desk::new(rules);
    let mut all = ahead(&mut desk, &batch(3, 3, 300), at(0)).unwrap();
    assert_eq!(send(&mut desk, &mut all, ONE, 100), Ok(()));
    assert_eq!(desk.reserve(at(0)).unwrap_err().refusal, Refusal::RateLimited(1));
    // One that came to nothing gives its own back, and the batch what it hasn't asked for.
    let lost = all.draw("shop", 100).unwrap();
    desk.limits.release(lost, at(0));
    desk.limits.release_all(&all);
    let domain = |messages| OfDomain { domain: "example.org".into(), messages, recipients: messages };
    let named = |messages| Batch { domains: vec![domain(messages)], ..batch(2, 2, 200) };
    let denied = ahead(&mut desk, &named(2), at(0)).unwrap_err();
    assert_eq!((denied.refusal, denied.by.unwrap().key.tier), (Refusal::RateLimited(1), Tier::RecipientDomain));
    assert!(ahead(&mut desk, &named(1), at(0)).is_ok());
}
