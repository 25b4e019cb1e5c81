//! Whole files: what is taken, what is refused and where.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use super::plan::Bind;
use super::slice::{Protocol, Serve, TlsMode};
use super::*;
use crate::policy::rule::RecipientRule;
use crate::secret::Secret;
mod audit;
mod bounces;
mod certificates;
mod credentials;
mod listeners;
mod oauth2;
mod pass_through;
mod programs;
mod slices;
mod suppression;
mod turnstile;
mod upstreams;
mod ways;
mod webhooks;

const HASH: &str = "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$cmFuZG9tIG9jdGV0cyBvZiBhIGhhc2ggLSAzMiBsb25n";

/// A file that uses nearly every key. Line 1 is the version.
const FULL: &str = r#"version = 1
state_directory = "/srv/gatepost"
runtime_directory = "/run/gatepost"
hostname = "Gate.example.net"

[[listener]]
name = "submission"
address = ["0.0.0.0:587", "[::]:587", "systemd:submission"]
protocol = "smtp"
tls = "starttls"
per_address = 10
per_prefix = 20

[[listener]]
name = "devices"
address = ["192.0.2.1:25"]
protocol = "smtp"
identify_by_network = true
zone = "devices"

[[listener]]
name = "api"
address = ["127.0.0.1:8080"]
protocol = "http"
serve = ["v1", "ops"]

[[listener]]
name = "tls-api"
address = ["0.0.0.0:443"]
protocol = "http"
tls = "implicit"
certificate = "/etc/gatepost/tls/api.pem"
key = "credential:api.key"

[tls]
certificate = "/etc/gatepost/tls/fullchain.pem"
key = "/etc/gatepost/tls/key.pem"

[[credential]]
id = "billing"
secrets = [{ key = "7fQ2mKx9", hash = "HASH" }]
senders = ["@example.net"]
recipients = { deny = ["@competitor.example"] }
limits = { per_minute = 60, per_day = 5000, burst = 20 }
delivery = "spool"

[[credential]]
id = "printers"
senders = ["printer@example.net"]
recipients = { allow = ["@example.net"] }
limits = { per_day = 500 }
identified_by = ["192.0.2.128/25", "2001:db8::7"]
max_recipients = 10
mask = "none"

[[upstream]]
name = "smarthost"
kind = "smtp"
hosts = ["mx1.example.net:587", "mx2.example.net:2587"]
tls = "starttls"
username = "gate"
password_file = "/etc/gatepost/smarthost.secret"
connections = 8

[[upstream]]
name = "inside"
kind = "smtp"
hosts = ["127.0.0.1:25"]
tls = "none"

[[route]]
credential = "printers"
from = "*"
to = "@example.net"
via = ["inside", "smarthost"]

[[route]]
via = ["smarthost"]

[spool]
retry = ["30s", "1h 30m"]
lifetime = "2d"

[limits]
sessions = 100
max_size = 1_048_576
handshake = "3s"

[audit]
mask = "full"
retain_personal = "30d"
retain_events = "forever"
max_bytes = 2_000_000_000
when_full = "oldest"
"#;

fn load_with_mode(text: &str, mode: u32) -> Result<Plan, Errors> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("f");
    fs::write(&path, text.replace("HASH", HASH)).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    let strip = |lines: Vec<String>| {
        let prefix = format!("{}:", path.display());
        lines.into_iter().map(|line| line.strip_prefix(&prefix).unwrap_or(&line).trim_start().to_owned()).collect()
    };
    match Config::load(&path) {
        Ok(plan) => Ok(Plan { warnings: strip(plan.warnings.clone()), ..plan }),
        Err(errors) => Err(Errors(strip(errors.0))),
    }
}

fn load(text: &str) -> Result<Plan, Errors> {
    load_with_mode(text, 0o640)
}

/// Loads `FULL` with one text replaced and expects exactly one complaint.
fn complaint(old: &str, new: &str) -> String {
    assert!(FULL.contains(old), "{old}");
    let errors = match load(&FULL.replacen(old, new, 1)) {
        Ok(_) => panic!("{new:?} was taken"),
        Err(errors) => errors.0,
    };
    assert_eq!(errors.len(), 1, "{new:?}: {errors:#?}");
    errors.into_iter().next().unwrap()
}

