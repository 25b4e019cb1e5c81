//! `gatepost backup`: takes a consistent copy of all that the vault keeps from the running service, as a directory of files
//! and a manifest.

pub mod manifest;

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use sha2::{Digest, Sha256};

use super::{Config, control, fail, places};
use crate::cli::control::strange;
use crate::cli::out::say;
use crate::config::Places;
use crate::ipc::admin::backup::{Command, Contents, Response};
use crate::ipc::admin::{Command as Any, Response as Answer};
use crate::vault::audit::month_file::hex;
use crate::vault::audit::visible::visible;
use manifest::{Entry, MANIFEST, Manifest, place};

#[derive(Debug, Args)]
pub struct Backup {
    /// Where the copy goes: a directory that does not exist yet
    directory: PathBuf,
    /// Print the manifest instead
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: Config,
}

impl Backup {
    pub fn run(&self) -> ExitCode {
        match self.take() {
            Ok((_, manifest, faults)) if self.json => {
                say!("{}", manifest.text());
                verdict(&faults)
            }
            Ok((places, manifest, faults)) => {
                // By a file with mistakes it may be known where the service is, and not where its master key is.
                let master = match &places.master_directory {
                    Ok(directory) => directory.join("master.key").display().to_string(),
                    Err(_) => "master.key of its master_key_directory".to_owned(),
                };
                say!(
                    "{}: {} files, {} octets, {} events of the audit log.\nThe keys are not in it. Keep copies apart from \
                     it, at a safe place: {master} opens the mail in it, {} signs the log.",
                    self.directory.display(),
                    manifest.files.len(),
                    manifest.octets(),
                    manifest.size,
                    places.state_directory.join("seal").join("log.key").display(),
                );
                verdict(&faults)
            }
            Err(reason) => fail(&reason),
        }
    }

    fn take(&self) -> Result<(Places, Manifest, Vec<String>), String> {
        let places = places(&self.config.path)?;
        let target = std::path::absolute(&self.directory).map_err(|error| error.to_string())?;
        if target.exists() {
            return Err(format!("{} exists already: name a directory that does not", target.display()));
        }
        let folder = target.parent().unwrap_or(Path::new("/"));
        let folder = folder.canonicalize().map_err(|error| format!("{}: {error}: make it first", folder.display()))?;
        if places.state_directory.canonicalize().is_ok_and(|state| folder.starts_with(state)) {
            return Err(format!(
                "{} is within the state_directory: a copy there is lost with what it is a copy of. Name another place",
                target.display()
            ));
        }
        let Some(mut line) = control::Line::open(&places.runtime_directory)? else {
            return Err(format!(
                "the service does not run ({}): start it, or copy the whole state_directory while it is stopped",
                control::nobody(&places.runtime_directory)
            ));
        };
        // Under another name until it is whole.
        let mut draft = target.clone().into_os_string();
        draft.push(".part");
        let draft = PathBuf::from(draft);
        DirBuilder::new().mode(0o700).create(&draft).map_err(|error| {
            format!("{}: {error}: if a backup was broken off, remove what it left", draft.display())
        })?;
        let taken = take(&mut line, &places.hostname, &draft).and_then(|(manifest, faults)| {
            finish(&draft, &target, &manifest).map_err(|error| format!("{}: {error}", target.display()))?;
            Ok((manifest, faults))
        });
        match taken {
            Ok((manifest, faults)) => Ok((places, manifest, faults)),
            Err(reason) => {
                // A part of a backup is worth nothing.
                let _ = fs::remove_dir_all(&draft);
                Err(reason)
            }
        }
    }
}

/// What there is to say of a log that the copy can't have whole.
fn verdict(faults: &[String]) -> ExitCode {
    if faults.is_empty() {
        return ExitCode::SUCCESS;
    }
    let faults: Vec<String> = faults.iter().map(|fault| format!("\n  {}", visible(fault))).collect();
    fail(&format!(
        "the copy has all mail, but not all of the audit log. Keep the backups of before: they may have it.{}",
        faults.concat()
    ))
}

/// Takes all of it. Gives the manifest, and what the copy lacks.
fn take(line: &mut control::Line, hostname: &str, draft: &Path) -> Result<(Manifest, Vec<String>), String> {
    let mut contents = None;
    line.ask(Any::Backup(Command::Begin), |part| {
        if let Answer::Backup(Response::Ready(ready)) = part {
            contents = Some(ready);
        }
        Ok(())
    })?;
    let contents: Contents = contents.ok_or_else(strange)?;
    let mut taking = Taking { draft, files: Vec::new(), current: None, ended: false };
    while !taking.ended {
        line.ask(Any::Backup(Command::Next), |part| taking.take(part))?;
    }
    let faults = contents.faults.clone();
    Ok((Manifest::new(contents, hostname.to_owned(), taking.files), faults))
}

/// A copy that arrives.
struct Taking<'a> {
    draft: &'a Path,
    files: Vec<Entry>,
    current: Option<(Entry, File, Sha256, u64)>,
    ended: bool,
}

impl Taking<'_> {
    fn take(&mut self, part: Answer) -> Result<(), String> {
        match part {
            Answer::Backup(Response::File { name, octets }) => {
                self.close()?;
                // The names are the vault's: what is no name of a file of it shall not become one of ours.
                place(&name).ok_or_else(|| format!("the service names a file {name:?}, which belongs to no backup"))?;
                let path = self.draft.join(&name);
                let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
                let file = file.map_err(|error| format!("{}: {error}", path.display()))?;
                let entry = Entry { name, octets, sha256: String::new() };
                self.current = Some((entry, file, Sha256::new(), 0));
            }
            Answer::Backup(Response::Piece(octets)) => {
                let (entry, file, digest, written) = self.current.as_mut().ok_or("a piece of no file came")?;
                file.write_all(&octets.0).map_err(|error| format!("writing {}: {error}", entry.name))?;
                digest.update(&octets.0);
                *written += u64::try_from(octets.0.len()).unwrap_or_default();
            }
            Answer::Backup(Response::End) => {
                self.close()?;
                self.ended = true;
            }
            Answer::Backup(Response::Working | Response::Ready(_)) => {}
            _ => return Err(strange()),
        }
        Ok(())
    }

    fn close(&mut self) -> Result<(), String> {
        let Some((mut entry, file, digest, written)) = self.current.take() else { return Ok(()) };
        if written != entry.octets {
            return Err(format!("{}: {written} of {} octets came", entry.name, entry.octets));
        }
        file.sync_all().map_err(|error| format!("{}: {error}", entry.name))?;
        entry.sha256 = hex(&digest.finalize());
        self.files.push(entry);
        Ok(())
    }
}

fn finish(draft: &Path, target: &Path, manifest: &Manifest) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(draft.join(MANIFEST))?;
    file.write_all(format!("{}\n", manifest.text()).as_bytes())?;
    file.sync_all()?;
    File::open(draft)?.sync_all()?;
    fs::rename(draft, target)?;
    target.parent().map_or(Ok(()), |parent| File::open(parent)?.sync_all())
}
