//! Who is who, what a login costs, and what still holds.

use super::*;

const NOW: u64 = 1_000;

fn secret(text: &str) -> Secret<String> {
    Secret::new(text.to_owned())
}

fn declared(id: &str, key: &str, networks: &[&str]) -> Declared {
    let identified_by = networks.iter().map(|network| network.parse().unwrap()).collect();
    let policy = Policy { identified_by, ..Policy::default() };
    let secrets = vec![DeclaredSecret { key: key.into(), hash: secret(&format!("hash of {id}")), scram: None }];
    Declared { id: id.into(), secrets, certificates: vec![], policy, enabled: true }
}

/// A credential of the vault with generated keys, each with its tag.
fn stored(id: &str, tagger: &Tagger, passwords: &[(&str, &Secret<String>)]) -> Stored {
    let key = |(key, password): &(&str, &Secret<String>)| stored::Key {
        id: (*key).to_owned(),
        phc: secret(&format!("hash of {key}")),
        scram: None,
        tag: Some(tagger.tag(password.expose())),
        created_us: 1,
        expires_us: None,
    };
    Stored {
        id: id.into(),
        policy: Policy::default(),
        generation: 1,
        created_us: 1,
        disabled_us: None,
        is_strange: false,
        keys: passwords.iter().map(key).collect(),
    }
}

fn phcs(candidates: &Candidates) -> Option<Vec<&str>> {
    Some(candidates.phcs.as_ref()?.iter().map(|(_, phc)| phc.expose().as_str()).collect())
}

#[test]
fn rule_a9_a_login_costs_one_hash_whoever_it_claims_to_be() {
    let (key, password) = key::generate().unwrap();
    let all = Credentials::new(&[declared("shop", &key, &[]), declared("billing", "other000", &[])], &[]);
    let (dummy, tagger) = (secret("dummy"), Tagger::new().unwrap());
    let ask =
        |mechanism, user: &str, password: &str| all.candidates(mechanism, user, password, &tagger, &dummy).unwrap();
    let password = password.expose().as_str();
    assert_eq!(phcs(&ask(Mechanism::Plain, "shop", password)), Some(vec!["hash of shop"]));
    assert_eq!(phcs(&ask(Mechanism::Bearer, "", password)), Some(vec!["hash of shop"]));
    assert_eq!(phcs(&ask(Mechanism::Login, "nobody", "guess")), Some(vec!["dummy"]));
    assert_eq!(phcs(&ask(Mechanism::Login, "billing", "guess")), Some(vec!["hash of billing"]));
    assert!(!ask(Mechanism::Login, "billing", "guess").is_tagged);
    assert!(all.candidates(Mechanism::Bearer, "", "guess", &tagger, &dummy).is_none());
}

#[test]
fn rule_a8_a_name_is_the_credentials_own_octets_or_nobodys() {
    let all = Credentials::new(&[declared("shop", "key00001", &[])], &[]);
    let (dummy, tagger) = (secret("dummy"), Tagger::new().unwrap());
    for (name, hash) in [("shop", "hash of shop"), ("Shop", "dummy"), ("shop ", "dummy"), ("shop@example.net", "dummy")]
    {
        let owner = all.owner(Mechanism::Plain, name, "guess").map(|owner| owner.id.as_str());
        assert_eq!(
            owner,
            (hash != "dummy").then_some("shop"),
            "{name}: it would be limited and logged under two names"
        );
        let asked = all.candidates(Mechanism::Plain, name, "guess", &tagger, &dummy).unwrap();
        assert_eq!(phcs(&asked), Some(vec![hash]), "{name}");
    }
}

