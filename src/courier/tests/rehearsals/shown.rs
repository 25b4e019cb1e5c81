//! What an upstream shows of itself in its handshake is told to who looks on, believed or not, and no more than fits.

use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use super::super::provider::{self as provided, server, slice};
use super::*;
use crate::certificate::facts;
use crate::config::slice::Api;
use crate::courier::provider::Settings as Provided;
use crate::ipc::shown::{Belief, MAX_CHAIN, MAX_NAMES, Shown};

/// A certificate that has signed itself, until the end of that year, and the server's side with this behind it.
struct Own {
    pem: String,
    key: [u8; 32],
    config: Arc<ServerConfig>,
}

fn own(names: &[String], behind: &[CertificateDer<'static>]) -> Own {
    let pair = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(names).unwrap();
    params.not_after = date_time_ymd(2099, 12, 31);
    let made = params.self_signed(&pair).unwrap();
    let chain = [&[made.der().clone()], behind].concat();
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(pair.serialize_der())))
        .unwrap();
    Own { pem: made.pem(), key: facts::key(made.der()).unwrap(), config: Arc::new(config) }
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// What a rehearsal tells of the handshake, and whether it passed.
fn shown(bench: &mut Bench) -> (Shown, String, bool) {
    let (lines, passed) = heard(bench, vec![None]);
    let told: Vec<_> = lines.iter().filter(|line| line.shown.is_some()).collect();
    let [line] = told.as_slice() else { panic!("{lines:?}") };
    (Shown::clone(line.shown.as_ref().unwrap()), line.text.clone(), passed)
}

fn by_smtp(own: &Own, implicit: bool, trust: Trust<'_>) -> (Bench, Sink) {
    let (sink, port) = sink(Options { tls: Some(Arc::clone(&own.config)), implicit, ..Options::default() });
    let tls = if implicit { TlsMode::Implicit } else { TlsMode::Starttls };
    let connector = Some(trust::connector(trust).unwrap());
    (Bench::start(&one(port), Settings { tls, connector, ..settings_for(&one(port)) }), sink)
}

#[test]
fn a_chain_that_is_verified_is_told_with_names_end_and_key_also_when_a_session_could_be_resumed() {
    let own = own(&names(&["mx.test", "*.mx.test"]), &[]);
    for implicit in [false, true] {
        let (mut bench, _sink) =
            by_smtp(&own, implicit, Trust { authorities: Some(own.pem.as_bytes()), ..Trust::default() });
        for _ in 0..2 {
            let (shown, text, passed) = shown(&mut bench);
            let (version, suite) = shown.agreed.clone().unwrap();
            assert!(passed && shown.belief == Belief::Verified, "{shown:?}");
            assert_eq!(text, format!("{version}, {suite}, the certificate is verified"));
            assert!(version == "TLSv1.3" && suite.starts_with("TLS13_"), "{text}");
            let [first] = shown.chain.as_slice() else { panic!("{shown:?}") };
            // 2099-12-31.
            assert_eq!((first.ends, first.key), (Some(4_102_358_400), Some(own.key)));
            assert_eq!((first.names.as_slice(), first.left_out), (names(&["mx.test", "*.mx.test"]).as_slice(), 0));
            assert_eq!(bench.deliver(&["a@b.test"]).word(), "delivered 250");
        }
    }
}

#[test]
fn a_chain_that_is_not_believed_is_told_all_the_same() {
    let (made, other) = (own(&names(&["mx.test"]), &[]), own(&names(&["mx.test"]), &[]));
    let strange = || Trust { authorities: Some(other.pem.as_bytes()), ..Trust::default() };
    let unpinned = || Trust { pins: vec![other.key], ..Trust::default() };
    for (implicit, trust) in [(true, strange()), (false, strange()), (true, unpinned())] {
        let (mut bench, sink) = by_smtp(&made, implicit, trust);
        let (shown, text, passed) = shown(&mut bench);
        assert_eq!((passed, shown.belief, &shown.agreed), (false, Belief::Refused, &None), "{shown:?}");
        assert_eq!(text, "no TLS handshake, the certificate is NOT believed");
        assert_eq!(
            (shown.chain[0].key, shown.chain[0].names.as_slice()),
            (Some(made.key), names(&["mx.test"]).as_slice())
        );
        assert!(!sink.tally().commands.iter().any(|command| command.starts_with("MAIL")));
    }
}

#[test]
fn by_what_it_is_believed_is_told() {
    let own = own(&names(&["mx.test"]), &[]);
    let authorities = Some(own.pem.as_bytes());
    for (trust, belief) in [
        (Trust { pins: vec![own.key], ..Trust::default() }, Belief::Pinned),
        (Trust { authorities, pins: vec![own.key], own: None }, Belief::VerifiedAndPinned),
        (Trust::default(), Belief::Anybody),
    ] {
        let (mut bench, _sink) = by_smtp(&own, true, trust);
        let (shown, text, passed) = shown(&mut bench);
        assert!(passed && shown.belief == belief && text.ends_with(belief.words()), "{text}");
    }
}

#[test]
fn more_than_fits_is_counted_and_what_is_no_certificate_is_told_as_such() {
    let many: Vec<String> = (0..MAX_NAMES + 5).map(|n| format!("n{n}.mx.test")).collect();
    let behind = vec![CertificateDer::from(vec![0x30, 0x03, 0x02, 0x01, 0x01]); MAX_CHAIN + 2];
    let own = own(&many, &behind);
    let (mut bench, _sink) = by_smtp(&own, true, Trust { pins: vec![own.key], ..Trust::default() });
    let (shown, _, passed) = shown(&mut bench);
    assert!(passed && shown.fits(), "{shown:?}");
    assert_eq!((shown.chain.len(), shown.left_out), (MAX_CHAIN, 3));
    assert_eq!((shown.chain[0].names.as_slice(), shown.chain[0].left_out), (&many[..MAX_NAMES], 5));
    assert!(shown.chain[1..].iter().all(|one| one.key.is_none() && one.ends.is_none()), "{shown:?}");
}

#[test]
fn a_provider_s_chain_is_told_believed_or_not() {
    let (made, other) = (own(&names(&["api.test"]), &[]), own(&names(&["api.test"]), &[]));
    for (bundle, believed) in [(&made.pem, true), (&other.pem, false)] {
        let (port, _told) = server(vec![provided::status("200 OK", "")], Some(Arc::clone(&made.config)));
        let trust = Trust { authorities: Some(bundle.as_bytes()), ..Trust::default() };
        let connector = Some(trust::connector(trust).unwrap());
        let secret = Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned());
        let settings = Provided::new(slice(Api::Webhook, port, true), connector, secret).unwrap();
        let mut bench = Bench::with(Business::Provider(Box::new(settings)));
        bench.attach_dialer(&vec![("api.test".to_owned(), port)], Ipv4Addr::LOCALHOST);
        let (shown, text, passed) = shown(&mut bench);
        assert_eq!(
            (passed, shown.agreed.is_some(), shown.belief == Belief::Verified),
            (believed, believed, believed),
            "{text}"
        );
        assert_eq!(
            (shown.chain[0].key, shown.chain[0].names.as_slice()),
            (Some(made.key), names(&["api.test"]).as_slice())
        );
    }
}
