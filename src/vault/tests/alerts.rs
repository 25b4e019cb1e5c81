//! What is wrong is told in one transaction with the mail, the event and the audit log; a restart tells nobody again.

use std::time::Instant;

use super::*;
use crate::config::slice::{Alerts, Webhook};
use crate::ipc::figures::metric::Metric;
use crate::policy::mask::Mask;
use crate::vault::alerts::Keeper;

fn alerts() -> Alerts {
    let minute = Duration::from_secs(60);
    Alerts {
        mail: vec![address("ops@example.org"), address("night@example.org")],
        from: Some(address("gate@example.net")),
        webhook: Some("ops".into()),
        repeat: None,
        queue_age: 15 * minute,
        queue_messages: 10_000,
        upstream_down: 7 * 24 * HOUR,
        bounce_rate: 20,
        failed_logins: 100,
        falls: 1000,
        certificate: HOUR,
        digest: None,
    }
}

/// How much mail this vault has sent by itself, its events for the webhook, and what goes on.
async fn kept(vault: &Rc<Vault>) -> (u64, Vec<serde_json::Value>, Vec<String>) {
    let mails = told_of(vault, "msg.accept");
    vault
        .writer
        .run(move |store| {
            let due = store.outbox.due("ops", u64::MAX / 2, 0, 99)?;
            let events = due.iter().map(|due| serde_json::from_str(&due.body).unwrap()).collect();
            let all = store.alerts.all()?.into_iter().map(|told| told.kind).collect();
            Ok((mails, events, all))
        })
        .await
        .unwrap()
}

/// Events of that name that this vault has committed.
fn told_of(vault: &Rc<Vault>, name: &str) -> u64 {
    vault.writer.tally().total(Metric::AuditEvents, |[event, _]| event == name)
}

/// With a vault over what is there.
fn with(bench: &Bench, seen: impl AsyncFnOnce(Rc<Vault>)) {
    let house = House::open(bench.home.path(), bench.slice.clone(), Generation(1), vec![master(1)]).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let vault = Rc::clone(&house.vault);
    LocalSet::new().block_on(&runtime, seen(vault));
    let House { vault, publisher, threads } = house;
    drop((vault, publisher));
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

#[test]
fn since_when_nobody_could_be_told_is_known_until_somebody_is() {
    let mut bench = Bench::new();
    bench.slice.webhooks = vec![Webhook { name: "ops".into(), events: Vec::new(), mask: Mask::None, lifetime: HOUR }];
    let routes = std::mem::take(&mut bench.slice.routes);
    let (by_mail, by_both) = (Alerts { webhook: None, ..alerts() }, alerts());
    bench.slice.alerts = Some(by_mail.clone());
    let (begun, start_us) = (Instant::now(), now_us());
    with(&bench, async |vault: Rc<Vault>| {
        let mut keeper = Keeper::new(Rc::clone(&vault), Rc::default());
        keeper.note(begun - Duration::from_secs(700));
        let silence =
            || vault.alerts.silence.borrow().as_ref().map(|one| (one.since_us - start_us, one.reason.clone()));
        let mut turn = async |second: u64, alerts: &Alerts| {
            let now = begun + Duration::from_secs(second);
            keeper.note(now);
            keeper.turn(alerts, 0, start_us + second * 1_000_000, now).await;
        };
        turn(0, &by_mail).await;
        assert_eq!(silence(), None);
        vault.writer.tally().add(Metric::AuthAttempts, ["smtp", "failed"], 100);
        for second in [1, 70] {
            turn(second, &by_mail).await;
            let (since, reason) = silence().unwrap();
            assert!(since == 1_000_000 && reason.starts_with("no route takes mail from gate@example.net"), "{reason}");
        }
        // The webhook is told, and the mail still can't leave.
        turn(140, &by_both).await;
        let (since, reason) = silence().unwrap();
        assert!(since == 1_000_000 && reason.starts_with("by mail: no route"), "{reason}");
        vault.authority.borrow_mut().slice.routes = routes.clone();
        // Over by then, which is told by both.
        turn(900, &by_both).await;
        assert_eq!(silence(), None);
    });
}

#[test]
fn rule_o4_what_is_wrong_is_told_once_over_restarts_and_then_that_it_is_over() {
    let mut bench = Bench::new();
    let (events, lifetime) = (Vec::new(), HOUR);
    bench.slice.webhooks = vec![Webhook { name: "ops".into(), events, mask: Mask::None, lifetime }];
    bench.slice.alerts = Some(alerts());
    let (begun, start_us) = (Instant::now(), now_us());
    let at = |second: u64| (start_us + second * 1_000_000, begun + Duration::from_secs(second));
    with(&bench, async |vault: Rc<Vault>| {
        let mut keeper = Keeper::new(Rc::clone(&vault), Rc::default());
        // Before anybody was told.
        vault.writer.tally().add(Metric::AuthAttempts, ["smtp", "failed"], 100);
        keeper.note(begun - Duration::from_secs(700));
        for second in [0, 60] {
            let (us, now) = at(second);
            keeper.note(now);
            keeper.turn(&alerts(), 0, us, now).await;
        }
        assert_eq!(kept(&vault).await, (0, vec![], vec![]), "nothing is wrong");
        vault.writer.tally().add(Metric::AuthAttempts, ["smtp", "failed"], 100);
        for second in [61, 66, 90] {
            let (us, now) = at(second);
            keeper.note(now);
            keeper.turn(&alerts(), 0, us, now).await;
        }
        let (mails, events, all) = kept(&vault).await;
        assert_eq!((mails, all), (1, vec!["failed-logins".to_owned()]));
        let data = &events[0]["data"];
        assert_eq!((events.len(), &events[0]["type"]), (1, &"gate.alert".into()));
        assert_eq!((&data["alert"], &data["state"]), (&"failed-logins".into(), &"begins".into()));
        assert_eq!((told_of(&vault, "alert.begin"), told_of(&vault, "alert.end")), (1, 0));
        assert_eq!(data["text"], "100 logins failed within ten minutes");
    });
    with(&bench, async |vault: Rc<Vault>| {
        let mut keeper = Keeper::new(Rc::clone(&vault), Rc::default());
        for second in [100, 200, 399] {
            let (us, now) = at(second);
            keeper.note(now);
            keeper.turn(&alerts(), 0, us, now).await;
        }
        let (_, events, _) = kept(&vault).await;
        let told = |events: &[serde_json::Value], alert: &str| {
            let own = events.iter().filter(|event| event["data"]["alert"] == alert);
            own.map(|event| event["data"]["state"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(told(&events, "failed-logins"), ["begins"], "as before the restart");
        let (us, now) = at(401);
        keeper.note(now);
        keeper.turn(&alerts(), 0, us, now).await;
        let (_, events, all) = kept(&vault).await;
        assert_eq!(told(&events, "failed-logins"), ["begins", "over"]);
        assert!(!all.contains(&"failed-logins".to_owned()), "{all:?}");
        assert_eq!(told_of(&vault, "alert.end"), 1);
    });
}
