//! Ends of credentials and of their secrets: a login and a decision look at the clock themselves; here is what everybody else
//! learns of it, within a second, and what is written down, once.

use std::collections::HashSet;
use std::rc::Rc;
use std::time::Duration;

use tokio::task::spawn_local;

use super::credentials::Credentials;
use crate::vault::Vault;
use crate::vault::audit::event::{Event, Field, Name, Outcome};
use crate::vault::delivery::revoked::{self, Why};

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

    /// Whether that end of a credential was noticed.
    pub fn knows(&self, id: &str, end_us: u64) -> bool {
        self.0.contains(&End { id: id.to_owned(), key: None, end_us })
    }

    fn forget(&mut self, ends: &[End]) {
        for end in ends {
            self.0.remove(end);
        }
    }
}

/// Tells sessions and the log of what has just ended, and holds what a credential that has leaves in the queue.
pub async fn look(vault: &Rc<Vault>) {
    let ends = {
        let mut authority = vault.authority.borrow_mut();
        let authority = &mut *authority;
        authority.noticed.look(&authority.credentials, authority.clock.now().wall_us)
    };
    if ends.is_empty() {
        return;
    }
    // Nobody may listen: there may be no edge now.
    let _ = vault.changed.send(());
    let (own, keys): (Vec<End>, Vec<End>) = ends.into_iter().partition(|end| end.key.is_none());
    for end in own {
        // What becomes of the mail of one that is disabled was said when it was.
        let is_enabled = vault.authority.borrow().credentials.get(&end.id).is_some_and(|own| own.enabled);
        if is_enabled {
            vault.schedule.borrow_mut().barred.insert(end.id.clone());
        }
        spawn_local(over(Rc::clone(vault), end, is_enabled));
    }
    if !keys.is_empty() {
        write(vault, keys).await;
    }
}

/// How often it is looked whether a wall's clock that is ahead was set back.
const GLANCE: Duration = Duration::from_secs(1);

/// Waits until an end has come by both clocks. False when it has not, because the wall's was set back, or it was moved.
async fn has_come(vault: &Vault, end: &End) -> bool {
    loop {
        {
            let authority = vault.authority.borrow();
            if !authority.noticed.knows(&end.id, end.end_us) {
                return false;
            }
            if end.end_us <= authority.clock.passed_us() {
                return true;
            }
        }
        tokio::time::sleep(GLANCE).await;
    }
}

/// A credential is over. A wall's clock that is ahead keeps its mail here and holds none of it: who holds needs somebody who releases.
/// It is written down when its mail is held: until then the next start does both again, and after that
/// neither.
async fn over(vault: Rc<Vault>, end: End, is_enabled: bool) {
    if !has_come(&vault, &end).await {
        vault.schedule.borrow_mut().barred.remove(&end.id);
        vault.poke.notify_one();
        return;
    }
    let asked = end.clone();
    let known = vault.writer.run(move |store| store.credentials.has_ended(&asked.id, asked.end_us)).await;
    let is_known = matches!(known, Ok(true));
    if is_enabled && !is_known {
        revoked::hold(&vault, &end.id, Why::Expired).await;
    }
    let id = end.id.clone();
    if !is_known {
        write(&vault, vec![end]).await;
    }
    vault.schedule.borrow_mut().barred.remove(&id);
    vault.poke.notify_one();
}

async fn write(vault: &Vault, ends: Vec<End>) {
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
