//! What a header tells, and that a start says so, too.

use std::os::unix::fs::symlink;

use nix::sys::stat::Mode;
use nix::unistd::{geteuid, mkfifo};

use super::*;
use crate::merkle::Frontier;
use crate::vault::audit::month_file::MonthFile;
use crate::vault::prepare::{look, prepare};
use crate::vault::store::open::Database;

/// A state directory with both databases, whole.
fn home() -> (tempfile::TempDir, PathBuf, PathBuf) {
    let home = tempfile::tempdir().unwrap();
    prepare(home.path(), None, None).unwrap();
    drop(Database::open(home.path()).unwrap());
    let (vault, audit) = (home.path().join("db/vault.db"), home.path().join("audit/audit.db"));
    drop(MonthFile::create(&audit, "2026-11".parse().unwrap(), &Frontier::default()).unwrap());
    assert_eq!(told(home.path()), Vec::<String>::new());
    (home, vault, audit)
}

/// What stops a start.
fn told(home: &Path) -> Vec<String> {
    let faults = look(home, (geteuid().as_raw(), None), None).unwrap();
    faults.into_iter().filter(|fault| fault.stops).map(|fault| fault.text).collect()
}

#[test]
fn a_damaged_database_is_told_before_a_start_refuses_it() {
    let (home, vault, _) = home();
    let whole = fs::read(&vault).unwrap();
    assert!(whole.len() > 100_000, "{}", whole.len());
    let head = |octets: &[u8], at: usize| {
        let mut changed = whole.clone();
        changed[at..at + octets.len()].copy_from_slice(octets);
        changed
    };
    for (octets, why) in [
        (head(b"sixteen of text!", 0), "its header is damaged"),
        (head(&[0, 0], 16), "pages of 0 octets"),
        (whole[..100_000].to_vec(), "100000 octets are no whole pages of 4096"),
        (whole[..81_920].to_vec(), "20 pages are there, and its header counts"),
        (whole[..50].to_vec(), "shorter than a header"),
        // The auditors' file beside it is of before.
        (Vec::new(), "this is no first start"),
    ] {
        fs::write(&vault, octets).unwrap();
        let told = told(home.path());
        assert!(matches!(told.as_slice(), [text] if text.contains(why) && text.contains("backup")), "{why}: {told:?}");
        assert!(Database::open(home.path()).is_err(), "{why}");
    }
    fs::remove_file(&vault).unwrap();
    assert!(matches!(told(home.path()).as_slice(), [text] if text.contains("this is no first start")));
    fs::write(&vault, whole).unwrap();
    assert_eq!(told(home.path()), Vec::<String>::new());
}

#[test]
fn what_stands_in_the_log_beside_it_is_not_missing() {
    let (home, vault, _) = home();
    let database = Database::open(home.path()).unwrap();
    let before = fs::metadata(&vault).unwrap().len();
    let fill = "CREATE TABLE more(x); INSERT INTO more VALUES(zeroblob(400000));";
    database.connection.execute_batch(fill).unwrap();
    assert_eq!(told(home.path()), Vec::<String>::new(), "nothing of it is copied back");
    database.connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())).unwrap();
    let whole = fs::read(&vault).unwrap();
    assert!(whole.len() as u64 > before);
    let other = tempfile::tempdir().unwrap();
    prepare(other.path(), None, None).unwrap();
    let (copy, log) = (other.path().join("db/vault.db"), other.path().join("db/vault.db-wal"));
    let put = |length: u64| {
        fs::write(&copy, &whole[..usize::try_from(length).unwrap()]).unwrap();
        fs::copy(home.path().join("db/vault.db-wal"), &log).unwrap();
        for path in [&copy, &log] {
            fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        }
    };
    // Lost without the pages that are in no log.
    put(before - 4 * 4096);
    let text = told(other.path());
    assert!(matches!(text.as_slice(), [text] if text.contains("pages are there")), "{text:?}");
    assert!(Database::open(other.path()).is_err());
    // The power failed while they were copied back, in the middle of a page.
    for length in [before, before + 10_000] {
        put(length);
        assert_eq!(told(other.path()), Vec::<String>::new(), "{length}");
        drop(Database::open(other.path()).unwrap());
    }
}

#[test]
fn a_damaged_file_of_the_auditors_is_told_with_what_a_start_says() {
    let (home, _, audit) = home();
    let whole = fs::read(&audit).unwrap();
    assert!(whole.len() > 20_480, "{}", whole.len());
    let text = "a text that somebody wrote over it. ".repeat(100);
    for octets in [&whole[..20_000], &whole[..20_480], &whole[..50], text.as_bytes()] {
        fs::write(&audit, octets).unwrap();
        assert_eq!(told(home.path()), [MonthFile::open(&audit).unwrap_err()], "{}", octets.len());
    }
    // A journal that waits to be rolled back.
    fs::write(&audit, &whole[..20_480]).unwrap();
    let journal = beside(&audit, "-journal");
    fs::write(&journal, "x").unwrap();
    assert_eq!(told(home.path()), Vec::<String>::new());
    fs::remove_file(journal).unwrap();
    // A start makes it.
    fs::write(&audit, "").unwrap();
    assert_eq!(told(home.path()), Vec::<String>::new());
    fs::remove_file(&audit).unwrap();
    assert_eq!(told(home.path()), Vec::<String>::new());
}

#[test]
fn what_is_no_file_is_called_so_and_not_by_its_mode() {
    let (home, ..) = home();
    for name in [
        "db/vault.db",
        "db/vault.db-wal",
        "db/vault.db-shm",
        "db/vault.db-journal",
        "audit/audit.db",
        "audit/audit.db-journal",
    ] {
        let (path, aside) = (home.path().join(name), home.path().join("aside"));
        let was_there = fs::rename(&path, &aside).is_ok();
        type Make = fn(&Path);
        let kinds: [(&str, Make); 3] = [
            ("a directory", |path| fs::create_dir(path).unwrap()),
            ("a pipe", |path| mkfifo(path, Mode::S_IRUSR).unwrap()),
            ("a link", |path| symlink("/nonexistent", path).unwrap()),
        ];
        for (what, make) in kinds {
            make(&path);
            let faults = look(home.path(), (geteuid().as_raw(), None), None).unwrap();
            let is_told = |text: &str| text.contains(name) && text.contains(&format!("is {what}, and must be a file"));
            assert!(
                matches!(faults.as_slice(), [fault] if fault.stops && is_told(&fault.text)),
                "{name} {what}: {faults:?}"
            );
            if path.is_dir() { fs::remove_dir(&path) } else { fs::remove_file(&path) }.unwrap();
        }
        if was_there {
            fs::rename(&aside, &path).unwrap();
        }
    }
    // A closed month is in no start's way.
    fs::create_dir(home.path().join("audit/audit-2026-10.db")).unwrap();
    let faults = look(home.path(), (geteuid().as_raw(), None), None).unwrap();
    assert!(
        matches!(faults.as_slice(), [fault] if !fault.stops && fault.text.contains("is a directory")),
        "{faults:?}"
    );
}
