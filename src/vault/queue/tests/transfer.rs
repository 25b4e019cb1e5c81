//! Messages that go to another gate and come from one, by the transactions that give and take them.

use super::*;
use crate::ipc::admin::queue::listing::Standing;
use crate::ipc::admin::queue::transfer::{Envelope, Recipient};
use crate::ipc::admin::queue::transfer::{MOST_TRIES, MOST_WORDS};
use crate::ipc::inquiry::Status;
use crate::mail::envelope::Utf8;
use crate::policy::mask::Mask;
use crate::policy::rule::{RecipientRule, SenderRule};
use crate::policy::{MOST_TTL, Policy};
use crate::vault::queue::export::{Given, Taking, give, part_with};
use crate::vault::queue::import::{Incoming, Keeping, Kept, keep};
use crate::vault::store::submissions::Owner;
use crate::vault::store::transfer::Whole;

/// What `accepted` keeps, and its digest is another.
pub(super) const CONTENT: &[u8] = b"x\r\n";

pub(super) fn given(store: &mut Store<'_>, message: MessageId, hold: bool) -> Given {
    let taking = Taking { message, credential: None, hold };
    store.transaction(|store| give(store, &taking, None)).unwrap()
}

pub(super) fn whole(store: &mut Store<'_>, message: MessageId, hold: bool) -> Whole {
    match given(store, message, hold) {
        Given::Whole(whole) => *whole,
        other => panic!("{other:?}"),
    }
}

/// What a file says of it, with those who wait as they are there.
pub(super) fn from(whole: Whole, standing: Standing) -> (Envelope, Vec<Recipient>) {
    use sha2::Digest as _;
    let envelope = Envelope { sha256: sha2::Sha256::digest(CONTENT).into(), ..whole.envelope };
    let recipients = whole.recipients.into_iter().map(|one| match one.standing.is_open() {
        true => Recipient { standing, ..one },
        false => one,
    });
    (envelope, recipients.collect())
}

pub(super) fn taken(
    store: &mut Store<'_>,
    message: (Envelope, Vec<Recipient>),
    release: bool,
) -> Result<bool, &'static str> {
    taken_for(store, message, release, None)
}

/// For a credential that has this webhook here.
fn taken_for(
    store: &mut Store<'_>,
    (envelope, recipients): (Envelope, Vec<Recipient>),
    release: bool,
    webhook: Option<&str>,
) -> Result<bool, &'static str> {
    let webhook = webhook.map(str::to_owned);
    let mut incoming = Incoming::new(envelope, None)?;
    recipients.into_iter().try_for_each(|one| incoming.add(one))?;
    incoming.take(CONTENT)?;
    incoming.end()?;
    let keeping = Keeping { release, regardless: true, is_over: false, note: None, actor: "uid 0".into(), webhook };
    let arrived = incoming.arrived().unwrap();
    let kept = store.transaction(|store| keep(store, arrived, &|_| LANE.to_owned(), &keeping)).unwrap();
    kept.map(|Kept { released }| released)
}

pub(super) fn part(store: &mut Store<'_>, message: MessageId) -> Counts {
    store.transaction(|store| part_with(store, &[message], "uid 0", None)).unwrap().counts
}

#[test]
fn what_goes_elsewhere_is_given_up_only_if_nobody_had_it_or_released_it_meanwhile() {
    let home = home();
    let database = Database::open(home.path()).unwrap();
    let mut store = Store::prepare(&database).unwrap();
    let message = accept(&mut store, "shop", &["a@example.org"]);
    let (row, _) = lease(&mut store, 1).unwrap();
    assert!(matches!(given(&mut store, message, true), Given::Left(reason) if reason.contains("upstream")));
    let copied = whole(&mut store, message, false);
    assert_eq!(copied.recipients[0].standing, Standing::Leased, "a copy says so");
    assert_eq!(part(&mut store, message), Counts::default(), "an upstream has it");
    store.transaction(|store| store.spool.release(1, 0).map(|own| assert_eq!(own, Some(row)))).unwrap();

    assert_eq!(whole(&mut store, message, true).recipients[0].standing, Standing::Ready, "as it was");
    assert_eq!(lease(&mut store, 2), None, "it is held");
    all(&mut store, &order(Deed::Release, Which::All));
    assert_eq!(part(&mut store, message), Counts::default(), "it was released meanwhile");
    whole(&mut store, message, true);
    assert_eq!(part(&mut store, message), counts(1, 1, 0));
    let owner = Owner { principal: "shop", since_us: 0, is_heir: true };
    let found = store.submissions.find(owner, message, Mask::None, now_us()).unwrap().unwrap();
    assert_eq!(
        (found.status, found.recipients[0].status),
        (Status::Moved, Status::Moved),
        "who sent it must not send it again"
    );
    assert!(matches!(given(&mut store, message, false), Given::Passed));
    assert_eq!(store.hold.open(0, 9).unwrap(), []);
}