#[test]
fn a_full_file_means_what_it_says() {
    let plan = load(FULL).unwrap();
    assert_eq!(plan.warnings, Vec::<String>::new());
    assert_eq!(plan.hostname, "gate.example.net");
    let [submission, devices, api, tls_api] = plan.listeners.as_slice() else { panic!() };
    assert_eq!(submission.addresses[2], Bind::Systemd("submission".into()));
    assert_eq!(
        (submission.tls, &submission.certificates[..], submission.plain_login),
        (TlsMode::Starttls, &[0][..], false)
    );
    assert_eq!((submission.per_address, submission.per_prefix, submission.zone.as_str()), (10, 20, "main"));
    assert!(devices.identify_by_network && !devices.plain_login);
    assert!(api.plain_login && api.serve == [Serve::V1, Serve::Ops]);
    assert_eq!(tls_api.certificates, [1]);
    assert_eq!(plan.certificates[1].key.to_string(), "credential:api.key");
    assert_eq!(plan.credentials[0].policy.limits.burst, Some(20));
    assert_eq!(plan.credentials[1].policy.max_recipients, Some(10));
    assert_eq!(plan.routes[0].via, [1, 0]);
    assert_eq!(plan.routes[1].to, RecipientRule::Any);
    assert_eq!(plan.spool.retry, [Duration::from_secs(30), Duration::from_secs(5400)]);
    assert_eq!((plan.limits.sessions, plan.limits.strangers), (100, 50));
    for (written, strangers) in [("sessions = 5", 5), ("sessions = 10", 8), ("strangers = 4096", 4096), ("", 2048)] {
        assert_eq!(load(&FULL.replace("sessions = 100", written)).unwrap().limits.strangers, strangers, "{written}");
    }
    assert_eq!(plan.limits.idle, Duration::from_secs(300));
    assert_eq!(plan.ports().into_iter().collect::<Vec<_>>(), [25, 587, 2587]);
    assert_eq!(plan.digest.len(), 64);
}

#[test]
fn rule_x8_a_route_has_requiretls_when_each_of_its_upstreams_has() {
    let plan = load(&FULL.replace("connections = 8", "connections = 8\nrequiretls = true")).unwrap();
    let routes: Vec<bool> = plan.routes.iter().map(|route| route.requiretls).collect();
    assert_eq!(routes, [false, true], "the first has another upstream, too");
    assert!(plan.edge_slice(Protocol::Smtp, "main").requiretls);
    assert!(!load(FULL).unwrap().edge_slice(Protocol::Smtp, "main").requiretls);
}

#[test]
fn an_unknown_key_has_line_column_and_a_suggestion() {
    assert_eq!(complaint("address = [\"0", "adress = [\"0"), "8:1: unknown key \"adress\": did you mean \"address\"?");
    assert_eq!(complaint("burst = 20", "brust = 20"), "44:45: unknown key \"brust\": did you mean \"burst\"?");
    assert_eq!(complaint("sessions = 100", "colour = 1"), {
        "85:1: unknown key \"colour\": known here: sessions, strangers, max_size, handshake, signing, idle_strange, idle, connect, \
         hashers, hash_queue, hash_deadline, vault_deaths, global, address, prefix, wide_prefix, failed_logins, anomaly"
    });
    assert!(complaint("[spool]", "[spol]").contains("unknown key \"spol\": did you mean \"spool\"?"));
}

#[test]
fn everything_that_is_wrong_is_reported_at_once_and_in_order() {
    let text = FULL
        .replace("zone = \"devices\"", "zne = \"devices\"")
        .replace("per_day = 500 ", "per_day = \"500\" ")
        .replace("sessions", "session");
    let errors = load(&text).unwrap_err().0;
    let places: Vec<&str> = errors.iter().map(|line| line.split(": ").next().unwrap()).collect();
    assert_eq!(places, ["19:1", "51:22", "85:1"], "{errors:#?}");
    let text =
        FULL.replace("tls = \"starttls\"\nper", "tls = \"none\"\nper").replace("via = [\"smart", "via = [\"start");
    assert_eq!(load(&text).unwrap_err().0.len(), 2, "the listener and the route");
}

