//! A model of a disk that forgets: what was synced stays, and of the rest it is decided anew for each file, each write and
//! each name whether it stays.
//!
//! It promises no more than POSIX: the sync of a file makes its octets and length durable, not its name; the sync of a
//! directory makes the names in it durable. Writes that were not synced stay or go one by one, in any order, torn at
//! sectors of 512 octets. Real file systems keep more.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use super::dice::Dice;
use super::strace::{Change, without_name};

/// A disk writes sectors whole (SQLite relies on it, too: "powersafe overwrite").
const SECTOR: usize = 512;

/// What happens to what was not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Lost,
    Kept,
    /// All but the last write, or name, are lost.
    Last,
    /// Each write by its own luck.
    Mixed,
}

#[derive(Clone, Debug)]
enum Write {
    Octets { at: usize, octets: Vec<u8> },
    Truncate(usize),
    Allocate(usize),
}

#[derive(Clone, Debug, Default)]
struct Node {
    durable: Vec<u8>,
    /// Since the last sync, in their order.
    pending: Vec<Write>,
    length: usize,
    /// Where a write without an offset goes.
    cursor: usize,
    append: bool,
}

type Number = usize;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Entry {
    File(Number),
    Folder(Number),
}

#[derive(Clone, Debug)]
enum Naming {
    Put(String, Entry),
    Gone(String),
    /// Old name, new name: one step, or none.
    Moved(String, String, Entry),
}

#[derive(Clone, Debug, Default)]
struct Folder {
    durable: BTreeMap<String, Entry>,
    now: BTreeMap<String, Entry>,
    pending: Vec<Naming>,
}

/// The tree below one directory, which itself is durable.
#[derive(Clone, Debug)]
pub struct Disk {
    files: Vec<Node>,
    folders: Vec<Folder>,
    /// Syncs under way: what they will have made durable, by thread.
    syncing: HashMap<u32, (Entry, usize)>,
    /// Files that lost their name last, by what they are called since: a durable directory may still have it.
    nameless: HashMap<PathBuf, Entry>,
}

impl Default for Disk {
    fn default() -> Self {
        Self { files: Vec::new(), folders: vec![Folder::default()], syncing: HashMap::new(), nameless: HashMap::new() }
    }
}

impl Disk {
    pub fn apply(&mut self, change: &Change) {
        match change {
            Change::Open { path, make, truncate, append } => self.open(path, *make, *truncate, *append),
            Change::Write { path, at, octets } => {
                let file = self.file(path);
                let at = at.map(|at| usize::try_from(at).unwrap());
                let at = at.unwrap_or(if file.append { file.length } else { file.cursor });
                file.cursor = at + octets.len();
                file.length = file.length.max(file.cursor);
                file.pending.push(Write::Octets { at, octets: octets.clone() });
            }
            Change::Truncate { path, length } => {
                let file = self.file(path);
                file.length = usize::try_from(*length).unwrap();
                file.pending.push(Write::Truncate(file.length));
            }
            Change::Allocate { path, length } => {
                let file = self.file(path);
                file.length = file.length.max(usize::try_from(*length).unwrap());
                file.pending.push(Write::Allocate(file.length));
            }
            Change::SyncBegins { thread, path } => {
                let Some(entry) = self.entry(path) else { return };
                let pending = match entry {
                    Entry::File(number) => self.files[number].pending.len(),
                    Entry::Folder(number) => self.folders[number].pending.len(),
                };
                self.syncing.insert(*thread, (entry, pending));
            }
            Change::SyncEnds { thread } => {
                let Some((entry, pending)) = self.syncing.remove(thread) else { return };
                self.synced(entry, pending);
            }
            Change::Rename { from, to } => self.rename(from, to),
            Change::Remove { path } => {
                let (folder, name) = self.place(path);
                let gone = folder.now.remove(&name);
                folder.pending.push(Naming::Gone(name));
                self.nameless.extend(gone.map(|entry| (without_name(path), entry)));
            }
            Change::MakeFolder { path } => {
                let entry = Entry::Folder(self.folders.len());
                self.folders.push(Folder::default());
                self.put(path, entry);
            }
        }
    }

    fn open(&mut self, path: &Path, make: bool, truncate: bool, append: bool) {
        match self.entry(path) {
            Some(Entry::File(_)) => {}
            Some(Entry::Folder(_)) => return,
            None => {
                assert!(make, "{} is opened and was never made", path.display());
                let entry = Entry::File(self.files.len());
                self.files.push(Node::default());
                self.put(path, entry);
            }
        }
        let file = self.file(path);
        (file.cursor, file.append) = (0, append);
        if truncate && file.length > 0 {
            file.length = 0;
            file.pending.push(Write::Truncate(0));
        }
    }

    fn synced(&mut self, entry: Entry, pending: usize) {
        match entry {
            Entry::File(number) => {
                let file = &mut self.files[number];
                // Another thread's sync may have taken some of them meanwhile.
                let pending = pending.min(file.pending.len());
                for write in file.pending.drain(..pending).collect::<Vec<_>>() {
                    write.apply(&mut file.durable);
                }
            }
            Entry::Folder(number) => {
                let folder = &mut self.folders[number];
                let pending = pending.min(folder.pending.len());
                for naming in folder.pending.drain(..pending).collect::<Vec<_>>() {
                    naming.apply(&mut folder.durable);
                }
            }
        }
    }

