//! The anchors that the sealer makes by itself, so that a vault that was taken over can't stop them: a line in an
//! append-only file that it was handed, and a line in its log, which the parent copies to syslog.
//!
//! Each file has a thread of its own: a disk that hangs holds up neither the signing nor the other anchors.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::config::slice::NearAnchor;
use crate::ipc::sealing::Anchored;
use crate::merkle::anchor;
use crate::sandbox::policy::LARGEST_ANCHOR;

/// What failed is tried again with the first head after this time.
const AGAIN: Duration = Duration::from_secs(60);
/// Orders of further heads that an anchor obeys: so many at once, and one more each time. Whoever took the vault over could
/// fill a file, or syslog, with heads that are all good.
const MOST_ORDERS: u32 = 5;
const REFILL: Duration = Duration::from_secs(10);
/// Outcomes that wait until the vault asks for them; older ones are forgotten.
const MOST_OUTCOMES: usize = 64;
/// A file that was deleted under its anchor.
const GONE: &str = "its file was deleted, and what is written there is lost: restart the service, which makes it anew, and \
                    rotate it by copying and emptying it (copytruncate)";
/// The threads do a write and a sync.
const STACK: usize = 128 * 1024;

/// What the thread of a file is to do for the head of that size.
struct Job {
    size: u64,
    /// To be appended; none where the line is there already, and only whether the file is has to be looked at.
    line: Option<String>,
}

/// The last head that an anchor was given, and whether it is known to be there.
struct Given {
    size: u64,
    note: String,
    is_there: bool,
}

struct Anchor {
    name: String,
    every: Duration,
    /// When it is to be made again.
    due: Option<Instant>,
    /// To the thread of its file; none is the log.
    file: Option<SyncSender<Job>>,
    last: Option<Given>,
    /// Orders left, and since when that is counted.
    orders: (u32, Instant),
}

impl Anchor {
    /// Whether another order may be obeyed now; it counts.
    fn may(&mut self, now: Instant) -> bool {
        let (left, since) = &mut self.orders;
        while *left < MOST_ORDERS && now.saturating_duration_since(*since) >= REFILL {
            (*left, *since) = (*left + 1, *since + REFILL);
        }
        if *left == MOST_ORDERS {
            *since = now;
        }
        let Some(fewer) = left.checked_sub(1) else { return false };
        *left = fewer;
        true
    }
}

pub struct Anchors {
    all: Vec<Anchor>,
    outcomes: Receiver<Anchored>,
    done: Sender<Anchored>,
    /// Of orders for which nothing was made.
    answers: Vec<Anchored>,
}

impl Anchors {
    /// Starts the threads, and so must come before the seal. `file` gives the descriptor of a number.
    pub fn start(slice: Vec<NearAnchor>, mut file: impl FnMut(u16) -> Result<File, String>) -> Result<Self, String> {
        let (done, outcomes) = channel();
        let mut all = Vec::new();
        for NearAnchor { name, every, file: number } in slice {
            let file = match number {
                Some(number) => Some(Writing::start(name.clone(), file(number)?, done.clone())?),
                None => None,
            };
            all.push(Anchor { name, every, due: None, file, last: None, orders: (MOST_ORDERS, Instant::now()) });
        }
        Ok(Self { all, outcomes, done, answers: Vec::new() })
    }

    /// A head was signed: those whose time has come get it.
    pub fn signed(&mut self, size: u64, note: &str, now: Instant) {
        self.make(size, note, now, |anchor| anchor.due.is_none_or(|due| due <= now));
    }

    /// Makes those of that name, or all, now; where that head is already, nothing is to be made.
    pub fn order(&mut self, size: u64, note: &str, name: Option<&str>, now: Instant) {
        let mut wanted = Vec::new();
        for anchor in self.all.iter_mut().filter(|anchor| name.is_none_or(|name| anchor.name == name)) {
            let failed = match &anchor.last {
                Some(last) if last.note == note && last.is_there => match &anchor.file {
                    None => None,
                    Some(file) => {
                        // Where another look waits, the answer of that one is on the way.
                        let _ = file.try_send(Job { size, line: None });
                        continue;
                    }
                },
                // Its outcome is on the way.
                Some(last) if last.note == note => continue,
                _ => {
                    if anchor.may(now) {
                        wanted.push(anchor.name.clone());
                        continue;
                    }
                    Some(format!("too many orders: it takes one in {} s", REFILL.as_secs()))
                }
            };
            self.answers.push(Anchored { name: anchor.name.clone(), size, failed });
        }
        self.make(size, note, now, |anchor| wanted.contains(&anchor.name));
    }