#[test]
fn text_that_is_no_toml_is_reported_with_its_place() {
    let errors = load("version = \nhostname = \"a\nlistener = 3\n").unwrap_err().0;
    assert!(errors.len() >= 2 && errors[0].starts_with("1:") && errors[1].starts_with("2:"), "{errors:#?}");
    assert!(load("version = 1\nversion = 1\n").unwrap_err().0[0].contains("duplicate"));
}

#[test]
fn wrong_types_are_said_in_the_operators_words_and_secrets_are_not_repeated() {
    assert_eq!(complaint("[[route]]\nvia", "[route]\nvia").split_once(": ").unwrap().0, "77:2");
    let single = "version = 1\nhostname = \"gate.example.net\"\n[listener]\nname = \"a\"\n";
    assert!(load(single).unwrap_err().0[0].contains("[[listener]]"));
    let text = complaint("password_file = \"/etc/gatepost/smarthost.secret\"", "password_insecure_inline = 48151623");
    assert!(text.ends_with("must be a text in quotes") && !text.contains("48151623"), "{text}");
    assert!(complaint("name = \"api\"", "name = 3").contains("expected a string"));
}

#[test]
fn a_kind_that_there_is_not_is_refused_by_name() {
    assert!(complaint("kind = \"smtp\"", "kind = \"smtpp\"").contains("did you mean \"smtp\"?"));
}

#[test]
fn no_configuration_is_an_open_relay() {
    let wide = complaint("192.0.2.128/25", "0.0.0.0/0");
    assert!(wide.contains("too wide to stand for a password"), "{wide}");
    assert!(complaint("senders = [\"printer@example.net\"]", "senders = [\"*\"]").contains("open relay"));
    assert!(complaint("limits = { per_day = 500 }\n", "").contains("identified_by needs limits"));
    let nobody = load(&FULL.replace("senders = [\"@example.net\"]\n", "")).unwrap();
    assert!(nobody.credentials[0].policy.senders.is_empty());
    assert!(nobody.warnings[0].contains("may send nothing"), "{:?}", nobody.warnings);
}

