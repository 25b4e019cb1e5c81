//! Listeners: what may be said in the clear, and whose address is believed.

use super::*;
use crate::policy::mechanism::Mechanism;

#[test]
fn rule_t8_passwords_never_cross_a_network_in_the_clear() {
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

#[test]
fn row_37_a_listener_offers_the_mechanisms_that_are_written_and_without_them_a_password_in_either_form() {
    let of = |text: &str| {
        let plan = load(&FULL.replace("per_address = 10", text)).unwrap();
        plan.listeners.iter().map(|listener| listener.mechanisms.clone()).collect::<Vec<_>>()
    };
    let usual = vec![Mechanism::Plain, Mechanism::Login];
    let keys = vec![Mechanism::Bearer];
    assert_eq!(of("per_address = 10"), [usual.clone(), vec![], keys.clone(), keys.clone()]);
    assert_eq!(of("mechanisms = [\"LOGIN\", \"PLAIN\"]")[0], [Mechanism::Login, Mechanism::Plain]);
    assert_eq!(of("mechanisms = [\"PLAIN\"]")[0], [Mechanism::Plain]);
    let none = load(&FULL.replace("zone = \"devices\"", "mechanisms = []")).unwrap();
    assert_eq!(none.listeners[1].mechanisms, []);
    let plan = load(&FULL.replace("per_address = 10", "mechanisms = [\"PLAIN\"]")).unwrap();
    assert_eq!(plan.edge_slice(Protocol::Smtp, "main").listeners[0].mechanisms, [Mechanism::Plain]);
    assert_eq!(plan.vault_slice(&Secret::new([0; 32])).listeners[0].mechanisms, [Mechanism::Plain]);
}

#[test]
fn row_14_lmtp_is_held_to_what_smtp_is_and_never_on_port_25() {
    let plan =
        load(&FULL.replace("protocol = \"smtp\"\ntls = \"starttls\"", "protocol = \"lmtp\"\ntls = \"starttls\""));
    let plan = plan.unwrap();
    assert!(plan.listeners[0].dialect.lmtp && plan.listeners[0].protocol == Protocol::Smtp);
    assert!(!plan.listeners[1].dialect.lmtp);
    let device = "protocol = \"smtp\"\nidentify_by_network = true";
    let text = complaint(device, "protocol = \"lmtp\"\nidentify_by_network = true");
    assert!(text.contains("LMTP is never spoken on port 25"), "{text}");
    let exposed = complaint("protocol = \"smtp\"\ntls = \"starttls\"", "protocol = \"lmtp\"");
    assert!(exposed.contains("is not loopback and has no TLS"), "{exposed}");
    let off = "protocol = \"lmtp\"\nextensions_off = [\"PIPELINING\"]\ntls = \"starttls\"";
    let off = complaint("protocol = \"smtp\"\ntls = \"starttls\"", off);
    assert!(off.contains("LMTP has PIPELINING and ENHANCEDSTATUSCODES always"), "{off}");
}

#[test]
fn row_13_gateways_are_believed_where_they_are_listed_and_never_instead_of_a_login() {
    let starttls = "tls = \"starttls\"\nper";
    let with = |text: &str| FULL.replace(starttls, &format!("tls = \"starttls\"\n{text}\nper"));
    let plan = load(&with("xclient_from = [\"10.0.0.0/24\"]\nxforward_from = [\"10.0.1.1\"]")).unwrap();
    assert!(plan.listeners[1].dialect.xclient_from.is_empty());
    let dialect = &plan.listeners[0].dialect;
    assert_eq!((dialect.xclient_from.len(), dialect.xforward_from.len()), (1, 1));
    let key = Secret::new([0; 32]);
    assert_eq!(plan.vault_slice(&key).listeners[0].xclient_from, dialect.xclient_from);
    let admission = &plan.listener_slice(&key).listeners[0];
    let caps = |address: &str| admission.caps_of(address.parse().unwrap()).is_some();
    assert!(!caps("10.0.0.9") && !caps("::ffff:10.0.0.9") && caps("10.0.1.9"), "a gateway's sessions are its clients'");
    let refused = |text: &str| complaint(starttls, &format!("tls = \"starttls\"\n{text}\nper"));
    assert!(
        refused("xclient_from = [\"0.0.0.0/0\"]").contains("xclient_from: \"0.0.0.0/0\" is too wide to be believed")
    );
    let both = refused("proxy_from = [\"10.0.0.1\"]\nxforward_from = [\"10.0.0.1\"]");
    assert!(both.contains("xforward_from: with proxy_from"), "{both}");
    let device = "identify_by_network = true";
    let login = complaint(device, "identify_by_network = true\nxclient_from = [\"10.0.0.1\"]");
    assert!(login.contains("XCLIENT never gives one"), "{login}");
    let http = complaint("serve = [\"v1\", \"ops\"]", "xforward_from = [\"127.0.0.1\"]");
    assert!(http.contains("xforward_from: is for protocol = \"smtp\""), "{http}");
    let clear = "address = [\"127.0.0.1:8080\"]\nprotocol = \"http\"\nserve = [\"v1\", \"ops\"]";
    let smtp = "address = [\"127.0.0.1:8080\"]\nprotocol = \"smtp\"\nxclient_from = [\"127.0.0.1\"]";
    assert!(complaint(clear, smtp).contains("xclient_from: clients come from elsewhere"));
}

#[test]
fn row_31_only_commands_that_nobody_needs_can_be_turned_off() {
    let plan = load(&FULL.replace("zone = \"devices\"", "commands_off = [\"VRFY\", \"HELP\"]")).unwrap();
    assert_eq!(plan.listeners[1].dialect.commands_off, [Optional::Vrfy, Optional::Help]);
    for needed in ["QUIT", "RSET", "NOOP", "MAIL", "EHLO"] {
        let text = complaint("zone = \"devices\"", &format!("commands_off = [\"{needed}\"]"));
        assert!(text.contains(&format!("commands_off: \"{needed}\" is unknown")), "{text}");
    }
    assert!(complaint("serve = [\"v1\", \"ops\"]", "commands_off = [\"HELP\"]").contains("is for protocol = \"smtp\""));
}

#[test]
fn rule_a17_scram_is_offered_where_it_is_named_and_bound_to_tls_where_there_is_some() {
    let with = |mechanisms: &str, tls: &str| {
        let line = format!("per_address = 10\nmechanisms = [{mechanisms}]");
        load(&FULL.replace("per_address = 10", &line).replacen("tls = \"starttls\"", tls, 1))
    };
    const BOTH: &str = "\"SCRAM-SHA-256-PLUS\", \"SCRAM-SHA-256\"";
    let plan = with(BOTH, "tls = \"starttls\"").unwrap();
    assert_eq!(plan.listeners[0].mechanisms, [Mechanism::ScramSha256Plus, Mechanism::ScramSha256]);
    let said = with(BOTH, "behind_tls_proxy = true").unwrap_err().to_string();
    assert!(said.contains("\"SCRAM-SHA-256-PLUS\" binds a login to its TLS, and there is none here"), "{said}");
    assert!(with("\"SCRAM-SHA-256\"", "behind_tls_proxy = true").is_ok());
}

#[test]
fn rule_w13_proxies_are_believed_by_one_field_and_hosts_are_names_without_ports() {
    use crate::config::slice::ForwardedBy;
    let http = "serve = [\"v1\", \"ops\"]";
    let with = |text: &str| FULL.replace(http, &format!("{http}\nbehind_tls_proxy = true\n{text}"));
    let at = FULL.split("[[listener]]").position(|text| text.contains(http)).unwrap() - 1;
    let both = "trusted_proxies = [\"10.0.0.0/24\"]\nforwarded_by = \"Forwarded\"";
    let plan =
        load(&with(&format!("{both}\nhosts = [\"API.example.net\", \"2001:db8::1\", \"[::1]\", \"192.0.2.1\"]")))
            .unwrap();
    let reach = &plan.listeners[at].reach;
    assert_eq!(reach.hosts, ["api.example.net", "[2001:db8::1]", "[::1]", "192.0.2.1"]);
    assert_eq!(reach.forwarded_by, Some(ForwardedBy::Forwarded));
    let key = Secret::new([0; 32]);
    assert_eq!(plan.vault_slice(&key).listeners[at].xclient_from.len(), 1, "the vault believes the same");
    let admission = &plan.listener_slice(&key).listeners[at];
    assert!(admission.caps_of("10.0.0.9".parse().unwrap()).is_none(), "a proxy's connections are its clients'");
    for (text, why) in [
        ("trusted_proxies = [\"10.0.0.1\"]", "say which field they write"),
        ("forwarded_by = \"Forwarded\"", "name the proxies"),
        ("trusted_proxies = [\"10.0.0.1\"]\nforwarded_by = \"X-Real-IP\"", "forwarded_by"),
        ("trusted_proxies = [\"0.0.0.0/0\"]\nforwarded_by = \"Forwarded\"", "too wide to be believed"),
        ("proxy_from = [\"10.0.0.1\"]\ntrusted_proxies = [\"10.0.0.1\"]\nforwarded_by = \"Forwarded\"", "choose one"),
        ("hosts = [\"api.example.net:443\"]", "without a port"),
        ("hosts = [\"https://api.example.net\"]", "without a port"),
        ("hosts = [\"\"]", "without a port"),
    ] {
        let said = load(&with(text)).unwrap_err().to_string();
        assert!(said.contains(why), "{text}: {said}");
    }
    let starttls = "tls = \"starttls\"\nper";
    for (text, why) in
        [("hosts = [\"a\"]", "hosts: is for protocol = \"http\""), (both, "trusted_proxies: is for protocol")]
    {
        let said = load(&FULL.replace(starttls, &format!("tls = \"starttls\"\n{text}\nper"))).unwrap_err().to_string();
        assert!(said.contains(why), "{text}: {said}");
    }
}

#[test]
fn a_listener_serves_the_surfaces_that_it_names() {
    let http = "serve = [\"v1\", \"ops\"]";
    let at = FULL.split("[[listener]]").position(|text| text.contains(http)).unwrap() - 1;
    let plan = load(&FULL.replace(http, "serve = [\"send\", \"resend\", \"postmark\", \"usesend\"]")).unwrap();
    assert_eq!(plan.listeners[at].serve, [Serve::Send, Serve::Resend, Serve::Postmark, Serve::Usesend]);
    let said = complaint(http, "serve = [\"resent\"]");
    assert!(said.contains("serve: \"resent\" is unknown") && said.contains("resend"), "{said}");
}

#[test]
fn origins_are_those_that_browsers_say_and_never_all() {
    let http = "serve = [\"v1\", \"ops\"]";
    let with = |origin: &str| FULL.replace(http, &format!("{http}\norigins = [\"{origin}\"]"));
    let at = FULL.split("[[listener]]").position(|text| text.contains(http)).unwrap() - 1;
    for good in ["https://www.example.net", "http://localhost:3000", "https://[2001:db8::1]:8443", "https://[::1]"] {
        assert_eq!(load(&with(good)).unwrap().listeners[at].reach.origins, [good]);
    }
    for bad in [
        "*",
        "null",
        "www.example.net",
        "https://*.example.net",
        "https://www.example.net/",
        "https://www.example.net:443",
        "http://www.example.net:80",
        "https://www.example.net:",
        "https://www.example.net:08443",
        "https://WWW.example.net",
        "https://a@www.example.net",
        "ftp://www.example.net",
        "",
    ] {
        let said = load(&with(bad)).unwrap_err().to_string();
        assert!(said.contains("write each as browsers say it"), "{bad}: {said}");
    }
    let smtp = complaint("tls = \"starttls\"\nper", "tls = \"starttls\"\norigins = [\"https://a.test\"]\nper");
    assert!(smtp.contains("origins: is for protocol = \"http\""), "{smtp}");
}

#[test]
fn rule_o2_who_may_watch_the_service_is_listed_narrowly_and_only_where_it_is_served() {
    let http = "serve = [\"v1\", \"ops\"]";
    let with = |text: &str| FULL.replace(http, &format!("{http}\n{text}"));
    let at = FULL.split("[[listener]]").position(|text| text.contains(http)).unwrap() - 1;
    let plan = load(&with("ops_networks = [\"10.0.0.0/24\", \"::1\"]")).unwrap();
    let networks: Vec<_> = plan.listeners[at].reach.ops_networks.iter().map(ToString::to_string).collect();
    assert_eq!(networks, ["10.0.0.0/24", "::1/128"]);
    let zone = plan.listeners[at].zone.clone();
    assert_eq!(plan.vault_slice(&Secret::new([0; 32])).ops_zones, [zone]);
    for (text, why) in [
        (with("ops_networks = [\"0.0.0.0/0\"]"), "too wide to watch the service"),
        (with("ops_networks = [\"prometheus\"]"), "is not a network"),
        (with("ops_networks = []"), "ops_networks is empty"),
        (with("ops_networks = [\"10.0.0.1\"]").replace(http, "serve = [\"v1\"]"), "with serve = [\"ops\"]"),
    ] {
        let said = load(&text).unwrap_err().to_string();
        assert!(said.contains(why), "{said}");
    }
    let unserved = load(&FULL.replace(http, "serve = [\"v1\"]")).unwrap();
    assert!(unserved.vault_slice(&Secret::new([0; 32])).ops_zones.is_empty());
}

#[test]
fn rule_x10_nothing_is_held_over_smtp_unless_it_is_written_and_nowhere_where_it_says_never() {
    let held =
        |text: &str| load(text).unwrap().listeners.iter().take(3).map(|one| one.future_release).collect::<Vec<_>>();
    let three_days = Some(Duration::from_secs(3 * 86_400));
    assert_eq!(held(FULL), [None, None, three_days]);
    let (smtp, http) = ("zone = \"devices\"\n", "serve = [\"v1\", \"ops\"]\n");
    let with = |line: &str, word: &str| FULL.replace(line, &format!("{line}future_release = \"{word}\"\n"));
    assert_eq!(held(&with(smtp, "1h")), [None, Some(Duration::from_secs(3600)), three_days]);
    for line in [smtp, http] {
        let nowhere = held(&with(line, "never"));
        assert_eq!(nowhere, [None, None, three_days.filter(|_| line == smtp)], "{line}");
    }
    assert!(complaint(smtp, "zone = \"devices\"\nfuture_release = \"none\"\n").contains("future_release: "));
}
