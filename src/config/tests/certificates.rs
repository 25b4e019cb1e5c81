//! Certificates: in pairs, and in order.

use super::*;

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
