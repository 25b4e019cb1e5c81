//! A Postfix of the test's own, never the system's, on loopback. As a relay it takes mail and passes it on to the gate, with SASL and TLS.

use std::fmt::Write as _;
use std::fs;
use std::net::Ipv4Addr;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

use super::{CREDENTIAL, PATIENCE, Pair, Smtp, await_that, free_port, open_folder};

/// Where it relays to, and how.
#[derive(Clone, Copy)]
pub struct Relay<'a> {
    pub port: u16,
    /// TLS from the first octet, instead of by STARTTLS.
    pub implicit: bool,
    /// What it trusts.
    pub pair: &'a Pair,
    pub secret: &'a str,
}

pub struct Postfix {
    folder: TempDir,
    port: u16,
}

impl Postfix {
    /// Only root may: its master becomes other users.
    pub fn start(relay: Relay<'_>) -> Self {
        Self::launch(|folder| {
            fs::write(folder.join("ca.pem"), &relay.pair.certificate).unwrap();
            let password = format!("[localhost]:{} {CREDENTIAL}:{}\n", relay.port, relay.secret);
            fs::write(folder.join("passwords"), password).unwrap();
            main(folder, relay)
        })
    }

    /// Starts one in a folder of its own, in which `prepare` puts what it needs; gives what is to stand in main.cf.
    pub fn launch(prepare: impl FnOnce(&Path) -> String) -> Self {
        let folder = tempfile::Builder::new().prefix("gatepost-postfix-").tempdir().unwrap();
        open_folder(folder.path());
        let postfix = Self { port: free_port(), folder };
        let at = |name: &str| postfix.folder.path().join(name);
        for name in ["config", "queue", "state"] {
            fs::create_dir(at(name)).unwrap();
        }
        let owned = Command::new("chown").arg("postfix").arg(at("state")).status().unwrap();
        assert!(owned.success(), "the user postfix is needed (Debian: postfix)");
        let own = prepare(postfix.folder.path());
        fs::write(at("config/main.cf"), common(postfix.folder.path()) + &own).unwrap();
        fs::write(at("config/master.cf"), master(postfix.port)).unwrap();
        let started = postfix.command("postfix", &["start"]);
        assert!(started.status.success(), "{}{}", String::from_utf8_lossy(&started.stderr), postfix.log());
        await_that("Postfix listens", || TcpStream::connect((Ipv4Addr::LOCALHOST, postfix.port)).is_ok());
        postfix
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its master, from which all others come.
    pub fn pid(&self) -> u32 {
        let text = fs::read_to_string(self.folder.path().join("queue/pid/master.pid")).unwrap();
        text.trim().parse().unwrap()
    }

    /// One of its own commands, about this instance.
    pub fn command(&self, program: &str, words: &[&str]) -> Output {
        let found = ["/usr/sbin", "/usr/local/sbin"].map(|place| Path::new(place).join(program));
        let path = found.into_iter().find(|path| path.exists()).unwrap_or_else(|| PathBuf::from(program));
        let mut command = Command::new(path);
        command.arg("-c").arg(self.folder.path().join("config")).args(words);
        command.output().unwrap_or_else(|error| panic!("{program} is needed (Debian: postfix): {error}"))
    }

    /// Hands it a message, whose dots are stuffed already.
    pub fn give(&self, sender: &str, recipients: &[&str], content: &str) {
        let mut session = Smtp::connect(self.port);
        assert_eq!((session.code(), session.say("EHLO client.example")), (220, 250));
        assert_eq!(session.say(&format!("MAIL FROM:<{sender}> BODY=8BITMIME")), 250);
        for recipient in recipients {
            assert_eq!(session.say(&format!("RCPT TO:<{recipient}>")), 250);
        }
        assert_eq!(session.say("DATA"), 354);
        assert_eq!(session.say(&format!("{content}.")), 250);
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Waits for a line of its log that has all of these in it.
    pub fn await_log(&self, parts: &[&str]) {
        let deadline = std::time::Instant::now() + PATIENCE;
        let has = |log: &str| log.lines().any(|line| parts.iter().all(|part| line.contains(part)));
        while !has(&self.log()) {
            assert!(std::time::Instant::now() < deadline, "Postfix never said {parts:?}:\n{}", self.log());
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }

    /// Its queue, as `postqueue -p` shows it.
    pub fn queue(&self) -> String {
        String::from_utf8_lossy(&self.command("postqueue", &["-p"]).stdout).into_owned()
    }
}

impl Drop for Postfix {
    fn drop(&mut self) {
        self.command("postfix", &["stop"]);
    }
}

fn common(folder: &Path) -> String {
    let folder = folder.display();
    format!(
        "compatibility_level = 3.6\n\
         queue_directory = {folder}/queue\n\
         data_directory = {folder}/state\n\
         maillog_file = {folder}/log\n\
         maillog_file_prefixes = {folder}\n\
         inet_interfaces = 127.0.0.1\n\
         inet_protocols = ipv4\n\
         mydestination =\n\
         local_recipient_maps =\n\
         alias_maps =\n\
         notify_classes =\n"
    )
}

fn main(folder: &Path, Relay { port, implicit, .. }: Relay<'_>) -> String {
    let folder = folder.display();
    let mut text = format!(
        "myhostname = relay.test.example\n\
         mynetworks = 127.0.0.0/8\n\
         relayhost = [localhost]:{port}\n\
         smtp_host_lookup = native\n\
         smtp_sasl_auth_enable = yes\n\
         smtp_sasl_password_maps = texthash:{folder}/passwords\n\
         smtp_sasl_security_options = noanonymous\n\
         smtp_tls_security_level = secure\n\
         smtp_tls_secure_cert_match = localhost\n\
         smtp_tls_CAfile = {folder}/ca.pem\n\
         smtp_tls_loglevel = 1\n"
    );
    if implicit {
        let _ = writeln!(text, "smtp_tls_wrappermode = yes");
    }
    text
}

fn master(port: u16) -> String {
    let mut text = format!("127.0.0.1:{port} inet n - n - - smtpd\n");
    for (service, kind, private, wakeup, most, program) in [
        ("pickup", "unix", "n", "60", "1", "pickup"),
        ("cleanup", "unix", "n", "-", "0", "cleanup"),
        ("qmgr", "unix", "n", "300", "1", "qmgr"),
        ("tlsmgr", "unix", "-", "1000?", "1", "tlsmgr"),
        ("rewrite", "unix", "-", "-", "-", "trivial-rewrite"),
        ("bounce", "unix", "-", "-", "0", "bounce"),
        ("defer", "unix", "-", "-", "0", "bounce"),
        ("trace", "unix", "-", "-", "0", "bounce"),
        ("flush", "unix", "n", "1000?", "0", "flush"),
        ("proxymap", "unix", "-", "-", "-", "proxymap"),
        ("smtp", "unix", "-", "-", "-", "smtp"),
        ("relay", "unix", "-", "-", "-", "smtp"),
        ("showq", "unix", "n", "-", "-", "showq"),
        ("error", "unix", "-", "-", "-", "error"),
        ("retry", "unix", "-", "-", "-", "error"),
        ("discard", "unix", "-", "-", "-", "discard"),
        ("anvil", "unix", "-", "-", "1", "anvil"),
        ("scache", "unix", "-", "-", "1", "scache"),
        ("postlog", "unix-dgram", "n", "-", "1", "postlogd"),
    ] {
        let _ = writeln!(text, "{service} {kind} {private} - n {wakeup} {most} {program}");
    }
    text
}
