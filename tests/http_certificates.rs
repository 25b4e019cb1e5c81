//! Claims, with certificates that openssl made and curl shows: over HTTP a certificate is demanded beside the key as it is beside
//! SMTP's password; alone it is a login only where EXTERNAL is named, and never for a page in a browser or behind a proxy.

mod support;

use std::fs;
use std::path::Path;
use std::process::Command;

use gatepost::vault::login::{hashing, key};
use support::programs::{run, said};
use support::{PATIENCE, Service, Setting, free_port};

/// As gatepost.toml(5) has it.
const HASH: &str =
    "openssl x509 -in client.pem -noout -pubkey | openssl pkey -pubin -outform DER | openssl dgst -sha256";

/// An authority, `shop`, `till` and `nobody` under it, and `stranger` under another of the same name.
const MAKE: &str = "set -e
for ca in ours theirs; do
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj '/CN=our machines' \\
    -addext basicConstraints=critical,CA:TRUE -keyout $ca.key -out $ca.pem
done
sign() {
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj \"/CN=$1\" -keyout $1.key -out $1.csr
  printf 'subjectAltName=DNS:%s.example.net\\nextendedKeyUsage=clientAuth\\n' $1 > $1.ext
  openssl x509 -req -in $1.csr -CA $2.pem -CAkey $2.key -CAcreateserial -days 2 -extfile $1.ext -out $1.pem
}
for name in shop till nobody; do sign $name ours; done
sign stranger theirs";

struct House {
    service: Service,
    /// The shop's key, as a field of a request.
    key: String,
    /// The listeners that demand, ask, take what they asked for alone, believe a proxy, and do not ask.
    demands: u16,
    asks: u16,
    alone: u16,
    proxied: u16,
    silent: u16,
}

fn shell(folder: &Path, script: &str) -> String {
    let output = run(Command::new("sh").args(["-c", script]).current_dir(folder), "");
    assert!(output.status.success(), "{}", said(&output));
    String::from_utf8(output.stdout).unwrap()
}

fn house() -> House {
    let folder = tempfile::Builder::new().prefix("gatepost-test-").tempdir().unwrap();
    shell(folder.path(), MAKE);
    let hash = shell(folder.path(), &HASH.replace("client", "shop"));
    let shop = hash.rsplit(' ').next().unwrap().trim();
    let (id, key) = key::generate().unwrap();
    let phc = hashing::hash_here(&key).unwrap();
    let ports = [free_port(), free_port(), free_port(), free_port(), free_port()];
    let [demands, asks, alone, proxied, silent] = ports;
    let believes = format!("client_authorities_file = \"{}/ours.pem\"\nclient_certificates", folder.path().display());
    let external = "mechanisms = [\"BEARER\", \"EXTERNAL\"]";
    let listeners = [
        ("demands", demands, format!("{believes} = \"require\"")),
        ("asks", asks, format!("{believes} = \"request\"\n{external}")),
        ("alone", alone, format!("{believes} = \"require\"\nmechanisms = [\"EXTERNAL\"]")),
        (
            "proxied",
            proxied,
            format!(
                "{believes} = \"request\"\n{external}\ntrusted_proxies = [\"127.0.0.1\"]\nforwarded_by = \"X-Forwarded-For\""
            ),
        ),
        ("silent", silent, String::new()),
    ];
    let listener = |(name, port, more): (&str, u16, String)| {
        format!(
            "[[listener]]\nname = \"{name}\"\naddress = [\"127.0.0.1:{port}\"]\nprotocol = \"http\"\ntls = \"implicit\"\n\
             serve = [\"v1\", \"send\", \"resend\", \"postmark\", \"usesend\"]\n{more}\n"
        )
    };
    let mut more: String = listeners.map(listener).concat();
    more += &format!(
        "[[credential]]\nid = \"shop\"\nsenders = [\"@example.net\"]\ncertificates = [\"sha256:{shop}\"]\n\
         secrets = [{{ key = \"{id}\", hash = \"{}\" }}]\n\
         [[credential]]\nid = \"till\"\nsenders = [\"@example.net\"]\ncertificates = [\"dns:till.example.net\"]\n",
        phc.expose()
    );
    let service = Service::start_in(folder, &Setting { more, ..Setting::default() });
    House { service, key: bearer(key.expose()), demands, asks, alone, proxied, silent }
}

