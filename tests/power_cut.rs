//! Claims: the power may fail at any instant, and a disk may forget all that was not synced, in whatever mixture: no
//! acknowledged message is lost, its body is the one that was accepted, there is no message without its event and no event
//! without its message, the log verifies, the sealer finds nothing to refuse, and the service starts and delivers.
//!
//! How: `strace` records every change of a real service to its files, and every sync, while clients send, the service is
//! killed, starts again, and stops. The record is replayed into a model of a disk (`support/disk.rs`) which keeps what was
//! synced and no more. At 200 instants of it the power fails: for vault.db and its log, each segment, the personal and the
//! auditors' files, each slot of the sealer, and each directory's names by themselves it is chosen whether what was not
//! synced is lost, kept, or mixed write by write and torn at sectors. What is left is written to a directory and judged
//! (`support/restored.rs`) by the code that the next start runs; on every tenth one a real service is started.
//!
//! Each of these, put into the code for a try, makes it fail: a database that doesn't sync its commits (`synchronous=NORMAL`),
//! a segment or its name that isn't synced, a body's key that is stored only after the acknowledgement, the sealer's slot
//! that isn't synced, a sealer that is asked before COMMIT, the auditors' files that are synced never or only after the vault
//! forgot what is in them, the personal file that alone is not synced, a key file that isn't synced, and a master key whose
//! name may be durable before it. Of a change of the master key: the next key, its name or their directory that isn't synced,
//! a directory that isn't between the two renames, and an old key that is overwritten and not synced. The last sync of the
//! directory in it may be left out and nothing is lost: by then the new key has its place, and the next start gives it its
//! name.
//!
//! What was acknowledged before the cut is known from the clients' clocks and strace's, which are the same.

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gatepost::sink::Options;
use support::arrivals::{Arrivals, Arrived};
use support::cuts::{self, Cut};
use support::dice::Dice;
use support::disk::{Disk, Fate};
use support::evidence::Evidence;
use support::restored::{self, Promised};
use support::senders::{Book, Senders, Target};
use support::strace::{self, Change, Entry};
use support::{Service, Setting, await_that, gatepost, is_root};
use tempfile::TempDir;

/// Cuts that are judged at once.
const JUDGES: usize = 2;

/// What was recorded.
struct Session {
    /// The state directory as it was in the end.
    state: PathBuf,
    entries: Vec<Entry>,
    book: Book,
    arrived: Arrived,
    vkey: String,
    /// The master key of before the change, and the one of after it.
    masters: [Vec<u8>; 2],
}

/// What one cut left, ready to be judged.
struct Left {
    number: usize,
    cut: Cut,
    at_us: u64,
    folder: TempDir,
}

#[test]
fn rule_d5_whatever_a_disk_forgets_what_was_acknowledged_is_there_and_the_log_verifies() {
    if !is_root() {
        println!("NOT RUN: recording the calls of a sealed process needs root; the run as root does it");
        return;
    }
    let cuts = if std::env::var_os("GATEPOST_LONG").is_some() { 2000 } else { 200 };
    let mut dice = Dice::for_test("power_cut");
    let (_service, session) = record(&mut dice);
    let cuts = cuts::choose(&session.entries, cuts, &mut dice);
    println!(
        "{} changes and syncs recorded, {} messages acknowledged, {} cuts",
        session.entries.len(),
        session.book.len(),
        cuts.len()
    );
    let (ready, waiting) = sync_channel::<Left>(JUDGES);
    let waiting = Arc::new(Mutex::new(waiting));
    std::thread::scope(|scope| {
        for _ in 0..JUDGES {
            let (waiting, session) = (Arc::clone(&waiting), &session);
            scope.spawn(move || {
                loop {
                    let next = waiting.lock().unwrap().recv();
                    let Ok(left) = next else { return };
                    session.judge(&left);
                }
            });
        }
        // Judges that have failed take nothing more, which ends the loop below.
        drop(waiting);
        let (mut disk, mut cuts) = (Disk::default(), cuts.into_iter().enumerate().peekable());
        for (after, entry) in session.entries.iter().enumerate() {
            disk.apply(&entry.change);
            while let Some((number, cut)) = cuts.next_if(|(_, cut)| cut.after == after) {
                let folder = folder("gatepost-cut-");
                fs::create_dir(folder.path().join("state")).unwrap();
                let mut luck = Dice::new(dice.number());
                let mut fate = |path: &Path| cut.scene.fate(path, &mut luck);
                disk.after_a_cut(&folder.path().join("state"), &mut Dice::new(dice.number()), &mut fate);
                restored::set_modes(&folder.path().join("state"));
                // The next thing that was seen to happen came after the cut.
                let at_us = session.entries.get(after + 1).map_or(entry.at_us, |next| next.at_us);
                if ready.send(Left { number, cut, at_us, folder }).is_err() {
                    return;
                }
            }
        }
        drop(ready);
        let [old, new] = &session.masters;
        assert!(disk.holds(new), "a key is found where there is one");
        assert!(!disk.holds(old), "the old master key is still on the disk, although it was said to be overwritten");
    });
}

