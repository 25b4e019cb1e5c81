//! TLS and login: what must be true before a password or a message goes out.

use std::fs::File as Plain;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use super::*;
use crate::config::slice::{Auth, Keep};
use crate::sink::{Act, Fault, Phase};

/// An authority and a certificate for these names or addresses; the PEM bundle and the server's side.
pub(super) fn certified(names: &[&str]) -> (String, Arc<ServerConfig>) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let certificate = CertificateParams::new(names).unwrap().signed_by(&key, &authority).unwrap();
    let der = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], der)
        .unwrap();
    (authority.pem(), Arc::new(config))
}

pub(super) fn login() -> Option<(String, String)> {
    Some(("gate".into(), "sesame".into()))
}

pub(super) fn credential(password: &str) -> Option<Login> {
    Some(Credential::new("gate".into(), Secret::new(password.to_owned()), Auth::Auto).into())
}

pub(super) fn protected(port: u16, tls: TlsMode, bundle: &str, password: Option<&str>) -> Bench {
    let connector = Some(tls::connector(bundle.as_bytes()).unwrap());
    let credential = password.and_then(credential);
    let patience = Patience { handshake: Duration::from_secs(2), ..Patience::default() };
    Bench::start(&one(port), Settings { tls, connector, login: credential, patience, ..settings_for(&one(port)) })
}

#[test]
fn rule_u4_rule_u5_a_verified_upstream_gets_login_and_message_by_starttls_and_by_implicit_tls() {
    for (tls, implicit) in [(TlsMode::Starttls, false), (TlsMode::Implicit, true)] {
        let (bundle, config) = certified(&["mx.test"]);
        let (sink, port) = sink(Options { tls: Some(config), implicit, login: login(), ..Options::default() });
        let mut bench = protected(port, tls, &bundle, Some("sesame"));
        let ending = bench.deliver(&["a@b.test"]);
        assert_eq!(ending.word(), "delivered 250", "{ending:?}");
        assert_eq!(ending.outcome().said().tls.as_deref(), Some("TLSv1.3"));
        let received = sink.next(PATIENCE).unwrap();
        assert!(received.tls);
        assert_eq!(received.authenticated.as_deref(), Some("gate"));
        // Once in clear and once protected, or protected alone.
        let hellos = sink.tally().commands.iter().filter(|command| command.starts_with("EHLO")).count();
        assert_eq!(hellos, if implicit { 1 } else { 2 });
    }
}

#[test]
fn rule_u4_a_certificate_for_an_address_is_verified_by_that_address() {
    for (host, expected) in [("127.0.0.1", "delivered 250"), ("127.0.0.2", "route")] {
        let (bundle, config) = certified(&["127.0.0.1"]);
        let (_sink, port) = sink(Options { tls: Some(config), implicit: true, ..Options::default() });
        let hosts = vec![(host.to_owned(), port)];
        let connector = Some(tls::connector(bundle.as_bytes()).unwrap());
        let mut bench = Bench::start(&hosts, Settings { tls: TlsMode::Implicit, connector, ..settings_for(&hosts) });
        assert_eq!(bench.deliver(&["a@b.test"]).word(), expected);
    }
}

#[test]
fn rule_u4_a_certificate_of_another_name_or_another_authority_gets_nothing() {
    let (bundle, wrong_name) = certified(&["mx.other.test"]);
    let (_, wrong_authority) = certified(&["mx.test"]);
    for config in [wrong_name, wrong_authority] {
        let (sink, port) = sink(Options { tls: Some(config), login: login(), ..Options::default() });
        let mut bench = protected(port, TlsMode::Starttls, &bundle, Some("sesame"));
        let ending = bench.deliver(&["a@b.test"]);
        assert!(ending.reason().contains("TLS: invalid peer certificate"), "{ending:?}");
        assert_eq!(sink.tally().commands, ["EHLO gate.test", "STARTTLS"]);
    }
}

#[test]
fn rule_u3_vector_v25_octets_behind_the_220_of_starttls_abort() {
    let (bundle, config) = certified(&["mx.test"]);
    let injected = b"220 2.0.0 go\r\n250-evil\r\n250 AUTH PLAIN\r\n".to_vec();
    let faults = vec![Fault::at(Phase::Starttls, Act::Say(injected))];
    let (sink, port) = sink(Options { tls: Some(config), login: login(), faults, ..Options::default() });
    let mut bench = protected(port, TlsMode::Starttls, &bundle, Some("sesame"));
    let ending = bench.deliver(&["a@b.test"]);
    assert!(ending.reason().contains("in clear after the 220"), "{ending:?}");
    assert_eq!(sink.tally().commands, ["EHLO gate.test", "STARTTLS"]);
}

