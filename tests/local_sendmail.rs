//! Claims: what calls /usr/sbin/sendmail sends through the gate, under that name and with its options; all recipients get a message or
//! none; and whatever was not sent is told by the exit code, in words, and never by silence.

mod support;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use gatepost::sink::Received;
use support::programs::{run, said};
use support::{CREDENTIAL, PATIENCE, Service, Setting, free_port, gatepost, is_root, open_folder};

/// Somebody who owns nothing here.
const NOBODY: u32 = 65534;

struct Site {
    service: Service,
    port: u16,
    secret: String,
}

impl Site {
    /// A service with a listener for this machine, and a credential that may send to example.org alone.
    fn start(listener: &str) -> Self {
        let port = free_port();
        let local = format!(
            "[[listener]]\nname = \"local\"\naddress = [\"127.0.0.1:{port}\"]\nprotocol = \"smtp\"\n{listener}"
        );
        let service = Service::start_with(&Setting { more: local, ..Setting::default() });
        let words = [
            "credential",
            "add",
            CREDENTIAL,
            "--scram",
            "--sender",
            "@example.net",
            "--recipient-allow",
            "@example.org",
        ];
        let output = service.command(&words);
        assert!(output.status.success(), "{}", said(&output));
        let secret = String::from_utf8(output.stdout).unwrap().lines().last().unwrap().to_owned();
        open_folder(service.folder.path());
        let site = Self { service, port, secret };
        site.settings("from = \"cron@example.net\"\n[aliases]\nroot = [\"ops@example.org\"]\n");
        // A copy where any user comes to it: below the home of root, where this may be built, none does.
        fs::copy(gatepost().get_program(), site.path("gatepost")).unwrap();
        for name in ["sendmail", "mailq", "newaliases"] {
            symlink(site.path("gatepost"), site.path(name)).unwrap();
        }
        site
    }

    fn path(&self, name: &str) -> PathBuf {
        self.service.folder.path().join(name)
    }

    fn settings(&self, more: &str) {
        let Self { port, secret, .. } = self;
        let text =
            format!("server = \"127.0.0.1:{port}\"\nusername = \"{CREDENTIAL}\"\npassword = \"{secret}\"\n{more}");
        fs::write(self.path("sendmail.conf"), text).unwrap();
        // Root's is for everybody; a user's own is the user's.
        let mode = if is_root() { 0o644 } else { 0o600 };
        fs::set_permissions(self.path("sendmail.conf"), fs::Permissions::from_mode(mode)).unwrap();
    }

    /// The program by a name, as whoever has no rights here.
    fn called(&self, name: &str, words: &[&str]) -> Command {
        let mut command = Command::new(self.path(name));
        command.args(words).env("GATEPOST_SENDMAIL_CONF", self.path("sendmail.conf"));
        if is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        command
    }

    fn send(&self, words: &[&str], input: &str) -> Output {
        run(&mut self.called("sendmail", words), input)
    }

    fn sent(&self, words: &[&str], input: &str) -> (Received, String) {
        let output = self.send(words, input);
        assert_eq!((output.status.code(), said(&output).as_str()), (Some(0), ""), "{words:?}");
        self.arrived()
    }

    fn arrived(&self) -> (Received, String) {
        let received =
            self.service.sink.next(PATIENCE).unwrap_or_else(|| panic!("nothing arrives: {}", self.service.log()));
        let text = String::from_utf8(received.content.clone()).unwrap();
        (received, text)
    }

    fn nothing_arrives(&self) {
        assert!(self.service.sink.next(Duration::from_millis(500)).is_none(), "something was sent");
    }

    fn refused(&self, words: &[&str], input: &str, code: i32, why: &str) {
        let output = self.send(words, input);
        let text = said(&output);
        assert!(output.status.code() == Some(code) && text.contains(why), "{words:?}: {:?}: {text}", output.status);
        assert!(text.starts_with("gatepost: sendmail: ") && !text.contains(&self.secret), "{text}");
    }
}

