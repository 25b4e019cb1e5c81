//! `gatepost audit verify`: the log against its key, and against those who know where it ends: the running service, the
//! sealer's slots, and a signed head that was kept elsewhere.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use super::against;
use super::key;
use super::moment::moment;
use super::place::{Latest, Place, audit_directory};
use super::progress::Progress;
use super::resume::in_no_file;
use crate::cli::out::say;
use crate::merkle::note::Verifier;
use crate::sealer::state::{SLOTS, State};
use crate::vault::audit::archive::{Archive, usage};
use crate::vault::audit::ledger::now_us;
use crate::vault::audit::verify::{self, DeclaredGap, Fault, Known, KnownHead, Summary, Verdict, plain};
use crate::vault::audit::visible::{visible, visible_json};

/// The sealer's directory in the state directory.
const SEAL: &str = "seal";

#[derive(Debug, Args)]
pub struct Verify {
    #[command(flatten)]
    place: Place,
    /// The log's verifier key, or a file that holds it; by default seal/log.vkey of the state directory. After a change of
    /// the key, all of them, the oldest first
    #[arg(long = "key", value_name = "VKEY")]
    keys: Vec<String>,
    /// A signed head of the log that was kept elsewhere: the log must extend it, and every head in the file must be its own
    #[arg(long, value_name = "FILE")]
    head: Vec<PathBuf>,
    /// Any file with signed heads of the log in it, which it must extend: a note, an mbox, a system's log. Those that aren't the
    /// log's are left out beside some that are
    #[arg(long, value_name = "FILE")]
    against: Vec<PathBuf>,
    /// A log of the service: what it says was accepted must be in the audit log
    #[arg(long, value_name = "FILE")]
    acks: Vec<PathBuf>,
    /// A declared gap that is known, by the event that declares it: it is no finding any more
    #[arg(long, value_name = "SEQ")]
    known_gap: Vec<u64>,
    /// Take each event's stored hash for granted: check the tree over them, the signed heads and the end
    #[arg(long)]
    quick: bool,
    /// The event that the files begin with, when earlier months are kept elsewhere
    #[arg(long, value_name = "SEQ", default_value_t = 0)]
    from: u64,
    /// Copies of the files were made at this time (RFC 3339), and should tell everything up to then
    #[arg(long, value_name = "TIME", requires = "directory", value_parser = moment)]
    as_of: Option<jiff::Timestamp>,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

/// A sound log, and what its end was compared with.
struct Sound {
    summary: Summary,
    against: Vec<String>,
    quick: bool,
}

impl Verify {
    pub fn run(&self) -> ExitCode {
        let outcome = self.keys().and_then(|keys| self.verify(&keys));
        let verdict = outcome.as_ref().map_or_else(|fault| fault.verdict, |sound| sound.verdict(&self.known_gap));
        match (&outcome, self.json) {
            (outcome, true) => say!("{}", visible_json(&as_json(outcome, verdict).to_string())),
            // An administrator's words may be in it.
            (Ok(sound), false) => sound.print(&self.known_gap),
            // The words may quote what stands in the files.
            (Err(fault), false) => {
                let what = match fault.verdict {
                    Verdict::Usage | Verdict::Unreadable => "could not be verified",
                    _ => "does not verify",
                };
                eprintln!("gatepost: the log {what}: {}", visible(&fault.what));
            }
        }
        ExitCode::from(verdict.code())
    }

    fn verify(&self, keys: &[Verifier]) -> Result<Sound, Fault> {
        let Some((key, older)) = keys.split_last() else { return Err(usage("there is no key".to_owned())) };
        let (files, mut known) = self.known(keys)?;
        known.older = older.to_vec();
        let range = || Archive::open(&files).ok().map(|archive| (archive.first(), archive.size()));
        let mut progress = Progress::new("verifying", self.json, range);
        let summary = verify::verify(&files, key, &known, |seq| progress.at(seq))?;
        drop(progress);
        let service = known.published.map(|_| "the running service".to_owned());
        Ok(Sound { summary, against: service.into_iter().chain(compared(&known.heads)).collect(), quick: self.quick })
    }

    /// The files, and all that is known of them.
    fn known(&self, keys: &[Verifier]) -> Result<(PathBuf, Known), Fault> {
        let mut known = Known { from: self.from, quick: self.quick, ..Known::default() };
        let keys: Vec<&Verifier> = keys.iter().collect();
        for path in &self.head {
            known.heads.extend(against::heads(path, &keys, true)?);
        }
        for path in &self.against {
            known.heads.extend(against::heads(path, &keys, false)?);
        }
        for path in &self.acks {
            known.accepted.extend(against::acceptances(path)?);
        }
        if let Some(path) = &self.place.directory {
            known.as_of_us = self.as_of.and_then(|time| u64::try_from(time.as_microsecond()).ok());
            return Ok((path.clone(), known));
        }
        known.as_of_us = Some(now_us());
        let places = self.place.places().map_err(usage)?;
        // The slots first: whatever they say by now is published when the service is asked after it.
        known.heads.extend(sealed(&places.state_directory.join(SEAL))?);
        let latest = Latest::of(&places);
        known.state = Some(places.state_directory.clone());
        (known.erasing, known.erasing_unknown) = (latest.erasing, latest.erasing_unknown);
        (known.published, known.events) = (latest.published, latest.events);
        (known.waiting, known.hashes) = (latest.waiting, latest.hashes);
        Ok((audit_directory(&places.state_directory), known))
    }

