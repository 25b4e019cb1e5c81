//! Webhooks: what is told to whom, and what could not work.

use super::*;
use crate::config::slice::{Bounce, CourierSlice, Webhook, WebhookSlice};
use crate::policy::feedback::Told;
use crate::policy::mask::Mask;
use crate::policy::reports::Reports;

const APP: &str = "[[webhook]]\nname = \"app\"\nurl = \"https://app.example.net:8443/hook?a=b\"\nsecret_file = \"/etc/gatepost/app\"\n";

fn with(more: &str) -> String {
    format!("{FULL}\n{more}")
}

/// The errors, of which there is one.
fn refused(written: &str) -> String {
    let errors = load(written).unwrap_err().0;
    assert_eq!(errors.len(), 1, "{errors:?}");
    errors[0].clone()
}

#[test]
fn a_webhook_has_a_courier_of_its_own_and_is_told_of_everything_unless_it_says_of_what() {
    let own = |plan: &Plan| plan.vault_slice(&Secret::new([0; 32])).webhooks;
    assert_eq!(own(&load(FULL).unwrap()), []);
    let plan = load(&with(APP)).unwrap();
    let days = std::time::Duration::from_secs(4 * 86_400);
    let all = Told::WORDS.map(|(_, told)| told).to_vec();
    assert_eq!(own(&plan), [Webhook { name: "app".into(), events: all, mask: Mask::None, lifetime: days }]);
    assert_eq!(plan.webhook_labels().collect::<Vec<_>>(), ["webhook/app"]);
    assert!(plan.ports().contains(&8443) && plan.webhook_of("smarthost").unwrap().is_none());
    assert!(plan.webhook_of("webhook/other").is_err());
    let CourierSlice::Webhook(WebhookSlice { host, path, tls, previous, .. }) =
        CourierSlice::Webhook(plan.webhook_of("webhook/app").unwrap().unwrap().slice())
    else {
        panic!("another courier")
    };
    assert_eq!((host.as_str(), path.as_str(), tls, previous), ("app.example.net", "/hook?a=b", true, false));
    let dialed = plan.dialer_slice().upstreams.into_iter().find(|one| one.name == "webhook/app").unwrap();
    assert_eq!(dialed.hosts, [("app.example.net".to_owned(), 8443)]);
    let chosen = "events = [\"bounced\", \"failed\"]\nmask = \"local-part\"\nlifetime = \"1h\"\n\
                  previous_secret_file = \"/etc/gatepost/old\"\n";
    let plan = load(&with(&format!("{APP}{chosen}"))).unwrap();
    let Webhook { events, mask, lifetime, .. } = own(&plan).remove(0);
    assert_eq!((events, mask, lifetime.as_secs()), (vec![Told::Bounced, Told::Failed], Mask::LocalPart, 3600));
    assert_eq!(plan.webhooks[0].sources().count(), 2);
}

#[test]
fn a_webhook_that_could_not_work_is_refused_with_its_place() {
    for (from, to, why) in [
        ("name = \"app\"\n", "", "name is missing"),
        ("url = \"https://app.example.net:8443/hook?a=b\"\n", "", "url is missing"),
        ("https://app.example.net:8443", "http://app.example.net:8443", "http is for this machine only"),
        ("https://app.example.net:8443/hook?a=b", "app.example.net", "url: write where it is posted to"),
        ("https://app.example.net:8443/hook?a=b", "https://u:p@app.example.net/", "url: write where it is posted to"),
        ("secret_file = \"/etc/gatepost/app\"\n", "", "secret_file is missing"),
        ("secret_file = \"/etc/gatepost/app\"\n", "secret_file = \"app\"\n", "secret_file: "),
        ("name = \"app\"\n", "name = \"app\"\nevents = []\n", "told nothing"),
        ("name = \"app\"\n", "name = \"app\"\nevents = [\"bounce\"]\n", "did you mean \"bounced\"?"),
        ("name = \"app\"\n", "name = \"app\"\nmask = \"some\"\n", "mask: \"some\" is unknown"),
        ("name = \"app\"\n", "name = \"app\"\nlifetime = \"1s\"\n", "lifetime: must be from"),
        ("name = \"app\"\n", "name = \"app\"\nsecret = \"x\"\n", "unknown key \"secret\""),
    ] {
        assert!(APP.contains(from), "{from}");
        let said = refused(&with(&APP.replacen(from, to, 1)));
        assert!(said.contains(why), "{why}: {said}");
    }
    let said = refused(&with(&format!("{APP}{APP}")));
    assert!(said.contains("used twice"), "{said}");
}

#[test]
fn whoever_names_a_webhook_names_one_that_there_is() {
    let credential = |lines: &str| FULL.replacen("[[credential]]\n", &format!("[[credential]]\n{lines}"), 1) + APP;
    let plan = load(&credential("webhook = \"app\"\nreports = \"webhook\"\n")).unwrap();
    let policy = &plan.credentials[0].policy;
    assert_eq!((policy.webhook.as_deref(), policy.reports), (Some("app"), Reports::Webhook));
    assert!(refused(&credential("webhook = \"ap\"\n")).contains("there is no webhook \"ap\": did you mean \"app\"?"));
    assert!(refused(&credential("reports = \"webhook\"\n")).contains("needs webhook"));
    let upstream = |lines: &str| FULL.replacen("[[upstream]]\n", &format!("[[upstream]]\n{lines}"), 1) + APP;
    let plan = load(&upstream("bounce = { webhook = \"app\" }\n")).unwrap();
    let webhook = Some("app".to_owned());
    assert_eq!(plan.bounces, [Bounce { upstream: 0, from: None, via: None, requiretls: false, webhook }]);
    let both = refused(&upstream("bounce = { webhook = \"app\", from = \"a@example.net\" }\n"));
    assert!(both.contains("take from and via away"), "{both}");
}
