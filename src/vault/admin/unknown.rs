//! What an administrator is told of a name that nothing here has: what may have been meant.

use crate::policy::spelling::{nearest, suggestion};
use crate::vault::authority::Authority;

/// There can be many: the one that is near, and where the others are listed.
pub fn credential<'a>(id: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let meant = nearest(id, known).map(|meant| format!("did you mean {meant:?}? ")).unwrap_or_default();
    format!("there is no credential {id:?}: {meant}`gatepost credential list` shows those there are")
}

/// The same among those that are in force.
pub fn in_force(id: &str, authority: &Authority) -> String {
    credential(id, authority.credentials.iter().map(|credential| credential.id.as_str()))
}

/// Of an upstream or a webhook, of which there are few.
pub fn named(kind: &str, name: &str, known: &[&str]) -> String {
    match known.is_empty() {
        true => format!("there is no {kind} {name:?}: the configuration has none"),
        false => format!("there is no {kind} {name:?}: {}", suggestion(name, known)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_have_been_meant_is_said_and_where_there_is_nothing_that() {
        let known = ["app", "billing"];
        assert_eq!(
            credential("ap", known),
            "there is no credential \"ap\": did you mean \"app\"? `gatepost credential list` shows those there are"
        );
        assert_eq!(
            credential("shop", known),
            "there is no credential \"shop\": `gatepost credential list` shows those there are"
        );
        assert_eq!(
            named("upstream", "smarthots", &["smarthost"]),
            "there is no upstream \"smarthots\": did you mean \"smarthost\"?"
        );
        assert_eq!(named("webhook", "x", &["app", "crm"]), "there is no webhook \"x\": known here: app, crm");
        assert_eq!(named("webhook", "x", &[]), "there is no webhook \"x\": the configuration has none");
    }
}
