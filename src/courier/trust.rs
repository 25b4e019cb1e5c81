//! Whom an upstream's courier believes (rule U4): by authority and name, by the key itself, or, where that was asked for, anybody.

use std::fmt;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, OtherError, RootCertStore, SignatureScheme,
};
use tokio_rustls::TlsConnector;

use super::{lookout, tls};
use crate::certificate::facts;
use crate::ipc::shown::Belief;

/// What to believe, and what to show.
#[derive(Debug, Default)]
pub struct Trust<'a> {
    /// A PEM bundle of authorities, one of which must have signed for the name.
    pub authorities: Option<&'a [u8]>,
    /// SHA-256 of public keys (SubjectPublicKeyInfo), one of which it must have. Any, if there are none.
    pub pins: Vec<[u8; 32]>,
    /// Our own certificate with its chain, and its key, both PEM, for an upstream that asks for one.
    pub own: Option<(&'a [u8], &'a [u8])>,
}

/// A connector that believes accordingly. Errors: what can't be used.
pub fn connector(trust: Trust<'_>) -> Result<TlsConnector, String> {
    let provider = Arc::new(ring::default_provider());
    let algorithms = provider.signature_verification_algorithms;
    let authority = match trust.authorities {
        None => None,
        Some(bundle) => {
            let roots: Arc<RootCertStore> = Arc::new(tls::roots(bundle)?);
            let verifier = WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(&provider)).build();
            Some(verifier.map_err(|error| format!("the bundle of authorities can't be used: {error}"))?)
        }
    };
    let verifier = Verifier { authority, pins: trust.pins, algorithms };
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("TLS can't be set up: {error}"))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let config = match trust.own {
        None => builder.with_no_client_auth(),
        Some((chain, key)) => {
            let chain: Vec<_> = CertificateDer::pem_slice_iter(chain)
                .collect::<Result<_, _>>()
                .map_err(|error| format!("client_certificate is not PEM: {error}"))?;
            let key = PrivateKeyDer::from_pem_slice(key)
                .map_err(|error| format!("client_key is not a private key in PEM form: {error}"))?;
            builder
                .with_client_auth_cert(chain, key)
                .map_err(|error| format!("client_key does not serve client_certificate: {error}"))?
        }
    };
    Ok(TlsConnector::from(Arc::new(config)))
}

/// In every case the other side shows that it has the key of its certificate; whose that is, `authority` and `pins` decide, and
/// both must agree.
#[derive(Debug)]
struct Verifier {
    authority: Option<Arc<WebPkiServerVerifier>>,
    pins: Vec<[u8; 32]>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        lookout::came(end_entity, intermediates);
        if let Some(authority) = &self.authority {
            authority.verify_server_cert(end_entity, intermediates, name, ocsp_response, now)?;
        }
        if !self.pins.is_empty() {
            let key = facts::key(end_entity).ok_or(CertificateError::BadEncoding)?;
            if !self.pins.contains(&key) {
                let unpinned = Unpinned(key);
                return Err(CertificateError::Other(OtherError(Arc::new(unpinned))).into());
            }
        }
        lookout::believed(match (&self.authority, self.pins.is_empty()) {
            (Some(_), true) => Belief::Verified,
            (Some(_), false) => Belief::VerifiedAndPinned,
            (None, false) => Belief::Pinned,
            (None, true) => Belief::Anybody,
        });
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// A key that is none of those that are pinned, as it would have to be written.
struct Unpinned([u8; 32]);

impl fmt::Display for Unpinned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "its key is none of those that pin has; it is {}", facts::pin(&self.0))
    }
}

/// The same: this is what rustls shows of it.
impl fmt::Debug for Unpinned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Unpinned {}
