//! What `check` says of ways to log in that nobody can go.

use super::*;

/// A listener with this in it, and credentials after it.
fn written(listener: &str, credentials: &str) -> String {
    format!(
        "version = 1\nhostname = \"gate.example.net\"\n[tls]\ncertificate = \"/c/gate.pem\"\nkey = \"/c/gate.key\"\n\
         [[listener]]\nname = \"a\"\naddress = [\"127.0.0.1:2525\"]\nprotocol = \"smtp\"\n{listener}\n{credentials}\n\
         [[upstream]]\nname = \"b\"\nkind = \"smtp\"\nhosts = [\"127.0.0.1:25\"]\ntls = \"none\"\n[[route]]\nvia = [\"b\"]\n"
    )
}

fn credential(id: &str, more: &str) -> String {
    format!("[[credential]]\nid = \"{id}\"\nsenders = [\"@example.net\"]\n{more}\n")
}

fn secret(key: &str, scram: bool) -> String {
    let keys = "SCRAM-SHA-256$16384:AAAAAAAAAAAAAAAAAAAAAA==$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=:\
                AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    let scram = if scram { format!(", scram = \"{keys}\"") } else { String::new() };
    format!("{{ key = \"{key}\", hash = \"{HASH}\"{scram} }}")
}

#[test]
fn a_way_that_nobody_can_go_is_a_warning_and_one_that_somebody_can_is_none() {
    let asks = "tls = \"starttls\"\nclient_authorities_file = \"/c/devices.pem\"\nclient_certificates";
    let external = format!("{asks} = \"request\"\nmechanisms = [\"PLAIN\", \"EXTERNAL\"]");
    let require = format!("{asks} = \"require\"");
    let scram = "tls = \"starttls\"\nmechanisms = [\"SCRAM-SHA-256\"]";
    let with = |all: &[String]| credential("shop", &format!("secrets = [{}]", all.join(", ")));
    let (bare, derived) = (with(&[secret("key1", false)]), with(&[secret("key1", true)]));
    let both = with(&[secret("key1", true), secret("key2", false)]);
    let certificate = |id: &str, name: &str| credential(id, &format!("certificates = [\"dns:{name}.example.net\"]"));
    let (one, two) = (certificate("one", "x"), certificate("two", "y"));
    let device = |networks: &str, more: &str| {
        credential("d", &format!("identified_by = [\"{networks}\"]\nlimits = {{ per_day = 9 }}\n{more}"))
    };
    let own = "tls = \"none\"\ncertificate = \"/c/a.pem\"\nkey = \"/c/a.key\"";
    let network = "identify_by_network = true";
    for (expected, odd, fine) in [
        ("no secret in this file has scram", (scram, bare.clone()), (scram, derived.clone())),
        ("one of its secrets has scram", (scram, both), (scram, derived.clone())),
        (
            "lets in nobody who has TLS 1.2",
            ("tls = \"starttls\"\nmechanisms = [\"SCRAM-SHA-256-PLUS\"]", derived.clone()),
            (scram, derived),
        ),
        ("nobody can log in by EXTERNAL", (&external, bare.clone()), (&external, one.clone())),
        ("nobody can log in here", (&require, bare.clone()), (&require, one.clone())),
        (
            "a client must say which",
            (&external, one.clone() + &certificate("two", "x")),
            (&external, one.clone() + &two),
        ),
        ("shown to nobody", (own, bare.clone()), ("tls = \"none\"", bare)),
        (
            "networks has nothing of identified_by",
            (network, device("10.1.0.0/16", "networks = [\"10.2.0.0/16\"]")),
            (network, device("10.1.0.0/16", "networks = [\"10.1.2.0/24\"]")),
        ),
        (
            "it has no scope",
            (network, device("10.1.0.0/16", "scopes = [\"send\"]")),
            (network, device("10.1.0.0/16", "scopes = [\"smtp\"]")),
        ),
        (
            "has identified_by: nobody can send there",
            (network, credential("d", &format!("secrets = [{}]", secret("key1", false)))),
            (network, device("127.0.0.1", "")),
        ),
        (
            "is disabled, expired or without the scope",
            (network, device("127.0.0.1", "enabled = false")),
            (network, device("127.0.0.1", "")),
        ),
        (
            "is disabled, expired or without the scope",
            (network, device("127.0.0.1", "expires = \"2020-01-01\"")),
            (network, device("127.0.0.1", "expires = \"2999-01-01\"")),
        ),
        (
            "which no identified_by that is in use has",
            (network, device("10.1.0.0/16", "")),
            ("identify_by_network = true\nproxy_from = [\"127.0.0.1\"]", device("10.1.0.0/16", "")),
        ),
        (
            "which no identified_by that is in use has",
            (network, device("10.1.0.0/16", "")),
            (network, device("127.0.0.0/9", "")),
        ),
        ("matches nobody", (network, device("::ffff:10.1.0.0/112", "")), (network, device("10.1.0.0/16", ""))),
    ] {
        for ((listener, credentials), is_told) in [(odd, true), (fine, false)] {
            let warnings =
                load(&written(listener, &credentials)).unwrap_or_else(|why| panic!("{expected}: {why}")).warnings;
            assert_eq!(warnings.iter().any(|line| line.contains(expected)), is_told, "{expected}: {warnings:#?}");
        }
    }
}

