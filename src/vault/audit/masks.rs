//! Whose events auditors see how much of.

use std::collections::BTreeMap;

use super::event::{Event, Field};
use crate::config::slice::Declared;
use crate::policy::Policy;
use crate::policy::mask::Mask;
use crate::policy::principal::GATE;
use crate::vault::store::credentials::Stored;

/// The mask of `[audit]`, those of the credentials in force, and that of credentials which are not.
#[derive(Clone, Debug, Default)]
pub struct Masks {
    general: Mask,
    own: BTreeMap<String, Mask>,
    /// Mail of a credential may be delivered or dropped when it, and what it said of masks, is gone.
    gone: Mask,
}

impl Masks {
    /// Of the credentials in force: an id that the configuration declares is none of the vault's.
    pub fn new(general: Mask, declared: &[Declared], stored: &[Stored]) -> Self {
        let stored = stored.iter().map(|stored| (&stored.id, &stored.policy));
        let declared = declared.iter().map(|declared| (&declared.id, &declared.policy));
        let all: BTreeMap<&String, &Policy> = stored.chain(declared).collect();
        let mut own: BTreeMap<String, Mask> =
            all.into_iter().map(|(id, policy)| (id.clone(), policy.mask.unwrap_or(general))).collect();
        own.insert(GATE.to_owned(), general);
        Self { general, own, gone: Mask::Full }
    }

    /// What holds for an event: its account's, whatever the outcome. A credential that is gone is shown least of.
    pub fn of(&self, event: &Event) -> Mask {
        let account = event.personal.iter().find(|personal| personal.field == Field::Account);
        account.map_or(self.general, |account| self.own.get(&account.value).copied().unwrap_or(self.gone))
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
        // The board's mail may wait when the board is gone.
        let later = Masks::new(Mask::None, &[declared("printer", None)], &[]);
        let event = |account: &str| Event::new(Name::QueueDrop, Outcome::Failure).with(Field::Account, account);
        let of = |account| later.of(&event(account));
        assert_eq!((of("board"), of("shop"), of("printer")), (Mask::Full, Mask::Full, Mask::None));
    }
}
