//! What a role does all day, in its real sandbox: two event loops on two threads, workers, handed-over sockets, memory in all
//! sizes, a panic. If a library needs a call that the role's filter doesn't know, it dies here and not at night.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream, ToSocketAddrs};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::{Builder, Runtime};

use super::super::Confined;
use super::super::policy::{self, Calls};
use super::targets::Targets;
use crate::role::Role;
use crate::sys::descriptor;

/// Memory that each worker takes and gives back, in pieces: enough for its arena to grow and shrink.
const WORKER_MEMORY: usize = 32 * 1024 * 1024;
const WORKERS: usize = 2;
/// What argon2 takes for one password.
const HASH_MEMORY: usize = 19 * 1024 * 1024;
const ROUNDS: usize = 3;
/// One message of the echo: more than one read takes.
const MESSAGE: usize = 100 * 1024;

type Job = Box<dyn FnOnce() -> io::Result<()> + Send>;

/// A thread that was made before the seal and takes jobs after it.
struct Worker {
    jobs: mpsc::Sender<Job>,
    thread: JoinHandle<io::Result<()>>,
}

impl Worker {
    fn start(name: &str) -> io::Result<Self> {
        let (jobs, queue) = mpsc::channel::<Job>();
        let work = move || queue.into_iter().try_for_each(|job| job());
        Ok(Self { jobs, thread: thread::Builder::new().name(name.to_owned()).spawn(work)? })
    }

    fn give(&self, job: impl FnOnce() -> io::Result<()> + Send + 'static) -> io::Result<()> {
        self.jobs.send(Box::new(job)).map_err(|_| io::Error::other("a worker is gone"))
    }

    /// The thread's end under the filter is part of what is tried.
    fn end(self) -> io::Result<()> {
        drop(self.jobs);
        self.thread.join().map_err(|_| io::Error::other("a worker panicked"))?
    }
}

/// What exists before the seal.
struct Made {
    here: Runtime,
    /// The second event loop, as an edge has one for handshakes.
    there: Worker,
    there_loop: Runtime,
    workers: Vec<Worker>,
    resolver: Worker,
    /// Packets: descriptors travel from one end to the other.
    control: (OwnedFd, OwnedFd),
    /// Connected sockets as they will be handed over.
    stream: (UnixStream, UnixStream),
    blocking: (UnixStream, UnixStream),
    tcp: (TcpStream, TcpStream),
    slot: Option<std::fs::File>,
}

pub fn run(
    role: Role,
    targets: Targets,
    confine: impl FnOnce() -> Result<Confined, String>,
) -> Result<io::Result<()>, String> {
    let tcp = tcp_pair().map_err(|error| format!("can't make a connection: {error}"))?;
    let slot =
        if role == Role::Sealer { Some(slot().map_err(|error| format!("can't make a slot: {error}"))?) } else { None };
    let confined = confine()?;
    let made = make(tcp, slot).map_err(|error| format!("can't make threads and sockets: {error}"))?;
    if role == Role::Dialer {
        // Warms up: the modules of nsswitch.conf are loaded by a name that none of them knows.
        let _ = ("gatepost-probe.invalid", 0).to_socket_addrs();
    }
    let sealed = confined.seal()?;
    sealed.missing().iter().for_each(|missing| eprintln!("missing: {missing}"));
    Ok(live(role, targets, made))
}

fn make(tcp: (TcpStream, TcpStream), slot: Option<std::fs::File>) -> io::Result<Made> {
    let runtime = || Builder::new_current_thread().enable_all().build();
    let flags = SockFlag::SOCK_CLOEXEC;
    Ok(Made {
        here: runtime()?,
        there: Worker::start("handshakes")?,
        there_loop: runtime()?,
        workers: (0..WORKERS).map(|_| Worker::start("worker")).collect::<io::Result<_>>()?,
        resolver: Worker::start("resolver")?,
        control: socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags)?,
        stream: UnixStream::pair()?,
        blocking: UnixStream::pair()?,
        tcp,
        slot,
    })
}

fn tcp_pair() -> io::Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let out = TcpStream::connect(listener.local_addr()?)?;
    Ok((out, listener.accept()?.0))
}

fn slot() -> io::Result<std::fs::File> {
    let path = std::env::temp_dir().join(format!("gatepost-probe-slot-{}", std::process::id()));
    std::fs::File::options().read(true).write(true).create_new(true).open(path)
}

