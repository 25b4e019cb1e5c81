//! Claims: under load of both protocols, with large messages among small ones, strangers and clients who leave at any word, and an
//! upstream that fails three times in ten, nobody dies, no process takes more and more memory and none keeps a descriptor; what was
//! acknowledged is delivered, and the log verifies. What large work took of memory is given back when it is done.
//!
//! The seed is printed, and what each process had. One and a half minutes; `GATEPOST_LONG=1` makes it an hour.

mod support;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use support::dice::Dice;
use support::evidence::Evidence;
use support::senders::{Senders, Target};
use support::weather::{Upstream, await_empty};
use support::{PATIENCE, Service, Setting, await_that, processes};

/// Of each process, between what it has when it is warm and the end. A leak of 2 KiB for each message is more.
const GROWTH_KIB: u64 = 8 * 1024;
/// What the vault remembers of each session that it was shown, so that none is shown twice, is no leak.
const SESSION_OCTETS: u64 = 160;
/// In the third sixth of the time it is warm: pools, caches and tables have what they are going to have.
const WARM: usize = 2;
const END: usize = 5;
/// Between two looks at all processes.
const LOOK: Duration = Duration::from_millis(500);
/// Longer than an idle connection to the upstream is kept.
const KEPT: Duration = Duration::from_secs(12);
/// What one password takes while it is hashed.
const HASH_KIB: u64 = 19 * 1024;
/// Between two of the strangers of one kind.
const STRANGE: Duration = Duration::from_millis(100);

/// Who comes, says something and leaves: strangers, and one who knows the key and hangs up within a message.
struct Passers {
    stop: Arc<AtomicBool>,
    came: Arc<AtomicU64>,
    threads: Vec<JoinHandle<()>>,
}

impl Passers {
    fn start(service: &Service, secret: &str, dice: &mut Dice) -> Self {
        let (stop, came) = (Arc::new(AtomicBool::new(false)), Arc::<AtomicU64>::default());
        let by_smtp = "EHLO client.test\r\nSTARTTLS\r\n\u{16}\u{3}\u{1}\u{2}\u{0}\u{1}".to_owned();
        let by_http = format!(
            "POST /v1/send HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {secret}\r\nContent-Type: application/json\r\n\
             Content-Length: 500\r\n\r\n{{\"from\":\"a@example.net\",\"to\":\"b@example.org\",\"subject\":\"unfinished"
        );
        let threads = [(service.smtp, by_smtp), (service.http, by_http)].map(|(port, words)| {
            let (stop, came, mut dice) = (Arc::clone(&stop), Arc::clone(&came), Dice::new(dice.number()));
            std::thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let upto = usize::try_from(dice.below(words.len() as u64 + 1)).unwrap();
                    let _ = pass(port, &words.as_bytes()[..upto]);
                    came.fetch_add(1, Ordering::Relaxed);
                    std::thread::sleep(STRANGE);
                }
            })
        });
        Self { stop, came, threads: threads.into() }
    }

    /// How many there were.
    fn end(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.threads.into_iter().for_each(|thread| thread.join().unwrap());
        self.came.load(Ordering::Relaxed)
    }
}

/// Whatever becomes of it is the gate's affair.
fn pass(port: u16, words: &[u8]) -> std::io::Result<()> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(LOOK))?;
    stream.write_all(words)?;
    stream.shutdown(Shutdown::Write)?;
    stream.read(&mut [0; 512]).map(drop)
}

/// Memory of a process's own, in KiB.
fn memory(pid: u32) -> u64 {
    let text = processes::status(pid, "RssAnon").expect("it is gone");
    text.split(' ').next().unwrap().parse().unwrap()
}

/// The one in the middle: a moment's work doesn't show.
fn median(mut looks: Vec<u64>) -> u64 {
    looks.sort_unstable();
    looks[looks.len() / 2]
}

/// The open descriptors of each process; of none where only root may look.
fn descriptors(children: &BTreeMap<String, u32>) -> BTreeMap<String, usize> {
    let of = |(title, pid): (&String, &u32)| Some((title.clone(), processes::descriptors(*pid)?));
    children.iter().filter_map(of).collect()
}

/// The same when nothing is open any more that is kept for a while, as connections to the upstream are.
fn descriptors_at_rest(children: &BTreeMap<String, u32>) -> BTreeMap<String, usize> {
    let (begun, mut last) = (Instant::now(), (Instant::now(), descriptors(children)));
    while last.0.elapsed() < KEPT {
        std::thread::sleep(LOOK);
        let now = descriptors(children);
        if now != last.1 {
            last = (Instant::now(), now);
        }
        assert!(begun.elapsed() < PATIENCE, "it never rests: {:?}", last.1);
    }
    last.1
}

