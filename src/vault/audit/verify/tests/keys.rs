//! Each signed head by the key of its time; gaps by event and head; and what others say was accepted.

use rusqlite::params;

use super::*;
use crate::mail::id::MessageId;
use crate::merkle::gap::Gap;
use crate::vault::audit::clock::Reading;
use crate::vault::audit::erasure::{self, Part};
use crate::vault::audit::holes;
use crate::vault::audit::resume::{Standing, Wish, declare};
use crate::vault::store::Store;

impl Bench {
    /// A signed head over all there is.
    fn sign(&self, signer: LogKey, gap: Option<Gap>) {
        let work = move |store: &mut Store<'_>| {
            let size = store.ledger.size();
            let root = store.ledger.root_at(size)?.unwrap();
            let note = signer.sign_with(size, root, gap.as_ref());
            store.ledger.keep_note(&Note { size, time_us: now_us(), root, note })
        };
        self.writer.run_blocking(work).unwrap();
    }

    /// The event of a gap: the sealer remembers that head, and signs nothing.
    fn declare(&self, last: (u64, [u8; 32])) -> Gap {
        let standing = Standing { last: Some(last), refuses: Some("the disk was replaced".into()), holes: Vec::new() };
        let wish = Wish { actor: "uid 0".into(), reason: "the key was lost".into(), named: None };
        self.writer.run_blocking(move |store| declare(store, &standing, &wish)).unwrap().unwrap().gap
    }

    fn head_at(&self, size: u64) -> (u64, [u8; 32]) {
        (size, self.head(size, Verdict::Fork).root)
    }

    fn by(&self, seeds: &[u8]) -> Result<Summary, Fault> {
        let keys: Vec<_> = seeds.iter().map(|seed| key(*seed).verifier().clone()).collect();
        let (last, older) = keys.split_last().unwrap();
        let found = verify(&self.audit(), last, &Known { older: older.to_vec(), ..Known::default() }, |_| {});
        let code = found
            .as_ref()
            .map_or_else(|fault| fault.verdict.code(), |summary| if summary.gaps.is_empty() { 0 } else { 15 });
        let later: Vec<String> = keys.iter().skip(1).map(ToString::to_string).collect();
        let words: Vec<&str> = later.iter().flat_map(|key| ["--key", key]).collect();
        assert_eq!(second_opinion(&self.audit(), &keys[0], &words), code, "{seeds:?}");
        found
    }
}

/// Events under a first key, a gap, and more under a second.
fn two_keys() -> Bench {
    let bench = Bench::new();
    bench.append(5);
    bench.sign(key(1), None);
    let gap = bench.declare(bench.head_at(5));
    bench.sign(key(2), Some(gap));
    bench.append(3);
    bench.sign(key(2), None);
    bench.publish();
    bench
}

#[test]
fn another_key_comes_with_a_declared_gap_and_each_head_needs_the_key_of_its_time() {
    let bench = two_keys();
    let summary = bench.by(&[1, 2]).unwrap();
    assert_eq!((summary.checkpoints, summary.sealed, summary.gaps.len()), (3, 9, 1));
    for seeds in [vec![1], vec![2], vec![2, 1], vec![1, 3], vec![3, 2], vec![1, 3, 2]] {
        assert_eq!(bench.by(&seeds).unwrap_err().verdict, Verdict::Signature, "{seeds:?}");
    }
    // Signed anew with the key of another time: an old head with today's, and one of today with the old one.
    for (size, seed) in [(5, 2), (9, 1)] {
        let bench = two_keys();
        let (size, root) = bench.head_at(size);
        let file = Connection::open(bench.audit().join("audit.db")).unwrap();
        let sql = "UPDATE checkpoint SET note = ? WHERE size = ?";
        file.execute(sql, params![key(seed).sign(size, root), i64::try_from(size).unwrap()]).unwrap();
        assert_eq!(bench.by(&[1, 2]).unwrap_err().verdict, Verdict::Signature, "{size}");
    }
    // Without a gap no other key comes in.
    let bench = Bench::new();
    for seed in [1, 2] {
        bench.append(3);
        bench.sign(key(seed), None);
    }
    bench.publish();
    assert_eq!(bench.by(&[1, 2]).unwrap_err().verdict, Verdict::Signature);
}