#[test]
fn what_comes_from_elsewhere_is_held_and_who_may_have_it_is_released_by_its_id_alone() {
    for (standing, release, offered) in [
        (Standing::Deferred, false, false),
        (Standing::Deferred, true, true),
        (Standing::Held, true, false),
        (Standing::Leased, true, false),
        (Standing::Quarantined, true, false),
    ] {
        let home = home();
        let database = Database::open(home.path()).unwrap();
        let mut store = Store::prepare(&database).unwrap();
        let message = accept(&mut store, "shop", &["a@example.org"]);
        let out = from(whole(&mut store, message, true), standing);
        assert_eq!(taken(&mut store, out.clone(), true), Err("it is in this queue already"));
        part(&mut store, message);
        assert_eq!(taken(&mut store, out, release), Ok(offered), "{standing:?}");
        assert_eq!(lease(&mut store, 1).map(|(_, leased)| leased), offered.then_some(message), "{standing:?}");
        let is_doubtful = matches!(standing, Standing::Leased | Standing::Quarantined);
        let released = all(&mut store, &order(Deed::Release, Which::All)).messages;
        assert_eq!(released == 0, offered || is_doubtful, "{standing:?}");
        let by_id = all(&mut store, &order(Deed::Release, Which::Message(message))).messages;
        assert_eq!(by_id == 1, is_doubtful, "{standing:?}");
    }
}

#[test]
fn who_has_ended_here_does_not_wait_again_and_whom_nobody_waits_for_is_not_taken() {
    let home = home();
    let database = Database::open(home.path()).unwrap();
    let mut store = Store::prepare(&database).unwrap();
    let message = accept(&mut store, "shop", &["a@example.org", "b@example.org"]);
    let out = from(whole(&mut store, message, false), Standing::Ready);
    let (row, _) = lease(&mut store, 1).unwrap();
    store
        .transaction(|store| {
            store.spool.settle(1, row, 0, &came_to(State::Delivered))?;
            store.spool.settle(1, row, 1, &came_to(State::Waiting(0)))?;
            store.spool.release(1, 0)
        })
        .unwrap();
    all(&mut store, &order(Deed::Drop, Which::All));
    assert!(!store.hold.open(0, 9).unwrap().iter().any(|open| open.row == row));
    assert!(taken(&mut store, out.clone(), false).unwrap_err().contains("was in this queue"));
    let (envelope, mut recipients) = out;
    recipients[0].standing = Standing::Delivered;
    let both = recipients.clone();
    recipients[1].standing = Standing::Failed;
    assert_eq!(taken(&mut store, (envelope.clone(), recipients), false), Err("nobody waits for it"));
    let mut strange = both.clone();
    strange[1].addressee = Address::parse_international("bü@example.org").unwrap().into();
    assert!(envelope.manner.utf8 == Utf8::None);
    assert!(taken(&mut store, (envelope.clone(), strange), false).unwrap_err().contains("SMTPUTF8"));
    let longer = Envelope { bytes: 2, ..envelope.clone() };
    assert_eq!(taken(&mut store, (longer, both.clone()), false), Err("it is longer than it says"));
    let other = Envelope { sha256: [0; 32], ..envelope.clone() };
    assert!(taken(&mut store, (other, both.clone()), false).unwrap_err().contains("SHA-256"));

    // The one who was given up by order waits again; the other one stays as he is.
    assert_eq!(taken(&mut store, (envelope, both), true), Ok(true));
    let (row, _) = lease(&mut store, 2).unwrap();
    let leased = store.spool.leased(2, row, LANE, Uuid::nil()).unwrap();
    assert_eq!(leased.recipients.iter().map(|(number, ..)| *number).collect::<Vec<_>>(), [1]);
    let events: Vec<_> = events(&mut store).into_iter().map(|event| event.0).collect();
    assert_eq!(events, ["queue.drop", "queue.import"]);
}

