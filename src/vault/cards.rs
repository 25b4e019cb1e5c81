//! Credentials as an API shows them: see `ipc::card`.

use super::Vault;
use super::authority::Authority;
use super::login::credentials::{Credential, Key};
use crate::config::slice::Counter;
use crate::ipc::card::{Card, CardKey, MOST_CARDS, MOST_KEYS, MOST_OCTETS, Which};
use crate::ipc::inquiry::Finding;

/// A credential, with these of its keys, as it is on a listener.
pub fn card<'k>(
    authority: &Authority,
    credential: &Credential,
    keys: impl IntoIterator<Item = &'k Key>,
    listener: &Counter,
    now_us: u64,
) -> Card {
    let policy = &credential.policy;
    let key = |key: &Key| CardKey { id: key.id.clone(), expires_us: key.expires_us };
    Card {
        id: credential.id.clone(),
        enabled: credential.enabled,
        expired: policy.is_over(now_us),
        keys: keys.into_iter().take(MOST_KEYS).map(key).collect(),
        scopes: policy.scopes.clone(),
        senders: policy.senders.clone(),
        recipients: policy.recipients.clone(),
        networks: policy.networks.clone(),
        certificate: !credential.certificates.is_empty(),
        limits: policy.limits,
        max_size: policy.max_size,
        max_recipients: authority.most_recipients(credential),
        delivery: policy.delivery(listener.delivery),
        mask: policy.mask.unwrap_or(authority.slice.audit.mask),
        created_us: Some(credential.since_us).filter(|since_us| *since_us > 0),
        expires_us: policy.expires_us,
        last_day: authority.limits.last_day(&credential.id),
        test: policy.test,
    }
}

/// Those that are asked for, as many of them as fit into one answer; at least one, if there is any.
pub fn cards(vault: &Vault, which: Which, listener: &Counter, now_us: u64) -> Finding {
    let authority = vault.authority.borrow();
    let card = |credential: &Credential| card(&authority, credential, &credential.keys, listener, now_us);
    let (most, is_backwards) = match which {
        Which::One(id) => {
            let cards = authority.credentials.get(&id).map(|one| card(one)).into_iter().collect();
            return Finding::Cards { cards, more: false };
        }
        Which::After(_, most) => (most, false),
        Which::Before(_, most) => (most, true),
    };
    let mut ids: Vec<&str> = authority.credentials.iter().map(|one| one.id.as_str()).collect();
    match &which {
        Which::After(Some(cursor), _) => ids.retain(|id| *id > cursor.as_str()),
        Which::Before(cursor, _) => ids.retain(|id| *id < cursor.as_str()),
        Which::After(None, _) | Which::One(_) => {}
    }
    let by = |a: &&str, b: &&str| if is_backwards { b.cmp(a) } else { a.cmp(b) };
    // One more than is told, to know that there are more. There may be many, and sorting them all would keep others waiting.
    let most = usize::from(most.clamp(1, MOST_CARDS));
    if ids.len() > most + 1 {
        ids.select_nth_unstable_by(most, by);
        ids.truncate(most + 1);
    }
    ids.sort_unstable_by(by);
    let (mut cards, mut octets, mut more) = (Vec::new(), 0_usize, false);
    for one in ids.into_iter().filter_map(|id| authority.credentials.get(id)) {
        let one = card(one);
        octets = octets.saturating_add(postcard::to_stdvec(&one).map_or(usize::MAX, |encoded| encoded.len()));
        let is_full = cards.len() >= most || octets > MOST_OCTETS;
        if is_full && !cards.is_empty() {
            more = true;
            break;
        }
        cards.push(one);
    }
    if is_backwards {
        cards.reverse();
    }
    Finding::Cards { cards, more }
}