#[test]
fn rules_hold_for_each_table() {
    let cases = [
        ("version = 1\n", "version = 2\n", "1:11: version: this gatepost reads version 1 only"),
        ("version = 1\n", "\n", "version is missing"),
        ("hostname = \"Gate.example.net\"", "hostname = \"gate_example\"", "is not a host name"),
        ("\"/srv/gatepost\"", "\"srv\"", "whole path"),
        ("\"/srv/gatepost\"", "\"/run/gatepost\"", "are the same"),
        ("name = \"api\"", "name = \"devices\"", "is used twice"),
        ("name = \"api\"", "name = \"a b\"", "name: \"a b\": write 1 to 32"),
        ("127.0.0.1:8080", "localhost:8080", "write an address and a port"),
        ("192.0.2.1:25", "0.0.0.0:587", "is used twice"),
        ("serve = [\"v1\", \"ops\"]", "tls = \"starttls\"", "HTTP has no STARTTLS"),
        (
            "tls = \"starttls\"\nusername = \"gate\"\npassword_file = \"/etc/gatepost/smarthost.secret\"",
            "tls = \"none\"\nrequiretls = true",
            "requiretls: there is no TLS",
        ),
        ("zone = \"devices\"", "future_release = \"90d\"", "future_release: must be from 1m to 720h"),
        ("serve = [\"v1\", \"ops\"]", "future_release = \"90d\"", "future_release: must be from 1m to 720h"),
        ("per_address = 10", "mechanisms = [\"PLAINE\"]", "mechanisms: \"PLAINE\" is unknown: did you mean \"PLAIN\"?"),
        ("per_address = 10", "mechanisms = [\"LOGIN\", \"LOGIN\"]", "11:24: mechanisms: \"LOGIN\" is named twice"),
        ("per_address = 10", "mechanisms = []", "mechanisms is empty: nobody could log in here"),
        (
            "per_address = 10",
            "mechanisms = [\"CRAM-MD5\"]",
            "is not offered on purpose: it needs secrets that can be read back",
        ),
        ("per_address = 10", "mechanisms = [\"digest-md5\"]", "is not offered on purpose: it is obsolete"),
        ("per_address = 10", "mechanisms = [\"NTLM\"]", "is not offered on purpose: its hashes"),
        (
            "per_address = 10",
            "mechanisms = [\"ANONYMOUS\"]",
            "is not offered on purpose: nobody sends mail without a login",
        ),
        ("zone = \"devices\"", "mechanisms = [\"PLAIN\"]", "mechanisms: identify_by_network never offers AUTH"),
        ("serve = [\"v1\", \"ops\"]", "mechanisms = [\"PLAIN\"]", "mechanisms: \"PLAIN\" is for protocol = \"smtp\""),
        ("zone = \"devices\"", "extensions_off = [\"DSM\"]", "did you mean \"DSN\""),
        ("zone = \"devices\"", "extensions_off = [\"STARTTLS\"]", "extensions_off: \"STARTTLS\" is unknown"),
        ("serve = [\"v1\", \"ops\"]", "extensions_off = [\"DSN\"]", "is for protocol = \"smtp\""),
        ("zone = \"devices\"", "serve = [\"v1\"]", "serve: is for protocol = \"http\""),
        ("key = \"credential:api.key\"\n", "", "key is missing beside it"),
        ("tls = \"starttls\"\nper", "tls = \"starttls\"\nbehind_tls_proxy = true\nper", "TLS ends at the proxy"),
        ("sessions = 100", "sessions = 100\nstrangers = 101", "strangers: there are only 100 sessions"),
        ("sessions = 100", "strangers = 7", "strangers: must be from 8 to 16384"),
        ("per_address = 10", "proxy_from = []", "proxy_from is empty: name the addresses of the proxies"),
        ("per_address = 10", "proxy_from = [\"10.0.0.0/7\"]", "too wide to be believed: /8 at the widest"),
        ("per_address = 10", "proxy_from = [\"10.0.0.1/24\"]", "10.0.0.0/24 is meant?"),
        ("per_address = 10", "proxy_from = [\"haproxy\"]", "is not a network"),
        ("per_address = 10", "proxy_from = \"10.0.0.1\"", "proxy_from"),
        ("per_address = 10", "per_address = 0", "must be from 1 to 8192"),
        ("key = \"7fQ2mKx9\", ", "", "each is { key"),
        ("HASH", "hunter2", "is not a PHC string"),
        ("id = \"printers\"", "id = \"billing\"", "is used twice"),
        ("@competitor.example", "competitor", "is not a recipient rule"),
        ("per_minute = 60", "per_minute = 0", "per_minute: must be from 1"),
        ("per_minute = 60, ", "", "44:36: limits: burst: is part of a rate: give per_minute"),
        ("burst = 20", "burst = 0", "burst: must be from 1"),
        ("burst = 20", "burst = 20, recipients_burst = 5", "limits: recipients_burst: is part of a rate"),
        ("burst = 20", "per_recipient_domain = { burst = 3 }", "per_recipient_domain: burst: is part of a rate"),
        ("burst = 20", "anomaly = { factor = 1 }", "factor: must be from 2"),
        ("burst = 20", "anomaly = { action = \"stop\" }", "action: \"stop\" is unknown"),
        ("sessions = 100", "global = { per_hour = 0 }", "per_hour: must be from 1"),
        ("sessions = 100", "failed_logins = { per_address = [20] }", "per_address is two numbers"),
        ("sessions = 100", "failed_logins = { per_prefix = [20, 0] }", "per_prefix: must be from 1"),
        ("sessions = 100", "failed_logins = { windows = [\"1h\"] }", "windows is two lengths of time"),
        ("sessions = 100", "failed_logins = { windows = [\"1h\", \"30m\"] }", "must be longer than the first"),
        ("secrets = [{ key = \"7fQ2mKx9\", hash = \"HASH\" }]\n", "", "neither secrets nor identified_by"),
        ("192.0.2.128/25", "192.0.2.1/25", "bits beyond its prefix"),
        ("mx1.example.net:587", "mx1.example.net", "write a name and a port"),
        ("username = \"gate\"\n", "", "username is missing beside the password"),
        ("password_file = \"/etc/gatepost/smarthost.secret\"\n", "", "a password is missing beside it"),
        ("password_file = \"/etc/gatepost/smarthost.secret\"", "password = \"hunter2\"", "does not stand in this file"),
        ("password_file = ", "password = \"env:X\"\npassword_file = ", "give one of them"),
        ("via = [\"inside\", \"smarthost\"]", "via = []", "via is missing or empty"),
        ("via = [\"inside\", ", "via = [\"insid\", ", "there is no upstream \"insid\": did you mean \"inside\"?"),
        ("\"30s\"", "\"soon\"", "is not a length of time"),
        ("\"30s\"", "\"100ms\"", "retry: must be from 1s to"),
        ("lifetime = \"2d\"", "lifetime = \"10s\"", "lifetime: must be from"),
        ("max_size = 1_048_576", "max_size = 10", "max_size: must be from 65536"),
    ];
    for (old, new, expected) in cases {
        let line = complaint(old, new);
        assert!(line.contains(expected), "{new:?}: {line}");
        assert!(!line.contains("hunter2"), "{line}");
    }
}

