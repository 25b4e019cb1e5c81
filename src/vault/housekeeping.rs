//! The small things that time brings.

use std::rc::Rc;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval};

use super::audit::ledger::now_us;
use super::audit::month;
use super::delivery::interrupted;
use super::store::submissions::REMEMBERED_US;
use super::store::writer::Writer;
use super::{Vault, hooks, login};
use crate::sys::clock;

/// Messages forgotten in one transaction, which others wait for; and transactions in a second: as many messages as may come in one.
const SWEEP: u32 = 200;
const PORTIONS: u32 = 25;
/// A portion that takes longer is followed by a smaller one, and what is left of a second is everybody else's.
const SLOW: Duration = Duration::from_millis(50);
const SHARE: Duration = Duration::from_millis(300);

/// For ever.
pub async fn run(vault: Rc<Vault>) {
    /// The seconds between two looks.
    const SWEEP_SECONDS: u64 = 60;
    /// Suppressed addresses forgotten in one transaction, and how old the vault is by then: a machine whose clock is wrong when it
    /// starts has it right soon, and what is forgotten does not come back.
    const SWEEP_SUPPRESSED: u32 = 1000;
    /// The same of requests that were done once; more than come in that time would have to be very many.
    const SWEEP_ONCE: u32 = 10_000;
    const SETTLED: Duration = Duration::from_secs(3600);
    /// The seconds between two looks for those who wait for a time that a clock gave which was ahead: they would wait until the next start.
    /// They are rare, and the look goes through all that wait.
    const HURRY_SECONDS: u64 = 3600;
    let mut ticks = interval(Duration::from_secs(1));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut second = 0u64;
    let (mut more, mut portion) = (false, SWEEP);
    loop {
        ticks.tick().await;
        vault.writer.tick();
        login::expiry::look(&vault).await;
        second += 1;
        if second.is_multiple_of(SWEEP_SECONDS) {
            let now = vault.authority.borrow().clock.now();
            let refused = vault.authority.borrow_mut().sweep();
            if !refused.is_empty() {
                vault.writer.record(refused).await;
            }
            // What lies behind by one clock and not by the other is not old yet.
            let day = now.day().min(month::today(now.us).0);
            let sweep_us = now.us;
            let clock = vault.authority.borrow().clock;
            let over_us = (clock.age() >= SETTLED).then(|| clock.passed_us());
            if let Some(over_us) = over_us {
                vault.onces.sweep(over_us);
            }
            let sweep = vault.writer.run(move |store| {
                store.consumption.sweep(sweep_us, day)?;
                if let Some(over_us) = over_us {
                    store.once.sweep(over_us, SWEEP_ONCE)?;
                    store.suppressions.sweep(over_us, SWEEP_SUPPRESSED)?;
                }
                Ok(())
            });
            // No room on the disk, or the end of the store: the next look will do.
            let _ = sweep.await;
            hooks::sweep(&vault).await;
        }
        if second.is_multiple_of(HURRY_SECONDS) {
            let lanes = hurry(&vault.writer).await;
            if !lanes.is_empty() {
                vault.schedule.borrow_mut().arrived(lanes);
                vault.poke.notify_one();
            }
        }
        if more || second.is_multiple_of(SWEEP_SECONDS) {
            // By the wall's clock, as their ends were written; but not while a machine that has just started may have it wrong.
            let before_us = now_us().saturating_sub(REMEMBERED_US);
            more = clock::elapsed() >= SETTLED && forget(&vault.writer, before_us, &mut portion).await;
        }
    }
}

/// Whoever was put off while the clock was ahead waits no longer than he could by that of now. Gives the lanes that must be looked at anew,
/// if there was anybody.
async fn hurry(writer: &Writer) -> Vec<String> {
    let hurried = writer.run(|store| {
        let count = interrupted::hurry(store)?;
        let lanes = if count > 0 { store.spool.lanes()? } else { Vec::new() };
        Ok((count, lanes))
    });
    // No room on the disk, or the end of the store: the next look will do.
    let Ok((count, lanes)) = hurried.await else { return Vec::new() };
    if count > 0 {
        tracing::warn!(count, "recipients were put off by a clock that was ahead; they wait a day or so at most");
    }
    lanes
}

