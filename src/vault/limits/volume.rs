//! A credential that sends far beyond its own history: a stolen key shows by its volume first.

use super::clock::Now;
use super::days::{Day, Days};
use crate::policy::limits::{Action, Anomaly};
use crate::vault::audit::event::{Event, Field, Name, Outcome};

/// A day or an hour that has just become one of its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Alarm {
    /// "day" or "hour".
    of: &'static str,
    recipients: u64,
    /// What is usual for it.
    usual: u64,
    factor: u32,
    /// Above which it is told, and the hour it was in.
    mark: u64,
    hour: i64,
    pub suspends: bool,
}

/// Compares a day with what is usual, after a message was counted in it. `before` is the day as it was before that: only
/// who passes the mark is told, so that a day and an hour are told once each, also when a restart lies between.
pub fn look(days: &Days, before: Day, rule: Anomaly, now: Now) -> Vec<Alarm> {
    if rule.action == Action::Off {
        return Vec::new();
    }
    let Some((day, hour)) = days.usual(now.day()) else { return Vec::new() };
    let (after, this) = (days.on(now.day()), now.hour());
    let passed = |of, before: u64, after: u64, usual: u64| {
        let mark = usual.saturating_mul(u64::from(rule.factor)).max(u64::from(rule.minimum));
        let suspends = rule.action == Action::Suspend;
        (before <= mark && mark < after).then_some(Alarm {
            of,
            recipients: after,
            usual,
            factor: rule.factor,
            mark,
            hour: this,
            suspends,
        })
    };
    let (in_day, in_hour) = ((before.recipients, after.recipients), (before.in_hour(this), after.in_hour(this)));
    [passed("day", in_day.0, in_day.1, day), passed("hour", in_hour.0, in_hour.1, hour)].into_iter().flatten().collect()
}

impl Alarm {
    /// The same, when the message that made it came to nothing and others that came after it are beyond the mark as well.
    pub fn anew(self, days: &Days, day: i64) -> Option<Self> {
        let day = days.on(day);
        let recipients = if self.of == "hour" { day.in_hour(self.hour) } else { day.recipients };
        (recipients > self.mark).then_some(Self { recipients, ..self })
    }

    pub fn event(&self, credential: &str, suspended: bool) -> Event {
        let Self { of, recipients, usual, factor, .. } = *self;
        let action = if suspended { Action::Suspend } else { Action::Event }.word();
        let data = serde_json::json!({
            "of": of, "recipients": recipients, "usual": usual, "factor": factor, "action": action,
        });
        tracing::warn!(credential, of, recipients, usual, action, "a credential sends far beyond its history");
        let reason = if suspended { "suspended" } else { "beyond-history" };
        let event = Event {
            severity: 3,
            reason: Some(reason.to_owned()),
            data: Some(data.to_string()),
            ..Event::new(Name::AnomalyVolume, Outcome::Info)
        };
        event.with(Field::Account, credential)
    }
}
