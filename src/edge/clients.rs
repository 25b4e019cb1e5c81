//! Certificates of clients: whose are believed, and what one shows.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::CertificateDer;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use sha2::{Digest, Sha256};

use super::{certificates, tls};
use crate::config::slice::ClientCertificates;
use crate::policy::certificate::{MOST_NAMES, Presented};

/// What asks for certificates and verifies them, by the authorities in this PEM file.
pub fn verifier(authorities: OwnedFd, asked: ClientCertificates) -> Result<Arc<dyn ClientCertVerifier>, String> {
    let mut roots = RootCertStore::empty();
    for authority in tls::read_chain(authorities)? {
        roots.add(authority).map_err(|error| format!("a certificate in it is none of an authority: {error}"))?;
    }
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::new(default_provider()));
    let builder = match asked {
        ClientCertificates::Request => builder.allow_unauthenticated(),
        ClientCertificates::Require => builder,
    };
    builder.build().map_err(|error| format!("nobody can be verified with it: {error}"))
}

/// What the vault is told of a certificate that was verified.
pub fn presented(leaf: &CertificateDer<'_>) -> Option<Presented> {
    let parsed = ParsedCertificate::try_from(leaf).ok()?;
    let key = Sha256::digest(parsed.subject_public_key_info()).into();
    let names = certificates::names(leaf).unwrap_or_default();
    let names = names.into_iter().filter(|name| !name.contains('*')).take(MOST_NAMES).collect();
    Some(Presented { key, names })
}
