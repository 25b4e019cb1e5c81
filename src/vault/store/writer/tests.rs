//! The writer over a real file.

use super::*;
use crate::ipc::admin::load::Measure;
use crate::mail::id::MessageId;

fn database() -> (tempfile::TempDir, Database) {
    let home = tempfile::tempdir().unwrap();
    std::fs::create_dir(home.path().join("db")).unwrap();
    let database = Database::open(home.path()).unwrap();
    (home, database)
}

fn watch(home: &tempfile::TempDir) -> Watch {
    Watch::new(home.path().join("db"), 1, 1024 * 1024)
}

fn no_failure(failure: &Failure) {
    panic!("{failure}");
}

fn heartbeat() -> Event {
    Event::new(Name::AuditHeartbeat, Outcome::Info)
}

#[test]
fn what_is_queued_while_the_disk_works_is_one_transaction() {
    let (home, database) = database();
    let (writer, thread) = Writer::start_with(database, watch(&home), no_failure).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let transactions: Vec<u64> = runtime.block_on(async {
        let (gate, wait) = std::sync::mpsc::channel::<()>();
        let (begun, begin) = oneshot::channel();
        let slow = move |store: &mut Store<'_>| {
            begun.send(()).unwrap();
            wait.recv().unwrap();
            Ok(store.transactions)
        };
        let first = writer.queue(0, slow).await.unwrap();
        begin.await.unwrap();
        let mut rest = Vec::new();
        for _ in 0..100 {
            let work = |store: &mut Store<'_>| store.ledger.append(heartbeat()).map(|_| store.transactions);
            rest.push(writer.queue(0, work).await.unwrap());
        }
        gate.send(()).unwrap();
        let mut all = vec![first.answer().await.unwrap()];
        for stored in rest {
            all.push(stored.answer().await.unwrap());
        }
        all
    });
    assert_eq!(transactions[0], 1);
    assert!(transactions[1..].iter().all(|transaction| *transaction == 2), "{transactions:?}");
    let size = writer.run_blocking(|store| Ok(store.ledger.size())).unwrap();
    assert_eq!((size, writer.size()), (100, 100));
    drop(writer);
    thread.join().unwrap();
}

#[test]
fn rule_q16_a_store_is_as_slow_as_all_that_wait_for_it() {
    let (home, database) = database();
    let (writer, thread) = Writer::start_with(database, watch(&home), no_failure).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let (gate, wait) = std::sync::mpsc::channel::<()>();
        let held = move |_: &mut Store<'_>| {
            wait.recv().unwrap();
            Ok(())
        };
        let mut all = vec![writer.queue(0, held).await.unwrap()];
        for _ in 0..4 * GROUP {
            let slow = |store: &mut Store<'_>| {
                std::thread::sleep(Duration::from_millis(1));
                store.ledger.append(heartbeat()).map(drop)
            };
            all.push(writer.queue(0, slow).await.unwrap());
        }
        gate.send(()).unwrap();
        for stored in all {
            stored.answer().await.unwrap();
        }
    });
    let told = writer.load().told();
    let average_us = told.figures.iter().find(|figure| figure.measure == Measure::Latency).unwrap().now;
    // Four groups of 256 ms each, beside three, two, one and none that wait; alone they would be an average of some 90 ms.
    assert!(average_us > 150_000, "{average_us}");
    drop(writer);
    thread.join().unwrap();
}

#[test]
fn whoever_only_looks_does_not_keep_the_log_from_being_emptied() {
    let (home, database) = database();
    let (writer, thread) = Writer::start_with(database, watch(&home), no_failure).unwrap();
    let log = || std::fs::metadata(home.path().join("db/vault.db-wal")).unwrap().len();
    writer.run_blocking(|store| store.ledger.append(heartbeat())).unwrap();
    assert!(log() > 0);
    for _ in 0..3 {
        writer.tick();
        writer.run_blocking(|store| store.spool.was(MessageId::now())).unwrap();
    }
    // Behind the group that the last look was in.
    writer.run_blocking(|_| Ok(())).unwrap();
    assert_eq!(log(), 0);
    drop(writer);
    thread.join().unwrap();
}

