//! What was refused, told once for each limit and window, with the number of the rest: a refusal costs nothing, so it must
//! not fill the log.

use std::collections::HashMap;

use super::denial::By;
use super::key::{Key, Tier};
use crate::vault::audit::event::{Event, Field, Name};

/// Limits that are told apart; beyond it those of a tier are told together.
const KEYS: usize = 4096;

/// The limit that a login with a remembered password is told under: none, it was let in.
pub const REMEMBERED: &str = "remembered";

#[derive(Default)]
pub struct Notices(HashMap<(Key, &'static str), Notice>);

struct Notice {
    until_us: u64,
    /// Since it was told.
    more: u64,
    event: Event,
}

impl Notices {
    /// What is to be written of a refusal: the event with its limit when it is the first in the window, nothing when that
    /// was told already.
    pub fn tell(&mut self, by: &By, event: Event, now_us: u64) -> (Option<Event>, Option<Event>) {
        let mut key = (by.key.clone(), by.limit);
        if !self.0.contains_key(&key) && self.0.len() >= KEYS {
            key.0.name = Box::default();
        }
        if let Some(notice) = self.0.get_mut(&key).filter(|notice| notice.until_us > now_us) {
            notice.more += 1;
            return (None, None);
        }
        let until_us = now_us.saturating_add(by.window_us);
        let notice = Notice { until_us, more: 0, event: general(&event, &key.0) };
        let over = self.0.insert(key, notice);
        let event = with_limit(event, by.key.tier, by.limit, None);
        (over.and_then(|notice| notice.summary(by.key.tier, by.limit)), Some(event))
    }

    /// The summaries of windows that are over, and of all of them at the end.
    pub fn over(&mut self, now_us: u64) -> Vec<Event> {
        let over = self.0.extract_if(|_, notice| notice.until_us <= now_us);
        over.filter_map(|((key, limit), notice)| notice.summary(key.tier, limit)).collect()
    }
}

impl Notice {
    fn summary(self, tier: Tier, limit: &'static str) -> Option<Event> {
        (self.more > 0).then(|| with_limit(self.event, tier, limit, Some(self.more)))
    }
}

/// What an event says of all that were refused by the same limit. Those of one credential have its name; where several may
/// have been refused, none of them is named. Logins are told for each address.
fn general(event: &Event, key: &Key) -> Event {
    let one = matches!(key.tier, Tier::Credential | Tier::RecipientDomain) && !key.name.is_empty();
    let said = |field| field == Field::Account || field == Field::ClientIp && event.name == Name::AuthSuccess;
    let account = event.personal.iter().filter(|personal| one && said(personal.field)).cloned().collect();
    Event {
        severity: event.severity,
        reason: event.reason.clone(),
        personal: account,
        ..Event::new(event.name, event.outcome)
    }
}

fn with_limit(event: Event, tier: Tier, limit: &str, more: Option<u64>) -> Event {
    let mut data: serde_json::Map<String, serde_json::Value> =
        event.data.as_deref().and_then(|data| serde_json::from_str(data).ok()).unwrap_or_default();
    if limit == REMEMBERED {
        data.insert(limit.into(), more.unwrap_or(1).into());
        return Event { data: Some(serde_json::Value::Object(data).to_string()), ..event };
    }
    data.insert("tier".into(), tier.word().into());
    // A login is limited by windows, a message by rates.
    let word = if event.name == Name::AuthLocked { "window" } else { "limit" };
    data.insert(word.into(), limit.into());
    if let Some(more) = more {
        let word = if event.name == Name::AuthSuccess { "more" } else { "refused" };
        data.insert(word.into(), more.into());
    }
    Event { data: Some(serde_json::Value::Object(data).to_string()), ..event }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::refusal::Refusal;
    use crate::vault::audit::event::Outcome;

    fn by(name: &str) -> By {
        By { key: Key::new(Tier::Credential, name), limit: "per_minute", window_us: 60 }
    }

    fn event() -> Event {
        Event::refusal(Refusal::RateLimited(3)).with(Field::Account, "shop").with(Field::ClientIp, "192.0.2.1")
    }

    #[test]
    fn a_flood_is_one_event_and_a_count() {
        let mut notices = Notices::default();
        let first = notices.tell(&by("shop"), event(), 0).1.unwrap();
        assert_eq!(first.data.as_deref(), Some(r#"{"limit":"per_minute","tier":"credential"}"#));
        for _ in 0..1000 {
            assert!(matches!(notices.tell(&by("shop"), event(), 59), (None, None)));
        }
        assert!(notices.over(59).is_empty());
        let (summary, next) = notices.tell(&by("shop"), event(), 60);
        let summary = summary.unwrap();
        let expected = r#"{"limit":"per_minute","refused":1000,"tier":"credential"}"#;
        assert_eq!((summary.data.as_deref(), summary.name.word()), (Some(expected), "rate.limited"));
        assert_eq!(summary.personal.len(), 1, "not the address of one of them");
        assert!(next.is_some() && notices.over(u64::MAX).is_empty(), "nothing was refused but what was told");
    }

    #[test]
    fn logins_with_a_remembered_password_are_an_event_and_a_count_of_one_address() {
        let mut notices = Notices::default();
        let by = By { key: Key::new(Tier::Credential, "shop 192.0.2.1/32"), limit: REMEMBERED, window_us: 60 };
        let event = || {
            let event = Event {
                data: Some(r#"{"mechanism":"PLAIN"}"#.into()),
                ..Event::new(Name::AuthSuccess, Outcome::Success)
            };
            event.with(Field::Account, "shop").with(Field::ClientIp, "192.0.2.1")
        };
        let first = notices.tell(&by, event(), 0).1.unwrap();
        assert_eq!(first.data.as_deref(), Some(r#"{"mechanism":"PLAIN","remembered":1}"#));
        assert!((0..500).all(|_| matches!(notices.tell(&by, event(), 1), (None, None))));
        let more = notices.over(60);
        assert_eq!(more[0].data.as_deref(), Some(r#"{"remembered":500}"#));
        assert_eq!(more[0].personal.len(), 2, "whose, and from where");
    }

    #[test]
    fn it_never_grows_beyond_its_bound() {
        let mut notices = Notices::default();
        let told = (0..10_000).filter(|n| notices.tell(&by(&n.to_string()), event(), 0).1.is_some()).count();
        assert_eq!((told, notices.0.len()), (KEYS + 1, KEYS + 1));
        let summaries = notices.over(60);
        assert_eq!((summaries.len(), notices.0.len()), (1, 0));
    }
}
