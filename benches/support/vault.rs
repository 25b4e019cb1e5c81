//! A real vault: its process, sealed as in service, started as the parent does it; the benchmark is parent and edge.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use gatepost::config::Config;
use gatepost::ipc::bytes::Octets;
use gatepost::ipc::capsule::{Capsule, Introduction};
use gatepost::ipc::control::{File as Handed, Order, PART, ParentEnd, Peer, Report};
use gatepost::ipc::frame::{Inbox, Outbox};
use gatepost::ipc::packet::Arrival;
use gatepost::ipc::session::{Answer, Ask};
use gatepost::role::link::{End, Talk};
use gatepost::role::{Generation, Instance, Role};
use gatepost::sandbox::{self, Grounds};
use gatepost::secret::Secret;
use gatepost::sys::clock::running_us;
use gatepost::vault::{master, prepare};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use uuid::Uuid;

const KEY: [u8; 32] = [3; 32];
const EDGE: Instance = Instance(2);
const READ: usize = 256 * 1024;

pub struct Vault {
    process: Child,
    /// Held, because the vault ends with its parent's channel.
    _control: ParentEnd,
    edge: UnixStream,
    inbox: Inbox,
    outbox: Outbox,
    buffer: Vec<u8>,
}

impl Vault {
    /// `more` is what the configuration has beside one SMTP listener on loopback. Where there was a vault it goes on.
    pub fn start(home: &Path, more: &str) -> Self {
        let state = home.join("state");
        let text = format!(
            "version = 1\nstate_directory = \"{0}\"\nruntime_directory = \"{1}/run\"\nhostname = \"gate.example.net\"\n\
             [[listener]]\nname = \"submission\"\naddress = [\"127.0.0.1:2525\"]\nprotocol = \"smtp\"\ntls = \"none\"\n{more}",
            state.display(),
            home.display()
        );
        fs::write(home.join("gatepost.toml"), text).unwrap();
        let plan = Config::load(&home.join("gatepost.toml")).unwrap_or_else(|errors| panic!("{errors}"));
        let is_new = !state.exists();
        let is_root = nix::unistd::geteuid().is_root();
        let identity = is_root.then(|| sandbox::fallback_identity(Role::Vault));
        if is_new {
            fs::create_dir(&state).unwrap();
        }
        if is_root {
            // The vault's user passes through.
            use std::os::unix::fs::PermissionsExt;
            fs::set_permissions(home, fs::Permissions::from_mode(0o755)).unwrap();
        }
        prepare(&state, identity.as_ref(), None).unwrap();
        let keys = home.join("master");
        if is_new {
            fs::create_dir(&keys).unwrap();
            master::create(&keys).unwrap();
        }

        let (ours, theirs) =
            socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC).unwrap();
        let process = Command::new(env!("CARGO_BIN_EXE_gatepost"))
            .arg0("gatepost: vault")
            .args(["role", "vault"])
            .env_clear()
            .stdin(Stdio::from(theirs))
            .stdout(Stdio::null())
            .stderr(File::create(home.join("log")).unwrap())
            .spawn()
            .unwrap();
        let control = ParentEnd::new(ours);
        let tell = |order: Order, descriptor: Option<OwnedFd>| {
            control.send(&order, descriptor.as_ref().map(AsFd::as_fd)).unwrap();
        };
        let grounds = Grounds {
            identity,
            root: is_root.then(|| state.clone()),
            home: Some(state),
            descriptors: 256,
            ..Grounds::default()
        };
        let label = String::new();
        tell(Order::You { role: Role::Vault, instance: Instance(1), generation: Generation(1), label, grounds }, None);
        let slice = postcard::to_stdvec(&plan.vault_slice(&Secret::new(KEY))).unwrap();
        for part in slice.chunks(PART) {
            tell(Order::Slice { part: Octets(part.to_vec()), last: false }, None);
        }
        let key = File::open(keys.join(master::CURRENT)).unwrap();
        tell(Order::File(Handed::MasterKey { next: false }), Some(key.into()));
        let (edge, theirs) = UnixStream::pair().unwrap();
        let peer = Peer {
            talk: Talk::Session,
            end: End::Answers,
            role: Role::EdgeSmtp,
            instance: EDGE,
            generation: Generation(1),
            label: String::new(),
        };
        tell(Order::Peer(peer), Some(theirs.into()));
        tell(Order::Enter, None);
        loop {
            match control.receive().unwrap() {
                Arrival::Packet(packet) => match packet.message {
                    Report::Ready { .. } => break,
                    Report::Failed { reason } => panic!("the vault: {reason}"),
                    _ => {}
                },
                _ => panic!("the vault ended: {}", fs::read_to_string(home.join("log")).unwrap_or_default()),
            }
        }
        let buffer = vec![0; READ];
        Self { process, _control: control, edge, inbox: Inbox::default(), outbox: Outbox::default(), buffer }
    }

    pub fn pid(&self) -> String {
        self.process.id().to_string()
    }

    /// Puts a question to those that `answers` sends in one write.
    pub fn ask(&mut self, ask: &Ask) {
        self.outbox.push(ask).unwrap();
    }

    /// Sends what was asked, and gives all answers that have come by then, at least one.
    pub fn answers(&mut self) -> Vec<Answer> {
        self.edge.write_all(&self.outbox.bytes).unwrap();
        self.outbox.bytes.clear();
        let mut answers = Vec::new();
        while answers.is_empty() {
            let read = self.edge.read(&mut self.buffer).unwrap();
            assert!(read > 0, "the vault is gone");
            self.inbox.feed(self.buffer.get(..read).unwrap_or_default());
            while let Some(answer) = self.inbox.take().unwrap() {
                answers.push(answer);
            }
        }
        answers
    }
}

impl Drop for Vault {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The listener's introduction of a client.
pub fn capsule(address: std::net::Ipv4Addr) -> Capsule {
    let peer = SocketAddr::new(address.into(), 40_000);
    let introduction =
        Introduction { session: Uuid::now_v7(), peer, listener: 0, edge: EDGE, accepted_us: running_us() };
    Capsule::seal(introduction, &Secret::new(KEY))
}