#[test]
fn a_gap_is_one_only_when_event_and_head_say_the_same() {
    let declared = |change: fn(&mut Gap)| {
        let bench = Bench::new();
        bench.append(5);
        bench.sign(key(1), None);
        let mut gap = bench.declare((7, [7; 32]));
        change(&mut gap);
        bench.sign(key(1), Some(gap));
        bench.publish();
        bench
    };
    let bench = declared(|_| ());
    let summary = bench.verify().unwrap();
    let [DeclaredGap { seq: 5, gap, why, .. }] = summary.gaps.as_slice() else { panic!("{:?}", summary.gaps) };
    assert_eq!((gap.kept, gap.old_size, why.as_str()), (5, 7, "the key was lost"));
    assert_eq!(second_opinion(&bench.audit(), key(1).verifier(), &[]), Verdict::Gap.code());
    assert_eq!(second_opinion(&bench.audit(), key(1).verifier(), &["--known-gap", "5"]), 0);
    let lies: [fn(&mut Gap); 3] = [|gap| gap.kept = 2, |gap| gap.old_size = 900, |gap| gap.old_root = [8; 32]];
    for lie in lies {
        let bench = declared(lie);
        assert_eq!(bench.verify().unwrap_err().verdict, Verdict::Altered);
        assert_eq!(second_opinion(&bench.audit(), key(1).verifier(), &[]), Verdict::Altered.code());
    }
    // What the event alone says excuses nothing.
    let bench = Bench::new();
    bench.append(5);
    bench.sign(key(1), None);
    bench.declare((9, [7; 32]));
    bench.sign(key(1), None);
    bench.publish();
    assert_eq!(bench.verify().unwrap().gaps, []);
    let old = KnownHead { what: "it".into(), size: 9, root: [7; 32], verdict: Verdict::Fork, gap: None };
    assert_eq!(bench.against(Known { heads: vec![old], ..Known::default() }).unwrap_err().verdict, Verdict::Fork);
}