/// A service under load that is killed, starts again, and stops in order; recorded from its first start on.
fn record(dice: &mut Dice) -> (Service, Session) {
    let folder = tempfile::Builder::new().prefix("gatepost-test-").tempdir().unwrap();
    let [state, first, rekeying, second] =
        ["state", "first", "rekeying", "second"].map(|name| folder.path().join(name));
    fs::create_dir(&state).unwrap();
    let setting = Setting {
        under: strace::recording(&first),
        limits: "vault_deaths = 1000".to_owned(),
        // Half of the messages stay in the queue.
        sink: || Options { refuse: vec![("later@".into(), "451 4.2.0 later".into())], ..Options::default() },
        more: "[spool]\nretry = [\"10s\"]\nballast = 65536".to_owned(),
        ..Setting::default()
    };
    let mut service = Service::start_in(folder, &setting);
    let secret = service.add_credential();
    let arrivals = Arrivals::collect(service.take_sink());
    let mut target = Target::of(&service, &secret);
    target.recipients = ["b@example.org", "later@example.org"].map(str::to_owned).to_vec();
    target.pace = Duration::from_millis(60);
    // It is killed while they send; then others come, up to the end.
    target.most = 70;
    let senders = Senders::start(&target, "first", 3, 1, dice);
    await_that("the load", || senders.acknowledged() >= 20);
    service.await_sound("recording");
    let master = || fs::read(state.join("master/master.key")).unwrap();
    let old = master();
    rekey(&service, &rekeying);
    let masters = [old, master()];
    await_that("the load", || senders.acknowledged() >= 40);
    service.kill_all();
    let mut book = senders.stop();
    await_end_of_record(&first);
    service.start_again_under(&strace::recording(&second));
    target.most = 30;
    let senders = Senders::start(&target, "second", 3, 1, dice);
    await_that("the load", || senders.acknowledged() >= 15);
    service.await_sound("recording");
    await_that("the load", || senders.acknowledged() >= 30);
    book.extend(senders.stop());
    service.end();
    await_end_of_record(&second);
    let vkey = fs::read_to_string(state.join("seal/log.vkey")).unwrap().trim().to_owned();
    let entries = strace::merge([first, rekeying, second].map(|record| strace::read(&record, &state)));
    (service, Session { state, entries, book, arrived: arrivals.stop(), vkey, masters })
}

/// A folder for what is left of a disk: in memory, where there is a place for it, because no sync there is waited for.
fn folder(prefix: &str) -> TempDir {
    let mut builder = tempfile::Builder::new();
    let builder = builder.prefix(prefix);
    builder.tempdir_in("/dev/shm").or_else(|_| builder.tempdir()).unwrap()
}

/// Changes the master key, recorded.
fn rekey(service: &Service, record: &Path) {
    let words = strace::recording(record);
    let program = gatepost();
    let mut command = Command::new(&words[0]);
    command
        .args(&words[1..])
        .arg(program.get_program())
        .args(["queue", "rekey", "--yes", "--config"])
        .arg(service.config());
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    await_end_of_record(record);
}

/// The tracer ends with the last process it traces.
fn await_end_of_record(record: &Path) {
    let name = record.to_str().unwrap();
    await_that("strace has ended", || {
        let lines =
            fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
        !lines.into_iter().any(|line| {
            let words: Vec<&[u8]> = line.split(|octet| *octet == 0).collect();
            words.first().is_some_and(|word| word.ends_with(b"strace")) && words.contains(&name.as_bytes())
        })
    });
}

impl Session {
    fn judge(&self, left: &Left) {
        let (cut, state) = (left.cut, left.folder.path().join("state"));
        let due = || self.book.iter().filter(|(_, acknowledged)| acknowledged.at_us < left.at_us);
        let promised = Promised { messages: due().map(|(_, sent)| sent.id.as_str()).collect(), vkey: &self.vkey };
        let done = &self.entries[cut.after].change;
        let (number, all) = (left.number, self.entries.len());
        let context = format!("cut {number} after {} of {all}, {}, {:?}", cut.after, told(done), cut.scene);
        if !cut.starts {
            return restored::judge(&state, &promised, &context);
        }
        let waiting: BTreeSet<&String> = due()
            .filter(|(subject, _)| self.arrived.get(*subject).is_none_or(|times| times[0].0 >= left.at_us))
            .map(|(subject, _)| subject)
            .collect();
        self.start_on(left, &waiting, &promised, &context);
    }

