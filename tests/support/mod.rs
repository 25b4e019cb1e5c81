//! A real service for tests: all the processes, on loopback, in a folder of its own.

#![allow(dead_code)] // each test file uses its part

pub mod arrivals;
pub mod auditor;
pub mod authority;
pub mod bodies;
pub mod certificate;
pub mod cuts;
pub mod dice;
pub mod disk;
pub mod drill;
pub mod evidence;
pub mod inventory;
pub mod names;
pub mod ports;
pub mod postfix;
pub mod processes;
pub mod programs;
pub mod provider;
pub mod restored;
pub mod revival;
pub mod senders;
pub mod small_disk;
pub mod smarthost;
pub mod smtp;
pub mod strace;
pub mod traces;
pub mod verdict;
pub mod weather;
pub mod witness;

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use gatepost::sink::{Options, Sink};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

pub use certificate::Pair;
pub use ports::free_port;
pub use smtp::Smtp;

/// Generous, because the machines that run tests are shared: a test that needs it all has found something.
pub const PATIENCE: Duration = Duration::from_secs(60);
pub const CREDENTIAL: &str = "tester";

/// The program under test: the one this crate builds, or the copy that an ordinary user was given.
pub fn gatepost() -> Command {
    let path =
        std::env::var_os("GATEPOST_BIN").map_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_gatepost")), PathBuf::from);
    Command::new(path)
}

pub fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

pub struct Service {
    pub folder: TempDir,
    pub smtp: u16,
    pub http: u16,
    pub pair: Pair,
    pub sink: Sink,
    /// What it tells its service manager, which is us.
    pub notify: UnixDatagram,
    process: Child,
}

/// What a test changes of the usual configuration.
#[derive(Clone)]
pub struct Setting {
    pub pair: Pair,
    /// Lines under `[limits]`.
    pub limits: String,
    /// Lines of the SMTP listener.
    pub listener: String,
    /// Where the upstream is, `host:port`; the sink when there is none.
    pub host: Option<String>,
    /// Its kind and what says where it is, instead of SMTP and `host`.
    pub way: Option<String>,
    /// Lines of the upstream, beside its host.
    pub upstream: String,
    /// Anything else.
    pub more: String,
    /// How the upstream behaves.
    pub sink: fn() -> Options,
    /// How long the service manager waits for a sign of life.
    pub watchdog: Option<Duration>,
    /// The words before the program, when another one starts it.
    pub under: Vec<String>,
}

impl Default for Setting {
    fn default() -> Self {
        Self {
            pair: Pair::ecdsa(),
            limits: String::new(),
            listener: String::new(),
            host: None,
            way: None,
            upstream: "tls = \"none\"".into(),
            more: String::new(),
            sink: Options::default,
            watchdog: None,
            under: Vec::new(),
        }
    }
}

impl Service {
    pub fn start() -> Self {
        Self::start_with(&Setting::default())
    }

    pub fn start_with(setting: &Setting) -> Self {
        Self::start_in(tempfile::Builder::new().prefix("gatepost-test-").tempdir().unwrap(), setting)
    }

    /// In a folder that may have a state already.
    pub fn start_in(folder: TempDir, setting: &Setting) -> Self {
        let upstream = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let sink_port = upstream.local_addr().unwrap().port();
        let sink = Sink::start(upstream, (setting.sink)());
        let (smtp, http) = (free_port(), free_port());
        setting.pair.write(folder.path());
        let text = configuration(folder.path(), smtp, http, sink_port, setting);
        fs::write(folder.path().join("gatepost.toml"), text).unwrap();
        let notify = UnixDatagram::bind(folder.path().join("notify")).unwrap();
        notify.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        let process = spawn(folder.path(), setting.watchdog, &setting.under);
        let mut service = Self { folder, smtp, http, pair: setting.pair.clone(), sink, notify, process };
        service.await_ready();
        service
    }

    fn await_ready(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        let mut word = [0; 256];
        while Instant::now() < deadline {
            if self.notify.recv(&mut word).is_ok_and(|n| word[..n].starts_with(b"READY=1")) {
                return;
            }
            if let Some(status) = self.process.try_wait().unwrap() {
                panic!("the service did not start ({status}):\n{}", self.log());
            }
        }
        panic!("the service was not ready in time:\n{}", self.log());
    }

