//! argon2 in threads of its own: bounded in number, in memory, in how many may wait, and for how long.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tokio::time::timeout_at;

use super::hashing::{Hashed, Memory, Scram, fits, make};
use super::line::{Claim, Line};
use super::pace::Pace;
use crate::secret::Secret;
use crate::sys::priority;

/// A thread that has had nothing to do for so long gives its memory back.
const IDLE: Duration = Duration::from_secs(30);

enum Work {
    Verify { password: Secret<String>, against: Vec<Secret<String>>, answer: oneshot::Sender<Option<usize>> },
    Hash { password: Secret<String>, scram: Scram, answer: oneshot::Sender<Result<Hashed, String>> },
}

struct Job {
    work: Work,
    claim: Claim,
    asked: Instant,
    until: Instant,
}

impl Job {
    /// Nobody would take the answer any more.
    fn is_in_vain(&self) -> bool {
        let is_gone = match &self.work {
            Work::Verify { answer, .. } => answer.is_closed(),
            Work::Hash { answer, .. } => answer.is_closed(),
        };
        is_gone || self.until <= Instant::now()
    }
}

/// The way to the threads. When the last one is dropped, they end.
#[derive(Clone)]
pub struct Hashers {
    entrance: Arc<Entrance>,
    patience: Duration,
    /// How long answers take these days.
    pub pace: Arc<Pace>,
}

/// Closes the room when nobody can come any more.
struct Entrance(Arc<Room>);

impl Drop for Entrance {
    fn drop(&mut self) {
        self.0.lock().is_open = false;
        self.0.news.notify_all();
    }
}

/// Where jobs wait.
struct Room {
    waiting: Mutex<Waiting>,
    news: Condvar,
}

struct Waiting {
    line: Line<Job>,
    is_open: bool,
}

/// What a thread does next.
enum Next {
    Job(Box<Job>),
    Idle,
    End,
}

