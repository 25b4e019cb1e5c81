//! Claim: each client is shown a certificate of the name it asks for, with a key that it can use; who asks for another name,
//! or for none, is shown the first, and learns nothing of the others.

mod support;

use std::path::Path;
use std::process::{Command, Stdio};

use support::{Pair, Service, Setting, free_port};

/// The names of their files, and the pairs.
fn pairs() -> [(&'static str, Pair); 3] {
    [("first", Pair::named("first.example.net")), ("rsa", Pair::rsa()), ("second", Pair::named("*.second.example"))]
}

/// The first certificate that `openssl s_client` was shown, as PEM without line ends.
fn shown(port: u16, words: &[&str]) -> String {
    let client = Command::new("openssl")
        .args(["s_client", "-connect", &format!("127.0.0.1:{port}")])
        .args(words)
        .stdin(Stdio::null())
        .output()
        .expect("openssl is needed (Debian: openssl)");
    let text = String::from_utf8_lossy(&client.stdout);
    let (_, rest) = text.split_once("-----BEGIN CERTIFICATE-----").unwrap_or_else(|| {
        panic!("no certificate was shown: {text}{}", String::from_utf8_lossy(&client.stderr));
    });
    rest.split("-----END").next().unwrap().split_whitespace().collect()
}

fn body(pair: &Pair) -> String {
    let (_, rest) = pair.certificate.split_once("-----BEGIN CERTIFICATE-----").unwrap();
    rest.split("-----END").next().unwrap().split_whitespace().collect()
}

fn files(folder: &Path, name: &str) -> String {
    let folder = folder.display();
    format!("certificate = \"{folder}/{name}.pem\"\nkey = \"{folder}/{name}.key\"\n")
}

#[test]
fn rule_t13_the_name_chooses_the_certificate_on_every_kind_of_listener() {
    let folder = tempfile::Builder::new().prefix("gatepost-test-").tempdir().unwrap();
    let at = folder.path();
    let pairs = pairs();
    for (name, pair) in &pairs {
        pair.write_as(&at.join(format!("{name}.pem")), &at.join(format!("{name}.key")));
    }
    let usual = Pair::ecdsa();
    let (implicit, https, own) = (free_port(), free_port(), free_port());
    let further: String = ["rsa", "second"].map(|name| format!("[[tls.certificates]]\n{}", files(at, name))).concat();
    let listeners = format!(
        "[[listener]]\nname = \"implicit\"\naddress = [\"127.0.0.1:{implicit}\"]\nprotocol = \"smtp\"\ntls = \"implicit\"\n\
         [[listener]]\nname = \"https\"\naddress = [\"127.0.0.1:{https}\"]\nprotocol = \"http\"\ntls = \"implicit\"\n\
         [[listener]]\nname = \"own\"\naddress = [\"127.0.0.1:{own}\"]\nprotocol = \"smtp\"\ntls = \"implicit\"\n\
         [[listener.certificates]]\n{}[[listener.certificates]]\n{}",
        files(at, "first"),
        files(at, "second")
    );
    let setting = Setting { pair: usual.clone(), more: further + &listeners, ..Setting::default() };
    let service = Service::start_in(folder, &setting);
    let [first, rsa, second] = pairs.map(|(_, pair)| body(&pair));
    let usual = body(&usual);
    let starttls = ["-starttls", "smtp"];
    for (port, begin) in [(service.smtp, &starttls[..]), (implicit, &[]), (https, &[])] {
        for (words, expected) in [
            (&["-servername", "localhost"][..], &usual),
            (&["-servername", "mail.second.example"], &second),
            (&["-servername", "MAIL.second.example"], &second),
            (&["-servername", "second.example"], &usual),
            (&["-servername", "a.mail.second.example"], &usual),
            (&["-servername", "unknown.example"], &usual),
            (&["-noservername"], &usual),
            // Who can verify RSA alone, by version: of the name, and of none.
            (&["-servername", "localhost", "-sigalgs", "RSA-PSS+SHA256"], &rsa),
            (&["-servername", "localhost", "-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256"], &rsa),
            (&["-noservername", "-sigalgs", "RSA-PSS+SHA256"], &rsa),
        ] {
            assert_eq!(&shown(port, &[begin, words].concat()), expected, "{port} {words:?}\n{}", service.log());
        }
    }
    // A listener with its own has none of the others.
    assert_eq!(shown(own, &["-servername", "localhost"]), first);
    assert_eq!(shown(own, &["-servername", "x.second.example"]), second);
    assert!(!service.log().contains("unknown.example"), "a stranger's name is nothing for the log");
    service.stop();
}
