//! Claims: mail of every shape arrives octet by octet as it was sent, below the one field that the gate puts on top, in content and
//! in chunks, also when a Postfix passes it on; its signatures still verify; and where a provider's API takes fields, the same
//! texts and attachments arrive.
//!
//! The messages of `tests/mime` are shaped as those of shops, calendars, scanners and mail programs are; beside each stands what
//! another reader, Python's, has for its parts. Lines end with CR LF when they are sent.

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use gatepost::sink::{Options, Sink};
use serde_json::Value;
use support::provider::Provider;
use support::smtp::Tls;
use support::{PATIENCE, Pair, Service, Setting, Smtp, is_root, smarthost};

/// Signs with RSA, or verifies: what it is given first is the key in PEM (to sign) or in base64 (to verify), then how header and
/// body are made canonical; the message comes by its standard input. Debian's python3-dkim is for Debian's own Python.
const DKIM: &str = r#"
import sys, dkim
deed, key, way = sys.argv[1:4]
message = sys.stdin.buffer.read()
if deed == "sign":
    fields = [b"from", b"to", b"subject", b"date", b"message-id", b"mime-version", b"content-type"]
    ways = tuple(w.encode() for w in way.split("/"))
    made = dkim.sign(message, b"s", b"example.net", open(key, "rb").read(), canonicalize=ways, include_headers=fields)
    sys.stdout.buffer.write(made)
else:
    record = b"v=DKIM1; k=rsa; p=" + key.encode()
    sys.exit(0 if dkim.verify(message, dnsfunc=lambda name, timeout=5: record) else 1)
"#;

fn folder() -> PathBuf {
    let root: PathBuf = std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it").into();
    root.join("tests/mime")
}

/// Each message by its name, with CR LF.
fn messages() -> BTreeMap<String, Vec<u8>> {
    let paths = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path());
    let paths = paths.filter(|path| path.extension().is_some_and(|extension| extension == "eml"));
    let read = |path: PathBuf| {
        let lines = fs::read(&path).unwrap();
        let lines = lines.strip_suffix(b"\n").unwrap().split(|octet| *octet == b'\n');
        let content = lines.flat_map(|line| [line, b"\r\n"].concat()).collect();
        (path.file_stem().unwrap().to_str().unwrap().to_owned(), content)
    };
    let messages: BTreeMap<_, _> = paths.map(read).collect();
    assert!(messages.len() >= 10, "{:?}", messages.keys());
    messages
}

fn begin(session: &mut Smtp<Tls>) {
    assert_eq!(session.say("MAIL FROM:<a@example.net> BODY=8BITMIME SMTPUTF8"), 250);
    assert_eq!(session.say("RCPT TO:<b@example.org>"), 250);
}

fn write(session: &mut Smtp<Tls>, octets: &[u8]) {
    session.stream().write_all(octets).unwrap();
    session.stream().flush().unwrap();
}

/// By DATA, with its dots stuffed.
fn send(session: &mut Smtp<Tls>, message: &[u8]) -> u16 {
    begin(session);
    assert_eq!(session.say("DATA"), 354);
    let mut stuffed = Vec::new();
    for line in message.split_inclusive(|octet| *octet == b'\n') {
        stuffed.extend_from_slice(if line.starts_with(b".") { b"." } else { b"" });
        stuffed.extend_from_slice(line);
    }
    stuffed.extend_from_slice(b".\r\n");
    write(session, &stuffed);
    session.code()
}

/// By BDAT, cut anywhere.
fn send_in_chunks(session: &mut Smtp<Tls>, message: &[u8]) -> u16 {
    begin(session);
    let (first, last) = message.split_at(message.len() / 3);
    write(session, &[format!("BDAT {}\r\n", first.len()).as_bytes(), first].concat());
    assert_eq!(session.code(), 250);
    write(session, &[format!("BDAT {} LAST\r\n", last.len()).as_bytes(), last].concat());
    session.code()
}

/// What arrives, without the field on top of it.
fn arrived(service: &Service) -> Vec<u8> {
    let content = service.sink.next(PATIENCE).unwrap_or_else(|| panic!("nothing arrived\n{}", service.log())).content;
    below(&content, OURS).to_vec()
}