#[test]
fn a_row_that_is_damaged_is_left_out_and_the_others_are_given() {
    for damage in [
        "UPDATE spool_msg SET ended = 4294967296 WHERE id = 1",
        "UPDATE spool_rcpt SET attempts = -1 WHERE msg = 1",
        "UPDATE spool_rcpt SET rcpt = 'nobody' WHERE msg = 1",
        "UPDATE spool_rcpt SET rcpt = CAST(x'ff40ff' AS TEXT) WHERE msg = 1",
    ] {
        let home = home();
        let (message, sound) = {
            let database = Database::open(home.path()).unwrap();
            let mut store = Store::prepare(&database).unwrap();
            (accept(&mut store, "shop", &["a@example.org"]), accept(&mut store, "shop", &["b@example.org"]))
        };
        Database::open(home.path()).unwrap().connection.execute(damage, []).unwrap();
        let database = Database::open(home.path()).unwrap();
        let mut store = Store::prepare(&database).unwrap();
        store.keys.adopt(vec![Master::new(Secret::new([1; 32]))]);
        assert!(
            matches!(given(&mut store, message, true), Given::Left(reason) if reason.contains("damaged")),
            "{damage}"
        );
        whole(&mut store, sound, true);
        assert_eq!(store.hold.held().unwrap(), (1, 1), "{damage}");
    }
}

#[test]
fn counts_that_no_queue_has_are_not_taken_in_and_none_overflows() {
    let home = home();
    let database = Database::open(home.path()).unwrap();
    let mut store = Store::prepare(&database).unwrap();
    let message = accept(&mut store, "shop", &["a@example.org"]);
    let (envelope, recipients) = from(whole(&mut store, message, true), Standing::Ready);
    part(&mut store, message);
    let one = recipients[0].clone();
    let no_value = "value";
    for (envelope, recipients, why) in [
        (Envelope { ended: MOST_TRIES + 1, ..envelope.clone() }, vec![one.clone()], no_value),
        (Envelope { credential: "x".repeat(3_000_000), ..envelope.clone() }, vec![one.clone()], no_value),
        (Envelope { bytes: 0, ..envelope.clone() }, vec![one.clone()], no_value),
        (Envelope { accepted_us: now_us() * 2, ..envelope.clone() }, vec![one.clone()], "future"),
        (
            Envelope { expires_us: now_us() + 3 * MOST_TTL * 1_000_000, ..envelope.clone() },
            vec![one.clone()],
            "lives longer",
        ),
        (envelope.clone(), vec![Recipient { attempts: u32::MAX, ..one.clone() }], no_value),
        (envelope.clone(), vec![Recipient { said: Some("x".repeat(MOST_WORDS + 1)), ..one.clone() }], no_value),
        (envelope.clone(), vec![one.clone(), one.clone()], "twice"),
    ] {
        assert!(taken(&mut store, (envelope, recipients), false).unwrap_err().contains(why), "{why}");
    }
    let most = Recipient { attempts: MOST_TRIES, ..one };
    assert_eq!(taken(&mut store, (Envelope { ended: MOST_TRIES, ..envelope }, vec![most]), false), Ok(false));
    // Whatever got there by another way.
    drop(store);
    drop(database);
    let strange =
        "UPDATE spool_rcpt SET attempts = 4294967295, held = 0; UPDATE spool_msg SET ended = 4294967295, hold = 0";
    Database::open(home.path()).unwrap().connection.execute_batch(strange).unwrap();
    let column = |column: &str| {
        let sql = format!("SELECT {column} FROM spool_msg JOIN spool_rcpt ON msg = id WHERE done_us IS NULL");
        let database = Database::open(home.path()).unwrap();
        database.connection.query_row(&sql, [], |row| row.get::<_, i64>(0)).unwrap()
    };
    {
        let database = Database::open(home.path()).unwrap();
        let mut store = Store::prepare(&database).unwrap();
        store.keys.adopt(vec![Master::new(Secret::new([1; 32]))]);
        let row = store.hold.find(message).unwrap().unwrap().row;
        store.transaction(|store| store.suspects.clear(row)).unwrap();
        lease(&mut store, 1).unwrap();
        let settled = store.transaction(|store| {
            store.suspects.count(row)?;
            let leased = store.spool.leased(1, row, LANE, Uuid::nil())?;
            assert_eq!(leased.recipients[0].2, u32::MAX);
            store.spool.settle(1, row, 0, &came_to(State::Waiting(0)))
        });
        assert!(settled.unwrap());
    }
    assert_eq!((column("attempts"), column("ended")), (1_000_000, 1));
    Database::open(home.path()).unwrap().connection.execute_batch(strange).unwrap();
    {
        let database = Database::open(home.path()).unwrap();
        let mut store = Store::prepare(&database).unwrap();
        let row = store.hold.find(message).unwrap().unwrap().row;
        store.transaction(|store| store.suspects.count(row)).unwrap();
    }
    assert_eq!(column("ended"), 1000);
}