fn live(role: Role, targets: Targets, made: Made) -> io::Result<()> {
    let Made { here, there, there_loop, workers, resolver, control, stream, blocking, tcp, slot } = made;
    let begun = Instant::now();
    let may = |calls| policy::of(role).is_some_and(|row| row.calls.contains(&calls));
    let (options, shuts_down) = (may(Calls::Options), may(Calls::Shutdown));
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_err(io::Error::other)?;
    for worker in &workers {
        worker.give(take_and_give_memory)?;
    }
    blocking_call(blocking, options)?;
    there.give(move || there_loop.block_on(answer(stream.1, tcp.1)))?;
    here.block_on(async {
        tokio::time::sleep(Duration::from_millis(20)).await;
        let stream = travel(&control, stream.0.into())?;
        if options {
            tcp.0.set_nodelay(true)?;
        }
        ask(stream, tcp.0, shuts_down).await?;
        let fallen = tokio::spawn(async { panic!("a task falls, as one session may") }).await;
        if !fallen.is_err_and(|error| error.is_panic()) {
            return Err(io::Error::other("a panic went unnoticed"));
        }
        of_the_role(role, &targets, &resolver, &control, slot).await
    })?;
    take_and_give_memory()?;
    for worker in workers.into_iter().chain([there, resolver]) {
        worker.end()?;
    }
    eprintln!("lived {:?} on {}", begun.elapsed(), thread::current().name().unwrap_or("a thread"));
    Ok(())
}

/// What one role does and others may not.
async fn of_the_role(
    role: Role,
    targets: &Targets,
    resolver: &Worker,
    control: &(OwnedFd, OwnedFd),
    slot: Option<std::fs::File>,
) -> io::Result<()> {
    match role {
        Role::Listener => {
            targets.listener.set_nonblocking(true)?;
            let listener = tokio::net::TcpListener::from_std(targets.listener.try_clone()?)?;
            let (connection, peer) = listener.accept().await?;
            eprintln!("accepted {peer}");
            connection.try_write(b"421 busy\r\n")?;
            travel(control, connection.into_std()?.into()).map(drop)
        }
        Role::Dialer => {
            let (found, addresses) = tokio::sync::oneshot::channel();
            resolver.give(move || {
                let _ = ("gatepost-probe.invalid", 0).to_socket_addrs();
                found.send(("localhost", 0).to_socket_addrs()?.count()).map_err(|_| io::Error::other("nobody waits"))
            })?;
            eprintln!("localhost has {} addresses", addresses.await.map_err(io::Error::other)?);
            let socket = tokio::net::TcpStream::connect((Ipv4Addr::LOCALHOST, targets.allowed)).await?;
            socket.set_nodelay(true)?;
            travel(control, socket.into_std()?.into()).map(drop)
        }
        Role::Sealer => {
            use std::os::unix::fs::FileExt;
            let slot = slot.ok_or(io::ErrorKind::NotFound)?;
            slot.write_all_at(b"a head", 0)?;
            slot.set_len(6)?;
            slot.sync_all()?;
            slot.sync_data()?;
            slot.read_exact_at(&mut [0; 6], 0)?;
            if slot.metadata()?.len() == 6 { Ok(()) } else { Err(io::Error::other("a slot of another size")) }
        }
        Role::Vault => keep_files().map_err(|error| io::Error::other(format!("files: {error}"))),
        _ => Ok(()),
    }
}

/// Sends a descriptor through a packet channel and takes it out at the other end.
fn travel(control: &(OwnedFd, OwnedFd), descriptor: OwnedFd) -> io::Result<OwnedFd> {
    descriptor::send(control.0.as_fd(), b"take this", Some(descriptor.as_fd()))?;
    let mut received = descriptor::receive(control.1.as_fd(), &mut [0; 64])?;
    received.descriptors.pop().ok_or_else(|| io::ErrorKind::NotFound.into())
}

