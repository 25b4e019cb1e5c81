//! An authority for certificates of clients, and the clients that show them.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, PublicKeyData, date_time_ymd,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use sha2::{Digest, Sha256};

use super::Pair;

pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate of a client and its key, as PEM.
pub struct Client {
    pub certificate: String,
    pub key: String,
    /// As `certificates` of a credential names it.
    pub wanted: String,
}

impl Authority {
    pub fn new(name: &str) -> Self {
        Self::until(name, 2099)
    }

    /// One whose own certificate holds until the end of this year.
    pub fn until(name: &str, year: i32) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        (params.not_before, params.not_after) = (date_time_ymd(2000, 1, 1), date_time_ymd(year, 12, 31));
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub fn write(&self, path: &Path) {
        fs::write(path, self.0.pem()).unwrap();
    }

    /// Behind those that are there.
    pub fn add(&self, path: &Path) {
        fs::write(path, fs::read_to_string(path).unwrap() + &self.0.pem()).unwrap();
    }

    /// One that holds until the end of this year.
    pub fn client(&self, name: &str, year: i32) -> Client {
        let key = KeyPair::generate().unwrap();
        let certificate = params(name, year).signed_by(&key, &self.0).unwrap();
        Client::new(certificate.pem(), &key)
    }
}

fn params(name: &str, year: i32) -> CertificateParams {
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, "shop");
    (params.not_before, params.not_after) = (date_time_ymd(2000, 1, 1), date_time_ymd(year, 12, 31));
    params
}

impl Client {
    fn new(certificate: String, key: &KeyPair) -> Self {
        let hash = Sha256::digest(key.subject_public_key_info());
        let mut wanted = "sha256:".to_owned();
        hash.iter().for_each(|octet| write!(wanted, "{octet:02x}").unwrap());
        Self { certificate, key: key.serialize_pem(), wanted }
    }

    pub fn self_signed(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        Self::new(params(name, 2099).self_signed(&key).unwrap().pem(), &key)
    }

    /// A configuration that trusts this server and shows this certificate.
    pub fn trusting(&self, server: &Pair) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(server.certificate.as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let chain = vec![CertificateDer::from_pem_slice(self.certificate.as_bytes()).unwrap()];
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes()).unwrap();
        Arc::new(builder.with_root_certificates(roots).with_client_auth_cert(chain, key).unwrap())
    }
}
