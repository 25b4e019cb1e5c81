//! SCRAM at the vault, as an edge passes it on: what is asked, what is believed, and what is counted and written down.

mod silence;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::*;
use crate::ipc::session::Exported;
use crate::policy::derived::{ITERATIONS, Keys, Salt, head};
use crate::vault::login::proof;

const EXPORTED: Exported = [9; 32];
const USUAL: &str = "n,,n=shop,r=abc";

/// A bench whose credential may log in by SCRAM at the first listener, with this keys of its secret.
fn bench() -> (Bench, Keys) {
    let mut bench = Bench::new();
    let keys = proof::derive(&bench.password, None).unwrap();
    bench.slice.credentials[0].secrets[0].scram = Some(keys.text());
    bench.slice.listeners[0].mechanisms = vec![Mechanism::ScramSha256Plus, Mechanism::ScramSha256, Mechanism::Plain];
    (bench, keys)
}

/// What a client does with a challenge, and may do wrong.
struct Client<'a> {
    secret: &'a Secret<String>,
    header: &'a str,
    /// What it takes for the octets that its TLS is bound by.
    bound: &'a [u8],
    /// Behind both nonces.
    nonce: &'a str,
}

impl Client<'_> {
    /// Its proof, and what it expects of us.
    fn answer(&self, first: &str, challenge: &str) -> (String, Salt) {
        let [nonce, salt, iterations] = *challenge.split(',').collect::<Vec<_>>() else { panic!("{challenge}") };
        let how = format!("{}:{}", iterations.strip_prefix("i=").unwrap(), salt.strip_prefix("s=").unwrap());
        let (iterations, salt) = head(&how).unwrap();
        let binding = STANDARD.encode([self.header.as_bytes(), self.bound].concat());
        let unproven = format!("c={binding},{nonce}{}", self.nonce);
        let bare = first.splitn(3, ',').nth(2).unwrap();
        let words = format!("{bare},{challenge},{unproven}");
        let proof = proof::prove(self.secret, iterations, salt, words.as_bytes());
        (format!("{unproven},p={}", STANDARD.encode(proof)), salt)
    }
}

impl Edge {
    async fn opened(&mut self, bench: &Bench, slot: u32, from: &str) {
        let capsule = bench.capsule(self.instance, 1, from);
        let opened = self.ask(Ask::Open { slot: Slot(slot), capsule, via: Via::Direct }).await;
        assert!(matches!(opened, Answer::Opened { .. }), "{opened:?}");
    }

    async fn begin(&mut self, mechanism: Mechanism, first: &str, exported: Option<Exported>) -> Answer {
        let (slot, message) = (Slot(1), Secret::new(first.as_bytes().to_vec()));
        self.ask(Ask::Scram { slot, mechanism, message, exported, tls: None }).await
    }

    async fn respond(&mut self, message: &str) -> Answer {
        self.ask(Ask::Respond { slot: Slot(1), message: Secret::new(message.as_bytes().to_vec()) }).await
    }

    /// All of a login as this name; what came of it, and the salt that was asked for.
    async fn prove(&mut self, user: &str, secret: &Secret<String>) -> (Answer, Option<Salt>) {
        let client = Client { secret, header: "n,,", bound: b"", nonce: "" };
        self.prove_as(Mechanism::ScramSha256, &format!("n,,n={user},r=abc"), None, &client).await
    }

    async fn prove_as(
        &mut self,
        mechanism: Mechanism,
        first: &str,
        exported: Option<Exported>,
        client: &Client<'_>,
    ) -> (Answer, Option<Salt>) {
        let challenge = match self.begin(mechanism, first, exported).await {
            Answer::Challenge { message, .. } => String::from_utf8(message.0).unwrap(),
            answer => return (answer, None),
        };
        let (last, salt) = client.answer(first, &challenge);
        match self.respond(&last).await {
            Answer::Challenge { message, .. } => {
                assert!(message.0.starts_with(b"v="));
                (self.respond("").await, Some(salt))
            }
            answer => (answer, Some(salt)),
        }
    }
}

