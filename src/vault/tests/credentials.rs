//! Credentials while the vault runs: what a client learns, what open sessions may, and what the log says.

use std::collections::BTreeSet;

use super::*;
use crate::ipc::admin::credential::{Command as Wish, Material, Queue, Response as Reply};
use crate::policy::mask::Mask;
use crate::policy::scope::Scope;
use crate::vault::login::key;
use crate::vault::login::line::Claim;

/// An administrator's connection.
pub struct Admin {
    commands: Sender<Request>,
    responses: Receiver<Response>,
}

impl Admin {
    pub fn new(vault: &Running) -> Self {
        let (ours, theirs) = stream();
        vault.parent.send(&Order::File(Handed::Administrator(0)), Some(theirs.as_fd())).unwrap();
        let (commands, responses) = channel::open(ours, &Sealed::for_tests()).unwrap();
        Self { commands, responses }
    }

    pub async fn ask(&mut self, command: Wish) -> Response {
        let command = Command::Credential(command);
        self.commands.send(Request { behalf: None, command }).await.unwrap();
        self.responses.receive().await.unwrap().unwrap()
    }

    pub async fn secret(&mut self, command: Wish) -> (String, Secret<String>) {
        match self.ask(command).await {
            Response::Credential(Reply::Secret { key, secret, .. }) => (key, secret),
            other => panic!("{other:?}"),
        }
    }

    async fn done(&mut self, command: Wish) {
        let said = self.ask(command).await;
        assert!(matches!(said, Response::Credential(Reply::Changed { .. })), "{said:?}");
    }
}

pub fn policy() -> Policy {
    Policy { senders: vec!["@example.net".parse().unwrap()], ..Policy::default() }
}

pub fn add(id: &str, policy: Policy) -> Wish {
    Wish::Add { id: id.into(), policy: Box::new(policy), scram: false }
}

fn denied(answer: &Answer) -> bool {
    matches!(answer, Answer::Denied { denial: Denial::Invalid, .. })
}

#[test]
fn rule_a9_whatever_is_in_the_way_a_client_gets_one_answer_for_one_hash_and_the_log_the_reason() {
    let mut bench = Bench::new();
    let (key, wired) = key::generate().unwrap();
    let hash = crate::vault::login::hashing::hash_here(&wired).unwrap();
    bench.slice.credentials.push(Declared {
        id: "wired".into(),
        secrets: vec![DeclaredSecret { key, hash, scram: None }],
        certificates: vec!["dns:till.example.net".parse().unwrap()],
        policy: policy(),
        enabled: true,
    });
    let mut vault = bench.run();
    test(async {
        let mut admin = Admin::new(&vault);
        let mut edge = vault.edge();
        edge.login(&bench, 1).await;
        let mut guesses = Vec::new();
        let near = vec!["198.51.100.0/24".parse().unwrap()];
        for (id, policy) in [
            ("off", policy()),
            ("over", Policy { expires_us: Some(1), ..policy() }),
            ("elsewhere", Policy { networks: near, ..policy() }),
            ("web", Policy { scopes: crate::policy::scope::Scopes([Scope::Send].into()), ..policy() }),
        ] {
            guesses.push((id, admin.secret(add(id, policy)).await.1));
        }
        let off = guesses[0].1.clone();
        // Known by the vault from before it was disabled: that spares it no work.
        let mut other = vault.edge();
        other.login(&bench, 1).await;
        assert!(matches!(other.password(1, "off", &off).await, Answer::Granted { .. }));
        admin.done(Wish::Disable { id: "off".into(), queue: Queue::Deliver }).await;
        let guess = Secret::new("guess".to_owned());
        guesses.extend([
            ("wired", wired.clone()),
            ("wired", guess.clone()),
            ("shop", guess.clone()),
            ("nobody", guess),
        ]);
        for (id, secret) in &guesses {
            let before = vault.pace.answers();
            let answer = edge.password(1, id, secret).await;
            assert!(denied(&answer), "{id}: {answer:?}");
            assert_eq!(vault.pace.answers(), before + 1, "{id}: as much work as for any other");
        }
        // What shows itself to be no key of anybody's is not worked on, and takes as long as what was.
        let slow = Duration::from_millis(300);
        for claim in [Claim::New, Claim::Failed].into_iter().cycle().take(32) {
            vault.pace.note(claim, slow);
        }
        let (strange, before) = (key::generate().unwrap().1, vault.pace.answers());
        for user in ["shop", "nobody", "off"] {
            let begun = std::time::Instant::now();
            let answer = edge.password(1, user, &strange).await;
            assert!(denied(&answer), "{user}: {answer:?}");
            assert!(begun.elapsed() >= slow, "{user}");
        }
        assert_eq!(vault.pace.answers(), before);
        // Enabled again it is let in, also without being hashed anew.
        admin.done(Wish::Enable { id: "off".into() }).await;
        for _ in 0..2 {
            let answer = edge.password(1, "off", &off).await;
            assert!(matches!(answer, Answer::Granted { .. }), "{answer:?}");
        }
    });
    vault.drain();
    let failures = bench.events(&Filter { event: Some("auth.failure".into()), ..Filter::default() });
    let reasons: Vec<_> = failures.iter().map(|event| event.get("reason").unwrap().to_owned()).collect();
    let wrong = "wrong-name-or-password";
    let known = ["disabled", "expired", "network", "scope", "certificate"];
    assert_eq!(reasons, [&known[..], &[wrong; 6]].concat());
}

