//! What became of mail is told to the credential that sent it, and to nobody else.

mod cancel;
mod happenings;
mod labels;
mod list;
mod reschedule;
mod standings;
mod waits;

use super::*;
use crate::ipc::inquiry::{Finding, Inquiry, MOST_RECIPIENTS, Status, Submission};
use crate::policy::mask::Mask;
use crate::policy::scope::{Scope, Scopes};

impl Edge {
    async fn look(&mut self, slot: u32, message: MessageId) -> Option<Submission> {
        let asked = self.ask(Ask::Inquire { slot: Slot(slot), inquiry: Inquiry::Submission { message } }).await;
        let Answer::Found { finding: Finding::Submission(found), .. } = asked else { panic!("{asked:?}") };
        found.map(|found| *found)
    }

    /// Says something without waiting for an answer.
    async fn say(&mut self, ask: Ask) {
        self.asks.send(ask).await.unwrap();
    }

    async fn inquire(&mut self, slot: u32, inquiry: Inquiry) -> Finding {
        let asked = self.ask(Ask::Inquire { slot: Slot(slot), inquiry }).await;
        let Answer::Found { finding, .. } = asked else { panic!("{asked:?}") };
        finding
    }

    /// Looks until it stands so: what a courier says is written down a moment later.
    async fn look_until(&mut self, slot: u32, message: MessageId, status: Status) -> Submission {
        for _ in 0..1000 {
            let found = self.look(slot, message).await.expect("its own");
            if found.status == status {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(60)).await;
        }
        panic!("it never stands so: {status:?}")
    }

    async fn enter(&mut self, bench: &Bench, slot: u32, user: &str, password: &Secret<String>) {
        let capsule = bench.capsule(self.instance, 1, "192.0.2.1");
        self.ask(Ask::Open { slot: Slot(slot), capsule, via: Via::Direct }).await;
        let granted = self.password(slot, user, password).await;
        assert!(matches!(granted, Answer::Granted { .. }), "{granted:?}");
    }
}

fn kept(answer: Answer) -> MessageId {
    let Answer::Kept { message, .. } = answer else { panic!("{answer:?}") };
    message
}

/// Another credential beside the shop, with that policy.
fn beside(bench: &mut Bench, policy: Policy) -> Secret<String> {
    let (key, password) = login::key::generate().unwrap();
    let hash = hashing::hash_here(&password).unwrap();
    let secrets = vec![DeclaredSecret { key, hash, scram: None }];
    let other = Declared { id: "other".into(), secrets, policy, certificates: vec![], enabled: true };
    bench.slice.credentials.push(other);
    password
}

/// The states of the recipients in turn.
fn states(found: &Submission) -> Vec<Status> {
    found.recipients.iter().map(|one| one.status).collect()
}

#[test]
fn a_message_is_told_from_its_acceptance_to_its_end_and_after_a_restart() {
    let mut bench = Bench::new();
    bench.slice.retry = vec![HOUR];
    // Nobody is told what became of a copy.
    bench.slice.credentials[0].policy.always_bcc = vec![address("archive@example.net")];
    bench.slice.credentials[0].policy.mask = Some(Mask::None);
    let other = beside(&mut bench, Policy::default());
    let mut vault = bench.run();
    let mut message = MessageId::now();
    test(async {
        let mut edge = vault.edge();
        edge.login(&bench, 1).await;
        edge.enter(&bench, 2, "other", &other).await;
        message = kept(edge.submit(1, &["rosa@example.org", "emil@example.com", "ines@example.org"], b"x\r\n").await);
        let found = edge.look(1, message).await.expect("its own");
        assert_eq!(
            (found.message, found.status, found.count, found.ended_us),
            (message, Status::Received, Some(3), None)
        );
        assert_eq!((states(&found), found.size), (vec![Status::Received; 3], 3));
        assert_eq!(found.recipients[1].address, "emil@example.com");
        assert_eq!(edge.look(2, message).await, None, "another credential sees it");
        assert_eq!(edge.look(1, MessageId::now()).await, None);

        let mut courier = vault.courier().await;
        let (job, _, all, _) = courier.message().await;
        assert_eq!(all.len(), 4);
        let found = edge.look(1, message).await.expect("its own");
        assert_eq!((found.status, states(&found)), (Status::Started, vec![Status::Started; 3]));
        for (number, outcome) in [
            (0, Outcome::Delivered(said(250))),
            (1, Outcome::Failed(Said { text: "nobody\r\nhere".into(), ..said(550) })),
            (2, Outcome::Deferred(said(451))),
            // That is the copy.
            (3, Outcome::Deferred(said(452))),
        ] {
            courier.say(job, number, outcome).await;
        }
        courier.settled(job).await;
        let found = edge.look_until(1, message, Status::Deferred).await;
        assert_eq!(
            (found.status, states(&found)),
            (Status::Deferred, vec![Status::Accepted, Status::Failed, Status::Deferred])
        );
        assert_eq!((found.recipients[1].code, found.recipients[1].reply.as_deref()), (Some(550), Some("nobodyhere")));
        assert!(found.recipients[2].next_us.is_some() && found.recipients[0].next_us.is_none());
        assert_eq!(found.recipients[0].attempts, 1);
    });
    vault.drain();
    let mut vault = bench.run();
    test(async {
        let mut edge = vault.edge();
        edge.login(&bench, 1).await;
        let order = crate::ipc::admin::queue::Command::Do {
            deed: crate::ipc::admin::queue::Deed::Drop,
            which: crate::ipc::admin::queue::Which::Message(message),
            note: None,
        };
        let (commands, mut responses) = vault.administrator();
        commands.send(Request { behalf: None, command: Command::Queue(order) }).await.unwrap();
        responses.receive().await.unwrap().unwrap();
        let found = edge.look(1, message).await.expect("it is remembered");
        assert_eq!(states(&found), [Status::Accepted, Status::Failed, Status::Canceled]);
        assert_eq!(found.status, Status::Failed);
        assert!(found.ended_us.is_some() && found.recipients[2].reply.is_none());
    });
    vault.drain();
}