fn granted(answer: &Answer) -> bool {
    matches!(answer, Answer::Granted { .. })
}

fn denied(answer: &Answer) -> bool {
    matches!(answer, Answer::Denied { denial: Denial::Invalid, .. })
}

fn failures(bench: &Bench) -> Vec<(String, String)> {
    let found = bench.events(&Filter { event: Some("auth.failure".into()), ..Filter::default() });
    let word = |event: &Found, name: &str| event.get(name).unwrap_or_default().to_owned();
    found.iter().map(|event| (word(event, "reason"), word(event, "data"))).collect()
}

#[test]
fn rule_a17_who_proves_its_secret_is_let_in_and_we_prove_that_we_know_it() {
    let (bench, keys) = bench();
    let mut vault = bench.run();
    test(async {
        let mut edge = vault.edge();
        edge.opened(&bench, 1, "192.0.2.1").await;
        let Answer::Challenge { message, .. } = edge.begin(Mechanism::ScramSha256, USUAL, None).await else { panic!() };
        let challenge = String::from_utf8(message.0).unwrap();
        assert!(challenge.starts_with("r=abc") && challenge.ends_with(&format!(",i={ITERATIONS}")), "{challenge}");
        let client = Client { secret: &bench.password, header: "n,,", bound: b"", nonce: "" };
        let (last, salt) = client.answer(USUAL, &challenge);
        assert_eq!(salt, keys.salt);
        let Answer::Challenge { message, .. } = edge.respond(&last).await else { panic!() };
        let words = format!("n=shop,r=abc,{challenge},{}", last.rsplit_once(",p=").unwrap().0);
        let ours = format!("v={}", STANDARD.encode(proof::signature(&keys, words.as_bytes())));
        assert_eq!(String::from_utf8(message.0).unwrap(), ours);
        let answer = edge.respond("").await;
        assert!(granted(&answer), "{answer:?}");
        assert!(matches!(edge.mail(1, "a@example.net").await, Answer::Reserved { .. }));
    });
    vault.drain();
    let logins = bench.events(&Filter { event: Some("auth.success".into()), ..Filter::default() });
    let told: Vec<_> = logins.iter().map(|event| (event.get("account"), event.get("data"))).collect();
    assert_eq!(told, [(Some("shop"), Some("{\"mechanism\":\"SCRAM-SHA-256\"}"))]);
}