#[test]
fn what_contradicts_itself_is_refused_once() {
    let asks = "tls = \"starttls\"\nclient_authorities_file = \"/c/devices.pem\"\nclient_certificates = \"require\"";
    let shop = credential("shop", "certificates = [\"dns:x.example.net\"]");
    let complaints = |text: &str| load(text).unwrap_err().0;
    let gateway = complaints(&written(&format!("{asks}\nxclient_from = [\"192.0.2.1\"]"), &shop));
    assert!(gateway.len() == 1 && gateway[0].contains("lets in none of the gateway's clients"), "{gateway:?}");
    let web = written(&format!("{asks}\ntrusted_proxies = [\"192.0.2.1\"]\nforwarded_by = \"Forwarded\""), &shop);
    let proxy = complaints(&web.replace("starttls", "implicit").replacen("\"smtp\"", "\"http\"", 1));
    assert!(proxy.len() == 1 && proxy[0].contains("lets in none of the proxy's clients"), "{proxy:?}");
    let device = credential("d", "identified_by = [\"10.1.0.0/33\"]\nlimits = { per_day = 9 }");
    let wrong = complaints(&written("identify_by_network = true", &device));
    assert!(wrong.len() == 1 && wrong[0].contains("identified_by: "), "{wrong:?}");
    let wide = written("", &shop).replace("127.0.0.1:2525\"", "0.0.0.0:2525\", \"[::]:2525\", \"127.0.0.1:2525\"");
    let wide = complaints(&wide.replace("protocol", "tls = \"starttls\"\nprotocol"));
    assert!(wide.len() == 1 && wide[0].contains("is all addresses of this port"), "{wide:?}");
}

#[test]
fn listeners_that_meet_on_a_port_are_refused_with_both_names_and_the_two_kinds_of_addresses_do_not_meet() {
    let two = |one: &str, other: &str| {
        let more =
            format!("[[listener]]\nname = \"b\"\naddress = [\"{other}\"]\nprotocol = \"smtp\"\ntls = \"starttls\"\n");
        load(&written("tls = \"starttls\"", &more).replace("127.0.0.1:2525", one)).map_err(|errors| errors.0)
    };
    for (one, other, why) in [
        ("0.0.0.0:587", "192.0.2.10:587", "\"192.0.2.10:587\" meets 0.0.0.0:587, which listener \"a\" has"),
        ("192.0.2.10:587", "0.0.0.0:587", "\"0.0.0.0:587\" meets 192.0.2.10:587, which listener \"a\" has"),
        ("[::]:587", "[2001:db8::1]:587", "\"[2001:db8::1]:587\" meets [::]:587, which listener \"a\" has"),
        ("192.0.2.10:587", "192.0.2.10:587", "\"192.0.2.10:587\" is used twice: listener \"a\" has it"),
        ("192.0.2.9:587", "[::ffff:192.0.2.10]:587", "write 192.0.2.10:587"),
    ] {
        let refused = two(one, other).unwrap_err();
        assert!(refused.len() == 1 && refused[0].contains(why), "{why}: {refused:?}");
    }
    for (one, other) in [
        ("0.0.0.0:587", "[::]:587"),
        ("[::]:587", "192.0.2.10:587"),
        ("0.0.0.0:587", "192.0.2.10:465"),
        ("192.0.2.9:587", "192.0.2.10:587"),
        ("0.0.0.0:0", "192.0.2.10:0"),
    ] {
        assert_eq!(two(one, other).map(|plan| plan.listeners.len()), Ok(2), "{one} {other}");
    }
}
