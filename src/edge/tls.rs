//! TLS of strangers: what is offered, and the thread on which hands are shaken.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoClientAuth, NoServerSessionStorage};
use rustls::{ProtocolVersion, ServerConfig};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use uuid::Uuid;

use super::certificates::Shelf;
use super::clients;
use super::front::Front;
use super::socket::Socket;
use crate::ipc::counted::{Count, Met};
use crate::ipc::session::{Exported, Tls};
use crate::policy::presence::neighbourhood;
use crate::role::beginning::Beginning;

/// The longest certificate chain file: some fifty certificates.
const MAX_CHAIN: u64 = 256 * 1024;

/// Reads a PEM chain from its descriptor.
pub fn read_chain(file: OwnedFd) -> Result<Vec<CertificateDer<'static>>, String> {
    let mut pem = Vec::new();
    io::Read::read_to_end(&mut io::Read::take(Beginning::of(file), MAX_CHAIN), &mut pem)
        .map_err(|error| format!("it can't be read: {error}"))?;
    let chain = CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>();
    match chain.map_err(|error| format!("it is not PEM: {error}"))? {
        chain if chain.is_empty() => Err("there is no certificate in it".to_owned()),
        chain => Ok(chain),
    }
}

/// What a listener offers: TLS 1.2 and 1.3, no tickets. A client that names protocols by ALPN
/// must name ours, so that one service's session can't be turned into another's (ALPACA).
/// Who is asked for a certificate is asked by `clients`.
pub fn offer(shelf: Shelf, alpn: &[u8], clients: Option<Arc<dyn ClientCertVerifier>>) -> Result<ServerConfig, String> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(|error| format!("no TLS can be offered: {error}"))?
        .with_client_cert_verifier(clients.unwrap_or_else(|| Arc::new(NoClientAuth)))
        .with_cert_resolver(Arc::new(shelf));
    config.alpn_protocols = vec![alpn.to_vec()];
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(config)
}

/// Makes one key exchange, so that whatever the cryptography needs of the system once, it has before the sandbox closes.
pub fn warm_up() -> Result<(), String> {
    for group in rustls::crypto::ring::default_provider().kx_groups {
        group.start().map_err(|error| format!("the cryptography does not work here: {error}"))?;
    }
    Ok(())
}

/// The way to the handshake thread. Clones share it.
#[derive(Clone, Debug)]
pub struct Handshaker {
    jobs: mpsc::Sender<Job>,
    patience: Duration,
}

#[derive(Debug)]
struct Job {
    socket: Socket,
    config: Arc<ServerConfig>,
    deadline: Instant,
    done: oneshot::Sender<io::Result<TlsStream<Socket>>>,
}

impl Handshaker {
    /// Makes the thread and waits until its runtime stands: before the sandbox closes. `sessions` may wait for it at
    /// once; `patience` is the deadline of a handshake, the wait for the thread included.
    pub fn start(sessions: usize, patience: Duration) -> Result<Self, String> {
        let (jobs, queue) = mpsc::channel(sessions.max(1));
        let (standing, stands) = std::sync::mpsc::sync_channel(1);
        let failed = |why: &dyn std::fmt::Display| format!("the handshake thread can't be made: {why}");
        std::thread::Builder::new()
            .name("handshakes".to_owned())
            .spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build();
                match runtime {
                    Ok(runtime) => {
                        let _ = standing.send(Ok(()));
                        runtime.block_on(shake_all(queue));
                    }
                    Err(error) => {
                        let _ = standing.send(Err(error));
                    }
                }
            })
            .map_err(|error| failed(&error))?;
        match stands.recv() {
            Ok(Ok(())) => Ok(Self { jobs, patience }),
            Ok(Err(error)) => Err(failed(&error)),
            Err(error) => Err(failed(&error)),
        }
    }

    /// Shakes hands on a socket from which no octet of TLS was read yet, and gives back the established stream with what
    /// is known of it. When it fails the connection is closed: nothing more is said on it in the clear.
    pub async fn shake(&self, mut socket: Socket, config: Arc<ServerConfig>) -> io::Result<(TlsStream<Socket>, Tls)> {
        socket.detach()?;
        let (done, outcome) = oneshot::channel();
        let job = Job { socket, config, deadline: Instant::now() + self.patience, done };
        self.jobs.try_send(job).map_err(|_| io::Error::other("too many handshakes wait"))?;
        let mut stream = outcome.await.map_err(|_| io::Error::other("the handshake broke off"))??;
        stream.get_mut().0.attach()?;
        let tls = describe(&stream);
        Ok((stream, tls))
    }
}