#[test]
fn rule_a17_whatever_is_wrong_reads_the_same_and_the_log_has_the_reason() {
    let (mut bench, _) = bench();
    let stranger = Secret::new("another secret".to_owned());
    let twin = |id: &str, change: fn(&mut Declared)| {
        let mut twin = bench.slice.credentials[0].clone();
        (twin.id, twin.secrets[0].key) = (id.into(), format!("key{id}"));
        change(&mut twin);
        twin
    };
    let others = [
        twin("bare", |twin| twin.secrets[0].scram = None),
        twin("off", |twin| twin.enabled = false),
        twin("over", |twin| twin.policy.expires_us = Some(1)),
        twin("far", |twin| twin.policy.networks = vec!["198.51.100.0/24".parse().unwrap()]),
    ];
    bench.slice.credentials.extend(others);
    let mut vault = bench.run();
    let right = &bench.password;
    let mut salts = Vec::new();
    test(async {
        let mut edge = vault.edge();
        edge.opened(&bench, 1, "192.0.2.1").await;
        for (user, secret) in [
            ("shop", &stranger),
            ("nobody", right),
            ("nobody", right),
            ("bare", right),
            ("off", right),
            ("over", right),
            ("far", right),
        ] {
            let (answer, salt) = edge.prove(user, secret).await;
            assert!(denied(&answer), "{user}: {answer:?}");
            salts.push(salt.expect("every name is asked"));
        }
        assert!(salts[1] == salts[2] && salts[1] != salts[3] && salts[0] == salts[4]);
        let client = |header, nonce| Client { secret: right, header, bound: b"", nonce };
        for (first, client) in [
            (USUAL, client("n,,", "x")),
            (USUAL, client("y,,", "")),
            ("n,a=other,n=shop,r=abc", client("n,a=other,", "")),
        ] {
            let (answer, _) = edge.prove_as(Mechanism::ScramSha256, first, None, &client).await;
            assert!(denied(&answer), "{first}: {answer:?}");
        }
        assert!(matches!(edge.begin(Mechanism::ScramSha256, USUAL, None).await, Answer::Challenge { .. }));
        assert!(denied(&edge.respond("c=biws,r=abc").await));
        // More than nothing behind our own proof.
        let Answer::Challenge { message, .. } = edge.begin(Mechanism::ScramSha256, USUAL, None).await else { panic!() };
        let (last, _) = client("n,,", "").answer(USUAL, &String::from_utf8(message.0).unwrap());
        assert!(matches!(edge.respond(&last).await, Answer::Challenge { .. }));
        assert!(denied(&edge.respond("x").await));
        // A password that is said as if it were proven, and one that is said behind a proof.
        let (slot, user, password) = (Slot(1), "shop".to_owned(), right.clone());
        let said = Ask::Login { slot, mechanism: Mechanism::ScramSha256, user, password, tls: None };
        assert!(denied(&edge.ask(said).await));
        let acting = Client { secret: right, header: "n,a=shop,", bound: b"", nonce: "" };
        let (answer, _) = edge.prove_as(Mechanism::ScramSha256, "n,a=shop,n=shop,r=abc", None, &acting).await;
        assert!(granted(&answer), "as itself it may act: {answer:?}");
    });
    vault.drain();
    let told = failures(&bench);
    assert!(told.iter().all(|(_, data)| data == "{\"mechanism\":\"SCRAM-SHA-256\"}"), "{told:?}");
    let reasons: Vec<&str> = told.iter().map(|(reason, _)| reason.as_str()).collect();
    let wrong = "wrong-name-or-password";
    assert_eq!(
        reasons,
        [
            wrong,
            wrong,
            wrong,
            "no-scram-keys",
            "disabled",
            "expired",
            "network",
            wrong,
            "channel-binding",
            wrong,
            wrong,
            wrong,
            wrong
        ]
    );
}

#[test]
fn rule_a17_a_login_is_bound_to_its_tls_session_and_an_offer_that_was_taken_away_is_noticed() {
    let (bench, _) = bench();
    let mut vault = bench.run();
    let secret = &bench.password;
    test(async {
        let mut edge = vault.edge();
        edge.opened(&bench, 1, "192.0.2.1").await;
        let plus = Mechanism::ScramSha256Plus;
        let bare = Mechanism::ScramSha256;
        for (mechanism, header, exported, bound, is_right) in [
            (plus, "p=tls-exporter,,", Some(EXPORTED), &EXPORTED[..], true),
            (bare, "n,,", Some(EXPORTED), b"", true),
            (bare, "y,,", None, b"", true),
            // Another session's octets, none, and some where there are none.
            (plus, "p=tls-exporter,,", Some(EXPORTED), &[8; 32], false),
            (plus, "p=tls-exporter,,", Some(EXPORTED), b"", false),
            (plus, "p=tls-exporter,,", None, &EXPORTED, false),
            (bare, "n,,", Some(EXPORTED), &EXPORTED, false),
            // It was offered, and the client didn't see it.
            (bare, "y,,", Some(EXPORTED), b"", false),
            (plus, "p=tls-unique,,", Some(EXPORTED), &EXPORTED, false),
            (plus, "n,,", Some(EXPORTED), b"", false),
            (plus, "y,,", Some(EXPORTED), b"", false),
            (bare, "p=tls-exporter,,", Some(EXPORTED), &EXPORTED, false),
        ] {
            let client = Client { secret, header, bound, nonce: "" };
            let (answer, _) = edge.prove_as(mechanism, &format!("{header}n=shop,r=abc"), exported, &client).await;
            assert!(if is_right { granted(&answer) } else { denied(&answer) }, "{mechanism:?} {header} {answer:?}");
        }
    });
    vault.drain();
    let told = failures(&bench);
    assert_eq!(told.len(), 9);
    assert!(told.iter().all(|(reason, _)| reason == "channel-binding"), "{told:?}");
}

