//! Copies of the service's listening sockets, for an upgrade: the parent that runs lends them to `gatepost upgrade`, and that to the
//! parent which is started in its place. Whoever connects is given all there are, and says nothing.
//!
//! The two ends may be of different versions: words are added behind those that are there, and none is changed.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, connect, listen, socket};
use nix::sys::stat::{Mode, umask};
use serde::{Deserialize, Serialize};

use super::frame;
use super::packet::{Arrival, Blocking, Packet};
use crate::sys::descriptor;

/// Where the running parent lends its sockets, in the runtime directory. As long as the name of the control socket, or shorter, so that
/// where that one has room both have.
pub const LENDER: &str = "lend.sock";
/// Where the command that upgrades the service does.
pub const UPGRADE: &str = "upgrade.sock";
/// More addresses than anybody listens on; what is beyond them is not taken.
const MOST: usize = 1024;
/// One upgrades at a time, and asks again and again.
const BACKLOG: i32 = 16;
/// How often a connection is tried anew while too many others wait for one.
const AGAIN: Duration = Duration::from_millis(20);

/// How far a service has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stage {
    Starting,
    Serving,
    Stopping,
}

/// Who lends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lender {
    pub version: String,
    pub pid: u32,
    /// When it began, in microseconds: the number of a process comes again.
    pub since: u64,
    pub stage: Stage,
}

impl Lender {
    /// The same process, however far it has come.
    pub fn is(&self, other: &Self) -> bool {
        (self.pid, self.since) == (other.pid, other.since)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Word {
    /// The first.
    From(Lender),
    /// A listening socket comes with it.
    Socket,
    /// These were all.
    End,
}

/// Listens there for who borrows: only our own user, and root, can connect.
pub fn open(path: &Path) -> io::Result<UnixListener> {
    let address = UnixAddr::new(path)?;
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let listening = socket(AddressFamily::Unix, SockType::SeqPacket, flags, None)?;
    let before = umask(Mode::from_bits_truncate(0o177));
    let bound = bind(listening.as_raw_fd(), &address);
    umask(before);
    bound?;
    listen(&listening, Backlog::new(BACKLOG)?)?;
    Ok(listening.into())
}

/// Lends these to whoever has connected, and waits no longer than that for room.
pub fn lend<'a>(
    borrower: BorrowedFd<'_>,
    lender: Lender,
    sockets: impl Iterator<Item = BorrowedFd<'a>>,
    patience: Duration,
) -> io::Result<()> {
    let until = Instant::now() + patience;
    let say = |word: &Word, socket| loop {
        match descriptor::send(borrower, &frame::encode(word)?, socket) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => await_it(borrower, PollFlags::POLLOUT, until)?,
            sent => return sent,
        }
    };
    say(&Word::From(lender), None)?;
    sockets.take(MOST).try_for_each(|socket| say(&Word::Socket, Some(socket)))?;
    say(&Word::End, None)
}

/// A connection to somebody who lends.
#[derive(Debug)]
pub struct Borrower {
    channel: Blocking<Word, Word>,
    until: Instant,
}

