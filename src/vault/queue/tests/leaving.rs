//! What an export was given, and what becomes of it when nothing comes of the export.

use super::transfer::{CONTENT, from, given, part, whole};
use super::*;
use crate::ipc::admin::queue::listing::Standing;
use crate::ipc::admin::queue::transfer::{Envelope, Recipient};
use crate::policy::Policy;
use crate::policy::rule::{RecipientRule, SenderRule};
use crate::vault::queue::export::{Given, Taking, give};
use crate::vault::queue::import::Incoming;
use crate::vault::queue::leaving::{self, Leaving, Portion};

/// The names of the events, with outcome and reason.
fn told(store: &mut Store<'_>) -> Vec<String> {
    let rows = store.ledger.batch(5000).unwrap().rows;
    let at = |name: &str| row::COLUMNS.iter().position(|column| *column == name).unwrap();
    let text = |row: &row::Row, name: &str| match &row.clear[at(name)] {
        rusqlite::types::Value::Text(text) => text.clone(),
        _ => String::new(),
    };
    rows.iter()
        .map(|row| [&row.event, &text(row, "outcome"), &text(row, "reason")].map(String::as_str).join(" "))
        .collect()
}

#[test]
fn whoever_is_given_mail_is_in_the_log_before_there_is_an_archive_and_once() {
    let home = home();
    let database = Database::open(home.path()).unwrap();
    let mut store = Store::prepare(&database).unwrap();
    let messages = [(); 3].map(|()| accept(&mut store, "shop", &["a@example.org"]));
    let mut leaving = Leaving::default();
    for (credential, message, expected) in [("till", 0, 0), ("shop", 0, 1), ("shop", 1, 1), ("shop", 2, 1)] {
        let (message, credential) = (messages[message], Some(credential.to_owned()));
        let (taking, begin) = (Taking { message, credential, hold: false }, leaving.begin("uid 0"));
        if let Given::Whole(whole) = store.transaction(|store| give(store, &taking, begin)).unwrap() {
            leaving.add(Portion::of(&whole, false));
        }
        assert_eq!(told(&mut store), vec!["queue.export info begun"; expected]);
    }
}

#[test]
fn what_an_export_held_is_offered_again_when_nothing_came_of_it_and_what_an_order_holds_is_not() {
    let home = home();
    let database = Database::open(home.path()).unwrap();
    let mut store = Store::prepare(&database).unwrap();
    let back = |store: &mut Store<'_>, leaving: &mut Leaving| {
        for portions in leaving.lost() {
            store.transaction(|store| leaving::give_back(store, &portions, "uid 0")).unwrap();
        }
    };
    let taken = |store: &mut Store<'_>, message: MessageId| {
        let mut leaving = Leaving::default();
        leaving.add(Portion::of(&whole(store, message, true), true));
        leaving
    };
    let message = accept(&mut store, "shop", &["a@example.org"]);
    let mut leaving = taken(&mut store, message);
    assert_eq!(lease(&mut store, 1), None, "it is held");
    assert_eq!(leaving.written(vec![message]), [], "it is not known to be kept anywhere");
    // Nobody has said that it is to wait: what is held and given up is others' mail.
    assert_eq!(all(&mut store, &order(Deed::DropHeld, Which::All)), counts(0, 0, 0));
    back(&mut store, &mut leaving);
    let (row, _) = lease(&mut store, 2).expect("it is offered again");
    store.transaction(|store| store.spool.release(2, 0).map(|own| assert_eq!(own, Some(row)))).unwrap();
    assert_eq!(told(&mut store), ["queue.export failure not-written"]);

    // Held before, or by an order meanwhile: that is somebody's will.
    for before in [true, false] {
        if before {
            all(&mut store, &order(Deed::Hold, Which::All));
        }
        let mut leaving = taken(&mut store, message);
        if !before {
            assert_eq!(
                all(&mut store, &order(Deed::Hold, Which::All)),
                counts(1, 1, 0),
                "it is not held by an order yet"
            );
        }
        back(&mut store, &mut leaving);
        assert_eq!(lease(&mut store, 3), None, "held before: {before}");
        all(&mut store, &order(Deed::Release, Which::All));
    }

    // What is written stays held, and may be given up.
    let mut leaving = taken(&mut store, message);
    let portions = leaving.of(&[message]);
    store.transaction(|store| leaving::write(store, &portions, "uid 0", None)).unwrap();
    leaving.note(&[message]);
    assert_eq!(leaving.written(vec![message, MessageId::now()]), [message]);
    back(&mut store, &mut leaving);
    store.transaction(|store| leaving::give_back_all(store)).unwrap();
    assert_eq!(lease(&mut store, 4), None, "it is in an archive");
    assert_eq!(part(&mut store, message), counts(1, 1, 0));
    assert_eq!(told(&mut store).iter().filter(|one| *one == "queue.export success ").count(), 1);
}

