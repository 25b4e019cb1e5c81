//! Claims: a listener asks for a client's certificate only where it is told to; a certificate is a second factor, bound by the
//! credential's table and never by what it calls its owner; alone it is a login only where EXTERNAL is offered.

mod support;

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use gatepost::secret::Secret;
use gatepost::vault::login::hashing;
use rustls::ClientConfig;
use support::authority::{Authority, Client};
use support::smtp::{Tls, trusting};
use support::{Pair, Service, Setting, Smtp, free_port};

const PASSWORD: &str = "what the shop alone knows";

struct House {
    service: Service,
    usual: Pair,
    authority: Authority,
    shop: Client,
    till: Client,
    /// The listeners that demand, ask, and do not ask.
    demands: u16,
    asks: u16,
    silent: u16,
}

fn house() -> House {
    let folder = tempfile::Builder::new().prefix("gatepost-test-").tempdir().unwrap();
    let authority = Authority::new("our devices");
    authority.write(&folder.path().join("devices.pem"));
    Authority::until("devices of before", 2020).add(&folder.path().join("devices.pem"));
    let (shop, till) = (authority.client("anything.example.net", 2099), authority.client("till.example.net", 2099));
    let phc = hashing::hash_here(&Secret::new(PASSWORD.to_owned())).unwrap();
    let (demands, asks, silent) = (free_port(), free_port(), free_port());
    let at = folder.path().display();
    let listener = |name: &str, port: u16, more: &str| {
        format!(
            "[[listener]]\nname = \"{name}\"\naddress = [\"127.0.0.1:{port}\"]\nprotocol = \"smtp\"\ntls = \"starttls\"\n{more}\n"
        )
    };
    let believes = format!("client_authorities_file = \"{at}/devices.pem\"\nclient_certificates");
    let more = [
        listener("demands", demands, &format!("{believes} = \"require\"")),
        listener("asks", asks, &format!("{believes} = \"request\"\nmechanisms = [\"PLAIN\", \"EXTERNAL\"]")),
        listener("silent", silent, ""),
        format!(
            "[[credential]]\nid = \"shop\"\nsenders = [\"@example.net\"]\ncertificates = [\"{}\"]\n\
             secrets = [{{ key = \"shopkey1\", hash = \"{}\" }}]\n",
            shop.wanted,
            phc.expose()
        ),
        "[[credential]]\nid = \"till\"\nsenders = [\"@example.net\"]\ncertificates = [\"dns:till.example.net\"]\n"
            .to_owned(),
    ]
    .concat();
    let usual = Pair::ecdsa();
    let service = Service::start_in(folder, &Setting { pair: usual.clone(), more, ..Setting::default() });
    House { service, usual, authority, shop, till, demands, asks, silent }
}

impl House {
    fn session(&self, port: u16, config: &Arc<ClientConfig>) -> Option<Smtp<Tls>> {
        Smtp::<TcpStream>::connect(port).try_secure(config)
    }

    /// The reply to this AUTH; none when there is no session.
    fn auth(&self, port: u16, config: &Arc<ClientConfig>, words: &str) -> Option<u16> {
        self.session(port, config).map(|mut session| session.say(&format!("AUTH {words}")))
    }

    fn events(&self, name: &str) -> String {
        let output = self.service.command(&["audit", "query", "--event", name, "--json"]);
        String::from_utf8(output.stdout).unwrap()
    }
}

fn plain(password: &str) -> String {
    format!("PLAIN {}", STANDARD.encode(format!("\0shop\0{password}")))
}

