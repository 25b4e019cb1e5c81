//! The whole process but for its sandbox: real sockets, real channels, neighbours that stand in.

mod daily;
mod handshakes;
mod intake;
mod proxied;
mod strangers;

use std::collections::HashMap;
use std::net::TcpListener as StdListener;
use std::os::fd::{AsFd, OwnedFd};

use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, SignatureScheme};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use super::*;
use crate::config::slice::Desk;
use crate::ipc::bytes::Octets;
use crate::ipc::control::ParentEnd;
use crate::ipc::handover::{Handover, NO_ROOM, Return};
use crate::ipc::packet::Packet;
use crate::ipc::signing::{Sign, Signature};
use crate::policy::mechanism::Mechanism;
use crate::role::link::End;
use crate::role::{Generation, Instance};
use stand_in::{StandIn, Ways, capsule};

pub const SIGNING: Duration = Duration::from_millis(300);
pub const HANDSHAKE: Duration = Duration::from_millis(1500);

fn pair(kind: SockType) -> (OwnedFd, OwnedFd) {
    socketpair(AddressFamily::Unix, kind, None, SockFlag::SOCK_CLOEXEC).unwrap()
}

/// An edge with its parent, listener and vault.
pub struct Gate {
    pub parent: ParentEnd,
    pub listener: Packets<Handover, Return>,
    pub house: StandIn,
    pub edge: JoinHandle<()>,
    pub certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
    port: StdListener,
}

impl Gate {
    pub fn open(tls: TlsMode, sessions: u32) -> Self {
        Self::with(tls, sessions, false, Ways::default())
    }

    fn with(tls: TlsMode, sessions: u32, proxied: bool, ways: Ways) -> Self {
        Self::made(tls, sessions, proxied, ways, Renewals::default())
    }

    /// With these certificates in use.
    fn showing(renewals: Renewals) -> Self {
        Self::made(TlsMode::None, 1, false, Ways::default(), renewals)
    }