/// Says something over both sockets and hears it back. Only a role that may shut a socket down has stream channels, whose
/// write half does that at its end.
async fn ask(stream: OwnedFd, tcp: TcpStream, shuts_down: bool) -> io::Result<()> {
    let (mut stream, mut tcp) = listened(stream.into(), tcp)?;
    eprintln!("from {} to {}", tcp.local_addr()?, tcp.peer_addr()?);
    let message = vec![7; MESSAGE];
    let mut answer = vec![0; MESSAGE];
    let (mut read, mut write) = stream.split();
    let (sent, got) = tokio::join!(write.write_all(&message), read.read_exact(&mut answer));
    sent.and(got.map(drop))?;
    let (mut from, mut to) = tcp.split();
    let (sent, got) = tokio::join!(to.write_all(&message), from.read_exact(&mut answer));
    sent.and(got.map(drop))?;
    if shuts_down {
        drop(stream.into_split());
    }
    if answer == message { Ok(()) } else { Err(io::Error::other("the echo differs")) }
}

async fn answer(stream: UnixStream, tcp: TcpStream) -> io::Result<()> {
    let (mut stream, mut tcp) = listened(stream, tcp)?;
    let mut message = vec![0; MESSAGE];
    stream.read_exact(&mut message).await?;
    stream.write_all(&message).await?;
    tcp.read_exact(&mut message).await?;
    tcp.write_all(&message).await
}

/// Both in the current event loop.
fn listened(stream: UnixStream, tcp: TcpStream) -> io::Result<(tokio::net::UnixStream, tokio::net::TcpStream)> {
    stream.set_nonblocking(true)?;
    tcp.set_nonblocking(true)?;
    Ok((tokio::net::UnixStream::from_std(stream)?, tokio::net::TcpStream::from_std(tcp)?))
}

/// A question over a blocking socket, with a time limit where the role may set one.
fn blocking_call((mut ours, mut theirs): (UnixStream, UnixStream), options: bool) -> io::Result<()> {
    if options {
        ours.set_read_timeout(Some(Duration::from_secs(1)))?;
    }
    theirs.write_all(b"signed")?;
    let mut waiting = [nix::poll::PollFd::new(ours.as_fd(), nix::poll::PollFlags::POLLIN)];
    nix::poll::poll(&mut waiting, 1000u16)?;
    ours.read_exact(&mut [0; 6])
}

fn take_and_give_memory() -> io::Result<()> {
    for _ in 0..ROUNDS {
        let mut pieces = Vec::new();
        let (mut taken, mut size) = (0, 64);
        while taken < WORKER_MEMORY {
            pieces.push(vec![1u8; size]);
            taken += size;
            size = if size > 512 * 1024 { 64 } else { size * 2 };
        }
        // Every other one first, so that the heap has holes when the rest goes.
        for piece in pieces.iter_mut().step_by(2) {
            *piece = Vec::new();
        }
        drop(pieces);
        drop(vec![1u8; HASH_MEMORY]);
    }
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(io::Error::other)
}

/// A database with a write-ahead log, one with a journal, a month that is closed and one that is dropped, a segment.
fn keep_files() -> Result<(), Box<dyn std::error::Error>> {
    use std::fs::{self, File};
    use std::os::unix::fs::FileExt;
    let store = rusqlite::Connection::open("db/vault.db")?;
    store.execute_batch(
        "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
         CREATE TABLE message (id INTEGER PRIMARY KEY, body BLOB);",
    )?;
    for _ in 0..100 {
        store.execute("INSERT INTO message (body) VALUES (zeroblob(70000))", [])?;
    }
    store.execute_batch("PRAGMA wal_checkpoint(TRUNCATE); DELETE FROM message;")?;
    let month = rusqlite::Connection::open("audit/audit.db")?;
    month.execute_batch(
        "PRAGMA journal_mode = DELETE; PRAGMA synchronous = FULL; CREATE TABLE event (seq INTEGER PRIMARY KEY);
         INSERT INTO event VALUES (1), (2); CREATE INDEX by_seq ON event (seq); DELETE FROM event WHERE seq = 1;",
    )?;
    drop(month);
    fs::rename("audit/audit.db", "audit/audit-2026-01.db")?;
    fs::remove_file("audit/audit-2026-01.db")?;
    let segment = File::options().read(true).write(true).create(true).truncate(true).open("db/segment-1")?;
    nix::fcntl::posix_fallocate(&segment, 0, 1024 * 1024)?;
    segment.write_all_at(b"a body", 4096)?;
    segment.sync_data()?;
    if fs::read_dir("db")?.count() < 2 || segment.metadata()?.len() != 1024 * 1024 {
        return Err("the files are not as they were written".into());
    }
    Ok(store.close().map_err(|(_, error)| error)?)
}
