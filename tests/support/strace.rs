//! The record of what a service did to its files: the lines of `strace` as a list of changes and syncs, in their order.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

/// The calls that change files, names, or make them durable.
const CALLS: &str = "openat,open,creat,write,pwrite64,writev,pwritev,pwritev2,ftruncate,truncate,fallocate,\
    copy_file_range,fsync,fdatasync,sync_file_range,rename,renameat,renameat2,unlink,unlinkat,mkdir,mkdirat,rmdir,link,\
    linkat,symlink,symlinkat,lseek";

/// What happened, to a path relative to the root of the record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Opened; made when it was not there and `make`.
    Open {
        path: PathBuf,
        make: bool,
        truncate: bool,
        append: bool,
    },
    /// `at` is none for a write where the last one ended.
    Write {
        path: PathBuf,
        at: Option<u64>,
        octets: Vec<u8>,
    },
    Truncate {
        path: PathBuf,
        length: u64,
    },
    /// At least that long from now on, with zeros.
    Allocate {
        path: PathBuf,
        length: u64,
    },
    /// A sync begins; what was written before it is durable when it ends.
    SyncBegins {
        thread: u32,
        path: PathBuf,
    },
    SyncEnds {
        thread: u32,
    },
    Rename {
        from: PathBuf,
        to: PathBuf,
    },
    Remove {
        path: PathBuf,
    },
    MakeFolder {
        path: PathBuf,
    },
}

#[derive(Clone, Debug)]
pub struct Entry {
    /// Unix time in microseconds, never decreasing.
    pub at_us: u64,
    pub change: Change,
}

/// The words before a command that have it recorded in a file. The command is the process that was started, as without.
pub fn recording(to: &Path) -> Vec<String> {
    // -D: the tracer is the grandchild; -y: descriptors with their paths; -xx: all octets in hexadecimal.
    let fixed = ["strace", "-D", "-f", "-q", "-y", "-xx", "-s", "99999999", "-ttt", "--seccomp-bpf"];
    let mut words: Vec<String> = fixed.map(str::to_owned).to_vec();
    words.extend(["-e".to_owned(), format!("trace={CALLS}"), "-o".to_owned(), to.to_str().unwrap().to_owned()]);
    words
}

/// Several records as one, by their times. What a process does because of what another one did comes after it by far more
/// than the clock's steps.
pub fn merge(records: impl IntoIterator<Item = Vec<Entry>>) -> Vec<Entry> {
    let mut entries: Vec<Entry> = records.into_iter().flatten().collect();
    entries.sort_by_key(|entry| entry.at_us);
    entries
}

/// How a file is called that had this name, and lost it to another one or to a removal, while it is still open.
pub fn without_name(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(" (deleted)");
    name.into()
}

/// Reads what was recorded below `root`. A process that is locked into `root` names its files from there on, too.
pub fn read(record: &Path, root: &Path) -> Vec<Entry> {
    let file = BufReader::new(File::open(record).unwrap());
    let mut reader = Reader { root: root.to_owned(), begun: HashMap::new(), entries: Vec::new(), at_us: 0 };
    for line in file.split(b'\n') {
        let line = String::from_utf8(line.unwrap()).expect("everything but hexadecimal is ASCII");
        reader.line(&line);
    }
    reader.entries
}

struct Reader {
    root: PathBuf,
    /// Calls that have begun, by thread.
    begun: HashMap<u32, String>,
    entries: Vec<Entry>,
    at_us: u64,
}

impl Reader {
    fn line(&mut self, line: &str) {
        let mut words = line.splitn(2, ' ');
        let Some(thread) = words.next().and_then(|word| word.parse().ok()) else { return };
        let Some((time, call)) = words.next().and_then(|rest| rest.trim_start().split_once(' ')) else { return };
        let micros: u64 = time.replace('.', "").parse().expect("a time in microseconds");
        self.at_us = self.at_us.max(micros);
        if call.starts_with("+++") || call.starts_with("---") {
            return;
        }
        if let Some(rest) = call.strip_prefix("<... ") {
            let (_, rest) = rest.split_once(" resumed>").expect("a call that goes on");
            let Some(begin) = self.begun.remove(&thread) else { return };
            return self.ended(thread, &format!("{begin}{rest}"));
        }
        match call.strip_suffix(" <unfinished ...>") {
            Some(begin) => {
                self.sync_begins(thread, begin);
                self.begun.insert(thread, begin.to_owned());
            }
            None => {
                self.sync_begins(thread, call);
                self.ended(thread, call);
            }
        }
    }

    fn sync_begins(&mut self, thread: u32, call: &str) {
        let (name, arguments) = call.split_once('(').expect("a call");
        if !matches!(name, "fsync" | "fdatasync") {
            return;
        }
        if let Some(path) = self.descriptor(arguments) {
            self.push(Change::SyncBegins { thread, path });
        }
    }

