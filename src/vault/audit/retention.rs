//! Retention: what time and size ask to be erased, month by month, each on a clock of its own.
//!
//! A wrong clock must not erase the log. So nothing is erased by time within a day after the clock was set, or after a start
//! that finds the last event a day old: long enough to be noticed, and no restart shortens it. One look by time orders one
//! month, so that a mistake is seen before it is total. And by time or size, no month goes that isn't under an anchored head.
//!
//! The size is what an attacker can make grow, to be rid of the record of his deed. So no month goes for want of room before
//! its least age, nor while the clock is doubted, and one goes a day; else mail waits.

pub mod keeper;

use std::collections::VecDeque;
use std::path::Path;
use std::time::{Duration, Instant};

use super::clock::DOUBTFUL_US;
use super::erasure::places::{self, Place};
use super::erasure::{self, Part, hashes, pruning, usual_fields};
use super::event::{Event, Name, Outcome};
use super::month::Month;
use crate::config::slice::{Retention, WhenFull};
use crate::vault::store::waits::{self, Wait};
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
        let doubt = if silence > waits::LONGEST { waits::LONGEST } else { left };
        Self { since: Instant::now(), since_us: now_us, doubt }
    }

    /// `now` and `now_us` are the same instant on two clocks, of which only the latter can be set.
    pub fn holds(&mut self, now: Instant, now_us: u64) -> bool {
        let elapsed = now.saturating_duration_since(self.since);
        let said = Duration::from_micros(now_us.abs_diff(self.since_us));
        if now_us < self.since_us || said.abs_diff(elapsed) > DRIFT {
            *self = Self { since: now, since_us: now_us, doubt: waits::LONGEST };
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
    let mut stays = None;
    if let Some(keep) = rules.personal {
        for place in places.iter().filter(|place| is_over(place, keep, now_us)) {
            match personal(place, writer, &format!("retain_personal = {}", days(keep)))? {
                Turn::Ordered => return Ok(None),
                Turn::Pending => {}
                Turn::Stays(reason) => stays = Some(format!("{}: its personal values: {reason}", place.month)),
            }
        }
    }
    if let Some(keep) = rules.hashes
        && let Some(oldest) = places.first()
    {
        let (first, ground) = (oldest.first, format!("retain_hashes = {}", days(keep)));
        let order = move |store: &mut crate::vault::store::Store<'_>| {
            hashes::order(store, first, keep, now_us, POLICY, &ground)
        };
        if writer.run_blocking(order).map_err(|error| format!("the vault's database: {error:?}"))? {
            return Ok(None);
        }
    }
    if let Some(keep) = rules.events {
        // The oldest first; the first one that stays keeps all after it.
        for place in places.iter().take_while(|place| is_over(place, keep, now_us)) {
            match events(place, writer, &format!("retain_events = {}", days(keep)), POLICY, None)? {
                Turn::Ordered => return Ok(None),
                Turn::Pending => {}
                Turn::Stays(reason) => return Ok(Some(format!("{}: {reason}", place.month))),
            }
        }
    }
    Ok(stays)
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

/// What the bound on the size comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Size {
    Fits,
    /// A month goes to make room.
    Ordered,
    /// One that was to go before is not gone yet.
    Going,
    /// There is no room for more mail, and why no month makes it.
    Full(String),
}

/// Orders what the bound on the size asks for. `now_us` is none while the clock is doubted, `wait` is for how long no month
/// goes yet since one did; an order makes it a day, in its own transaction.
pub fn by_size(
    home: &Path,
    writer: &Writer,
    rules: &Retention,
    now_us: Option<u64>,
    wait: Duration,
) -> Result<Size, String> {
    let Some(most) = rules.max_octets else { return Ok(Size::Fits) };
    if octets(home)? <= most {
        return Ok(Size::Fits);
    }
    if rules.when_full == WhenFull::Mail {
        return Ok(Size::Full("when_full is \"mail\"".into()));
    }
    let places = places::audit(home)?;
    let Some(oldest) = places.first() else { return Ok(Size::Full("there is no month that could go".into())) };
    let full = |reason: &str| Ok(Size::Full(format!("{}: {reason}", oldest.month)));
    if is_under_way(oldest.month, writer)? {
        return Ok(Size::Going);
    }
    let Some(now_us) = now_us else {
        return full("the clock is doubted, and nothing goes for a day after it was set or the service was away long");
    };
    if !wait.is_zero() {
        return full("another month went for want of room, and one goes a day");
    }
    if !is_over(oldest, rules.least_kept, now_us) {
        return full(&format!("it is not over since least_kept = {}", days(rules.least_kept)));
    }
    match events(oldest, writer, &format!("max_bytes = {most}, when_full = oldest"), POLICY, Some(Wait::Room))? {
        Turn::Ordered => Ok(Size::Ordered),
        Turn::Pending => Ok(Size::Going),
        Turn::Stays(reason) => full(&reason),
    }
}

