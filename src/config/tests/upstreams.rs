//! Upstreams: how they are logged in to, and by what they are believed.

use std::net::IpAddr;

use super::*;
use crate::config::slice::{Api, Auth, CourierSlice, Endpoint, Family, Keep, OnUnsupported, Verify};
use crate::policy::limits::Pace;

#[test]
fn rule_u5_how_to_log_in_is_one_of_four_words_and_needs_a_name() {
    let auth =
        |word: &str| load(&FULL.replace("username = \"gate\"", &format!("username = \"gate\"\nauth = \"{word}\"")));
    for (word, expected) in
        [("auto", Auth::Auto), ("scram-sha-256", Auth::ScramSha256), ("plain", Auth::Plain), ("login", Auth::Login)]
    {
        assert_eq!(auth(word).unwrap().upstreams[0].auth, expected);
    }
    assert_eq!(load(FULL).unwrap().upstreams[0].auth, Auth::Auto);
    assert!(auth("cram-md5").unwrap_err().0[0].contains("auth: \"cram-md5\" is unknown"));
    let alone =
        complaint("username = \"gate\"\npassword_file = \"/etc/gatepost/smarthost.secret\"\n", "auth = \"plain\"\n");
    assert!(alone.contains("auth: there is no login without username"), "{alone}");
}

const LOGIN: &str = "username = \"gate\"\npassword_file = \"/etc/gatepost/smarthost.secret\"\n";

#[test]
fn rule_u4_what_an_upstream_is_believed_by_is_said_whole_and_opted_out_of_by_its_name() {
    let pin = format!("pin = [\"sha256:{}\"]\n", "ab".repeat(32));
    let with = |lines: &str| FULL.replacen(LOGIN, lines, 1);
    let beside = load(&with(&format!("{LOGIN}{pin}tls_name = \"Relay.Example.NET\"\n"))).unwrap();
    let protection = &beside.upstreams[0].protection;
    assert_eq!((protection.verify, protection.pins.as_slice()), (Verify::Full, &[[0xab; 32]][..]));
    assert_eq!(protection.name.as_deref(), Some("relay.example.net"));
    let alone = load(&with(&format!("{LOGIN}verify = \"pin\"\n{pin}"))).unwrap();
    assert_eq!(alone.upstreams[0].protection.verify, Verify::Pin);
    let open = load(&with("verify = \"none_insecure\"\n")).unwrap();
    assert!(
        open.warnings.iter().any(|line| line.contains("whoever answers for mx1.example.net")),
        "{:?}",
        open.warnings
    );
    for (lines, why) in [
        ("verify = \"none\"\n".to_owned(), "verify: \"none\" is unknown"),
        ("verify = \"pin\"\n".to_owned(), "no key is pinned"),
        ("pin = [\"sha256:abc\"]\n".to_owned(), "pin: \"sha256:abc\""),
        ("pin = []\n".to_owned(), "pin: from 1 to 16"),
        (format!("{LOGIN}verify = \"none_insecure\"\n"), "the password would go to whoever answers"),
        (format!("verify = \"none_insecure\"\n{pin}"), "nobody looks at it"),
        ("verify = \"none_insecure\"\nrequiretls = true\n".to_owned(), "requiretls promises verified TLS"),
        (format!("verify = \"pin\"\n{pin}authorities_file = \"/a.pem\"\n"), "no authority is asked"),
        ("client_certificate = \"/a.pem\"\n".to_owned(), "client_key is missing"),
        ("client_key = \"/a.key\"\n".to_owned(), "client_certificate is missing"),
        ("client_certificate = \"a.pem\"\nclient_key = \"/a.key\"\n".to_owned(), "write the whole path"),
        ("tls_name = \"a b\"\n".to_owned(), "tls_name: \"a b\" is not a host name"),
    ] {
        let said = complaint(LOGIN, &lines);
        assert!(said.contains(why), "{lines}: {said}");
    }
    let inside = complaint("tls = \"none\"\n", &format!("tls = \"none\"\n{pin}"));
    assert!(inside.contains("pin: there is no TLS to this upstream"), "{inside}");
}

