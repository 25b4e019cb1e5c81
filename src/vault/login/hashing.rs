//! argon2 in threads of its own: bounded in number, in memory and in how many may wait.

use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use argon2::password_hash::phc::{Output, PasswordHash, Salt};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use subtle::ConstantTimeEq;
use tokio::sync::oneshot;

use crate::secret::Secret;
use crate::sys::priority;

/// 19 MiB, two passes, one lane: what OWASP recommends; about 15 ms on a slow core.
const MEMORY: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;
/// The most memory a hash in the configuration may ask for, in KiB: a thread keeps what it once needed.
const MAX_MEMORY: u32 = 64 * 1024;
const OUTPUT: usize = 32;
/// A thread that has had nothing to do for so long gives its memory back.
const IDLE: Duration = Duration::from_secs(30);

enum Job {
    Verify { password: Secret<String>, against: Vec<Secret<String>>, answer: oneshot::Sender<Option<usize>> },
    Hash { password: Secret<String>, answer: oneshot::Sender<Result<Secret<String>, String>> },
}

/// The way to the threads. When the last one is dropped, they end.
#[derive(Clone)]
pub struct Hashers {
    queue: SyncSender<Job>,
}

/// No room to check it now.
#[derive(Debug, PartialEq, Eq)]
pub struct Busy;

impl Hashers {
    /// Makes the threads, and waits until each is in place.
    pub fn start(threads: u16, waiting: u16) -> Result<(Self, Vec<JoinHandle<()>>), String> {
        let (queue, jobs) = sync_channel(usize::from(waiting));
        let jobs = Arc::new(Mutex::new(jobs));
        let (ready, prepared) = std::sync::mpsc::channel();
        let mut handles = Vec::new();
        for n in 0..threads.max(1) {
            let (jobs, ready) = (Arc::clone(&jobs), ready.clone());
            let thread = std::thread::Builder::new().name(format!("hasher {n}")).spawn(move || {
                // Logins must not slow down mail that is being taken.
                priority::lower_this_thread();
                if ready.send(()).is_ok() {
                    work(&jobs);
                }
            });
            handles.push(thread.map_err(|error| format!("a thread for passwords can't be made: {error}"))?);
        }
        for _ in &handles {
            prepared.recv().map_err(|_| "a thread for passwords ended before it began".to_owned())?;
        }
        Ok((Self { queue }, handles))
    }

    /// Which of these PHC strings the password fits. All of them are computed, whichever fits.
    pub fn verify(
        &self,
        password: Secret<String>,
        against: Vec<Secret<String>>,
    ) -> Result<oneshot::Receiver<Option<usize>>, Busy> {
        let (answer, receiver) = oneshot::channel();
        self.put(Job::Verify { password, against, answer })?;
        Ok(receiver)
    }

    /// The PHC string of a new key.
    pub fn hash(&self, password: Secret<String>) -> Result<oneshot::Receiver<Result<Secret<String>, String>>, Busy> {
        let (answer, receiver) = oneshot::channel();
        self.put(Job::Hash { password, answer })?;
        Ok(receiver)
    }

    fn put(&self, job: Job) -> Result<(), Busy> {
        self.queue.try_send(job).map_err(|error| match error {
            TrySendError::Full(_) | TrySendError::Disconnected(_) => Busy,
        })
    }
}

