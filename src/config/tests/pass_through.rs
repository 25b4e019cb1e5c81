//! Keys of a provider for passwords: what could not work, or would show them to others.

use super::*;
use crate::policy::Delivery;

const PROVIDER: &str = "[[upstream]]\nname = \"bytesend\"\nkind = \"bytesend\"\nurl = \"https://app.example.net\"\n\
                        token_file = \"/etc/gatepost/bytesend\"\n";
const ROUTE: &str = "[[route]]\ncredential = \"team\"\nvia = [\"bytesend\"]\n";
const TEAM: &str = "[[credential]]\nid = \"team\"\nsenders = [\"@example.net\"]\npass_through = \"bytesend\"\n";

/// With these routes before all others.
fn with(routes: &str, credential: &str) -> Result<Plan, Vec<String>> {
    let (before, rest) = FULL.split_once("[[route]]").unwrap();
    let text = format!("{before}\n{routes}\n[[route]]{rest}\n{PROVIDER}\n{credential}");
    load(&text).map_err(|errors| errors.0)
}

#[test]
fn a_credential_with_a_providers_keys_sends_directly_and_by_that_provider_alone() {
    let plan = with(ROUTE, TEAM).unwrap();
    let team = plan.credentials.iter().find(|credential| credential.id == "team").unwrap();
    assert_eq!(team.policy.pass_through.as_deref(), Some("bytesend"));
    let warns = |plan: &Plan| plan.warnings.iter().any(|line| line.contains("whoever has a key of \"bytesend\""));
    assert!(warns(&plan), "{:?}", plan.warnings);
    assert!(!warns(&with(ROUTE, &format!("{TEAM}networks = [\"192.0.2.0/24\"]\n")).unwrap()));
    assert_eq!(team.policy.delivery(Delivery::Spool), Delivery::Direct);
    let one = |routes: &str, more: &str| {
        let errors = with(routes, &format!("{TEAM}{more}")).unwrap_err();
        assert_eq!(errors.len(), 1, "{errors:?}");
        errors[0].clone()
    };
    for (routes, more, expected) in [
        ("", "", "leads mail of \"team\" elsewhere"),
        ("[[route]]\nto = \"@example.org\"\nvia = [\"bytesend\"]\n", "", "leads mail of \"team\" elsewhere"),
        (
            "[[route]]\ncredential = \"team\"\nvia = [\"bytesend\", \"smarthost\"]\n",
            "",
            "elsewhere than to \"bytesend\" alone",
        ),
        (ROUTE, "delivery = \"spool\"\n", "its mail can't be either"),
        (ROUTE, "always_bcc = [\"archive@example.net\"]\n", "its mail can't be either"),
        (ROUTE, "identified_by = [\"192.0.2.0/24\"]\n[credential.limits]\nper_day = 5\n", "leave out secrets"),
    ] {
        let error = one(routes, more);
        assert!(error.contains(expected) && error.contains("pass_through"), "{error}");
    }
}

#[test]
fn only_a_provider_that_can_be_asked_has_keys_for_passwords() {
    for (name, expected) in [("smarthost", "can't be asked"), ("bytesent", "bytesend")] {
        let errors = with(ROUTE, &TEAM.replace("pass_through = \"bytesend\"", &format!("pass_through = \"{name}\"")))
            .unwrap_err();
        assert!(errors.len() == 1 && errors[0].contains(expected), "{errors:?}");
    }
}
