//! Whose events auditors see how much of.

use std::collections::BTreeMap;

use super::event::{Event, Field};
use crate::config::slice::Declared;
use crate::policy::Policy;
use crate::policy::mask::Mask;
use crate::vault::store::credentials::Stored;

/// The mask of `[audit]`, and those of the credentials that have one of their own.
#[derive(Clone, Debug, Default)]
pub struct Masks {
    general: Mask,
    own: BTreeMap<String, Mask>,
}

impl Masks {
    /// Of the credentials in force: an id that the configuration declares is none of the vault's.
    pub fn new(general: Mask, declared: &[Declared], stored: &[Stored]) -> Self {
        let stored = stored.iter().map(|stored| (&stored.id, &stored.policy));
        let declared = declared.iter().map(|declared| (&declared.id, &declared.policy));
        let all: BTreeMap<&String, &Policy> = stored.chain(declared).collect();
        Self { general, own: all.into_iter().filter_map(|(id, policy)| Some((id.clone(), policy.mask?))).collect() }
    }

    /// What holds for an event: its account's, whatever the outcome.
    pub fn of(&self, event: &Event) -> Mask {
        let account = event.personal.iter().find(|personal| personal.field == Field::Account);
        account.and_then(|account| self.own.get(&account.value)).copied().unwrap_or(self.general)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vault::audit::event::{Name, Outcome};

    #[test]
    fn an_account_has_its_own_mask_and_everything_else_the_general_one() {
        let policy = |mask| Policy { mask, ..Policy::default() };
        let stored = |id: &str, mask| Stored {
            id: id.to_owned(),
            policy: policy(mask),
            generation: 1,
            created_us: 1,
            disabled_us: None,
            keys: Vec::new(),
        };
        let declared =
            |id: &str, mask| Declared { id: id.to_owned(), secrets: Vec::new(), policy: policy(mask), enabled: true };
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
    }
}