#[test]
fn what_an_export_held_when_this_process_ended_is_offered_again_at_the_next_start() {
    let home = home();
    let message = {
        let database = Database::open(home.path()).unwrap();
        let mut store = Store::prepare(&database).unwrap();
        let message = accept(&mut store, "shop", &["a@example.org"]);
        whole(&mut store, message, true);
        message
    };
    let database = Database::open(home.path()).unwrap();
    let mut store = Store::prepare(&database).unwrap();
    assert_eq!(lease(&mut store, 1), None);
    store.transaction(|store| leaving::give_back_all(store)).unwrap();
    assert_eq!(lease(&mut store, 2).map(|(_, leased)| leased), Some(message));
    assert_eq!(told(&mut store), ["queue.export failure not-written"]);
}

#[test]
fn what_one_export_holds_no_other_takes() {
    let home = home();
    let database = Database::open(home.path()).unwrap();
    let mut store = Store::prepare(&database).unwrap();
    let message = accept(&mut store, "shop", &["a@example.org"]);
    let mut leaving = Leaving::default();
    leaving.add(Portion::of(&whole(&mut store, message, true), true));
    let second = given(&mut store, message, true);
    assert!(matches!(second, Given::Left(why) if why.contains("another export")), "{second:?}");
    whole(&mut store, message, false);
    let portions = leaving.of(&[message]);
    store.transaction(|store| leaving::write(store, &portions, "uid 0", None)).unwrap();
    whole(&mut store, message, true);
}

#[test]
fn a_report_from_the_address_that_reports_are_from_here_is_no_offence() {
    let home = home();
    let database = Database::open(home.path()).unwrap();
    let mut store = Store::prepare(&database).unwrap();
    let message = accept(&mut store, "shop", &["x@example.net"]);
    let (envelope, recipients) = from(whole(&mut store, message, false), Standing::Ready);
    let mut policy = Policy { senders: vec![SenderRule::Domain("example.net".into())], ..Policy::default() };
    policy.recipients.allow = vec![RecipientRule::Domain("example.org".into())];
    let reporter = Address::parse("reports@gate.example").unwrap();
    let offence = |policy: &Policy, is_report: bool, to: &str, reporters: &[Address]| {
        let envelope = Envelope { sender: Some(reporter.clone()), is_report, ..envelope.clone() };
        let mut incoming = Incoming::new(envelope, None).unwrap();
        let addressee = Address::parse(to).unwrap().into();
        incoming.add(Recipient { addressee, ..recipients[0].clone() }).unwrap();
        incoming.take(CONTENT).unwrap();
        incoming.arrived().unwrap().offence(policy, &policy.grant("shop", &[]), 3, reporters)
    };
    let own = [reporter.clone()];
    assert_eq!(offence(&policy, true, "x@example.net", &own), None);
    assert!(offence(&policy, false, "x@example.net", &own).unwrap().contains("sender"), "it is no report");
    assert!(offence(&policy, true, "x@example.net", &[]).unwrap().contains("sender"), "it is whoever the file says");
    assert!(offence(&policy, true, "v@victim.example", &own).unwrap().contains("may not send to"));
    policy.pass_through = Some("provider".into());
    assert!(offence(&policy, true, "x@example.net", &own).unwrap().contains("keys of its clients"));
}
