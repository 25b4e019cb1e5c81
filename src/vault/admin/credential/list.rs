//! The credentials there are, as an administrator may see them.

use crate::config::slice::{Declared, DeclaredSecret};
use crate::ipc::admin::credential::{Entry, KeyEntry};
use crate::vault::store::Store;
use crate::vault::store::credentials::Stored;

/// All of them, by id. What is declared comes before what the vault has under the same id, which is not in force.
pub fn entries(
    store: &mut Store<'_>,
    declared: &[Declared],
    stored: &[Stored],
    now_us: u64,
) -> rusqlite::Result<Vec<Entry>> {
    let mut entries: Vec<Entry> = declared.iter().map(|declared| of_file(declared, now_us)).collect();
    entries.extend(stored.iter().map(|stored| of_vault(stored, now_us)));
    entries.sort_by(|a, b| a.id.cmp(&b.id).then(b.declared.cmp(&a.declared)));
    for entry in &mut entries {
        entry.last_day = store.consumption.last_day(&entry.id)?;
        entry.suspended_us = store.consumption.suspended(&entry.id)?.filter(|until_us| *until_us > now_us);
    }
    Ok(entries)
}

fn of_file(declared: &Declared, now_us: u64) -> Entry {
    let key = |secret: &DeclaredSecret| KeyEntry {
        id: secret.key.clone(),
        created_us: None,
        expires_us: None,
        expired: false,
        generated: false,
        scram: secret.scram.is_some(),
    };
    Entry {
        id: declared.id.clone(),
        policy: declared.policy.clone(),
        declared: true,
        enabled: declared.enabled,
        expired: declared.policy.is_over(now_us),
        created_us: None,
        keys: declared.secrets.iter().map(key).collect(),
        certificates: declared.certificates.iter().map(ToString::to_string).collect(),
        last_day: None,
        suspended_us: None,
    }
}

fn of_vault(stored: &Stored, now_us: u64) -> Entry {
    Entry {
        id: stored.id.clone(),
        policy: stored.policy.clone(),
        declared: false,
        enabled: stored.disabled_us.is_none(),
        expired: stored.policy.is_over(now_us),
        created_us: Some(stored.created_us),
        keys: stored
            .keys
            .iter()
            .map(|key| KeyEntry {
                id: key.id.clone(),
                created_us: Some(key.created_us),
                expires_us: key.expires_us,
                expired: key.expires_us.is_some_and(|end| end <= now_us),
                generated: key.tag.is_some(),
                scram: key.scram.is_some(),
            })
            .collect(),
        certificates: Vec::new(),
        last_day: None,
        suspended_us: None,
    }
}