#[test]
fn rule_u11_rule_u14_how_a_connection_is_made_and_kept_has_defaults_and_bounds() {
    let courier = |lines: &str| {
        let plan = load(&FULL.replacen(LOGIN, lines, 1)).unwrap();
        match plan.courier_slice(&plan.upstreams[0]) {
            CourierSlice::Smtp(slice) => (slice.helo, slice.keep, plan.dialer_slice().upstreams[0].family),
            other => panic!("{other:?}"),
        }
    };
    let keep = |idle, age, messages| Keep { idle: Duration::from_secs(idle), age: Duration::from_secs(age), messages };
    assert_eq!(courier(""), ("gate.example.net".to_owned(), keep(8, 300, 100), Family::Any));
    let lines = "helo = \"Out.Example.NET\"\nfamily = \"ipv4\"\nidle = \"30s\"\nmax_age = \"1m\"\nmessages_per_connection = 5\n";
    assert_eq!(courier(lines), ("out.example.net".to_owned(), keep(30, 60, 5), Family::Ipv4));
    for (lines, why) in [
        ("helo = \"[192.0.2.1]\"\n", "helo: \"[192.0.2.1]\" is not a host name"),
        ("family = \"ip\"\n", "family: \"ip\" is unknown"),
        ("idle = \"0s\"\n", "idle: "),
        ("max_age = \"2h\"\n", "max_age: "),
        ("messages_per_connection = 0\n", "messages_per_connection: must be from 1 to 10000"),
    ] {
        let said = complaint(LOGIN, lines);
        assert!(said.contains(why), "{lines}: {said}");
    }
    let other = complaint("hosts = [\"127.0.0.1:25\"]", "hosts = [\"127.0.0.1:25\"]\nfamily = \"ipv6\"");
    assert!(other.contains("127.0.0.1 among the hosts is no IPv6 address"), "{other}");
}

#[test]
fn an_upstream_sees_one_address_of_each_family_at_most() {
    let with = |lines: &str| FULL.replacen(LOGIN, lines, 1);
    let sources = |lines: &str| load(&with(lines)).unwrap().dialer_slice().upstreams[0].sources.clone();
    assert_eq!(sources(""), [] as [IpAddr; 0]);
    let both = sources("source_address = [\"192.0.2.5\", \"2001:db8::5\"]\n");
    assert_eq!(both, ["192.0.2.5".parse::<IpAddr>().unwrap(), "2001:db8::5".parse().unwrap()]);
    for (lines, why) in [
        ("source_address = []\n", "source_address: the list is empty"),
        ("source_address = [\"out.example.net\"]\n", "\"out.example.net\" is not an IP address"),
        ("source_address = [\"0.0.0.0\"]\n", "\"0.0.0.0\" is no address of one machine"),
        ("source_address = [\"fe80::5\"]\n", "\"fe80::5\" is no address of one machine"),
        ("source_address = [\"::ffff:192.0.2.5\"]\n", "is an IPv4 address in IPv6"),
        (
            "family = \"ipv4\"\nsource_address = [\"2001:db8::5\"]\n",
            "is of a family that this upstream isn't reached by",
        ),
        ("source_address = [\"192.0.2.5\", \"192.0.2.6\"]\n", "\"192.0.2.6\" is a second one of its family"),
    ] {
        let said = complaint(LOGIN, lines);
        assert!(said.contains(why), "{lines}: {said}");
    }
    let other =
        complaint("hosts = [\"127.0.0.1:25\"]", "hosts = [\"127.0.0.1:25\"]\nsource_address = [\"2001:db8::5\"]");
    assert!(other.contains("source_address: none is of the family of 127.0.0.1"), "{other}");
}