    fn made(tls: TlsMode, sessions: u32, proxied: bool, ways: Ways, renewals: Renewals) -> Self {
        let key = KeyPair::generate().unwrap();
        let certificate =
            CertificateParams::new(vec!["gate.example.net".to_owned()]).unwrap().self_signed(&key).unwrap();
        let desk = Desk {
            number: 1,
            name: "submission".into(),
            tls,
            certificates: if tls == TlsMode::None { vec![] } else { vec![3] },
            client_certificates: None,
            plain_login: tls == TlsMode::None,
            identify_by_network: false,
            proxied,
            serve: vec![],
            mechanisms: vec![Mechanism::Plain, Mechanism::Login],
            extensions_off: vec![],
            future_release: None,
            dialect: Default::default(),
            reach: Default::default(),
        };
        let slice = EdgeSlice {
            hostname: "gate.example.net".into(),
            listeners: vec![desk],
            sessions,
            strangers: sessions,
            max_size: 1_000_000,
            requiretls: false,
            signing: SIGNING,
            handshake: HANDSHAKE,
            idle_strange: Duration::from_secs(30),
            idle: Duration::from_secs(30),
        };
        let keyholder = Keyholder::absent(slice.signing);
        let chain = vec![certificate.der().clone()];
        let offers = match tls {
            TlsMode::None => HashMap::new(),
            _ => {
                let mut shelf = Shelf::default();
                shelf.add(&certificates::certified(chain, 3, keyholder.clone()).unwrap()).unwrap();
                [(1, Arc::new(tls::offer(shelf, b"smtp", None).unwrap()))].into()
            }
        };
        let (season, phase) = watch::channel(Phase::Serving);
        let handshaker = Handshaker::start(sessions.max(10) as usize, slice.handshake).unwrap();
        let house = StandIn::new(ways);
        let vault = house.vault.clone();
        let floor = Floor::new(
            Role::EdgeSmtp,
            sessions as usize,
            Strangers::new(slice.strangers),
            fronts(&slice, &offers, &phase),
            vault.clone(),
            Some(handshaker),
        );
        let (ours, theirs) = pair(SockType::SeqPacket);
        let control = crate::ipc::control::ChildEnd::new(theirs).into_async().unwrap();
        let mut edge = Edge { floor, vault, keyholder, renewals, sealed: Sealed::for_tests(), season };
        let edge = tokio::spawn(async move { edge.serve(&control).await });
        let parent = ParentEnd::new(ours);
        let listener = Packets::new(plug(&parent, Talk::Handover, Role::Listener)).unwrap();
        let certificate = certificate.der().clone();
        let key = PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).unwrap();
        Self { parent, listener, house, edge, certificate, key, port: StdListener::bind("127.0.0.1:0").unwrap() }
    }

    pub fn replace_listener(&mut self) -> Packets<Handover, Return> {
        let next = Packets::new(plug(&self.parent, Talk::Handover, Role::Listener)).unwrap();
        std::mem::replace(&mut self.listener, next)
    }

    /// A connection of a stranger's, handed over.
    pub async fn connect(&self) -> TcpStream {
        self.connect_saying(b"").await
    }

    /// One whose first octets are there when it is handed over.
    async fn connect_saying(&self, octets: &[u8]) -> TcpStream {
        let mut client = std::net::TcpStream::connect(self.port.local_addr().unwrap()).unwrap();
        let (socket, _) = self.port.accept().unwrap();
        std::io::Write::write_all(&mut client, octets).unwrap();
        self.listener.send(&Handover::Session(capsule()), Some(socket.as_fd())).await.unwrap();
        client.set_nonblocking(true).unwrap();
        TcpStream::from_std(client).unwrap()
    }

    pub async fn word(&self) -> Return {
        let word = tokio::time::timeout(Duration::from_secs(5), self.listener.receive()).await.expect("no word");
        match word.unwrap() {
            Arrival::Packet(Packet { message, .. }) => message,
            other => panic!("{other:?}"),
        }
    }

    /// A keyholder that answers after a while.
    pub fn keyholder(&self, delay: Duration) -> JoinHandle<()> {
        let socket = plug(&self.parent, Talk::Signing, Role::Keyholder);
        let (answers, mut asks) = channel::open::<Signature, Sign>(socket, &Sealed::for_tests()).unwrap();
        let key = rustls::crypto::ring::sign::any_supported_type(&self.key).unwrap();
        tokio::spawn(async move {
            while let Ok(Some(Sign { ticket, certificate, scheme, message })) = asks.receive().await {
                assert_eq!(certificate, 3);
                tokio::time::sleep(delay).await;
                let signer = key.choose_scheme(&[SignatureScheme::from(scheme)]).unwrap();
                let signature = Octets(signer.sign(&message.0).unwrap());
                answers.send(Signature::Signed { ticket, signature }).await.unwrap();
            }
        })
    }

    pub fn client(&self, alpn: &[&[u8]]) -> tokio_rustls::TlsConnector {
        let mut config = self.config(rustls::DEFAULT_VERSIONS);
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        tokio_rustls::TlsConnector::from(Arc::new(config))
    }

    /// One that speaks these versions alone.
    pub fn client_of(&self, versions: &[&'static rustls::SupportedProtocolVersion]) -> tokio_rustls::TlsConnector {
        tokio_rustls::TlsConnector::from(Arc::new(self.config(versions)))
    }

    fn config(&self, versions: &[&'static rustls::SupportedProtocolVersion]) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_protocol_versions(versions).unwrap();
        config.with_root_certificates(roots).with_no_client_auth()
    }
}

/// Hands the edge one end of a new channel; gives the other.
fn plug(parent: &ParentEnd, talk: Talk, role: Role) -> OwnedFd {
    let kind = if talk == Talk::Handover { SockType::SeqPacket } else { SockType::Stream };
    let (ours, theirs) = pair(kind);
    let end = if talk == Talk::Handover { End::Answers } else { End::Asks };
    let peer = Peer { talk, end, role, instance: Instance(9), generation: Generation(1), label: String::new() };
    parent.send(&Order::Peer(peer), Some(theirs.as_fd())).unwrap();
    ours
}

/// Sends a line, unless it is empty, and gives the last line of the reply.
pub async fn say<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut BufReader<S>, line: &str) -> String {
    if !line.is_empty() {
        stream.write_all(format!("{line}\r\n").as_bytes()).await.unwrap();
    }
    loop {
        let mut reply = String::new();
        let read = tokio::time::timeout(Duration::from_secs(5), stream.read_line(&mut reply));
        read.await.expect("no reply").unwrap();
        if reply.as_bytes().get(3) != Some(&b'-') {
            return reply;
        }
    }
}
