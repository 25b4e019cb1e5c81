//! What was used of the limits, on disk: of a message, written in the message's own transaction; of a login, before its answer.

use rusqlite::{Connection, OptionalExtension, Result, Statement, params};

use crate::vault::audit::row::{damaged, integer, unsigned};
use crate::vault::limits::days::{Day, KEPT};
use crate::vault::limits::key::Tier;
use crate::vault::limits::rate::Series;
use crate::vault::limits::suspension::Suspension;
use crate::vault::login::homes::{self, Home};
use crate::vault::store::lasting;

/// Days that quotas are kept of places and domains, which say more of people than a credential's name does: today's, and the
/// one before, in case a clock is set back.
const PLACE_DAYS: i64 = 1;
/// No bucket is ahead of now by more than the longest window there can be; what says so was written by a clock that was.
const LONGEST_US: u64 = 7 * 86_400_000_000;
/// The key in `meta` of the key that finds shared buckets and hides names.
const HASH_KEY: &str = "limits";
/// The key in `meta` of the time by which buckets were last written.
const CLOCK: &str = "limits-clock";

/// The theoretical arrival time of one bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bucket {
    pub tier: Tier,
    pub series: Series,
    pub name: String,
    pub tat_us: u64,
}

/// A day of one key: as a whole, or what one message adds to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DayRow {
    pub tier: Tier,
    pub name: String,
    pub day: Day,
}

/// One message's use of all its limits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Use {
    pub buckets: Vec<Bucket>,
    pub days: Vec<DayRow>,
    pub suspension: Option<Suspension>,
}

/// All that is remembered at start.
#[derive(Clone, Debug, Default)]
pub struct Consumed {
    pub buckets: Vec<Bucket>,
    pub days: Vec<DayRow>,
    pub suspensions: Vec<Suspension>,
    pub homes: Vec<Home>,
    pub hash_key: [u8; 32],
}

pub struct Consumption<'c> {
    bucket: Statement<'c>,
    day: Statement<'c>,
    suspend: Statement<'c>,
    buckets: Statement<'c>,
    days: Statement<'c>,
    suspensions: Statement<'c>,
    home: Statement<'c>,
    homes: Statement<'c>,
    no_home: Statement<'c>,
    last_day: Statement<'c>,
    suspended: Statement<'c>,
    sweep: [Statement<'c>; 5],
    trim: Statement<'c>,
    shift: Statement<'c>,
    meta: Statement<'c>,
    set_meta: Statement<'c>,
    stamp_any: Statement<'c>,
}

impl<'c> Consumption<'c> {
    pub fn prepare(connection: &'c Connection) -> Result<Self> {
        let sql = |sql: &str| lasting(connection, sql);
        Ok(Self {
            bucket: sql("INSERT OR REPLACE INTO rl_bucket(scope, key, tat_us) VALUES(?, ?, ?)")?,
            day: sql("INSERT INTO rl_quota(scope, key, day, msgs, rcpts, bytes, hour, hour_rcpts, peak) \
                      VALUES(?1, ?2, ?3, 1, ?4, ?5, ?6, ?4, ?4) \
                      ON CONFLICT DO UPDATE SET msgs = msgs + 1, rcpts = rcpts + ?4, bytes = bytes + ?5, \
                      hour_rcpts = CASE WHEN hour = ?6 THEN hour_rcpts ELSE 0 END + ?4, hour = ?6, \
                      peak = max(peak, CASE WHEN hour = ?6 THEN hour_rcpts ELSE 0 END + ?4)")?,
            suspend: sql("INSERT OR REPLACE INTO suspension(credential, day, until_us) VALUES(?, ?, ?)")?,
            buckets: sql("SELECT scope, key, tat_us FROM rl_bucket WHERE tat_us > ?")?,
            days: sql("SELECT scope, key, day, msgs, rcpts, bytes, hour, hour_rcpts, peak FROM rl_quota")?,
            suspensions: sql("SELECT credential, day, until_us FROM suspension")?,
            home: sql("INSERT OR REPLACE INTO login_home(alias, day) VALUES(?, ?)")?,
            homes: sql("SELECT alias, day FROM login_home ORDER BY day DESC")?,
            no_home: sql("DELETE FROM login_home WHERE alias = ?")?,
            suspended: sql("SELECT until_us FROM suspension WHERE credential = ?")?,
            last_day: sql("SELECT max(day) FROM rl_quota WHERE scope = 0 AND key = ?")?,
            sweep: [
                sql("DELETE FROM rl_bucket WHERE tat_us <= ?")?,
                sql("DELETE FROM rl_quota WHERE day < ?")?,
                // Neither a credential's nor the whole gate's.
                sql("DELETE FROM rl_quota WHERE day < ? AND scope NOT IN (0, 2)")?,
                sql("DELETE FROM suspension WHERE day < ?")?,
                sql("DELETE FROM login_home WHERE day < ?")?,
            ],
            trim: sql("UPDATE rl_bucket SET tat_us = ?1 WHERE tat_us > ?1")?,
            shift: sql("UPDATE rl_bucket SET tat_us = max(tat_us - ?, 0)")?,
            meta: sql("SELECT value FROM meta WHERE key = ?")?,
            set_meta: sql("INSERT OR REPLACE INTO meta(key, value) VALUES(?, ?)")?,
            stamp_any: sql(
                "INSERT OR REPLACE INTO meta(key, value) SELECT ?, ? WHERE EXISTS (SELECT 1 FROM rl_bucket)",
            )?,
        })
    }