/// Tells the service's log of a client with which there is no TLS: nobody else knows why it sends nothing. One that went away
/// without a word is no news; that is what checks of a service do.
pub fn tell(front: &Front, session: Uuid, peer: SocketAddr, error: &io::Error) {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected, UnexpectedEof};
    let listener = front.desk.name.clone();
    if matches!(error.kind(), UnexpectedEof | ConnectionReset | ConnectionAborted | BrokenPipe | NotConnected) {
        return tracing::debug!(%session, listener, %peer, %error, "a client left its TLS handshake");
    }
    front.meter.count(Count::Connection(Met::Tls));
    let further = move |handshakes| {
        tracing::info!(listener, handshakes, "further TLS handshakes failed, not told one by one");
    };
    if front.handshakes.has_line_for(neighbourhood(peer.ip()), further) {
        tracing::info!(%session, listener = front.desk.name, %peer, reason = %error, "a TLS handshake failed");
    }
}

/// The thread's work: each handshake is a task with a deadline. A signature stops them all while it is made; live
/// sessions are elsewhere.
async fn shake_all(mut queue: mpsc::Receiver<Job>) {
    while let Some(job) = queue.recv().await {
        tokio::spawn(async move {
            let Job { socket, config, deadline, mut done } = job;
            let shaken = tokio::select! {
                biased;
                // The session made room for others, and so does its handshake.
                () = done.closed() => return,
                shaken = tokio::time::timeout_at(deadline, shake_one(socket, config)) => shaken,
            };
            // A session that gave up meanwhile has dropped its end.
            let _ = done.send(shaken.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())));
        });
    }
}

async fn shake_one(mut socket: Socket, config: Arc<ServerConfig>) -> io::Result<TlsStream<Socket>> {
    socket.attach()?;
    let mut stream = TlsAcceptor::from(config).accept(socket).await?;
    stream.get_mut().0.detach()?;
    Ok(stream)
}

/// What this session alone can export (RFC 9266). None for TLS 1.2, where that is the client's session alone only with an extension
/// that can't be seen here.
pub fn exported(stream: &TlsStream<Socket>) -> Option<Exported> {
    let session = stream.get_ref().1;
    let is_new = session.protocol_version() == Some(ProtocolVersion::TLSv1_3);
    let exported = is_new.then(|| session.export_keying_material([0; 32], b"EXPORTER-Channel-Binding", Some(b"")))?;
    exported.ok()
}

/// Version and cipher in the words of RFC 8446 and the IANA registry.
fn describe(stream: &TlsStream<Socket>) -> Tls {
    let session = stream.get_ref().1;
    let version = match session.protocol_version() {
        Some(ProtocolVersion::TLSv1_3) => "TLSv1.3",
        Some(ProtocolVersion::TLSv1_2) => "TLSv1.2",
        _ => "unknown",
    };
    let cipher = session.negotiated_cipher_suite().and_then(|suite| suite.suite().as_str()).unwrap_or("unknown");
    let client = session.peer_certificates().and_then(<[_]>::first).and_then(clients::presented);
    Tls { version: version.to_owned(), cipher: cipher.replace("TLS13_", "TLS_"), client: client.map(Box::new) }
}
