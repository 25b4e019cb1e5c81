//! Mail that is due at fixed times, whether or not what went before was answered: a server that stalls is waited for by all that
//! came due meanwhile, and each of them says so.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::sender::{Sender, Told, content};

/// A pause of one who was turned away.
const BREATH: Duration = Duration::from_millis(50);

/// Who sends, how fast, and over how many sessions.
#[derive(Clone, Copy)]
pub struct Pace<'a> {
    pub id: &'a str,
    pub from: Ipv4Addr,
    pub a_second: f64,
    pub sessions: u32,
    pub length: usize,
}

/// What was heard of it.
#[derive(Default)]
pub struct Heard {
    /// Of those that were taken: the wait for the answer to the dot, in milliseconds.
    pub dots: Vec<f64>,
    /// The same from when each was due.
    pub since_due: Vec<f64>,
    /// How many were refused, by the code; 0 stands for a connection that closed without a word.
    pub refused: BTreeMap<u16, u32>,
    /// Seconds from the beginning at which the last refusal was heard.
    pub last_refusal: f64,
    /// Seconds from the beginning to the last answer: longer than it was sent for where it could not keep up.
    pub elapsed: f64,
}

impl Heard {
    pub fn refusals(&self) -> u32 {
        self.refused.values().sum()
    }

    pub fn offered(&self) -> u32 {
        u32::try_from(self.dots.len()).unwrap_or(u32::MAX) + self.refusals()
    }

    pub fn append(&mut self, mut other: Self) {
        self.dots.append(&mut other.dots);
        self.since_due.append(&mut other.since_due);
        for (code, times) in other.refused {
            *self.refused.entry(code).or_default() += times;
        }
        self.last_refusal = self.last_refusal.max(other.last_refusal);
        self.elapsed += other.elapsed;
    }

    fn refuse(&mut self, code: u16, began: Instant) {
        *self.refused.entry(code).or_default() += 1;
        self.last_refusal = self.last_refusal.max(began.elapsed().as_secs_f64());
    }
}

/// Sends for so long, and waits for the last answer.
pub fn keep(port: u16, pace: &Pace<'_>, time: Duration) -> Heard {
    let (next, all) = (AtomicU32::new(0), Mutex::new(Heard::default()));
    let began = Instant::now();
    thread::scope(|scope| {
        for _ in 0..pace.sessions {
            scope.spawn(|| {
                let mut own = Heard::default();
                session(port, pace, (began, time), &next, &mut own);
                all.lock().unwrap().append(own);
            });
        }
    });
    Heard { elapsed: began.elapsed().as_secs_f64(), ..all.into_inner().unwrap() }
}

/// One session's part: whichever is due next is its.
fn session(port: u16, pace: &Pace<'_>, (began, time): (Instant, Duration), next: &AtomicU32, heard: &mut Heard) {
    let content = content(pace.id, pace.length);
    let mut sender = None;
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        let after = Duration::from_secs_f64(f64::from(number) / pace.a_second);
        if after >= time {
            return;
        }
        let due = began + after;
        thread::sleep(due.saturating_duration_since(Instant::now()));
        let open = match sender.take() {
            Some(open) => Ok(open),
            None => Sender::connect(port, pace.from, pace.id),
        };
        let mut open = match open {
            Ok(open) => open,
            Err(code) => {
                heard.refuse(code.unwrap_or(0), began);
                thread::sleep(BREATH);
                continue;
            }
        };
        match open.send(&content) {
            Told::Taken(dot) => {
                heard.dots.push(dot);
                heard.since_due.push(due.elapsed().as_secs_f64() * 1000.0);
            }
            Told::Refused(code) => heard.refuse(code, began),
            Told::Gone => heard.refuse(0, began),
        }
        sender = Some(open).filter(|open| !open.over);
    }
}
