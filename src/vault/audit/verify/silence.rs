//! Silence is bounded: a log that serves has an event every five minutes, so a longer pause needs an event that says why.
//! Without this rule a log that was cut, or that a captured vault no longer writes, could pass for a quiet one.

use jiff::Timestamp;

use super::{Fault, altered};
use crate::vault::audit::event::Name;
use crate::vault::audit::row::Row;
use crate::vault::audit::seal::HEARTBEAT;

/// One heartbeat may be late; two may not.
pub const LONGEST_US: u64 = 2 * HEARTBEAT.as_micros() as u64;

/// Whether the service was there to write heartbeats.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Service {
    /// It had stopped, or it isn't known yet: a file may begin anywhere.
    #[default]
    Away,
    Serves,
}

/// A pause that is not explained yet.
#[derive(Clone, Copy, Debug)]
struct Pause {
    after: u64,
    from_us: u64,
    to_us: u64,
    left_us: u64,
}

/// The log as far as it was read, by its pauses.
#[derive(Debug, Default)]
pub struct Silence {
    service: Service,
    last: Option<(u64, u64)>,
    pause: Option<Pause>,
}

impl Silence {
    pub fn event(&mut self, row: &Row) -> Result<(), Fault> {
        if let Some((after, from_us)) = self.last
            && self.service == Service::Serves
        {
            let left_us = row.time_us.saturating_sub(from_us);
            if left_us > LONGEST_US {
                self.pause = Some(Pause { after, from_us, to_us: row.time_us, left_us });
            }
        }
        self.last = Some((row.seq, row.time_us));
        if let Some(pause) = &mut self.pause {
            // What explains it stands right behind it, and there may be more than one cause.
            match explains_us(row, pause.after) {
                Some(us) => pause.left_us = pause.left_us.saturating_sub(us),
                None => return Err(pause.is_unexplained()),
            }
            if pause.left_us <= LONGEST_US {
                self.pause = None;
            }
        }
        self.follow(row);
        Ok(())
    }

    /// Nothing comes any more.
    pub fn end(&self) -> Result<(), Fault> {
        self.pause.as_ref().map_or(Ok(()), |pause| Err(pause.is_unexplained()))
    }

    /// Whether the log ends with a service that serves: then there must be news soon.
    pub fn serves(&self) -> bool {
        self.service == Service::Serves
    }

    fn follow(&mut self, row: &Row) {
        let is = |name: Name| row.event == name.word();
        let is_end = is(Name::DaemonCrash) || is(Name::StoreRecovered);
        if is(Name::DaemonStop) || (is_end && field(row, "down").is_some()) {
            self.service = Service::Away;
        } else if is(Name::DaemonStart) || is(Name::DaemonCrash) || is(Name::AuditHeartbeat) {
            self.service = Service::Serves;
        }
    }
}

impl Pause {
    fn is_unexplained(&self) -> Fault {
        let Self { after, from_us, to_us, .. } = self;
        altered(format!(
            "nothing stands between event {after} ({}) and the next one ({}), and no event says why: were events removed, \
             or was the log held up?",
            time(*from_us),
            time(*to_us)
        ))
    }
}

/// How long a pause an event explains that stands right behind it.
fn explains_us(row: &Row, after: u64) -> Option<u64> {
    let is = |name: Name| row.event == name.word();
    let number = |key: &str| field(row, key).and_then(|value| value.as_u64());
    if is(Name::ClockStep) {
        // One that set the clock back explains no pause.
        return Some(number("by_us").unwrap_or(0));
    }
    if is(Name::StoreRecovered) && number("last_event").is_none() {
        return Some(number("full_us").unwrap_or(0));
    }
    // What names the last event of before explains the pause behind that one and no other.
    let lost = is(Name::DaemonCrash) || is(Name::StoreRecovered);
    let names_it = lost && number("last_event") == Some(after);
    (names_it || is(Name::DaemonStart) || is(Name::AuditResume)).then_some(u64::MAX)
}

fn field(row: &Row, key: &str) -> Option<serde_json::Value> {
    let data: serde_json::Value = serde_json::from_str(row.text("data")?).ok()?;
    data.get(key).cloned()
}

