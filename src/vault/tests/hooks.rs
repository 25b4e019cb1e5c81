//! What a provider tells later: believed by its signature, done once, in order with what couriers say, and of its own upstream alone.

use hmac::{Hmac, KeyInit, Mac};
use serde_json::json;
use sha2::Sha256;

use super::courier::offered;
use super::*;
use crate::config::slice::{CountBounces, Hook, Webhook};
use crate::ipc::hook::{Posted, Verdict};
use crate::policy::feedback::Told;
use crate::policy::mask::Mask;
use crate::policy::reports::Reports;
use crate::vault::audit::ledger::now_us;
use crate::vault::store::hooks::{EARLY_US, Hooks, MOST_EARLY};
use crate::vault::store::open::Database;

const SECRET: &str = "whsec_00112233445566778899aabbccddeeff";
const OLD: &str = "whsec_ffeeddccbbaa99887766554433221100";

fn bench() -> Bench {
    let mut bench = Bench::new();
    let hook = |name: &str, upstream: &str| Hook {
        name: name.into(),
        upstream: upstream.into(),
        secrets: [SECRET, OLD].map(|secret| Secret::new(secret.to_owned())).to_vec(),
    };
    bench.slice.hooks = vec![hook("bytesend", "smarthost"), hook("other", "other")];
    bench.slice.suppression = Some(CountBounces { after: 1, lifetime: HOUR });
    bench.slice.credentials[0].policy.limits.per_day = Some(50);
    bench
}

fn sign(secret: &str, timestamp: &str, body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(format!("{timestamp}.{body}").as_bytes());
    let hex: String = mac.finalize().into_bytes().iter().map(|octet| format!("{octet:02x}")).collect();
    format!("v1={hex}")
}

fn event(call: &str, kind: &str, reference: &str, to: &[&str]) -> String {
    let bounce = json!({ "type": "Permanent", "subType": "NoEmail", "message": "" });
    let data = json!({ "id": reference, "status": "X", "from": "a@example.net", "to": to, "bounce": bounce });
    json!({ "id": call, "type": format!("email.{kind}"), "version": "2026-01-18", "teamId": 7, "data": data, "attempt": 1 })
        .to_string()
}

/// A session over HTTP of a client there.
struct Poster {
    edge: Edge,
    slot: u32,
}

impl Poster {
    fn new(vault: &mut Running) -> Self {
        Self { edge: vault.edge(), slot: 100 }
    }

    async fn post_as(
        &mut self,
        bench: &Bench,
        peer: &str,
        hook: &str,
        signature: String,
        timestamp: &str,
        body: &str,
    ) -> Verdict {
        self.slot += 1;
        let slot = Slot(self.slot);
        let capsule = bench.capsule(self.edge.instance, 4, peer);
        let opened = self.edge.ask(Ask::Open { slot, capsule, via: Via::Direct }).await;
        assert!(matches!(opened, Answer::Opened { .. }), "{opened:?}");
        let length = u32::try_from(body.len()).unwrap();
        let posted = Posted { hook: hook.into(), timestamp: timestamp.into(), signature, length };
        self.edge.asks.send(Ask::Hook { slot, posted: Box::new(posted) }).await.unwrap();
        for octets in body.as_bytes().chunks(100) {
            self.edge.asks.send(Ask::Body { slot, octets: Octets(octets.to_vec()) }).await.unwrap();
        }
        let answer = self.edge.answer().await;
        let Answer::Hooked { verdict, .. } = answer else { panic!("{answer:?}") };
        self.edge.asks.send(Ask::Close { slot }).await.unwrap();
        verdict
    }

    async fn post(&mut self, bench: &Bench, hook: &str, body: &str) -> Verdict {
        let now = (now_us() / 1000).to_string();
        self.post_as(bench, "192.0.2.9", hook, sign(SECRET, &now, body), &now, body).await
    }
}

fn taken(reference: &str) -> Outcome {
    Outcome::Delivered(Said { reference: Some(reference.into()), ..said(200) })
}