    pub fn consume(&mut self, used: &Use) -> Result<()> {
        self.keep(&used.buckets)?;
        for DayRow { tier, name, day } in &used.days {
            let (recipients, bytes) = (integer(day.recipients), integer(day.bytes));
            self.day.execute(params![tier.number(), name, day.day, recipients, bytes, day.hour])?;
        }
        used.suspension.iter().try_for_each(|suspension| self.suspend(suspension))
    }

    /// Buckets as they are to be found after a restart.
    pub fn keep(&mut self, buckets: &[Bucket]) -> Result<()> {
        for Bucket { tier, series, name, tat_us } in buckets {
            self.bucket.execute(params![tier.scope(*series), name, integer(*tat_us)])?;
        }
        Ok(())
    }

    /// By which time buckets were written: a start whose clock is behind it finds them as full as they were then.
    pub fn stamp(&mut self, now_us: u64) -> Result<()> {
        self.set_meta.execute([CLOCK, &now_us.to_string()]).map(drop)
    }

    /// A suspension, or that it was lifted.
    pub fn suspend(&mut self, suspension: &Suspension) -> Result<()> {
        let Suspension { credential, day, until_us } = suspension;
        self.suspend.execute(params![credential, day, until_us.map(integer)]).map(drop)
    }

    /// Where a credential is at home.
    pub fn keep_home(&mut self, home: &Home) -> Result<()> {
        self.home.execute(params![home.alias, home.day]).map(drop)
    }

    /// It made room for another.
    pub fn forget_home(&mut self, alias: &str) -> Result<()> {
        self.no_home.execute([alias]).map(drop)
    }

    /// When the clock is behind the time that buckets were written by, it was set back: of what they held, nothing is known
    /// to have drained, and nothing more was used.
    fn follow(&mut self, now_us: u64) -> Result<()> {
        let stamp: Option<String> = self.meta.query_row([CLOCK], |row| row.get(0)).optional()?;
        let behind_us = stamp.and_then(|stamp| stamp.parse().ok()).map_or(0, |stamp: u64| stamp.saturating_sub(now_us));
        if behind_us > 0 {
            self.shift.execute([integer(behind_us)])?;
            self.stamp(now_us)?;
        }
        Ok(())
    }