/// Forgets messages that were done before then, so many in a transaction as went well the last time. Whether there are more: then the
/// next second goes on with it.
async fn forget(writer: &Writer, before_us: u64, portion: &mut u32) -> bool {
    let begun = Instant::now();
    for _ in 0..PORTIONS {
        let (since, most) = (Instant::now(), *portion);
        match writer.run(move |store| store.spool.sweep(before_us, most)).await {
            Ok(swept) if swept == most as usize => {}
            // No room on the disk is as good as none left: the next look will do.
            _ => return false,
        }
        // Messages to many, or a store that is busy.
        let is_slow = since.elapsed() > SLOW;
        *portion = if is_slow { (most / 8).max(1) } else { most.saturating_mul(2).min(SWEEP) };
        if begun.elapsed() > SHARE {
            break;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vault::store::open::Database;

    #[test]
    fn rule_q4_who_was_put_off_by_a_clock_that_was_ahead_waits_no_longer_than_by_this_one() {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir(home.path().join("db")).unwrap();
        let database = Database::open(home.path()).unwrap();
        let (hour, year) = (3_600_000_000, 365 * 86_400_000_000_u64);
        let sql = format!(
            "INSERT INTO spool_msg(id, msg_id, accept_seq, session_id, principal, bytes, sha256, accepted_us, expires_us) \
             VALUES(1, zeroblob(16), 0, zeroblob(16), 'shop', 3, zeroblob(32), 1, 1); \
             INSERT INTO spool_rcpt(msg, n, rcpt, lane, state, next_us, tried) \
             VALUES(1, 0, 'a@b', 'one', 0, {0} + {year}, 1), (1, 1, 'b@b', 'one', 0, {0} + {hour}, 1), (1, 2, 'c@b', 'one', 0, {0} + {year}, 0)",
            now_us()
        );
        database.connection.execute_batch(&sql).unwrap();
        let (writer, thread) = Writer::start(database, |failure| panic!("{failure}")).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let rounds = runtime.block_on(async { [hurry(&writer).await, hurry(&writer).await] });
        assert_eq!(rounds, [vec!["one".to_owned()], vec![]], "and nobody is looked at anew without a reason");
        drop(writer);
        thread.join().unwrap();
        let database = Database::open(home.path()).unwrap();
        let sql = "SELECT group_concat(next_us > ?, '') FROM (SELECT next_us FROM spool_rcpt ORDER BY n)";
        let late = |us: u64| database.connection.query_row::<String, _, _>(sql, [us as i64], |row| row.get(0)).unwrap();
        assert_eq!((late(now_us() + 2 * 24 * hour), late(now_us())), ("001".into(), "111".into()));
    }

    #[test]
    fn whatever_comes_in_a_minute_is_forgotten_in_its_time() {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir(home.path().join("db")).unwrap();
        let database = Database::open(home.path()).unwrap();
        let sql = "WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 6000) \
                   INSERT INTO spool_msg(msg_id, accept_seq, session_id, principal, bytes, sha256, accepted_us, expires_us, done_us) \
                   SELECT unhex(format('%032x', n)), 0, zeroblob(16), 'shop', 3, zeroblob(32), 1, 1, n FROM n";
        assert_eq!(database.connection.execute(sql, []).unwrap(), 6000);
        let (writer, thread) = Writer::start(database, |failure| panic!("{failure}")).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let rounds: Vec<bool> = runtime.block_on(async {
            let mut portion = SWEEP;
            let mut rounds = vec![forget(&writer, 5901, &mut portion).await];
            while rounds.last() == Some(&true) {
                rounds.push(forget(&writer, 5901, &mut portion).await);
            }
            rounds
        });
        // A machine that is slow takes more of them.
        assert!(rounds.len() >= 2, "what is left after a second goes in the next one");
        drop(writer);
        thread.join().unwrap();
        let database = Database::open(home.path()).unwrap();
        let left = |sql| database.connection.query_row::<i64, _, _>(sql, [], |row| row.get(0)).unwrap();
        assert_eq!(left("SELECT count(*) FROM spool_msg"), 100);
        assert_eq!(left("SELECT min(done_us) FROM spool_msg"), 5901);
    }
}