fn feedback(bench: &Bench) -> Vec<String> {
    let all = bench.events(&Filter { event: Some("feedback.received".into()), ..Filter::default() });
    all.iter().map(|event| event.get("reason").unwrap().to_owned()).collect()
}

const STATES: &str = "SELECT cast(group_concat(state, '') AS INTEGER) FROM (SELECT state FROM spool_rcpt JOIN spool_msg ON id = msg \
                      WHERE report = 0 ORDER BY msg, n)";

#[test]
fn a_bounce_that_is_told_later_ends_the_recipient_once_with_all_that_a_failure_brings() {
    let mut bench = bench();
    let events = vec![Told::Bounced];
    bench.slice.webhooks = vec![Webhook { name: "app".into(), events, mask: Mask::None, lifetime: HOUR }];
    bench.slice.credentials[0].policy.webhook = Some("app".into());
    let mut vault = bench.run();
    test(async {
        let (mut courier, job, _) = offered(&bench, &mut vault, &["rosa@example.org"], b"x\r\n").await;
        courier.content(job).await;
        courier.say(job, 0, taken("em_1")).await;
        courier.settled(job).await;
        let mut poster = Poster::new(&mut vault);
        // It is early as long as the job isn't over, and done all the same.
        let body = event("call_1", "bounced", "em_1", &["Rosa@example.org"]);
        assert_eq!(poster.post(&bench, "bytesend", &body).await, Verdict::Taken);
        let (report, _, to, _) = courier.message().await;
        assert_eq!(to[0].1, address("a@example.net"), "its sender is told of it");
        let content = String::from_utf8(courier.content(report).await).unwrap();
        assert!(content.contains("Action: failed") && content.contains("Status: 5.1.1"), "{content}");
        courier.say(report, 0, Outcome::Delivered(said(250))).await;
        courier.settled(report).await;
        // The same again, the same by another name, and what comes behind it.
        for (call, kind) in
            [("call_1", "bounced"), ("call_2", "bounced"), ("call_3", "delivered"), ("call_4", "failed")]
        {
            let body = event(call, kind, "em_1", &["rosa@example.org"]);
            assert_eq!(poster.post(&bench, "bytesend", &body).await, Verdict::Taken, "{call}");
        }
        let mut edge = vault.edge();
        edge.login(&bench, 1).await;
        let again = edge.submit(1, &["rosa@example.org"], b"x\r\n").await;
        assert!(matches!(again, Answer::Refused { refusal: Refusal::Suppressed, .. }), "{again:?}");
    });
    vault.drain();
    assert_eq!(feedback(&bench), ["bounced", "delivered", "failed"]);
    assert_eq!((bench.told("suppress.add"), bench.told("dsn.sent"), bench.told("deliver.success")), (1, 1, 2));
    assert_eq!(bench.count(STATES), 3);
    assert_eq!(bench.count("SELECT count(*) FROM spool_rcpt WHERE code = 550 AND enhanced = '5.1.1' AND owed = 0"), 1);
    assert_eq!(bench.count("SELECT count(*) FROM webhook_event WHERE kind = 'email.bounced'"), 1);
    assert_eq!(bench.count("SELECT count(*) FROM spool_body"), 0);
}

