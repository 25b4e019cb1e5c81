//! A state directory as a power cut left it: opened with the vault's and the sealer's own code, and judged.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;

use gatepost::merkle::note::Verifier;
use gatepost::sealer::{self, state::State};
use gatepost::vault::audit::publish::Publisher;
use gatepost::vault::audit::verify::{Known, KnownHead, Verdict, verify};
use gatepost::vault::master;
use gatepost::vault::store::open::Database;
use gatepost::vault::store::segment;
use gatepost::vault::store::writer::Writer;

use super::bodies;
use super::evidence::Evidence;

/// What was promised by the instant of the cut: the ids of the messages that were acknowledged.
pub struct Promised<'a> {
    pub messages: Vec<&'a str>,
    /// The log's key, as an auditor pinned it.
    pub vkey: &'a str,
}

/// Does what the next start does, step by step, and insists on each.
pub fn judge(state: &Path, promised: &Promised<'_>, context: &str) {
    gatepost::vault::prepare::prepare(state, None, None).unwrap_or_else(|error| panic!("{context}: {error}"));
    let (db, seal, master) = (state.join("db"), state.join("seal"), state.join("master"));
    for folder in [&seal, &master] {
        if !folder.exists() {
            fs::create_dir(folder).unwrap();
        }
    }
    master::create(&master).unwrap_or_else(|error| panic!("{context}: the master key: {error}"));
    let origin = promised.vkey.split('+').next().unwrap();
    sealer::key::create(&seal, origin).unwrap_or_else(|error| panic!("{context}: the log key: {error}"));
    let vkey = fs::read_to_string(seal.join("log.vkey")).unwrap();
    let slot = |name: &str| {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).open(seal.join(name)).unwrap()
    };
    let [first, second] = sealer::state::SLOTS;
    let state_of_sealer = State::read([slot(first), slot(second)]).unwrap_or_else(|error| panic!("{context}: {error}"));
    let sealed = state_of_sealer.memory().unwrap_or_else(|| panic!("{context}: the sealer's state is lost")).head;
    if sealed.size > 0 || !promised.messages.is_empty() {
        assert_eq!(vkey.trim(), promised.vkey, "{context}: another key than the one that was pinned");
    }

    let database = Database::open(state).unwrap_or_else(|error| panic!("{context}: {error}"));
    let bodies = bodies::read(&database);
    let (writer, thread) = Writer::start(database, |failure| panic!("{failure}")).unwrap();
    let (size, known, root, needed) = writer
        .run_blocking(move |store| {
            let root = store.ledger.root_at(sealed.size)?;
            Ok((store.ledger.size(), store.ledger.last_sealed()?, root, store.spool.segments()?))
        })
        .unwrap();
    assert!(sealed.size <= size, "{context}: the sealer signed {} leaves, the vault has {size}", sealed.size);
    assert_eq!(root, Some(sealed.root), "{context}: the vault's first {} leaves aren't what was signed", sealed.size);
    assert!(known <= sealed.size, "{context}: the vault knows a head of {known}, the sealer of {}", sealed.size);
    segment::sweep(&db, &needed).unwrap();
    bodies::assert_whole(&bodies, &writer, state, context);
    let missing = needed.iter().find(|name| !db.join(name).exists());
    assert_eq!(missing, None, "{context}: a segment that a message needs");

    let (publisher, publishing) =
        Publisher::start(state.to_owned(), writer.clone()).unwrap_or_else(|error| panic!("{context}: {error}"));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let published = runtime.block_on(publisher.publish());
    assert_eq!(published, Ok(size), "{context}: publishing");
    drop((publisher, writer));
    publishing.join().unwrap();
    thread.join().unwrap();

    let audit = state.join("audit");
    if size > 0 {
        let what = "the sealer's last head".to_owned();
        let head = KnownHead { what, size: sealed.size, root: sealed.root, verdict: Verdict::Altered, gap: None };
        let heads = Some(head).filter(|head| head.size > 0).into_iter().collect();
        let key: Verifier = vkey.trim().parse().unwrap();
        match verify(&audit, &key, &Known { heads, ..Known::default() }, |_| {}) {
            Ok(_) => {}
            // Nobody has sealed the end yet; a service that starts does (see the cuts that one is started on).
            Err(fault) if fault.verdict == Verdict::Unsealed => {}
            Err(fault) => panic!("{context}: the log does not verify: {fault}"),
        }
    }
    let evidence = Evidence::of(state);
    evidence.assert_whole(context);
    assert_kept(&evidence, promised, context);
}

/// Everything that was acknowledged is there.
pub fn assert_kept(evidence: &Evidence, promised: &Promised<'_>, context: &str) {
    let lost: Vec<_> = promised.messages.iter().filter(|id| !evidence.stored.contains_key(**id)).collect();
    assert!(lost.is_empty(), "{context}: acknowledged and lost: {lost:?}");
}

/// Gives what was left its modes: a directory's and a file's are as durable as its name.
pub fn set_modes(state: &Path) {
    for (folder, mode, inner) in
        [("db", 0o700, 0o600), ("audit", 0o2750, 0o640), ("seal", 0o700, 0o600), ("master", 0o700, 0o600)]
    {
        let Ok(entries) = fs::read_dir(state.join(folder)) else { continue };
        for entry in entries {
            let path = entry.unwrap().path();
            let mode = if path.ends_with("log.vkey") { 0o644 } else { inner };
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        }
        fs::set_permissions(state.join(folder), fs::Permissions::from_mode(mode)).unwrap();
    }
}

/// Gives it the owners of another state directory.
pub fn give(state: &Path, like: &Path) {
    for folder in ["db", "audit", "seal"] {
        let (place, model) = (state.join(folder), fs::metadata(like.join(folder)).unwrap());
        let Ok(entries) = fs::read_dir(&place) else { continue };
        let paths = entries.map(|entry| entry.unwrap().path()).chain([place.clone()]);
        paths.for_each(|path| chown(path, Some(model.uid()), Some(model.gid())).unwrap());
    }
    // Changing an owner takes the set-group-id bit away.
    set_modes(state);
}
