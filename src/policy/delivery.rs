//! How a credential's messages leave, and what becomes of those of which nobody knows whether they did.

use serde::{Deserialize, Serialize};

use super::Policy;

/// What becomes of a recipient of whom nobody knows whether it was delivered to: the upstream had the whole message, and gave
/// no answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnUnknown {
    /// It is tried again, and may get the message twice.
    #[default]
    Retry,
    /// It waits until somebody has looked.
    Hold,
    /// It is given up, and may have got nothing.
    Drop,
}

impl OnUnknown {
    pub const WORDS: [(&str, Self); 3] = [("retry", Self::Retry), ("hold", Self::Hold), ("drop", Self::Drop)];
}

/// How a message leaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Delivery {
    /// Kept on disk, then delivered, with retry.
    #[default]
    Spool,
    /// Delivered while its sender waits, and never kept.
    Direct,
    /// Delivered while its sender waits, and kept where that can't be done now.
    Fallback,
}

impl Delivery {
    pub const WORDS: [(&str, Self); 3] =
        [("spool", Self::Spool), ("direct", Self::Direct), ("fallback", Self::Fallback)];

    pub const fn word(self) -> &'static str {
        match self {
            Self::Spool => "spool",
            Self::Direct => "direct",
            Self::Fallback => "fallback",
        }
    }
}

impl Policy {
    /// How its messages leave, on a listener that says this. What goes to others than its sender names has no answer that could be
    /// that sender's, and is kept; so is what a person proves to have written, which waits for that proof already. What goes with its sender's key can't be: the key is not kept either.
    pub fn delivery(&self, listener: Delivery) -> Delivery {
        if self.pass_through.is_some() {
            return Delivery::Direct;
        }
        match self.redirect.is_some() || !self.always_bcc.is_empty() || self.turnstile.is_some() {
            true => Delivery::Spool,
            false => self.delivery.unwrap_or(listener),
        }
    }

    /// Errors: it would promise an answer that it can't have; in words.
    pub fn check_delivery(&self) -> Result<(), String> {
        let is_elsewhere = self.redirect.is_some() || !self.always_bcc.is_empty();
        if self.pass_through.is_some() && (is_elsewhere || self.delivery.is_some_and(|own| own != Delivery::Direct)) {
            return Err(
                "pass_through: its key is not kept, so its mail can't be either: leave out redirect and always_bcc, \
                        and write delivery = \"direct\" or nothing"
                    .to_owned(),
            );
        }
        match self.delivery {
            Some(own @ (Delivery::Direct | Delivery::Fallback)) if is_elsewhere => Err(format!(
                "delivery = \"{}\": not with redirect or always_bcc, whose recipients no sender hears of: write \"spool\"",
                own.word()
            )),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::address::Address;

    #[test]
    fn a_credential_says_how_its_mail_leaves_or_else_its_listener_and_what_goes_elsewhere_is_kept() {
        use Delivery::{Direct, Fallback, Spool};
        let to = Address::parse("test@example.net").unwrap();
        for (own, listener, expected) in [
            (None, Spool, Spool),
            (None, Direct, Direct),
            (None, Fallback, Fallback),
            (Some(Spool), Direct, Spool),
            (Some(Direct), Fallback, Direct),
            (Some(Fallback), Spool, Fallback),
        ] {
            let mut policy = Policy { delivery: own, ..Policy::default() };
            assert_eq!((policy.delivery(listener), policy.check()), (expected, Ok(())), "{own:?} {listener:?}");
            let promises = matches!(own, Some(Direct | Fallback));
            policy.always_bcc = vec![to.clone()];
            assert_eq!((policy.delivery(listener), policy.check().is_err()), (Spool, promises));
            policy = Policy { delivery: own, redirect: Some(to.clone()), ..Policy::default() };
            assert_eq!((policy.delivery(listener), policy.check().is_err()), (Spool, promises));
            policy = Policy { delivery: own, pass_through: Some("provider".into()), ..Policy::default() };
            let may_be_kept = matches!(own, Some(Spool | Fallback));
            assert_eq!((policy.delivery(listener), policy.check().is_err()), (Direct, may_be_kept));
            policy.redirect = Some(to.clone());
            assert!(policy.check().is_err());
        }
    }
}
