//! What is known of the log from elsewhere than its files, so that a shortened one can't pass for whole.

use std::path::PathBuf;

use super::stopped::{self, Stopped};
use super::{Fault, Verdict, altered};
use crate::mail::id::MessageId;
use crate::merkle::gap::Gap;
use crate::merkle::note::Verifier;
use crate::merkle::{Frontier, Hash};

/// All that verification compares the files with, beside the key.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// The event that the files are to begin with: not 0 when earlier months are kept elsewhere. With 0, a beginning that was
    /// removed as the log itself says is no fault.
    pub from: u64,
    /// Events that the running service has put into the files.
    pub published: Option<u64>,
    /// Why the files don't have the newest events yet.
    pub waiting: Option<String>,
    /// Events that it has.
    pub events: Option<u64>,
    /// The state directory: its database may have what was not published.
    pub state: Option<PathBuf>,
    /// The first event whose leaf hash the running service has.
    pub hashes: Option<u64>,
    /// The events that order an erasure which the service has not carried out yet.
    pub erasing: Vec<u64>,
    /// Why the service can't say which these are.
    pub erasing_unknown: Option<String>,
    pub heads: Vec<KnownHead>,
    /// The time that the files should tell everything up to; none for a copy that was made nobody knows when.
    pub as_of_us: Option<u64>,
    /// Keys that the log was signed with before its present one, the oldest first.
    pub older: Vec<Verifier>,
    /// Messages that the service said it had accepted.
    pub accepted: Vec<MessageId>,
    /// Take the stored hashes of events for granted: what remains is the tree, its heads, and where it ends.
    pub quick: bool,
}

/// A head that somebody else keeps.
#[derive(Clone, Debug)]
pub struct KnownHead {
    /// Whose it is, in words.
    pub what: String,
    pub size: u64,
    pub root: Hash,
    /// What a log is that contradicts it, or ends before it.
    pub verdict: Verdict,
    /// The gap that it declares.
    pub gap: Option<Gap>,
}

impl KnownHead {
    /// Whether it is of a history that was given up: it lies in what one of the gaps declares lost, and is no head of what
    /// came after that gap.
    fn is_given_up(&self, gaps: &[Gap]) -> bool {
        let after = gaps.iter().position(|gap| self.gap == Some(*gap)).map_or(0, |at| at + 1);
        let lost = |gap: &Gap| {
            gap.kept < self.size
                && (self.size < gap.old_size || (self.size == gap.old_size && self.root == gap.old_root))
        };
        gaps.iter().skip(after).any(lost)
    }

    /// `why`: why the database beside the files doesn't account for it, if that is known.
    fn is_missing(&self, size: u64, why: &str) -> Fault {
        let Self { what, size: signed, verdict, .. } = self;
        let mut what = format!("the log ends at event {size}, but {what} is of {signed} events");
        if *verdict == Verdict::Altered {
            what += ": they were removed";
        }
        if !why.is_empty() {
            what = format!("{what}, and they can't be found in the vault's database either: {why}");
        }
        Fault { verdict: *verdict, what }
    }
}

impl Known {
    /// Whether the files begin where they should. `pruned`: an event says that what was before it was removed.
    pub fn begins(&self, first: u64, pruned: bool) -> Result<(), Fault> {
        if self.from == 0 && first > 0 && !pruned {
            let what = format!(
                "the log begins with event {first} instead of 0, and no event says that those before it were removed: if \
                 they are kept elsewhere, say `--from {first}`"
            );
            return Err(Fault { verdict: Verdict::Erased, what });
        }
        if first != self.from && self.from != 0 {
            return Err(altered(format!(
                "the log begins with event {first} instead of {}: if the ones before it are kept elsewhere, say `--from {first}`",
                self.from
            )));
        }
        match self.heads.iter().find(|head| head.size < first) {
            Some(KnownHead { what, size, .. }) => {
                let what = format!("{what} is of {size} events, before event {first}: it can't be compared");
                Err(Fault { verdict: Verdict::Usage, what })
            }
            None => Ok(()),
        }
    }

    /// Whether everything that was to be erased is. `order`: the first event of those whose orders are not carried out, and why
    /// it isn't known whether that is so.
    pub fn erased(&self, order: Option<(u64, Option<&str>)>) -> Result<(), Fault> {
        let what = match order {
            Some((event, Some(why))) => format!(
                "what event {event} says was erased is still there, and whether the service waits to erase it can't be judged: \
                 {why}"
            ),
            Some((event, None)) => {
                let next = if self.is_unasked() { "start the service" } else { "close the reader" };
                format!(
                    "what event {event} says was erased is not yet: somebody reads, or read, one of the files without end; \
                     {next} and verify again"
                )
            }
            None => return Ok(()),
        };
        Err(Fault { verdict: Verdict::Unsealed, what })
    }

    /// Whether no service answers for the files of a state directory.
    pub fn is_unasked(&self) -> bool {
        self.state.is_some() && self.published.is_none() && self.waiting.is_none()
    }

    /// Whether the vault's database may have what the files don't.
    pub fn asks_database(&self) -> bool {
        self.is_unasked() || (self.waiting.is_some() && !self.heads.is_empty())
    }

    /// A fault of the vault's database, with its path.
    pub fn in_database(&self, fault: &Fault) -> Fault {
        let path = self.state.as_deref().map(stopped::path).unwrap_or_default();
        Fault { what: format!("{}: {}", path.display(), fault.what), ..fault.clone() }
    }

    /// The heads of that size that aren't of the log as far as it was read.
    pub fn against(&self, log: &Frontier) -> impl Iterator<Item = &KnownHead> {
        self.heads.iter().filter(|head| head.size == log.size && head.root != log.root())
    }

    /// Whether the heads that contradict the log are all of a history that it says was given up. Gives how many are.
    pub fn judge(against: &[&KnownHead], gaps: &[Gap]) -> Result<usize, Fault> {
        match against.iter().find(|head| !head.is_given_up(gaps)) {
            Some(KnownHead { what, size, verdict, .. }) => {
                Err(Fault { verdict: *verdict, what: format!("the log up to event {size} isn't the one of {what}") })
            }
            None => Ok(against.len()),
        }
    }

    /// Whether files with the events from `first` up to the end of `files` can be all there is.
    pub fn ends(
        &self,
        first: u64,
        files: &Frontier,
        gaps: &[Gap],
        database: Option<&Result<Stopped, Fault>>,
    ) -> Result<(), Fault> {
        let size = files.size;
        let missing = self.heads.iter().filter(|head| head.size > size && !head.is_given_up(gaps));
        let missing: Vec<&KnownHead> = missing.collect();
        // What had been there doesn't wait.
        let were_there = self.published.is_some_and(|published| published > size);
        let why = if were_there { String::new() } else { self.waits(database, files, &missing)? };
        if let Some(fork) = missing.iter().find(|head| head.verdict == Verdict::Fork) {
            return Err(fork.is_missing(size, &why));
        }
        if let Some(published) = self.published.filter(|published| *published > size) {
            return Err(altered(format!(
                "the log ends at event {size}, but the service has put {published} events into it: they were removed"
            )));
        }
        // Before the sealer's head, which is ahead of the files as long as they wait.
        if let Some(what) = self.waiting.clone() {
            return Err(Fault { verdict: Verdict::Unsealed, what });
        }
        match missing.first() {
            Some(head) => Err(head.is_missing(size, &why)),
            None if size == first => {
                Err(altered("there is no event at all, and a log begins with the service's start"))
            }
            None => Ok(()),
        }
    }
}