#[test]
fn a_credentials_own_mask_holds_for_its_events_from_the_change_on_and_for_nobody_elses() {
    let bench = Bench::new();
    let mut vault = bench.run();
    test(async {
        let mut admin = Admin::new(&vault);
        let mut edges = [vault.edge(), vault.edge(), vault.edge()];
        for edge in &mut edges {
            assert!(matches!(edge.login(&bench, 1).await, Answer::Granted { .. }));
        }
        let open = Policy { mask: Some(Mask::None), ..policy() };
        let (_, secret) = admin.secret(add("board", open)).await;
        for (edge, mask) in edges.iter_mut().zip(["\"full\"", "null", "\"none\""]) {
            assert!(matches!(edge.password(1, "board", &secret).await, Answer::Granted { .. }));
            admin.done(Wish::Set { id: "board".into(), patch: format!("{{\"mask\":{mask}}}") }).await;
        }
    });
    vault.drain();
    let logins = bench.events(&Filter { event: Some("auth.success".into()), ..Filter::default() });
    let of = |account: &str| -> Vec<_> {
        let own = logins.iter().filter(|login| login.get("account") == Some(account));
        own.map(|login| login.get("client_ip").unwrap()).collect()
    };
    assert_eq!(of("board"), ["192.0.2.1", "***", "192.0.2.0/24"]);
    assert!(!of("shop").is_empty() && of("shop").iter().all(|seen| *seen == "192.0.2.0/24"), "{:?}", of("shop"));
}

#[test]
fn rotation_keeps_both_secrets_until_one_is_retired_and_then_its_sessions_end() {
    let bench = Bench::new();
    let mut vault = bench.run();
    test(async {
        let mut admin = Admin::new(&vault);
        let mut edge = vault.edge();
        let (one, first) = admin.secret(add("till", policy())).await;
        for slot in [1, 2] {
            edge.login(&bench, slot).await;
        }
        let granted = |answer: Answer| assert!(matches!(answer, Answer::Granted { .. }), "{answer:?}");
        granted(edge.password(1, "till", &first).await);
        assert!(matches!(edge.mail(1, "a@example.net").await, Answer::Reserved { .. }));
        let (_, second) = admin.secret(Wish::Rotate { id: "till".into(), overlap: None, scram: false }).await;
        granted(edge.password(2, "till", &second).await);
        // The session of the first secret goes on in the middle of its message.
        edge.asks.send(Ask::Recipients { slot: Slot(1), batch: vec![address("x@example.org").into()] }).await.unwrap();
        let credit = edge.ask(Ask::Content { slot: Slot(1) }).await;
        assert!(matches!(credit, Answer::Credit { .. }), "{credit:?}");

        let retire = Wish::Retire { id: "till".into(), key: Some(one), queue: Queue::Deliver };
        admin.done(retire).await;
        let told = edge.answer().await;
        assert!(matches!(told, Answer::Revoked { slot: Slot(1) }), "{told:?}");
        let facts = Facts { authors: vec![address("a@example.net")], ..Facts::default() };
        let refused = edge.ask(Ask::Commit { slot: Slot(1), facts }).await;
        assert!(matches!(refused, Answer::Refused { refusal: Refusal::Revoked, .. }), "{refused:?}");
        assert!(denied(&edge.password(1, "till", &first).await));
        let kept = edge.submit(2, &["x@example.org"], b"x\r\n").await;
        assert!(matches!(kept, Answer::Kept { .. }), "{kept:?}");
    });
    vault.drain();
}