/// How the gate's own field begins.
const OURS: &str = "Received: from client.example (address not shown)\r\n\tby gate.test.example";

/// What stands below the first field, which begins so.
fn below<'a>(content: &'a [u8], beginning: &str) -> &'a [u8] {
    let is_end = |at: &usize| content[*at..].starts_with(b"\r\n") && !matches!(content.get(at + 2), Some(b' ' | b'\t'));
    let (field, rest) = content.split_at((0..content.len()).find(is_end).unwrap() + 2);
    let field = String::from_utf8_lossy(field);
    assert!(field.starts_with(beginning), "{field}");
    rest
}

/// A message is what it was, or it is shown where it isn't.
fn assert_same(name: &str, arrived: &[u8], message: &[u8]) {
    let at = arrived.iter().zip(message).take_while(|(one, other)| one == other).count();
    let near =
        |octets: &[u8]| String::from_utf8_lossy(&octets[at.saturating_sub(30)..octets.len().min(at + 30)]).into_owned();
    assert!(arrived == message, "{name}: at {at} {:?} became {:?}", near(message), near(arrived));
}

/// With an upstream that takes all of it.
fn service() -> Service {
    Service::start_with(&Setting { sink: able, ..Setting::default() })
}

/// What takes all of it.
fn able() -> Options {
    let keywords = ["PIPELINING", "SIZE 52428800", "8BITMIME", "SMTPUTF8"].map(str::to_owned).to_vec();
    Options { keywords, ..Options::default() }
}

fn run(command: &mut Command, input: &[u8]) -> Output {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let _ = child.stdin.take().unwrap().write_all(input);
    child.wait_with_output().unwrap()
}

fn is_signed(message: &[u8]) -> bool {
    let words = ["smime", "-verify", "-noverify", "-out", "/dev/null"];
    run(Command::new("openssl").args(words), message).status.success()
}

#[test]
fn mail_of_every_shape_arrives_as_it_was_sent_and_what_was_signed_still_is() {
    let service = service();
    let secret = service.add_credential();
    let mut session = service.log_in(&secret);
    for (name, message) in messages() {
        for send in [send, send_in_chunks] {
            assert_eq!(send(&mut session, &message), 250, "{name}");
            assert_same(&name, &arrived(&service), &message);
        }
        if name.starts_with("signed_smime") {
            assert!(is_signed(&message), "{name}: openssl takes no signature, so it shows nothing");
        }
    }
    service.stop();
}

fn dkim(deed: &str, key: &str, way: &str, message: &[u8]) -> Output {
    let output = run(Command::new("/usr/bin/python3").args(["-c", DKIM, deed, key, way]), message);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!said.contains("ModuleNotFoundError"), "python3-dkim is needed: run tools/test.sh ({said})");
    output
}

/// A key for this test, and its public half as a record of the DNS has it.
fn key(folder: &Path) -> (String, String) {
    let path = folder.join("dkim.pem").display().to_string();
    let made = Command::new("openssl").args(["genrsa", "-traditional", "-out", &path, "2048"]).output().unwrap();
    assert!(made.status.success(), "{made:?}");
    let public = Command::new("openssl").args(["rsa", "-in", &path, "-pubout", "-outform", "DER"]).output().unwrap();
    (path, STANDARD.encode(public.stdout))
}

/// RFC 6376: with the strictest way to make it canonical one blank more or less breaks it.
#[test]
fn a_signature_of_dkim_verifies_behind_the_gate() {
    let service = service();
    let secret = service.add_credential();
    let mut session = service.log_in(&secret);
    let (private, public) = key(service.folder.path());
    for (name, message) in messages() {
        for way in ["simple/simple", "relaxed/relaxed"] {
            let signature = dkim("sign", &private, way, &message);
            let signed = [signature.stdout, message.clone()].concat();
            assert!(signed.starts_with(b"DKIM-Signature: "), "{name}: {}", String::from_utf8_lossy(&signature.stderr));
            assert_eq!(send(&mut session, &signed), 250, "{name}");
            let received = service.sink.next(PATIENCE).unwrap().content;
            assert!(dkim("verify", &public, way, &received).status.success(), "{name} {way}");
            let forged = [&received[..received.len() - 2], b"x\r\n"].concat();
            assert!(!dkim("verify", &public, way, &forged).status.success(), "{name} {way}: anything verifies");
        }
    }
    service.stop();
}

