//! What arrives at the upstream, and when.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use gatepost::sink::{Received, Sink};

use super::senders::unix_us;
use super::{PATIENCE, Service};

/// By subject, each time it came: when, before that was acknowledged (Unix time in microseconds), and what.
pub type Arrived = BTreeMap<String, Vec<(u64, Vec<u8>)>>;

pub struct Arrivals {
    stop: Arc<AtomicBool>,
    subjects: Arc<Mutex<Arrived>>,
    thread: JoinHandle<()>,
}

impl Arrivals {
    pub fn collect(sink: Sink) -> Self {
        let (stop, subjects) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Arrived::new())));
        let (ended, all) = (Arc::clone(&stop), Arc::clone(&subjects));
        let thread = std::thread::spawn(move || {
            while !ended.load(Ordering::Relaxed) {
                let Some(Received { content, at, .. }) = sink.next(Duration::from_millis(50)) else { continue };
                let head = String::from_utf8_lossy(&content[..content.len().min(4096)]).into_owned();
                let subject = head.lines().find_map(|line| line.strip_prefix("Subject: ")).unwrap_or_default();
                all.lock().unwrap().entry(subject.to_owned()).or_default().push((unix_us(at), content));
            }
        });
        Self { stop, subjects, thread }
    }

    /// Waits until each of these has come.
    pub fn await_all(&self, expected: &[&String], service: &Service) {
        let deadline = Instant::now() + PATIENCE + PATIENCE;
        loop {
            let missing: Vec<_> = {
                let arrived = self.subjects.lock().unwrap();
                expected.iter().filter(|subject| !arrived.contains_key(**subject)).collect()
            };
            if missing.is_empty() {
                return;
            }
            assert!(Instant::now() < deadline, "acknowledged and never delivered: {missing:?}\n{}", service.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub fn stop(self) -> Arrived {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap();
        std::mem::take(&mut self.subjects.lock().unwrap())
    }
}