#[test]
fn rule_q16_how_long_the_log_takes_to_be_copied_back_is_known_beside_the_commits() {
    let (home, database) = database();
    let (writer, thread) = Writer::start_with(database, watch(&home), no_failure).unwrap();
    let quiet = || {
        // Behind the group that the first one may be in.
        (0..2).for_each(|_| writer.run_blocking(|_| Ok(())).unwrap());
        writer.load().quiet()
    };
    (0..5).for_each(|_| writer.load().second());
    writer.run_blocking(|store| store.ledger.append(heartbeat())).unwrap();
    assert_eq!(quiet(), [0, 5, 5]);
    writer.empty_log();
    assert_eq!(quiet(), [0, 0, 5]);
    drop(writer);
    thread.join().unwrap();
}

/// Stops where the process would end, and says so.
fn end(_: &Failure) {
    ENDED.lock().unwrap().take().unwrap().send(()).unwrap();
    loop {
        std::thread::park();
    }
}

static ENDED: std::sync::Mutex<Option<std::sync::mpsc::Sender<()>>> = std::sync::Mutex::new(None);

#[test]
fn after_a_commit_that_failed_nobody_is_answered() {
    let failing: [fn(&mut Store<'_>) -> Sql<()>; 2] = [
        // A commit that fails when everything in it was done.
        |_| Ok(()),
        |_| Err(rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_IOERR_READ), None)),
    ];
    for (case, work) in failing.into_iter().enumerate() {
        let (home, mut database) = database();
        let mut commits = 0;
        let second = move || {
            commits += 1;
            case == 0 && commits == 2
        };
        database.connection.commit_hook(Some(second)).unwrap();
        let (ended, end_of_it) = std::sync::mpsc::channel();
        *ENDED.lock().unwrap() = Some(ended);
        let (writer, _) = Writer::start_with(database, watch(&home), end).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let mut stored = runtime.block_on(async {
            let (gate, wait) = std::sync::mpsc::channel::<()>();
            let (begun, begin) = oneshot::channel();
            let first = move |_: &mut Store<'_>| {
                begun.send(()).unwrap();
                wait.recv().unwrap();
                Ok(())
            };
            let mut stored = vec![writer.queue(0, first).await.unwrap()];
            begin.await.unwrap();
            // One before the one that fails, one behind it, and one that no transaction has begun with.
            let before = |store: &mut Store<'_>| store.ledger.append(heartbeat()).map(drop);
            stored.push(writer.queue(0, before).await.unwrap());
            stored.push(writer.queue(0, work).await.unwrap());
            stored.push(writer.queue(GROUP_OCTETS, before).await.unwrap());
            stored.push(writer.queue(0, before).await.unwrap());
            gate.send(()).unwrap();
            stored
        });
        end_of_it.recv().unwrap();
        for (n, stored) in stored.iter_mut().enumerate() {
            let answer = stored.0.try_recv();
            assert_eq!(answer, if n == 0 { Ok(()) } else { Err(oneshot::error::TryRecvError::Empty) }, "{case}: {n}");
        }
    }
}

#[test]
fn a_full_disk_keeps_nothing_of_a_group_but_the_events_for_later() {
    let (home, database) = database();
    let pages: i64 = database.connection.query_row("PRAGMA page_count", [], |row| row.get(0)).unwrap();
    let limit = format!("PRAGMA max_page_count={}", pages + 4);
    database.connection.query_row(&limit, [], |_| Ok(())).unwrap();
    let (writer, thread) = Writer::start_with(database, watch(&home), no_failure).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let big = || Event { data: Some("x".repeat(60 * 1024)), ..heartbeat() };
        let event = big();
        let refused = writer.run(move |store| store.ledger.append(event)).await;
        assert_eq!(refused, Err(NotStored::Full));
        // Behind the event that says so, for which the ballast was thrown off.
        assert_eq!(writer.run(|store| store.ledger.append(heartbeat())).await, Ok(1));
        writer.record(vec![big()]).await;
        assert_eq!(writer.run(|store| Ok(store.ledger.size())).await, Err(NotStored::Full));
        // Who only looks needs none, and what is owed is owed still.
        assert_eq!(writer.look(|store| Ok(store.ledger.size())).await, Ok(2));
        let written = writer.look(move |store| store.ledger.append(big()).map(drop)).await;
        assert_eq!(written, Err(NotStored::Full), "it was no look");
        assert!(writer.is_short() && !home.path().join("db/ballast").exists());
    });
    drop(writer);
    thread.join().unwrap();
    // The tree on the disk is whole.
    let database = Database::open(home.path()).unwrap();
    assert_eq!(Store::prepare(&database).unwrap().ledger.size(), 2);
}
