//! The bodies of messages that wait, in a state directory of a service that does not run: each is there, opens, and is what
//! was accepted.

use std::fs::{self, File};
use std::path::Path;

use gatepost::mail::id::MessageId;
use gatepost::vault::cipher::{CHUNK, TAG};
use gatepost::vault::master::{self, Change, Master};
use gatepost::vault::store::keys::Lock;
use gatepost::vault::store::open::Database;
use gatepost::vault::store::writer::Writer;
use sha2::{Digest, Sha256};

/// Keys wrapped anew at once.
const SLICE: u32 = 10;

/// The body of a message that is not done.
pub struct Body {
    row: i64,
    message: MessageId,
    sha256: Vec<u8>,
    content: Option<Vec<u8>>,
    segment: Option<String>,
}

pub fn read(database: &Database) -> Vec<Body> {
    let sql = "SELECT id, msg_id, sha256, content, segment FROM spool_msg LEFT JOIN spool_body ON msg = id \
               WHERE done_us IS NULL";
    let mut statement = database.connection.prepare(sql).unwrap();
    let read = |row: &rusqlite::Row<'_>| {
        let message = MessageId::from(uuid::Uuid::from_bytes(row.get(1)?));
        Ok(Body { row: row.get(0)?, message, sha256: row.get(2)?, content: row.get(3)?, segment: row.get(4)? })
    };
    statement.query_map([], read).unwrap().map(Result::unwrap).collect()
}

/// All of them open under the master keys that the next start would have; and still do when a change of keys that was broken
/// off has been brought to its end.
pub fn assert_whole(bodies: &[Body], writer: &Writer, state: &Path, context: &str) {
    let (db, directory) = (state.join("db"), state.join("master"));
    let keys = masters(&directory);
    let is_broken_off = keys.len() > 1;
    adopt(writer, keys);
    bodies.iter().for_each(|body| body.assert_whole(writer, &db, context));
    if is_broken_off {
        let change = Change::begin(&directory).unwrap_or_else(|error| panic!("{context}: rekey goes on: {error}"));
        let mut after = Some(0);
        while let Some(row) = after {
            after = writer.run_blocking(move |store| store.keys.rewrap(row, SLICE)).unwrap().map(|(last, _)| last);
        }
        change.end().unwrap_or_else(|error| panic!("{context}: rekey ends: {error}"));
        master::create(&directory).unwrap_or_else(|error| panic!("{context}: the changed master key: {error}"));
        adopt(writer, masters(&directory));
        bodies.iter().for_each(|body| body.assert_whole(writer, &db, context));
    }
}

/// What the vault is given at its start: the next key before the current one.
fn masters(directory: &Path) -> Vec<Master> {
    let key = |name: &str| File::open(directory.join(name)).ok().map(|file| Master::read(file).unwrap());
    [master::NEXT, master::CURRENT].into_iter().filter_map(key).collect()
}

fn adopt(writer: &Writer, keys: Vec<Master>) {
    let adopted = writer.run_blocking(move |store| {
        store.keys.adopt(keys);
        Ok(())
    });
    adopted.unwrap();
}

impl Body {
    fn assert_whole(&self, writer: &Writer, db: &Path, context: &str) {
        let Self { row, message, sha256, content, segment } = self;
        let (row, message) = (*row, *message);
        let sealed = content.clone().unwrap_or_else(|| {
            let name = segment.as_ref().unwrap_or_else(|| panic!("{context}: message {message} has no body"));
            fs::read(db.join(name)).unwrap_or_else(|error| panic!("{context}: {name}: {error}"))
        });
        let lock = writer.run_blocking(move |store| store.keys.get(row, message)).unwrap();
        let Lock::Key(key) = lock else { panic!("{context}: message {message} has no key that opens: {lock:?}") };
        let chunks: Vec<&[u8]> = sealed.chunks(CHUNK + TAG).collect();
        let mut plain = Vec::new();
        for (number, chunk) in chunks.iter().enumerate() {
            let opened = key.open(u64::try_from(number).unwrap(), number + 1 == chunks.len(), chunk.to_vec());
            plain
                .extend(opened.unwrap_or_else(|error| panic!("{context}: message {message}, chunk {number}: {error}")));
        }
        assert!(Sha256::digest(&plain).as_slice() == sha256, "{context}: message {message} has another body");
    }
}