#[test]
fn what_is_never_used_or_over_is_a_warning() {
    let is_told = |written: &str, expected: &str| {
        let warnings = load(written).unwrap().warnings;
        warnings.iter().any(|line| line.contains(expected))
    };
    assert!(!is_told(FULL, "is never used: no route names it") && !is_told(FULL, "is over"));
    let spare =
        format!("{FULL}\n[[upstream]]\nname = \"spare\"\nkind = \"smtp\"\nhosts = [\"spare.example.net:587\"]\n");
    assert!(is_told(&spare, "upstream \"spare\" is never used: no route names it"));
    let over = FULL.replacen("[[credential]]", "[[credential]]\nexpires = \"2020-01-01\"", 1);
    assert!(is_told(&over, "expires: \"2020-01-01\" is over"));
}

const HOOK: &str = "[[upstream]]\nname = \"hook\"\nkind = \"webhook\"\nurl = \"https://Hook.example.net:8443/in?a=b\"\n\
                    secret_file = \"/etc/gatepost/hook.secret\"\n[[route]]\nto = \"hook@example.org\"\nvia = [\"hook\"]\n";

#[test]
fn a_webhook_is_where_its_url_says_and_has_a_secret() {
    let plan = load(&format!("{FULL}\n{HOOK}")).unwrap();
    let hook = plan.upstreams.last().unwrap();
    assert!(plan.ports().contains(&8443) && hook.password.is_some());
    match plan.courier_slice(hook) {
        CourierSlice::Provider(slice) => {
            assert_eq!((slice.host.as_str(), slice.port, slice.tls), ("hook.example.net", 8443, true));
            assert_eq!((slice.path.as_str(), slice.api), ("/in?a=b", Api::Webhook));
            assert_eq!(slice.max_size, plan.vault_slice(&Secret::new([0; 32])).max_size);
        }
        other => panic!("{other:?}"),
    }
    let local = HOOK.replace("https://Hook.example.net:8443/in?a=b", "http://127.0.0.1:8080");
    let plan = load(&format!("{FULL}\n{local}")).unwrap();
    let CourierSlice::Provider(slice) = plan.courier_slice(plan.upstreams.last().unwrap()) else { panic!("another") };
    assert_eq!((slice.path.as_str(), slice.tls, slice.port), ("/", false, 8080));
}

#[test]
fn a_webhook_that_could_not_work_is_refused_with_its_place() {
    let secret = "secret_file = \"/etc/gatepost/hook.secret\"";
    for (from, to, why) in [
        ("https://Hook.example.net:8443/in?a=b", "http://hook.example.net/in", "http is for this machine only"),
        ("https://Hook.example.net:8443/in?a=b", "hook.example.net", "url: write where it is posted to"),
        ("https://Hook.example.net:8443/in?a=b", "https://u:p@hook.example.net/", "url: write where it is posted to"),
        ("url = \"https://Hook.example.net:8443/in?a=b\"\n", "", "url is missing"),
        (secret, "", "secret_file is missing"),
        ("/etc/gatepost/hook.secret", "hook.secret", "secret_file: \"hook.secret\": write the whole path"),
        (secret, &format!("{secret}\nhosts = [\"a:25\"]"), "hosts: only an upstream of kind \"smtp\" has it"),
        (secret, &format!("{secret}\npassword = \"env:X\""), "password: only an upstream of kind \"smtp\" has it"),
        (secret, &format!("{secret}\nverify = \"none_insecure\""), "a provider is verified always"),
        ("\"webhook\"", "\"webhok\"", "did you mean \"webhook\"?"),
    ] {
        let errors = load(&format!("{FULL}\n{}", HOOK.replacen(from, to, 1))).unwrap_err().0;
        assert!(errors.iter().any(|error| error.contains(why)), "{why}: {errors:?}");
    }
    let smtp = complaint(LOGIN, &format!("{LOGIN}url = \"https://x/\"\n"));
    assert!(
        smtp.contains("url: only an upstream of kind \"webhook\" or \"cloudflare\" or \"bytesend\" has it"),
        "{smtp}"
    );
}

