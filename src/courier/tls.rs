//! TLS towards an upstream or a witness: verified against the name that the configuration gives it (rule U4). What else an upstream
//! can be believed by is in `trust`.

use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ProtocolVersion, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::dial::Connection;
use super::lookout;

/// Two round trips and a signature.
const HANDSHAKE: Duration = Duration::from_secs(60);

/// TCP, or TLS over it.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A connector that trusts the authorities of a PEM bundle. Errors: none in it, or not PEM.
pub fn connector(bundle: &[u8]) -> Result<TlsConnector, String> {
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("TLS can't be set up: {error}"))?
        .with_root_certificates(roots(bundle)?)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

/// The authorities of a PEM bundle. Errors: none in it, or not PEM.
pub fn roots(bundle: &[u8]) -> Result<RootCertStore, String> {
    let certificates: Vec<CertificateDer<'_>> = CertificateDer::pem_slice_iter(bundle)
        .collect::<Result<_, _>>()
        .map_err(|error| format!("the bundle of authorities is not PEM: {error}"))?;
    let mut roots = RootCertStore::empty();
    // A system's bundle may hold old certificates that can't be used; the others still can.
    let (added, ignored) = roots.add_parsable_certificates(certificates);
    if added == 0 {
        return Err("the bundle of authorities has no certificate that can be used".into());
    }
    tracing::debug!(added, ignored, "authorities read");
    Ok(roots)
}

/// A connection under TLS.
pub struct Protected {
    pub stream: Box<dyn Stream>,
    pub version: &'static str,
    /// What a login can be bound to this session by (RFC 9266). Before TLS 1.3 it could be the same for two sessions.
    pub exported: Option<[u8; 32]>,
}

/// Shakes hands. Errors say why the other side was not believed.
pub async fn protect(connector: &TlsConnector, host: &str, stream: Box<dyn Stream>) -> Result<Protected, String> {
    let stream = connector.connect(name(host)?, stream).await.map_err(|error| error.to_string())?;
    let session = stream.get_ref().1;
    let (version, exported) = match session.protocol_version() {
        Some(ProtocolVersion::TLSv1_3) => {
            let exported = session.export_keying_material([0; 32], b"EXPORTER-Channel-Binding", Some(b""));
            ("TLSv1.3", exported.ok())
        }
        _ => ("TLSv1.2", None),
    };
    let suite = session.negotiated_cipher_suite().and_then(|suite| suite.suite().as_str());
    lookout::agreed(version, suite.unwrap_or("a suite without a name"));
    Ok(Protected { stream: Box::new(stream), version, exported })
}

/// Makes a connection ready for a request to `host`, and tells its TLS version. Without a connector it is spoken to in clear, which is
/// for this machine alone. Errors: what failed.
pub async fn ready(
    connection: Connection,
    connector: Option<&TlsConnector>,
    host: &str,
) -> Result<(Box<dyn Stream>, Option<&'static str>), String> {
    let Connection { socket, address, .. } = connection;
    match connector {
        Some(connector) => {
            let shaken = timeout(HANDSHAKE, protect(connector, host, Box::new(socket))).await;
            let shaken = shaken.map_err(|_| format!("TLS: no handshake within {} s", HANDSHAKE.as_secs()))?;
            let Protected { stream, version, .. } = shaken.map_err(|reason| format!("TLS: {reason}"))?;
            Ok((stream, Some(version)))
        }
        None if address.ip().to_canonical().is_loopback() => Ok((Box::new(socket), None)),
        None => Err("in clear it is spoken to on this machine alone".to_owned()),
    }
}

/// The name or address that the certificate must bear.
pub fn name(host: &str) -> Result<ServerName<'static>, String> {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    ServerName::try_from(bare.trim_end_matches('.').to_owned())
        .map_err(|_| format!("{host} is no name that a certificate can bear"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_without_a_certificate_is_refused() {
        assert!(connector(b"").is_err());
        assert!(connector(b"-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n").is_err());
    }

    #[test]
    fn names_and_addresses_are_told_apart() {
        assert!(matches!(name("mx.example.net.").unwrap(), ServerName::DnsName(_)));
        assert!(matches!(name("192.0.2.1").unwrap(), ServerName::IpAddress(_)));
        assert!(matches!(name("[2001:db8::1]").unwrap(), ServerName::IpAddress(_)));
        assert!(name("not a name").is_err());
    }
}
