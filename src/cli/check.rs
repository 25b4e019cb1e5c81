//! `gatepost check`: reads the configuration and the files it names, and starts nothing.

mod chosen;

use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::ExitCode;

use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::sign::CertifiedKey;
use zeroize::Zeroizing;

use crate::cli::out::say;
use crate::config::Config;
use crate::config::plan::{Certificate, Plan};
use crate::config::slice::Api;
use crate::config::source::Source;
use crate::courier;
use crate::edge::{clients, validity};

/// The longest file of certificates, keys or authorities that is read: a system's whole bundle has a quarter of it.
const MAX_FILE: u64 = 1 << 20;

/// Says what is wrong or odd, one line each. Success when nothing is wrong.
pub fn check(path: &Path) -> ExitCode {
    let report = examine(path);
    for line in report.errors.iter().chain(&report.warnings) {
        eprintln!("{line}");
    }
    if !report.errors.is_empty() {
        return ExitCode::FAILURE;
    }
    say!("{}", report.summary);
    ExitCode::SUCCESS
}

#[derive(Debug, Default)]
struct Report {
    summary: String,
    warnings: Vec<String>,
    errors: Vec<String>,
}

fn examine(path: &Path) -> Report {
    let plan = match Config::load(path) {
        Ok(plan) => plan,
        Err(errors) => return Report { errors: errors.0, ..Report::default() },
    };
    let mut files = Files { path, errors: Vec::new(), warnings: plan.warnings.clone() };
    let pair = |Certificate { number, chain, key }: &Certificate| Some((*number, files.pair(chain, key)?));
    let pairs: Vec<_> = plan.certificates.iter().filter_map(pair).collect();
    files.warnings.extend(chosen::never(path, &plan, &pairs));
    for authorities in plan.listeners.iter().filter_map(|listener| listener.client_authorities.as_ref()) {
        files.client_authorities(authorities);
    }
    for upstream in &plan.upstreams {
        if let Some(authorities) = &upstream.protection.authorities {
            files.authorities(authorities);
        }
        if let Some((chain, key)) = &upstream.protection.own {
            files.pair(chain, key);
        }
        match (&upstream.password, &upstream.provider) {
            (Some(secret), Some(provider)) => files.secret(secret, &provider.api),
            (Some(password), None) => files.password(password),
            (None, _) => {}
        }
    }
    for (_, witness) in plan.witnesses() {
        if let Some(authorities) = &witness.authorities {
            files.authorities(authorities);
        }
    }
    Report { summary: summary(path, &plan), warnings: files.warnings, errors: files.errors }
}

fn summary(path: &Path, plan: &Plan) -> String {
    let count = |number: usize, what: &str| format!("{number} {what}{}", if number == 1 { "" } else { "s" });
    let parts = [
        count(plan.listeners.len(), "listener"),
        count(plan.credentials.len(), "credential"),
        count(plan.upstreams.len(), "upstream"),
        count(plan.routes.len(), "route"),
    ];
    format!("{}: ok, {}", path.display(), parts.join(", "))
}

/// The files that a configuration names.
struct Files<'a> {
    path: &'a Path,
    errors: Vec<String>,
    warnings: Vec<String>,
}