#[test]
fn rule_a17_rule_a11_guesses_count_before_anything_is_looked_at_and_so_do_those_that_are_given_up() {
    let (mut bench, _) = bench();
    bench.slice.limits.failed_logins.credential = [2, 100];
    let mut vault = bench.run();
    let stranger = Secret::new("a guess".to_owned());
    test(async {
        let mut edge = vault.edge();
        edge.opened(&bench, 1, "192.0.2.1").await;
        assert!(denied(&edge.prove("shop", &stranger).await.0));
        assert!(matches!(edge.begin(Mechanism::ScramSha256, USUAL, None).await, Answer::Challenge { .. }));
        edge.asks.send(Ask::Abort { slot: Slot(1) }).await.unwrap();
        let answer = edge.begin(Mechanism::ScramSha256, USUAL, None).await;
        assert!(matches!(answer, Answer::Denied { denial: Denial::Wait(_), .. }), "{answer:?}");
        // Nobody else's session hears of what was given up.
        assert!(denied(&edge.prove("nobody", &stranger).await.0));
    });
    vault.drain();
    let reasons: Vec<String> = failures(&bench).into_iter().map(|(reason, _)| reason).collect();
    assert_eq!(reasons, ["wrong-name-or-password", "client-left", "wrong-name-or-password"]);
}

#[test]
fn rule_a17_many_at_one_address_are_let_in_at_once_and_who_begins_without_end_keeps_out_nobody_at_home() {
    let (mut bench, _) = bench();
    let twin = Declared { id: "till".into(), ..bench.slice.credentials[0].clone() };
    let twin = Declared { secrets: vec![DeclaredSecret { key: "keytill".into(), ..twin.secrets[0].clone() }], ..twin };
    bench.slice.credentials.push(twin);
    let mut vault = bench.run();
    test(async {
        let mut edge = vault.edge();
        let client = Client { secret: &bench.password, header: "n,,", bound: b"", nonce: "" };
        let begin = async |edge: &mut Edge, slot: u32| {
            let capsule = bench.capsule(edge.instance, 1, "192.0.2.1");
            edge.ask(Ask::Open { slot: Slot(slot), capsule, via: Via::Direct }).await;
            let (mechanism, message) = (Mechanism::ScramSha256, Secret::new(b"n,,n=till,r=abc".to_vec()));
            edge.ask(Ask::Scram { slot: Slot(slot), mechanism, message, exported: None, tls: None }).await
        };
        let mut challenges = Vec::new();
        for slot in 101..=150 {
            let Answer::Challenge { message, .. } = begin(&mut edge, slot).await else { panic!("{slot}") };
            challenges.push((slot, String::from_utf8(message.0).unwrap()));
        }
        let Answer::Challenge { message, .. } = begin(&mut edge, 99).await else { panic!() };
        challenges.push((99, String::from_utf8(message.0).unwrap()));
        // The oldest has made room.
        let (slot, challenge) = challenges.remove(0);
        let message = Secret::new(client.answer("n,,n=till,r=abc", &challenge).0.into_bytes());
        let answer = edge.ask(Ask::Respond { slot: Slot(slot), message }).await;
        assert!(matches!(answer, Answer::Denied { denial: Denial::Busy, .. }), "{answer:?}");
        // One who is elsewhere, and by another way one who is here.
        edge.opened(&bench, 1, "192.0.2.2").await;
        assert!(granted(&edge.prove("shop", &bench.password).await.0));
        edge.asks.send(Ask::Close { slot: Slot(1) }).await.unwrap();
        edge.opened(&bench, 1, "192.0.2.1").await;
        assert!(granted(&edge.password(1, "shop", &bench.password).await));
        edge.asks.send(Ask::Close { slot: Slot(1) }).await.unwrap();
        edge.opened(&bench, 1, "192.0.2.1").await;
        let (answer, _) = edge.prove("shop", &bench.password).await;
        assert!(granted(&answer), "it is at home here now: {answer:?}");
        // All proofs come before any client says that it believes us.
        for (slot, challenge) in &challenges {
            let (last, _) = client.answer("n,,n=till,r=abc", challenge);
            let message = Secret::new(last.into_bytes());
            let answer = edge.ask(Ask::Respond { slot: Slot(*slot), message }).await;
            assert!(matches!(answer, Answer::Challenge { .. }), "{slot}: {answer:?}");
        }
        for (slot, _) in challenges {
            let answer = edge.ask(Ask::Respond { slot: Slot(slot), message: Secret::default() }).await;
            assert!(granted(&answer), "{slot}: {answer:?}");
        }
    });
    vault.drain();
    let busy = bench.events(&Filter { event: Some("auth.failure".into()), ..Filter::default() });
    let told: Vec<_> = busy.iter().map(|event| (event.get("reason"), event.get("data").unwrap())).collect();
    let [(Some("too-many-exchanges"), data)] = told[..] else { panic!("{told:?}") };
    assert!(data.contains("\"tier\":\"address\"") && data.contains("scram_exchanges"), "{data}");
}

