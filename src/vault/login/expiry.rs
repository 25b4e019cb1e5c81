//! Ends of credentials and of their secrets: a login and a decision look at the clock themselves; here is what everybody else
//! learns of it, within a second, and what is written down, once.

use std::collections::HashSet;

use super::credentials::Credentials;
use crate::vault::Vault;
use crate::vault::audit::event::{Event, Field, Name, Outcome};
use crate::vault::audit::ledger::now_us;

/// A credential or, with a key, one secret of it that is over since then.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct End {
    pub id: String,
    pub key: Option<String>,
    pub end_us: u64,
}

/// The ends that were noticed by this process. Those before it are in the store.
#[derive(Debug, Default)]
pub struct Noticed(HashSet<End>);

impl Noticed {
    /// Ends that have come since the last look.
    pub fn look(&mut self, credentials: &Credentials, now_us: u64) -> Vec<End> {
        let over = |end: &Option<u64>| end.filter(|end| *end <= now_us);
        let mut ends = HashSet::new();
        for credential in credentials.iter() {
            let id = &credential.id;
            ends.extend(over(&credential.policy.expires_us).map(|end_us| End { id: id.clone(), key: None, end_us }));
            for key in &credential.keys {
                let end = |end_us| End { id: id.clone(), key: Some(key.id.clone()), end_us };
                ends.extend(over(&key.expires_us).map(end));
            }
        }
        let new = ends.difference(&self.0).cloned().collect();
        // What has gone, or was prolonged, may end again.
        self.0 = ends;
        new
    }

    fn forget(&mut self, ends: &[End]) {
        for end in ends {
            self.0.remove(end);
        }
    }
}

/// Tells sessions and the log of what has just ended.
pub async fn look(vault: &Vault) {
    let ends = {
        let mut authority = vault.authority.borrow_mut();
        let authority = &mut *authority;
        authority.noticed.look(&authority.credentials, now_us())
    };
    if ends.is_empty() {
        return;
    }
    // Nobody may listen: there may be no edge now.
    let _ = vault.changed.send(());
    let record = ends.clone();
    let written = vault.writer.run(move |store| {
        for End { id, key, end_us } in record {
            if store.credentials.ended(&id, key.as_deref(), end_us)? {
                let data = key.map(|key| serde_json::json!({ "key": key }).to_string());
                let event = Event { severity: 5, data, ..Event::new(Name::CredentialExpire, Outcome::Info) };
                store.record(vec![event.with(Field::Account, id)])?;
            }
        }
        Ok(())
    });
    if written.await.is_err() {
        // No room on the disk: the next look tells it again.
        vault.authority.borrow_mut().noticed.forget(&ends);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::slice::Declared;
    use crate::policy::Policy;

    #[test]
    fn an_end_is_noticed_once_and_again_when_it_was_moved() {
        let shop = |end| {
            let policy = Policy { expires_us: end, ..Policy::default() };
            Credentials::new(
                &[Declared { id: "shop".into(), secrets: vec![], policy, certificates: vec![], enabled: true }],
                &[],
            )
        };
        let mut noticed = Noticed::default();
        assert_eq!(noticed.look(&shop(Some(10)), 9), []);
        assert_eq!(noticed.look(&shop(Some(10)), 10), [End { id: "shop".into(), key: None, end_us: 10 }]);
        assert_eq!(noticed.look(&shop(Some(10)), 11), []);
        assert_eq!(noticed.look(&shop(Some(20)), 12), []);
        assert_eq!(noticed.look(&shop(Some(20)), 20).len(), 1);
        assert_eq!(noticed.look(&shop(None), 30), []);
    }
}
