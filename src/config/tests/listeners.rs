//! Listeners: what may be said in the clear, and whose address is believed.

use super::*;

#[test]
fn passwords_never_cross_a_network_in_the_clear() {
    let exposed = complaint("tls = \"implicit\"\ncert", "cert");
    assert!(exposed.starts_with("29:12: address: \"0.0.0.0:443\" is not loopback and has no TLS"), "{exposed}");
    assert!(complaint("identify_by_network = true\n", "").contains("is not loopback and has no TLS"));
    assert!(complaint("tls = \"starttls\"\nuser", "tls = \"none\"\nuser").contains("in the clear"));
    let proxied = load(&FULL.replace("tls = \"starttls\"\nper", "behind_tls_proxy = true\nper")).unwrap();
    assert!(proxied.listeners[0].plain_login);
    let through = complaint("serve = [\"v1\", \"ops\"]", "proxy_from = [\"127.0.0.1\"]");
    assert!(through.starts_with("25:15: proxy_from: clients come from elsewhere"), "{through}");
    let proxied = FULL.replace("serve = [\"v1\", \"ops\"]", "proxy_from = [\"127.0.0.1\"]\nbehind_tls_proxy = true");
    assert!(load(&proxied).unwrap().listeners[2].plain_login);
    let systemd = FULL.replace("address = [\"127.0.0.1:8080\"]", "address = [\"systemd:api\"]");
    assert!(load(&systemd).unwrap_err().0[0].contains("is not loopback"));
}

#[test]
fn a_listener_that_believes_addresses_never_takes_passwords_or_hides_behind_a_proxy() {
    let own = "identify_by_network = true\n";
    assert!(complaint(own, "identify_by_network = true\nbehind_tls_proxy = true\n").contains("choose one of the two"));
    let api = "protocol = \"http\"\nserve";
    assert!(
        complaint(api, "identify_by_network = true\nprotocol = \"http\"\nserve").contains("over HTTP a key is needed")
    );
}

#[test]
fn rule_l5_line_feeds_are_repaired_where_it_is_written_down_and_in_smtp_alone() {
    assert!(load(FULL).unwrap().listeners.iter().all(|listener| !listener.dialect.repair_bare_lf));
    let text = FULL.replace("identify_by_network = true", "identify_by_network = true\nrepair_bare_lf = true");
    let plan = load(&text).unwrap();
    assert!(!plan.listeners[0].dialect.repair_bare_lf && plan.listeners[1].dialect.repair_bare_lf);
    let http = complaint("serve = [\"v1\", \"ops\"]", "repair_bare_lf = true");
    assert!(http.contains("repair_bare_lf: is for protocol = \"smtp\""), "{http}");
}