    fn make(&mut self, size: u64, note: &str, now: Instant, which: impl Fn(&Anchor) -> bool) {
        if !self.all.iter().any(&which) {
            return;
        }
        // Its own note has its own signature.
        let Some(line) = anchor::line(note) else { return };
        for anchor in self.all.iter_mut().filter(|anchor| which(anchor)) {
            anchor.last = Some(Given { size, note: note.to_owned(), is_there: false });
            let failed = match &anchor.file {
                None => {
                    tracing::info!("{line}");
                    Some(None)
                }
                // It may be the last line that still hangs: the next one comes with a later head.
                Some(file) => match file.try_send(Job { size, line: Some(line.clone()) }) {
                    Ok(()) => None,
                    Err(_) => Some(Some("the line before it is not written yet: does the disk hang?".to_owned())),
                },
            };
            anchor.due = Some(now + anchor.every);
            if let Some(failed) = failed {
                let _ = self.done.send(Anchored { name: anchor.name.clone(), size, failed });
            }
        }
    }

    /// What became of them since the last time.
    pub fn outcomes(&mut self, now: Instant) -> Vec<Anchored> {
        let mut outcomes: Vec<Anchored> = self.outcomes.try_iter().collect();
        outcomes.drain(..outcomes.len().saturating_sub(MOST_OUTCOMES));
        for Anchored { name, size, failed } in &outcomes {
            for anchor in self.all.iter_mut().filter(|anchor| anchor.name == *name) {
                // What failed may be ordered again.
                anchor.last.take_if(|last| last.size == *size && failed.is_some());
                if let Some(last) = anchor.last.as_mut().filter(|last| last.size == *size) {
                    last.is_there = true;
                }
            }
            let Some(failed) = failed else { continue };
            tracing::error!(anchor = name, failed, "a head could not be anchored");
            for anchor in self.all.iter_mut().filter(|anchor| anchor.name == *name) {
                anchor.due = Some(now + AGAIN.min(anchor.every));
            }
        }
        outcomes.append(&mut self.answers);
        outcomes
    }
}

/// The thread of one file.
struct Writing {
    name: String,
    file: File,
    /// The file does not end with a whole line.
    torn: bool,
    done: Sender<Anchored>,
}

impl Writing {
    fn start(name: String, file: File, done: Sender<Anchored>) -> Result<SyncSender<Job>, String> {
        let failed = |error: io::Error| format!("the file of the anchor {name:?}: {error}");
        let torn = is_torn(&file).map_err(failed)?;
        // One line waits while another is written.
        let (queue, jobs) = sync_channel(1);
        let mut writing = Self { name: name.clone(), file, torn, done };
        let thread = thread::Builder::new().name("anchor".into()).stack_size(STACK);
        thread.spawn(move || writing.work(&jobs)).map_err(failed)?;
        Ok(queue)
    }

    fn work(&mut self, jobs: &Receiver<Job>) {
        while let Ok(Job { size, line }) = jobs.recv() {
            let done = line.map_or(Ok(()), |line| self.write(&line)).and_then(|()| self.look());
            let failed = done.err().map(|error| error.to_string());
            if self.done.send(Anchored { name: self.name.clone(), size, failed }).is_err() {
                return;
            }
        }
    }

    /// Appends a line in one write, and syncs it. What a failure left of a line is ended first.
    fn write(&mut self, line: &str) -> io::Result<()> {
        let line = format!("{}{line}\n", if self.torn { "\n" } else { "" });
        let length = self.file.metadata()?.len();
        if length.saturating_add(u64::try_from(line.len()).unwrap_or(u64::MAX)) > LARGEST_ANCHOR {
            return Err(io::Error::other(format!("it has reached {} MiB: put it away", LARGEST_ANCHOR >> 20)));
        }
        self.torn = true;
        self.file.write_all(line.as_bytes())?;
        self.file.sync_data()?;
        self.torn = false;
        Ok(())
    }

    /// A line in a file without a name is gone with this process.
    fn look(&self) -> io::Result<()> {
        if self.file.metadata()?.nlink() == 0 {
            return Err(io::Error::other(GONE));
        }
        Ok(())
    }
}