/// With a smart host that is none of our own making between the gate and its end: TLS, a login, and its own field on top.
#[test]
fn mail_of_every_shape_and_its_signature_pass_a_real_smart_host() {
    if !is_root() {
        println!("NOT RUN: Postfix's master must be root; the run as root does it");
        return;
    }
    let behind = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let onwards = format!("default_transport = smtp:[127.0.0.1]:{}", behind.local_addr().unwrap().port());
    let end = Sink::start(behind, able());
    let pair = Pair::ecdsa();
    let postfix = smarthost::start("PLAIN", &onwards, &pair);
    let folder = tempfile::Builder::new().prefix("gatepost-test-").tempdir().unwrap();
    let at = folder.path().display().to_string();
    fs::write(folder.path().join("trusted.pem"), &pair.certificate).unwrap();
    fs::write(folder.path().join("secret"), smarthost::PASSWORD).unwrap();
    fs::set_permissions(folder.path().join("secret"), fs::Permissions::from_mode(0o600)).unwrap();
    let upstream = format!(
        "tls = \"starttls\"\nusername = \"{}\"\npassword_file = \"{at}/secret\"\nauthorities_file = \"{at}/trusted.pem\"",
        smarthost::USER
    );
    let host = Some(format!("localhost:{}", postfix.port()));
    let service = Service::start_in(folder, &Setting { host, upstream, ..Setting::default() });
    let secret = service.add_credential();
    let mut session = service.log_in(&secret);
    let (private, public) = key(service.folder.path());
    for (name, message) in messages() {
        let signature = dkim("sign", &private, "simple/simple", &message);
        let signed = [signature.stdout, message].concat();
        for send in [send, send_in_chunks] {
            assert_eq!(send(&mut session, &signed), 250, "{name}");
            let log = || format!("{name}: nothing arrived\n{}\n{}", service.log(), postfix.log());
            let received = end.next(PATIENCE).unwrap_or_else(|| panic!("{}", log())).content;
            assert_same(&name, below(below(&received, "Received: from "), OURS), &signed);
            assert!(dkim("verify", &public, "simple/simple", &received).status.success(), "{name}");
        }
    }
    service.stop();
}

/// A service that sends what this API can carry and leaves out what it can't. `PORT` and `FOLDER` in its lines are the provider's.
fn towards(provider: &Provider, lines: &str) -> Service {
    let folder = tempfile::Builder::new().prefix("gatepost-test-").tempdir().unwrap();
    let at = folder.path().display().to_string();
    fs::write(folder.path().join("trusted.pem"), &provider.pair.certificate).unwrap();
    let token = folder.path().join("secret");
    fs::write(&token, "bs_sesame\n").unwrap();
    fs::set_permissions(&token, fs::Permissions::from_mode(0o600)).unwrap();
    let way = lines.replace("PORT", &provider.port.to_string()).replace("FOLDER", &at);
    let upstream = format!("authorities_file = \"{at}/trusted.pem\"");
    Service::start_in(folder, &Setting { way: Some(way), upstream, ..Setting::default() })
}

/// A text as it is read: how its last line ends is nobody's matter.
fn text(of: &Value) -> Option<String> {
    of.as_str().map(|text| text.replace("\r\n", "\n").trim_end().to_owned())
}

#[test]
fn rule_u16_the_same_texts_and_attachments_reach_an_api_of_fields() {
    let lines = "kind = \"bytesend\"\nurl = \"https://localhost:PORT/api\"\ntoken_file = \"FOLDER/secret\"\non_unsupported = \"drop\"";
    reach_fields("{\"emailId\":\"em_1\"}", lines);
}

#[test]
fn rule_u16_the_same_texts_and_attachments_reach_cloudflares_fields() {
    let lines = "kind = \"cloudflare\"\nurl = \"https://localhost:PORT/v4\"\naccount = \"acc\"\ntoken_file = \"FOLDER/secret\"\n\
                 endpoint = \"send\"\non_unsupported = \"drop\"";
    reach_fields("{\"success\":true,\"result\":{}}", lines);
}