#[test]
fn a_month_that_was_lost_is_declared_and_that_excuses_no_other() {
    // Its own publisher would go on with a file that gets another name here: it is let go, and each one here ends.
    let (idle, mut bench) = (Bench::new(), Bench::new());
    bench.publisher = idle.publisher.clone();
    let (audit, runtime) = (bench.audit(), tokio::runtime::Builder::new_current_thread().build().unwrap());
    let publish = || {
        let (publisher, thread) = Publisher::start(bench.home.path().to_owned(), bench.writer.clone()).unwrap();
        runtime.block_on(publisher.publish()).unwrap();
        drop(publisher);
        thread.join().unwrap();
    };
    for month in ["2020-01", "2020-02", "2020-03"] {
        bench.append(300);
        bench.sign(key(1), None);
        publish();
        fs::rename(audit.join("audit.db"), audit.join(format!("audit-{month}.db"))).unwrap();
    }
    bench.append(1);
    bench.sign(key(1), None);
    publish();
    let holes = || holes::find(bench.home.path(), &bench.writer);
    let both = |code: Verdict| {
        let found = bench.verify();
        assert_eq!(found.as_ref().map_or_else(|fault| fault.verdict, |_| Verdict::Gap), code, "{found:?}");
        assert_eq!(second_opinion(&audit, key(1).verifier(), &[]), code.code());
    };
    assert_eq!(holes(), Ok(vec![]));
    let (of_the_lost, other) = (bench.head(600, Verdict::Fork), bench.head(300, Verdict::Fork));
    fs::remove_file(audit.join("audit-2020-02.db")).unwrap();
    assert_eq!(holes(), Ok(vec![(300, 600)]));
    both(Verdict::Altered);

    let last = bench.head_at(901);
    let declared = |holes: Vec<holes::Hole>| {
        let standing = Standing { last: Some(last), refuses: None, holes };
        let wish = Wish { actor: "uid 0".into(), reason: "rm".into(), named: None };
        bench.writer.run_blocking(move |store| declare(store, &standing, &wish)).unwrap()
    };
    assert!(declared(vec![]).unwrap_err().contains("nothing to resume"));
    let gap = declared(holes().unwrap()).unwrap().gap;
    assert_eq!((gap.kept, gap.old_size), (901, 901), "the tree is whole");
    publish();
    both(Verdict::Altered);
    bench.sign(key(1), Some(gap));
    publish();
    both(Verdict::Gap);
    assert_eq!(holes(), Ok(vec![]), "it is declared");
    let summary = bench.verify().unwrap();
    assert_eq!((summary.gaps[0].missing.as_slice(), summary.first, summary.size), ([(300, 600)].as_slice(), 0, 902));
    let forked = KnownHead { root: [7; 32], ..other.clone() };
    let heads = |heads: &[&KnownHead]| {
        bench.against(Known { heads: heads.iter().copied().cloned().collect(), ..Known::default() })
    };
    assert!(heads(&[&other, &of_the_lost]).is_ok() && heads(&[&forked]).is_err());
    // What was to be erased may have had its event there.
    let ordered = |seq: u64| {
        bench.writer.run_blocking(move |store| store.erasures.add(seq, "audit.redact", "{}", None)).unwrap();
        bench.against(Known { state: Some(bench.home.path().to_owned()), ..Known::default() }).unwrap_err().verdict
    };
    assert_eq!((ordered(300), ordered(599), ordered(600)), (Verdict::Unsealed, Verdict::Unsealed, Verdict::Altered));
    let (month, rest) = (audit.join("audit-2020-03.db"), audit.join("audit-2020-01.db"));
    fs::rename(&month, bench.home.path().join("kept")).unwrap();
    both(Verdict::Altered);
    fs::rename(bench.home.path().join("kept"), &month).unwrap();
    fs::remove_file(rest).unwrap();
    assert_eq!(holes(), Ok(vec![(0, 600)]));
    both(Verdict::Erased);
}

#[test]
fn two_gaps_excuse_each_its_own_range() {
    let bench = Bench::new();
    let lost = |size| KnownHead { what: "it".into(), size, root: [9; 32], verdict: Verdict::Fork, gap: None };
    bench.append(5);
    bench.sign(key(1), None);
    let first = bench.declare((8, [7; 32]));
    bench.sign(key(1), Some(first));
    bench.append(20);
    bench.sign(key(1), None);
    let second = bench.declare((40, [8; 32]));
    bench.sign(key(1), Some(second));
    bench.publish();
    let against = |head: KnownHead| {
        bench.against(Known { heads: vec![head], ..Known::default() }).map(|summary| summary.gaps.len())
    };
    for size in [6, 7, 27, 30, 39] {
        assert_eq!(against(lost(size)), Ok(2), "{size}");
    }
    for size in [3, 5, 8, 9, 20, 26, 40, 41] {
        assert_eq!(against(lost(size)).unwrap_err().verdict, Verdict::Fork, "{size}");
    }
    // A head that declares the first gap was signed after it: only the second can have lost it.
    assert!(against(KnownHead { gap: Some(first), ..lost(7) }).is_err());
    assert!(against(KnownHead { gap: Some(first), ..lost(30) }).is_ok());
    assert!(against(KnownHead { gap: Some(second), ..lost(30) }).is_err());
}

