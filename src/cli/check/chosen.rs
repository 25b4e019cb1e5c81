//! Certificates that no client is ever shown, although a listener names them.

use std::collections::BTreeSet;
use std::path::Path;

use rustls::SignatureScheme;
use rustls::pki_types::CertificateDer;
use rustls::sign::CertifiedKey;
use webpki::EndEntityCert;

use crate::config::plan::{Listener, Plan};

/// One of each kind of key that a keyholder has.
const KINDS: [SignatureScheme; 4] = [
    SignatureScheme::RSA_PSS_SHA256,
    SignatureScheme::ECDSA_NISTP256_SHA256,
    SignatureScheme::ECDSA_NISTP384_SHA384,
    SignatureScheme::ED25519,
];

/// A warning for each one that comes after another of the same kind of key which has all its names.
pub fn never(path: &Path, plan: &Plan, pairs: &[(u16, CertifiedKey)]) -> Vec<String> {
    plan.listeners.iter().flat_map(|listener| never_at(path, plan, listener, pairs)).collect()
}

fn never_at(path: &Path, plan: &Plan, listener: &Listener, pairs: &[(u16, CertifiedKey)]) -> Vec<String> {
    let (mut chosen, mut kinds) = (BTreeSet::new(), BTreeSet::new());
    let mut warnings = Vec::new();
    for number in &listener.certificates {
        let Some((_, pair)) = pairs.iter().find(|(known, _)| known == number) else { continue };
        let kind = kind(pair);
        // The first of its kind is for those who ask for no name.
        let mut is_chosen = kinds.insert(kind);
        for name in pair.cert.first().map(names).unwrap_or_default() {
            is_chosen |= chosen.insert((name, kind));
        }
        let file = plan.certificates.iter().find(|certificate| certificate.number == *number);
        if let (false, Some(file)) = (is_chosen, file) {
            warnings.push(format!(
                "{}: warning: listener {:?}: {} is never shown: it bears no DNS name that an earlier certificate with such a \
                 key does not bear too",
                path.display(),
                listener.name,
                file.chain
            ));
        }
    }
    warnings
}

fn kind(pair: &CertifiedKey) -> Option<u16> {
    KINDS.into_iter().find(|kind| pair.key.choose_scheme(&[*kind]).is_some()).map(u16::from)
}

fn names(leaf: &CertificateDer<'_>) -> Vec<String> {
    EndEntityCert::try_from(leaf)
        .map(|leaf| leaf.valid_dns_names().map(str::to_ascii_lowercase).collect())
        .unwrap_or_default()
}