#[test]
fn cron_and_scripts_send_as_they_always_did() {
    let site = Site::start("");
    // Debian's cron, to the octet.
    let cron = "From: root (Cron Daemon)\nTo: root\nSubject: Cron <root@host> backup\nMIME-Version: 1.0\n\
                Content-Type: text/plain; charset=UTF-8\nX-Cron-Env: <SHELL=/bin/sh>\n\n.\nfirst\n..second\nBcc: x\n 10%\r 99%\nsch\u{f6}n\n";
    let (received, text) = site.sent(&["-i", "-FCronDaemon", "-B8BITMIME", "-oem", "root"], cron);
    assert_eq!(
        (received.sender.as_str(), received.recipients),
        ("cron@example.net", vec!["ops@example.org".to_owned()])
    );
    assert_eq!(received.authenticated, None, "that is the upstream's");
    for part in [
        "\r\nFrom: root@example.net (Cron Daemon)\r\n",
        "\r\nTo: root@example.net\r\n",
        "\r\nDate: ",
        "\r\nMessage-ID: <",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(text.ends_with("\r\n\r\n.\r\nfirst\r\n..second\r\nBcc: x\r\n 10%\r\n 99%\r\nsch\u{f6}n\r\n"), "{text}");

    // A dot alone is the end, unless it is said not to be.
    let (_, text) = site.sent(&["b@example.org"], "Subject: x\n\nfirst\n.\nsecond\n");
    assert!(text.ends_with("\r\n\r\nfirst\r\n") && text.contains("\r\nFrom: cron@example.net\r\n"), "{text}");

    // Python's way, with all that the envelope can say.
    let words = [
        "-oi",
        "-r",
        "job@example.net",
        "-F",
        "The Job",
        "-N",
        "never",
        "-V",
        "a+b",
        "--",
        "b@example.org",
        "c@example.org",
    ];
    let (received, text) = site.sent(&words, "no header at all\n");
    assert_eq!((received.sender.as_str(), received.recipients.len()), ("job@example.net", 2));
    assert!(text.contains("\r\nFrom: \"The Job\" <job@example.net>\r\n"), "{text}");

    // By the command itself, and by the proof of the password.
    site.settings("scram = true\n");
    site.refused(&["-f", "a@example.net", "b@example.org"], "x\n", 78, "and not SCRAM-SHA-256");
}

#[test]
fn recipients_are_read_from_the_header_and_those_who_are_hidden_stay_so() {
    let site = Site::start("mechanisms = [\"PLAIN\", \"SCRAM-SHA-256\"]\n");
    site.settings("scram = true\ndomain = \"example.net\"\n");
    let letter = "To: a@example.org, Bob <b@example.org>\r\nBcc: hidden@example.org\r\nSubject: php\r\nFrom: web@example.net\r\n\r\nx\r\n";
    let (received, text) = site.sent(&["-t", "-i", "-fweb@example.net", "more@example.org", "a@example.org"], letter);
    let mut recipients = received.recipients;
    recipients.sort();
    assert_eq!(recipients, ["a@example.org", "b@example.org", "hidden@example.org", "more@example.org"]);
    assert!(!text.contains("hidden") && !text.contains("Bcc"), "{text}");
    // What it says to the gate is shown, and no secret.
    let output = site.send(&["-v", "-f", "web@example.net", "a@example.org"], "\nx\n");
    let shown = said(&output);
    assert!(
        output.status.success()
            && shown.contains("> MAIL FROM:<web@example.net>")
            && shown.contains("> AUTH SCRAM-SHA-256 (hidden)")
    );
    assert!(!shown.contains(&site.secret), "{shown}");
    // Without a name for the sender it is whoever calls.
    let name = if is_root() {
        "nobody".to_owned()
    } else {
        nix::unistd::User::from_uid(nix::unistd::getuid()).unwrap().unwrap().name
    };
    site.arrived();
    assert_eq!(site.sent(&["a@example.org"], "\nx\n").0.sender, format!("{name}@example.net"));
}

#[test]
fn what_is_not_sent_is_told_and_nobody_has_got_it() {
    let mut site = Site::start("");
    let letter = "Subject: x\n\ny\n";
    // One that the credential may not send to: the others get nothing either, and a second attempt sends nothing twice.
    site.refused(
        &["b@example.org", "c@elsewhere.example"],
        letter,
        69,
        "recipient c@elsewhere.example: the gate said 5",
    );
    site.refused(&["-f", "a@elsewhere.example", "b@example.org"], letter, 69, "the gate said 5");
    site.refused(&[], letter, 64, "nobody to send to");
    site.refused(&["-t"], "Subject: x\n\nTo: b@example.org\n", 64, "nobody to send to");
    site.refused(&["-t"], "To: b@example.org c@example.org\n\n", 65, "To can't be read");
    site.refused(&["b@example.org"], "Subject: x\ry\n\na\n", 65, "line 1 of the header has a CR");
    site.refused(&["b\u{1}@example.org"], letter, 65, "can't be read as a list");
    site.refused(&["-i", "b@example.org"], &format!("\n{}", "x\n".repeat(20 << 20)), 65, "octets, and the gate takes");
    let many: Vec<String> = (0..5001).map(|number| format!("b{number}@example.org")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    site.refused(&many, letter, 65, "more than 5000 recipients");
    site.refused(&many[..4000], letter, 69, "more recipients than the gate takes");
    site.refused(&["-t"], "To: b@example.org\nbroken\nBcc: c@example.org\n\nx\n", 65, "line 2 is no field");
    site.refused(&["b@example.org", "-t"], letter, 64, "-t: options stand before");
    site.refused(&["-Z", "b@example.org"], letter, 64, "-Z: no such option");
    // PHP's mail() lets whoever fills a form add words to the command, where an application is careless.
    let stolen = site.path("stolen");
    site.refused(&["-t", "-i", "-fx@example.net", &format!("-X{}", stolen.display())], letter, 64, "-X: refused");
    assert!(!stolen.exists());
    site.nothing_arrives();

    let secret = std::mem::replace(&mut site.secret, "wrong".to_owned());
    site.settings("");
    site.refused(&["-f", "a@example.net", "b@example.org"], letter, 77, "the login of \"tester\": the gate said 535");
    site.secret = secret;
    site.settings("");
    site.refused(&["root"], letter, 78, "\"root\" has no domain");
    fs::write(site.path("sendmail.conf"), format!("password = \"{}\"\nsever = 1\n", site.secret)).unwrap();
    site.refused(&["b@example.org"], letter, 78, "line 2: unknown field `sever`");
    // One that takes no login without TLS.
    site.port = site.service.smtp;
    site.settings("");
    site.refused(&["-f", "a@example.net", "b@example.org"], letter, 78, "takes no login without TLS");
    site.nothing_arrives();

    site.port = free_port();
    site.settings("from = \"a@example.net\"\n");
    site.refused(&["b@example.org"], letter, 75, "can't be reached");
    site.refused(&["--tempfail=69", "b@example.org"], letter, 69, "can't be reached");
    fs::remove_file(site.path("sendmail.conf")).unwrap();
    site.refused(&["b@example.org"], letter, 78, "can't be read");
}

/// One message, by a program whose lines end so.
fn speak(site: &Site, end: &str) {
    let mut child = site.called("sendmail", &["-bs"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let (mut to, mut from) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()).lines());
    let mut hear = |code: &str| {
        let line =
            from.find(|line| line.as_ref().is_ok_and(|line| line.as_bytes().get(3) == Some(&b' '))).unwrap().unwrap();
        assert!(line.starts_with(code), "{line}");
    };
    hear("220");
    for (line, code) in [
        ("EHLO localhost", "250"),
        ("MAIL FROM:<a@example.net>", "250"),
        ("RCPT TO:<b@example.org>", "250"),
        ("DATA", "354"),
        ("From: a@example.net\nSubject: spoken\n\nx\n.", "250"),
        ("QUIT", "221"),
    ] {
        to.write_all(format!("{line}\n").replace('\n', end).as_bytes()).unwrap();
        hear(code);
    }
    assert!(child.wait().unwrap().success());
}

#[test]
fn programs_that_speak_smtp_are_logged_in_and_the_other_names_have_their_answers() {
    let site = Site::start("");
    for end in ["\r\n", "\n"] {
        speak(&site, end);
        assert!(site.arrived().1.contains("Subject: spoken"));
    }

    let output = site.called("newaliases", &[]).output().unwrap();
    assert!(output.status.success() && said(&output).contains("nothing to do"), "{}", said(&output));
    let output = site.called("mailq", &[]).output().unwrap();
    assert!(
        !output.status.success() && said(&output).contains("gatepost"),
        "no service in the usual place: {}",
        said(&output)
    );
    let output = gatepost().args(["sendmail", "--help"]).output().unwrap();
    assert!(output.status.success() && said(&output).contains("Usage: gatepost sendmail"));
}

/// While the gate is stopped, any user can listen on its port.
#[test]
#[cfg(target_os = "linux")]
fn whoever_listens_in_the_place_of_the_gate_is_not_told_the_password() {
    if !is_root() {
        // It takes a second user.
        return;
    }
    let mut site = Site::start("");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    site.port = listener.local_addr().unwrap().port();
    site.settings("from = \"a@example.net\"\n");
    let heard = std::thread::spawn(move || {
        // Of this thread alone: what it opens is that user's.
        nix::unistd::setfsuid(nix::unistd::Uid::from_raw(4711));
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(b"220 localhost\r\n").unwrap();
        let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
        let first = lines.next().unwrap().unwrap();
        stream.write_all(b"250-localhost\r\n250 AUTH PLAIN\r\n").unwrap();
        [first].into_iter().chain(lines.map_while(Result::ok)).collect::<Vec<_>>()
    });
    site.refused(&["b@example.org"], "\nx\n", 75, "belongs to the user 4711");
    assert_eq!(heard.join().unwrap(), ["EHLO localhost"]);
}

/// PHP's own mail(), and the mail of Debian: both call a program by its path and look at its exit code.
#[test]
fn php_and_mail_send_through_it_and_hear_when_they_could_not() {
    let mailers = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").unwrap()).join("target/clients/mailers/usr");
    let found = |name: &str| {
        let mut command = Command::new(mailers.join("bin").join(name));
        command.env("LD_LIBRARY_PATH", mailers.join("lib"));
        assert!(Path::new(command.get_program()).exists(), "{name} is needed: run tools/test.sh");
        command
    };
    let mut site = Site::start("");
    let php = |site: &Site, more: &str| {
        let path = format!("sendmail_path={} -t -i {more}", site.path("sendmail").display());
        let call = "var_export(mail('b@example.org', 'by php', \"one\\n.\\ntwo\", ['Bcc' => 'c@example.org', 'From' => 'web@example.net']));";
        let mut command = found("php");
        command.args(["-n", "-d", &path, "-r", call]).env("GATEPOST_SENDMAIL_CONF", site.path("sendmail.conf"));
        command.output().unwrap()
    };
    let output = php(&site, "");
    assert_eq!(said(&output), "true");
    let (received, text) = site.arrived();
    assert_eq!(received.recipients.len(), 2);
    assert!(
        text.contains("Subject: by php\r\n") && !text.contains("Bcc") && text.ends_with("one\r\n.\r\ntwo\r\n"),
        "{text}"
    );

    let mut command = found("bsd-mailx");
    command
        .args(["-s", "by mail", "-r", "job@example.net", "b@example.org"])
        .env("GATEPOST_SENDMAIL_CONF", site.path("sendmail.conf"));
    fs::write(site.path("mailrc"), format!("set sendmail={}\n", site.path("sendmail").display())).unwrap();
    command.env("MAILRC", site.path("mailrc"));
    let output = run(&mut command, "text\n");
    assert_eq!((output.status.code(), said(&output).as_str()), (Some(0), ""));
    assert!(site.arrived().1.contains("Subject: by mail\r\n"));

    site.port = free_port();
    site.settings("from = \"a@example.net\"\n");
    for more in ["", "--tempfail=69"] {
        let output = php(&site, more);
        assert_eq!(String::from_utf8_lossy(&output.stdout), "false", "{more}");
        assert!(said(&output).contains("can't be reached"), "{}", said(&output));
    }
}