/// The event of the bound: reached, with why nothing else yields, or no longer.
pub fn size_event(full: Option<&str>, rules: &Retention) -> Event {
    let mut data = serde_json::json!({ "max_bytes": rules.max_octets });
    let (name, outcome, severity) = match full {
        Some(reason) => {
            data["stays"] = reason.into();
            (Name::StoreFull, Outcome::Failure, 3)
        }
        None => (Name::StoreRecovered, Outcome::Info, 5),
    };
    Event {
        severity,
        reason: Some("audit-max-bytes".into()),
        data: Some(data.to_string()),
        ..Event::new(name, outcome)
    }
}

/// The months that a command means, the oldest first.
pub fn meant(home: &Path, until: impl Fn(&Place) -> bool) -> Result<VecDeque<Place>, String> {
    Ok(places::audit(home)?.into_iter().take_while(|place| until(place)).take(MOST_MONTHS).collect())
}

/// One month by hand. With `dry`, it is only looked at.
pub fn by_hand(place: &Place, writer: &Writer, ground: &str, actor: &str, dry: bool) -> Result<Looked, String> {
    let obstacle = match dry {
        true => pruning::examine(place, writer, ground).err(),
        false => match events(place, writer, ground, actor, None)? {
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

/// Orders the erasure of a month's personal values, once.
fn personal(place: &Place, writer: &Writer, ground: &str) -> Result<Turn, String> {
    let store = |error| format!("the vault's database: {error:?}");
    let rule = format!("personal {}", place.month);
    let asked = rule.clone();
    if writer.run_blocking(move |store| store.erasures.has(&asked)).map_err(store)? {
        return Ok(Turn::Pending);
    }
    if let Err(reason) = pruning::recognise(place, writer) {
        return Ok(Turn::Stays(reason));
    }
    let parts = [Part { events: vec![(place.first, place.end - 1)], fields: usual_fields() }];
    let ground = ground.to_owned();
    let order = move |store: &mut crate::vault::store::Store<'_>| {
        erasure::order(store, &parts, POLICY, &ground, Some(&rule)).map(drop)
    };
    writer.run_blocking(order).map_err(store)?;
    Ok(Turn::Ordered)
}

/// Whether the removal of a month was ordered and is not done.
fn is_under_way(month: Month, writer: &Writer) -> Result<bool, String> {
    let rule = pruning::rule(month);
    writer
        .run_blocking(move |store| store.erasures.has(&rule))
        .map_err(|error| format!("the vault's database: {error:?}"))
}

/// Orders the removal of a month, unless that is under way. One that was removed and is there again goes again. `wait` begins
/// with the order.
fn events(place: &Place, writer: &Writer, ground: &str, actor: &str, wait: Option<Wait>) -> Result<Turn, String> {
    let store = |error| format!("the vault's database: {error:?}");
    if is_under_way(place.month, writer)? {
        return Ok(Turn::Pending);
    }
    match pruning::examine(place, writer, ground) {
        Ok(pruning) => {
            let (actor, month) = (actor.to_owned(), place.month);
            let order = move |store: &mut crate::vault::store::Store<'_>| {
                wait.map_or(Ok(()), |wait| store.waits.set(wait, waits::LONGEST))?;
                pruning::order(store, &pruning, month, &actor)
            };
            writer.run_blocking(order).map_err(store)?;
            Ok(Turn::Ordered)
        }
        Err(reason) => Ok(Turn::Stays(reason)),
    }
}

#[cfg(test)]
mod tests;
