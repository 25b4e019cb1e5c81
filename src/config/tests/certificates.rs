//! Certificates: in pairs, and in order.

use super::*;
use crate::policy::mechanism::Mechanism;

#[test]
fn certificates_come_in_pairs_the_first_of_a_listener_first_and_its_own_instead_of_the_general_ones() {
    let general = "key = \"/etc/gatepost/tls/key.pem\"\n";
    let more = "certificates = [{ certificate = \"/c/rsa.pem\", key = \"/c/rsa.key\" }]\n";
    let plan = load(&FULL.replace(general, &format!("{general}{more}"))).unwrap();
    assert_eq!((&plan.listeners[0].certificates[..], &plan.listeners[3].certificates[..]), (&[0, 1][..], &[2][..]));
    assert_eq!(plan.certificates[1].chain.to_string(), "/c/rsa.pem");
    let own = "key = \"credential:api.key\"\n";
    let plan = load(&FULL.replace(own, &format!("{own}{more}"))).unwrap();
    assert_eq!((&plan.listeners[0].certificates[..], &plan.listeners[3].certificates[..]), (&[0][..], &[1, 2][..]));
    // Without a pair beside it, the first of the list is the first of all.
    let alone = FULL.replace("certificate = \"/etc/gatepost/tls/api.pem\"\n", "").replace(own, more);
    assert_eq!(load(&alone).unwrap().listeners[3].certificates, [1]);
    for (bad, expected) in [
        ("certificates = [{ certificate = \"/c/rsa.pem\" }]\n", "certificate: key is missing beside it"),
        ("certificates = [{ key = \"/c/rsa.key\" }]\n", "key: certificate is missing beside it"),
        ("certificates = [{}]\n", "certificates: each is { certificate"),
        ("certificates = [{ certificate = \"rsa.pem\", key = \"/c/rsa.key\" }]\n", "write the whole path"),
        ("certificates = [{ certificat = \"/c/rsa.pem\" }]\n", "unknown key \"certificat\""),
    ] {
        let found = complaint(own, &format!("{own}{bad}"));
        assert!(found.starts_with("34:") && found.contains(expected), "{found}");
    }
    let many: Vec<_> = (0..101).map(|n| format!("{{ certificate = \"/c/{n}\", key = \"/k/{n}\" }}")).collect();
    let found = complaint(own, &format!("{own}certificates = [{}]\n", many.join(", ")));
    assert!(found.contains("more than 100 certificates"), "{found}");
}

#[test]
fn row_7_clients_are_asked_for_certificates_where_there_is_tls_and_a_login_and_an_authority() {
    let place = "per_address = 10\n";
    let authorities = "client_authorities_file = \"/c/devices.pem\"\n";
    let good =
        format!("{place}client_certificates = \"require\"\n{authorities}mechanisms = [\"PLAIN\", \"EXTERNAL\"]\n");
    let plan = load(&FULL.replace(place, &good)).unwrap();
    assert_eq!(plan.listeners[0].client_certificates, Some(super::slice::ClientCertificates::Require));
    assert_eq!(plan.asking(Protocol::Smtp, "main").map(|(number, _)| number).collect::<Vec<_>>(), [0]);
    let http = "address = [\"0.0.0.0:443\"]\n";
    let asks = format!("client_certificates = \"request\"\n{authorities}mechanisms = [\"EXTERNAL\", \"BEARER\"]\n");
    let plan = load(&FULL.replace(http, &format!("{http}{asks}"))).unwrap();
    assert_eq!(plan.listeners[3].mechanisms, [Mechanism::External, Mechanism::Bearer]);
    assert_eq!(plan.asking(Protocol::Http, "main").map(|(number, _)| number).collect::<Vec<_>>(), [3]);
    for (at, written, expected) in [
        (place, "client_certificates = \"require\"\n", "client_authorities_file is missing"),
        (place, authorities, "client_authorities_file: nobody is asked"),
        (place, "mechanisms = [\"EXTERNAL\"]\n", "\"EXTERNAL\" needs client_certificates"),
        (
            place,
            &format!("client_certificates = \"requires\"\n{authorities}"),
            "client_certificates: \"requires\" is unknown",
        ),
        ("zone = \"devices\"\n", &format!("client_certificates = \"request\"\n{authorities}"), "there is no TLS here"),
        (http, "mechanisms = [\"BEARER\", \"EXTERNAL\"]\n", "\"EXTERNAL\" needs client_certificates"),
        (http, "mechanisms = [\"PLAIN\"]\n", "\"PLAIN\" is for protocol = \"smtp\""),
        (http, "mechanisms = []\n", "mechanisms is empty"),
        (place, "mechanisms = [\"BEARER\"]\n", "\"BEARER\" is unknown"),
    ] {
        let found = complaint(at, &format!("{at}{written}"));
        assert!(found.contains(expected), "{found}");
    }
    let device = "max_recipients = 10\n";
    let both = complaint(device, &format!("{device}certificates = [\"dns:printer.example.net\"]\n"));
    assert!(both.contains("identified_by lets the network in without one"), "{both}");
    let delivery = "delivery = \"spool\"\n";
    let bad = complaint(delivery, &format!("{delivery}certificates = [\"CN=billing\"]\n"));
    assert!(bad.contains("certificates: \"CN=billing\": write \"sha256:\""), "{bad}");
    let unused = load(&FULL.replace(delivery, &format!("{delivery}certificates = [\"dns:a.example.net\"]\n"))).unwrap();
    assert!(unused.warnings.iter().any(|line| line.contains("no listener has client_certificates")), "{unused:?}");
}
