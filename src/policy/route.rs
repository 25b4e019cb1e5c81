//! Which upstreams take a message: the first route that matches.

use serde::{Deserialize, Serialize};

use super::rule::{RecipientRule, SenderRule};
use crate::mail::address::{Address, ReversePath};

/// One `[[route]]`. What is absent matches everything.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    pub credential: Option<String>,
    pub from: Option<SenderRule>,
    pub to: RecipientRule,
    /// Upstreams by number, in the order of preference. Never empty.
    pub via: Vec<u16>,
    /// Each of them offers REQUIRETLS (RFC 8689).
    pub requiretls: bool,
}

/// A route that too much mail waits for: one more message would not leave in its time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackedUp {
    /// Its upstreams.
    pub via: Vec<u16>,
    /// How long whoever has mail for it is to wait.
    pub seconds: u32,
}

impl Route {
    pub fn can_apply_to(&self, principal: &str) -> bool {
        self.credential.as_deref().is_none_or(|credential| credential == principal)
    }
}

/// The first route for this mail. From nobody (`<>`) comes what tells its recipient of that one's own mail, and goes as if
/// that one had sent it.
pub fn find<'a>(routes: &'a [Route], principal: &str, sender: &ReversePath, recipient: &Address) -> Option<&'a Route> {
    routes.iter().find(|route| {
        let from = route.from.as_ref().is_none_or(|rule| rule.matches(sender.as_ref().unwrap_or(recipient)));
        route.can_apply_to(principal) && from && route.to.matches(recipient)
    })
}
