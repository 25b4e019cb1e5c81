//! Claims: `gatepost init` makes what a service starts with and sends by, asks for what it isn't told, writes nothing over, nothing
//! by halves and no password where others see it, and says what is left to do.

mod support;

use std::fs;
use std::io::Write;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Output, Stdio};

use gatepost::sink::{Options, Sink};
use support::{PATIENCE, await_that, free_port, gatepost};

/// A folder for one of them, which the users of the service can pass through.
fn folder() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    support::open_folder(folder.path());
    let config = folder.path().join("etc/gatepost.toml");
    (folder, config)
}

/// Runs it with these answers on standard input.
fn init(folder: &Path, config: &Path, options: &[&str], answers: &str) -> Output {
    let mut command = gatepost();
    command.arg("init").arg("--config").arg(config).args(options).arg("--fallback-ids");
    command.arg("--state-directory").arg(folder.join("state")).arg("--runtime-directory").arg(folder.join("run"));
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = piped.spawn().unwrap();
    // It may end before it has read all of them.
    let _ = child.stdin.take().unwrap().write_all(answers.as_bytes());
    child.wait_with_output().unwrap()
}

fn texts(output: &Output) -> (String, String) {
    let text = |octets: &[u8]| String::from_utf8(octets.to_vec()).unwrap();
    (text(&output.stdout), text(&output.stderr))
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn what_it_makes_by_its_options_starts_and_delivers() {
    let (folder, config) = folder();
    let upstream = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let (port, own) = (upstream.local_addr().unwrap().port().to_string(), free_port());
    let sink = Sink::start(upstream, Options::default());
    let listen = format!("127.0.0.1:{own}");
    let options = [
        "--hostname",
        "gate.example.net",
        "--listen",
        &listen,
        "--upstream",
        "smtp",
        "--upstream-host",
        "127.0.0.1",
        "--upstream-port",
        &port,
        "--credential",
        "app",
        "--sender",
        "@example.net",
        "--yes",
    ];
    let output = init(folder.path(), &config, &options, "");
    let (said, told) = texts(&output);
    assert!(output.status.success(), "{said}{told}");
    assert!(told.contains("left to do") && told.contains("gatepost check --connect --config"), "{told}");
    // The credential is there, so nothing says that there is none.
    assert!(said.contains("ok, 1 listener") && !told.contains("no credential"), "{said}{told}");
    let secret = said.lines().last().unwrap();
    assert!(secret.starts_with("gp_live_"), "{said}");
    assert!([0o600, 0o640].contains(&mode(&config)), "{:o}", mode(&config));
    assert!(
        fs::read_to_string(&config).unwrap().lines().filter(|line| line.starts_with('#')).count() > 4,
        "no comments"
    );

    let log = fs::File::create(folder.path().join("log")).unwrap();
    let mut service = gatepost();
    service.args(["serve", "--fallback-ids", "--config"]).arg(&config).stdin(Stdio::null()).stderr(log);
    let _service = Running(service.spawn().unwrap());
    await_that("it serves", || fs::read_to_string(folder.path().join("log")).unwrap().contains("serving"));
    let checked = gatepost().arg("check").arg("--config").arg(&config).output().unwrap();
    assert!(!texts(&checked).1.contains("no credential"), "the vault has one: {}", texts(&checked).1);
    let sent = gatepost()
        .args(["send", "--credential", "app", "--from", "a@example.net", "--to", "b@example.org", "--subject", "begun"])
        .arg("--config")
        .arg(&config)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(sent.status.success(), "{:?}", texts(&sent));
    let received = sink.next(PATIENCE).expect("nothing arrived");
    assert!(String::from_utf8_lossy(&received.content).contains("Subject: begun"));

    // A second one writes nothing over, and asks nothing.
    let before = fs::read(&config).unwrap();
    let again = init(folder.path(), &config, &options, "");
    assert!(!again.status.success() && texts(&again).1.contains("is there already"), "{:?}", texts(&again));
    assert_eq!(fs::read(&config).unwrap(), before);

    // Nor does another one give the service that runs there its credential.
    let other = config.with_file_name("other.toml");
    let options: Vec<&str> = options.iter().map(|word| if *word == "app" { "other" } else { word }).collect();
    let refused = init(folder.path(), &other, &options, "");
    let (said, told) = texts(&refused);
    assert!(!refused.status.success() && said.is_empty() && told.contains("a service runs already"), "{said}{told}");
    let listed = gatepost().args(["credential", "list", "--config"]).arg(&config).output().unwrap();
    assert!(!other.exists() && !texts(&listed).0.contains("other"), "{:?}", texts(&listed));
}

#[test]
fn what_it_is_not_told_it_asks_for_until_the_answer_is_one() {
    let (folder, config) = folder();
    let answers = "no name\n\ngate.example.net\nnowhere\n\n127.0.0.1:8080\nsmtp\nsmtp.example.net\n70000\n465\n\nrelay\n\
                   correct horse \nno id\napp\nnobody\n\n";
    let output = init(folder.path(), &config, &[], answers);
    let (said, told) = texts(&output);
    assert!(output.status.success(), "{said}{told}");
    for wrong in [
        "\"no name\" is not a host name",
        "\"nowhere\": write an address",
        "\"70000\" is not a port",
        "\"no id\" is no name",
    ] {
        assert!(told.contains(wrong), "{wrong}\n{told}");
    }
    let text = fs::read_to_string(&config).unwrap();
    let secret = config.with_file_name("smarthost.secret");
    for line in [
        "hostname = \"gate.example.net\"",
        "address = [\"127.0.0.1:2525\"]",
        "address = [\"127.0.0.1:8080\"]",
        "hosts = [\"smtp.example.net:465\"]",
        // As its port says, and as the name of the gate says: nobody was asked twice.
        "tls = \"implicit\"",
        "username = \"relay\"",
        &format!("password_file = \"{}\"", secret.display()),
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
    assert_eq!((fs::read_to_string(&secret).unwrap().as_str(), mode(&secret)), ("correct horse \n", 0o600));
    assert!(!format!("{said}{told}{text}").contains("correct horse"), "the password is shown");
    assert!(told.contains("[@example.net]") && said.lines().last().unwrap().starts_with("gp_live_"), "{said}{told}");
}

#[test]
fn a_password_that_is_to_come_is_left_to_do_and_what_is_made_loads() {
    let (folder, config) = folder();
    let answers = "gate.example.net\n\n\n\nsmtp.example.net\n\n\nrelay\n\n-\n";
    let output = init(folder.path(), &config, &[], answers);
    let (said, told) = texts(&output);
    assert!(output.status.success(), "{said}{told}");
    assert!(told.contains("smarthost.secret") && told.contains("gatepost credential add ID"), "{told}");
    let text = fs::read_to_string(&config).unwrap();
    assert!(text.contains("\n#username = \"relay\"\n#password_file = ") && text.contains("\n#[[route]]\n"), "{text}");
    assert_eq!(fs::metadata(config.parent().unwrap()).unwrap().permissions().mode() & 0o777, 0o755);
    assert!(!folder.path().join("state").exists(), "without a credential there is no state yet");
}

#[test]
fn nothing_is_written_when_something_is_wrong_or_missing() {
    let (folder, config) = folder();
    let named = ["--hostname", "gate.example.net", "--yes"];
    for (options, answers, words) in [
        (vec!["--yes"], "", "--hostname is missing"),
        (vec![], "gate.example.net\n", "nothing was written"),
        ([&named[..], &["--listen", "0.0.0.0:2525"]].concat(), "", "--certificate is missing"),
        ([&named[..], &["--listen", "here"]].concat(), "", "--listen: \"here\""),
        ([&named[..], &["--upstream", "smtp"]].concat(), "", "--upstream-host is missing"),
        ([&named[..], &["--upstream", "none", "--upstream-port", "25"]].concat(), "", "--upstream-port"),
        ([&named[..], &["--credential", "app", "--sender", "nobody"]].concat(), "", "\"nobody\""),
        (
            [
                &named[..],
                &["--upstream-host", "h.example", "--upstream-user", "u", "--upstream-secret-file", "/nowhere"],
            ]
            .concat(),
            "",
            "no such file",
        ),
        (
            [&named[..], &["--upstream-host", "h.example", "--upstream-secret-file", "/dev/null"]].concat(),
            "",
            "--upstream-user",
        ),
        // A password without TLS is refused by the configuration, before it is one.
        (
            [
                &named[..],
                &["--http", "192.0.2.1:80", "--certificate", "/nowhere", "--key", "/nowhere", "--listen", "x"],
            ]
            .concat(),
            "",
            "--listen",
        ),
    ] {
        let output = init(folder.path(), &config, &options, answers);
        let (said, told) = texts(&output);
        assert_eq!(output.status.code(), Some(1), "{options:?}: {said}{told}");
        assert!(told.contains(words) && said.is_empty(), "{options:?}: {said}{told}");
        assert!(!config.exists() && !folder.path().join("state").exists(), "{options:?}");
    }
    for wrong in [vec!["--upstream-password", "x"], vec!["--credential", "app", "--yes"], vec!["--upstream", "pigeon"]]
    {
        let output = init(folder.path(), &config, &wrong, "");
        assert_eq!(output.status.code(), Some(2), "{wrong:?}: {:?}", texts(&output));
    }
}

#[test]
fn what_cant_be_done_after_the_file_is_written_fails_and_is_left_to_do() {
    let (folder, config) = folder();
    // The certificate is no pair: the configuration loads, and can't be served.
    let chain = folder.path().join("chain.pem");
    fs::write(&chain, "none").unwrap();
    let chain = chain.display().to_string();
    // And the vault's place is taken by a file.
    fs::write(folder.path().join("state"), "in the way").unwrap();
    let options = [
        "--hostname",
        "gate.example.net",
        "--certificate",
        &chain,
        "--key",
        &chain,
        "--credential",
        "app",
        "--sender",
        "@example.net",
        "--yes",
    ];
    let output = init(folder.path(), &config, &options, "");
    let (said, told) = texts(&output);
    assert_eq!(output.status.code(), Some(1), "{said}{told}");
    assert!(told.contains("chain.pem") && told.contains("gatepost credential add app --sender=@example.net"), "{told}");
    assert!(config.exists());
}

#[test]
fn what_the_package_brought_gives_way_and_is_kept_and_a_program_gets_one_object() {
    let (folder, config) = folder();
    let shipped = Path::new(&std::env::var_os("CARGO_MANIFEST_DIR").unwrap()).join("etc/gatepost.toml");
    fs::create_dir_all(config.parent().unwrap()).unwrap();
    fs::copy(shipped, &config).unwrap();
    let options =
        ["--hostname", "gate.example.net", "--credential", "app", "--sender", "o'brien@example.net", "--yes", "--json"];
    let output = init(folder.path(), &config, &options, "");
    let (said, told) = texts(&output);
    assert!(output.status.success(), "{said}{told}");
    let object: serde_json::Value = serde_json::from_str(&said).unwrap();
    let kept = format!("{}.before-init", config.display());
    assert_eq!(object["written"], serde_json::json!([config]));
    assert_eq!((&object["set_aside"], &object["sound"]), (&kept.as_str().into(), &true.into()));
    let credential = &object["credential"];
    assert!(credential["id"] == "app" && credential["secret"].as_str().unwrap().starts_with("gp_live_"), "{object}");
    assert!(object["left"].as_array().unwrap().iter().any(|line| line.as_str().unwrap().contains("say in ")));
    assert!(!told.contains("left to do"), "{told}");
    assert!(
        fs::read_to_string(&kept).unwrap().contains("hostname")
            && fs::read_to_string(&config).unwrap().contains("gate.example.net")
    );
    // What is there by now is somebody's own.
    let again = init(folder.path(), &config, &options, "");
    assert!(!again.status.success() && texts(&again).1.contains("is there already"), "{:?}", texts(&again));
}