const CLOUDFLARE: &str = "[[upstream]]\nname = \"cloud\"\nkind = \"cloudflare\"\naccount = \"0123abcd\"\n\
                          token_file = \"/etc/gatepost/cloud.token\"\ndrop_headers = [\"Received\"]\n\
                          [[route]]\nto = \"cloud@example.org\"\nvia = [\"cloud\"]\n";

#[test]
fn cloudflare_is_at_its_own_place_or_where_a_url_says() {
    for (lines, host, path) in [
        ("", "api.cloudflare.com", "/client/v4/accounts/0123abcd/email/sending/send_raw"),
        ("url = \"https://localhost:99/v/\"\n", "localhost", "/v/accounts/0123abcd/email/sending/send_raw"),
    ] {
        let plan = load(&format!("{FULL}\n{}", CLOUDFLARE.replace("account", &format!("{lines}account")))).unwrap();
        let CourierSlice::Provider(slice) = plan.courier_slice(plan.upstreams.last().unwrap()) else {
            panic!("another")
        };
        assert_eq!((slice.host.as_str(), slice.path.as_str(), slice.tls), (host, path, true));
        let drop_headers = vec!["Received".to_owned()];
        assert_eq!(slice.api, Api::Cloudflare { drop_headers, endpoint: Endpoint::SendRaw });
    }
    for (from, to, why) in [
        ("account = \"0123abcd\"\n", "", "account is missing"),
        ("0123abcd", "../x", "account: write the id"),
        ("token_file = \"/etc/gatepost/cloud.token\"\n", "", "token_file is missing"),
        ("\"Received\"", "\"Received:\"", "drop_headers: \"Received:\": write the name"),
        ("\"Received\"", "\"from\"", "without From it is no message"),
        ("\"Received\"", "\"content-type\"", "without content-type the message is read as another one"),
        (
            "account",
            "url = \"https://localhost/client/v4/accounts/0123abcd/email/sending/send_raw\"\naccount",
            "write where the API begins",
        ),
        ("token_file", "secret_file = \"/a\"\ntoken_file", "secret_file: only an upstream of kind \"webhook\" has it"),
        ("token_file", "url = \"https://x/?a\"\ntoken_file", "has no query"),
    ] {
        let errors = load(&format!("{FULL}\n{}", CLOUDFLARE.replacen(from, to, 1))).unwrap_err().0;
        assert!(errors.iter().any(|error| error.contains(why)), "{why}: {errors:?}");
    }
}

#[test]
fn cloudflare_is_given_fields_where_that_is_asked_for() {
    for (lines, endpoint) in [
        ("endpoint = \"send_raw\"\n", Endpoint::SendRaw),
        ("endpoint = \"send\"\n", Endpoint::Send(OnUnsupported::Fail)),
        ("endpoint = \"send\"\non_unsupported = \"drop\"\n", Endpoint::Send(OnUnsupported::Drop)),
    ] {
        let plan = load(&format!("{FULL}\n{}", CLOUDFLARE.replace("account", &format!("{lines}account")))).unwrap();
        let CourierSlice::Provider(slice) = plan.courier_slice(plan.upstreams.last().unwrap()) else {
            panic!("another")
        };
        let end = if endpoint == Endpoint::SendRaw { "/send_raw" } else { "/send" };
        assert!(slice.path.ends_with(end), "{}", slice.path);
        assert!(matches!(slice.api, Api::Cloudflare { endpoint: chosen, .. } if chosen == endpoint), "{lines}");
    }
    for (lines, why) in [
        ("endpoint = \"raw\"\n", "endpoint: \"raw\" is unknown"),
        ("on_unsupported = \"drop\"\n", "on_unsupported: send_raw carries every message as it is"),
    ] {
        let written = CLOUDFLARE.replace("account", &format!("{lines}account"));
        let errors = load(&format!("{FULL}\n{written}")).unwrap_err().0;
        assert!(errors.iter().any(|error| error.contains(why)), "{why}: {errors:?}");
    }
}