#[test]
fn a_guess_at_a_generated_key_costs_nothing_whether_the_key_exists_or_not() {
    let tagger = Tagger::new().unwrap();
    let ((one, right), (two, second), (_, strange)) =
        (key::generate().unwrap(), key::generate().unwrap(), key::generate().unwrap());
    let all = Credentials::new(&[], &[stored("shop", &tagger, &[(&one, &right), (&two, &second)])]);
    let dummy = secret("dummy");
    let ask = |mechanism, user: &str, key: &str| all.candidates(mechanism, user, key, &tagger, &dummy).unwrap();
    for (mechanism, user) in [(Mechanism::Plain, "shop"), (Mechanism::Bearer, "")] {
        for (key, password) in [(&one, &right), (&two, &second)] {
            let candidates = ask(mechanism, user, password.expose());
            assert_eq!(phcs(&candidates), Some(vec![format!("hash of {key}").as_str()]));
            assert!(candidates.is_tagged);
            let credential = candidates.credential.clone().unwrap();
            assert_eq!(candidates.key(0), credential.keys.iter().find(|own| own.id == *key).map(|own| own.mark));
        }
    }
    // Well-formed keys with these ids and other secrets: one in 65,536 has the right tag.
    let guess = |id: &str| loop {
        let made = key::of(id);
        if tagger.tag(made.expose()) != tagger.tag(right.expose()) && tagger.tag(made.expose()) != tagger.nobody(id) {
            return made;
        }
    };
    for (mechanism, user, key) in [
        (Mechanism::Plain, "shop", guess(&one)),
        (Mechanism::Bearer, "", guess(&one)),
        (Mechanism::Plain, "shop", guess("zzzzzzzz")),
        (Mechanism::Bearer, "", guess("zzzzzzzz")),
        (Mechanism::Plain, "nobody", guess(&one)),
    ] {
        assert_eq!(phcs(&ask(mechanism, user, key.expose())), None, "{user}");
    }
    // Another's key.
    assert_ne!(phcs(&ask(Mechanism::Plain, "other", right.expose())), Some(vec!["hash of shop"]));
    assert!(ask(Mechanism::Bearer, "", strange.expose()).credential.is_none());
    // What isn't in the form of a generated key is compared with none, at the same cost as for a strange name.
    assert_eq!(phcs(&ask(Mechanism::Plain, "shop", "guess")), phcs(&ask(Mechanism::Plain, "nobody", "guess")));
}

#[test]
fn the_longest_prefix_names_the_device() {
    let mut disabled = declared("disabled", "c", &["10.2.0.0/16"]);
    disabled.enabled = false;
    let mut web = declared("web", "d", &["10.3.0.0/16"]);
    web.policy.scopes.0 = [Scope::Send].into();
    let all = Credentials::new(
        &[declared("floor", "a", &["10.0.0.0/8"]), declared("printer", "b", &["10.1.2.0/24"]), disabled, web],
        &[],
    );
    let of = |address: &str| all.of_network(address.parse().unwrap(), NOW).map(|credential| credential.id.as_str());
    assert_eq!(of("10.1.2.3"), Some("printer"));
    assert_eq!(of("::ffff:10.9.9.9"), Some("floor"));
    assert_eq!(of("192.0.2.1"), None);
    assert_eq!(of("10.2.0.1"), None, "the nearest one is disabled; the wider one does not step in for it");
    assert_eq!(of("10.3.0.1"), None, "not for SMTP");
}

#[test]
fn an_id_lives_in_one_place_only() {
    let tagger = Tagger::new().unwrap();
    let all = Credentials::new(&[declared("shop", "a", &[])], &[stored("shop", &tagger, &[])]);
    let candidates = all.candidates(Mechanism::Plain, "shop", "guess", &tagger, &secret("dummy")).unwrap();
    assert_eq!(phcs(&candidates), Some(vec!["hash of shop"]));
}

#[test]
fn what_the_vault_is_to_keep_is_checked() {
    assert!(check("../x", &Policy::default()).is_err());
    assert!(check("", &Policy::default()).is_err());
    let senders = (0..1000).map(|n| format!("user{n}@example.net").parse().unwrap()).collect();
    assert!(check("a", &Policy { senders, ..Policy::default() }).unwrap_err().contains("octets"));
    let identified_by = vec!["10.0.0.0/8".parse().unwrap()];
    assert!(check("a", &Policy { identified_by, ..Policy::default() }).unwrap_err().contains("configuration"));
    let pass_through = Some("provider".to_owned());
    assert!(check("a", &Policy { pass_through, ..Policy::default() }).unwrap_err().contains("configuration"));
    assert_eq!(check("a", &Policy::default()), Ok(()));
}