fn is_torn(file: &File) -> io::Result<bool> {
    let Some(last) = file.metadata()?.len().checked_sub(1) else { return Ok(false) };
    let mut octet = [0];
    file.read_exact_at(&mut octet, last)?;
    Ok(octet != *b"\n")
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;

    use super::*;
    use crate::sealer::key::LogKey;
    use crate::secret::Secret;

    const HOUR: Duration = Duration::from_secs(3600);

    fn note(size: u64) -> String {
        LogKey::new("gate.example.net/audit", &Secret::new([9; 32])).unwrap().sign(size, [1; 32])
    }

    fn near(name: &str, file: Option<u16>) -> NearAnchor {
        NearAnchor { name: name.into(), every: HOUR, file }
    }

    /// Waits for so many outcomes.
    fn outcomes(anchors: &mut Anchors, count: usize) -> Vec<Anchored> {
        let mut all = Vec::new();
        while all.len() < count {
            all.push(anchors.outcomes.recv_timeout(Duration::from_secs(20)).unwrap());
        }
        all
    }

    #[test]
    fn a_head_is_appended_once_in_its_time_and_a_torn_line_is_ended_before() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("anchors");
        std::fs::write(&path, "audit-anchor/1 cut in the mid").unwrap();
        let open = |_| Ok(OpenOptions::new().read(true).append(true).open(&path).unwrap());
        let mut anchors = Anchors::start(vec![near("disk", Some(0)), near("log", None)], open).unwrap();
        let start = Instant::now();
        anchors.signed(3, &note(3), start);
        anchors.signed(4, &note(4), start + HOUR / 2);
        assert_eq!(outcomes(&mut anchors, 2).len(), 2);
        anchors.signed(5, &note(5), start + HOUR);
        outcomes(&mut anchors, 2);
        anchors.order(6, &note(6), Some("disk"), start);
        let ordered = outcomes(&mut anchors, 1);
        assert_eq!(ordered, [Anchored { name: "disk".into(), size: 6, failed: None }]);
        let text = std::fs::read_to_string(&path).unwrap();
        let expected: Vec<String> = [3, 5, 6].iter().map(|size| anchor::line(&note(*size)).unwrap()).collect();
        assert_eq!(text, format!("audit-anchor/1 cut in the mid\n{}\n", expected.join("\n")));
    }

    #[test]
    fn a_line_in_a_file_that_was_deleted_is_kept_nowhere() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("anchors");
        let open = |_| Ok(OpenOptions::new().read(true).append(true).create(true).open(&path).unwrap());
        let mut anchors = Anchors::start(vec![near("disk", Some(0))], open).unwrap();
        let start = Instant::now();
        let outcomes = |anchors: &mut Anchors, now| {
            loop {
                let all = anchors.outcomes(now);
                if !all.is_empty() {
                    break all;
                }
                thread::yield_now();
            }
        };
        anchors.signed(3, &note(3), start);
        assert_eq!(outcomes(&mut anchors, start)[0].failed, None);
        std::fs::remove_file(&path).unwrap();
        // The head that was there is not there any more, and a later one can't be.
        for size in [3, 4] {
            anchors.order(size, &note(size), None, start);
            let all = outcomes(&mut anchors, start);
            let [Anchored { failed: Some(why), .. }] = &all[..] else { panic!("it is not kept") };
            assert!(why.contains("deleted") && why.contains("restart"), "{why}");
        }
    }

    #[test]
    fn whoever_orders_without_end_gets_answers_and_no_lines() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("anchors");
        let open = |_| Ok(OpenOptions::new().read(true).append(true).create(true).open(&path).unwrap());
        let mut anchors = Anchors::start(vec![near("disk", Some(0))], open).unwrap();
        let start = Instant::now();
        let mut answers = |size: u64, now: Instant| {
            anchors.order(size, &note(size), None, now);
            loop {
                match anchors.outcomes(now).pop() {
                    Some(Anchored { failed, .. }) => break failed.is_none(),
                    None => thread::yield_now(),
                }
            }
        };
        for _ in 0..100 {
            assert!(answers(3, start));
        }
        let lines = || std::fs::read_to_string(&path).unwrap().lines().count();
        assert_eq!(lines(), 1, "it is there already");
        assert_eq!((4..100).filter(|size| answers(*size, start)).count(), 4, "one was used");
        assert!(!answers(101, start + REFILL - Duration::from_millis(1)) && answers(101, start + REFILL));
        assert!(answers(101, start + REFILL) && !answers(102, start + REFILL));
        assert_eq!(lines(), 6);
        assert_eq!((200..300).filter(|size| answers(*size, start + HOUR)).count(), 5);
    }

    #[test]
    fn what_cannot_be_written_is_said_and_tried_again_soon() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("anchors");
        std::fs::write(&path, "").unwrap();
        let open = |_| Ok(File::open(&path).unwrap());
        let mut anchors = Anchors::start(vec![near("disk", Some(0))], open).unwrap();
        let start = Instant::now();
        anchors.signed(3, &note(3), start);
        let mut found = Vec::new();
        while found.is_empty() {
            found = anchors.outcomes(start);
            thread::yield_now();
        }
        assert!(found[0].failed.is_some());
        anchors.signed(4, &note(4), start + AGAIN / 2);
        anchors.signed(5, &note(5), start + AGAIN);
        assert_eq!(outcomes(&mut anchors, 1)[0].size, 5);
    }
}
