//! Credentials that stand in the file: who they are, what they may do, and that none of them opens a relay.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::str::FromStr;

use argon2::password_hash::phc::PasswordHash;
use ipnet::IpNet;
use serde::Serialize;

use super::file::{self, At};
use super::findings::Findings;
use super::limits::{Bound, whole};
use super::plan::word;
use super::slice::Declared;
use super::{Mode, name, rates};
use crate::policy::rule::NotARule;
use crate::policy::{DEFAULT_RECIPIENTS, Delivery, MAX_ENCODED, Policy, Recipients, principal};
use crate::secret::Secret;

/// Secrets of one credential: the current one and, while it is replaced, the other.
const MOST_SECRETS: usize = 2;
/// The most memory that checking one password may take, in KiB: a hash made elsewhere could ask for all there is.
const MOST_HASH_MEMORY: u32 = 256 * 1024;
/// Recipients of one message. Few upstreams take more than a thousand; each is a row, an event and a limit.
const MAX_RECIPIENTS: Bound<u32> = Bound { key: "max_recipients", default: DEFAULT_RECIPIENTS, least: 1, most: 10_000 };
/// Networks of one credential.
const MOST_NETWORKS: usize = 64;
/// The widest networks that may stand for a password: 10.0.0.0/8 is the largest private one, and a /32 the least that a
/// provider gets. Anything wider would be an open relay by another name.
const WIDEST_V4: u8 = 8;
const WIDEST_V6: u8 = 32;

pub fn plan(tables: &[At<file::Credential>], mode: Mode, findings: &mut Findings<'_>) -> Vec<Declared> {
    let (mut ids, mut networks) = (BTreeSet::new(), BTreeSet::new());
    let mut credentials = Vec::new();
    for table in tables {
        let written = table.get_ref();
        let delivery = written.delivery.as_ref().and_then(|delivery| {
            word(delivery, "delivery", &[("spool", Delivery::Spool)], &["direct", "fallback"], findings)
        });
        let policy = Policy {
            senders: rules(&written.senders, "senders", findings),
            recipients: Recipients {
                allow: rules(&written.recipients.allow, "recipients.allow", findings),
                deny: rules(&written.recipients.deny, "recipients.deny", findings),
            },
            limits: rates::limits(&written.limits, findings),
            delivery: delivery.unwrap_or_default(),
            identified_by: identified_by(&written.identified_by, &mut networks, findings),
            max_recipients: written
                .max_recipients
                .as_ref()
                .map(|_| whole(&written.max_recipients, &MAX_RECIPIENTS, findings)),
        };
        let credential = Declared { id: id(table, &mut ids, findings), secrets: secrets(written, findings), policy };
        judge(&credential, table, findings);
        credentials.push(credential);
    }
    if mode.is_world_readable() && credentials.iter().any(|credential| !credential.secrets.is_empty()) {
        findings.warn(None, "everybody can read this file, and it holds password hashes: chmod o-r");
    }
    credentials
}

/// What no single key shows: a grant that fits no frame, a credential that nobody can use, an open relay.
fn judge(credential: &Declared, table: &At<file::Credential>, findings: &mut Findings<'_>) {
    let Declared { id, secrets, policy } = credential;
    if encoded(&(&policy.senders, &policy.recipients)) > MAX_ENCODED {
        let text = format!(
            "credential {id:?}: its senders and recipients take more than {} KiB together; use \"@domain\" or \".suffix\"",
            MAX_ENCODED / 1024
        );
        findings.refuse(table.span(), text);
    }
    if policy.identified_by.is_empty() {
        if secrets.is_empty() && table.get_ref().secrets.is_empty() {
            let text = format!("credential {id:?} has neither secrets nor identified_by: nobody could ever be it");
            findings.refuse(table.span(), text);
        }
        return;
    }
    if let Some(rule) = table.get_ref().senders.iter().find(|rule| rule.get_ref() == "*") {
        let text = "senders: \"*\" with identified_by is an open relay for that network: name addresses or domains";
        findings.refuse(rule.span(), text);
    }
    let rates = policy.limits.rates();
    if rates.per_minute.or(rates.per_hour).or(rates.per_day).is_none() {
        let text = format!("credential {id:?}: identified_by needs limits: per_minute, per_hour or per_day");
        findings.refuse(table.span(), text);
    }
}

fn id(table: &At<file::Credential>, ids: &mut BTreeSet<String>, findings: &mut Findings<'_>) -> String {
    let Some(written) = &table.get_ref().id else {
        findings.refuse(table.span(), "id is missing");
        return String::new();
    };
    let text = written.get_ref();
    if !principal::is_id(text) {
        findings.refuse(written.span(), format!("id: {text:?}: write {}", principal::ID));
    } else if !ids.insert(text.clone()) {
        findings.refuse(written.span(), format!("id: {text:?} is used twice"));
    }
    text.clone()
}