    /// The keys that the log is checked against. They never come from the files that are checked.
    fn keys(&self) -> Result<Vec<Verifier>, Fault> {
        if !self.keys.is_empty() {
            return self.keys.iter().map(|key| key::read(key)).collect();
        }
        if self.place.directory.is_some() {
            return Err(usage("--directory needs --key: the log's verifier key, kept apart from the files".to_owned()));
        }
        let path = self.place.places().map_err(usage)?.state_directory.join(SEAL).join("log.vkey");
        Ok(vec![key::read_own(&path)?])
    }
}

/// What the log was compared with, in words: heads that stand in one file together.
fn compared(heads: &[KnownHead]) -> Vec<String> {
    let mut all: Vec<(&str, usize, u64)> = Vec::new();
    for head in heads {
        match all.iter_mut().find(|(what, ..)| *what == head.what) {
            Some((_, count, size)) => (*count, *size) = (*count + 1, head.size.max(*size)),
            None => all.push((&head.what, 1, head.size)),
        }
    }
    let words = |(what, count, size): (&str, usize, u64)| match count {
        1 => format!("{what} ({size} events)"),
        _ => format!("{what} and {} more ({size} events)", count - 1),
    };
    all.into_iter().map(words).collect()
}

/// The last head that the sealer signed, where we may read it. None, too, when it never signed.
fn sealed(directory: &Path) -> Result<Option<KnownHead>, Fault> {
    let [first, second] = SLOTS.map(|slot| directory.join(slot));
    let read = || State::read([plain(&first)?, plain(&second)?]);
    match read() {
        Ok(state) => {
            if state.memory().is_none() {
                eprintln!("gatepost: the sealer has lost what it signed last: where the log ends is not known from it");
            }
            let last = state.memory().map(|memory| memory.head).filter(|head| head.size > 0);
            Ok(last.map(|head| KnownHead {
                what: "the sealer's last head".to_owned(),
                size: head.size,
                root: head.root,
                verdict: Verdict::Altered,
                gap: None,
            }))
        }
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(None),
        // They are there from the first start on.
        Err(error) => {
            let what = format!("reading the sealer's last head in {}: {error}", directory.display());
            Err(Fault { verdict: Verdict::Unreadable, what })
        }
    }
}

impl Sound {
    /// Sound, unless something was declared lost and nobody said that it is known.
    fn verdict(&self, known: &[u64]) -> Verdict {
        let is_known = |gap: &DeclaredGap| known.contains(&gap.seq);
        if self.summary.gaps.iter().all(is_known) { Verdict::Sound } else { Verdict::Gap }
    }

    fn print(&self, known: &[u64]) {
        let Summary { first, size, sealed, checkpoints, last_us, ended, .. } = self.summary;
        let sealed = sealed.saturating_sub(first);
        let last = size.saturating_sub(1);
        let quick = if self.quick { " (their content was not looked at)" } else { "" };
        say!("the log is sound: events {first} to {last}{quick}, {sealed} of them under {checkpoints} signed heads");
        let stop = if ended { ", with the service stopped" } else { "" };
        say!("it ends at {}{stop}", verify::time(last_us));
        for DeclaredGap { seq, gap, missing, why } in &self.summary.gaps {
            let again = if known.contains(seq) { ", which is known" } else { "" };
            let lost = gap.old_size - gap.kept;
            say!(
                "declared gap{again}: event {seq} says that of {} events {} are kept for certain and {lost} are not: {}",
                gap.old_size,
                gap.kept,
                visible(why)
            );
            missing.iter().for_each(|hole| say!("declared gap{again}: {}", in_no_file(hole)));
        }
        if self.summary.given_up > 0 {
            say!("{} heads that were kept elsewhere are of what was given up there", self.summary.given_up);
        }
        if self.against.is_empty() {
            say!(
                "where it ends was NOT checked: only the files were read; run this as root beside the service, or give a \
                 signed head that was kept elsewhere (--against)"
            );
        } else {
            say!("its end was checked against {}", self.against.join(" and "));
        }
    }
}

/// First and last of each.
fn ranges(holes: &[(u64, u64)]) -> Vec<[u64; 2]> {
    holes.iter().map(|(first, end)| [*first, end.saturating_sub(1)]).collect()
}

fn as_json(outcome: &Result<Sound, Fault>, verdict: Verdict) -> Value {
    match outcome {
        Ok(Sound { summary, against, quick }) => {
            let gap = |gap: &DeclaredGap| json!({ "event": gap.seq, "kept": gap.gap.kept, "old": gap.gap.old_size, "why": gap.why, "missing": ranges(&gap.missing) });
            json!({
                "sound": true, "code": verdict.code(), "first": summary.first, "size": summary.size,
                "sealed": summary.sealed, "checkpoints": summary.checkpoints, "files": summary.files, "against": against,
                "last_time": verify::time(summary.last_us), "ended": summary.ended, "quick": quick,
                "gaps": summary.gaps.iter().map(gap).collect::<Vec<_>>(), "given_up": summary.given_up,
            })
        }
        Err(fault) => json!({ "sound": false, "code": fault.verdict.code(), "fault": fault.what }),
    }
}
