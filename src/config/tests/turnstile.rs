//! Turnstile: who is asked by whom, and what could not be meant.

use super::*;
use crate::config::slice::Protocol;
use crate::policy::turnstile::Turnstile;

const SITE: &str = "[turnstile]\nsecret_file = \"/etc/gatepost/turnstile.secret\"\n";
const PAGE: &str = "[[credential]]\nid = \"page\"\nsenders = [\"a@example.net\"]\nscopes = [\"send\"]\n\
                    certificates = [\"dns:page.example.net\"]\n\
                    turnstile = { hostnames = [\"www.example.net\"], action = \"contact\" }\n";

fn with(more: &str) -> String {
    format!("{FULL}\n{more}")
}

fn refused(written: &str) -> String {
    let errors = load(written).unwrap_err().0;
    assert_eq!(errors.len(), 1, "{errors:?}");
    errors[0].clone()
}

#[test]
fn the_site_has_a_courier_of_its_own_and_nobody_else_hears_of_its_secret() {
    let key = Secret::new([0; 32]);
    let plain = load(FULL).unwrap();
    assert!(plain.turnstile_label().is_none() && !plain.vault_slice(&key).turnstile);
    assert!(plain.turnstile_of("turnstile/siteverify").is_err() && plain.turnstile_of("smarthost").unwrap().is_none());
    let plan = load(&with(&format!("{SITE}{PAGE}"))).unwrap();
    let site = plan.turnstile_of(plan.turnstile_label().unwrap()).unwrap().unwrap();
    let slice = site.slice();
    assert_eq!(
        (slice.host.as_str(), slice.port, slice.tls, slice.prefix.as_str()),
        ("challenges.cloudflare.com", 443, true, "")
    );
    assert_eq!(site.sources().count(), 1);
    assert!(plan.ports().contains(&443));
    let dialed = plan.dialer_slice().upstreams.into_iter().find(|one| one.name == "turnstile/siteverify").unwrap();
    assert_eq!(dialed.hosts, [("challenges.cloudflare.com".to_owned(), 443)]);
    let page = plan.credentials.iter().find(|one| one.id == "page").unwrap();
    let demanded = Turnstile { hostnames: vec!["www.example.net".into()], action: Some("contact".into()) };
    assert_eq!(page.policy.turnstile, Some(demanded));
    // Where the file is, or what is in it, is in no slice.
    for slice in [
        postcard::to_stdvec(&plan.vault_slice(&key)).unwrap(),
        postcard::to_stdvec(&plan.edge_slice(Protocol::Http, "main")).unwrap(),
        postcard::to_stdvec(&plan.dialer_slice()).unwrap(),
        postcard::to_stdvec(&slice).unwrap(),
    ] {
        assert!(!String::from_utf8_lossy(&slice).contains("turnstile.secret"));
    }
    let elsewhere = format!("{SITE}url = \"https://[::1]:8443/base/\"\nauthorities_file = \"/etc/gatepost/ca.pem\"\n");
    let plan = load(&with(&elsewhere)).unwrap();
    let site = plan.turnstile.as_ref().unwrap();
    assert_eq!((site.slice().port, site.slice().prefix.as_str(), site.sources().count()), (8443, "/base", 2));
}

#[test]
fn what_could_not_work_is_refused_with_its_place() {
    let both = format!("{SITE}{PAGE}");
    for (from, to, why) in [
        ("secret_file = \"/etc/gatepost/turnstile.secret\"\n", "url = \"https://x.test\"\n", "secret_file is missing"),
        ("/etc/gatepost/turnstile.secret", "turnstile.secret", "secret_file: "),
        ("[turnstile]\n", "[turnstile]\nurl = \"http://x.test\"\n", "http is for this machine only"),
        ("[turnstile]\n", "[turnstile]\nurl = \"x.test\"\n", "url: write what comes before"),
        ("[turnstile]\n", "[turnstile]\nurl = \"https://x.test/?a\"\n", "url: write what comes before"),
        (
            "[turnstile]\n",
            "[turnstile]\nurl = \"http://127.0.0.1:1\"\nauthorities_file = \"/x\"\n",
            "nobody's certificate",
        ),
        ("[turnstile]\n", "[turnstile]\nsecret = \"x\"\n", "unknown key"),
        ("scopes = [\"send\"]\n", "", "POST /send alone"),
        ("[\"www.example.net\"]", "[]", "name the host of each page"),
        ("\"www.example.net\"", "\"https://www.example.net/\"", "without scheme"),
        ("\"contact\"", "\"a b\"", "data-action"),
        ("id = \"page\"\n", "id = \"page\"\ndelivery = \"direct\"\n", "delivery = \"spool\""),
    ] {
        assert!(both.contains(from), "{from}");
        let only_site = if why.contains("secret_file is missing") { SITE } else { both.as_str() };
        let said = refused(&with(&only_site.replace(from, to)));
        assert!(said.contains(why), "{to}: {said}");
    }
    let said = refused(&with(PAGE));
    assert!(said.contains("page") && said.contains("write [turnstile] with secret_file"), "{said}");
}