#[test]
fn a_field_by_which_a_message_is_known_is_not_dropped_without_a_word() {
    let odd = CLOUDFLARE.replace("[\"Received\"]", "[\"Subject\", \"Received\"]");
    let warnings = load(&format!("{FULL}\n{odd}")).unwrap().warnings;
    let told: Vec<_> = warnings.iter().filter(|line| line.contains("drop_headers")).collect();
    assert!(matches!(told[..], [one] if one.contains("Subject")), "{warnings:?}");
}

#[test]
fn bytesend_is_at_its_own_place_and_usesend_where_a_url_says() {
    let written = "[[upstream]]\nname = \"send\"\nkind = \"bytesend\"\ntoken_file = \"/etc/gatepost/send.token\"\n\
                   [[route]]\nto = \"send@example.org\"\nvia = [\"send\"]\n";
    let more = "url = \"https://send.example.net/api\"\non_unsupported = \"drop\"\ntoken_file";
    for (written, host, path, chosen) in [
        (written.to_owned(), "bytesend.cloud", "/api/v1/emails", OnUnsupported::Fail),
        (written.replace("token_file", more), "send.example.net", "/api/v1/emails", OnUnsupported::Drop),
    ] {
        let plan = load(&format!("{FULL}\n{written}")).unwrap();
        let CourierSlice::Provider(slice) = plan.courier_slice(plan.upstreams.last().unwrap()) else {
            panic!("another")
        };
        assert_eq!((slice.host.as_str(), slice.path.as_str()), (host, path));
        assert_eq!(slice.api, Api::Bytesend { on_unsupported: chosen });
    }
    // It would be posted to a place below the right one, for ever.
    for url in ["https://bytesend.cloud/api/v1/emails", "https://bytesend.cloud/api/v1/"] {
        let odd = written.replace("token_file", &format!("url = \"{url}\"\ntoken_file"));
        let errors = load(&format!("{FULL}\n{odd}")).unwrap_err().0;
        assert!(errors[0].contains("\"/v1/emails\" is added to it"), "{errors:?}");
    }
    let odd = written.replace("token_file", "on_unsupported = \"keep\"\ntoken_file");
    let errors = load(&format!("{FULL}\n{odd}")).unwrap_err().0;
    assert!(errors[0].contains("on_unsupported: \"keep\" is unknown"), "{errors:?}");
}

