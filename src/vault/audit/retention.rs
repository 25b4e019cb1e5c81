//! Retention: what time and size ask to be erased, month by month, each on a clock of its own.
//!
//! A wrong clock must not erase the log. So nothing is erased by time within a day after the clock was set, or after a start
//! that finds the last event a day old: long enough to be noticed, and no restart shortens it. One look by time orders one
//! month, so that a mistake is seen before it is total. And by time or size, no month goes that isn't under an anchored head.

pub mod keeper;

use std::collections::VecDeque;
use std::path::Path;
use std::time::{Duration, Instant};

use super::clock::DOUBTFUL_US;
use super::erasure::places::{self, Place};
use super::erasure::{self, Part, pruning, usual_fields};
use super::event::{Event, Name, Outcome};
use super::month::Month;
use crate::config::slice::{Retention, WhenFull};
use crate::vault::store::doubt;
use crate::vault::store::writer::Writer;
pub use keeper::Keeper;

/// Who erases, when nobody asked for it.
const POLICY: &str = "policy";
/// The clock may be off by so much before it counts as set.
const DRIFT: Duration = Duration::from_micros(DOUBTFUL_US);
/// Months that one command looks at: eight years.
const MOST_MONTHS: usize = 100;

/// A month that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Looked {
    pub month: Month,
    pub first: u64,
    pub end: u64,
    /// Of the auditors' file.
    pub octets: u64,
    /// Why it stays; none when it goes.
    pub obstacle: Option<String>,
}

/// Whether the time of day may be believed.
#[derive(Debug)]
pub struct Trust {
    since: Instant,
    since_us: u64,
    doubt: Duration,
}

impl Trust {
    /// At a start; `last_us` is when the last event was, `left` what is left of an earlier doubt.
    pub fn start(now_us: u64, last_us: Option<u64>, left: Duration) -> Self {
        let silence = Duration::from_micros(now_us.saturating_sub(last_us.unwrap_or(now_us)));
        let doubt = if silence > doubt::LONGEST { doubt::LONGEST } else { left };
        Self { since: Instant::now(), since_us: now_us, doubt }
    }

    /// `now` and `now_us` are the same instant on two clocks, of which only the latter can be set.
    pub fn holds(&mut self, now: Instant, now_us: u64) -> bool {
        let elapsed = now.saturating_duration_since(self.since);
        let said = Duration::from_micros(now_us.abs_diff(self.since_us));
        if now_us < self.since_us || said.abs_diff(elapsed) > DRIFT {
            *self = Self { since: now, since_us: now_us, doubt: doubt::LONGEST };
        }
        self.left(now).is_zero()
    }

    /// For how long it is not believed yet.
    pub fn left(&self, now: Instant) -> Duration {
        self.doubt.saturating_sub(now.saturating_duration_since(self.since))
    }
}

/// What came of a month's turn.
#[derive(Debug, PartialEq, Eq)]
enum Turn {
    Ordered,
    /// It was ordered before, and is not gone yet.
    Pending,
    /// Why it stays.
    Stays(String),
}

/// Orders the first that the clocks ask for at that time; the publisher works it off. Gives why a month stays that should go.
pub fn by_time(home: &Path, writer: &Writer, rules: &Retention, now_us: u64) -> Result<Option<String>, String> {
    let places = places::audit(home)?;
    if let Some(keep) = rules.personal {
        for place in places.iter().filter(|place| is_over(place, keep, now_us)) {
            if personal(place, writer, &format!("retain_personal = {}", days(keep)))? {
                return Ok(None);
            }
        }
    }
    if let Some(keep) = rules.events {
        // The oldest first; the first one that stays keeps all after it.
        for place in places.iter().take_while(|place| is_over(place, keep, now_us)) {
            match events(place, writer, &format!("retain_events = {}", days(keep)), POLICY)? {
                Turn::Ordered => return Ok(None),
                Turn::Pending => {}
                Turn::Stays(reason) => return Ok(Some(format!("{}: {reason}", place.month))),
            }
        }
    }
    Ok(None)
}

pub fn days(keep: Duration) -> String {
    format!("{}d", keep.as_secs() / 86_400)
}

