//! What was refused, told once for each limit and window, with the number of the rest: a refusal costs nothing, so it must
//! not fill the log. What no limit but a policy refused is told some hundreds of times: those who mend an application want to
//! see which of its messages.

use std::collections::HashMap;

use super::denial::By;
use super::key::{Key, Tier};
use crate::vault::audit::event::{Event, Field, Name};

/// Limits that are told apart; beyond it those of a tier are told together.
const KEYS: usize = 4096;

/// The limit that a login with a remembered password is told under: none, it was let in.
pub const REMEMBERED: &str = "remembered";

/// The limit that is none: what a credential's policy, or the form of a message, refused.
pub const POLICY: &str = "policy";
/// So many of those are told one by one in a window, of each credential and reason.
pub const ONE_BY_ONE: u64 = 250;

pub struct Notices {
    notices: HashMap<(Key, &'static str), Notice>,
    /// So many of a kind are told one by one in a window.
    first: u64,
}

struct Notice {
    until_us: u64,
    told: u64,
    /// Since the last one that was told.
    more: u64,
    event: Event,
}

impl Default for Notices {
    fn default() -> Self {
        Self::of(1)
    }
}

impl Notices {
    /// With so many of a kind told one by one.
    pub fn of(first: u64) -> Self {
        Self { notices: HashMap::new(), first }
    }

    /// What is to be written of a refusal: the event with its limit when it is one of the first in the window, nothing when
    /// they were told already; and before it, how many there were of the window that is over.
    pub fn tell(&mut self, by: &By, event: Event, now_us: u64) -> (Option<Event>, Option<Event>) {
        let key = self.key(by);
        if self.is_counted(&key, now_us) {
            return (None, None);
        }
        if let Some(notice) = self.notices.get_mut(&key).filter(|notice| notice.until_us > now_us) {
            notice.told += 1;
            return (None, Some(with_limit(event, by.key.tier, by.limit, None)));
        }
        let until_us = now_us.saturating_add(by.window_us);
        let notice = Notice { until_us, told: 1, more: 0, event: general(&event, &key.0, by.limit) };
        let over = self.notices.insert(key, notice);
        let event = with_limit(event, by.key.tier, by.limit, None);
        (over.and_then(|notice| notice.summary(by.key.tier, by.limit)), Some(event))
    }

    /// Counts one more of what was told already in this window. False when there is something to be told.
    pub fn count(&mut self, by: &By, now_us: u64) -> bool {
        let key = self.key(by);
        self.is_counted(&key, now_us)
    }

    fn key(&self, by: &By) -> (Key, &'static str) {
        let mut key = (by.key.clone(), by.limit);
        if !self.notices.contains_key(&key) && self.notices.len() >= KEYS {
            key.0.name = Box::default();
        }
        key
    }

    fn is_counted(&mut self, key: &(Key, &'static str), now_us: u64) -> bool {
        let counted = |notice: &&mut Notice| notice.until_us > now_us && notice.told >= self.first;
        self.notices.get_mut(key).filter(counted).map(|notice| notice.more += 1).is_some()
    }

    /// The summaries of windows that are over, and of all of them at the end.
    pub fn over(&mut self, now_us: u64) -> Vec<Event> {
        let over = self.notices.extract_if(|_, notice| notice.until_us <= now_us);
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
fn general(event: &Event, key: &Key, limit: &str) -> Event {
    let one = matches!(key.tier, Tier::Credential | Tier::RecipientDomain) && !key.name.is_empty();
    let said = |field| field == Field::Account || field == Field::ClientIp && event.name == Name::AuthSuccess;
    let account = event.personal.iter().filter(|personal| one && said(personal.field)).cloned().collect();
    // Those that had to be told together were refused for different reasons.
    let reason = event.reason.clone().filter(|_| limit != POLICY || !key.name.is_empty());
    Event { severity: event.severity, reason, personal: account, ..Event::new(event.name, event.outcome) }
}

fn with_limit(event: Event, tier: Tier, limit: &str, more: Option<u64>) -> Event {
    if limit == POLICY && more.is_none() {
        return event;
    }
    let mut data: serde_json::Map<String, serde_json::Value> =
        event.data.as_deref().and_then(|data| serde_json::from_str(data).ok()).unwrap_or_default();
    if limit == REMEMBERED {
        data.insert(limit.into(), more.unwrap_or(1).into());
        return Event { data: Some(serde_json::Value::Object(data).to_string()), ..event };
    }
    if limit != POLICY {
        data.insert("tier".into(), tier.word().into());
        // A login is limited by windows, a message by rates.
        let word = if event.name == Name::AuthLocked { "window" } else { "limit" };
        data.insert(word.into(), limit.into());
    }
    if let Some(more) = more {
        let is_refusal = !matches!(event.name, Name::AuthSuccess | Name::FeedbackReceived);
        let word = if is_refusal { "refused" } else { "more" };
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
        assert!((0..250).all(|_| matches!(notices.tell(&by, event(), 1), (None, None))));
        assert!((0..250).all(|_| notices.count(&by, 1)), "without an event");
        assert!(!notices.count(&by, 60), "there is something to be told");
        let more = notices.over(60);
        assert_eq!(more[0].data.as_deref(), Some(r#"{"remembered":500}"#));
        assert_eq!(more[0].personal.len(), 2, "whose, and from where");
    }

    #[test]
    fn rule_s9_what_a_policy_refused_is_told_some_hundreds_of_times_and_then_by_number_for_each_credential_and_reason()
    {
        let mut notices = Notices::of(3);
        let by = |name| By { key: Key::new(Tier::Credential, name), limit: POLICY, window_us: 60 };
        let event = || Event::refusal(Refusal::SenderNotAllowed).with(Field::Account, "shop");
        let told = (0..10).filter_map(|_| notices.tell(&by("shop sender"), event(), 0).1).collect::<Vec<_>>();
        assert_eq!((told.len(), told[2].data.as_deref()), (3, None), "as it is, without a limit");
        assert!(
            notices.tell(&by("shop size"), event(), 0).1.is_some() && notices.tell(&by("bulk"), event(), 0).1.is_some()
        );
        let (summary, next) = notices.tell(&by("shop sender"), event(), 60);
        let summary = summary.unwrap();
        assert_eq!(summary.data.as_deref(), Some(r#"{"refused":7}"#));
        assert_eq!((summary.reason.as_deref(), summary.personal.len()), (Some("sender-not-allowed"), 1));
        assert!(next.is_some() && notices.over(u64::MAX).is_empty());
    }

    #[test]
    fn it_never_grows_beyond_its_bound() {
        let mut notices = Notices::default();
        let told = (0..10_000).filter(|n| notices.tell(&by(&n.to_string()), event(), 0).1.is_some()).count();
        assert_eq!((told, notices.notices.len()), (KEYS + 1, KEYS + 1));
        let summaries = notices.over(60);
        assert_eq!((summaries.len(), notices.notices.len()), (1, 0));
    }
}
