//! A set-up on the disk that nobody runs, and what can be wrong with it.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Output;
use std::time::{Duration, SystemTime};

use tempfile::TempDir;

use crate::support::{Pair, gatepost};

const HASH: &str = "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$cmFuZG9tIG9jdGV0cyBvZiBhIGhhc2ggLSAzMiBsb25n";

fn credential(senders: &str) -> String {
    format!(
        "[[credential]]\nid = \"app\"\nsecrets = [{{ key = \"key1\", hash = \"{HASH}\" }}]\nsenders = [{senders}]\n\
         limits = {{ per_hour = 1000, per_day = 5000 }}\n"
    )
}

/// A set-up on the disk that nobody runs.
pub struct Site {
    folder: TempDir,
    pub names: SocketAddr,
}

impl Site {
    pub fn new(names: SocketAddr) -> Self {
        let site = Self { folder: tempfile::tempdir().unwrap(), names };
        Pair::named("gate.good.example").write(site.folder.path());
        site.write("password", "kV7xpQ2mZx9Lr4Tn8Wb3Yc6H\n");
        site.write("gatepost.toml", &site.configuration());
        site
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
        self.mode(name, 0o600);
    }

    fn mode(&self, name: &str, mode: u32) {
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(mode)).unwrap();
    }

    pub fn change(&self, from: &str, to: &str) {
        let text = fs::read_to_string(self.path("gatepost.toml")).unwrap();
        assert!(text.contains(from), "{from}");
        self.write("gatepost.toml", &text.replace(from, to));
    }

    fn configuration(&self) -> String {
        let at = self.folder.path().display();
        format!(
            "version = 1\nhostname = \"gate.good.example\"\nstate_directory = \"{at}/state\"\n\
             runtime_directory = \"{at}/run\"\n\
             [[listener]]\nname = \"submission\"\naddress = [\"0.0.0.0:2525\"]\nprotocol = \"smtp\"\ntls = \"starttls\"\n\
             [[listener]]\nname = \"api\"\naddress = [\"127.0.0.1:8025\"]\nprotocol = \"http\"\nserve = [\"v1\", \"ops\"]\n\
             [tls]\ncertificate = \"{at}/certificate.pem\"\nkey = \"{at}/key.pem\"\n\
             [limits]\nidle = \"5m\"\n[audit]\nmask = \"local-part\"\n\
             {}[[upstream]]\nname = \"smarthost\"\nkind = \"smtp\"\nhosts = [\"smtp.example.net:587\"]\ntls = \"starttls\"\n\
             username = \"gate\"\npassword_file = \"{at}/password\"\nauthorities_file = \"{at}/certificate.pem\"\n\
             [[route]]\nvia = [\"smarthost\"]\n\
             [[anchor]]\nname = \"post\"\nkind = \"mail\"\nto = \"auditor@good.example\"\nfrom = \"gate@good.example\"\n\
             [alerts]\nmail = [\"ops@good.example\"]\nfrom = \"gate@good.example\"\n",
            credential("\"@good.example\"")
        )
    }

    fn certificate(&self, ends: SystemTime) {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(vec!["gate.good.example".to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = ends.into();
        self.write("certificate.pem", &params.self_signed(&key).unwrap().pem());
        self.write("key.pem", &key.serialize_pem());
    }

    pub fn doctor(&self, more: &[&str]) -> Output {
        let names = self.names.to_string();
        let resolver = ["--resolver", &names, "--dkim-selector", "s1"];
        let asked = if more.contains(&"--offline") { &[][..] } else { &resolver };
        gatepost()
            .args(["doctor", "--json", "--fallback-ids"])
            .args(asked)
            .args(more)
            .arg("--config")
            .arg(self.path("gatepost.toml"))
            .output()
            .unwrap()
    }
}

/// What is done to the site, and what is told of it then.
pub type Case = (&'static [&'static str], fn(&Site));

