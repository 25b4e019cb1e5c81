//! The private keys, by certificate number: read once, checked against their certificates, used only on handshakes.

use std::collections::BTreeMap;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustls::SignatureScheme;
use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SigningKey};
use zeroize::Zeroizing;

use super::handshake::Handshake;
use crate::role::beginning::Beginning;

/// The longest PEM file that is read: a chain has a handful of certificates of some 2 KiB, a key of RSA-8192 has 7 KiB.
const MAX_FILE: u64 = 256 * 1024;

/// All keys of a configuration.
#[derive(Debug, Default)]
pub struct Keyring {
    keys: BTreeMap<u16, Arc<dyn SigningKey>>,
}

impl Keyring {
    /// Adds one key, if it is the one its certificate speaks of. `name` is for the messages.
    pub fn add(&mut self, number: u16, name: &str, chain: OwnedFd, key: OwnedFd) -> Result<(), String> {
        let chain = read_chain(chain).map_err(|why| format!("certificate {name}: {why}"))?;
        let key = read_key(key).map_err(|why| format!("the private key of certificate {name}: {why}"))?;
        let pair = CertifiedKey::new(chain, key);
        pair.keys_match().map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => format!(
                "the private key does not match certificate {name}: their public keys differ; \
                 name the key this certificate was issued for"
            ),
            other => format!("certificate {name}: the first certificate in the file can't be read: {other}"),
        })?;
        self.keys.insert(number, pair.key);
        Ok(())
    }

    /// Signs the content of one handshake, or says why not. Errors are texts of ours; no octet of the question is in them.
    pub fn sign(&self, certificate: u16, scheme: u16, content: &[u8]) -> Result<Vec<u8>, &'static str> {
        let handshake = Handshake::recognise(content).ok_or("this is not the signed part of a TLS handshake")?;
        let scheme = SignatureScheme::from(scheme);
        if !handshake.allows(scheme) {
            return Err("this signature scheme does not belong to this version of TLS");
        }
        let key = self.keys.get(&certificate).ok_or("there is no certificate of this number")?;
        let signer = key.choose_scheme(&[scheme]).ok_or("the key does not have this signature scheme")?;
        signer.sign(content).map_err(|_| "signing failed")
    }
}

fn read_chain(file: OwnedFd) -> Result<Vec<CertificateDer<'static>>, String> {
    let pem = read(file)?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match chain {
        Ok(chain) if chain.is_empty() => {
            Err("the file holds no certificate: a PEM file with \"-----BEGIN CERTIFICATE-----\" is needed".into())
        }
        Ok(chain) => Ok(chain),
        Err(error) => Err(format!("the file is not readable as PEM: {error}")),
    }
}

/// The file's octets and their DER form are wiped; the parsed key lives as long as the process.
fn read_key(file: OwnedFd) -> Result<Arc<dyn SigningKey>, String> {
    let pem = read(file)?;
    let der = PrivateKeyDer::from_pem_slice(&pem).map_err(|error| match error {
        rustls::pki_types::pem::Error::NoItemsFound => {
            "the file holds no private key: PKCS#8, PKCS#1 or SEC1 in PEM is needed, without a passphrase".to_owned()
        }
        other => format!("the file is not readable as PEM: {other}"),
    })?;
    let der = Zeroizing::new(der);
    any_supported_type(&der).map_err(|_| {
        "the key can't be used: RSA of 2048 to 4096 bits, ECDSA on P-256 or P-384, or Ed25519 is needed".to_owned()
    })
}

fn read(file: OwnedFd) -> Result<Zeroizing<Vec<u8>>, String> {
    // Room for the longest file from the start: a buffer that grows leaves copies of a key behind.
    let room = usize::try_from(MAX_FILE).unwrap_or_default().saturating_add(1);
    let mut octets = Zeroizing::new(Vec::with_capacity(room));
    let read = Beginning::of(file).take(MAX_FILE + 1).read_to_end(&mut octets);
    match read {
        Ok(0) => Err("the file is empty".into()),
        Ok(_) if octets.len() >= room => Err(format!("the file is longer than {MAX_FILE} octets")),
        Ok(_) => Ok(octets),
        Err(error) => Err(format!("the file can't be read: {error}")),
    }
}

#[cfg(test)]
pub mod tests {
    use std::io::{Seek, Write};

    use rcgen::{CertificateParams, KeyPair};
    use ring::signature;

    use super::super::handshake::tests::{certificate_verify, server_key_exchange};
    use super::*;

    pub fn file(octets: &[u8]) -> OwnedFd {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(octets).unwrap();
        file.rewind().unwrap();
        file.into()
    }

    /// A self-signed certificate and its PKCS#8 key, both PEM.
    pub fn pair(algorithm: &'static rcgen::SignatureAlgorithm) -> (String, KeyPair) {
        let key = KeyPair::generate_for(algorithm).unwrap();
        let params = CertificateParams::new(vec!["gate.example.net".to_owned()]).unwrap();
        (params.self_signed(&key).unwrap().pem(), key)
    }

