//! argon2 in threads of its own: bounded in number, in memory, in how many may wait, and for how long.

use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tokio::time::timeout_at;

use super::hashing::{Memory, fits, hash};
use super::pace::Pace;
use crate::secret::Secret;
use crate::sys::priority;

/// A thread that has had nothing to do for so long gives its memory back.
const IDLE: Duration = Duration::from_secs(30);

enum Work {
    Verify { password: Secret<String>, against: Vec<Secret<String>>, answer: oneshot::Sender<Option<usize>> },
    Hash { password: Secret<String>, answer: oneshot::Sender<Result<Secret<String>, String>> },
}

struct Job {
    work: Work,
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
    queue: SyncSender<Job>,
    patience: Duration,
    /// How long answers take these days.
    pub pace: Arc<Pace>,
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
        let (queue, jobs) = sync_channel(usize::from(waiting));
        let (jobs, pace) = (Arc::new(Mutex::new(jobs)), Arc::new(Pace::default()));
        let (ready, prepared) = std::sync::mpsc::channel();
        let mut handles = Vec::new();
        for n in 0..threads.max(1) {
            let (jobs, pace, ready) = (Arc::clone(&jobs), Arc::clone(&pace), ready.clone());
            let thread = std::thread::Builder::new().name(format!("hasher {n}")).spawn(move || {
                // Logins must not slow down mail that is being taken.
                priority::lower_this_thread();
                if ready.send(()).is_ok() {
                    toil(&jobs, &pace);
                }
            });
            handles.push(thread.map_err(|error| format!("a thread for passwords can't be made: {error}"))?);
        }
        for _ in &handles {
            prepared.recv().map_err(|_| "a thread for passwords ended before it began".to_owned())?;
        }
        Ok((Self { queue, patience, pace }, handles))
    }

    /// Which of these PHC strings the password fits. All of them are computed, whichever fits.
    pub fn verify(
        &self,
        password: Secret<String>,
        against: Vec<Secret<String>>,
    ) -> Result<Pending<Option<usize>>, Busy> {
        let (answer, receiver) = oneshot::channel();
        self.put(Work::Verify { password, against, answer }, receiver)
    }

    /// The PHC string of a new key.
    pub fn hash(&self, password: Secret<String>) -> Result<Pending<Result<Secret<String>, String>>, Busy> {
        let (answer, receiver) = oneshot::channel();
        self.put(Work::Hash { password, answer }, receiver)
    }

    fn put<T>(&self, work: Work, answer: oneshot::Receiver<T>) -> Result<Pending<T>, Busy> {
        let asked = Instant::now();
        let until = asked + self.patience;
        self.queue.try_send(Job { work, asked, until }).map_err(|error| match error {
            TrySendError::Full(_) | TrySendError::Disconnected(_) => Busy,
        })?;
        Ok(Pending { answer, until })
    }
}

fn toil(jobs: &Mutex<Receiver<Job>>, pace: &Pace) {
    let mut memory = Memory::new();
    loop {
        // A thread that panicked left the queue as it was.
        let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv_timeout(IDLE);
        match job {
            // A guesser that hangs up, and one that comes in a flood, buys nothing.
            Ok(job) if job.is_in_vain() => {}
            Ok(Job { work: Work::Verify { password, against, answer }, asked, .. }) => {
                let mut found = None;
                for (at, phc) in against.iter().enumerate() {
                    if fits(&password, phc, &mut memory) && found.is_none() {
                        found = Some(at);
                    }
                }
                if against.len() == 1 {
                    pace.note(asked.elapsed());
                }
                let _ = answer.send(found);
            }
            Ok(Job { work: Work::Hash { password, answer }, .. }) => {
                let _ = answer.send(hash(&password, &mut memory));
            }
            Err(RecvTimeoutError::Timeout) => memory = Memory::new(),
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::hashing::hash_here;
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    fn wait<T>(pending: Pending<T>) -> Result<T, Busy> {
        tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(pending.answer())
    }

    #[test]
    fn a_hash_fits_its_password_and_no_other() {
        let (hashers, threads) = Hashers::start(1, 4, PATIENCE).unwrap();
        let password = || Secret::new("correct horse".to_owned());
        let phc = wait(hashers.hash(password()).unwrap()).unwrap().unwrap();
        assert!(phc.expose().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{}", phc.expose());
        let other = hash_here(&Secret::new("battery staple".into())).unwrap();
        let nonsense = Secret::new("$argon2id$v=19$m=4294967295,t=1,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAA".to_owned());
        let against = vec![nonsense, other, phc];
        assert_eq!(wait(hashers.verify(password(), against.clone()).unwrap()), Ok(Some(2)));
        let wrong = Secret::new("wrong".to_owned());
        assert_eq!(wait(hashers.verify(wrong, against).unwrap()), Ok(None));
        drop(hashers);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    }

    /// Hashers without threads, and their queue.
    fn idle(waiting: usize, patience: Duration) -> (Hashers, Receiver<Job>) {
        let (queue, jobs) = sync_channel(waiting);
        (Hashers { queue, patience, pace: Arc::default() }, jobs)
    }

    #[test]
    fn a_full_queue_says_so_at_once() {
        let (hashers, _jobs) = idle(1, PATIENCE);
        let _waiting = hashers.verify(Secret::default(), vec![]).unwrap();
        assert_eq!(hashers.verify(Secret::default(), vec![]).unwrap_err(), Busy);
    }

    #[test]
    fn what_is_not_answered_in_time_is_not_computed_either() {
        let (hashers, jobs) = idle(4, Duration::from_millis(1));
        let late = hashers.verify(Secret::default(), vec![]).unwrap();
        assert_eq!(wait(late), Err(Busy));
        assert!(jobs.recv().unwrap().is_in_vain());
        let (hashers, jobs) = idle(4, PATIENCE);
        let kept = hashers.verify(Secret::default(), vec![]).unwrap();
        assert!(!jobs.recv().unwrap().is_in_vain());
        drop(kept);
        drop(hashers.hash(Secret::default()).unwrap());
        assert!(jobs.recv().unwrap().is_in_vain(), "whoever asked is gone");
    }
}
