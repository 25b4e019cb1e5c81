//! Claim: whatever is asked of the HTTP gate, it answers as its OpenAPI document says: with a status, a type and a body that stand
//! there, and never with an error of its own. The document is one by the standard's own validator.

mod support;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::Value;
use support::programs::{run, said};
use support::{CREDENTIAL, Service, Setting, free_port};

/// What each answer is held to. What the schema can't say of a body (that a message needs a text or HTML) is refused all the same, and
/// addresses that guess keys are told to wait: so no check is here of what must be accepted, nor of what is said to a wrong key.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,\
                      response_schema_conformance,unsupported_method,allow_header_conformance";

/// Messages that it gets accepted at least: without any, nothing behind the checks of a body was asked for.
const TAKEN: usize = 10;

fn python(module: &str) -> Command {
    let root = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let modules = root.join("target/clients/openapi");
    assert!(modules.join(module).is_dir(), "{module} is not in {}: run tools/test.sh", modules.display());
    // Parts of it are built for one Python, whatever its third number.
    let version =
        said(&run(Command::new("python3").args(["-c", "import sys; print('%d.%d' % sys.version_info[:2])"]), ""));
    let stamp = fs::read_to_string(root.join("target/clients/openapi.txt")).unwrap_or_default();
    let is_of_it = stamp.lines().last() == Some(&format!("# Python {}", version.trim()));
    assert!(is_of_it, "{} is not for Python {}: run tools/test.sh", modules.display(), version.trim());
    let mut command = Command::new("python3");
    command.env("PYTHONPATH", modules).env("PYTHONDONTWRITEBYTECODE", "1").arg("-m");
    command
}

/// Asks whatever the document at that place describes, of these paths.
fn fuzz(service: &Service, location: &str, port: u16, key: &str, paths: &str) -> Output {
    let mut command = python("schemathesis");
    command.args(["schemathesis.cli", "run", location, "--url"]).arg(format!("http://127.0.0.1:{port}"));
    command.args([
        "--header",
        &format!("Authorization: Bearer {key}"),
        "--checks",
        CHECKS,
        "--include-path-regex",
        paths,
    ]);
    // Its serializers know no whole messages; several of its threads fail in Python 3.11 itself.
    command.args(["--exclude-path", "/v1/send-raw", "--workers", "1", "--phases", "coverage,fuzzing"]);
    command.args(["--max-examples", "3", "--seed", "1", "--no-shrink", "--no-color", "--continue-on-failure"]);
    // It keeps what it found beside itself.
    command.current_dir(service.folder.path());
    run(&mut command, "")
}

#[test]
fn every_answer_is_one_that_the_document_describes() {
    let port = free_port();
    let more = format!(
        "[[listener]]\nname = \"all\"\naddress = [\"127.0.0.1:{port}\"]\nprotocol = \"http\"\n\
         serve = [\"v1\", \"ops\", \"send\", \"resend\", \"postmark\", \"usesend\"]\n"
    );
    let service = Service::start_with(&Setting { more, ..Setting::default() });
    let scopes = ["--scope", "send", "--scope", "send_raw", "--scope", "admin"];
    let added = service.command(&[&["credential", "add", CREDENTIAL, "--sender", "*", "--test"][..], &scopes].concat());
    assert!(added.status.success(), "{}", said(&added));
    let key = String::from_utf8(added.stdout).unwrap().lines().last().unwrap().to_owned();

    let (mut stream, mut response) = (TcpStream::connect(("127.0.0.1", port)).unwrap(), String::new());
    stream.write_all(b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    stream.read_to_string(&mut response).unwrap();
    let text = response.split_once("\r\n\r\n").unwrap().1;
    let place = service.folder.path().join("openapi.json");
    fs::write(&place, text).unwrap();
    let valid = run(python("openapi_spec_validator").arg("openapi_spec_validator").arg(&place), "");
    assert!(valid.status.success(), "{}", said(&valid));

    let found = fuzz(&service, &format!("http://127.0.0.1:{port}/openapi.json"), port, &key, "^/");
    let words = said(&found);
    assert!(found.status.success() && words.contains("Tested: 38"), "{words}\n{}", service.log());

    // It was no conversation of refusals: messages were taken, and are told of.
    let taken = service.command(&["audit", "query", "--event", "msg.accept", "--json"]);
    let taken = String::from_utf8(taken.stdout).unwrap().lines().count();
    assert!(taken >= TAKEN, "{taken} messages were taken\n{words}");

    // A document that leaves something out is found to.
    let mut less: Value = serde_json::from_str(text).unwrap();
    less["paths"]["/v1/limits"]["get"]["responses"].as_object_mut().unwrap().remove("200").unwrap();
    fs::write(&place, less.to_string()).unwrap();
    let found = fuzz(&service, &place.display().to_string(), port, &key, "^/v1/limits$");
    assert!(!found.status.success() && said(&found).contains("Undocumented status code"), "{}", said(&found));
    assert_eq!(service.sink.tally().connections, 0, "an upstream was asked");
    service.stop();
}
