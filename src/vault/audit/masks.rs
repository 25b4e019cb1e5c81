//! Whose events auditors see how much of.

use std::collections::BTreeMap;

use super::event::{Event, Field};
use crate::config::slice::Declared;
use crate::mail::id::MessageId;
use crate::policy::Policy;
use crate::policy::mask::Mask;
use crate::policy::principal::GATE;
use crate::vault::store::credentials::Stored;

/// The mask of `[audit]`, those of the credentials in force, and that of credentials which are not.
#[derive(Clone, Debug, Default)]
pub struct Masks {
    general: Mask,
    own: BTreeMap<String, Own>,
    /// Mail of a credential may be delivered or dropped when it, and what it said of masks, is gone.
    gone: Mask,
}

/// The mask of a credential.
#[derive(Clone, Copy, Debug)]
struct Own {
    mask: Mask,
    /// When it was made; 0 for one of the configuration. What was accepted before is of another one that had its id.
    since_us: u64,
}

impl Own {
    /// That message was there before it.
    fn is_younger(self, message: MessageId) -> bool {
        self.since_us > 0 && message.time_ms().unwrap_or_default() <= self.since_us / 1000
    }
}

impl Masks {
    /// Of the credentials in force: an id that the configuration declares is none of the vault's.
    pub fn new(general: Mask, declared: &[Declared], stored: &[Stored]) -> Self {
        let own = |policy: &Policy, since_us| Own { mask: policy.mask.unwrap_or(general), since_us };
        let stored = stored.iter().map(|stored| (stored.id.clone(), own(&stored.policy, stored.created_us)));
        let declared = declared.iter().map(|declared| (declared.id.clone(), own(&declared.policy, 0)));
        let gate = (GATE.to_owned(), Own { mask: general, since_us: 0 });
        let own = stored.chain(declared).chain([gate]).collect();
        Self { general, own, gone: Mask::Full }
    }

    /// What holds for an event: its account's, whatever the outcome.
    pub fn of(&self, event: &Event) -> Mask {
        match event.personal.iter().find(|personal| personal.field == Field::Account) {
            Some(account) => self.of_mail(&account.value, event.message),
            None => self.general,
        }
    }

    /// Whether a message is of the credential that has this id now, and not of an older one.
    pub fn is_own(&self, account: &str, message: MessageId) -> bool {
        self.own.get(account).is_some_and(|own| !own.is_younger(message))
    }

    /// What holds for a message of an account. A credential that is gone is shown least of, also when there is another one of
    /// its id by now.
    pub fn of_mail(&self, account: &str, message: Option<MessageId>) -> Mask {
        let is_older = |own: &&Own| message.is_some_and(|message| own.is_younger(message));
        self.own.get(account).filter(|own| !is_older(own)).map_or(self.gone, |own| own.mask)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vault::audit::event::{Name, Outcome};

    #[test]
    fn an_account_has_its_own_mask_one_that_is_gone_the_strictest_and_everything_else_the_general_one() {
        let policy = |mask| Policy { mask, ..Policy::default() };
        let stored = |id: &str, mask| Stored {
            id: id.to_owned(),
            policy: policy(mask),
            generation: 1,
            created_us: 1,
            disabled_us: None,
            is_strange: false,
            keys: Vec::new(),
        };
        let declared = |id: &str, mask| Declared {
            id: id.to_owned(),
            secrets: Vec::new(),
            policy: policy(mask),
            certificates: vec![],
            enabled: true,
        };
        let of_vault = [stored("board", Some(Mask::Full)), stored("printer", Some(Mask::None))];
        let masks =
            Masks::new(Mask::LocalPart, &[declared("printer", None), declared("shop", Some(Mask::None))], &of_vault);
        let of = |account: Option<&str>| {
            let event = Event::new(Name::MsgAccept, Outcome::Success);
            masks.of(&account.into_iter().fold(event, |event, account| event.with(Field::Account, account)))
        };
        assert_eq!((of(Some("board")), of(Some("shop"))), (Mask::Full, Mask::None));
        for other in [Some("printer"), Some("(gate)"), None] {
            assert_eq!(of(other), Mask::LocalPart, "{other:?}");
        }
        // The board's mail may wait when the board is gone.
        let later = Masks::new(Mask::None, &[declared("printer", None)], &[]);
        let event = |account: &str| Event::new(Name::QueueDrop, Outcome::Failure).with(Field::Account, account);
        let of = |account| later.of(&event(account));
        assert_eq!((of("board"), of("shop"), of("printer")), (Mask::Full, Mask::Full, Mask::None));
    }

    #[test]
    fn mail_of_a_credential_that_was_removed_and_made_again_is_shown_least_of() {
        let made = |created_us| Stored {
            id: "board".to_owned(),
            policy: Policy { mask: Some(Mask::None), ..Policy::default() },
            generation: 1,
            created_us,
            disabled_us: None,
            is_strange: false,
            keys: Vec::new(),
        };
        let message = MessageId::now();
        let time_us = message.time_ms().unwrap() * 1000;
        let of = |created_us, message| {
            let event = Event { message, ..Event::new(Name::DeliverSuccess, Outcome::Success) };
            Masks::new(Mask::None, &[], &[made(created_us)]).of(&event.with(Field::Account, "board"))
        };
        assert_eq!(of(time_us - 1000, Some(message)), Mask::None, "its own");
        assert_eq!(of(time_us, Some(message)), Mask::Full, "nobody knows");
        assert_eq!(of(time_us + 1000, Some(message)), Mask::Full, "of the one before");
        assert_eq!(of(time_us + 1000, None), Mask::None, "of no message");
        let is_own = |created_us, account| Masks::new(Mask::None, &[], &[made(created_us)]).is_own(account, message);
        assert!(is_own(time_us - 1000, "board") && !is_own(time_us - 1000, "shop"));
        assert!(!is_own(time_us, "board") && !is_own(time_us + 1000, "board"), "of the one before");
    }
}
