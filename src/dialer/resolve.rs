//! Names to addresses by the system's resolver, on threads of its own: a slow name holds up nobody but itself.

use std::collections::HashSet;
use std::io;
use std::net::{IpAddr, ToSocketAddrs};
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::{Duration, Instant};

use tokio::time::timeout;

use super::board::{Answer, Board};

/// One thread for each name up to this many; more names share them (`board`). Each costs a stack's address space and, once
/// it has resolved something, a few pages.
const MAX_THREADS: usize = 32;
/// getaddrinfo keeps its answers on the stack (up to 64 KiB each) and recurses through CNAMEs and service switches.
const STACK: usize = 512 * 1024;
/// A look-up may take this long: a resolver's first retry comes after 5 seconds, and the other hosts are waiting.
const LOOKUP: Duration = Duration::from_secs(8);
/// How a name is looked up, blocking; tests bring their own.
pub type Lookup = fn(&str) -> io::Result<Vec<IpAddr>>;

/// The system's resolver: /etc/hosts and DNS as the operator has set them up, addresses in RFC 6724 order.
pub fn system(name: &str) -> io::Result<Vec<IpAddr>> {
    Ok((name, 0).to_socket_addrs()?.map(|address| address.ip()).collect())
}

/// The threads, and what they share.
#[derive(Debug)]
pub struct Resolvers {
    board: Arc<Board>,
}

impl Resolvers {
    /// Makes the threads and waits until each has resolved something: the resolver reads its files and loads its modules at
    /// the first look-up, and after the seal it could not.
    pub fn start<'a>(names: impl Iterator<Item = &'a str>, lookup: Lookup) -> io::Result<Self> {
        let names: HashSet<String> = names.map(str::to_owned).collect();
        let threads = names.len().min(MAX_THREADS);
        let own = Self { board: Arc::new(Board::new(names.into_iter().collect(), threads)) };
        let (warm, warmed) = sync_channel(MAX_THREADS);
        for _ in 0..threads {
            let (board, warm) = (Arc::clone(&own.board), warm.clone());
            thread::Builder::new().name("resolver".into()).stack_size(STACK).spawn(move || {
                warm_up(lookup);
                // Nobody waits any more only when `start` has failed already.
                let _ = warm.send(());
                drop(warm);
                answer(&board, lookup);
            })?;
        }
        drop(warm);
        for _ in 0..threads {
            warmed.recv().map_err(|_| io::Error::other("a resolver thread ended in its first look-up"))?;
        }
        Ok(own)
    }

    /// The addresses of a configured name. Errors are reasons, in a few words.
    pub async fn addresses(&self, name: &str) -> Answer {
        let found = match timeout(LOOKUP, self.board.ask(name)?).await {
            Ok(Ok(answer)) => answer?,
            Ok(Err(_)) => return Err("the resolver thread ended".into()),
            Err(_) => return Err("the resolver did not answer in time".into()),
        };
        if found.is_empty() { Err("has no address".into()) } else { Ok(found) }
    }
}

impl Drop for Resolvers {
    fn drop(&mut self) {
        self.board.end();
    }
}

/// Two look-ups that ask no server: one that the hosts file answers, and one of a label longer than DNS allows (RFC 1035
/// section 2.3.4), which makes glibc load every module of nsswitch.conf's line.
fn warm_up(lookup: Lookup) {
    let impossible = format!("{}.invalid", "x".repeat(64));
    // Only the files and modules that it reads matter here.
    let _ = (lookup("localhost"), lookup(&impossible));
}

/// A thread's life.
fn answer(board: &Board, lookup: Lookup) {
    while let Some((name, standing)) = board.next() {
        let begun = Instant::now();
        let found = lookup(&name).map_err(|error| error.to_string());
        board.done(&name, standing, begun.elapsed(), &found);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lookup(name: &str) -> io::Result<Vec<IpAddr>> {
        if name.starts_with("dead") {
            thread::sleep(Duration::from_millis(1500));
            return Err(io::Error::other("nobody answers"));
        }
        Ok(vec![std::net::Ipv4Addr::LOCALHOST.into()])
    }

    #[tokio::test]
    async fn more_dead_names_than_threads_hold_up_neither_one_that_answered_nor_a_new_one() {
        let dead: Vec<String> = (0..MAX_THREADS * 2).map(|n| format!("dead{n}.test")).collect();
        let live = ["live.test", "new.test"];
        let names = dead.iter().map(String::as_str).chain(live);
        let resolvers = Resolvers::start(names, lookup).unwrap();
        resolvers.addresses("live.test").await.unwrap();
        // When nothing is known of them yet, and when it is.
        for name in live {
            let asked: Vec<_> = dead.iter().map(|name| resolvers.board.ask(name).unwrap()).collect();
            let begun = Instant::now();
            resolvers.addresses(name).await.unwrap();
            assert!(begun.elapsed() < Duration::from_secs(1), "{name}: {:?}", begun.elapsed());
            for answer in asked {
                assert!(answer.await.unwrap().is_err());
            }
        }
    }
}