impl Room {
    fn new(places: usize) -> Self {
        let waiting = Waiting { line: Line::new(places), is_open: true };
        Self { waiting: Mutex::new(waiting), news: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // A thread that panicked left the line as it was.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn join(&self, job: Job) -> Result<(), Busy> {
        let mut waiting = self.lock();
        let claim = job.claim;
        let joined = waiting.line.join(claim, job).or_else(|job| {
            // A guesser that hangs up, and one that comes in a flood, buys nothing.
            waiting.line.retain(|job| !job.is_in_vain());
            waiting.line.join(claim, job)
        });
        drop(waiting);
        self.news.notify_one();
        joined.map_err(|_| Busy)
    }

    /// Waits for a job that somebody waits for, for `IDLE` at the longest.
    fn next(&self) -> Next {
        let until = Instant::now() + IDLE;
        let mut waiting = self.lock();
        loop {
            while let Some(job) = waiting.line.serve() {
                if !job.is_in_vain() {
                    return Next::Job(Box::new(job));
                }
            }
            let left = until.saturating_duration_since(Instant::now());
            match (waiting.is_open, left.is_zero()) {
                (false, _) => return Next::End,
                (true, true) => return Next::Idle,
                (true, false) => {}
            }
            waiting = self.news.wait_timeout(waiting, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// No room to check it now, or it took too long.
#[derive(Debug, PartialEq, Eq)]
pub struct Busy;

/// An answer that will come, or won't come in time.
#[derive(Debug)]
pub struct Pending<T> {
    answer: oneshot::Receiver<T>,
    until: Instant,
}

impl<T> Pending<T> {
    /// Waits for it. Dropping it takes the job back.
    pub async fn answer(self) -> Result<T, Busy> {
        match timeout_at(self.until.into(), self.answer).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_)) | Err(_) => Err(Busy),
        }
    }
}

impl Hashers {
    /// Makes the threads, and waits until each is in place. `patience` is how long a job may take, waiting included.
    pub fn start(threads: u16, waiting: u16, patience: Duration) -> Result<(Self, Vec<JoinHandle<()>>), String> {
        let (room, pace) = (Arc::new(Room::new(usize::from(waiting))), Arc::new(Pace::default()));
        let entrance = Arc::new(Entrance(Arc::clone(&room)));
        let (ready, prepared) = std::sync::mpsc::channel();
        let mut handles = Vec::new();
        for n in 0..threads.max(1) {
            let (room, pace, ready) = (Arc::clone(&room), Arc::clone(&pace), ready.clone());
            let thread = std::thread::Builder::new().name(format!("hasher {n}")).spawn(move || {
                // Logins must not slow down mail that is being taken.
                priority::lower_this_thread();
                if ready.send(()).is_ok() {
                    toil(&room, &pace);
                }
            });
            handles.push(thread.map_err(|error| format!("a thread for passwords can't be made: {error}"))?);
        }
        for _ in &handles {
            prepared.recv().map_err(|_| "a thread for passwords ended before it began".to_owned())?;
        }
        Ok((Self { entrance, patience, pace }, handles))
    }

    /// Which of these PHC strings the password fits. All of them are computed, whichever fits.
    pub fn verify(
        &self,
        claim: Claim,
        password: Secret<String>,
        against: Vec<Secret<String>>,
    ) -> Result<Pending<Option<usize>>, Busy> {
        let (answer, receiver) = oneshot::channel();
        self.put(claim, Work::Verify { password, against, answer }, receiver)
    }

    /// What is kept of a new key, which an administrator waits for.
    pub fn hash(&self, password: Secret<String>, scram: Scram) -> Result<Pending<Result<Hashed, String>>, Busy> {
        let (answer, receiver) = oneshot::channel();
        self.put(Claim::Known, Work::Hash { password, scram, answer }, receiver)
    }

    fn put<T>(&self, claim: Claim, work: Work, answer: oneshot::Receiver<T>) -> Result<Pending<T>, Busy> {
        let asked = Instant::now();
        let until = asked + self.patience;
        self.entrance.0.join(Job { work, claim, asked, until })?;
        Ok(Pending { answer, until })
    }
}

fn toil(room: &Room, pace: &Pace) {
    let mut memory = Memory::new();
    loop {
        let Job { work, claim, asked, .. } = match room.next() {
            Next::Job(job) => *job,
            Next::Idle => {
                memory = Memory::new();
                continue;
            }
            Next::End => return,
        };
        match work {
            Work::Verify { password, against, answer } => {
                let mut found = None;
                for (at, phc) in against.iter().enumerate() {
                    if fits(&password, phc, &mut memory) && found.is_none() {
                        found = Some(at);
                    }
                }
                if against.len() == 1 {
                    pace.note(claim, asked.elapsed());
                }
                let _ = answer.send(found);
            }
            Work::Hash { password, scram, answer } => {
                let _ = answer.send(make(&password, &scram, &mut memory));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::hashing::hash_here;
    use super::*;
    use crate::sys::heap;

    const PATIENCE: Duration = Duration::from_secs(20);

    fn wait<T>(pending: Pending<T>) -> Result<T, Busy> {
        tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(pending.answer())
    }

    #[test]
    fn a_hash_fits_its_password_and_no_other() {
        let (hashers, threads) = Hashers::start(1, 4, PATIENCE).unwrap();
        let password = || Secret::new("correct horse".to_owned());
        let phc = wait(hashers.hash(password(), Scram::No).unwrap()).unwrap().unwrap().phc;
        assert!(phc.expose().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{}", phc.expose());
        let other = hash_here(&Secret::new("battery staple".into())).unwrap();
        let nonsense = Secret::new("$argon2id$v=19$m=4294967295,t=1,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAA".to_owned());
        let against = vec![nonsense, other, phc];
        assert_eq!(wait(hashers.verify(Claim::New, password(), against.clone()).unwrap()), Ok(Some(2)));
        let wrong = Secret::new("wrong".to_owned());
        assert_eq!(wait(hashers.verify(Claim::New, wrong, against).unwrap()), Ok(None));
        drop(hashers);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    }

    /// Hashers without threads, and where their jobs wait.
    fn idle(waiting: usize, patience: Duration) -> (Hashers, Arc<Room>) {
        let room = Arc::new(Room::new(waiting));
        let entrance = Arc::new(Entrance(Arc::clone(&room)));
        (Hashers { entrance, patience, pace: Arc::default() }, room)
    }

    fn ask(hashers: &Hashers) -> Result<Pending<Option<usize>>, Busy> {
        hashers.verify(Claim::New, Secret::default(), vec![])
    }

    fn is_next_in_vain(room: &Room) -> bool {
        room.lock().line.serve().unwrap().is_in_vain()
    }

    #[test]
    fn rule_a10_a_full_room_says_so_at_once_and_who_has_left_it_holds_no_place() {
        let (hashers, _room) = idle(1, PATIENCE);
        let waiting = ask(&hashers).unwrap();
        assert_eq!(ask(&hashers).unwrap_err(), Busy);
        drop(waiting);
        assert!(ask(&hashers).is_ok());
    }

    /// Whatever comes at once: so many wait, all others are told so before anything is worked on, and no thread is made for
    /// them.
    #[test]
    fn rule_a10_a_crowd_is_bounded_in_places_and_threads() {
        let (hashers, threads) = Hashers::start(2, 8, PATIENCE).unwrap();
        assert_eq!(threads.len(), 2);
        let (idle, room) = idle(8, PATIENCE);
        let asked: Vec<_> = (0..1000).map(|_| ask(&idle)).collect();
        let waiting = asked.iter().filter(|asked| asked.is_ok()).count();
        // The others are kept for other claims.
        assert_eq!(waiting, 5);
        assert!(asked.iter().filter_map(|asked| asked.as_ref().err()).all(|busy| *busy == Busy));
        assert_eq!(std::iter::from_fn(|| room.lock().line.serve()).count(), waiting);
        drop(hashers);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    }

    /// A thread works in one piece of memory, whatever it is asked and however often; a hash that wants more than the most
    /// that is taken is worked on not at all.
    #[test]
    fn rule_a10_a_thread_that_hashes_has_one_memory() {
        const USUAL: isize = 19 * 1024 * 1024;
        const SLACK: isize = 512 * 1024;
        let usual = hash_here(&Secret::new("x".to_owned())).unwrap();
        let greedy = Secret::new(usual.expose().replace("m=19456", "m=1048576"));
        for against in [vec![usual.clone(); 3], vec![greedy, usual]] {
            let (hashers, room) = idle(64, PATIENCE);
            let asked: Vec<_> = (0..4)
                .map(|n| hashers.verify(Claim::New, Secret::new(format!("guess {n}")), against.clone()).unwrap())
                .collect();
            drop(hashers);
            let begin = heap::begin();
            toil(&room, &Pace::default());
            let most = heap::most(begin);
            assert!((USUAL..USUAL + SLACK).contains(&most), "{most}");
            assert!(asked.into_iter().all(|pending| wait(pending) == Ok(None)));
        }
    }

    #[test]
    fn what_is_not_answered_in_time_is_not_computed_either() {
        let (hashers, room) = idle(4, Duration::from_millis(1));
        let late = ask(&hashers).unwrap();
        assert_eq!(wait(late), Err(Busy));
        assert!(is_next_in_vain(&room));
        let (hashers, room) = idle(4, PATIENCE);
        let kept = ask(&hashers).unwrap();
        assert!(!is_next_in_vain(&room));
        drop(kept);
        drop(hashers.hash(Secret::default(), Scram::No).unwrap());
        assert!(is_next_in_vain(&room), "whoever asked is gone");
        drop(hashers);
        assert!(matches!(room.next(), Next::End));
    }
}