#[test]
fn what_bytesend_tells_later_has_a_name_a_secret_and_a_listener() {
    let hook = "webhook_in = { name = \"send\", secret_file = \"/etc/gatepost/send.webhook\" }\n";
    let one = |name: &str, more: &str| {
        format!(
            "[[upstream]]\nname = \"{name}\"\nkind = \"bytesend\"\ntoken_file = \"/etc/gatepost/{name}.token\"\n{more}"
        )
    };
    let routes = "[[route]]\nto = \"send@example.org\"\nvia = [\"send\"]\n";
    let with = |more: &str| format!("{FULL}\n{}{routes}", one("send", more));
    let plan = load(&with(hook)).unwrap();
    assert!(plan.warnings.iter().any(|line| line.contains("webhook_in: no listener serves it")), "{:?}", plan.warnings);
    let upstream = plan.upstreams.last().unwrap();
    let sources: Vec<String> = upstream.sources().map(ToString::to_string).collect();
    assert_eq!(sources, ["/etc/gatepost/send.token", "/etc/gatepost/send.webhook"]);
    let served = with(hook).replace("serve = [\"v1\", \"ops\"]", "serve = [\"v1\", \"hooks\"]");
    assert!(!load(&served).unwrap().warnings.iter().any(|line| line.contains("hook")));
    let alone = with("").replace("serve = [\"v1\", \"ops\"]", "serve = [\"hooks\"]");
    assert!(load(&alone).unwrap().warnings.iter().any(|line| line.contains("no upstream has webhook_in")));
    for (more, why) in [
        ("webhook_in = {}\n".to_owned(), "webhook_in: name is missing"),
        ("webhook_in = { name = \"x\" }\n".to_owned(), "webhook_in: secret_file is missing"),
        (hook.replace("\"send\"", "\"Send/it\""), "webhook_in.name: \"Send/it\": write 1 to 32"),
        (hook.replace("/etc", "etc"), "webhook_in.secret_file: \"etc/gatepost/send.webhook\": write the whole path"),
        (hook.replace("secret_file", "secret"), "unknown key \"secret\""),
        (format!("{hook}{}{hook}", one("other", "")), "webhook_in.name: \"send\" is used twice"),
    ] {
        let errors = load(&with(&more)).unwrap_err().0;
        assert!(errors.iter().any(|error| error.contains(why)), "{why}: {errors:?}");
    }
    let odd = FULL.replacen(LOGIN, &format!("{LOGIN}{hook}"), 1);
    let errors = load(&odd).unwrap_err().0;
    assert!(
        errors.iter().any(|error| error.contains("webhook_in: only an upstream of kind \"bytesend\" has it")),
        "{errors:?}"
    );
}

#[test]
fn rule_q12_a_pace_is_of_every_kind_and_says_something() {
    let with = |pace: &str| FULL.replacen(LOGIN, &format!("{LOGIN}pace = {pace}\n"), 1);
    let planned = load(&with("{ per_second = 2, per_day = 5000 }")).unwrap();
    assert_eq!(planned.upstreams[0].pace, Pace { per_second: Some(2), per_minute: None, per_day: Some(5000) });
    let slice = planned.vault_slice(&crate::secret::Secret::new([0; crate::ipc::capsule::KEY]));
    assert_eq!(slice.paces, [(planned.upstreams[0].name.clone(), planned.upstreams[0].pace)]);
    for (pace, why) in [
        ("{}", "pace: says nothing"),
        ("{ per_second = 0 }", "per_second: must be from 1 to 10000"),
        ("{ per_hour = 7 }", "per_hour"),
    ] {
        let said = complaint(LOGIN, &format!("{LOGIN}pace = {pace}\n"));
        assert!(said.contains(why), "{pace}: {said}");
    }
    let odd = load(&with("{ per_second = 100, per_minute = 60 }")).unwrap();
    let line = "pace: per_minute is less than the 100 of per_second, which are never reached then";
    assert!(odd.warnings.iter().any(|warning| warning.contains(line)), "{:?}", odd.warnings);
}

#[test]
fn rule_q9_check_warns_of_a_route_whose_next_upstream_protects_mail_less_than_the_first() {
    let order = |via: &str| FULL.replacen("via = [\"inside\", \"smarthost\"]", via, 1);
    let outside = |text: &str| text.replacen("hosts = [\"127.0.0.1:25\"]", "hosts = [\"192.0.2.9:25\"]", 1);
    let told = |text: &str| {
        let warnings = load(text).unwrap().warnings;
        warnings.into_iter().filter(|line| line.contains("when the first fails")).collect::<Vec<_>>()
    };
    let down = order("via = [\"smarthost\", \"inside\"]");
    let found = told(&outside(&down));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("\"smarthost\" by verified TLS goes to \"inside\" without TLS"), "{found:?}");
    // What stays on this machine needs none; and the other way round nothing is lost.
    assert_eq!((told(&down), told(&outside(FULL))), (vec![], vec![]));
    let anybody = outside(&down).replacen("tls = \"none\"", "tls = \"starttls\"\nverify = \"none_insecure\"", 1);
    assert!(told(&anybody)[0].contains("by TLS to whoever answers"));
}