#[test]
fn addresses_stand_as_the_credentials_mask_has_them_and_an_answer_has_its_bound() {
    let mut bench = Bench::new();
    bench.slice.retry = vec![HOUR];
    let policy =
        Policy { senders: vec!["@example.net".parse().unwrap()], max_recipients: Some(500), ..Policy::default() };
    let other = beside(&mut bench, Policy { mask: Some(Mask::None), ..policy });
    let mut vault = bench.run();
    test(async {
        let mut edge = vault.edge();
        edge.login(&bench, 1).await;
        edge.enter(&bench, 2, "other", &other).await;
        let mut courier = vault.courier().await;
        let message = kept(edge.submit(1, &["rosa@example.org"], b"x\r\n").await);
        let (job, ..) = courier.message().await;
        courier.say(job, 0, Outcome::Deferred(Said { text: "rosa is away".into(), ..said(451) })).await;
        courier.settled(job).await;
        let found = edge.look_until(1, message, Status::Deferred).await;
        let one = &found.recipients[0];
        assert_eq!((one.address.as_str(), one.code, &one.reply), ("***@example.org", Some(451), &None));

        let longest = "x".repeat(50);
        let to: Vec<String> =
            (0..50).map(|n| format!("{longest}@{n}.{longest}.{longest}.{longest}.example.org")).collect();
        let to: Vec<&str> = to.iter().map(String::as_str).collect();
        let message = kept(edge.submit(2, &to, b"x\r\n").await);
        let (job, _, all, _) = courier.message().await;
        for (number, _) in &all {
            courier.say(job, *number, Outcome::Deferred(Said { text: "w".repeat(500), ..said(451) })).await;
        }
        courier.settled(job).await;
        let found = edge.look_until(2, message, Status::Deferred).await;
        assert_eq!(found.count, Some(50));
        assert!((10..MOST_RECIPIENTS).contains(&found.recipients.len()), "{}", found.recipients.len());
    });
    vault.drain();
}

#[test]
fn who_asks_out_of_turn_is_ended_and_whose_scopes_lack_it_is_refused() {
    let mut bench = Bench::new();
    let scopes = Scopes([Scope::Smtp].into_iter().collect());
    let other = beside(&mut bench, Policy { scopes, ..Policy::default() });
    let mut vault = bench.run();
    test(async {
        let mut edge = vault.edge();
        let inquiry = || Inquiry::Submission { message: MessageId::now() };
        let capsule = bench.capsule(edge.instance, 1, "192.0.2.1");
        edge.ask(Ask::Open { slot: Slot(1), capsule, via: Via::Direct }).await;
        let nobody = edge.ask(Ask::Inquire { slot: Slot(1), inquiry: inquiry() }).await;
        assert!(matches!(nobody, Answer::Ended { .. }), "{nobody:?}");
        edge.enter(&bench, 2, "other", &other).await;
        let refused = edge.ask(Ask::Inquire { slot: Slot(2), inquiry: inquiry() }).await;
        assert!(matches!(refused, Answer::Refused { refusal: Refusal::Scope, .. }), "{refused:?}");
        edge.login(&bench, 3).await;
        edge.mail(3, "a@example.net").await;
        let amid = edge.ask(Ask::Inquire { slot: Slot(3), inquiry: inquiry() }).await;
        assert!(matches!(amid, Answer::Ended { .. }), "{amid:?}");
    });
    vault.drain();
    let words: Vec<_> = bench.events(&Filter { event: Some("ipc.violation".into()), ..Filter::default() });
    assert_eq!(words.len(), 2);
}