#[test]
fn tls_without_a_certificate_is_refused() {
    let start = FULL.find("[tls]").unwrap();
    let end = FULL.find("[[credential]]").unwrap();
    let errors = load(&format!("{}{}", &FULL[..start], &FULL[end..])).unwrap_err().0;
    assert_eq!(errors.len(), 1);
    assert!(errors[0].starts_with("6:1: tls needs a certificate"), "{errors:?}");
}

#[test]
fn an_inline_password_needs_a_private_file() {
    let text =
        FULL.replace("password_file = \"/etc/gatepost/smarthost.secret\"", "password_insecure_inline = \"hunter2\"");
    let errors = load_with_mode(&text, 0o640).unwrap_err().0;
    assert!(errors[0].contains("chmod 600") && !errors[0].contains("hunter2"), "{errors:?}");
    let plan = load_with_mode(&text, 0o600).unwrap();
    assert!(!format!("{plan:?}").contains("hunter2"));
    assert!(load_with_mode(FULL, 0o644).unwrap().warnings[0].contains("password hashes"));
}

#[test]
fn what_is_odd_is_a_warning() {
    let cases = [
        ("Gate.example.net", "gate", "is not a full name"),
        (
            "[[route]]\nvia",
            "[[route]]\nfrom = \"@example.org\"\nvia",
            "credential \"billing\": no route takes mail from",
        ),
        ("[[route]]\ncredential", "[[route]]\nvia = [\"inside\"]\n[[route]]\ncredential", "never used"),
        (
            "identified_by = [\"192.0.2.128/25\", \"2001:db8::7\"]",
            "secrets = [{ key = \"abcd\", hash = \"HASH\" }]",
            "identifies by network",
        ),
        ("hosts = [\"127.0.0.1:25\"]", "hosts = [\"192.0.2.9:25\"]", "in the clear"),
    ];
    for (old, new, expected) in cases {
        let warnings = load(&FULL.replacen(old, new, 1)).unwrap().warnings;
        assert!(warnings.iter().any(|line| line.contains(expected)), "{new}: {warnings:#?}");
    }
    let bare = "version = 1\nhostname = \"localhost\"\n[[listener]]\nname = \"a\"\naddress = [\"127.0.0.1:0\", \"[::1]:0\", \
                \"127.0.0.1:0\"]\nprotocol = \"smtp\"\n";
    assert_eq!(load(bare).unwrap().warnings.len(), 4);
}

#[test]
fn a_file_that_cannot_be_read_says_so() {
    let error = Config::load(Path::new("/nonexistent/gatepost.toml")).unwrap_err();
    assert!(error.to_string().starts_with("/nonexistent/gatepost.toml: the configuration can't be read: "), "{error}");
    assert!(Config::load(Path::new("/")).unwrap_err().to_string().contains("it is no file"));
    // Nobody is at its other end, and nobody waits for that.
    let folder = tempfile::tempdir().unwrap();
    let fifo = folder.path().join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRUSR).unwrap();
    assert!(Config::load(&fifo).unwrap_err().to_string().contains("it is no file"));
}