#[test]
fn rule_u3_starttls_is_required_and_there_is_no_way_round_it() {
    let (bundle, config) = certified(&["mx.test"]);
    let refused = vec![Fault::say(Phase::Starttls, "454 4.7.0 not now")];
    let pretence = vec![Fault::say(Phase::Starttls, "220 go")];
    let cases = [
        Options { login: login(), ..Options::default() },
        Options { tls: Some(Arc::clone(&config)), faults: refused, login: login(), ..Options::default() },
        // It says 220 and goes on as if in clear: there is no handshake.
        Options { tls: Some(config), faults: pretence, login: login(), ..Options::default() },
    ];
    for options in cases {
        let (sink, port) = sink(options);
        let mut bench = protected(port, TlsMode::Starttls, &bundle, Some("sesame"));
        let ending = bench.deliver(&["a@b.test"]);
        assert!(ending.reason().contains("TLS"), "{ending:?}");
        assert!(!sink.tally().commands.iter().any(|command| command == "AUTH" || command.starts_with("MAIL")));
    }
}

#[test]
fn rule_u13_a_handshake_that_stalls_meets_a_deadline() {
    let (bundle, config) = certified(&["mx.test"]);
    // A sink that speaks no TLS from the first octet, and waits.
    let faults = vec![Fault::at(Phase::Greeting, Act::Hang)];
    let (_sink, port) = sink(Options { tls: Some(config), faults, ..Options::default() });
    let connector = Some(tls::connector(bundle.as_bytes()).unwrap());
    let patience = Patience { handshake: Duration::from_millis(300), ..Patience::default() };
    let settings = Settings { tls: TlsMode::Implicit, connector, patience, ..settings_for(&one(port)) };
    let ending = Bench::start(&one(port), settings).deliver(&["a@b.test"]);
    assert!(ending.reason().contains("no handshake within"), "{ending:?}");
}

#[test]
fn rule_u5_login_by_login_when_plain_is_missing_and_by_plain_without_initial_response_when_it_is_long() {
    let long = "x".repeat(500);
    for (mechanisms, password) in [("LOGIN", "sesame"), ("PLAIN", long.as_str()), ("LOGIN PLAIN", "sesame")] {
        let (bundle, config) = certified(&["mx.test"]);
        let login = Some(("gate".to_owned(), password.to_owned()));
        let options = Options { tls: Some(config), login, mechanisms: mechanisms.into(), ..Options::default() };
        let (sink, port) = sink(options);
        let mut bench = protected(port, TlsMode::Starttls, &bundle, Some(password));
        assert_eq!(bench.deliver(&["a@b.test"]).word(), "delivered 250");
        assert_eq!(sink.next(PATIENCE).unwrap().authenticated.as_deref(), Some("gate"));
    }
}

#[test]
fn rule_u5_a_failed_login_is_the_routes_failure_and_its_reason_has_no_secret() {
    let (bundle, config) = certified(&["mx.test"]);
    for mechanism in ["PLAIN", "LOGIN", "GSSAPI"] {
        let (tls, mechanisms) = (Some(Arc::clone(&config)), mechanism.to_owned());
        let (sink, port) = sink(Options { tls, login: login(), mechanisms, ..Options::default() });
        let mut bench = protected(port, TlsMode::Starttls, &bundle, Some("wrong-sesame"));
        let ending = bench.deliver(&["a@b.test"]);
        let reason = ending.reason();
        let refused = format!("AUTH {mechanism}: 535 5.7.8");
        let nothing = "AUTH: the upstream does not offer any of";
        assert!(reason.contains(if mechanism == "GSSAPI" { nothing } else { &refused }), "{reason}");
        assert!(!reason.contains("sesame"));
        assert!(!sink.tally().commands.iter().any(|command| command.starts_with("MAIL")));
    }
}

#[test]
fn rule_u5_a_password_goes_in_clear_over_loopback_alone() {
    let elsewhere = Ipv4Addr::new(192, 0, 2, 1);
    for (claimed, expected) in [(Ipv4Addr::LOCALHOST, "delivered 250"), (elsewhere, "route")] {
        let (sink, port) = sink(Options { login: login(), ..Options::default() });
        let settings = Settings { login: credential("sesame"), ..settings_for(&one(port)) };
        let mut bench = Bench::without_dialer(settings);
        bench.attach_dialer(&one(port), claimed);
        assert_eq!(bench.deliver(&["a@b.test"]).word(), expected);
        assert_eq!(sink.tally().commands.iter().any(|command| command == "AUTH"), claimed == Ipv4Addr::LOCALHOST);
    }
}