#[test]
fn events_that_come_before_the_outcome_wait_for_it_over_a_restart_too_and_of_more_than_fit_the_oldest_goes() {
    let bench = bench();
    let mut vault = bench.run();
    let first = test(async {
        let (mut courier, job, message) = offered(&bench, &mut vault, &["rosa@example.org"], b"x\r\n").await;
        courier.content(job).await;
        let mut poster = Poster::new(&mut vault);
        // Mail that another application sends by the same account.
        for n in 0..2 * MOST_EARLY {
            let body = event(&format!("foreign_{n}"), "delivered", &format!("foreign_{n}"), &["eve@example.org"]);
            assert_eq!(poster.post(&bench, "bytesend", &body).await, Verdict::Taken, "{n}");
        }
        let body = event("call_1", "complained", "em_1", &["rosa@example.org"]);
        assert_eq!(poster.post(&bench, "bytesend", &body).await, Verdict::Taken);
        let more = event("call_2", "delivered", "em_1", &["rosa@example.org"]);
        assert_eq!(poster.post(&bench, "bytesend", &more).await, Verdict::Taken);
        // Those of another upstream have room of their own, and nothing is under way there.
        let body = event("call_1", "delivered", "em_1", &["rosa@example.org"]);
        assert_eq!(poster.post(&bench, "other", &body).await, Verdict::Taken);
        message
    });
    vault.abandon();
    assert_eq!(bench.count("SELECT count(*) FROM hook_early WHERE upstream = 'smarthost'"), 4);
    let mut vault = bench.run();
    test(async {
        let mut courier = vault.courier().await;
        let (job, message, ..) = courier.message().await;
        assert_eq!(message, first);
        courier.content(job).await;
        courier.say(job, 0, taken("em_1")).await;
        courier.settled(job).await;
    });
    vault.drain();
    let mut told = feedback(&bench);
    told.sort_unstable();
    assert_eq!(told, ["complained", "delivered", "unattributable", "unattributable"], "one of each hook is told of");
    assert_eq!(bench.count("SELECT count(*) FROM suppression WHERE reason = 2 AND alone = 1 AND scope = 'shop'"), 1);
    assert_eq!(bench.count("SELECT count(*) FROM hook_early"), i64::try_from(MOST_EARLY - 2).unwrap());
    assert_eq!(bench.count(STATES), 2, "a complaint is no failure");
}

#[test]
fn an_event_waits_as_long_as_what_it_is_about_may_still_come_and_goes_when_nothing_can() {
    let bench = bench();
    let mut vault = bench.run();
    test(async {
        offered(&bench, &mut vault, &["rosa@example.org"], b"x\r\n").await;
        let mut poster = Poster::new(&mut vault);
        let body = event("call_1", "bounced", "em_1", &["rosa@example.org"]);
        assert_eq!(poster.post(&bench, "bytesend", &body).await, Verdict::Taken);
    });
    vault.abandon();
    let database = Database::open(bench.home.path()).unwrap();
    let mut hooks = Hooks::prepare(&database.connection).unwrap();
    let later = now_us() + 2 * EARLY_US;
    assert_eq!(hooks.over(later, 10).unwrap().len(), 0, "a later attempt may be told its name");
    database.connection.execute_batch("DELETE FROM spool_lease; UPDATE spool_rcpt SET held = 1").unwrap();
    assert_eq!(hooks.over(later - 2 * EARLY_US, 10).unwrap().len(), 0, "its hour isn't over");
    assert_eq!(hooks.over(later, 10).unwrap().len(), 1, "nobody is tried by that upstream");
}

#[test]
fn each_request_of_a_message_is_found_by_its_own_name_and_by_its_own_upstream_alone() {
    let bench = bench();
    let mut vault = bench.run();
    test(async {
        let to = ["a@example.org", "b@example.org", "c@example.org", "d@example.org"];
        let (mut courier, job, _) = offered(&bench, &mut vault, &to, b"x\r\n").await;
        courier.content(job).await;
        for (number, reference) in [(0, "em_1"), (1, "em_1"), (2, "em_2"), (3, "em_3")] {
            courier.say(job, number, taken(reference)).await;
        }
        courier.settled(job).await;
        let mut poster = Poster::new(&mut vault);
        for (hook, call, kind, reference, named) in [
            // Nobody else's message, and nobody whom it doesn't have.
            ("other", "call_1", "bounced", "em_2", &["c@example.org"][..]),
            ("bytesend", "call_2", "bounced", "em_2", &["a@example.org", "eve@example.org"]),
            ("bytesend", "call_3", "bounced", "em_3", &["d@example.org"]),
            // Two went with one request: it may be either.
            ("bytesend", "call_4", "bounced", "em_1", &["a@example.org", "b@example.org"]),
        ] {
            let body = event(call, kind, reference, named);
            assert_eq!(poster.post(&bench, hook, &body).await, Verdict::Taken, "{call}");
        }
    });
    vault.drain();
    assert_eq!(bench.count(STATES), 3323);
    assert_eq!(bench.count("SELECT count(*) FROM spool_rcpt WHERE doubt = 1 AND n < 2"), 2);
    assert_eq!(bench.count("SELECT count(*) FROM suppression"), 1, "of whom it is known");
    let mut told = feedback(&bench);
    told.sort_unstable();
    assert_eq!(told, ["bounced", "bounced", "bounced", "unattributable", "unattributable"]);
}