impl House {
    /// What curl is answered on connections of its own: the status, or 0 where there is no session, and the body.
    fn curl(&self, port: u16, certificate: Option<&str>, words: &[&str], path: &str) -> (u16, String) {
        let mut command = Command::new("curl");
        command.current_dir(self.service.folder.path());
        command.args(["--silent", "--show-error", "--cacert", "certificate.pem", "--write-out", "\n%{http_code}"]);
        if let Some(name) = certificate {
            command.args(["--cert", &format!("{name}.pem"), "--key", &format!("{name}.key")]);
        }
        command.args(words).arg(format!("https://localhost:{port}{path}"));
        let output = run(&mut command, "");
        let text = String::from_utf8(output.stdout).unwrap();
        let (body, status) = text.rsplit_once('\n').unwrap();
        (status.parse().unwrap(), body.to_owned())
    }

    fn status(&self, port: u16, certificate: Option<&str>, words: &[&str]) -> u16 {
        self.curl(port, certificate, words, "/v1/keys/self").0
    }

    fn events(&self, name: &str) -> String {
        let output = self.service.command(&["audit", "query", "--event", name, "--json"]);
        String::from_utf8(output.stdout).unwrap()
    }
}

fn bearer(key: &str) -> String {
    format!("Authorization: Bearer {key}")
}