#[test]
fn an_end_that_comes_by_itself_ends_open_sessions_and_is_written_down_once() {
    let bench = Bench::new();
    let mut vault = bench.run();
    test(async {
        let mut admin = Admin::new(&vault);
        let mut edge = vault.edge();
        edge.login(&bench, 1).await;
        let (_, secret) = admin.secret(add("till", policy())).await;
        let answer = edge.password(1, "till", &secret).await;
        assert!(matches!(answer, Answer::Granted { .. }), "{answer:?}");
        admin.secret(Wish::Rotate { id: "till".into(), overlap: Some(Duration::from_millis(500)), scram: false }).await;
        let told = edge.answer().await;
        assert!(matches!(told, Answer::Revoked { slot: Slot(1) }), "{told:?}");
        let refused = edge.mail(1, "a@example.net").await;
        assert!(matches!(refused, Answer::Refused { refusal: Refusal::Revoked, .. }), "{refused:?}");
        assert!(denied(&edge.password(1, "till", &secret).await));
    });
    vault.drain();
    // Another run looks as soon as it begins, and finds it written down.
    bench.run().drain();
    let ends = bench.events(&Filter { event: Some("credential.expire".into()), ..Filter::default() });
    let accounts: Vec<_> = ends.iter().map(|event| event.get("account")).collect();
    assert_eq!(accounts, [Some("till")]);
}

#[test]
fn the_size_and_the_scope_of_a_credential_hold_whatever_an_edge_lets_pass() {
    let mut bench = Bench::new();
    bench.slice.credentials[0].policy.max_size = Some(20_000);
    let mut vault = bench.run();
    test(async {
        let mut edge = vault.edge();
        edge.login(&bench, 1).await;
        let (sender, helo) = (Some(address("a@example.net")), "client.example.net".to_owned());
        let mail = |size| Ask::Mail {
            slot: Slot(1),
            sender: sender.clone(),
            size: Some(size),
            manner: Manner::default(),
            helo: helo.clone(),
            tls: None,
            once: None,
        };
        let refused = edge.ask(mail(30_000)).await;
        assert!(matches!(refused, Answer::Refused { refusal: Refusal::TooBig, .. }), "{refused:?}");
        let refused = edge.submit(1, &["x@example.org"], &[b'x'; 30_000]).await;
        assert!(matches!(refused, Answer::Refused { refusal: Refusal::TooBig, .. }), "{refused:?}");
        let kept = edge.submit(1, &["x@example.org"], &[b'x'; 20_000]).await;
        assert!(matches!(kept, Answer::Kept { .. }), "{kept:?}");

        // A key for SMTP alone on an HTTP listener.
        let mut slice = bench.slice.clone();
        slice.credentials[0].policy.scopes.0 = BTreeSet::from([Scope::Smtp]);
        vault.switch(&slice, Generation(2));
        assert!(matches!(edge.answer().await, Answer::Revoked { .. }));
        let capsule = bench.capsule(edge.instance, 4, "192.0.2.1");
        edge.ask(Ask::Open { slot: Slot(2), capsule, via: Via::Direct }).await;
        let password = bench.password.clone();
        let (mechanism, user) = (Mechanism::Bearer, String::new());
        let granted = edge.ask(Ask::Login { slot: Slot(2), mechanism, user, password, tls: None }).await;
        assert!(matches!(granted, Answer::Granted { .. }), "{granted:?}");
        let left = edge.mail(2, "a@example.net").await;
        assert!(matches!(left, Answer::Allowance { .. }), "{left:?}");
        let refused = edge.answer().await;
        assert!(matches!(refused, Answer::Refused { refusal: Refusal::Scope, .. }), "{refused:?}");
    });
    vault.drain();
}

#[test]
fn row_37_a_right_secret_by_a_mechanism_that_the_listener_does_not_offer_is_no_login() {
    let mut bench = Bench::new();
    bench.slice.listeners[0].mechanisms = vec![Mechanism::Login];
    let mut vault = bench.run();
    test(async {
        let mut edge = vault.edge();
        let refused = edge.login(&bench, 1).await;
        assert!(matches!(refused, Answer::Denied { denial: Denial::Invalid, .. }), "{refused:?}");
        let (mechanism, user, password) = (Mechanism::Login, "shop".to_owned(), bench.password.clone());
        let granted = edge.ask(Ask::Login { slot: Slot(1), mechanism, user, password, tls: None }).await;
        assert!(matches!(granted, Answer::Granted { .. }), "{granted:?}");
    });
    vault.drain();
    let failures = bench.events(&Filter { event: Some("auth.failure".into()), ..Filter::default() });
    let reasons: Vec<_> = failures.iter().map(|event| event.get("reason")).collect();
    assert_eq!(reasons, [Some("mechanism-not-offered")]);
}

