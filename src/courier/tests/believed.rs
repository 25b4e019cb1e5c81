//! What an upstream is believed by, and what it is shown.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, PublicKeyData};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use sha2::{Digest, Sha256};

use super::*;
use crate::mail::envelope::Addressee;

/// A server's certificate for `mx.other.test`, by an authority.
struct Made {
    authority: CertifiedIssuer<'static, KeyPair>,
    chain: Vec<rustls::pki_types::CertificateDer<'static>>,
    key: KeyPair,
}

impl Made {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["mx.other.test".to_owned()]).unwrap();
        let chain = vec![params.signed_by(&key, &authority).unwrap().der().clone()];
        Self { authority, chain, key }
    }

    fn pin(&self) -> [u8; 32] {
        Sha256::digest(self.key.subject_public_key_info()).into()
    }

    fn der(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.key.serialize_der()))
    }

    /// The server; it wants a certificate of this authority, if there is one.
    fn server(&self, clients: Option<&Self>) -> Options {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider));
        let builder = builder.with_safe_default_protocol_versions().unwrap();
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some(clients) => {
                let mut roots = RootCertStore::empty();
                roots.add(clients.authority.der().clone()).unwrap();
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
                builder.with_client_cert_verifier(verifier)
            }
        };
        let config = builder.with_single_cert(self.chain.clone(), self.der()).unwrap();
        Options { tls: Some(Arc::new(config)), implicit: true, ..Options::default() }
    }
}

/// How delivery ends, and the sink that it was to.
fn deliver(options: Options, trust: Trust<'_>, change: impl FnOnce(&mut Settings)) -> (Ending, Sink) {
    let (sink, port) = sink(options);
    let connector = Some(trust::connector(trust).unwrap());
    let mut settings = Settings { tls: TlsMode::Implicit, connector, ..settings_for(&one(port)) };
    change(&mut settings);
    (Bench::start(&one(port), settings).deliver(&["a@b.test"]), sink)
}

fn pinned(pin: [u8; 32]) -> Trust<'static> {
    Trust { pins: vec![[0; 32], pin], ..Trust::default() }
}

#[test]
fn rule_u4_a_pinned_key_is_believed_whatever_else_its_certificate_says_and_no_other_is() {
    let made = Made::new();
    let (ending, _) = deliver(made.server(None), pinned(made.pin()), |_| {});
    assert_eq!(ending.word(), "delivered 250", "{ending:?}");
    let (ending, sink) = deliver(made.server(None), pinned(Made::new().pin()), |_| {});
    let shown = format!("none of those that pin has; it is sha256:{}", base64(&made.pin()));
    assert!(ending.reason().contains(&shown), "{ending:?}");
    assert!(sink.tally().commands.is_empty());
}

#[test]
fn rule_u4_a_pin_beside_the_authorities_asks_for_more_and_never_for_less() {
    let (made, other) = (Made::new(), Made::new());
    let name = |settings: &mut Settings| settings.tls_name = Some("mx.other.test".into());
    for (authority, pin, expected) in
        [(&made, made.pin(), "delivered 250"), (&made, other.pin(), "route"), (&other, made.pin(), "route")]
    {
        let bundle = authority.authority.pem();
        let trust = Trust { authorities: Some(bundle.as_bytes()), ..pinned(pin) };
        let (ending, _) = deliver(made.server(None), trust, name);
        assert_eq!(ending.word(), expected, "{ending:?}");
    }
    // The name counts, too.
    let bundle = made.authority.pem();
    let trust = Trust { authorities: Some(bundle.as_bytes()), ..pinned(made.pin()) };
    let (ending, _) = deliver(made.server(None), trust, |_| {});
    assert!(ending.reason().contains("not valid for name"), "{ending:?}");
}

#[test]
fn rule_u4_rule_x8_where_nothing_is_verified_mail_goes_to_anybody_but_what_must_stay_under_tls() {
    let made = Made::new();
    let keywords = vec!["PIPELINING".to_owned(), "REQUIRETLS".to_owned()];
    for (verified, expected) in [(true, "delivered 250"), (false, "unsendable")] {
        let (_sink, port) = sink(Options { keywords: keywords.clone(), ..made.server(None) });
        let connector = Some(trust::connector(Trust::default()).unwrap());
        let settings = Settings { tls: TlsMode::Implicit, connector, verified, ..settings_for(&one(port)) };
        let mut bench = Bench::start(&one(port), settings);
        assert_eq!(bench.deliver(&["a@b.test"]).word(), "delivered 250");
        let recipient: Addressee = Address::parse("a@b.test").unwrap().into();
        let job = bench.vault.offer_with(Manner { require_tls: true, ..Manner::default() }, vec![recipient], 3);
        assert_eq!(bench.vault.follow(job, b"x\r\n").word(), expected);
    }
}

#[test]
fn an_upstream_that_asks_for_our_certificate_is_shown_it() {
    let (made, ours) = (Made::new(), Made::new());
    let (chain, key) = (ours.chain[0].as_ref().to_vec(), ours.key.serialize_pem());
    let chain = format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", base64(&chain));
    let own = Some((chain.as_bytes(), key.as_bytes()));
    let (ending, _) = deliver(made.server(Some(&ours)), Trust { own, ..pinned(made.pin()) }, |_| {});
    assert_eq!(ending.word(), "delivered 250", "{ending:?}");
    let (ending, sink) = deliver(made.server(Some(&ours)), pinned(made.pin()), |_| {});
    assert_eq!(ending.word(), "route", "{ending:?}");
    assert!(sink.tally().commands.is_empty());
    let strange = made.key.serialize_pem();
    let own = Some((chain.as_bytes(), strange.as_bytes()));
    let refused = trust::connector(Trust { own, ..Trust::default() }).err().unwrap();
    assert!(refused.contains("client_key does not serve client_certificate"), "{refused}");
}

fn base64(octets: &[u8]) -> String {
    use ::base64::Engine as _;
    ::base64::engine::general_purpose::STANDARD.encode(octets)
}