fn letter(subject: &str) -> String {
    format!(r#"{{"from":"a@example.net","to":"b@example.org","subject":"{subject}","text":"x"}}"#)
}

#[test]
fn rule_t9_row_7_over_http_a_certificate_is_demanded_beside_the_key() {
    let house = house();
    let free = house.service.add_credential();
    let (right, free) = (&house.key, bearer(&free));
    for (port, certificate, what) in [
        (house.demands, None, "none where one is demanded"),
        (house.demands, Some("stranger"), "another authority of the same name"),
        (house.asks, Some("stranger"), "a bad one where one may be shown"),
    ] {
        assert_eq!(house.status(port, certificate, &["-H", right]), 0, "{what}");
    }
    house.service.await_log(0, "peer sent no certificates");
    for (port, certificate, key, expected, what) in [
        (house.demands, Some("shop"), right, 200, "the shop's key and certificate"),
        (house.demands, Some("till"), right, 403, "another credential's certificate"),
        (house.demands, Some("nobody"), right, 403, "a certificate of nobody"),
        (house.demands, Some("shop"), &free, 403, "the shop's certificate is not the tester's"),
        (house.asks, None, right, 403, "none, and the credential has one"),
        (house.asks, Some("shop"), right, 200, "shown where one may be"),
        (house.asks, None, &free, 200, "who has none in the table needs none"),
        (house.silent, Some("shop"), right, 403, "it is not asked for there"),
        (house.silent, None, &free, 200, "nobody asks, and nobody needs one"),
    ] {
        assert_eq!(house.status(port, certificate, &["-H", key]), expected, "{what}\n{}", house.service.log());
    }
    house.service.stop();
}

#[test]
fn rule_t9_row_7_over_http_a_certificate_alone_is_a_login_only_where_external_is_named() {
    let house = house();
    for (port, certificate, expected, what) in [
        (house.asks, Some("till"), 200, "the till's"),
        (house.alone, Some("till"), 200, "the till's where keys aren't taken"),
        (house.asks, Some("shop"), 200, "one that may come with a key, too"),
        (house.asks, Some("nobody"), 403, "of nobody"),
        (house.asks, None, 401, "none"),
        (house.demands, Some("till"), 401, "EXTERNAL isn't named there"),
        (house.silent, Some("till"), 401, "it is not asked for there"),
        (house.proxied, Some("till"), 401, "it is the proxy's, and none of its client's"),
    ] {
        assert_eq!(house.status(port, certificate, &[]), expected, "{what}\n{}", house.service.log());
    }
    // A browser adds the certificate to what any page has it send.
    for field in ["Origin: https://evil.example", "Origin: null", "Sec-Fetch-Site: cross-site"] {
        assert_eq!(house.status(house.asks, Some("till"), &["-H", field]), 401, "{field}");
    }
    let key = &house.key;
    assert_eq!(house.status(house.alone, Some("shop"), &["-H", key]), 403, "keys aren't taken there");
    // Two requests of one connection, which is the certificate's, and then a key.
    let twice = ["--next", "--silent", "--cacert", "certificate.pem", "--cert", "till.pem", "--key", "till.key"];
    let more = ["--write-out", "\n%{http_code}", "-H", key.as_str()];
    let first = format!("https://localhost:{}/v1/limits", house.asks);
    let words = [&[first.as_str()][..], &twice, &more].concat();
    let (status, body) = house.curl(house.asks, Some("till"), &words, "/v1/keys/self");
    assert!(status == 421 && body.contains("\n200") && body.contains("or to a certificate"), "{body}");

    let (status, body) = house.curl(house.asks, Some("till"), &["--json", &letter("from the till")], "/v1/send");
    assert_eq!(status, 202, "{body}");
    house.service.await_arrival(vec!["from the till".to_owned()]);
    let told = house.events("auth.success");
    assert!(told.contains("EXTERNAL") && told.contains("\"certificate\\\":") | told.contains("certificate"), "{told}");

    // The table is taken back: nobody is known by it any more.
    let config = fs::read_to_string(house.service.config()).unwrap();
    fs::write(house.service.config(), config.replace("dns:till.example.net", "dns:other.example.net")).unwrap();
    house.service.signal(nix::sys::signal::Signal::SIGHUP);
    house.service.await_log(0, "reload done");
    assert_eq!(house.status(house.asks, Some("till"), &[]), 403);
    let failed = house.events("auth.failure");
    assert!(failed.contains("\"certificate\""), "{failed}");
    house.service.stop();
}

#[test]
fn who_lacks_the_certificate_is_refused_in_the_words_of_each_api() {
    let house = house();
    let key = &house.key;
    let postmark = key.replace("Authorization: Bearer", "X-Postmark-Server-Token:");
    for (field, path, expected, words) in [
        (key, "/v1/send", 403, "\"code\":\"forbidden\""),
        (key, "/send", 401, "\"code\":\"forbidden\""),
        (key, "/emails", 403, "\"name\":\"invalid_api_key\""),
        (&postmark, "/email", 401, "\"ErrorCode\":10"),
        (key, "/api/v1/emails", 403, "\"code\":\"FORBIDDEN\""),
    ] {
        let (status, body) = house.curl(house.asks, Some("till"), &["-H", field, "--json", &letter("x")], path);
        assert!(status == expected && body.contains(words), "{path}: {status} {body}");
    }
    // The certificate alone, in the same APIs.
    for (path, body) in [
        ("/send", letter("gateway")),
        ("/emails", letter("resend")),
        ("/email", r#"{"From":"a@example.net","To":"b@example.org","Subject":"postmark","TextBody":"x"}"#.to_owned()),
        ("/api/v1/emails", letter("usesend")),
    ] {
        let (status, answer) = house.curl(house.asks, Some("till"), &["--json", &body], path);
        assert_eq!(status, 200, "{path}: {answer}");
        assert!(house.service.sink.next(PATIENCE).is_some(), "{path}");
    }
    house.service.stop();
}