/// Messages of every shape, to an upstream of these lines that answers so.
fn reach_fields(answer: &'static str, lines: &str) {
    let provider = Provider::start(move |_| Some((200, answer.to_owned())));
    let service = towards(&provider, lines);
    let secret = service.add_credential();
    let mut session = service.log_in(&secret);
    let mut sent = 0;
    for (name, message) in messages() {
        let Ok(expected) = fs::read(folder().join(format!("{name}.json"))) else {
            // It is signed as a whole, and no field holds that.
            assert_eq!(send(&mut session, &message), 250, "{name}");
            service.await_log(0, "delivered=0 deferred=0 failed=1 unknown=0");
            continue;
        };
        let expected: Value = serde_json::from_slice(&expected).unwrap();
        assert_eq!(send(&mut session, &message), 250, "{name}");
        sent += 1;
        let body = provider.await_requests(sent)[sent - 1].json();
        assert_eq!(body["to"], serde_json::json!(["b@example.org"]), "{name}");
        assert!(body["from"].to_string().contains("a@example.net"), "{name}");
        for part in ["text", "html"] {
            assert_eq!(text(&body[part]), text(&expected[part]), "{name}: {part}");
        }
        let octets = |attachment: &Value| STANDARD.decode(attachment["content"].as_str().unwrap()).unwrap();
        let given = body.get("attachments").and_then(Value::as_array).cloned().unwrap_or_default();
        let wanted = expected["attachments"].as_array().unwrap();
        assert_eq!(given.len(), wanted.len(), "{name}: {given:?}");
        for (given, wanted) in given.iter().zip(wanted) {
            assert_eq!(String::from_utf8_lossy(&octets(given)), String::from_utf8_lossy(&octets(wanted)), "{name}");
            assert!(octets(given) == octets(wanted), "{name}: {}", given["filename"]);
            assert!(wanted["filename"].is_null() || given["filename"] == wanted["filename"], "{name}: {given}");
        }
    }
    assert!(sent >= 9, "{sent}");
    service.stop();
}

/// Its API takes the message as text, so it must be UTF-8 and is otherwise as it was.
#[test]
fn rule_u16_mail_of_every_shape_reaches_cloudflare_as_it_was_sent() {
    let provider = Provider::start(|_| Some((200, "{\"success\":true,\"result\":{}}".to_owned())));
    let service = by_cloudflare(&provider);
    let secret = service.add_credential();
    let mut session = service.log_in(&secret);
    let mut sent = 0;
    for (name, message) in messages() {
        assert_eq!(send(&mut session, &message), 250, "{name}");
        if std::str::from_utf8(&message).is_err() {
            service.await_log(0, "delivered=0 deferred=0 failed=1 unknown=0");
            continue;
        }
        sent += 1;
        let request = &provider.await_requests(sent)[sent - 1];
        assert!(request.line.contains("/accounts/acc/email/sending/send_raw "), "{name}: {}", request.line);
        let body = request.json();
        assert_eq!(body["recipients"], serde_json::json!(["b@example.org"]), "{name}");
        assert_same(&name, below(body["mime_message"].as_str().unwrap().as_bytes(), OURS), &message);
    }
    assert!(sent >= 9, "{sent}");
    service.stop();
}

fn by_cloudflare(provider: &Provider) -> Service {
    let folder = tempfile::Builder::new().prefix("gatepost-test-").tempdir().unwrap();
    let at = folder.path().display().to_string();
    fs::write(folder.path().join("trusted.pem"), &provider.pair.certificate).unwrap();
    let token = folder.path().join("secret");
    fs::write(&token, "sesame\n").unwrap();
    fs::set_permissions(&token, fs::Permissions::from_mode(0o600)).unwrap();
    let url = format!("https://localhost:{}/client/v4", provider.port);
    let way = format!("kind = \"cloudflare\"\nurl = \"{url}\"\naccount = \"acc\"\ntoken_file = \"{at}/secret\"");
    let upstream = format!("authorities_file = \"{at}/trusted.pem\"");
    Service::start_in(folder, &Setting { way: Some(way), upstream, ..Setting::default() })
}
