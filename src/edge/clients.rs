//! Certificates of clients: whose are believed, and what one shows.

use std::sync::Arc;

use rustls::RootCertStore;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use sha2::{Digest, Sha256};

use super::certificates;
use crate::certificate::validity;
use crate::config::slice::ClientCertificates;
use crate::policy::certificate::{MOST_NAMES, Presented};

/// What asks for certificates and verifies them, by these authorities.
pub fn verifier(
    authorities: Vec<CertificateDer<'_>>,
    asked: ClientCertificates,
) -> Result<Arc<dyn ClientCertVerifier>, String> {
    let roots = roots(authorities)?;
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::new(default_provider()));
    let builder = match asked {
        ClientCertificates::Request => builder.allow_unauthenticated(),
        ClientCertificates::Require => builder,
    };
    builder.build().map_err(|error| format!("nobody can be verified with it: {error}"))
}

/// Those by whom clients are believed. Whatever is among them is believed for any name, whether or not it says of itself that it
/// may sign and whenever it ends: so one that isn't made to sign is refused here, as its key may be any device's.
pub fn roots(authorities: Vec<CertificateDer<'_>>) -> Result<RootCertStore, String> {
    let (mut roots, now) = (RootCertStore::empty(), UnixTime::now());
    for (at, authority) in authorities.into_iter().enumerate() {
        let number = at + 1;
        if !validity::is_authority(&authority, now) {
            return Err(format!(
                "certificate {number} in it is no authority's (version 3, CA:TRUE, no unusual critical extension), and who has its \
                 key could sign for any client: take it out, and name the authority that signed the clients' certificates"
            ));
        }
        roots.add(authority).map_err(|error| format!("certificate {number} in it can't be an authority's: {error}"))?;
    }
    Ok(roots)
}

/// The first of them whose own time is not now. It is believed all the same, for nobody judges that time.
pub fn outdated(authorities: &[CertificateDer<'_>], now: UnixTime) -> Option<String> {
    let fault = |one| validity::fault(std::slice::from_ref(one), now);
    authorities.iter().enumerate().find_map(|(at, one)| Some(format!("certificate {}: {}", at + 1, fault(one)?)))
}

/// What the vault is told of a certificate that was verified.
pub fn presented(leaf: &CertificateDer<'_>) -> Option<Presented> {
    let parsed = ParsedCertificate::try_from(leaf).ok()?;
    let key = Sha256::digest(parsed.subject_public_key_info()).into();
    let names = certificates::names(leaf).unwrap_or_default();
    let names = names.into_iter().filter(|name| !name.contains('*')).take(MOST_NAMES).collect();
    Some(Presented { key, names })
}