    fn keyring(chain: &[u8], key: &[u8]) -> Result<Keyring, String> {
        let mut keyring = Keyring::default();
        keyring.add(0, "gate.pem", file(chain), file(key)).map(|()| keyring)
    }

    #[test]
    fn signatures_of_every_kind_of_key_verify() {
        let content = certificate_verify(&[9; 32]);
        let kinds: [(&'static rcgen::SignatureAlgorithm, SignatureScheme, &dyn signature::VerificationAlgorithm); 3] = [
            (
                &rcgen::PKCS_ECDSA_P256_SHA256,
                SignatureScheme::ECDSA_NISTP256_SHA256,
                &signature::ECDSA_P256_SHA256_ASN1,
            ),
            (
                &rcgen::PKCS_ECDSA_P384_SHA384,
                SignatureScheme::ECDSA_NISTP384_SHA384,
                &signature::ECDSA_P384_SHA384_ASN1,
            ),
            (&rcgen::PKCS_ED25519, SignatureScheme::ED25519, &signature::ED25519),
        ];
        for (algorithm, scheme, verification) in kinds {
            let (chain, key) = pair(algorithm);
            let keyring = keyring(chain.as_bytes(), key.serialize_pem().as_bytes()).unwrap();
            let signed = keyring.sign(0, scheme.into(), &content).unwrap();
            let public = signature::UnparsedPublicKey::new(verification, key.public_key_raw());
            public.verify(&content, &signed).unwrap();
        }
    }

    #[test]
    fn pkcs1_and_sec1_files_are_read_and_rsa_signs_each_version_with_its_own_scheme() {
        let rsa = keyring(include_bytes!("testdata/rsa-chain.pem"), include_bytes!("testdata/rsa-pkcs1.pem")).unwrap();
        let (v13, v12) = (certificate_verify(&[9; 48]), server_key_exchange(0x1d, 32, &[4; 32]));
        let sign = |scheme: SignatureScheme, content: &[u8]| rsa.sign(0, scheme.into(), content).is_ok();
        assert!(sign(SignatureScheme::RSA_PSS_SHA256, &v13));
        assert!(sign(SignatureScheme::RSA_PKCS1_SHA256, &v12));
        assert!(!sign(SignatureScheme::RSA_PKCS1_SHA256, &v13));
        assert!(!sign(SignatureScheme::ED25519, &v13));

        let ec = keyring(include_bytes!("testdata/p256-chain.pem"), include_bytes!("testdata/p256-sec1.pem")).unwrap();
        assert!(ec.sign(0, SignatureScheme::ECDSA_NISTP256_SHA256.into(), &v13).is_ok());
    }

    #[test]
    fn a_key_of_another_certificate_is_refused_by_name() {
        let (chain, _) = pair(&rcgen::PKCS_ECDSA_P256_SHA256);
        let (_, key) = pair(&rcgen::PKCS_ECDSA_P256_SHA256);
        let error = keyring(chain.as_bytes(), key.serialize_pem().as_bytes()).unwrap_err();
        assert!(error.contains("does not match certificate gate.pem"), "{error}");
    }

    #[test]
    fn files_that_hold_something_else_say_so() {
        let (chain, key) = pair(&rcgen::PKCS_ECDSA_P256_SHA256);
        let key = key.serialize_pem();
        let (chain, key) = (chain.as_bytes(), key.as_bytes());
        let cases: [(&[u8], &[u8], &str); 7] = [
            (b"", key, "certificate gate.pem: the file is empty"),
            (chain, b"", "key of certificate gate.pem: the file is empty"),
            (key, key, "holds no certificate"),
            (chain, chain, "holds no private key"),
            (b"-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----\n", key, "not readable as PEM"),
            (
                b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
                key,
                "the first certificate in the file can't be read",
            ),
            (chain, b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "can't be used"),
        ];
        for (chain, key, expected) in cases {
            let error = keyring(chain, key).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn what_is_not_a_handshake_or_not_ours_is_refused() {
        let (chain, key) = pair(&rcgen::PKCS_ECDSA_P256_SHA256);
        let keyring = keyring(chain.as_bytes(), key.serialize_pem().as_bytes()).unwrap();
        let ecdsa = SignatureScheme::ECDSA_NISTP256_SHA256.into();
        let content = certificate_verify(&[9; 32]);
        assert!(keyring.sign(0, ecdsa, &[9; 32]).is_err());
        assert!(keyring.sign(1, ecdsa, &content).is_err());
        assert!(keyring.sign(0, SignatureScheme::RSA_PSS_SHA256.into(), &content).is_err());
        assert!(keyring.sign(0, SignatureScheme::ECDSA_SHA1_Legacy.into(), &content).is_err());
    }
}
