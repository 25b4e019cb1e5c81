//! How often and how much: rates and daily quotas of every tier that a message counts in, decided together.
//!
//! This is the memory of it, which decides. The store gets each message's use in the message's own transaction, so that
//! neither can be without the other, and gives it back at start.
//!
//! A message is asked for twice. At MAIL it takes a place, so that nobody sends a whole message to be refused then: the
//! credential's limits keep room for it until the dot. At the dot it is counted, in every tier or in none. Tiers that others
//! share keep no room for what may never come: they may still refuse at the dot.

pub mod ahead;
pub mod clock;
pub mod days;
pub mod denial;
pub mod incoming;
pub mod key;
mod left;
pub mod notices;
pub mod origin;
pub mod rate;
pub mod suspension;
pub mod table;
pub mod usage;
pub mod volume;

use super::audit::event::Event;
use super::store::consumption::{Bucket, Consumed, DayRow, Use};
use crate::mail::address::Address;
use crate::policy::refusal::Refusal;
use clock::Now;
use days::Day;
use denial::Denied;
use key::{Key, Tier};
use notices::Notices;
use origin::Origin;
use rate::Series;
use suspension::{Suspension, Suspensions};
use table::{Hasher, Table, Tables};
use usage::{Held, Taken, Usage, Weight};
use volume::Alarm;

pub struct Limits {
    /// Credentials and the whole: as many as there are.
    own: Table<Usage>,
    /// Places and domains, of which there may be any number.
    places: Tables<Usage>,
    pub suspensions: Suspensions,
    notices: Notices,
    /// The same for logins whose password was right lately: whoever has many addresses must not crowd out refusals.
    remembered: Notices,
    /// And for what no limit refused.
    refused: Notices,
    /// Alarms whose message was not kept, although it went on.
    alarms: Vec<Event>,
}

/// A place for one message, until it is counted or given back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reservation {
    credential: Key,
    held: Held,
    taken: Vec<Taken>,
    alarms: Vec<Alarm>,
    suspension: Option<Suspension>,
}

impl Limits {
    /// What the store remembers.
    pub fn new(kept: Consumed, hasher: Hasher, now: Now) -> Self {
        let mut limits = Self {
            own: Table::new(usize::MAX, hasher),
            places: Tables::new(hasher),
            suspensions: Suspensions::load(kept.suspensions, now),
            notices: Notices::default(),
            remembered: Notices::default(),
            refused: Notices::of(notices::ONE_BY_ONE),
            alarms: Vec::new(),
        };
        for Bucket { tier, series, name, tat_us } in kept.buckets {
            if Series::OF_MESSAGES.contains(&series) {
                limits.load(Key::new(tier, name), now).load_bucket(series, tat_us, now);
            }
        }
        for DayRow { tier, name, day } in kept.days {
            limits.load(Key::new(tier, name), now).load_day(day);
        }
        limits
    }

    fn load(&mut self, key: Key, now: Now) -> &mut Usage {
        let table = self.table(key.tier);
        let key = table.resolve(key, now);
        table.entry(&key)
    }

    fn table(&mut self, tier: Tier) -> &mut Table<Usage> {
        if matches!(tier, Tier::Credential | Tier::Global) { &mut self.own } else { self.places.of(tier) }
    }

    /// MAIL: takes a place, or says how long to wait. A denial takes nothing.
    pub fn reserve(&mut self, origin: &Origin<'_>, now: Now) -> Result<Reservation, Denied> {
        self.look_at_suspension(origin, now)?;
        self.check(&mut origin.counts(None), None, now)?;
        let credential = Key::new(Tier::Credential, origin.credential);
        self.own.entry(&credential).held.add(Held::ONE);
        Ok(Reservation::of(credential))
    }