fn rules<R: FromStr<Err = NotARule>>(list: &[At<String>], key: &str, findings: &mut Findings<'_>) -> Vec<R> {
    let mut rules = Vec::new();
    for written in list {
        match written.get_ref().parse() {
            Ok(rule) => rules.push(rule),
            Err(why) => findings.refuse(written.span(), format!("{key}: {why}")),
        }
    }
    rules
}

fn identified_by(list: &[At<String>], taken: &mut BTreeSet<IpNet>, findings: &mut Findings<'_>) -> Vec<IpNet> {
    if let Some(beyond) = list.get(MOST_NETWORKS) {
        findings.refuse(beyond.span(), format!("identified_by: at most {MOST_NETWORKS} networks"));
    }
    let mut networks = Vec::new();
    for written in list {
        match network(written.get_ref()) {
            Err(why) => findings.refuse(written.span(), format!("identified_by: {why}")),
            Ok(network) if !taken.insert(network) => {
                findings
                    .refuse(written.span(), format!("identified_by: {network} stands for another credential already"));
            }
            Ok(network) => networks.push(network),
        }
    }
    networks
}

/// A network, or one address.
fn network(text: &str) -> Result<IpNet, String> {
    let parsed = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
    let network = parsed.map_err(|_| format!("{text:?} is not a network: write \"192.0.2.0/28\" or one address"))?;
    if network.addr() != network.network() {
        return Err(format!("{text:?} has bits beyond its prefix: {} is meant?", network.trunc()));
    }
    let widest = if network.addr().is_ipv4() { WIDEST_V4 } else { WIDEST_V6 };
    match network.prefix_len() < widest {
        true => Err(format!("{text:?} is too wide to stand for a password: /{widest} at the widest")),
        false => Ok(network),
    }
}

fn secrets(written: &file::Credential, findings: &mut Findings<'_>) -> Vec<(String, Secret<String>)> {
    if let Some(beyond) = written.secrets.get(MOST_SECRETS) {
        findings.refuse(beyond.span(), format!("secrets: at most {MOST_SECRETS}, the current one and its successor"));
    }
    let mut secrets: Vec<(String, Secret<String>)> = Vec::new();
    for table in &written.secrets {
        let file::KeyHash { key: Some(key), hash: Some(hash) } = table.get_ref() else {
            findings.refuse(table.span(), "secrets: each is { key = \"...\", hash = \"$argon2id$...\" }");
            continue;
        };
        if !name::is_key_id(key.get_ref()) {
            findings.refuse(key.span(), "key: 4 to 32 letters and digits: the public part of the key");
        } else if secrets.iter().any(|(known, _)| known == key.get_ref()) {
            findings.refuse(key.span(), "key: the two secrets of a credential need different key ids");
        }
        if let Err(why) = check_hash(hash.get_ref().expose()) {
            findings.refuse(hash.span(), format!("hash: {why}"));
        }
        secrets.push((key.get_ref().clone(), hash.get_ref().clone()));
    }
    secrets
}

/// A whole argon2id PHC string. The text is never repeated: it may be a password in the wrong place.
fn check_hash(text: &str) -> Result<(), &'static str> {
    let hash = PasswordHash::new(text).map_err(|_| "is not a PHC string; one begins with $argon2id$v=19$m=...")?;
    if hash.algorithm.as_str() != "argon2id" {
        return Err("is not argon2id; nothing else is accepted");
    }
    if hash.salt.is_none() || hash.hash.is_none() {
        return Err("lacks its salt or its end: it was cut short");
    }
    match argon2::Params::try_from(&hash) {
        Ok(parameters) if parameters.m_cost() <= MOST_HASH_MEMORY => Ok(()),
        Ok(_) => Err("asks for more than 256 MiB of memory for each login"),
        Err(_) => Err("has parameters that argon2id can't have"),
    }
}

/// Octets between processes.
pub fn encoded(value: &impl Serialize) -> usize {
    postcard::to_stdvec(value).map_or(usize::MAX, |octets| octets.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_that_would_make_an_open_relay_are_refused() {
        for text in ["0.0.0.0/0", "::/0", "8.0.0.0/7", "2000::/3", "192.0.2.1/24", "printer", ""] {
            assert!(network(text).is_err(), "{text}");
        }
        for text in ["10.0.0.0/8", "192.0.2.7", "2001:db8::/48", "::1"] {
            assert!(network(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn only_whole_argon2id_hashes_are_taken() {
        const GOOD: &str = "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$\
                            cmFuZG9tIG9jdGV0cyBvZiBhIGhhc2ggLSAzMiBsb25n";
        assert_eq!(check_hash(GOOD), Ok(()));
        let bad = [
            "hunter2",
            "$2b$12$abcdefghijklmnopqrstuv",
            "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA",
            &GOOD.replace("argon2id", "argon2i"),
            &GOOD.replace("m=19456", "m=4194304"),
            &GOOD.replace("p=1", "p=0"),
        ];
        for text in bad {
            let why = check_hash(text).unwrap_err();
            assert!(!why.contains("hunter2"), "{text}");
        }
    }
}
