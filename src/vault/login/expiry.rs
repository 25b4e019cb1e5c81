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
use crate::vault::queue::ended::Until;

/// A credential or, with a key, one secret of it that is over since then.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct End {
    pub id: String,
    pub key: Option<String>,
    pub end_us: u64,
}

/// The ends that were noticed by this process. Those before it are in the store.
#[derive(Debug, Default)]
pub struct Noticed {
    ends: HashSet<End>,
    /// What is written down of ends is of those that are ends still.
    is_tidy: bool,
}

impl Noticed {
    /// Ends that have come since the last look.
    pub fn look(&mut self, credentials: &Credentials, now_us: u64) -> Vec<End> {
        let ends = ends(credentials, now_us);
        let new = ends.difference(&self.ends).cloned().collect();
        // What has gone, or was prolonged, may end again, and at the same time.
        self.is_tidy &= self.ends.is_subset(&ends);
        self.ends = ends;
        new
    }

    /// Whether that end of a credential was noticed.
    pub fn knows(&self, id: &str, end_us: u64) -> bool {
        self.ends.contains(&End { id: id.to_owned(), key: None, end_us })
    }

    fn forget(&mut self, ends: &[End]) {
        for end in ends {
            self.ends.remove(end);
        }
    }
}

/// All that come until then.
fn ends(credentials: &Credentials, until_us: u64) -> HashSet<End> {
    let over = |end: &Option<u64>| end.filter(|end| *end <= until_us);
    let mut ends = HashSet::new();
    for credential in credentials.iter() {
        let id = &credential.id;
        ends.extend(over(&credential.policy.expires_us).map(|end_us| End { id: id.clone(), key: None, end_us }));
        for key in &credential.keys {
            let end = |end_us| End { id: id.clone(), key: Some(key.id.clone()), end_us };
            ends.extend(over(&key.expires_us).map(end));
        }
    }
    ends
}

/// Tells sessions and the log of what has just ended, and holds what a credential that has leaves in the queue.
pub async fn look(vault: &Rc<Vault>) {
    let (new, all) = {
        let mut authority = vault.authority.borrow_mut();
        let authority = &mut *authority;
        let new = authority.noticed.look(&authority.credentials, authority.clock.now().wall_us);
        (new, (!authority.noticed.is_tidy).then(|| ends(&authority.credentials, u64::MAX)))
    };
    if !new.is_empty() {
        // Nobody may listen: there may be no edge now.
        let _ = vault.changed.send(());
    }
    let (own, keys): (Vec<End>, Vec<End>) = new.into_iter().partition(|end| end.key.is_none());
    let mut over = None;
    if !own.is_empty() {
        let own: Vec<Over> = {
            // What becomes of the mail of one that is disabled was said when it was.
            let authority = vault.authority.borrow();
            let is_enabled = |id: &str| authority.credentials.get(id).is_some_and(|own| own.enabled);
            own.into_iter().map(|end| Over { is_enabled: is_enabled(&end.id), end }).collect()
        };
        vault.schedule.borrow_mut().barred.bar(barred(&own));
        over = Some(settle_all(Rc::clone(vault), own, Until::now(vault)));
    }
    if let Some(all) = all {
        tidy(vault, all).await;
    }
    if let Some(over) = over {
        spawn_local(over);
    }
    if !keys.is_empty() {
        write(vault, keys).await;
    }
}

/// The end of a credential, whose mail is held if it was enabled.
struct Over {
    end: End,
    is_enabled: bool,
}

/// Of whom nothing is offered meanwhile.
fn barred(all: &[Over]) -> impl Iterator<Item = &String> {
    all.iter().filter(|over| over.is_enabled).map(|over| &over.end.id)
}

/// How often it is looked whether a wall's clock that is ahead was set back.
const GLANCE: Duration = Duration::from_secs(1);
/// Ends that are written down in one transaction.
const AT_ONCE: usize = 100;

/// Credentials are over that were noticed together. An end counts when it has come by both clocks: a wall's clock that is ahead keeps
/// mail here and holds none of it, as who holds needs somebody who releases. One whose wall's clock is set back, or that is moved, is none.
async fn settle_all(vault: Rc<Vault>, mut all: Vec<Over>, until: Until) {
    loop {
        let before = all.len();
        let (come, rest): (Vec<Over>, Vec<Over>) = {
            let authority = vault.authority.borrow();
            let (knows, passed_us) = (&authority.noticed, authority.clock.passed_us());
            let is_known = |over: &Over| knows.knows(&over.end.id, over.end.end_us);
            let (known, moved): (Vec<Over>, Vec<Over>) = all.into_iter().partition(is_known);
            vault.schedule.borrow_mut().barred.free(barred(&moved));
            known.into_iter().partition(|over| over.end.end_us <= passed_us)
        };
        if !come.is_empty() {
            settle(&vault, &come, until).await;
            vault.schedule.borrow_mut().barred.free(barred(&come));
        }
        if rest.len() < before {
            vault.poke.notify_one();
        }
        if rest.is_empty() {
            return;
        }
        all = rest;
        tokio::time::sleep(GLANCE).await;
    }
}

/// They are written down when their mail is held: until then the next start does both again, and after that neither.
async fn settle(vault: &Vault, all: &[Over], until: Until) {
    let asked: Vec<End> = all.iter().map(|over| over.end.clone()).collect();
    let known = vault.writer.run(move |store| {
        asked
            .iter()
            .map(|end| store.credentials.has_ended(&end.id, end.end_us))
            .collect::<rusqlite::Result<Vec<bool>>>()
    });
    let known = known.await.unwrap_or_default();
    let is_known = known.into_iter().chain(std::iter::repeat(false));
    let new: Vec<&Over> = all.iter().zip(is_known).filter(|(_, is_known)| !is_known).map(|(over, _)| over).collect();
    let held = new.iter().filter(|over| over.is_enabled).map(|over| (over.end.id.clone(), Why::Expired));
    revoked::hold(vault, held.collect(), until).await;
    for some in new.chunks(AT_ONCE) {
        write(vault, some.iter().map(|over| over.end.clone()).collect()).await;
    }
}

/// What is written down of ends that were moved or have gone is forgotten: the same one can come again. Beside it nothing new is settled.
async fn tidy(vault: &Vault, all: HashSet<End>) {
    let forgotten = vault.writer.run(move |store| {
        for (id, key, end_us) in store.credentials.all_ended()? {
            let end = End { id, key: (!key.is_empty()).then_some(key), end_us };
            if !all.contains(&end) {
                store.credentials.not_ended(&end.id, end.key.as_deref())?;
            }
        }
        Ok(())
    });
    // No room on the disk: the next look does it.
    vault.authority.borrow_mut().noticed.is_tidy = forgotten.await.is_ok();
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
        noticed.is_tidy = true;
        assert_eq!((noticed.look(&shop(Some(20)), 21), noticed.is_tidy), (vec![], true));
        assert_eq!((noticed.look(&shop(None), 30), noticed.is_tidy), (vec![], false));
        assert_eq!(noticed.look(&shop(Some(20)), 31).len(), 1);
    }
}