    /// The dot: counts the message in all its tiers, or in none and says how long to wait.
    pub fn accept(
        &mut self,
        reservation: &mut Reservation,
        origin: &Origin<'_>,
        recipients: &[Address],
        bytes: u64,
        now: Now,
    ) -> Result<(), Denied> {
        self.look_at_suspension(origin, now)?;
        self.let_go(reservation);
        let mut counts = origin.counts(Some(recipients));
        self.check(&mut counts, Some(bytes), now)?;
        self.count_in(reservation, counts, bytes, origin, now);
        Ok(())
    }

    /// Whether recipients would have room beside what was counted so far, of a message that has its place: asked before it is known
    /// what becomes of them.
    pub fn fits(&mut self, origin: &Origin<'_>, recipients: &[Address], now: Now) -> Result<(), Denied> {
        self.look_at_suspension(origin, now)?;
        let credential = Key::new(Tier::Credential, origin.credential);
        let held = self.own.get(&credential).map_or_else(Held::default, |usage| usage.held);
        self.own.entry(&credential).held.sub(Held::ONE);
        let fits = self.check(&mut origin.counts(Some(recipients)), None, now);
        self.own.entry(&credential).held = held;
        fits
    }

    /// Counts a message that came to nothing when its recipients were known, whether there is room for it or not. Gives what is to be
    /// written down, and what is to be said of it.
    pub fn charge(
        &mut self,
        mut reservation: Reservation,
        origin: &Origin<'_>,
        recipients: &[Address],
        now: Now,
    ) -> (Use, Vec<Event>) {
        if reservation.taken.is_empty() {
            self.let_go(&mut reservation);
            let mut counts = origin.counts(Some(recipients));
            // For the keys that it is counted by.
            let _ = self.check(&mut counts, Some(0), now);
            self.count_in(&mut reservation, counts, 0, origin, now);
        }
        (self.used(&reservation), reservation.events())
    }

    fn count_in(
        &mut self,
        reservation: &mut Reservation,
        counts: Vec<origin::Count>,
        bytes: u64,
        origin: &Origin<'_>,
        now: Now,
    ) {
        let before = self.day(&reservation.credential, now);
        for count in counts {
            let weight = Weight { messages: 1, recipients: count.recipients, bytes: Some(bytes) };
            let usage = self.table(count.key.tier).entry(&count.key);
            reservation.taken.push(usage.take(&count.key, &count.rules, weight, now));
        }
        if let Some(usage) = self.own.get(&reservation.credential) {
            reservation.alarms = volume::look(usage.days(), before, origin.anomaly, now);
        }
        if reservation.alarms.iter().any(|alarm| alarm.suspends) {
            reservation.suspension = self.suspensions.suspend(origin.credential, now);
        }
    }

    /// Gives back what was taken, when nothing comes of the message.
    pub fn release(&mut self, mut reservation: Reservation, now: Now) {
        self.let_go(&mut reservation);
        for taken in &reservation.taken {
            if let Some(usage) = self.table(taken.key.tier).get_mut(&taken.key) {
                usage.give_back(taken, now);
            }
        }
        // What nobody will find on the disk must not hold either.
        if let Some(suspension) = &reservation.suspension {
            self.suspensions.undo(suspension);
        }
        let Some(days) = self.own.get(&reservation.credential).map(Usage::days) else { return };
        let days_of = reservation.taken.first().map(|taken| taken.day).into_iter();
        let anew = days_of.flat_map(|day| reservation.alarms.iter().filter_map(move |alarm| alarm.anew(days, day)));
        self.alarms.extend(anew.map(|alarm| alarm.event(&reservation.credential.name, false)));
    }

    /// What the message's transaction writes down. To be asked when it is queued, so that what is written later is also
    /// what was decided later.
    pub fn used(&mut self, reservation: &Reservation) -> Use {
        let mut used = Use { suspension: reservation.suspension.clone(), ..Use::default() };
        for taken in &reservation.taken {
            let (tier, name) = (taken.key.tier, taken.key.name.to_string());
            if let Some(usage) = self.table(tier).get(&taken.key) {
                let bucket = |series| Bucket { tier, series, name: name.clone(), tat_us: usage.tat_us(series) };
                used.buckets.extend(taken.series().map(bucket));
            }
            let &Taken { counted, day, hour, recipients, bytes, .. } = taken;
            if counted {
                let day = Day { day, hour, recipients, bytes, ..Day::default() };
                used.days.push(DayRow { tier, name, day });
            }
        }
        used
    }