fn slice(tls: TlsMode, username: Option<&str>) -> SmtpSlice {
    SmtpSlice {
        upstream: "smarthost".into(),
        hosts: vec!["mx.test".into()],
        helo: "gate.test".into(),
        tls,
        belief: Belief::default(),
        username: username.map(str::to_owned),
        auth: Auth::Auto,
        oauth2: None,
        connections: 2,
        keep: Keep { idle: Duration::from_secs(8), age: Duration::from_secs(300), messages: 100 },
    }
}

/// The files as the parent hands them over.
fn handed(content: &[u8]) -> OwnedFd {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), content).unwrap();
    Plain::open(file.path()).unwrap().into()
}

#[test]
fn the_slice_and_its_files_become_settings() {
    let (bundle, _) = certified(&["mx.test"]);
    let settings = settings(slice(TlsMode::Starttls, Some("gate")), |wanted| match wanted {
        File::Authorities => Ok(handed(bundle.as_bytes())),
        File::Password => Ok(handed(b"sesame\n")),
        other => Err(format!("{other:?}")),
    });
    let settings = settings.unwrap();
    let Some(Login::Password(credential)) = settings.login else { panic!("no password") };
    assert_eq!(credential.password.expose(), "sesame");
    assert!(settings.connector.is_some());
}

#[test]
fn what_is_missing_or_unusable_is_said_before_anything_is_served() {
    let (bundle, _) = certified(&["mx.test"]);
    let without = |_: &File| Err("Authorities was not handed over".to_owned());
    assert!(settings(slice(TlsMode::Starttls, None), without).is_err());
    assert!(settings(slice(TlsMode::None, None), without).is_ok());
    for bad in ["", "\n", "a\nb\n", "a\0b", "a\rb"] {
        let files = |wanted: &File| match wanted {
            File::Authorities => Ok(handed(bundle.as_bytes())),
            _ => Ok(handed(bad.as_bytes())),
        };
        assert!(settings(slice(TlsMode::Implicit, Some("gate")), files).is_err(), "{bad:?}");
    }
    let too_long = vec![b'x'; 9000];
    assert!(settings(slice(TlsMode::None, Some("gate")), |_| Ok(handed(&too_long))).is_err());
}

#[test]
fn rule_q3_a_login_that_is_refused_everywhere_is_told_apart_from_a_route_that_fails() {
    let (bundle, config) = certified(&["mx.test"]);
    let (_sink, port) = sink(Options { tls: Some(config), login: login(), ..Options::default() });
    let mut bench = protected(port, TlsMode::Starttls, &bundle, Some("wrong-sesame"));
    let ending = bench.deliver(&["a@b.test"]);
    assert!(matches!(ending, Ending::LoginRefused(_)), "{ending:?}");
    // The host that says so in its greeting has not been asked, whatever it says.
    for greeting in ["535 5.7.8 no", "554 mx: AUTH PLAIN: 535 5.7.8 no"] {
        let (_sink, port) = sink(Options { faults: vec![Fault::say(Phase::Greeting, greeting)], ..Options::default() });
        let ending = Bench::start(&one(port), settings_for(&one(port))).deliver(&["a@b.test"]);
        assert!(matches!(ending, Ending::RouteFailed(_)), "{ending:?}");
    }
}

#[test]
fn rule_q3_a_login_that_one_host_refuses_is_refused_whatever_the_others_say() {
    let refusing = sink(Options { login: login(), mechanisms: "PLAIN".into(), ..Options::default() });
    let sick = sink(Options { faults: vec![Fault::say(Phase::Greeting, "421 4.3.2 not now")], ..Options::default() });
    for order in [[refusing.1, sick.1], [sick.1, refusing.1]] {
        let hosts = vec![("mx1.test".to_owned(), order[0]), ("mx2.test".to_owned(), order[1])];
        let settings = Settings { login: credential("wrong-sesame"), ..settings_for(&hosts) };
        let ending = Bench::start(&hosts, settings).deliver(&["a@b.test"]);
        assert!(matches!(&ending, Ending::LoginRefused(reason) if reason.contains("421")), "{ending:?}");
    }
}