#[test]
fn an_upstream_that_says_dropped_gives_nobody_up_by_order() {
    for (said, expected) in [
        (Said { code: Some(550), text: "dropped".into(), ..Said::default() }, false),
        (Said { host: "mx".into(), text: "dropped".into(), ..Said::default() }, false),
        (Said { code: Some(451), text: "later".into(), ..Said::default() }, true),
    ] {
        let home = home();
        let database = Database::open(home.path()).unwrap();
        let mut store = Store::prepare(&database).unwrap();
        let message = accept(&mut store, "shop", &["a@example.org"]);
        let out = from(whole(&mut store, message, false), Standing::Ready);
        let row = lease(&mut store, 1).unwrap().0;
        let state = if expected { State::Waiting(0) } else { State::Failed };
        let settled = Settled { said, ..came_to(state) };
        store
            .transaction(|store| {
                store.spool.settle(1, row, 0, &settled)?;
                store.spool.release(1, 0)?;
                store.finish(row, now_us())
            })
            .unwrap();
        if expected {
            assert_eq!(all(&mut store, &order(Deed::Drop, Which::All)), counts(1, 1, 0));
        }
        assert_eq!(taken(&mut store, out, false).is_ok(), expected);
    }
}

#[test]
fn a_recipient_who_ended_without_a_word_is_no_damage() {
    let home = home();
    let database = Database::open(home.path()).unwrap();
    let mut store = Store::prepare(&database).unwrap();
    let message = accept(&mut store, "shop", &["a@example.org", "b@example.org"]);
    let (envelope, mut recipients) = from(whole(&mut store, message, true), Standing::Ready);
    let silent = Recipient { standing: Standing::Failed, code: None, enhanced: None, ..recipients[0].clone() };
    recipients[0] = Recipient { said: None, host: None, ..silent };
    part(&mut store, message);
    assert_eq!(taken(&mut store, (envelope.clone(), recipients.clone()), false), Ok(false));
    assert_eq!(all(&mut store, &order(Deed::Drop, Which::All)), counts(1, 1, 0));
    assert_eq!(taken(&mut store, (envelope, recipients), false), Ok(false));
}

