//! `gatepost audit verify`: the log against its key, and against those who know where it ends: the running service, the
//! sealer's slots, and a signed head that was kept elsewhere.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use super::key;
use super::place::{Latest, Place, audit_directory};
use super::progress::Progress;
use crate::merkle::note::Verifier;
use crate::sealer::state::{SLOTS, State};
use crate::vault::audit::archive::{Archive, usage};
use crate::vault::audit::ledger::now_us;
use crate::vault::audit::verify::{self, Fault, Known, KnownHead, Summary, Verdict};
use crate::vault::audit::visible::{visible, visible_json};

/// The sealer's directory in the state directory.
const SEAL: &str = "seal";

#[derive(Debug, Args)]
pub struct Verify {
    #[command(flatten)]
    place: Place,
    /// The log's verifier key, or a file that holds it; by default seal/log.vkey of the state directory
    #[arg(long, value_name = "VKEY")]
    key: Option<String>,
    /// A signed head of the log that was kept elsewhere: the log must extend it
    #[arg(long, value_name = "FILE")]
    head: Option<PathBuf>,
    /// The event that the files begin with, when earlier months are kept elsewhere
    #[arg(long, value_name = "SEQ", default_value_t = 0)]
    from: u64,
    /// Copies of the files were made at this time (RFC 3339), and should tell everything up to then
    #[arg(long, value_name = "TIME", requires = "directory")]
    as_of: Option<jiff::Timestamp>,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

/// A sound log, and what its end was compared with.
struct Sound {
    summary: Summary,
    against: Vec<String>,
}

impl Verify {
    pub fn run(&self) -> ExitCode {
        let outcome = self.key().and_then(|key| self.verify(&key));
        let code = outcome.as_ref().map_or_else(|fault| fault.verdict.code(), |_| Verdict::Sound.code());
        match (&outcome, self.json) {
            (outcome, true) => println!("{}", visible_json(&as_json(outcome).to_string())),
            (Ok(sound), false) => sound.print(),
            // The words may quote what stands in the files.
            (Err(fault), false) => eprintln!("gatepost: the log does not verify: {}", visible(&fault.what)),
        }
        ExitCode::from(code)
    }

    fn verify(&self, key: &Verifier) -> Result<Sound, Fault> {
        let (files, known) = self.known(key)?;
        let range = || Archive::open(&files).ok().map(|archive| (archive.first(), archive.size()));
        let mut progress = Progress::new("verifying", self.json, range);
        let summary = verify::verify(&files, key, &known, |seq| progress.at(seq))?;
        drop(progress);
        let service = known.published.map(|_| "the running service".to_owned());
        let heads = known.heads.into_iter().map(|head| format!("{} ({} events)", head.what, head.size));
        Ok(Sound { summary, against: service.into_iter().chain(heads).collect() })
    }

    /// The files, and all that is known of them.
    fn known(&self, key: &Verifier) -> Result<(PathBuf, Known), Fault> {
        let kept = self.head.as_deref().map(|path| kept(path, key)).transpose()?;
        let mut known = Known { from: self.from, heads: kept.into_iter().collect(), ..Known::default() };
        if let Some(path) = &self.place.directory {
            known.as_of_us = self.as_of.and_then(|time| u64::try_from(time.as_microsecond()).ok());
            return Ok((path.clone(), known));
        }
        known.as_of_us = Some(now_us());
        let plan = self.place.plan().map_err(usage)?;
        // The slots first: whatever they say by now is published when the service is asked after it.
        known.heads.extend(sealed(&plan.state_directory.join(SEAL))?);
        let latest = Latest::of(&plan);
        (known.published, known.waiting) = (latest.published, latest.waiting);
        Ok((audit_directory(&plan.state_directory), known))
    }

    /// The key that the log is checked against. It never comes from the files that are checked.
    fn key(&self) -> Result<Verifier, Fault> {
        match &self.key {
            Some(key) => key::read(key),
            None if self.place.directory.is_some() => {
                Err(usage("--directory needs --key: the log's verifier key, kept apart from the files".to_owned()))
            }
            None => key::read_file(&self.place.plan().map_err(usage)?.state_directory.join(SEAL).join("log.vkey")),
        }
    }
}

/// The head in a signed note. One that the log's key didn't sign belongs to another history.
fn kept(path: &Path, key: &Verifier) -> Result<KnownHead, Fault> {
    let text = fs::read_to_string(path)
        .map_err(|error| usage(format!("reading the signed head {}: {error}", path.display())))?;
    // What prints a note, or mails it, may add empty lines.
    let signed = key.checkpoint(&format!("{}\n", text.trim_end())).map_err(|error| Fault {
        verdict: Verdict::Fork,
        what: format!("the signed head {}: {error}", path.display()),
    })?;
    let what = format!("the signed head {}", path.display());
    Ok(KnownHead { what, size: signed.size, root: signed.root, verdict: Verdict::Fork })
}

/// The last head that the sealer signed, where we may read it. None, too, when it never signed.
fn sealed(directory: &Path) -> Result<Option<KnownHead>, Fault> {
    let [first, second] = SLOTS.map(|slot| directory.join(slot));
    let read = || State::read([File::open(first)?, File::open(second)?]);
    match read() {
        Ok(state) => Ok(Some(state.head()).filter(|head| head.size > 0).map(|head| KnownHead {
            what: "the sealer's last head".to_owned(),
            size: head.size,
            root: head.root,
            verdict: Verdict::Altered,
        })),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(None),
        // They are there from the first start on.
        Err(error) => {
            let what = format!("reading the sealer's last head in {}: {error}", directory.display());
            Err(Fault { verdict: Verdict::Unreadable, what })
        }
    }
}

impl Sound {
    fn print(&self) {
        let Summary { first, size, sealed, checkpoints, last_us, ended, .. } = self.summary;
        let sealed = sealed.saturating_sub(first);
        let last = size.saturating_sub(1);
        println!("the log is sound: events {first} to {last}, {sealed} of them under {checkpoints} signed heads");
        let stop = if ended { ", with the service stopped" } else { "" };
        println!("it ends at {}{stop}", verify::time(last_us));
        if self.against.is_empty() {
            println!(
                "where it ends was NOT checked: only the files were read; run this as root beside the service, or give a \
                 signed head that was kept elsewhere (--head)"
            );
        } else {
            println!("its end was checked against {}", self.against.join(" and "));
        }
    }
}

fn as_json(outcome: &Result<Sound, Fault>) -> Value {
    match outcome {
        Ok(Sound { summary, against }) => json!({
            "sound": true, "first": summary.first, "size": summary.size, "sealed": summary.sealed,
            "checkpoints": summary.checkpoints, "files": summary.files, "against": against,
            "last_time": verify::time(summary.last_us), "ended": summary.ended,
        }),
        Err(fault) => json!({ "sound": false, "code": fault.verdict.code(), "fault": fault.what }),
    }
}