#[test]
fn rule_t9_row_7_a_certificate_is_demanded_beside_the_password() {
    let house = house();
    let (usual, right) = (&house.usual, plain(PASSWORD));
    let log = house.service.log();
    let is_of_before = |line: &&str| line.contains("clients are believed by an authority whose own time is not now");
    let of_before: Vec<_> = log.lines().filter(is_of_before).collect();
    let told = "listeners=\"demands, asks\" why=\"certificate 2: it expired ";
    assert!(of_before.len() == 1 && of_before[0].contains(told), "{log}");
    let nobody = trusting(usual);
    let (shop, till) = (house.shop.trusting(usual), house.till.trusting(usual));
    let other = Authority::new("our devices").client("till.example.net", 2099).trusting(usual);
    let expired = house.authority.client("till.example.net", 2001).trusting(usual);
    let self_signed = Client::self_signed("till.example.net").trusting(usual);
    // Its common name is "shop", and so is that of all the others.
    let unlisted = house.authority.client("unlisted.example.net", 2099).trusting(usual);

    let mut session = house.session(house.demands, &shop).expect("a session with the shop's certificate");
    assert_eq!(session.say(&format!("AUTH {right}")), 235, "{}", house.service.log());
    assert_eq!(session.send("from the shop"), 250);
    for (port, config, what) in [
        (house.demands, &nobody, "none where one is demanded"),
        (house.demands, &other, "another authority of the same name"),
        (house.demands, &expired, "expired"),
        (house.demands, &self_signed, "self-signed"),
        (house.asks, &other, "a bad one where one may be shown"),
        (house.asks, &expired, "an expired one where one may be shown"),
    ] {
        assert_eq!(house.auth(port, config, &right), None, "{what}");
    }
    // The last of them is the second one there.
    let told = "listener=\"asks\" peer=";
    house.service.await_log(0, told);
    let first = house.service.log().find(told).unwrap();
    house.service.await_log(first + 1, told);
    let log = house.service.log();
    let told = |listener: &str, why: &str| {
        log.lines().any(|line| {
            line.contains("a TLS handshake failed")
                && line.contains(&format!("listener=\"{listener}\""))
                && line.contains("127.0.0.1:")
                && line.contains(why)
        })
    };
    assert!(told("demands", "peer sent no certificates") && told("asks", "expired"), "{log}");
    for (port, config, words, what) in [
        (house.demands, &shop, plain("guess"), "a wrong password"),
        (house.demands, &till, right.clone(), "another credential's certificate"),
        (house.demands, &unlisted, right.clone(), "a certificate of nobody"),
        (house.asks, &nobody, right.clone(), "none, and the credential has one"),
        (house.asks, &till, right.clone(), "another's where one may be shown"),
        (house.silent, &shop, right.clone(), "it is not asked for there"),
    ] {
        assert_eq!(house.auth(port, config, &words), Some(535), "{what}");
    }
    assert_eq!(house.auth(house.asks, &shop, &right), Some(235));
    // Who has no certificate in the table needs none, except where one is demanded.
    let secret = house.service.add_credential();
    let mut free = house.session(house.asks, &nobody).unwrap();
    assert_eq!(free.log_in(&secret), 235);
    let mut free = house.session(house.demands, &shop).unwrap();
    assert_eq!(free.log_in(&secret), 535, "the shop's certificate is not the tester's");

    let (good, bad) = (house.events("auth.success"), house.events("auth.failure"));
    assert!(good.contains(&house.shop.wanted) && good.contains("PLAIN"), "{good}");
    assert!(bad.matches("\"certificate\"").count() >= 4 && bad.contains(&house.till.wanted), "{bad}");
    house.service.stop();
}