#[test]
fn the_rules_that_a_credential_has_here_are_asked_for_what_comes_from_elsewhere() {
    let home = home();
    let database = Database::open(home.path()).unwrap();
    let mut store = Store::prepare(&database).unwrap();
    let message = accept(&mut store, "shop", &["a@example.org"]);
    let (envelope, recipients) = from(whole(&mut store, message, false), Standing::Ready);
    let domain = |text: &str| SenderRule::Domain(text.into());
    let mut policy = Policy { senders: vec![domain("example.net")], ..Policy::default() };
    policy.recipients.allow = vec![RecipientRule::Domain("example.org".into())];
    let offence = |policy: &Policy, sender: Option<&str>, to: &[&str], most: u64| {
        let sender = sender.map(|sender| Address::parse(sender).unwrap());
        let mut incoming = Incoming::new(Envelope { sender, ..envelope.clone() }, None).unwrap();
        for to in to {
            let addressee = Address::parse(to).unwrap().into();
            incoming.add(Recipient { addressee, ..recipients[0].clone() }).unwrap();
        }
        incoming.take(CONTENT).unwrap();
        incoming.arrived().unwrap().offence(policy, &policy.grant("shop", &[]), most, &[])
    };
    let own = Some("x@example.net");
    assert_eq!(offence(&policy, own, &["a@example.org"], 3), None);
    assert!(offence(&policy, own, &["a@example.org"], 2).unwrap().contains("larger"));
    assert!(offence(&policy, Some("boss@bank.example"), &["a@example.org"], 3).unwrap().contains("sender"));
    assert!(offence(&policy, own, &["a@example.org", "v@victim.example"], 3).unwrap().contains("may not send to"));
    // A report goes to whom it is about, and nobody else.
    assert_eq!(offence(&policy, None, &["x@example.net"], 3), None);
    assert!(offence(&policy, None, &["v@victim.example"], 3).unwrap().contains("may not send to"));
    policy.always_bcc = vec![Address::parse("copy@audit.example").unwrap()];
    policy.max_recipients = Some(1);
    assert_eq!(offence(&policy, own, &["a@example.org", "copy@audit.example"], 3), None);
    assert!(
        offence(&policy, own, &["a@example.org", "b@example.org", "c@example.org"], 3).unwrap().contains("more wait")
    );
    policy.redirect = Some(Address::parse("test@lab.example").unwrap());
    assert_eq!(offence(&policy, own, &["test@lab.example"], 3), None);
    assert!(offence(&policy, own, &["a@example.org"], 3).unwrap().contains("may not send to"));
}

#[test]
fn rule_q13_rule_q14_what_is_to_be_told_of_a_message_moves_with_it() {
    for (reports, is_report) in [(Reports::Mail, false), (Reports::None, false), (Reports::Mail, true)] {
        let home = home();
        let database = Database::open(home.path()).unwrap();
        let mut store = Store::prepare(&database).unwrap();
        store.keys.adopt(vec![Master::new(Secret::new([1; 32]))]);
        let sender = Some(Address::parse("a@example.net").unwrap());
        let one = Accepted { sender, reports, is_report, delays: Delays::Told, ..accepted("shop", &["a@example.org"]) };
        let message = one.message;
        store.transaction(|store| store.accept(&one, 0)).unwrap();
        let out = from(whole(&mut store, message, true), Standing::Deferred);
        assert_eq!((out.0.reports, out.0.is_report), (reports, is_report));
        assert_eq!(out.1[0].since_us, Some(one.accepted_us));
        part(&mut store, message);
        assert_eq!(taken(&mut store, out.clone(), false), Ok(false));
        let again = whole(&mut store, message, true);
        assert_eq!((again.envelope.reports, again.envelope.is_report), (reports, is_report));
        let is_told = reports == Reports::Mail && !is_report;
        assert_eq!(again.recipients[0].since_us, is_told.then_some(one.accepted_us), "it is held as it was");
        let nobody = Envelope { sender: None, is_report: false, ..out.0 };
        part(&mut store, message);
        assert_eq!(taken(&mut store, (nobody, out.1), false), Ok(false));
        let again = whole(&mut store, message, true);
        assert!(again.envelope.is_report, "from nobody comes nothing else");
        assert_eq!(again.recipients[0].since_us, None, "nobody is there to be told");
    }
}

#[test]
fn rule_q13_what_moves_is_told_by_the_webhook_of_its_credential_here_or_by_mail() {
    for (here, reports) in [(Some("other"), Reports::Webhook), (None, Reports::Mail)] {
        let home = home();
        let database = Database::open(home.path()).unwrap();
        let mut store = Store::prepare(&database).unwrap();
        store.keys.adopt(vec![Master::new(Secret::new([1; 32]))]);
        let (sender, webhook) = (Some(Address::parse("a@example.net").unwrap()), Some("app".to_owned()));
        let one = Accepted { sender, reports: Reports::Webhook, webhook, ..accepted("shop", &["a@example.org"]) };
        let message = one.message;
        store.transaction(|store| store.accept(&one, 0)).unwrap();
        let out = from(whole(&mut store, message, true), Standing::Deferred);
        assert_eq!(out.0.reports, Reports::Webhook);
        part(&mut store, message);
        assert_eq!(taken_for(&mut store, out, false, here), Ok(false));
        let again = whole(&mut store, message, true);
        assert_eq!(again.envelope.reports, reports);
        let kept = store.transaction(|store| store.outbox.of(again.row)).unwrap();
        assert_eq!(kept.as_deref(), here);
    }
}