#[test]
fn row_36_a_token_is_the_key_of_whom_it_names_or_of_nobody() {
    let mut bench = Bench::new();
    bench.slice.listeners[0].mechanisms = vec![Mechanism::OauthBearer, Mechanism::Xoauth2];
    let mut vault = bench.run();
    test(async {
        let mut edge = vault.edge();
        edge.login(&bench, 1).await;
        let other = login::key::of(login::key::id(bench.password.expose()).unwrap());
        for (mechanism, user, password, is_right) in [
            (Mechanism::Xoauth2, "printer", &bench.password, false),
            (Mechanism::OauthBearer, "nobody", &bench.password, false),
            (Mechanism::OauthBearer, "shop", &other, false),
            (Mechanism::Xoauth2, "shop", &bench.password, true),
            (Mechanism::OauthBearer, "", &bench.password, true),
            // It is remembered by now, and still nobody else's.
            (Mechanism::Xoauth2, "printer", &bench.password, false),
        ] {
            let (user, password) = (user.to_owned(), password.clone());
            let slot = Slot(1);
            let answer = edge.ask(Ask::Login { slot, mechanism, user: user.clone(), password, tls: None }).await;
            let granted = matches!(answer, Answer::Granted { .. });
            assert_eq!(granted, is_right, "{mechanism:?} {user:?} {answer:?}");
            assert!(granted || matches!(answer, Answer::Denied { denial: Denial::Invalid, .. }), "{answer:?}");
        }
    });
    vault.drain();
    let failures = bench.events(&Filter { event: Some("auth.failure".into()), ..Filter::default() });
    let told: Vec<_> = failures.iter().map(|event| (event.get("reason"), event.get("account"))).collect();
    let wrong = (Some("wrong-name-or-password"), Some("shop"));
    assert_eq!(told, [(Some("mechanism-not-offered"), Some("shop")), wrong, wrong, wrong, wrong]);
}

#[test]
fn a_client_that_leaves_before_its_answer_is_written_down() {
    let bench = Bench::new();
    let mut vault = bench.run();
    test(async {
        let mut edge = vault.edge();
        edge.login(&bench, 1).await;
        let (mechanism, user, password) = (Mechanism::Plain, "nobody".to_owned(), Secret::new("guess".to_owned()));
        edge.asks.send(Ask::Login { slot: Slot(1), mechanism, user, password, tls: None }).await.unwrap();
        edge.asks.send(Ask::Close { slot: Slot(1) }).await.unwrap();
        // Whatever is heard after it was heard after the goodbye.
        assert!(matches!(edge.login(&bench, 2).await, Answer::Granted { .. }));
    });
    vault.drain();
    let failures = bench.events(&Filter { event: Some("auth.failure".into()), ..Filter::default() });
    let reasons: Vec<_> = failures.iter().map(|event| event.get("reason")).collect();
    assert_eq!(reasons, [Some("client-left")]);
}

#[test]
fn an_id_and_a_key_live_in_one_place_only() {
    let mut bench = Bench::new();
    let vault = bench.run();
    let shop = bench.slice.credentials[0].clone();
    let twice = Declared { id: "billing".into(), secrets: Vec::new(), ..shop.clone() };
    let key = test(async {
        let mut admin = Admin::new(&vault);
        let material = Material::Hash(shop.secrets[0].hash.clone());
        let import = Wish::Import {
            id: "till".into(),
            policy: Box::new(policy()),
            key: Some(shop.secrets[0].key.clone()),
            material,
            scram: false,
        };
        let refused = admin.ask(import).await;
        assert!(
            matches!(&refused, Response::Refused { reason } if reason.contains("of the configuration")),
            "{refused:?}"
        );
        admin.secret(add("billing", policy())).await.0
    });
    let stolen =
        Declared { id: "till".into(), secrets: vec![DeclaredSecret { key, ..shop.secrets[0].clone() }], ..shop };
    for (declared, advice) in [(twice.clone(), "credential remove billing"), (stolen, "choose another")] {
        let mut slice = bench.slice.clone();
        slice.credentials.push(declared);
        vault.switch(&slice, Generation(2));
        let refused = loop {
            match vault.parent.receive().unwrap() {
                Arrival::Packet(Packet { message: Report::Failed { reason }, .. }) => break reason,
                Arrival::Packet(packet) => assert!(!matches!(packet.message, Report::Switched(_)), "{advice}"),
                other => panic!("{other:?}"),
            }
        };
        assert!(refused.contains(advice), "{refused}");
    }
    vault.drain();
    // A start can't refuse it: the file's holds, and the vault's can go.
    bench.slice.credentials.push(twice);
    let vault = bench.run();
    test(async {
        let mut admin = Admin::new(&vault);
        admin.done(Wish::Remove { id: "billing".into(), queue: Queue::Deliver }).await;
        let refused = admin.ask(Wish::Remove { id: "billing".into(), queue: Queue::Deliver }).await;
        assert!(matches!(&refused, Response::Refused { reason } if reason.contains("change it there")), "{refused:?}");
    });
    vault.drain();
}