pub fn time(us: u64) -> String {
    let time = i64::try_from(us).ok().and_then(|us| Timestamp::from_microsecond(us).ok());
    time.map_or_else(|| us.to_string(), |time| time.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::mask::Mask;
    use crate::vault::audit::event::{Event, Outcome};
    use crate::vault::audit::leaf::SALT;

    const MINUTE: u64 = 60_000_000;

    /// Whether a log passes that has these events, each so many minutes after the one before.
    fn passes(events: &[(u64, Name, &str)]) -> bool {
        let (mut silence, mut time_us) = (Silence::default(), 1_800_000_000_000_000);
        let mut read = |(seq, (minutes, name, data)): (u64, &(u64, Name, &str))| {
            time_us += minutes * MINUTE;
            let data = (!data.is_empty()).then(|| (*data).to_owned());
            let event = Event { data, ..Event::new(*name, Outcome::Info) };
            silence.event(&Row::new(event, seq, time_us, Mask::default(), || [0; SALT]).unwrap())
        };
        let read = (0..).zip(events).try_for_each(&mut read);
        read.and_then(|()| silence.end()).is_ok()
    }

    const START: (u64, Name, &str) = (0, Name::DaemonStart, "");

    #[test]
    fn a_log_that_serves_may_not_be_silent() {
        assert!(passes(&[START, (10, Name::AuditHeartbeat, ""), (10, Name::MsgAccept, "")]));
        assert!(!passes(&[START, (11, Name::AuditHeartbeat, "")]));
        assert!(!passes(&[START, (5, Name::AuditHeartbeat, ""), (11, Name::MsgAccept, "")]));
        // A stop explains what comes behind it, and a start that it is over.
        assert!(passes(&[START, (0, Name::DaemonStop, ""), (900, Name::DaemonStart, "")]));
        let behind = [START, (0, Name::DaemonStop, ""), (900, Name::DaemonStart, ""), (11, Name::MsgAccept, "")];
        assert!(!passes(&behind));
        // Commands write while the service is stopped.
        let commands =
            [START, (1, Name::DaemonStop, ""), (90, Name::CredentialCreate, ""), (90, Name::DaemonStart, "")];
        assert!(passes(&commands));
        assert!(passes(&[(0, Name::CredentialCreate, ""), (900, Name::DaemonStart, "")]), "before the first start");
    }

    #[test]
    fn an_unclean_stop_explains_the_silence_behind_its_own_last_event() {
        let crash = |data: &'static str| passes(&[START, (900, Name::DaemonCrash, data), (1, Name::DaemonStart, "")]);
        assert!(crash(r#"{"last_event":0}"#));
        assert!(!crash(r#"{"last_event":1}"#));
        assert!(!crash(""));
        // A command told of it; the service is still away.
        let down = r#"{"last_event":0,"down":true}"#;
        for end in [Name::DaemonCrash, Name::StoreRecovered] {
            assert!(passes(&[START, (900, end, down), (900, Name::DaemonStart, "")]));
        }
        let up = [START, (900, Name::DaemonCrash, r#"{"last_event":0}"#), (900, Name::MsgAccept, "")];
        assert!(!passes(&up));
    }

    #[test]
    fn clocks_and_a_full_disk_explain_as_much_as_they_say() {
        let hour = r#"{"kind":"step","by_us":3600000000}"#;
        assert!(passes(&[START, (61, Name::ClockStep, hour)]));
        assert!(passes(&[START, (69, Name::ClockStep, hour), (1, Name::MsgAccept, "")]));
        assert!(!passes(&[START, (71, Name::ClockStep, hour), (1, Name::MsgAccept, "")]));
        assert!(!passes(&[START, (61, Name::ClockStep, r#"{"by_us":-3600000000}"#), (0, Name::MsgAccept, "")]));
        assert!(!passes(&[START, (61, Name::MsgAccept, ""), (0, Name::ClockStep, hour)]), "it comes first");
        let full = r#"{"events_lost":0,"full_us":3600000000}"#;
        assert!(passes(&[START, (61, Name::StoreRecovered, full)]));
        // Both at once.
        assert!(passes(&[START, (121, Name::ClockStep, hour), (0, Name::StoreRecovered, full)]));
        assert!(!passes(&[START, (121, Name::ClockStep, hour), (0, Name::MsgAccept, "")]));
        assert!(!passes(&[START, (121, Name::ClockStep, hour)]), "the rest of it is unexplained");
    }
}