#[test]
fn who_went_in_bcc_may_be_whom_it_is_about_and_what_was_delivered_no_answering_machine_takes_back() {
    let bench = bench();
    let mut vault = bench.run();
    test(async {
        let to = ["a@example.org", "bcc@example.org", "c@example.org", "d@example.org"];
        let (mut courier, job, _) = offered(&bench, &mut vault, &to, b"x\r\n").await;
        courier.content(job).await;
        for (number, reference) in [(0, "em_1"), (1, "em_1"), (2, "em_2"), (3, "em_3")] {
            courier.say(job, number, taken(reference)).await;
        }
        courier.settled(job).await;
        let mut poster = Poster::new(&mut vault);
        let soft = |body: String| body.replace("Permanent", "Transient").replace("NoEmail", "General");
        for body in [
            event("call_1", "bounced", "em_1", &["a@example.org"]),
            event("call_2", "delivered", "em_2", &["c@example.org"]),
            soft(event("call_3", "bounced", "em_2", &["c@example.org"])),
            soft(event("call_4", "bounced", "em_3", &["d@example.org"])),
            event("call_5", "delivered", "em_3", &["d@example.org"]),
        ] {
            assert_eq!(poster.post(&bench, "bytesend", &body).await, Verdict::Taken, "{body}");
        }
    });
    vault.drain();
    assert_eq!(bench.count(STATES), 3323);
    assert_eq!(bench.count("SELECT count(*) FROM spool_rcpt WHERE state = 3 AND doubt = 1"), 3, "none is sure");
    let unsure =
        "SELECT count(*) FROM spool_rcpt WHERE said LIKE '% (the provider does not say of which of 2 recipients)'";
    assert_eq!(bench.count(unsure), 2);
    assert_eq!(bench.count("SELECT count(*) FROM suppression"), 0);
}

#[test]
fn nobody_is_told_by_mail_whose_credential_wants_none_and_what_is_forgotten_is_no_error() {
    let mut bench = bench();
    bench.slice.credentials[0].policy.reports = Reports::None;
    let mut vault = bench.run();
    test(async {
        let (mut courier, job, _) = offered(&bench, &mut vault, &["rosa@example.org"], b"x\r\n").await;
        courier.content(job).await;
        courier.say(job, 0, taken("em_1")).await;
        courier.settled(job).await;
        let mut poster = Poster::new(&mut vault);
        let body = event("call_1", "suppressed", "em_1", &["rosa@example.org"]);
        assert_eq!(poster.post(&bench, "bytesend", &body).await, Verdict::Taken);
    });
    vault.drain();
    assert_eq!((bench.count(STATES), bench.told("dsn.sent")), (3, 0));
    bench.count("DELETE FROM spool_msg RETURNING 1");
    let mut vault = bench.run();
    test(async {
        let mut poster = Poster::new(&mut vault);
        for n in 0..9 {
            let body = event(&format!("late_{n}"), "bounced", "em_1", &["rosa@example.org"]);
            assert_eq!(poster.post(&bench, "bytesend", &body).await, Verdict::Taken, "never an error");
        }
    });
    vault.drain();
    let told = feedback(&bench);
    assert!(told.iter().filter(|word| *word == "unattributable").count() <= 2, "{told:?}: it is bounded");
    assert!(told.iter().any(|word| word == "unattributable"), "{told:?}");
}

