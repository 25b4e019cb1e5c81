//! An upstream in bad weather: hosts that fail at any phase of a conversation, now and then, and never for good.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use gatepost::sink::{Act, Options, Phase, Received, Sink};

use super::Service;
use super::dice::Dice;
use super::senders::{text, unix_us};

/// Of a message's five phases (MAIL, RCPT, DATA, content, dot) each fails this often: 0.93 to the fifth is seven in ten.
const FAILS_IN_100: u64 = 7;
/// As long as the last of them may take: the upstream rests when many fail in a row, and what was put off waits.
const TO_ARRIVE: Duration = Duration::from_secs(600);
/// One upstream has these hosts.
const HOSTS: usize = 3;

/// What a host does instead of what it should. Nothing of it is final: no mail may be given up here.
fn whim(phase: Phase, dice: &mut Dice) -> Option<Act> {
    if dice.below(100) >= FAILS_IN_100 {
        return None;
    }
    let say = |line: &str| Act::Say(format!("{line}\r\n").into_bytes());
    let acts = match phase {
        Phase::Greeting => vec![say("421 4.3.2 not now"), say("554 5.3.2 no service"), say("SSH-2.0-x")],
        Phase::Ehlo => vec![say("421 4.3.2 not now"), say("250-endless\r\n250")],
        Phase::Mail => vec![say("451 4.3.0 try again"), say("421 4.3.2 shutting down"), say("2500 what")],
        Phase::Rcpt => vec![say("450 4.2.0 greylisted"), say("452 4.5.3 too many")],
        Phase::Data => vec![say("451 4.3.0 no room"), say("garbage")],
        Phase::Chunk => vec![say("451 4.3.0 no room")],
        Phase::Content => vec![],
        Phase::Dot => vec![Act::Swallow, say("451 4.3.0 not kept"), say("421 4.3.2 shutting down")],
        Phase::Rset => vec![say("421 4.3.2 shutting down")],
        _ => return None,
    };
    let acts = [vec![Act::Close, Act::Reset], acts].concat();
    let act = usize::try_from(dice.below(acts.len() as u64)).unwrap();
    acts.into_iter().nth(act)
}

/// A message's arrival.
#[derive(Clone, Debug)]
pub struct Arrival {
    pub at_us: u64,
    pub recipients: Vec<String>,
    /// So many octets of its text are there, in order and from the first.
    pub whole: usize,
    pub answered: bool,
}

/// All the hosts, and what has arrived at them: by subject.
pub struct Upstream {
    pub addresses: Vec<String>,
    arrived: Arc<Mutex<BTreeMap<String, Vec<Arrival>>>>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Upstream {
    pub fn start(dice: &mut Dice) -> Self {
        let (arrived, stop) =
            (Arc::<Mutex<BTreeMap<String, Vec<Arrival>>>>::default(), Arc::new(AtomicBool::new(false)));
        let (mut addresses, mut threads) = (Vec::new(), Vec::new());
        for host in 0..HOSTS {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            addresses.push(listener.local_addr().unwrap().to_string());
            let dice = Mutex::new(Dice::new(dice.number()));
            let whim = move |phase| whim(phase, &mut dice.lock().unwrap());
            let mut options = Options { whim: Some(Arc::new(whim)), ..Options::default() };
            // To the first one content goes in chunks (RFC 3030).
            options.keywords.extend((host == 0).then(|| "CHUNKING".to_owned()));
            let sink = Sink::start(listener, options);
            let (all, ended) = (Arc::clone(&arrived), Arc::clone(&stop));
            threads.push(std::thread::spawn(move || {
                while !ended.load(Ordering::Relaxed) {
                    let Some(received) = sink.next(Duration::from_millis(50)) else { continue };
                    let (subject, arrival) = read(&received);
                    all.lock().unwrap().entry(subject).or_default().push(arrival);
                }
            }));
        }
        Self { addresses, arrived, stop, threads }
    }

    pub fn end(self) -> BTreeMap<String, Vec<Arrival>> {
        self.stop.store(true, Ordering::Relaxed);
        self.threads.into_iter().for_each(|thread| thread.join().unwrap());
        std::mem::take(&mut self.arrived.lock().unwrap())
    }
}

fn read(received: &Received) -> (String, Arrival) {
    let content = String::from_utf8_lossy(&received.content);
    let subject = content.lines().find_map(|line| line.strip_prefix("Subject: ")).unwrap_or_default().to_owned();
    let body = content.find(&format!("{subject} line 0 ")).map_or("", |at| &content[at..]);
    let sent = text(&subject, body.len());
    let whole = body.bytes().zip(sent.bytes()).take_while(|(came, sent)| came == sent).count();
    let Received { recipients, answered, at, .. } = received;
    (subject, Arrival { at_us: unix_us(*at), recipients: recipients.clone(), whole, answered: *answered })
}

/// Waits until nothing waits. What was under way with a courier at two kills is set aside, and released by name alone.
pub fn await_empty(service: &Service) -> usize {
    let (deadline, mut released) = (Instant::now() + TO_ARRIVE, 0);
    loop {
        let output = service.command(&["queue", "list", "--json"]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let waiting = String::from_utf8(output.stdout).unwrap();
        let waiting: Vec<serde_json::Value> = waiting.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        if waiting.is_empty() {
            return released;
        }
        for message in waiting.iter().filter(|message| message["states"]["quarantined"].is_u64()) {
            let id = message["message"].as_str().unwrap();
            let output = service.command(&["queue", "release", "--message", id]);
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            released += 1;
        }
        assert!(Instant::now() < deadline, "never delivered: {waiting:?}\n{}", service.log());
        std::thread::sleep(Duration::from_millis(500));
    }
}