impl Borrower {
    /// None where nobody lends. All of it takes no longer than that.
    pub fn connect(path: &Path, patience: Duration) -> io::Result<Option<Self>> {
        let until = Instant::now() + patience;
        let address = UnixAddr::new(path)?;
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let socket = socket(AddressFamily::Unix, SockType::SeqPacket, flags, None)?;
        loop {
            match connect(socket.as_raw_fd(), &address) {
                Ok(()) => return Ok(Some(Self { channel: Blocking::new(socket), until })),
                Err(Errno::ENOENT | Errno::ECONNREFUSED) => return Ok(None),
                // Nobody has taken those in yet who came before us.
                Err(Errno::EAGAIN) if Instant::now() < until => std::thread::sleep(AGAIN),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Who lends; to be asked first, and once.
    pub fn lender(&self) -> io::Result<Lender> {
        match self.next()? {
            Packet { message: Word::From(lender), .. } => Ok(lender),
            _ => Err(strange()),
        }
    }

    /// What is lent, behind who does.
    pub fn sockets(&self) -> io::Result<Vec<OwnedFd>> {
        let mut sockets = Vec::new();
        loop {
            match self.next()? {
                Packet { message: Word::End, .. } => return Ok(sockets),
                Packet { message: Word::Socket, descriptor: Some(socket) } if sockets.len() < MOST => {
                    sockets.push(socket);
                }
                _ => return Err(strange()),
            }
        }
    }

    fn next(&self) -> io::Result<Packet<Word>> {
        await_it(self.channel.as_fd(), PollFlags::POLLIN, self.until)?;
        match self.channel.receive()? {
            Arrival::Packet(packet) => Ok(packet),
            Arrival::Dropped => Err(strange()),
            Arrival::Closed => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

impl AsFd for Borrower {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.channel.as_fd()
    }
}

fn strange() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "what was said there is no word of a lender: is it another version?")
}

/// Errors: `TimedOut` when it isn't so by then.
fn await_it(socket: BorrowedFd<'_>, what: PollFlags, until: Instant) -> io::Result<()> {
    loop {
        let left = until.saturating_duration_since(Instant::now());
        match poll(&mut [PollFd::new(socket, what)], PollTimeout::try_from(left).unwrap_or(PollTimeout::ZERO)) {
            Ok(0) if left.is_zero() => return Err(io::ErrorKind::TimedOut.into()),
            Ok(0) | Err(Errno::EINTR) => {}
            Ok(_) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::os::unix::fs::PermissionsExt;
    use std::thread;

    use super::*;
    use crate::sys::descriptor::listens_at;

    const PATIENCE: Duration = Duration::from_secs(10);

    fn lender() -> Lender {
        Lender { version: "1.2.3".to_owned(), pid: 7, since: 9, stage: Stage::Serving }
    }

    fn accept(door: &UnixListener) -> OwnedFd {
        await_it(door.as_fd(), PollFlags::POLLIN, Instant::now() + PATIENCE).unwrap();
        let (connection, _) = door.accept().unwrap();
        connection.set_nonblocking(true).unwrap();
        connection.into()
    }

    #[test]
    fn all_that_is_lent_arrives_however_much_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(LENDER);
        assert!(Borrower::connect(&path, PATIENCE).unwrap().is_none(), "nobody lends");
        let door = open(&path).unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        // More than a socket holds unread.
        for count in [0, 1, 700] {
            let listening = TcpListener::bind("127.0.0.1:0").unwrap();
            let at = listening.local_addr().unwrap();
            let borrower = Borrower::connect(&path, PATIENCE).unwrap().unwrap();
            thread::scope(|scope| {
                let lent = scope.spawn(|| {
                    let connection = accept(&door);
                    lend(connection.as_fd(), lender(), (0..count).map(|_| listening.as_fd()), PATIENCE)
                });
                assert_eq!(borrower.lender().unwrap(), lender());
                let sockets = borrower.sockets().unwrap();
                assert!(sockets.iter().all(|socket| listens_at(socket) == Some(at)));
                assert_eq!(sockets.len(), count);
                lent.join().unwrap().unwrap();
            });
        }
        drop(door);
        assert!(Borrower::connect(&path, PATIENCE).unwrap().is_none(), "nobody lends any more");
    }

    #[test]
    fn neither_end_waits_without_end_for_the_other() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(LENDER);
        let door = open(&path).unwrap();
        let short = Duration::from_millis(50);
        let borrower = Borrower::connect(&path, short).unwrap().unwrap();
        assert_eq!(borrower.lender().unwrap_err().kind(), io::ErrorKind::TimedOut, "it says nothing");
        let connection = accept(&door);
        let listening = TcpListener::bind("127.0.0.1:0").unwrap();
        let many = (0..MOST).map(|_| listening.as_fd());
        let error = lend(connection.as_fd(), lender(), many, short).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut, "it takes nothing");
    }

    #[test]
    fn what_is_no_word_of_a_lender_is_an_error_and_brings_no_socket() {
        let folder = tempfile::tempdir().unwrap();
        let door = open(&folder.path().join(LENDER)).unwrap();
        let word = |word: &Word| frame::encode(word).unwrap();
        let first = word(&Word::From(lender()));
        let heard = |said: &[&Vec<u8>]| {
            let borrower = Borrower::connect(&folder.path().join(LENDER), PATIENCE).unwrap().unwrap();
            let connection = accept(&door);
            said.iter().for_each(|bytes| descriptor::send(connection.as_fd(), bytes, None).unwrap());
            drop(connection);
            borrower.lender().and_then(|_| borrower.sockets()).map(|sockets| sockets.len())
        };
        assert_eq!(heard(&[&first, &word(&Word::End)]).unwrap(), 0);
        let garbage = vec![0xff; 300];
        for said in [
            &[][..],
            &[&garbage],
            &[&first],
            &[&first, &garbage],
            &[&first, &first],
            // No socket came with it.
            &[&first, &word(&Word::Socket), &word(&Word::End)],
            &[&word(&Word::End)],
        ] {
            assert!(heard(said).is_err(), "{said:?}");
        }
    }
}