#[test]
fn what_is_not_signed_has_one_answer_and_counts_against_its_network() {
    let bench = bench();
    let mut vault = bench.run();
    test(async {
        let mut poster = Poster::new(&mut vault);
        let body = event("call_1", "opened", "em_1", &["rosa@example.org"]);
        let now = now_us() / 1000;
        let at = |then: u64| then.to_string();
        let (early, late) = (at(now - 310_000), at(now + 310_000));
        for (n, (hook, secret, timestamp)) in [
            ("bytesend", "whsec_00000000000000000000000000000000", at(now)),
            ("nothing", SECRET, at(now)),
            ("", SECRET, at(now)),
            ("bytesend", SECRET, early),
            ("bytesend", SECRET, late),
            ("bytesend", SECRET, "x".into()),
        ]
        .into_iter()
        .enumerate()
        {
            let peer = format!("198.51.{n}.1");
            let verdict = poster.post_as(&bench, &peer, hook, sign(secret, &timestamp, &body), &timestamp, &body).await;
            assert_eq!(verdict, Verdict::Unsigned, "{n}");
        }
        // While the secret changes, and what can't be read though it is signed.
        let right = sign(OLD, &at(now), &body);
        assert_eq!(
            poster.post_as(&bench, "203.0.113.1", "bytesend", right.clone(), &at(now), &body).await,
            Verdict::Taken
        );
        assert_eq!(poster.post(&bench, "bytesend", "no JSON").await, Verdict::Unreadable);
        assert_eq!(poster.post(&bench, "bytesend", "").await, Verdict::Unreadable);
        // Guesses have an end. Then nothing is looked at; but where the provider is at home, what is signed is taken.
        let wrong = sign("whsec_00000000000000000000000000000000", &at(now), &body);
        for peer in ["198.51.100.7", "203.0.113.1"] {
            let mut verdicts = Vec::new();
            for _ in 0..25 {
                verdicts.push(poster.post_as(&bench, peer, "bytesend", wrong.clone(), &at(now), &body).await);
            }
            assert_eq!(verdicts[0], Verdict::Unsigned);
            assert!(matches!(verdicts[24], Verdict::Wait(_)), "{peer}: {verdicts:?}");
        }
        let refused = poster.post_as(&bench, "198.51.100.7", "bytesend", right.clone(), &at(now), &body).await;
        assert!(matches!(refused, Verdict::Wait(_)), "{refused:?}");
        assert_eq!(poster.post_as(&bench, "203.0.113.1", "bytesend", right, &at(now), &body).await, Verdict::Taken);
    });
    vault.drain();
    assert!(bench.told("auth.failure") >= 6 && bench.told("auth.locked") >= 1);
    let failed = bench.events(&Filter { event: Some("auth.failure".into()), ..Filter::default() });
    assert_eq!(failed[0].get("reason"), Some("hook-not-signed"));
}

#[test]
fn an_edge_that_says_more_than_it_announced_or_out_of_its_moment_ends_that_session() {
    let bench = bench();
    let mut vault = bench.run();
    test(async {
        let mut edge = vault.edge();
        let posted = |length| Box::new(Posted { length, ..Posted::default() });
        let body = |slot, octets: &[u8]| Ask::Body { slot, octets: Octets(octets.to_vec()) };
        for n in 0u32..6 {
            let slot = Slot(n);
            let capsule = bench.capsule(edge.instance, if n == 5 { 1 } else { 4 }, "192.0.2.9");
            edge.ask(Ask::Open { slot, capsule, via: Via::Direct }).await;
            let asks = match n {
                0 => vec![Ask::Hook { slot, posted: posted(64 * 1024 + 1) }],
                1 => vec![Ask::Hook { slot, posted: posted(3) }, body(slot, b"four")],
                2 => vec![Ask::Hook { slot, posted: posted(3) }, body(slot, b"")],
                3 => vec![body(slot, b"x")],
                4 => vec![Ask::Hook { slot, posted: posted(3) }, Ask::Hook { slot, posted: posted(3) }],
                // Over SMTP there are none.
                _ => vec![Ask::Hook { slot, posted: posted(3) }],
            };
            for ask in asks {
                edge.asks.send(ask).await.unwrap();
            }
            let ended = edge.answer().await;
            assert!(matches!(ended, Answer::Ended { .. }), "{n}: {ended:?}");
        }
    });
    vault.drain();
    assert_eq!(bench.told("ipc.violation"), 6);
}