#[test]
fn what_was_acknowledged_and_has_no_event_is_found_out() {
    let bench = Bench::new();
    bench.append(1);
    // An id has the time in milliseconds: one of the same as the first event could be from before it.
    std::thread::sleep(std::time::Duration::from_millis(2));
    let (told, silent, passed) = (MessageId::now(), MessageId::now(), MessageId::now());
    let accepted = Event { message: Some(told), ..Event::new(Name::MsgAccept, Outcome::Success) };
    let intent = Event { message: Some(passed), ..Event::new(Name::MsgIntent, Outcome::Info) };
    bench.writer.run_blocking(move |store| store.record(vec![accepted, intent])).unwrap();
    // In copies the messages of the last day are left to later ones.
    let day_after = i64::try_from(now_us()).unwrap() + 25 * 3_600_000_000;
    let set = move |store: &mut Store<'_>| {
        store.ledger.set_clocks(Box::new(move || Reading { time: day_after, elapsed: 0, running: 0 }));
        Ok(())
    };
    bench.writer.run_blocking(set).unwrap();
    bench.append(1);
    bench.seal();
    bench.publish();
    let later = MessageId::from(uuid::Uuid::from_u128(u128::MAX));
    let check = |messages: &[MessageId]| bench.against(Known { accepted: messages.to_vec(), ..Known::default() });
    assert!(check(&[told, passed, later]).is_ok(), "of what comes after the end nothing is known");
    let fault = check(&[told, silent]).unwrap_err();
    assert!(fault.verdict == Verdict::Altered && fault.what.contains(&silent.to_string()), "{fault}");
    let log = format!(
        "vault 7: INFO a message was accepted {told} session=1 bytes=3\nnoise\nINFO a message was accepted x\n\
         edge-smtp main 8: INFO a message was acknowledged {silent}\nINFO a message could not be kept {later}\n"
    );
    assert_eq!(acks::acceptances(&log), [told, silent]);
    // The second opinion reads the same logs, with an id in either form.
    let file = bench.home.path().join("service.log");
    let opinion = |text: &str| {
        fs::write(&file, text).unwrap();
        second_opinion(&bench.audit(), key(1).verifier(), &["--acks", file.to_str().unwrap()])
    };
    let sound = log.replace(&silent.to_string(), &passed.to_string());
    assert_eq!(opinion(&sound), 0);
    assert_eq!(opinion(&sound.replace(&told.to_string(), &told.request_id())), 0, "in either form");
    assert_eq!(opinion(&sound.replace(&told.to_string(), &later.to_string())), 0);
    assert_eq!(opinion(&log), Verdict::Altered.code(), "by the edge's word");
    assert_eq!(opinion(&sound.replace("accepted x", &format!("accepted {silent}"))), Verdict::Altered.code());
    assert_eq!(opinion("noise\n"), Verdict::Usage.code());
}

#[test]
fn a_quick_look_sees_what_the_tree_sees_and_a_full_one_the_content_too() {
    let bench = Bench::grown();
    let quick = || {
        let found = bench.against(Known { quick: true, ..Known::default() }).map(|summary| summary.size);
        let code = found.as_ref().map_or_else(|fault| fault.verdict.code(), |_| 0);
        assert_eq!(second_opinion(&bench.audit(), key(1).verifier(), &["--quick"]), code);
        found
    };
    assert_eq!(quick(), Ok(660));
    let part = Part { events: vec![(3, 5)], fields: vec!["rcpt_to".into()] };
    let order =
        move |store: &mut crate::vault::store::Store<'_>| erasure::order(store, &[part], "uid 0", "case 7", None);
    bench.writer.run_blocking(order).unwrap();
    bench.seal();
    bench.publish();
    assert_eq!(quick(), Ok(661), "what was erased is no fault");
    bench.tamper("UPDATE event SET reason = 'x' WHERE seq = 5");
    assert_eq!(quick(), Ok(661));
    assert!(bench.verify().is_err());
    bench.tamper("UPDATE event SET leaf_hash = zeroblob(32) WHERE seq = 6");
    assert_eq!(quick().unwrap_err().verdict, Verdict::Altered);
}
