//! Which certificate a client is shown: one that bears the name it asks for, with a key that it can use.

use std::collections::HashMap;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use webpki::EndEntityCert;

use super::signing::{Keyholder, RemoteKey};

/// The certificates of one listener, in the order of its configuration, and which of them bear a name.
#[derive(Debug, Default)]
pub struct Shelf {
    all: Vec<Arc<CertifiedKey>>,
    /// In lower case. A wildcard stands here as it is written, `*.example.net`.
    bearers: HashMap<String, Vec<Arc<CertifiedKey>>>,
}

/// A chain with its key, which is at the keyholder under this number.
pub fn certified(
    chain: Vec<CertificateDer<'static>>,
    number: u16,
    keyholder: Keyholder,
) -> Result<Arc<CertifiedKey>, String> {
    let leaf = chain.first().ok_or("there is no certificate in it")?;
    let key = RemoteKey::of(leaf, number, keyholder)?;
    Ok(Arc::new(CertifiedKey::new(chain, Arc::new(key))))
}

/// The DNS names that a certificate bears, in lower case, wildcards among them.
pub fn names(leaf: &CertificateDer<'_>) -> Result<Vec<String>, String> {
    let leaf = EndEntityCert::try_from(leaf).map_err(|error| format!("it can't be read: {error}"))?;
    Ok(leaf.valid_dns_names().map(str::to_ascii_lowercase).collect())
}

impl Shelf {
    /// Puts one behind those that are there.
    pub fn add(&mut self, pair: &Arc<CertifiedKey>) -> Result<(), String> {
        for name in pair.cert.first().map_or_else(|| Ok(Vec::new()), names)? {
            self.bearers.entry(name).or_default().push(Arc::clone(pair));
        }
        self.all.push(Arc::clone(pair));
        Ok(())
    }

    /// Those that bear this name, else those that bear it by a wildcard, which stands for one label (RFC 6125 section 6.4.3).
    fn bearing(&self, name: &str) -> &[Arc<CertifiedKey>] {
        let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        let wildcard = || name.split_once('.').and_then(|(_, parent)| self.bearers.get(&format!("*.{parent}")));
        self.bearers.get(&name).or_else(wildcard).map_or(&[], Vec::as_slice)
    }
}

impl ResolvesServerCert for Shelf {
    /// A name that none of them bears gets what no name gets: an error would tell which names are here (rule T13).
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let bearing = hello.server_name().map_or(&[][..], |name| self.bearing(name));
        let is_usable = |pair: &&Arc<CertifiedKey>| pair.key.choose_scheme(hello.signature_schemes()).is_some();
        bearing.iter().chain(&self.all).find(is_usable).or(self.all.first()).cloned()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rcgen::{CertificateParams, KeyPair, SignatureAlgorithm};
    use rustls::client::{ClientConnection, WebPkiServerVerifier};
    use rustls::crypto::{CryptoProvider, ring};
    use rustls::pki_types::ServerName;
    use rustls::server::Acceptor;
    use rustls::{ClientConfig, RootCertStore, SignatureScheme};

    use super::*;

    fn pair(algorithm: &'static SignatureAlgorithm, names: &[&str]) -> Arc<CertifiedKey> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let key = KeyPair::generate_for(algorithm).unwrap();
        let made = CertificateParams::new(names).unwrap().self_signed(&key).unwrap();
        certified(vec![made.der().clone()], 0, Keyholder::absent(Duration::ZERO)).unwrap()
    }

    /// The provider of a client that can verify these signatures only.
    fn able(schemes: &[SignatureScheme]) -> CryptoProvider {
        let mut provider = ring::default_provider();
        let all = provider.signature_verification_algorithms;
        let mapping: Vec<_> = all.mapping.iter().filter(|(scheme, _)| schemes.contains(scheme)).copied().collect();
        provider.signature_verification_algorithms.mapping = mapping.leak();
        provider
    }

    /// Which one of the shelf a real client is shown, by its place there.
    fn shown(shelf: &Shelf, name: &'static str, schemes: &[SignatureScheme]) -> Option<usize> {
        let provider = Arc::new(able(schemes));
        let mut roots = RootCertStore::empty();
        shelf.all.iter().for_each(|pair| roots.add(pair.cert[0].clone()).unwrap());
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = config.with_webpki_verifier(verifier.build().unwrap()).with_no_client_auth();
        let name = ServerName::try_from(name).unwrap();
        let mut client = ClientConnection::new(Arc::new(config), name).unwrap();
        let mut octets = Vec::new();
        client.write_tls(&mut octets).unwrap();
        let mut acceptor = Acceptor::default();
        acceptor.read_tls(&mut octets.as_slice()).unwrap();
        let accepted = acceptor.accept().unwrap().unwrap();
        let found = shelf.resolve(accepted.client_hello())?;
        shelf.all.iter().position(|pair| Arc::ptr_eq(pair, &found))
    }

    const P256: SignatureScheme = SignatureScheme::ECDSA_NISTP256_SHA256;
    const ED25519: SignatureScheme = SignatureScheme::ED25519;

    fn shelf() -> Shelf {
        let (p256, ed25519) = (&rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_ED25519);
        let mut shelf = Shelf::default();
        for pair in [
            pair(p256, &["gate.example.net"]),
            pair(p256, &["Mail.Example.org", "*.example.org"]),
            pair(ed25519, &["gate.example.net"]),
            pair(ed25519, &["special.example.org"]),
        ] {
            shelf.add(&pair).unwrap();
        }
        shelf
    }

    #[test]
    fn a_client_is_shown_the_certificate_of_the_name_it_asks_for() {
        let shelf = shelf();
        for (name, expected) in [
            ("gate.example.net", 0),
            ("mail.example.org", 1),
            ("MAIL.example.ORG", 1),
            ("smtp.example.org", 1),
            ("special.example.org", 3),
        ] {
            assert_eq!(shown(&shelf, name, &[P256, ED25519]), Some(expected), "{name}");
        }
    }

    #[test]
    fn rule_t13_an_unknown_name_and_none_get_the_first() {
        let shelf = shelf();
        for name in ["unknown.example.com", "a.b.example.org", "example.org", "192.0.2.1"] {
            assert_eq!(shown(&shelf, name, &[P256, ED25519]), Some(0), "{name}");
        }
    }

    #[test]
    fn a_client_is_shown_a_key_that_it_can_use() {
        let shelf = shelf();
        assert_eq!(shown(&shelf, "gate.example.net", &[ED25519]), Some(2));
        // Another certificate's name it will refuse by itself; a shared error would tell it which names are here.
        assert_eq!(shown(&shelf, "special.example.org", &[P256]), Some(0));
        assert_eq!(shown(&shelf, "unknown.example.com", &[ED25519]), Some(2));
        assert_eq!(shown(&shelf, "gate.example.net", &[SignatureScheme::RSA_PSS_SHA256]), Some(0));
    }
}