    /// Everything that still counts; what can't is forgotten.
    pub fn all(&mut self, now_us: u64, day: i64) -> Result<Consumed> {
        self.follow(now_us)?;
        self.sweep(now_us, day)?;
        self.trim.execute([integer(now_us.saturating_add(LONGEST_US))])?;
        let buckets = self.buckets.query_map([integer(now_us)], |row| {
            let scope: i64 = row.get(0)?;
            let Some((tier, series)) = kind(scope) else { return Ok(None) };
            Ok(Some(Bucket { tier, series, name: row.get(1)?, tat_us: unsigned(row, 2)? }))
        })?;
        let buckets = buckets.filter_map(Result::transpose).collect::<Result<_>>()?;
        let days = self.days.query_map([], |row| {
            let Some(tier) = Tier::of(row.get(0)?) else { return Ok(None) };
            let day = Day {
                day: row.get(2)?,
                messages: unsigned(row, 3)?,
                recipients: unsigned(row, 4)?,
                bytes: unsigned(row, 5)?,
                hour: row.get(6)?,
                hour_recipients: unsigned(row, 7)?,
                peak: unsigned(row, 8)?,
            };
            Ok(Some(DayRow { tier, name: row.get(1)?, day }))
        })?;
        let days = days.filter_map(Result::transpose).collect::<Result<_>>()?;
        let suspensions = self.suspensions.query_map([], |row| {
            let until_us: Option<i64> = row.get(2)?;
            let until_us = until_us.map(|until| u64::try_from(until).unwrap_or(0));
            Ok(Suspension { credential: row.get(0)?, day: row.get(1)?, until_us })
        })?;
        let suspensions = suspensions.collect::<Result<_>>()?;
        let homes = self.homes.query_map([], |row| Ok(Home { alias: row.get(0)?, day: row.get(1)? }))?;
        let homes = homes.collect::<Result<_>>()?;
        Ok(Consumed { buckets, days, suspensions, homes, hash_key: self.hash_key()? })
    }

    /// The last day on which a message of that credential was accepted, as far as days are kept.
    pub fn last_day(&mut self, credential: &str) -> Result<Option<i64>> {
        self.last_day.query_row([credential], |row| row.get(0))
    }

    /// Until when that credential is suspended, or was, in Unix microseconds.
    pub fn suspended(&mut self, credential: &str) -> Result<Option<u64>> {
        let until = self.suspended.query_row([credential], |row| row.get::<_, Option<i64>>(0)).optional()?;
        Ok(until.flatten().and_then(|until_us| u64::try_from(until_us).ok()))
    }

    /// Forgets empty buckets and old quotas.
    pub fn sweep(&mut self, now_us: u64, day: i64) -> Result<()> {
        let [buckets, quotas, places, suspensions, homes] = &mut self.sweep;
        buckets.execute([integer(now_us)])?;
        quotas.execute([day - KEPT])?;
        places.execute([day - PLACE_DAYS])?;
        suspensions.execute([day - PLACE_DAYS])?;
        homes.execute([day - homes::DAYS])?;
        // Where there is nothing, there is nothing to write.
        self.stamp_any.execute([CLOCK, &now_us.to_string()]).map(drop)
    }

    /// Made at the first start.
    fn hash_key(&mut self) -> Result<[u8; 32]> {
        let kept: Option<String> = self.meta.query_row([HASH_KEY], |row| row.get(0)).optional()?;
        if let Some(kept) = kept {
            let octet = |at: usize| kept.get(2 * at..2 * at + 2).and_then(|two| u8::from_str_radix(two, 16).ok());
            let octets: Option<Vec<u8>> = (0..32).map(octet).collect();
            let octets = octets.and_then(|octets| octets.try_into().ok());
            return octets.ok_or_else(|| damaged("the key of the shared limits can't be read"));
        }
        let mut key = [0; 32];
        getrandom::fill(&mut key).map_err(|_| damaged("there are no random octets"))?;
        let text: String = key.iter().map(|octet| format!("{octet:02x}")).collect();
        self.set_meta.execute([HASH_KEY, &text])?;
        Ok(key)
    }
}