#[test]
fn rule_a17_a_message_out_of_its_moment_ends_the_session() {
    let (bench, _) = bench();
    let mut vault = bench.run();
    test(async {
        let mut edge = vault.edge();
        let begin = || Ask::Scram {
            slot: Slot(1),
            mechanism: Mechanism::ScramSha256,
            message: Secret::new(USUAL.as_bytes().to_vec()),
            exported: None,
            tls: None,
        };
        let respond = || Ask::Respond { slot: Slot(1), message: Secret::default() };
        let malformed = Ask::Scram {
            slot: Slot(1),
            mechanism: Mechanism::ScramSha256,
            message: Secret::new(b"n,,n=shop".to_vec()),
            exported: None,
            tls: None,
        };
        for asks in [vec![respond()], vec![begin(), begin()], vec![malformed]] {
            edge.opened(&bench, 1, "192.0.2.1").await;
            for ask in asks {
                edge.asks.send(ask).await.unwrap();
            }
            let mut answer = edge.answer().await;
            while matches!(answer, Answer::Challenge { .. }) {
                answer = edge.answer().await;
            }
            assert!(matches!(answer, Answer::Ended { .. }), "{answer:?}");
            edge.asks.send(Ask::Close { slot: Slot(1) }).await.unwrap();
        }
    });
    vault.drain();
    let told = bench.events(&Filter { event: Some("ipc.violation".into()), ..Filter::default() });
    let words: Vec<_> = told.iter().map(|event| event.get("reason").unwrap()).collect();
    assert_eq!(words, ["response-out-of-order", "login-out-of-order", "scram-malformed"]);
}

#[test]
fn rule_a17_both_secrets_of_a_rotation_log_in_until_one_is_retired() {
    let (bench, _) = bench();
    let mut vault = bench.run();
    test(async {
        let mut admin = credentials::Admin::new(&vault);
        let mut edge = vault.edge();
        let policy = Policy { senders: vec!["@example.net".parse().unwrap()], ..Policy::default() };
        let add = credential::Command::Add { id: "till".into(), policy: Box::new(policy), scram: true };
        let rotate = credential::Command::Rotate { id: "till".into(), overlap: None, scram: true };
        let ((one, first), (_, second)) = (admin.secret(add).await, admin.secret(rotate).await);
        edge.opened(&bench, 1, "192.0.2.1").await;
        for secret in [&first, &second, &first] {
            assert!(granted(&edge.prove("till", secret).await.0));
        }
        let retire = credential::Command::Retire { id: "till".into(), key: Some(one), queue: credential::Queue::Hold };
        assert!(matches!(admin.ask(retire).await, Response::Credential(_)));
        assert!(matches!(edge.answer().await, Answer::Revoked { .. }));
        assert!(denied(&edge.prove("till", &first).await.0));
        assert!(granted(&edge.prove("till", &second).await.0));
    });
    vault.drain();
}
