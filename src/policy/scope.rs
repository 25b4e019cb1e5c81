//! What a credential may be used for, as clients' protocols and paths divide it.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Log in and send over SMTP.
    Smtp,
    /// Send over HTTP what is written here, by whichever path, and ask what became of mail.
    Send,
    /// Send over HTTP what the client wrote whole, header and all.
    SendRaw,
    /// See over HTTP what all credentials may. Nobody has it who isn't given it.
    Admin,
}

impl Scope {
    pub const ALL: [Self; 4] = [Self::Smtp, Self::Send, Self::SendRaw, Self::Admin];
    /// What a credential has where nothing is written: to send, whichever way.
    pub const SENDING: [Self; 3] = [Self::Smtp, Self::Send, Self::SendRaw];
    /// One of these is needed for mail that comes by the protocol. Which of them it must be over HTTP the edge asks: by the time that the
    /// vault has a message, nobody can tell who wrote its header.
    pub const OF_SMTP: &[Self] = &[Self::Smtp];
    pub const OF_HTTP: &[Self] = &[Self::Send, Self::SendRaw];

    /// It and no other, for who asks whether a client may use this.
    pub const fn alone(self) -> &'static [Self] {
        match self {
            Self::Smtp => Self::OF_SMTP,
            Self::Send => &[Self::Send],
            Self::SendRaw => &[Self::SendRaw],
            Self::Admin => &[Self::Admin],
        }
    }

    pub const fn word(self) -> &'static str {
        match self {
            Self::Smtp => "smtp",
            Self::Send => "send",
            Self::SendRaw => "send_raw",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl FromStr for Scope {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|scope| scope.word() == text);
        found
            .ok_or_else(|| format!("{text:?} is not a scope: there are \"smtp\", \"send\", \"send_raw\" and \"admin\""))
    }
}

/// All that it may be used for. By default to send, whichever way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Scopes(pub BTreeSet<Scope>);

impl Default for Scopes {
    fn default() -> Self {
        Self(Scope::SENDING.into_iter().collect())
    }
}

impl Scopes {
    pub fn has(&self, scope: Scope) -> bool {
        self.0.contains(&scope)
    }

    pub fn has_one_of(&self, scopes: &[Scope]) -> bool {
        scopes.iter().any(|scope| self.has(*scope))
    }
}

impl super::Policy {
    /// Who may see what all credentials may has shown a key of its own: an address is taken by whoever gets into its network.
    pub fn check_scopes(&self) -> Result<(), String> {
        if self.scopes.has(Scope::Admin) && !(self.identified_by.is_empty() && self.pass_through.is_none()) {
            let why = "scopes: \"admin\" needs a key of its own: not with identified_by or pass_through";
            return Err(why.to_owned());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Policy;

    #[test]
    fn nobody_sees_what_others_may_by_default_or_by_an_address() {
        assert!(!Scopes::default().has(Scope::Admin) && Scope::OF_HTTP.iter().all(|scope| *scope != Scope::Admin));
        let scopes = Scopes([Scope::Smtp, Scope::Admin].into());
        let policy = Policy { scopes: scopes.clone(), ..Policy::default() };
        assert_eq!(policy.check(), Ok(()));
        let device = Policy { identified_by: vec!["192.0.2.0/24".parse().unwrap()], ..policy.clone() };
        let passes = Policy { pass_through: Some("provider".into()), ..policy };
        assert!(device.check_scopes().is_err() && passes.check_scopes().is_err());
        for scope in Scope::ALL {
            assert_eq!(scope.word().parse(), Ok(scope));
        }
    }
}