    fn rename(&mut self, from: &Path, to: &Path) {
        let entry = self.entry(from).unwrap_or_else(|| panic!("{} was renamed and is unknown", from.display()));
        assert_eq!(from.parent(), to.parent(), "a file is moved between directories, which the model doesn't know");
        let (_, new) = self.place(to);
        let (folder, old) = self.place(from);
        folder.now.remove(&old);
        let gone = folder.now.insert(new.clone(), entry);
        folder.pending.push(Naming::Moved(old, new, entry));
        self.nameless.extend(gone.map(|entry| (without_name(to), entry)));
    }

    fn put(&mut self, path: &Path, entry: Entry) {
        let (folder, name) = self.place(path);
        folder.now.insert(name.clone(), entry);
        folder.pending.push(Naming::Put(name, entry));
    }

    fn entry(&self, path: &Path) -> Option<Entry> {
        if let Some(entry) = self.nameless.get(path) {
            return Some(*entry);
        }
        let mut entry = Entry::Folder(0);
        for part in path.components() {
            let Entry::Folder(number) = entry else { return None };
            entry = *self.folders[number].now.get(part.as_os_str().to_str().unwrap())?;
        }
        Some(entry)
    }

    fn file(&mut self, path: &Path) -> &mut Node {
        match self.entry(path) {
            Some(Entry::File(number)) => &mut self.files[number],
            other => panic!("{} is no file: {other:?}", path.display()),
        }
    }

    /// The directory of a path, and its name there.
    fn place(&mut self, path: &Path) -> (&mut Folder, String) {
        let parent = path.parent().unwrap_or(Path::new(""));
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        match self.entry(parent) {
            Some(Entry::Folder(number)) => (&mut self.folders[number], name),
            other => panic!("{} is no directory: {other:?}", parent.display()),
        }
    }

    /// Whether a file holds these octets whatever is forgotten, also one without a name.
    pub fn holds(&self, octets: &[u8]) -> bool {
        self.files.iter().any(|file| file.durable.windows(octets.len()).any(|part| part == octets))
    }

    /// Writes below `to` what may be left after a power cut now. `fate` says what happens to a file's unsynced writes, or to
    /// a directory's unsynced names.
    pub fn after_a_cut(&self, to: &Path, dice: &mut Dice, fate: &mut impl FnMut(&Path) -> Fate) {
        self.leave(0, Path::new(""), to, dice, fate);
    }

    fn leave(&self, number: Number, path: &Path, to: &Path, dice: &mut Dice, fate: &mut impl FnMut(&Path) -> Fate) {
        let folder = &self.folders[number];
        let mut names = folder.durable.clone();
        let luck = fate(path);
        for (at, naming) in folder.pending.iter().enumerate() {
            let stays = match luck {
                Fate::Lost => false,
                Fate::Kept => true,
                Fate::Last => at + 1 == folder.pending.len(),
                Fate::Mixed => dice.one_in(2),
            };
            if stays {
                naming.apply(&mut names);
            }
        }
        for (name, entry) in names {
            let (inner, outer): (PathBuf, PathBuf) = (path.join(&name), to.join(&name));
            match entry {
                Entry::Folder(number) => {
                    fs::create_dir(&outer).unwrap();
                    self.leave(number, &inner, &outer, dice, fate);
                }
                Entry::File(number) => {
                    let luck = fate(&inner);
                    fs::write(&outer, self.files[number].after_a_cut(luck, dice)).unwrap();
                }
            }
        }
    }
}

impl Node {
    fn after_a_cut(&self, fate: Fate, dice: &mut Dice) -> Vec<u8> {
        let mut content = self.durable.clone();
        for (at, write) in self.pending.iter().enumerate() {
            match fate {
                Fate::Lost => {}
                Fate::Last if at + 1 < self.pending.len() => {}
                Fate::Kept | Fate::Last => write.apply(&mut content),
                Fate::Mixed if dice.one_in(2) => {}
                Fate::Mixed => write.apply_torn(&mut content, dice),
            }
        }
        content
    }
}

impl Write {
    fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Self::Octets { at, octets } => put(content, *at, octets),
            Self::Truncate(length) => content.resize(*length, 0),
            Self::Allocate(length) => content.resize((*length).max(content.len()), 0),
        }
    }

    /// One in three is torn: some of its sectors come through.
    fn apply_torn(&self, content: &mut Vec<u8>, dice: &mut Dice) {
        let Self::Octets { at, octets } = self else { return self.apply(content) };
        if !dice.one_in(3) {
            return self.apply(content);
        }
        let mut from = *at;
        while from < at + octets.len() {
            // Sectors of the file, not of the write.
            let end = ((from / SECTOR + 1) * SECTOR).min(at + octets.len());
            if dice.one_in(2) {
                put(content, from, &octets[from - at..end - at]);
            }
            from = end;
        }
    }
}

fn put(content: &mut Vec<u8>, at: usize, octets: &[u8]) {
    if content.len() < at + octets.len() {
        content.resize(at + octets.len(), 0);
    }
    content[at..at + octets.len()].copy_from_slice(octets);
}

impl Naming {
    fn apply(&self, names: &mut BTreeMap<String, Entry>) {
        match self {
            Self::Put(name, entry) => drop(names.insert(name.clone(), *entry)),
            Self::Gone(name) => drop(names.remove(name)),
            Self::Moved(from, to, entry) => {
                names.remove(from);
                names.insert(to.clone(), *entry);
            }
        }
    }
}