/// What the log takes: the auditors' files, and those of personal values.
pub fn octets(home: &Path) -> Result<u64, String> {
    Ok(places::all(home)?.iter().map(|path| length(path)).sum())
}

fn length(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |found| found.len())
}

/// Orders what the bound on the size asks for. True when there is no room for more mail.
pub fn by_size(home: &Path, writer: &Writer, rules: &Retention) -> Result<bool, String> {
    let Some(most) = rules.max_octets else { return Ok(false) };
    let used = octets(home)?;
    if used <= most {
        return Ok(false);
    }
    if rules.when_full == WhenFull::Oldest
        && let Some(oldest) = places::audit(home)?.first()
        && !matches!(
            events(oldest, writer, &format!("max_bytes = {most}, when_full = oldest"), POLICY)?,
            Turn::Stays(_)
        )
    {
        // The next look sees what has become free.
        return Ok(false);
    }
    Ok(true)
}

/// The event of the bound: reached, or no longer.
pub fn size_event(full: bool, rules: &Retention) -> Event {
    let data = serde_json::json!({ "max_bytes": rules.max_octets }).to_string();
    let (name, outcome, severity) = match full {
        true => (Name::StoreFull, Outcome::Failure, 3),
        false => (Name::StoreRecovered, Outcome::Info, 5),
    };
    Event { severity, reason: Some("audit-max-bytes".into()), data: Some(data), ..Event::new(name, outcome) }
}

/// The months that a command means, the oldest first.
pub fn meant(home: &Path, until: impl Fn(&Place) -> bool) -> Result<VecDeque<Place>, String> {
    Ok(places::audit(home)?.into_iter().take_while(|place| until(place)).take(MOST_MONTHS).collect())
}

/// One month by hand. With `dry`, it is only looked at.
pub fn by_hand(place: &Place, writer: &Writer, ground: &str, actor: &str, dry: bool) -> Result<Looked, String> {
    let obstacle = match dry {
        true => pruning::examine(place, writer, ground).err(),
        false => match events(place, writer, ground, actor)? {
            Turn::Stays(reason) => Some(reason),
            Turn::Ordered | Turn::Pending => None,
        },
    };
    let (month, first, end) = (place.month, place.first, place.end);
    Ok(Looked { month, first, end, octets: length(&place.path), obstacle })
}

/// Whether a closed month has been over for so long.
pub fn is_over(place: &Place, keep: Duration, now_us: u64) -> bool {
    let keep_us = u64::try_from(keep.as_micros()).unwrap_or(u64::MAX);
    let over = place.month.end_us().is_some_and(|end_us| end_us.saturating_add(keep_us) <= now_us);
    over && !place.is_current && place.first < place.end
}

/// Orders the erasure of a month's personal values, once. True when that was now.
fn personal(place: &Place, writer: &Writer, ground: &str) -> Result<bool, String> {
    let rule = format!("personal {}", place.month);
    let parts = [Part { events: vec![(place.first, place.end - 1)], fields: usual_fields() }];
    let ground = ground.to_owned();
    let order = move |store: &mut crate::vault::store::Store<'_>| match store.erasures.has(&rule)? {
        true => Ok(None),
        false => erasure::order(store, &parts, POLICY, &ground, Some(&rule)),
    };
    let ordered = writer.run_blocking(order).map_err(|error| format!("the vault's database: {error:?}"))?;
    Ok(ordered.is_some())
}

/// Orders the removal of a month, unless that is under way. One that was removed and is there again goes again.
fn events(place: &Place, writer: &Writer, ground: &str, actor: &str) -> Result<Turn, String> {
    let store = |error| format!("the vault's database: {error:?}");
    let rule = pruning::rule(place.month);
    if writer.run_blocking(move |store| store.erasures.has(&rule)).map_err(store)? {
        return Ok(Turn::Pending);
    }
    match pruning::examine(place, writer, ground) {
        Ok(pruning) => {
            let (actor, month) = (actor.to_owned(), place.month);
            writer.run_blocking(move |store| pruning::order(store, &pruning, month, &actor)).map_err(store)?;
            Ok(Turn::Ordered)
        }
        Err(reason) => Ok(Turn::Stays(reason)),
    }
}

#[cfg(test)]
mod tests;
