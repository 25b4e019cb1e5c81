//! The secrets of a credential, of which the file has hashes and derived keys alone.

use crate::config::file;
use crate::config::findings::Findings;
use crate::config::slice::DeclaredSecret;
use crate::policy::derived::Keys;
use crate::policy::{phc, principal};

/// Secrets of one credential: the current one and, while it is replaced, the other.
const MOST: usize = 2;

pub fn plan(written: &file::Credential, findings: &mut Findings<'_>) -> Vec<DeclaredSecret> {
    if let Some(beyond) = written.secrets.get(MOST) {
        findings.refuse(beyond.span(), format!("secrets: at most {MOST}, the current one and its successor"));
    }
    let mut secrets: Vec<DeclaredSecret> = Vec::new();
    let mut before: Option<Keys> = None;
    for table in &written.secrets {
        let file::KeyHash { key: Some(key), hash: Some(hash), scram } = table.get_ref() else {
            findings.refuse(table.span(), "secrets: each is { key = \"...\", hash = \"$argon2id$...\" }");
            continue;
        };
        if !principal::is_key_id(key.get_ref()) {
            findings.refuse(key.span(), "key: 4 to 32 letters and digits: the public part of the key");
        } else if secrets.iter().any(|known| known.key == *key.get_ref()) {
            findings.refuse(key.span(), "key: the two secrets of a credential need different key ids");
        }
        if let Err(why) = phc::check(hash.get_ref().expose()) {
            findings.refuse(hash.span(), format!("hash: {why}"));
        }
        if let Some(scram) = scram {
            match (Keys::parse(scram.get_ref().expose()), &before) {
                (Err(why), _) => findings.refuse(scram.span(), format!("scram: {why}")),
                (Ok(keys), Some(other)) if !keys.is_beside(other) => {
                    let text = "scram: the two secrets of a credential need the same salt and iterations, or only one of \
                                them could log in: make this one with `gatepost credential hash --scram --beside COUNT:SALT`";
                    findings.refuse(scram.span(), text);
                }
                (Ok(keys), _) => before = Some(keys),
            }
        }
        let scram = scram.as_ref().map(|scram| scram.get_ref().clone());
        secrets.push(DeclaredSecret { key: key.get_ref().clone(), hash: hash.get_ref().clone(), scram });
    }
    secrets
}
