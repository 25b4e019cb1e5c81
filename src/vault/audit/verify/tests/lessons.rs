//! The lessons of systemd-journald's sealing, and histories that contradict each other: found out by both verifiers.
//!
//! Heads by a key of another time are in `keys`, and a truncated log that is continued behind an empty interval in `causes`.

use super::causes::Life;
use super::*;

/// What both verifiers say of a directory.
fn judged(audit: &Path, signer: &LogKey, words: &[&str], known: &Known) -> Verdict {
    let verdict = match verify(audit, signer.verifier(), known, |_| {}) {
        Ok(_) => Verdict::Sound,
        Err(fault) => fault.verdict,
    };
    assert_eq!(second_opinion(audit, signer.verifier(), words), verdict.code(), "{words:?}");
    verdict
}

#[test]
fn a_log_without_any_signature_is_not_fine_and_neither_is_one_whose_end_has_none() {
    let bench = Bench::grown();
    assert_eq!(bench.after("DELETE FROM checkpoint"), Verdict::Unsealed);
    assert_eq!(bench.after("UPDATE checkpoint SET note = ''"), Verdict::Signature);
    assert_eq!(
        bench.after("UPDATE checkpoint SET note = substr(note, 1, instr(note, char(10, 10)))"),
        Verdict::Signature
    );
    // By the log's own time, so in a copy that is looked at years later, too.
    let life = Life::new();
    life.log.seal();
    let verdict = || {
        life.log.publish();
        let verified = verify(&life.log.audit(), life.log.key(), &Known::default(), |_| {});
        let verdict = verified.map_or_else(|fault| fault.verdict, |_| Verdict::Sound);
        assert_eq!(second_opinion(&life.log.audit(), life.log.key(), &[]), verdict.code());
        verdict
    };
    life.quiet(5);
    assert_eq!(verdict(), Verdict::Sound, "its last event may have come a moment before");
    life.quiet(5);
    assert_eq!(verdict(), Verdict::Unsealed);
}

#[test]
fn a_wrong_key_never_passes_whatever_it_is_and_whatever_there_is() {
    for portions in [vec![1], vec![3], vec![2, 2], vec![256], vec![3, 300]] {
        let bench = Bench::new();
        for count in portions {
            bench.append(count);
            bench.seal();
        }
        bench.publish();
        for seed in 2..12 {
            let fault = verify(&bench.audit(), key(seed).verifier(), &Known::default(), |_| {}).unwrap_err();
            assert_eq!(fault.verdict, Verdict::Signature, "{seed}");
        }
        assert_eq!(judged(&bench.audit(), &key(2), &[], &Known::default()), Verdict::Signature);
        bench.tamper("DELETE FROM checkpoint");
        assert_eq!(judged(&bench.audit(), &key(2), &[], &Known::default()), Verdict::Unsealed);
    }
}

#[test]
fn two_histories_and_one_that_was_rolled_back_are_found_out_by_a_head_that_was_kept() {
    let (one, other) = (Bench::grown(), Bench::grown());
    let folder = tempfile::tempdir().unwrap();
    let kept = |bench: &Bench, size: u64| {
        let (path, head) = (folder.path().join("head.note"), bench.head(size, Verdict::Fork));
        fs::write(&path, key(1).sign(head.size, head.root)).unwrap();
        let known = Known { heads: vec![head], ..Known::default() };
        (path.to_str().unwrap().to_owned(), known)
    };
    for (bench, size, verdict) in [
        (&one, 660, Verdict::Sound),
        (&one, 253, Verdict::Sound),
        (&other, 660, Verdict::Fork),
        (&other, 3, Verdict::Fork),
    ] {
        let (path, known) = kept(bench, size);
        assert_eq!(judged(&one.audit(), &key(1), &["--head", &path], &known), verdict, "{size}");
    }
    let (path, known) = kept(&one, 660);
    one.cut(253);
    assert_eq!(judged(&one.audit(), &key(1), &[], &Known::default()), Verdict::Sound, "the files alone can't tell");
    assert_eq!(judged(&one.audit(), &key(1), &["--head", &path], &known), Verdict::Fork);
}

#[test]
fn a_note_of_another_log_is_found_out_also_when_the_same_key_signed_it() {
    let (one, other) = (Bench::grown(), Bench::grown());
    let (head, strange) = (other.head(660, Verdict::Fork), LogKey::new("else/audit", &Secret::new([1; 32])).unwrap());
    for (note, verdict) in [
        (key(1).sign(head.size, head.root), Verdict::Altered),
        (strange.sign(head.size, head.root), Verdict::Signature),
        (key(1).sign(253, one.head(253, Verdict::Fork).root), Verdict::Altered),
    ] {
        let file = Connection::open(one.audit().join("audit.db")).unwrap();
        file.execute("UPDATE checkpoint SET note = ? WHERE size = 660", [note]).unwrap();
        assert_eq!(judged(&one.audit(), &key(1), &[], &Known::default()), verdict);
    }
}