    /// Lets go of what doesn't count any more. Gives what was refused and not told yet.
    pub fn sweep(&mut self, now: Now) -> Vec<Event> {
        self.own.sweep(now);
        self.places.iter_mut().for_each(|table| table.sweep(now));
        self.suspensions.sweep(now);
        self.untold(now.us)
    }

    /// What is to be written of something that there may be any number of: see `Notices::tell`.
    pub fn tell(&mut self, by: &denial::By, event: Event, now: Now) -> (Option<Event>, Option<Event>) {
        self.notices_of(by).tell(by, event, now.us)
    }

    /// Counts one more of it without an event: see `Notices::count`.
    pub fn count(&mut self, by: &denial::By, now: Now) -> bool {
        self.notices_of(by).count(by, now.us)
    }

    fn notices_of(&mut self, by: &denial::By) -> &mut Notices {
        match by.limit {
            notices::REMEMBERED => &mut self.remembered,
            notices::POLICY => &mut self.refused,
            _ => &mut self.notices,
        }
    }

    /// The numbers of windows that are over by then, and the alarms that no message carries.
    pub fn untold(&mut self, by_us: u64) -> Vec<Event> {
        let mut all = std::mem::take(&mut self.alarms);
        all.extend(
            [&mut self.notices, &mut self.remembered, &mut self.refused]
                .into_iter()
                .flat_map(|notices| notices.over(by_us)),
        );
        all
    }

    fn look_at_suspension(&self, origin: &Origin<'_>, now: Now) -> Result<(), Denied> {
        let Some(left) = self.suspensions.left(origin.credential, now) else { return Ok(()) };
        let key = Key::new(Tier::Credential, origin.credential);
        let by = denial::By { key, limit: "anomaly", window_us: rate::HOUR_US };
        Err(Denied { refusal: Refusal::Suspended(left), by: Some(by), upstream: None })
    }

    /// Whether a message fits everywhere, or all of a batch. The keys become those under which it is counted.
    fn check(&mut self, counts: &mut [origin::Count], bytes: Option<u64>, now: Now) -> Result<(), Denied> {
        let nothing = Usage::default();
        let mut denied: Option<Denied> = None;
        for count in counts {
            let table = self.table(count.key.tier);
            count.key = table.resolve(count.key.clone(), now);
            let usage = table.get(&count.key).unwrap_or(&nothing);
            let weight = Weight { messages: count.messages, recipients: count.recipients, bytes };
            if let Err(one) = usage.check(&count.key, &count.rules, weight, now) {
                denied = Some(match denied {
                    Some(before) => before.or_longer(one),
                    None => one,
                });
            }
        }
        denied.map_or(Ok(()), Err)
    }

    fn day(&self, credential: &Key, now: Now) -> Day {
        self.own.get(credential).map_or_else(Day::default, |usage| usage.days().on(now.day()))
    }

    /// The place that was held until the dot is held no more.
    fn let_go(&mut self, reservation: &mut Reservation) {
        let held = std::mem::take(&mut reservation.held);
        if held != Held::default()
            && let Some(usage) = self.own.get_mut(&reservation.credential)
        {
            usage.held.sub(held);
        }
    }
}

impl Reservation {
    /// The place of one message, which is held.
    fn of(credential: Key) -> Self {
        Self { credential, held: Held::ONE, taken: Vec::new(), alarms: Vec::new(), suspension: None }
    }

    /// What is to be said of a volume that is beyond all history, as it belongs into the message's transaction.
    pub fn events(&self) -> Vec<Event> {
        let suspended = self.suspension.is_some();
        self.alarms.iter().map(|alarm| alarm.event(&self.credential.name, suspended)).collect()
    }
}

#[cfg(test)]
mod tests;
