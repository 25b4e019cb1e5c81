//! The stage of the demonstration: the folder with all that belongs to it, the sink, and the service as a child process.

use std::fs::{self, DirBuilder};
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::cli::interrupt::Interrupt;
use crate::sink::{Received, Sink};
use crate::sys::program;

/// The service must be ready by then; it takes well under a second.
const START: Duration = Duration::from_secs(60);
/// It must have stopped by then.
const STOP: Duration = Duration::from_secs(60);
/// How often the demonstration looks whether Ctrl-C was pressed or a message came.
const GLANCE: Duration = Duration::from_millis(200);

pub struct Stage {
    pub folder: PathBuf,
    pub smtp: u16,
    pub http: u16,
    pub sink_port: u16,
    pub sink: Sink,
    /// The self-signed certificate, for the client to trust: PEM.
    pub certificate: String,
    service: Option<Child>,
}

impl Stage {
    /// Makes the folder, the certificate, the configuration and the sink.
    pub fn set() -> Result<Self, String> {
        let folder = make_folder().map_err(|error| format!("making a temporary folder: {error}"))?;
        let listener =
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(|error| format!("binding the sink: {error}"))?;
        let sink_port = listener.local_addr().map_err(|error| format!("the sink's port: {error}"))?.port();
        let sink = Sink::start(listener, crate::sink::Options::default());
        let (smtp, http) = (free_port()?, free_port()?);
        let mut stage = Self { folder, smtp, http, sink_port, sink, certificate: String::new(), service: None };
        stage.certificate = stage.write_certificate()?;
        stage.write("gatepost.toml", 0o640, &stage.configuration())?;
        Ok(stage)
    }

    fn write(&self, name: &str, mode: u32, text: &str) -> Result<(), String> {
        let path = self.folder.join(name);
        let mut options = fs::OpenOptions::new();
        let file = options.write(true).create_new(true).mode(mode).open(&path);
        file.and_then(|mut file| io::Write::write_all(&mut file, text.as_bytes()))
            .map_err(|error| format!("writing {}: {error}", path.display()))
    }

