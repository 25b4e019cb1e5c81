//! What was lost is known and said, by the real vault and the real sealer: restores of all or of a part, and lost slots.

use super::*;
use crate::sealer::state::SLOTS;
use crate::vault::audit::verify::{Fault, KnownHead, Summary, Verdict};

/// Copies of some of what a vault and a sealer keep.
struct Copy(Vec<(std::path::PathBuf, Vec<u8>)>);

impl Bench {
    fn copy(&self, names: &[&str]) -> Copy {
        let read = |name: &&str| (self.home.path().join(name), fs::read(self.home.path().join(name)).unwrap());
        Copy(names.iter().map(read).collect())
    }

    fn restore(&self, copy: &Copy) {
        for (path, content) in &copy.0 {
            fs::write(path, content).unwrap();
        }
    }

    /// The newest signed head in the auditors' file.
    fn newest(&self) -> KnownHead {
        let file = rusqlite::Connection::open(self.home.path().join("audit/audit.db")).unwrap();
        let sql = "SELECT size, root, note FROM checkpoint ORDER BY size DESC LIMIT 1";
        let (size, root, note): (i64, [u8; 32], String) =
            file.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap();
        let gap = crate::merkle::gap::Gap::of(note.split_once("\n\n").unwrap().0);
        let size = u64::try_from(size).unwrap();
        KnownHead { what: "a head kept elsewhere".into(), size, root, verdict: Verdict::Fork, gap }
    }

    fn check(&self, verifier: &Verifier, heads: &[&KnownHead]) -> Result<Summary, Fault> {
        let known = Known { heads: heads.iter().copied().cloned().collect(), ..Known::default() };
        verify(&self.home.path().join("audit"), verifier, &known, |_| {})
    }
}

/// Asks a running vault to go on.
fn resume(vault: &Running, head: Option<(u64, [u8; 32])>) -> Response {
    let (ours, theirs) = stream();
    vault.parent.send(&Order::File(Handed::Administrator(0)), Some(theirs.as_fd())).unwrap();
    test(async {
        let (commands, mut responses): (Sender<Request>, Receiver<Response>) =
            channel::open(ours, &Sealed::for_tests()).unwrap();
        let command = Command::Audit(audit::Command::Resume { reason: "restored after a fire".into(), head });
        commands.send(Request { behalf: None, command }).await.unwrap();
        responses.receive().await.unwrap().unwrap()
    })
}

const ALL: [&str; 2] = ["db/vault.db", "audit/audit.db"];

#[test]
fn after_a_restore_a_gap_is_declared_that_excuses_what_it_names_and_nothing_else() {
    let bench = Bench::new();
    bench.run().drain_after(3);
    let (copy, before) = (bench.copy(&ALL), bench.newest());
    bench.run().drain_after(4);
    let middle = bench.newest();
    bench.run().drain_after(2);
    let last = bench.newest();
    bench.restore(&copy);

    let vault = bench.run();
    let verifier = vault.verifier.clone();
    let response = resume(&vault, None);
    let Response::Audit(audit::Response::Resumed { old, kept, resumed, .. }) = response else { panic!("{response:?}") };
    assert_eq!((old, kept), (last.size, before.size));
    assert!(matches!(resume(&vault, None), Response::Refused { reason } if reason.contains("nothing to resume")));
    vault.drain_after(1);
    let within = bench.newest();
    assert!(within.size < last.size && within.gap.is_some(), "{within:?}");
    bench.run().drain_after(9);
    let after = bench.newest();
    assert!(after.size > last.size && after.gap.is_none(), "{after:?}");

    let summary = bench.check(&verifier, &[&before, &middle, &last, &within, &after]).unwrap();
    assert_eq!((summary.gaps.len(), summary.given_up), (1, 2));
    assert_eq!((summary.gaps[0].seq, summary.gaps[0].why.as_str()), (resumed, "restored after a fire"));
    let other = |head: &KnownHead| KnownHead { root: [7; 32], ..head.clone() };
    for wrong in [other(&before), other(&last), other(&within), other(&after), KnownHead { size: 999, ..last.clone() }]
    {
        assert_eq!(bench.check(&verifier, &[&wrong]).unwrap_err().verdict, Verdict::Fork, "{wrong:?}");
    }
    assert!(bench.check(&verifier, &[&other(&middle)]).is_ok(), "within the range nobody can tell");
}

#[test]
fn a_database_that_alone_was_restored_goes_on_where_the_auditors_files_end() {
    let bench = Bench::new();
    bench.run().drain_after(3);
    let copy = bench.copy(&ALL[..1]);
    bench.run().drain_after(4);
    let last = bench.newest();
    bench.restore(&copy);
    let vault = bench.run();
    let verifier = vault.verifier.clone();
    vault.drain_after(2);
    assert!(bench.names().contains(&"store.recovered".to_owned()), "{:?}", bench.names());
    assert!(!bench.names().contains(&"sealer.refused".to_owned()));
    let summary = bench.check(&verifier, &[&last]).unwrap();
    assert_eq!((summary.gaps.len(), summary.size), (0, summary.sealed));
    assert!(summary.size > last.size + 2);
}

#[test]
fn a_sealer_that_lost_its_state_signs_nothing_until_that_is_said() {
    let bench = Bench::new();
    bench.run().drain_after(5);
    let before = bench.newest();
    for slot in SLOTS {
        fs::write(bench.home.path().join(slot), b"").unwrap();
    }
    let vault = bench.run();
    let verifier = vault.verifier.clone();
    vault.drain_after(1);
    let alarms = bench.events(&Filter { event: Some("integrity.failure".into()), ..Filter::default() });
    assert_eq!(alarms.iter().map(|alarm| alarm.get("reason")).collect::<Vec<_>>(), [Some("sealer-lost")]);
    assert_eq!(bench.newest().size, before.size, "nothing was signed");

    let vault = bench.run();
    let response = resume(&vault, None);
    let Response::Audit(audit::Response::Resumed { old, kept, .. }) = response else { panic!("{response:?}") };
    assert_eq!((old, kept), (before.size, before.size), "nothing is lost");
    vault.drain_after(1);
    let summary = bench.check(&verifier, &[&before]).unwrap();
    assert_eq!((summary.gaps.len(), summary.given_up, summary.sealed), (1, 0, summary.size));
}