    pub fn config(&self) -> PathBuf {
        self.folder.path().join("gatepost.toml")
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    /// Waits until the log has this text after `from` octets, and tells where the log ends then.
    pub fn await_log(&self, from: usize, text: &str) -> usize {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            let log = self.log();
            if log.get(from..).is_some_and(|new| new.contains(text)) {
                return log.len();
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("the log never said {text:?}:\n{}", self.log());
    }

    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.pid()).unwrap()), signal).unwrap();
    }

    pub fn is_running(&mut self) -> bool {
        self.process.try_wait().unwrap().is_none()
    }

    /// Runs a command of ours against this service.
    pub fn command(&self, words: &[&str]) -> Output {
        gatepost().args(words).arg("--config").arg(self.config()).output().unwrap()
    }

    /// Adds a credential that may send as anybody at example.net; gives its secret.
    pub fn add_credential(&self) -> String {
        let output = self.command(&["credential", "add", CREDENTIAL, "--sender", "@example.net"]);
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
        text.lines().last().unwrap().to_owned()
    }

    pub fn connect(&self) -> Smtp<TcpStream> {
        Smtp::connect(self.smtp)
    }

    /// A session with TLS, logged in.
    pub fn log_in(&self, secret: &str) -> Smtp<smtp::Tls> {
        let mut session = self.connect().secure(&smtp::trusting(&self.pair));
        assert_eq!(session.log_in(secret), 235);
        session
    }

    /// Waits until the sink has got messages with all of these subjects; more than once is allowed after a kill, never is not.
    pub fn await_arrival(&self, mut subjects: Vec<String>) {
        let deadline = Instant::now() + PATIENCE + PATIENCE;
        while !subjects.is_empty() {
            assert!(Instant::now() < deadline, "never arrived: {subjects:?}\n{}", self.log());
            if let Some(received) = self.sink.next(Duration::from_millis(200)) {
                let text = String::from_utf8_lossy(&received.content).into_owned();
                let subject = text.lines().find_map(|line| line.strip_prefix("Subject: ")).unwrap_or_default();
                subjects.retain(|expected| expected != subject);
            }
        }
    }

    /// One HTTP request on a connection of its own; the whole response as text.
    pub fn http(&self, request: &str) -> String {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.http)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut response = String::new();
        stream.read_to_string(&mut response).unwrap();
        response
    }

    /// Stops it in order and insists that it goes.
    pub fn stop(mut self) -> String {
        self.end()
    }

    /// As `stop`, and leaves what it kept.
    pub fn end(&mut self) -> String {
        self.signal(Signal::SIGTERM);
        self.await_end()
    }

    /// Waits until it has gone, of which it was told. Gives its log.
    pub fn await_end(&mut self) -> String {
        let deadline = Instant::now() + PATIENCE + PATIENCE;
        while Instant::now() < deadline {
            if let Some(status) = self.process.try_wait().unwrap() {
                assert!(status.success(), "{status}:\n{}", self.log());
                return self.log();
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("the service did not stop:\n{}", self.log());
    }
}

impl Service {
    /// Starts it again, over what it kept.
    pub fn restart(&mut self) {
        self.process = spawn(self.folder.path(), None, &[]);
        self.await_ready();
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Starts the program; its log goes behind what an earlier run of it wrote.
fn spawn(folder: &Path, watchdog: Option<Duration>, under: &[String]) -> Child {
    let log = fs::OpenOptions::new().append(true).create(true).open(folder.join("log")).unwrap();
    let mut command = gatepost();
    if let Some((first, rest)) = under.split_first() {
        let program = command.get_program().to_owned();
        command = Command::new(first);
        command.args(rest).arg(program);
    }
    command.args(["serve", "--fallback-ids", "--config"]).arg(folder.join("gatepost.toml"));
    if let Some(every) = watchdog {
        command.env("WATCHDOG_USEC", every.as_micros().to_string());
    }
    command.env("NOTIFY_SOCKET", folder.join("notify")).stdin(Stdio::null()).stderr(log).spawn().unwrap()
}

pub fn configuration(folder: &Path, smtp: u16, http: u16, sink: u16, setting: &Setting) -> String {
    let folder = folder.display();
    let Setting { limits, listener, upstream, more, .. } = setting;
    let host = setting.host.clone().unwrap_or_else(|| format!("127.0.0.1:{sink}"));
    let way = setting.way.clone().unwrap_or_else(|| format!("kind = \"smtp\"\nhosts = [\"{host}\"]"));
    format!(
        r#"version = 1
state_directory = "{folder}/state"
runtime_directory = "{folder}/run"
hostname = "gate.test.example"

[[listener]]
name = "submission"
address = ["127.0.0.1:{smtp}"]
protocol = "smtp"
tls = "starttls"
per_address = 8192
per_prefix = 8192
{listener}

[[listener]]
name = "api"
address = ["127.0.0.1:{http}"]
protocol = "http"
serve = ["v1", "ops"]

[tls]
certificate = "{folder}/certificate.pem"
key = "{folder}/key.pem"

[limits]
{limits}

[[upstream]]
name = "sink"
{way}
{upstream}

[[route]]
to = "*"
via = ["sink"]
{more}
"#
    )
}

/// Lets the test's own user id, and the service's made-up ones, pass through a folder.
pub fn open_folder(path: &Path) {
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// Waits until something holds.
pub fn await_that(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "never came true: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
