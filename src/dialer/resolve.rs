//! Names to addresses by the system's resolver, on threads of its own: a slow name holds up nobody but itself.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, ToSocketAddrs};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout;

/// One thread for each name up to this many; further names share them. Each costs a stack's address space and, once
/// it has resolved something, a few pages.
const MAX_THREADS: usize = 32;
/// getaddrinfo keeps its answers on the stack (up to 64 KiB each) and recurses through CNAMEs and service switches.
const STACK: usize = 512 * 1024;
/// Questions that may wait for one thread. Those whose askers gave up are skipped, so this is seldom more than a few.
const WAITING: usize = 128;
/// A look-up may take this long: a resolver's first retry comes after 5 seconds, and the other hosts are waiting.
const LOOKUP: Duration = Duration::from_secs(8);
/// How a name is looked up, blocking; tests bring their own.
pub type Lookup = fn(&str) -> io::Result<Vec<IpAddr>>;

/// The system's resolver: /etc/hosts and DNS as the operator has set them up, addresses in RFC 6724 order.
pub fn system(name: &str) -> io::Result<Vec<IpAddr>> {
    Ok((name, 0).to_socket_addrs()?.map(|address| address.ip()).collect())
}

type Answer = Result<Vec<IpAddr>, String>;

struct Question {
    name: String,
    answer: oneshot::Sender<Answer>,
}

/// The threads, and which of them looks up which name.
#[derive(Debug)]
pub struct Resolvers {
    threads: HashMap<String, SyncSender<Question>>,
}

impl Resolvers {
    /// Makes the threads and waits until each has resolved something: the resolver reads its files and loads its modules at
    /// the first look-up, and after the seal it could not.
    pub fn start<'a>(names: impl Iterator<Item = &'a str>, lookup: Lookup) -> io::Result<Self> {
        let mut queues: Vec<SyncSender<Question>> = Vec::new();
        let mut threads = HashMap::new();
        let (warm, warmed) = sync_channel(MAX_THREADS);
        for name in names {
            if threads.contains_key(name) {
                continue;
            }
            let queue = match queues.get(threads.len() % MAX_THREADS) {
                Some(queue) => queue.clone(),
                None => {
                    let (queue, questions) = sync_channel(WAITING);
                    let warm = warm.clone();
                    thread::Builder::new().name("resolver".into()).stack_size(STACK).spawn(move || {
                        warm_up(lookup);
                        // Nobody waits any more only when `start` has failed already.
                        let _ = warm.send(());
                        drop(warm);
                        answer(&questions, lookup);
                    })?;
                    queues.push(queue.clone());
                    queue
                }
            };
            threads.insert(name.to_owned(), queue);
        }
        for _ in &queues {
            warmed.recv().map_err(|_| io::Error::other("a resolver thread ended in its first look-up"))?;
        }
        Ok(Self { threads })
    }

    /// The addresses of a configured name. Errors are reasons, in a few words.
    pub async fn addresses(&self, name: &str) -> Answer {
        let queue = self.threads.get(name).ok_or("not a name of the configuration")?;
        let (answer, answered) = oneshot::channel();
        queue.try_send(Question { name: name.to_owned(), answer }).map_err(|_| "the resolver has too much to do")?;
        let found = match timeout(LOOKUP, answered).await {
            Ok(Ok(answer)) => answer?,
            Ok(Err(_)) => return Err("the resolver thread ended".into()),
            Err(_) => return Err("the resolver did not answer in time".into()),
        };
        if found.is_empty() { Err("has no address".into()) } else { Ok(found) }
    }
}

/// Two look-ups that ask no server: one that the hosts file answers, and one of a label longer than DNS allows (RFC 1035
/// section 2.3.4), which makes glibc load every module of nsswitch.conf's line.
fn warm_up(lookup: Lookup) {
    let impossible = format!("{}.invalid", "x".repeat(64));
    // Only the files and modules that it reads matter here.
    let _ = (lookup("localhost"), lookup(&impossible));
}

/// A thread's life. Whoever asked for the same name while it was busy gets the same answer.
fn answer(questions: &Receiver<Question>, lookup: Lookup) {
    while let Ok(first) = questions.recv() {
        let mut waiting: Vec<Question> = std::iter::once(first).chain(questions.try_iter()).collect();
        while let Some(asked) = waiting.iter().find(|question| !question.answer.is_closed()) {
            let name = asked.name.clone();
            let found = lookup(&name).map_err(|error| error.to_string());
            waiting.extend(questions.try_iter());
            let (same, rest): (Vec<Question>, _) = waiting.into_iter().partition(|question| question.name == name);
            for question in same {
                // It may have given up meanwhile.
                let _ = question.answer.send(found.clone());
            }
            waiting = rest;
        }
    }
}