#[test]
fn whoever_has_the_secret_is_let_in_only_where_when_and_for_what_it_is() {
    let (tagger, (id, password)) = (Tagger::new().unwrap(), key::generate().unwrap());
    let sound = stored("shop", &tagger, &[(&id, &password)]);
    let way = |address: &str, scopes| Way { address: Some(address.parse().unwrap()), scopes };
    let here = way("192.0.2.7", Some(Scope::OF_SMTP));
    let judge = |stored: Stored, way: Way| {
        let all = Credentials::new(&[], &[stored]);
        let credential = all.get("shop").unwrap();
        credential.admits(credential.keys[0].mark, way, NOW)
    };
    assert_eq!(judge(sound.clone(), here), Ok(()));
    assert_eq!(judge(Stored { disabled_us: Some(5), ..sound.clone() }, here), Err(Reason::Disabled));
    let with = |policy: Policy| Stored { policy, ..sound.clone() };
    let over = |end| with(Policy { expires_us: Some(end), ..Policy::default() });
    assert_eq!(judge(over(NOW), here), Err(Reason::Expired));
    assert_eq!(judge(over(NOW + 1), here), Ok(()));
    let mut old = sound.clone();
    old.keys[0].expires_us = Some(NOW);
    assert_eq!(judge(old, here), Err(Reason::KeyExpired));
    let near = || with(Policy { networks: vec!["192.0.2.0/24".parse().unwrap()], ..Policy::default() });
    assert_eq!(judge(near(), here), Ok(()));
    assert_eq!(judge(near(), way("::ffff:192.0.2.9", None)), Ok(()));
    assert_eq!(judge(near(), way("198.51.100.1", Some(Scope::OF_SMTP))), Err(Reason::Network));
    let mut web = with(Policy::default());
    for scope in [Scope::Send, Scope::SendRaw] {
        web.policy.scopes.0 = [scope].into();
        assert_eq!(judge(web.clone(), here), Err(Reason::Scope));
        assert_eq!(judge(web.clone(), way("192.0.2.7", Some(Scope::OF_HTTP))), Ok(()));
        assert_eq!(judge(web.clone(), way("192.0.2.7", None)), Ok(()));
    }
    web.policy.scopes.0 = [Scope::Smtp].into();
    assert_eq!(judge(web, way("192.0.2.7", Some(Scope::OF_HTTP))), Err(Reason::Scope));
}

#[test]
fn a_grant_holds_until_its_secret_its_credential_or_its_policy_ends() {
    let tagger = Tagger::new().unwrap();
    let ((one, first), (two, second)) = (key::generate().unwrap(), key::generate().unwrap());
    let before = stored("shop", &tagger, &[(&one, &first)]);
    let all = Credentials::new(&[], std::slice::from_ref(&before));
    let credential = Rc::clone(all.get("shop").unwrap());
    let known = Known::by(Rc::clone(&credential), Some(credential.keys[0].mark));
    let review = |stored: &[Stored]| Credentials::new(&[], stored).review(&known, NOW);
    assert_eq!(review(std::slice::from_ref(&before)), Ok(()));
    let both = stored("shop", &tagger, &[(&one, &first), (&two, &second)]);
    assert_eq!(review(&[both]), Ok(()), "a second secret takes nothing from the first");
    assert_eq!(review(&[stored("shop", &tagger, &[(&two, &second)])]), Err(Refusal::Revoked), "retired");
    assert_eq!(review(&[Stored { disabled_us: Some(1), ..before.clone() }]), Err(Refusal::Revoked));
    assert_eq!(review(&[]), Err(Refusal::Revoked));
    assert_eq!(review(&[Stored { generation: 2, ..before.clone() }]), Err(Refusal::Changed));
    assert_eq!(review(&[Stored { created_us: 2, ..before.clone() }]), Err(Refusal::Changed), "made anew");
    let over = Policy { expires_us: Some(NOW), ..Policy::default() };
    assert_eq!(review(&[Stored { policy: over, ..before }]), Err(Refusal::Revoked));
}
