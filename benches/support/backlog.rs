//! What a gate has gathered in months, put into the state directory of a service that is stopped: by the store's own code, a thousand
//! at a time, sealed with the log's own key and published as it would have been.

use std::fs::{self, File, OpenOptions};
use std::ops::Range;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::Path;

use gatepost::sealer::key::LogKey;
use gatepost::sealer::state::{Head, Memory, SLOTS, State};
use gatepost::vault::audit::ledger::now_us;
use gatepost::vault::master::{CURRENT, Master};
use gatepost::vault::store::Store;
use rusqlite::Result;

use super::ledger::{accepted, fill};
use super::units::message;

/// When what is put there is due: not while anything is measured.
const DUE_US: u64 = 24 * 3600 * 1_000_000;

/// So many events more in the log.
pub fn events(state: &Path, count: u32) {
    put(state, count, |store, numbers| store.record(numbers.map(accepted).collect()));
}

/// So many messages more in the spool, of `octets` each, for one recipient in this lane; their upstream was away, and is tried again
/// tomorrow. Each has its event in the log.
pub fn messages(state: &Path, lane: &'static str, octets: usize, count: u32) {
    put(state, count, move |store, numbers| {
        for number in numbers {
            let seq = store.ledger.append(accepted(number))?;
            let mut waiting = message(number, lane, octets);
            (waiting.due_us, waiting.expires_us) = (now_us() + DUE_US, now_us() + 4 * DUE_US);
            store.accept(&waiting, seq)?;
        }
        Ok(())
    });
}

fn put(state: &Path, count: u32, batch: impl Fn(&mut Store<'_>, Range<u32>) -> Result<()> + Copy + Send + 'static) {
    let seal = state.join("seal");
    let key = LogKey::read("gate.test.example/audit", File::open(seal.join("log.key")).unwrap()).unwrap();
    let public = fs::read_to_string(seal.join("log.vkey")).unwrap();
    assert_eq!(public.trim(), key.verifier().to_string(), "the log's name is another one by now");
    let master = Master::read(File::open(state.join("master").join(CURRENT)).unwrap()).unwrap();
    let head = fill(state, &key, Some(master), count, batch);
    // The sealer was there for all of it, too.
    let slot = |name| OpenOptions::new().read(true).write(true).open(seal.join(name)).unwrap();
    let mut sealer = State::read(SLOTS.map(slot)).unwrap();
    let memory = sealer.memory().expect("the sealer remembers");
    sealer.write(Memory { head: Head { size: head.size, root: head.root }, ..memory }).unwrap();
    ["db", "audit"].iter().for_each(|folder| give(&state.join(folder)));
}

/// What root has made below a folder becomes its owner's.
fn give(folder: &Path) {
    let owner = fs::metadata(folder).unwrap();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        chown(&path, Some(owner.uid()), Some(owner.gid())).unwrap();
        if path.is_dir() {
            give(&path);
        }
    }
}