fn work(jobs: &Mutex<Receiver<Job>>) {
    let mut memory = Vec::new();
    loop {
        // A thread that panicked left the queue as it was.
        let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv_timeout(IDLE);
        // Whoever asked may have gone; the work was done all the same.
        match job {
            Ok(Job::Verify { password, against, answer }) => {
                let mut found = None;
                for (at, phc) in against.iter().enumerate() {
                    if fits(&password, phc, &mut memory) && found.is_none() {
                        found = Some(at);
                    }
                }
                let _ = answer.send(found);
            }
            Ok(Job::Hash { password, answer }) => drop(answer.send(hash(&password, &mut memory))),
            Err(RecvTimeoutError::Timeout) => memory = Vec::new(),
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

fn fits(password: &Secret<String>, phc: &Secret<String>, memory: &mut Vec<Block>) -> bool {
    let Ok(parsed) = PasswordHash::new(phc.expose()) else { return false };
    let (Some(salt), Some(expected)) = (parsed.salt, parsed.hash) else { return false };
    let Ok(algorithm) = Algorithm::try_from(parsed.algorithm.as_str()) else { return false };
    let Ok(params) = Params::try_from(&parsed) else { return false };
    let version = parsed.version.map_or(Ok(Version::default()), Version::try_from);
    let Ok(version) = version else { return false };
    if params.m_cost() > MAX_MEMORY {
        return false;
    }
    let blocks = params.block_count();
    if memory.len() < blocks {
        memory.resize(blocks, Block::default());
    }
    let mut output = Secret::new(vec![0; expected.as_bytes().len()]);
    let argon = Argon2::new(algorithm, version, params);
    let done = argon.hash_password_into_with_memory(password.expose().as_bytes(), &salt, output.expose_mut(), memory);
    done.is_ok() && bool::from(output.expose().as_slice().ct_eq(expected.as_bytes()))
}

fn hash(password: &Secret<String>, memory: &mut Vec<Block>) -> Result<Secret<String>, String> {
    let wrong = |error: &dyn std::fmt::Display| format!("the key can't be hashed: {error}");
    let mut salt = [0; 16];
    getrandom::fill(&mut salt).map_err(|error| wrong(&error))?;
    let params = Params::new(MEMORY, PASSES, LANES, Some(OUTPUT)).map_err(|error| wrong(&error))?;
    let mut output = Secret::new([0; OUTPUT]);
    let blocks = params.block_count();
    if memory.len() < blocks {
        memory.resize(blocks, Block::default());
    }
    let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, params.clone());
    argon
        .hash_password_into_with_memory(password.expose().as_bytes(), &salt, output.expose_mut(), memory)
        .map_err(|error| wrong(&error))?;
    let phc = PasswordHash {
        algorithm: Algorithm::Argon2id.ident(),
        version: Some(Version::V0x13.into()),
        params: (&params).try_into().map_err(|error: argon2::password_hash::Error| wrong(&error))?,
        salt: Some(Salt::new(&salt).map_err(|error| wrong(&error))?),
        hash: Some(Output::new(output.expose()).map_err(|error| wrong(&error))?),
    };
    Ok(Secret::new(phc.to_string()))
}

/// Hashes one key without threads: for a command that opens the vault itself.
pub fn hash_here(password: &Secret<String>) -> Result<Secret<String>, String> {
    hash(password, &mut Vec::new())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_fits_its_password_and_no_other() {
        let (hashers, threads) = Hashers::start(1, 4).unwrap();
        let password = || Secret::new("correct horse".to_owned());
        let phc = hashers.hash(password()).unwrap().blocking_recv().unwrap().unwrap();
        assert!(phc.expose().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{}", phc.expose());
        let other = hash_here(&Secret::new("battery staple".into())).unwrap();
        let nonsense = Secret::new("$argon2id$v=19$m=4294967295,t=1,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAA".to_owned());
        let against = vec![nonsense, other, phc];
        assert_eq!(hashers.verify(password(), against.clone()).unwrap().blocking_recv(), Ok(Some(2)));
        let wrong = Secret::new("wrong".to_owned());
        assert_eq!(hashers.verify(wrong, against).unwrap().blocking_recv(), Ok(None));
        drop(hashers);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    }

    #[test]
    fn a_full_queue_says_so_at_once() {
        let (queue, _jobs) = sync_channel(1);
        let hashers = Hashers { queue };
        hashers.verify(Secret::default(), vec![]).unwrap();
        assert_eq!(hashers.verify(Secret::default(), vec![]).unwrap_err(), Busy);
    }
}
