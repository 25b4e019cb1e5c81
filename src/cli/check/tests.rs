//! What `gatepost check` finds in the files that a configuration names.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use rustls::pki_types::UnixTime;

use super::*;
use crate::config::slice::ClientCertificates;
use crate::edge::clients;

/// A directory with a certificate, its key, another key, a password, and a configuration that names some of them.
struct House(tempfile::TempDir);

impl House {
    fn new() -> Self {
        let house = Self(tempfile::tempdir().unwrap());
        let made = rcgen::generate_simple_self_signed(["gate.example.net".to_owned()]).unwrap();
        let other = rcgen::KeyPair::generate().unwrap();
        house.write("chain.pem", &made.cert.pem(), 0o644);
        house.write("key.pem", &made.signing_key.serialize_pem(), 0o600);
        house.write("other.pem", &other.serialize_pem(), 0o600);
        house.write("password", "hunter2\n", 0o600);
        house
    }

    fn write(&self, name: &str, text: &str, mode: u32) -> PathBuf {
        let path = self.0.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    fn examine(&self, chain: &str, key: &str, password: &str) -> Report {
        let at = self.0.path().display();
        let text = format!(
            "version = 1\nhostname = \"gate.example.net\"\n\
             [[listener]]\nname = \"a\"\naddress = [\"127.0.0.1:2525\"]\nprotocol = \"smtp\"\ntls = \"starttls\"\n\
             [tls]\ncertificate = \"{at}/{chain}\"\nkey = \"{at}/{key}\"\n\
             [[upstream]]\nname = \"b\"\nkind = \"smtp\"\nhosts = [\"smtp.example.net:587\"]\nusername = \"gate\"\n\
             password_file = \"{at}/{password}\"\nauthorities_file = \"{at}/chain.pem\"\n\
             [[route]]\nvia = [\"b\"]\n"
        );
        examine(&self.write("gatepost.toml", &text, 0o640), false)
    }
}

#[test]
fn a_secret_that_no_provider_can_know_us_by_is_found_before_a_start() {
    let house = House::new();
    let at = house.0.path().display().to_string();
    let good = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    for (kind, key, text, expected) in [
        ("webhook", "secret_file", good, None),
        ("webhook", "secret_file", "sesame", Some("secret_file: must hold whsec_")),
        ("bytesend", "token_file", "sesame", None),
        ("bytesend", "token_file", "", Some("must hold one line")),
        ("bytesend", "token_file", "open sesame", Some("token_file: must hold one line of visible ASCII")),
        ("cloudflare", "token_file", "open sesame", Some("token_file: must hold one line of visible ASCII")),
    ] {
        house.write("secret", text, 0o600);
        let more = match kind {
            "webhook" => "url = \"https://mail.example.net/hook\"",
            "cloudflare" => "account = \"0123abcd\"",
            _ => "",
        };
        let written = format!(
            "version = 1\nhostname = \"gate.example.net\"\n\
             [[listener]]\nname = \"a\"\naddress = [\"127.0.0.1:2525\"]\nprotocol = \"smtp\"\ntls = \"starttls\"\n\
             [tls]\ncertificate = \"{at}/chain.pem\"\nkey = \"{at}/key.pem\"\n\
             [[upstream]]\nname = \"b\"\nkind = \"{kind}\"\n{more}\n{key} = \"{at}/secret\"\n\
             authorities_file = \"{at}/chain.pem\"\n[[route]]\nvia = [\"b\"]\n"
        );
        let report = examine(&house.write("gatepost.toml", &written, 0o640), false);
        match expected {
            None => assert_eq!(report.errors, Vec::<String>::new(), "{kind} {text:?}"),
            Some(why) => {
                assert!(report.errors.len() == 1 && report.errors[0].contains(why), "{:?}", report.errors);
                assert!(text.is_empty() || !report.errors[0].contains(text), "it is a secret");
            }
        }
    }
}

#[test]
fn what_tokens_are_asked_for_with_is_found_before_a_start_too() {
    let house = House::new();
    let at = house.0.path().display().to_string();
    for (text, expected) in
        [("sesame\n", None), ("", Some("must hold one line")), ("a\nb\n", Some("must hold one line"))]
    {
        house.write("refresh", text, 0o600);
        let written = format!(
            "version = 1\nhostname = \"gate.example.net\"\n\
             [[listener]]\nname = \"a\"\naddress = [\"127.0.0.1:2525\"]\nprotocol = \"smtp\"\n\
             [[upstream]]\nname = \"b\"\nkind = \"smtp\"\nhosts = [\"smtp.example.net:587\"]\nusername = \"gate\"\n\
             auth = \"xoauth2\"\nauthorities_file = \"{at}/chain.pem\"\n\
             oauth2 = {{ grant = \"refresh_token\", token_url = \"https://login.example.net/token\", client_id = \"x\", \
             refresh_token_file = \"{at}/refresh\", authorities_file = \"{at}/chain.pem\" }}\n[[route]]\nvia = [\"b\"]\n"
        );
        let errors = examine(&house.write("gatepost.toml", &written, 0o640), false).errors;
        assert_eq!(errors.len(), usize::from(expected.is_some()), "{errors:?}");
        assert!(expected.is_none_or(|why| errors[0].contains(why)), "{errors:?}");
    }
}

#[test]
fn a_syslog_that_takes_nothing_is_a_warning() {
    let house = House::new();
    let socket = house.0.path().join("log");
    let text = format!(
        "version = 1\nhostname = \"gate.example.net\"\n[log]\nto = \"syslog\"\nsocket = {socket:?}\n[[listener]]\nname = \"a\"\n\
         address = [\"127.0.0.1:2525\"]\nprotocol = \"smtp\"\ntls = \"none\"\n[[anchor]]\nname = \"near\"\nkind = \"syslog\"\n\
         socket = {socket:?}\n"
    );
    let path = house.write("gatepost.toml", &text, 0o640);
    let told = || {
        let warnings = examine(&path, false).warnings;
        warnings.into_iter().filter(|text| text.contains("nobody takes lines there")).collect::<Vec<_>>()
    };
    let warnings = told();
    assert!(warnings.len() == 2 && warnings[1].contains("\"near\" keeps no head"), "{warnings:?}");
    let _daemon = std::os::unix::net::UnixDatagram::bind(&socket).unwrap();
    assert!(told().is_empty());
}

#[test]
fn a_key_that_fits_its_certificate_is_ok() {
    let report = House::new().examine("chain.pem", "key.pem", "password");
    assert_eq!(report.errors, Vec::<String>::new());
    assert!(report.summary.ends_with("gatepost.toml: ok, 1 listener, 0 credentials, 1 upstream, 1 route"));
}

#[test]
fn what_root_can_open_and_its_service_can_not_is_refused() {
    if !geteuid().is_root() {
        eprintln!("not tried: who isn't root sees what its service sees");
        return;
    }
    let house = House::new();
    let own = |name: &str, user| std::os::unix::fs::chown(house.0.path().join(name), Some(user), None).unwrap();
    own("key.pem", 4711);
    let errors = house.examine("chain.pem", "key.pem", "password").errors;
    let told = format!("{}: can't be opened by the service: ", house.0.path().join("key.pem").display());
    assert!(errors.len() == 1 && errors[0].contains(&told), "{errors:#?}");
    own("key.pem", 0);
    assert_eq!(house.examine("chain.pem", "key.pem", "password").errors, [""; 0]);
}

#[test]
fn a_file_that_is_not_what_it_should_be_is_one_clear_line() {
    let house = House::new();
    house.write("empty", "", 0o600);
    house.write("two", "hunter2\nhunter3\n", 0o600);
    house.write("nul", "hunter2\0\n", 0o600);
    house.write("long", &"hunter2".repeat(1200), 0o600);
    let cases = [
        ("chain.pem", "other.pem", "password", "is the key of another one"),
        ("chain.pem", "none.pem", "password", "none.pem: can't be opened: No such file"),
        ("key.pem", "key.pem", "password", "holds no certificate"),
        ("chain.pem", "chain.pem", "password", "not a private key"),
        ("chain.pem", "key.pem", "empty", "must hold one line"),
        ("chain.pem", "key.pem", "two", "must hold one line"),
        ("chain.pem", "key.pem", "nul", "must hold one line"),
        ("chain.pem", "key.pem", "long", "longer than 8192 octets"),
    ];
    for (chain, key, password, expected) in cases {
        let errors = house.examine(chain, key, password).errors;
        assert!(errors.len() == 1 && errors[0].contains(expected), "{expected}: {errors:?}");
        assert!(!errors[0].contains("hunter"));
    }
}

#[test]
fn a_further_certificate_is_checked_like_the_first_and_one_that_is_never_shown_is_a_warning() {
    let house = House::new();
    let made = rcgen::generate_simple_self_signed(["other.example.net".to_owned()]).unwrap();
    house.write("second.pem", &made.cert.pem(), 0o644);
    house.write("second.key", &made.signing_key.serialize_pem(), 0o600);
    let with = |chain: &str, key: &str| {
        let at = house.0.path().display();
        let text = format!(
            "version = 1\nhostname = \"gate.example.net\"\n\
             [[listener]]\nname = \"a\"\naddress = [\"127.0.0.1:2525\"]\nprotocol = \"smtp\"\ntls = \"starttls\"\n\
             certificate = \"{at}/chain.pem\"\nkey = \"{at}/key.pem\"\n\
             certificates = [{{ certificate = \"{at}/{chain}\", key = \"{at}/{key}\" }}]\n"
        );
        examine(&house.write("gatepost.toml", &text, 0o640), false)
    };
    let errors = with("second.pem", "other.pem").errors;
    assert!(errors.len() == 1 && errors[0].contains("second.pem: ") && errors[0].contains("does not serve"));
    let is_told = |report: &Report| report.warnings.iter().any(|line| line.contains("is never shown"));
    let good = with("second.pem", "second.key");
    assert!(good.errors.is_empty() && !is_told(&good), "{good:?}");
    house.write("copy.pem", &fs::read_to_string(house.0.path().join("chain.pem")).unwrap(), 0o644);
    assert!(is_told(&with("copy.pem", "key.pem")));
}

#[test]
fn a_certificate_that_clients_refuse_is_a_warning() {
    let house = House::new();
    let key = rcgen::KeyPair::generate().unwrap();
    house.write("key.pem", &key.serialize_pem(), 0o600);
    for (year, is_told) in [(2001, true), (2099, false)] {
        let mut params = rcgen::CertificateParams::new(vec!["gate.example.net".to_owned()]).unwrap();
        params.not_after = rcgen::date_time_ymd(year, 1, 1);
        params.not_before = rcgen::date_time_ymd(2000, 1, 1);
        house.write("chain.pem", &params.self_signed(&key).unwrap().pem(), 0o644);
        let report = house.examine("chain.pem", "key.pem", "password");
        let told = report.warnings.iter().any(|line| line.contains("chain.pem: it expired "));
        assert!(report.errors.is_empty() && told == is_told, "{report:?}");
    }
}

/// Self-signed, of version 1.
const OLD: &str = "\
-----BEGIN CERTIFICATE-----\n\
    MIIBKzCB0wIUVl+GlrPBJXI/ETHP+SVEJ8JG0yIwCgYIKoZIzj0EAwIwGDEWMBQG\n\
    A1UEAwwNb2xkIGF1dGhvcml0eTAgFw0yNjExMjYyMDUzMThaGA8yMTI2MTEwMjIw\n\
    NTMxOFowGDEWMBQGA1UEAwwNb2xkIGF1dGhvcml0eTBZMBMGByqGSM49AgEGCCqG\n\
    SM49AwEHA0IABB3+vzz87EzDQQR/NrCOa4GczKdFc197O2ojxSC7Fa1pGbABjUzv\n\
    o7RZ8oOBDcpA9dOqE3SrSmXcRi1pNMZGFE0wCgYIKoZIzj0EAwIDRwAwRAIgd+rD\n\
    qq4558UAkLFjlXo4xMV6OppHB4mtDNQd7KcX9PcCIEmJXcaYRGTXV017k/TP1YT2\n\
    6jXRDtpLC4fjDcoXhTUI\n\
    -----END CERTIFICATE-----\n";

#[test]
fn rule_t9_what_is_said_of_a_file_of_authorities_is_what_the_edge_does_with_it() {
    let issuer = |is_ca, year| {
        let mut params = CertificateParams::new(vec!["till.example.net".to_owned()]).unwrap();
        (params.not_before, params.not_after) = (date_time_ymd(2000, 1, 1), date_time_ymd(year, 1, 1));
        params.is_ca = is_ca;
        CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
    };
    let signed = |issuer: &CertifiedIssuer<'_, KeyPair>| {
        let params = CertificateParams::new(vec!["till.example.net".to_owned()]).unwrap();
        params.signed_by(&KeyPair::generate().unwrap(), issuer).unwrap()
    };
    let ca = || IsCa::Ca(BasicConstraints::Unconstrained);
    let (good, late, device) = (issuer(ca(), 2099), issuer(ca(), 2001), issuer(IsCa::NoCa, 2099));
    let (leaf, of_late) = (signed(&good), signed(&late));
    let both = good.pem() + &leaf.pem();
    let no_authority = "take it out, and name the authority that signed";
    let cases = [
        (good.pem(), Some(&leaf), "", ""),
        (late.pem(), Some(&of_late), "certificate 1: it expired ", "clients are believed by it all the same"),
        (good.pem() + &late.pem(), Some(&of_late), "certificate 2: it expired ", ""),
        (leaf.pem(), None, "certificate 1 in it is no authority's", no_authority),
        (device.pem(), None, "certificate 1 in it is no authority's", no_authority),
        (OLD.to_owned(), None, "certificate 1 in it is no authority's", no_authority),
        (both, None, "certificate 2 in it is no authority's", no_authority),
    ];
    let house = House::new();
    for (file, believed, said, more) in cases {
        let path = house.write("devices.pem", &file, 0o644);
        let at = house.0.path().display();
        let text = format!(
            "version = 1\nhostname = \"gate.example.net\"\n\
             [[listener]]\nname = \"a\"\naddress = [\"127.0.0.1:2525\"]\nprotocol = \"smtp\"\ntls = \"starttls\"\n\
             client_certificates = \"require\"\nclient_authorities_file = \"{at}/devices.pem\"\n\
             [tls]\ncertificate = \"{at}/chain.pem\"\nkey = \"{at}/key.pem\"\n"
        );
        let report = examine(&house.write("gatepost.toml", &text, 0o640), false);
        let lines = if believed.is_some() { &report.warnings } else { &report.errors };
        let lines: Vec<_> = lines.iter().filter(|line| line.contains("devices.pem: ")).collect();
        let is_told = |line: &&String| line.contains(said) && line.contains(more);
        assert!(lines.len() == usize::from(!said.is_empty()) && lines.iter().all(is_told), "{said}: {report:?}");
        assert_eq!(report.errors.is_empty(), believed.is_some(), "{report:?}");

        let authorities = certificates(&fs::read(path).unwrap()).unwrap();
        let verifier = clients::verifier(authorities, ClientCertificates::Require);
        match believed {
            Some(client) => {
                verifier.unwrap().verify_client_cert(client.der(), &[], UnixTime::now()).unwrap();
            }
            None => assert!(verifier.unwrap_err().contains(no_authority)),
        }
    }
}

#[test]
fn a_certificate_that_ends_soon_is_a_warning() {
    let house = House::new();
    let key = rcgen::KeyPair::generate().unwrap();
    house.write("key.pem", &key.serialize_pem(), 0o600);
    let mut params = rcgen::CertificateParams::new(vec!["gate.example.net".to_owned()]).unwrap();
    params.not_after = (std::time::SystemTime::now() + std::time::Duration::from_secs(7 * 86_400 + 43_200)).into();
    house.write("chain.pem", &params.self_signed(&key).unwrap().pem(), 0o644);
    let report = house.examine("chain.pem", "key.pem", "password");
    let told = report.warnings.iter().any(|line| line.contains("chain.pem: it expires in 7 days"));
    assert!(report.errors.is_empty() && told, "{report:?}");
}

#[test]
fn a_key_that_everybody_can_read_is_a_warning() {
    let house = House::new();
    house.write("key.pem", &fs::read_to_string(house.0.path().join("key.pem")).unwrap(), 0o644);
    let report = house.examine("chain.pem", "key.pem", "password");
    assert!(report.errors.is_empty());
    assert!(report.warnings.iter().any(|line| line.contains("chmod o=")), "{:?}", report.warnings);
}
