//! What a certificate says of itself, believed or not: its names and its key.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::{CertificateDer, ServerName};
use sha2::{Digest, Sha256};
use webpki::EndEntityCert;

/// SHA-256 of its public key (SubjectPublicKeyInfo), which outlives a certificate that is renewed with the same key. None: it can't
/// be read.
pub fn key(certificate: &CertificateDer<'_>) -> Option<[u8; 32]> {
    let parsed = EndEntityCert::try_from(certificate).ok()?;
    Some(Sha256::digest(parsed.subject_public_key_info()).into())
}

/// That hash as the setting `pin` takes it.
pub fn pin(key: &[u8; 32]) -> String {
    format!("sha256:{}", STANDARD.encode(key))
}

/// The host names that it bears, and the address that was asked for, if it bears that: other addresses can't be read out of it. Those
/// are names alone that are well-formed.
pub fn names<'a>(certificate: &'a CertificateDer<'a>, asked: &ServerName<'_>) -> impl Iterator<Item = String> {
    let parsed = EndEntityCert::try_from(certificate).ok();
    let address = match (&parsed, asked) {
        (Some(parsed), ServerName::IpAddress(address)) if parsed.verify_is_valid_for_subject_name(asked).is_ok() => {
            Some(std::net::IpAddr::from(*address).to_string())
        }
        _ => None,
    };
    let names: Vec<&str> = parsed.iter().flat_map(|parsed| parsed.valid_dns_names()).collect();
    address.into_iter().chain(names.into_iter().map(str::to_owned))
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, PublicKeyData};

    use super::*;

    #[test]
    fn names_and_the_address_that_was_asked_for_are_read_and_what_is_none_has_none() {
        let names = ["mx.example.net", "*.example.net", "192.0.2.7"].map(str::to_owned);
        let pair = KeyPair::generate().unwrap();
        let made = CertificateParams::new(names).unwrap().self_signed(&pair).unwrap();
        let asked = |name: &'static str| ServerName::try_from(name).unwrap();
        let read = |name| super::names(made.der(), &asked(name)).collect::<Vec<_>>();
        assert_eq!(read("other.example.net"), ["mx.example.net", "*.example.net"]);
        assert_eq!(read("192.0.2.7"), ["192.0.2.7", "mx.example.net", "*.example.net"]);
        assert_eq!(read("192.0.2.8"), ["mx.example.net", "*.example.net"]);
        assert_eq!(key(made.der()), Some(Sha256::digest(pair.subject_public_key_info()).into()));
        let none = CertificateDer::from(vec![0x30, 0x80, 0, 0]);
        assert!(key(&none).is_none() && super::names(&none, &asked("192.0.2.7")).next().is_none());
    }
}