#[test]
fn rule_t9_row_7_a_certificate_alone_is_a_login_only_where_external_is_offered() {
    let house = house();
    let usual = &house.usual;
    let (nobody, till, shop) = (trusting(usual), house.till.trusting(usual), house.shop.trusting(usual));
    let unlisted = house.authority.client("unlisted.example.net", 2099).trusting(usual);
    let named = |id: &str| format!("EXTERNAL {}", STANDARD.encode(id));
    for (port, config, words, expected) in [
        (house.asks, &till, "EXTERNAL =".to_owned(), 235),
        (house.asks, &till, named("till"), 235),
        (house.asks, &shop, named("shop"), 235),
        (house.asks, &till, named("shop"), 535),
        (house.asks, &till, named("tester"), 535),
        (house.asks, &unlisted, "EXTERNAL =".to_owned(), 535),
        (house.asks, &unlisted, named("till"), 535),
        (house.asks, &till, named("till\r\n"), 535),
        (house.asks, &till, "EXTERNAL *".to_owned(), 501),
        (house.asks, &nobody, "EXTERNAL =".to_owned(), 504),
        (house.demands, &till, "EXTERNAL =".to_owned(), 504),
        (house.silent, &till, "EXTERNAL =".to_owned(), 504),
    ] {
        assert_eq!(house.auth(port, config, &words), Some(expected), "{words}\n{}", house.service.log());
    }
    let mut session = house.session(house.asks, &till).unwrap();
    assert_eq!(session.say("AUTH EXTERNAL"), 334);
    assert_eq!(session.say(&STANDARD.encode("till")), 235);
    assert_eq!(session.send("from the till"), 250);
    house.service.await_arrival(vec!["from the till".to_owned()]);
    assert!(house.events("auth.success").contains("EXTERNAL"), "{}", house.events("auth.success"));

    // The table is taken back: what was logged in by it is over.
    let config = fs::read_to_string(house.service.config()).unwrap();
    fs::write(house.service.config(), config.replace("dns:till.example.net", "dns:other.example.net")).unwrap();
    house.service.signal(nix::sys::signal::Signal::SIGHUP);
    house.service.await_log(0, "reload done");
    // A command that is there before the word of it is told so (451), and the next one finds nobody logged in.
    let code = session.say("MAIL FROM:<a@example.net>");
    let code = if code == 451 { session.say("MAIL FROM:<a@example.net>") } else { code };
    assert_eq!(code, 530);
    assert_eq!(house.auth(house.asks, &till, "EXTERNAL ="), Some(535));
    house.service.stop();
}

#[test]
fn a_login_by_certificate_alone_is_followed_from_the_command_on() {
    let house = house();
    let till = house.till.trusting(&house.usual);
    let mut command = support::gatepost();
    command.args(["trace", "--credential", "till", "--config"]).arg(house.service.config());
    let mut process = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut begun = String::new();
    BufReader::new(process.stderr.take().unwrap()).read_line(&mut begun).unwrap();
    assert!(begun.contains("following sessions"), "{begun}");
    assert_eq!(house.auth(house.asks, &till, "EXTERNAL ="), Some(235));
    house.service.stop();
    let mut shown = String::new();
    process.stdout.take().unwrap().read_to_string(&mut shown).unwrap();
    process.wait().unwrap();
    let at = |words: &str| shown.find(words).unwrap_or_else(|| panic!("no {words:?} in {shown}"));
    assert!(at(", as till") < at("C: AUTH EXTERNAL") && at("C: AUTH EXTERNAL") < at("S: 235 "), "{shown}");
    assert_eq!(shown.matches("AUTH EXTERNAL").count(), 1, "{shown}");
}

#[test]
fn rule_t9_a_certificate_is_asked_for_only_where_it_is_used() {
    let house = house();
    let asked = |port: u16| {
        let client = Command::new("openssl")
            .args(["s_client", "-starttls", "smtp", "-connect", &format!("127.0.0.1:{port}")])
            .stdin(Stdio::null())
            .output()
            .expect("openssl is needed (Debian: openssl)");
        let text = String::from_utf8_lossy(&client.stdout).into_owned();
        assert!(text.contains("BEGIN CERTIFICATE"), "{text}");
        text.contains("Acceptable client certificate CA names") && text.contains("our devices")
    };
    assert!(asked(house.demands) && asked(house.asks));
    assert!(!asked(house.silent) && !asked(house.service.smtp));
    house.service.stop();
}