pub const CASES: &[Case] = &[
    (&["fail configuration.loads"], |site| site.change("version = 1", "version = 1\nadress = 1")),
    (&["fail configuration.files"], |site| fs::remove_file(site.path("password")).unwrap()),
    (&["warn configuration.odd", "warn tls.names"], |site| {
        site.change("hostname = \"gate.good.example\"", "hostname = \"gate\"")
    }),
    (&["fail permissions.configuration"], |site| site.mode("gatepost.toml", 0o666)),
    (&["fail permissions.secrets"], |site| site.mode("password", 0o644)),
    (&["fail permissions.secrets"], |site| site.mode("key.pem", 0o604)),
    // Whoever may write there puts another one in its place.
    (&["fail permissions.secrets"], |site| {
        fs::create_dir(site.path("open")).unwrap();
        fs::rename(site.path("password"), site.path("open/password")).unwrap();
        site.mode("open", 0o777);
        site.change("/password\"", "/open/password\"");
    }),
    (&["fail permissions.state"], |site| {
        fs::create_dir(site.path("state")).unwrap();
        site.mode("state", 0o777);
    }),
    (&["fail secrets.placeholder"], |site| site.write("password", "changeme\n")),
    (&["warn secrets.strength"], |site| site.write("password", "kV7xpQ2m\n")),
    (&["warn secrets.age"], |site| {
        site.write("token", "kV7xpQ2mZx9Lr4Tn8Wb3Yc6H\n");
        site.write("hook", "kV7xpQ2mZx9Lr4Tn8Wb3Yc6H\n");
        let file = File::options().write(true).open(site.path("hook")).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(500 * 86_400)).unwrap();
        let at = site.folder.path().display();
        let upstream = format!("[[upstream]]\nname = \"bytesend\"\nkind = \"bytesend\"\ntoken_file = \"{at}/token\"");
        let hook = format!("webhook_in = {{ name = \"bytesend\", secret_file = \"{at}/hook\" }}");
        site.change("\"ops\"]", "\"ops\", \"hooks\"]");
        site.change("[[upstream]]", &format!("{upstream}\n{hook}\n[[upstream]]"));
    }),
    (&["warn secrets.age"], |site| {
        let file = File::options().write(true).open(site.path("password")).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(500 * 86_400)).unwrap();
    }),
    (&["warn secrets.inline"], |site| {
        let named = format!("password_file = \"{}/password\"", site.folder.path().display());
        site.change(&named, "password_insecure_inline = \"kV7xpQ2mZx9Lr4Tn8Wb3Yc6H\"");
    }),
    (&["warn policy.senders"], |site| {
        site.change("senders = [\"@good.example\"]", "senders = [\"@good.example\", \"*\"]")
    }),
    (&["warn policy.recipients", "warn limits.credentials"], |site| {
        site.change("limits = { per_hour = 1000, per_day = 5000 }", "")
    }),
    (&["warn limits.sane"], |site| site.change("per_day = 5000", "per_day = 50000000")),
    (&["warn limits.anomaly"], |site| site.change("[limits]", "[limits]\nanomaly = { action = \"off\" }")),
    (&["warn exposure.tls"], |site| {
        site.change("tls = \"starttls\"\n[[listener]]", "behind_tls_proxy = true\n[[listener]]")
    }),
    (&["warn exposure.tls"], |site| {
        site.change(
            "tls = \"starttls\"\n[[listener]]",
            "behind_tls_proxy = true\nxclient_from = [\"10.0.0.1\"]\n[[listener]]",
        )
    }),
    (&["warn exposure.proxies"], |site| {
        site.change(
            "tls = \"starttls\"\n[[listener]]",
            "behind_tls_proxy = true\nproxy_from = [\"10.0.0.0/8\"]\n[[listener]]",
        )
    }),
    (&["warn exposure.ops"], |site| {
        site.change("serve = [\"v1\", \"ops\"]", "serve = [\"ops\"]\nops_networks = [\"10.0.0.0/8\"]")
    }),
    (&["warn exposure.tls", "warn exposure.networks"], |site| {
        site.change("tls = \"starttls\"\n[[listener]]", "identify_by_network = true\n[[listener]]");
        site.change(
            "[[upstream]]",
            "[[credential]]\nid = \"printers\"\nsenders = [\"p@good.example\"]\n\
                     limits = { per_day = 50 }\nidentified_by = [\"10.1.0.0/16\"]\n[[upstream]]",
        );
    }),
    (&["fail tls.expiry"], |site| site.certificate(SystemTime::now() - Duration::from_secs(3 * 86_400))),
    (&["warn tls.expiry"], |site| site.certificate(SystemTime::now() + Duration::from_secs(7 * 86_400 + 43_200))),
    (&["warn tls.order"], |site| {
        let own = fs::read_to_string(site.path("certificate.pem")).unwrap();
        let mut params = rcgen::CertificateParams::new(vec!["other.example".to_owned()]).unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, "somebody else");
        let other = params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap();
        site.write("certificate.pem", &format!("{own}{}", other.pem()));
    }),
    (&["warn tls.names"], |site| Pair::named("elsewhere.example").write(site.folder.path())),
    (&["warn tls.upstreams"], |site| {
        site.change("tls = \"starttls\"\nusername = \"gate\"\n", "tls = \"none\"\n#");
        site.change("\nauthorities_file", "\n#authorities_file");
    }),
    (&["warn alerts.configured"], |site| {
        site.change("[alerts]\nmail = [\"ops@good.example\"]\nfrom = \"gate@good.example\"\n", "");
    }),
    (&["warn audit.anchors"], |site| {
        site.change("kind = \"mail\"\nto = \"auditor@good.example\"\nfrom = \"gate@good.example\"", "kind = \"syslog\"")
    }),
    (&["warn audit.mask"], |site| site.change("mask = \"local-part\"", "mask = \"none\"")),
    (&["warn domains.mx", "warn domains.spf", "warn domains.dkim", "warn domains.dmarc"], |site| {
        site.change("\"@good.example\"", "\"@good.example\", \"@bare.example\"")
    }),
    // Nobody but the gate itself sends as that one.
    (&["warn domains.mx", "warn domains.spf", "warn domains.dmarc"], |site| {
        site.change(
            "[\"ops@good.example\"]\nfrom = \"gate@good.example\"",
            "[\"ops@good.example\"]\nfrom = \"gate@bare.example\"",
        )
    }),
    (&["warn domains.mx"], |site| site.change("\"@good.example\"", "\"@nomail.example\"")),
    (&["fail domains.spf", "fail domains.dmarc"], |site| site.change("\"@good.example\"", "\"@twice.example\"")),
    (&["fail domains.spf"], |site| site.change("\"@good.example\"", "\"@open.example\"")),
    (&["warn domains.spf"], |site| {
        site.change("\"@good.example\"", "\"@other.example\"");
        site.change("smtp.example.net:587", "smtp.gmail.com:587");
    }),
];