/// What each process had when it was warm and at the end, in KiB.
fn watch(children: &BTreeMap<String, u32>, most: Duration) -> BTreeMap<String, (u64, u64)> {
    let mut looks: BTreeMap<&String, Vec<u64>> = BTreeMap::new();
    let begun = Instant::now();
    while begun.elapsed() < most {
        for (title, pid) in children {
            looks.entry(title).or_default().push(memory(*pid));
        }
        std::thread::sleep(LOOK);
    }
    let sixth = |looks: &[u64], n: usize| median(looks[looks.len() * n / 6..looks.len() * (n + 1) / 6].to_vec());
    looks.into_iter().map(|(title, looks)| (title.clone(), (sixth(&looks, WARM), sixth(&looks, END)))).collect()
}

#[test]
fn nothing_grows_under_mixed_load_and_everything_comes_through() {
    let most = Duration::from_secs(if std::env::var_os("GATEPOST_LONG").is_some() { 3600 } else { 120 });
    let mut dice = Dice::for_test("endurance");
    let upstream = Upstream::start(&mut dice);
    let hosts: Vec<String> = upstream.addresses.iter().map(|address| format!("\"{address}\"")).collect();
    let mut service = Service::start_with(&Setting {
        way: Some(format!("kind = \"smtp\"\nhosts = [{}]", hosts.join(", "))),
        more: "[spool]\nretry = [\"1s\", \"2s\", \"3s\"]".into(),
        ..Setting::default()
    });
    let secret = service.add_credential();
    let target = Target { large_one_in: 50, pace: Duration::from_millis(30), ..Target::of(&service, &secret) };
    // Files that stay open are opened by the first who need them.
    let first = Target { most: 100, large_one_in: 10, ..target.clone() };
    let first = Senders::start(&first, "first", 1, 1, &mut dice);
    await_that("the first are acknowledged", || first.acknowledged() >= 100);
    first.stop();
    await_empty(&service);
    let children = processes::children(service.pid());
    // The parent has the listening sockets, and what each of them says.
    let mut all = children.clone();
    all.insert("parent".to_owned(), service.pid());
    let before = descriptors_at_rest(&all);
    if before.is_empty() {
        eprintln!("descriptors are NOT counted: only root may look at those of processes that nobody else may");
    }

    let senders = Senders::start(&target, "endurance", 3, 2, &mut dice);
    let passers = Passers::start(&service, &secret, &mut dice);
    let memory = watch(&all, most);
    let (book, came) = (senders.stop(), passers.end());
    await_empty(&service);

    assert_eq!(processes::children(service.pid()), children, "somebody died\n{}", service.log());
    println!("{} acknowledged, {came} passed by; KiB when warm and at the end: {memory:?}", book.len());
    assert!(book.len() > 1000 && came > 100, "too little was done to tell: {} and {came}", book.len());
    for (title, (warm, end)) in &memory {
        let remembered = if title == "vault" { came * SESSION_OCTETS / 1024 } else { 0 };
        assert!(
            *end <= warm + GROWTH_KIB + remembered,
            "{title} had {warm} KiB when warm and {end} in the end: {memory:?}"
        );
    }
    assert_eq!(descriptors_at_rest(&all), before, "descriptors at rest, after and before");

    service.await_sound("at the end");
    let log = service.end();
    assert!(!log.contains("SIGSYS") && !log.contains("panic"), "{log}");
    let evidence = Evidence::of(&service.folder.path().join("state"));
    evidence.assert_whole("at the end");
    let arrived = upstream.end();
    let lost: Vec<&String> = book.keys().filter(|subject| !arrived.contains_key(*subject)).collect();
    assert!(lost.is_empty(), "of what was acknowledged never came: {lost:?}");
}

/// A thread that hashes gives its memory up after half a minute. Kept in the heaps of the threads, among small pieces, it would
/// become several times as much within an hour.
#[test]
fn what_a_password_took_while_it_was_hashed_goes_back_to_the_system() {
    let mut service = Service::start();
    let secret = service.add_credential();
    assert_eq!(service.log_in(&secret).send("one"), 250);
    let vault = processes::children(service.pid())["vault"];
    await_that("less is held than one hash takes", || memory(vault) < HASH_KIB);
    service.end();
}