/// What a scope in the store is about; none for what a newer version wrote.
fn kind(scope: i64) -> Option<(Tier, Series)> {
    let tier = Tier::of(scope % 16)?;
    let series =
        Series::OF_MESSAGES.into_iter().chain(Series::OF_LOGINS).find(|series| tier.scope(*series) == scope)?;
    Some((tier, series))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vault::store::Store;
    use crate::vault::store::open::Database;

    const DAY_US: u64 = 86_400_000_000;
    const NOW: u64 = 20_000 * DAY_US;

    #[test]
    fn what_was_written_is_found_and_what_cannot_count_is_forgotten() {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir(home.path().join("db")).unwrap();
        let database = Database::open(home.path()).unwrap();
        let mut store = Store::prepare(&database).unwrap();
        let bucket = |tier, series, tat_us| Bucket { tier, series, name: "n".into(), tat_us };
        let kept = [
            bucket(Tier::Credential, Series::PerMinute, NOW + 1),
            bucket(Tier::CredentialPrefix, Series::FailedLong, NOW + 2),
            bucket(Tier::Address, Series::RecipientsPerHour, NOW),
            bucket(Tier::Global, Series::PerHour, NOW + 400 * DAY_US),
        ];
        let row = |tier, day, hour, recipients| DayRow {
            tier,
            name: "n".into(),
            day: Day { day, hour, recipients, bytes: 7, ..Day::default() },
        };
        let days = vec![
            row(Tier::Credential, 20_000, 480_000, 3),
            row(Tier::Credential, 20_000, 480_000, 4),
            row(Tier::Credential, 20_000, 480_001, 1),
            row(Tier::Credential, 19_964, 1, 1),
            row(Tier::Credential, 19_965, 1, 1),
            row(Tier::Address, 19_998, 1, 1),
        ];
        let suspension = Suspension { credential: "n".into(), day: 20_000, until_us: Some(NOW + 5) };
        let used = Use { buckets: kept.to_vec(), days, suspension: Some(suspension.clone()) };
        store.transaction(|store| store.consumption.consume(&used)).unwrap();
        let all = store.transaction(|store| store.consumption.all(NOW, 20_000)).unwrap();
        let mut buckets = all.buckets.clone();
        buckets.sort_by_key(|bucket| bucket.tat_us);
        assert_eq!(buckets[..2], kept[..2]);
        assert_eq!(buckets[2..], [bucket(Tier::Global, Series::PerHour, NOW + LONGEST_US)], "clamped, and on the disk");
        let today =
            Day { day: 20_000, messages: 3, recipients: 8, bytes: 21, hour: 480_001, hour_recipients: 1, peak: 7 };
        let days: Vec<Day> = all.days.iter().map(|row| row.day).collect();
        assert_eq!((days.len(), days[1]), (2, today), "{days:?}");
        assert_eq!(all.suspensions, [suspension]);
        let homes = [19_969, 19_970].map(|day| Home { alias: day.to_string(), day });
        store.transaction(|store| homes.iter().try_for_each(|home| store.consumption.keep_home(home))).unwrap();
        let again = store.transaction(|store| store.consumption.all(NOW, 20_000)).unwrap();
        assert_eq!((again.hash_key, &again.homes[..]), (all.hash_key, &homes[1..]));
        assert_ne!(again.hash_key, [0; 32]);
    }

    #[test]
    fn a_clock_that_was_set_back_finds_buckets_as_full_as_they_were_however_often_it_starts() {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir(home.path().join("db")).unwrap();
        let database = Database::open(home.path()).unwrap();
        let mut store = Store::prepare(&database).unwrap();
        let bucket = |tat_us| Bucket { tier: Tier::Address, series: Series::FailedLong, name: "n".into(), tat_us };
        store
            .transaction(|store| {
                store.consumption.keep(&[bucket(NOW + 864)])?;
                store.consumption.stamp(NOW)
            })
            .unwrap();
        for (now_us, left) in [(NOW - 400 * DAY_US, 864), (NOW - 401 * DAY_US, 864), (NOW - 401 * DAY_US + 100, 764)] {
            let all = store.transaction(|store| store.consumption.all(now_us, 1)).unwrap();
            assert_eq!(all.buckets, [bucket(now_us + left)]);
        }
        let all = store.transaction(|store| store.consumption.all(NOW, 20_000)).unwrap();
        assert_eq!(all.buckets, [], "ahead, it is time that passed");
    }
}