    fn write_certificate(&self) -> Result<String, String> {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])
            .map_err(|error| format!("making a certificate: {error}"))?;
        let certificate = made.cert.pem();
        self.write("certificate.pem", 0o644, &certificate)?;
        self.write("key.pem", 0o600, &made.signing_key.serialize_pem())?;
        Ok(certificate)
    }

    fn configuration(&self) -> String {
        let Self { folder, smtp, http, sink_port, .. } = self;
        let folder = folder.display();
        format!(
            r#"version = 1
state_directory = "{folder}/state"
runtime_directory = "{folder}/run"
hostname = "gate.demo.example"

[[listener]]
name = "submission"
address = ["127.0.0.1:{smtp}"]
protocol = "smtp"
tls = "starttls"

[[listener]]
name = "api"
address = ["127.0.0.1:{http}"]
protocol = "http"
serve = ["v1", "ops"]

[tls]
certificate = "{folder}/certificate.pem"
key = "{folder}/key.pem"

[[upstream]]
name = "sink"
kind = "smtp"
hosts = ["127.0.0.1:{sink_port}"]
tls = "none"

[[route]]
to = "*"
via = ["sink"]
"#
        )
    }

    /// Starts the service and waits for its own word, by the protocol of service managers, that it is ready.
    pub fn start_service(&mut self) -> Result<(), String> {
        let path = self.folder.join("notify");
        let notify = UnixDatagram::bind(&path).map_err(|error| format!("binding {}: {error}", path.display()))?;
        notify.set_read_timeout(Some(GLANCE)).map_err(|error| error.to_string())?;
        let mut command = self.gatepost()?;
        command.args(["serve", "--fallback-ids"]).arg("--config").arg(self.config());
        // A group of its own: Ctrl-C in the terminal is for the demonstration, which then stops the service in order.
        let started = command.env("NOTIFY_SOCKET", &path).stdin(Stdio::null()).process_group(0).spawn();
        let service = self.service.insert(started.map_err(|error| format!("starting the service: {error}"))?);
        let deadline = Instant::now() + START;
        let mut word = [0; 256];
        while Instant::now() < deadline {
            if let Ok(n) = notify.recv(&mut word)
                && word.get(..n).is_some_and(|word| word.starts_with(b"READY=1"))
            {
                return Ok(());
            }
            if let Ok(Some(status)) = service.try_wait() {
                return Err(format!("the service did not start ({status}): its reason is above"));
            }
        }
        Err("the service was not ready in time".to_owned())
    }

    /// One line per process of the service: who it is and how much memory is its own.
    pub fn processes(&self) -> Result<Vec<String>, String> {
        let parent = self.service.as_ref().map(Child::id).ok_or("the service is not running")?;
        let table = Command::new("ps")
            .args(["-o", "pid=,user=,rss=,args=", "--pid", &parent.to_string()])
            .args(["--ppid", &parent.to_string()])
            .output();
        match table {
            Ok(table) if table.status.success() => {
                Ok(String::from_utf8_lossy(&table.stdout).lines().map(str::to_owned).collect())
            }
            // Without ps the tour goes on; there is only less to see.
            _ => {
                Ok(vec![format!("process {parent} and its children (ps is not installed, or speaks another dialect)")])
            }
        }
    }

    pub fn add_credential(&self, id: &str) -> Result<String, String> {
        let printed = self.command(&["credential", "add", id, "--sender", "@example.net", "--json"])?;
        let read: serde_json::Value =
            serde_json::from_str(&printed).map_err(|error| format!("reading the credential: {error}"))?;
        read["secret"].as_str().map(str::to_owned).ok_or_else(|| "the command printed no secret".to_owned())
    }

    /// Runs another of our commands on this stage and takes what it prints.
    pub fn command(&self, words: &[&str]) -> Result<String, String> {
        let done = self.gatepost()?.args(words).arg("--config").arg(self.config()).output();
        let done = done.map_err(|error| format!("running gatepost {}: {error}", words.join(" ")))?;
        let text = String::from_utf8_lossy(&done.stdout).into_owned();
        if done.status.success() {
            return Ok(text);
        }
        let said = String::from_utf8_lossy(&done.stderr);
        Err(format!("gatepost {} failed ({}): {text}{said}", words.join(" "), done.status))
    }

    fn gatepost(&self) -> Result<Command, String> {
        let mut command =
            program::itself().map(Command::new).map_err(|error| format!("finding our own program: {error}"))?;
        command.arg0("gatepost");
        Ok(command)
    }

    fn config(&self) -> PathBuf {
        self.folder.join("gatepost.toml")
    }

    /// Shows what the sink receives until Ctrl-C.
    pub fn stay(&mut self, interrupt: &Interrupt, mut show: impl FnMut(&Received)) -> Result<(), String> {
        loop {
            if let Some(received) = self.sink.next(GLANCE) {
                show(&received);
            }
            if interrupt.came() {
                return Ok(());
            }
            if let Some(Ok(Some(status))) = self.service.as_mut().map(Child::try_wait) {
                return Err(format!("the service ended by itself ({status})"));
            }
        }
    }

    /// Asks the service to stop and waits for it.
    pub fn stop_service(&mut self) -> Result<(), String> {
        let Some(mut service) = self.service.take() else { return Ok(()) };
        ask_to_stop(&service);
        let deadline = Instant::now() + STOP;
        while Instant::now() < deadline {
            match service.try_wait() {
                Ok(Some(status)) if status.success() => return Ok(()),
                Ok(Some(status)) => return Err(format!("the service did not stop cleanly: {status}")),
                _ => std::thread::sleep(GLANCE),
            }
        }
        let _ = service.kill();
        Err("the service did not stop in time".to_owned())
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // After a failed step: whatever is left is ended and removed; there is no better place to say that it wasn't.
        if self.service.is_some() {
            let _ = self.stop_service();
        }
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn ask_to_stop(service: &Child) {
    if let Ok(pid) = i32::try_from(service.id()) {
        let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
    }
}

/// A folder of our own that nobody else can enter, and that must not be there yet.
fn make_folder() -> io::Result<PathBuf> {
    let folder = std::env::temp_dir().join(format!("gatepost-demo-{}", uuid::Uuid::now_v7().simple()));
    DirBuilder::new().mode(0o700).create(&folder)?;
    Path::canonicalize(&folder)
}

/// A port that was free a moment ago. That somebody takes it before the service does is unlikely, and is said clearly then.
fn free_port() -> Result<u16, String> {
    let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr());
    socket.map(|address| address.port()).map_err(|error| format!("finding a free port: {error}"))
}