    /// A call with its result.
    fn ended(&mut self, thread: u32, call: &str) {
        let (name, rest) = call.split_once('(').expect("a call");
        let Some((arguments, result)) = rest.rsplit_once(" = ") else { return };
        // Killed in the middle of it, or refused: whatever it did is not to be relied on.
        if result.starts_with('?') || result.starts_with('-') {
            return;
        }
        let arguments = arguments.trim_end().trim_end_matches(')');
        match name {
            "fsync" | "fdatasync" => {
                if self.descriptor(arguments).is_some() {
                    self.push(Change::SyncEnds { thread });
                }
            }
            "open" | "openat" | "creat" => {
                let Some(path) = self.descriptor(result) else { return };
                let has = |flag: &str| arguments.contains(flag);
                let (make, truncate) = (has("O_CREAT") || name == "creat", has("O_TRUNC") || name == "creat");
                self.push(Change::Open { path, make, truncate, append: has("O_APPEND") });
            }
            "write" | "pwrite64" | "writev" | "pwritev" | "pwritev2" => {
                let Some(path) = self.descriptor(arguments) else { return };
                let written: usize = result.split(' ').next().unwrap().parse().expect("a number of octets");
                let mut octets = strings(arguments).concat();
                octets.truncate(written);
                assert_eq!(octets.len(), written, "the record lacks what was written to {}", path.display());
                let at = name.starts_with('p').then(|| number(arguments, if name == "pwritev2" { 1 } else { 0 }));
                self.push(Change::Write { path, at, octets });
            }
            "ftruncate" => {
                let Some(path) = self.descriptor(arguments) else { return };
                self.push(Change::Truncate { path, length: number(arguments, 0) });
            }
            "fallocate" => {
                let Some(path) = self.descriptor(arguments) else { return };
                let length = number(arguments, 1) + number(arguments, 0);
                self.push(Change::Allocate { path, length });
            }
            "rename" | "renameat" | "renameat2" => {
                let names = strings(arguments);
                let (from, to) = (self.named(&names[0]), self.named(&names[1]));
                if let (Some(from), Some(to)) = (from, to) {
                    self.push(Change::Rename { from, to });
                }
            }
            "unlink" | "unlinkat" | "rmdir" => {
                if let Some(path) = self.named(&strings(arguments)[0]) {
                    self.push(Change::Remove { path });
                }
            }
            "mkdir" | "mkdirat" => {
                if let Some(path) = self.named(&strings(arguments)[0]) {
                    self.push(Change::MakeFolder { path });
                }
            }
            // Only its own buffers; but a writer that seeks would have to be followed here.
            "lseek" => {
                let moves = self.descriptor(arguments).is_some_and(|path| self.writes_on(&path));
                assert!(!moves, "a file is written after a seek, which the record doesn't follow: {call}");
            }
            other => {
                let touches =
                    self.descriptor(arguments).is_some() || strings(arguments).iter().any(|n| self.named(n).is_some());
                assert!(!touches, "the record doesn't know how {other} changes a file: {call}");
            }
        }
    }

    /// Whether the last thing done to it was a write that went on where the one before ended.
    fn writes_on(&self, path: &Path) -> bool {
        self.entries
            .iter()
            .rev()
            .any(|entry| matches!(&entry.change, Change::Write { path: of, at: None, .. } if of == path))
    }

    fn push(&mut self, change: Change) {
        self.entries.push(Entry { at_us: self.at_us, change });
    }

    /// The path behind the first descriptor, when it is ours; as `without_name` when the file has lost it.
    fn descriptor(&self, text: &str) -> Option<PathBuf> {
        let (number, rest) = text.split_once('<')?;
        number.parse::<u32>().ok()?;
        let (path, rest) = rest.split_once('>')?;
        let path = PathBuf::from(String::from_utf8(octets(path)).ok()?);
        let path = path.strip_prefix(&self.root).ok()?;
        Some(if rest.starts_with("(deleted)") { without_name(path) } else { path.to_owned() })
    }

    /// A path that a process named.
    fn named(&self, name: &[u8]) -> Option<PathBuf> {
        let path = PathBuf::from(String::from_utf8(name.to_vec()).ok()?);
        if let Ok(path) = path.strip_prefix(&self.root) {
            return Some(path.to_owned());
        }
        // The vault works in its state directory, which may be the root of all that it sees.
        let inner = path.strip_prefix("/").or_else(|_| path.strip_prefix(".")).unwrap_or(&path);
        ["db", "audit"].iter().any(|folder| inner.starts_with(folder)).then(|| inner.to_owned())
    }
}

/// The strings of a call.
fn strings(arguments: &str) -> Vec<Vec<u8>> {
    assert!(!arguments.contains("\"..."), "strace cut a string short");
    arguments.split('"').skip(1).step_by(2).map(octets).collect()
}

/// The argument so many before the last one.
fn number(arguments: &str, before_last: usize) -> u64 {
    let word = arguments.rsplit(", ").nth(before_last).expect("an argument");
    word.parse().unwrap_or_else(|_| panic!("{word:?} is no number"))
}

/// `\x2f\x64` and so on.
fn octets(hexadecimal: &str) -> Vec<u8> {
    let digit = |octet: u8| match octet {
        b'0'..=b'9' => octet - b'0',
        _ => octet - b'a' + 10,
    };
    hexadecimal.as_bytes().as_chunks::<4>().0.iter().map(|[_, _, high, low]| digit(*high) * 16 + digit(*low)).collect()
}