    /// A real service on what is left: it delivers what waits, its log verifies, and it has nothing to complain of.
    fn start_on(&self, left: &Left, waiting: &BTreeSet<&String>, promised: &Promised<'_>, context: &str) {
        restored::give(&left.folder.path().join("state"), &self.state);
        let folder = folder("gatepost-test-");
        let state: PathBuf = folder.path().join("state");
        fs::rename(left.folder.path().join("state"), &state).unwrap();
        let mut service = Service::start_in(folder, &Setting::default());
        let arrivals = Arrivals::collect(service.take_sink());
        arrivals.await_all(&waiting.iter().copied().collect::<Vec<_>>(), &service);
        service.await_sound(context);
        service.kill_all();
        let evidence = Evidence::of(&state);
        evidence.assert_whole(context);
        restored::assert_kept(&evidence, promised, context);
        arrivals.stop();
    }
}

fn told(change: &Change) -> String {
    match change {
        Change::Write { path, octets, .. } => format!("a write of {} octets to {}", octets.len(), path.display()),
        other => format!("{other:?}"),
    }
}

/// What a model of a disk without this would let pass.
#[test]
fn the_model_forgets_whatever_was_not_synced_and_nothing_else() {
    let path = |name: &str| PathBuf::from(name);
    let open = |name: &str| Change::Open { path: path(name), make: true, truncate: false, append: false };
    let write = |name: &str, at, octet| Change::Write { path: path(name), at: Some(at), octets: vec![octet; 1024] };
    let sync = |name: &str| [Change::SyncBegins { thread: 1, path: path(name) }, Change::SyncEnds { thread: 1 }];
    let left = |changes: &[Change], fate: Fate| -> Vec<(String, Vec<u8>)> {
        let (mut disk, home) = (Disk::default(), tempfile::tempdir().unwrap());
        changes.iter().for_each(|change| disk.apply(change));
        disk.after_a_cut(home.path(), &mut Dice::new(7), &mut |_| fate);
        let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
        support::evidence::list(home.path()).iter().map(|path| (name(path), fs::read(path).unwrap())).collect()
    };
    let file = |octets: &[u8]| vec![("a".to_owned(), octets.to_vec())];

    let unsynced = [open("a"), write("a", 0, 1)];
    assert_eq!(left(&unsynced, Fate::Lost), [], "neither name nor content");
    assert_eq!(left(&unsynced, Fate::Kept), file(&[1; 1024]));
    let nameless = [&unsynced[..], &sync("a")].concat();
    assert_eq!(left(&nameless, Fate::Lost), [], "a synced file without a synced name");
    let empty = [&unsynced[..], &sync("")].concat();
    assert_eq!(left(&empty, Fate::Lost), file(&[]), "a synced name without a synced file");
    let synced = [&nameless[..], &sync("")].concat();
    assert_eq!(left(&synced, Fate::Lost), file(&[1; 1024]));

    let more = [&synced[..], &[write("a", 512, 2), Change::Truncate { path: path("a"), length: 0 }]].concat();
    assert_eq!(left(&more, Fate::Lost), file(&[1; 1024]));
    assert_eq!(left(&more, Fate::Kept), file(&[]));
    let gone = [&synced[..], &[Change::Remove { path: path("a") }]].concat();
    assert_eq!(left(&gone, Fate::Lost), file(&[1; 1024]), "a removal is a name, too");
    assert_eq!(left(&gone, Fate::Kept), []);
    let moved =
        [&synced[..], &[open("b"), Change::Rename { from: path("a"), to: path("c") }, write("c", 512, 5)]].concat();
    let names = |fate| left(&moved, fate).into_iter().map(|(name, content)| (name, content[600..].to_vec())).collect();
    let last: Vec<(String, Vec<u8>)> = names(Fate::Last);
    assert_eq!(last, [("c".to_owned(), vec![5; 936])], "the last name and the last write, without those before them");
    let both = [&moved[..], &[write("c", 0, 6), write("c", 1024, 7)]].concat();
    assert_eq!(left(&both, Fate::Last)[0].1, [[1; 1024], [7; 1024]].concat());
    // A write that comes while the sync is under way is not covered by it.
    let [begins, ends] = sync("a");
    let late = [&synced[..], &[begins, write("a", 0, 3), ends]].concat();
    assert_eq!(left(&late, Fate::Lost), file(&[1; 1024]));
    let torn = [&synced[..], &[write("a", 0, 4)]].concat();
    let mixtures: BTreeSet<Vec<u8>> = (0..200)
        .map(|seed| {
            let (mut disk, home) = (Disk::default(), tempfile::tempdir().unwrap());
            torn.iter().for_each(|change| disk.apply(change));
            disk.after_a_cut(home.path(), &mut Dice::new(seed), &mut |_| Fate::Mixed);
            fs::read(home.path().join("a")).unwrap()
        })
        .collect();
    let sectors = [[1, 1], [1, 4], [4, 1], [4, 4]].map(|[first, second]| [[first; 512], [second; 512]].concat());
    assert_eq!(mixtures, BTreeSet::from(sectors), "whole, lost, or torn at a sector");
}