impl Files<'_> {
    /// A certificate and a key that belong together. Keyholder or courier check it again, at each start and reload.
    fn pair(&mut self, chain: &Source, key: &Source) -> Option<CertifiedKey> {
        let certificates = self.read(chain, false).map(|text| certificates(&text));
        let secret = self.read(key, true).map(|text| PrivateKeyDer::from_pem_slice(&text));
        let wrong = match (certificates, secret) {
            (Some(Err(why)), _) => format!("{chain}: {why}"),
            (_, Some(Err(why))) => format!("{key}: not a private key in PEM form: {why}"),
            (Some(Ok(certificates)), Some(Ok(secret))) => {
                match CertifiedKey::from_der(certificates, secret, &default_provider()) {
                    Ok(pair) => {
                        if let Some(why) = validity::fault(&pair.cert, UnixTime::now()) {
                            self.warn(&format!("{chain}: {why}: it is refused, renew it"));
                        } else if let Some(why) = validity::end(&pair.cert, UnixTime::now()) {
                            self.warn(&format!("{chain}: {why}, and its renewal is late: renew it"));
                        }
                        return Some(pair);
                    }
                    Err(rustls::Error::InconsistentKeys(_)) => {
                        format!("{chain}: {key} does not serve this certificate: it is the key of another one")
                    }
                    Err(why) => format!("{chain}: {key} does not serve this certificate: {why}"),
                }
            }
            _ => return None,
        };
        self.refuse(&wrong);
        None
    }

    fn authorities(&mut self, source: &Source) -> Vec<CertificateDer<'static>> {
        match self.read(source, false).map(|text| certificates(&text)) {
            Some(Ok(all)) => return all,
            Some(Err(why)) => self.refuse(&format!("{source}: {why}")),
            None => {}
        }
        Vec::new()
    }

    /// Those by whom clients are believed, as the edge takes them. Their own time is judged by nobody, so that it is told.
    fn client_authorities(&mut self, source: &Source) {
        let all = self.authorities(source);
        if let Some(why) = clients::outdated(&all, UnixTime::now()) {
            self.warn(&format!(
                "{source}: {why}: clients are believed by it all the same, for the time of an authority's own \
                 certificate is not looked at: take it out if they should not be"
            ));
        }
        if let Err(why) = clients::roots(all) {
            self.refuse(&format!("{source}: {why}"));
        }
    }

    fn password(&mut self, source: &Source) {
        let Some(text) = self.read(source, true) else { return };
        match std::str::from_utf8(&text).map(str::lines).map(Iterator::collect::<Vec<_>>).as_deref() {
            Ok([line]) if !line.is_empty() => {}
            Ok(_) => self.refuse(&format!("{source}: must hold one line, the password")),
            Err(_) => self.refuse(&format!("{source}: is not UTF-8 text")),
        }
    }

    /// What a provider knows us by, as its courier takes it.
    fn secret(&mut self, source: &Source, api: &Api) {
        let Some(text) = self.read(source, true) else { return };
        if let Err(why) = courier::fits(api, &text) {
            self.refuse(&format!("{source}: {why}"));
        }
    }

    /// The content; none when it can't be read, which has been said then.
    fn read(&mut self, source: &Source, secret: bool) -> Option<Zeroizing<Vec<u8>>> {
        if let (Source::Credential(_), Err(why)) = (source, source.path()) {
            self.warn(&format!("not checked: {why}"));
            return None;
        }
        let descriptor = source.open().map_err(|why| self.refuse(&why)).ok()?;
        self.content(source, descriptor, secret)
            .map_err(|why| self.refuse(&format!("{source}: can't be read: {why}")))
            .ok()
    }

    fn content(&mut self, source: &Source, file: OwnedFd, secret: bool) -> std::io::Result<Zeroizing<Vec<u8>>> {
        let file = File::from(file);
        if secret && matches!(source, Source::File(_)) && file.metadata()?.mode() & 0o007 != 0 {
            self.warn(&format!("{source}: everybody may use this file: chmod o="));
        }
        let mut content = Zeroizing::new(Vec::new());
        file.take(MAX_FILE).read_to_end(&mut content)?;
        Ok(content)
    }

    fn warn(&mut self, text: &str) {
        self.warnings.push(format!("{}: warning: {text}", self.path.display()));
    }

    fn refuse(&mut self, text: &str) {
        self.errors.push(format!("{}: {text}", self.path.display()));
    }
}

fn certificates(text: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).collect();
    match certificates {
        Ok(list) if list.is_empty() => Err("holds no certificate in PEM form".into()),
        Ok(list) => Ok(list),
        Err(why) => Err(format!("not certificates in PEM form: {why}")),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::path::PathBuf;

    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};

    use super::*;
    use crate::config::slice::ClientCertificates;

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
            examine(&self.write("gatepost.toml", &text, 0o640))
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
            let report = examine(&house.write("gatepost.toml", &written, 0o640));
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
    fn a_key_that_fits_its_certificate_is_ok() {
        let report = House::new().examine("chain.pem", "key.pem", "password");
        assert_eq!(report.errors, Vec::<String>::new());
        assert!(report.summary.ends_with("gatepost.toml: ok, 1 listener, 0 credentials, 1 upstream, 1 route"));
    }

    #[test]
    fn a_file_that_is_not_what_it_should_be_is_one_clear_line() {
        let house = House::new();
        house.write("empty", "", 0o600);
        house.write("two", "hunter2\nhunter3\n", 0o600);
        let cases = [
            ("chain.pem", "other.pem", "password", "is the key of another one"),
            ("chain.pem", "none.pem", "password", "none.pem: can't be opened: No such file"),
            ("key.pem", "key.pem", "password", "holds no certificate"),
            ("chain.pem", "chain.pem", "password", "not a private key"),
            ("chain.pem", "key.pem", "empty", "must hold one line"),
            ("chain.pem", "key.pem", "two", "must hold one line"),
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
            examine(&house.write("gatepost.toml", &text, 0o640))
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
            let report = examine(&house.write("gatepost.toml", &text, 0o640));
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
}
