//! Claims: mail reaches Postfix's smtp-sink, a server that is none of our own making, also when it refuses or leaves at first.

mod support;

use std::fs;
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::process::{Child, Command};

use support::{Service, Setting, await_that, free_port, is_root};

/// It runs until it is dropped, and appends what it is sent to a file.
struct Server(Child);

impl Server {
    fn start(port: u16, folder: &Path, faults: &[&str]) -> Self {
        let found =
            ["/usr/sbin/smtp-sink", "/usr/local/sbin/smtp-sink"].into_iter().find(|path| Path::new(path).exists());
        let mut command = Command::new(found.expect("smtp-sink is needed (Debian: postfix)"));
        command.current_dir(folder).args(["-D", "dump"]).args(faults);
        if is_root() {
            let owned = Command::new("chown").arg("postfix").arg(folder).status().unwrap();
            assert!(owned.success(), "the user postfix is needed (Debian: postfix)");
            command.args(["-u", "postfix"]);
        }
        let server = Self(command.arg(format!("127.0.0.1:{port}")).arg("100").spawn().unwrap());
        await_that("smtp-sink listens", || TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok());
        server
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn mail_reaches_smtp_sink_once_also_behind_what_it_does_at_first() {
    // It leaves at a command, or refuses it softly; then another one stands there. The dot is not among them: who leaves there may
    // have it.
    for faults in
        [&[][..], &["-q", "mail"], &["-q", "data"], &["-Q", "ehlo"], &["-r", "rcpt"], &["-r", "."], &["-f", "ehlo"]]
    {
        let folder = tempfile::Builder::new().prefix("gatepost-sink-").tempdir().unwrap();
        let (port, is_faulty) = (free_port(), !faults.is_empty());
        let mut server = Server::start(port, folder.path(), faults);
        let (host, more) = (Some(format!("127.0.0.1:{port}")), "[spool]\nretry = [\"1s\"]".into());
        let service = Service::start_with(&Setting { host, more, ..Setting::default() });
        let secret = service.add_credential();
        let mut session = service.log_in(&secret);
        let subjects = ["first of all", "second of all"];
        for subject in subjects {
            assert_eq!(session.send(subject), 250);
        }
        let dump = || fs::read(folder.path().join("dump")).unwrap_or_default();
        if is_faulty {
            let says = |text: &str| service.log().contains(text);
            let put_off = || {
                let events = service.command(&["audit", "query", "--event", "deliver.defer", "--json"]);
                !events.stdout.is_empty()
            };
            await_that("it was felt", || says("route failed") || put_off());
            drop(server);
            // What it was sent and has refused is none that arrived.
            let _ = fs::remove_file(folder.path().join("dump"));
            server = Server::start(port, folder.path(), &[]);
        }
        let text = || String::from_utf8_lossy(&dump()).into_owned();
        let count =
            |text: &str, subject: &str| text.lines().filter(|line| *line == format!("Subject: {subject}")).count();
        await_that("both are there", || subjects.iter().all(|subject| count(&text(), subject) > 0));
        service.stop();
        drop(server);
        let text = text();
        assert!(subjects.iter().all(|subject| count(&text, subject) == 1), "{faults:?}: {text}");
        assert!(text.contains("X-Rcpt-Args: <"), "{text}");
    }
}
