//! What of a whole file reaches whom.

use super::super::slice::{CourierSlice, WhenFull};
use super::*;
use crate::policy::mask::Mask;

#[test]
fn rule_l16_where_a_proxy_is_expected_nobody_else_is_taken() {
    let key = Secret::new([0; 32]);
    let text = FULL.replace("per_address = 10", "proxy_from = [\"10.0.0.0/24\", \"2001:db8::7\"]\nper_address = 10");
    let plan = load(&text).unwrap();
    let [submission, devices, ..] = &plan.listener_slice(&key).listeners[..] else { panic!() };
    let admits = |address: &str| submission.admits(address.parse().unwrap());
    assert!(admits("10.0.0.9") && admits("::ffff:10.0.0.9") && admits("2001:db8::7"));
    assert!(!admits("10.0.1.9") && !admits("2001:db8::8") && !admits("127.0.0.1"));
    assert!(devices.admits("10.0.1.9".parse().unwrap()));
    // The proxy has no cap of its own there; the clients that it names have, and addresses of their own.
    assert!(submission.caps.is_none() && devices.caps.is_some());
    let vault = plan.vault_slice(&key);
    assert_eq!((vault.listeners[0].caps.address, vault.listeners[0].caps.prefix), (10, 20));
    assert!(vault.listeners[0].knows_addresses() && vault.listeners[0].proxy_from.len() == 2);
    let desks = plan.edge_slice(Protocol::Smtp, "main").listeners;
    assert!(desks[0].proxied && !plan.edge_slice(Protocol::Smtp, "devices").listeners[0].proxied);
    let behind = text.replace("tls = \"starttls\"\nproxy", "behind_tls_proxy = true\nproxy");
    assert!(load(&behind).unwrap().vault_slice(&key).listeners[0].knows_addresses());
    let unnamed = FULL.replace("tls = \"starttls\"\nper", "behind_tls_proxy = true\nper");
    let unnamed = load(&unnamed).unwrap();
    assert!(!unnamed.vault_slice(&key).listeners[0].knows_addresses());
    assert!(unnamed.listener_slice(&key).listeners[0].caps.is_none());
}

#[test]
fn rule_s2_where_nothing_is_written_a_client_has_five_minutes_and_a_stranger_half_a_minute() {
    let slice = load(FULL).unwrap().edge_slice(Protocol::Smtp, "main");
    assert_eq!((slice.idle, slice.idle_strange), (Duration::from_secs(300), Duration::from_secs(30)));
}

#[test]
fn each_role_is_told_its_own_part() {
    let plan = load(FULL).unwrap();
    let edges: Vec<_> = plan.edges().into_iter().collect();
    let expected = [(Protocol::Smtp, "devices"), (Protocol::Smtp, "main"), (Protocol::Http, "main")];
    assert_eq!(edges, expected.map(|(protocol, zone)| (protocol, zone.to_owned())));
    let numbers = |protocol, zone| -> Vec<u16> {
        plan.edge_slice(protocol, zone).listeners.iter().map(|desk| desk.number).collect()
    };
    assert_eq!(numbers(Protocol::Smtp, "main"), [0]);
    assert_eq!(numbers(Protocol::Smtp, "devices"), [1]);
    assert_eq!(numbers(Protocol::Http, "main"), [2, 3]);
    assert_eq!(plan.edge_certificates(Protocol::Http, "main"), [1]);
    assert_eq!(plan.edge_certificates(Protocol::Smtp, "devices"), Vec::<u16>::new());
    assert_eq!(plan.keyholder_slice().certificates.len(), 2);
    assert_eq!(plan.dialer_slice().upstreams[1].hosts, [("127.0.0.1".to_owned(), 25)]);
    let CourierSlice::Smtp(slice) = plan.courier_slice(&plan.upstreams[0]) else { panic!("another kind") };
    assert_eq!(slice.username.as_deref(), Some("gate"));
    assert_eq!(plan.sealer_slice().origin, "gate.example.net/audit");
    let key = Secret::new([0; 32]);
    assert_eq!(plan.listener_slice(&key).listeners.len(), 4);
    assert_eq!(plan.vault_slice(&key).upstreams, ["smarthost", "inside"]);
    assert_eq!(plan.vault_slice(&key).audit.mask, Mask::Full);
    let days = |n: u64| Some(Duration::from_secs(n * 86_400));
    let kept = plan.vault_slice(&key).audit.retention;
    assert_eq!((kept.personal, kept.events, kept.max_octets), (days(30), None, Some(2_000_000_000)));
    assert_eq!((kept.when_full, Some(kept.least_kept)), (WhenFull::Oldest, days(90)));
    let without = load(&FULL.replace("mask = \"full\"", "")).unwrap();
    assert_eq!(without.vault_slice(&key).audit.mask, Mask::LocalPart);
    let own: Vec<_> = plan.credentials.iter().map(|credential| credential.policy.mask).collect();
    assert_eq!(own, [None, Some(Mask::None)]);
    assert!(complaint("mask = \"none\"", "mask = \"nona\"").contains("did you mean \"none\"?"));
    assert!(complaint("mask = \"full\"", "mask = \"ful\"").contains("did you mean \"full\"?"));
}
