//! `gatepost restore`: puts a backup in its place while the service is stopped. Nothing that is there is overwritten, and
//! what was restored starts with all mail held.

mod swap;
mod told;

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use jiff::Timestamp;
use sha2::{Digest, Sha256};

use super::backup::manifest::{Entry, MANIFEST, Manifest, Place, place};
use super::{Config, control, fail};
use crate::cli::out::say;
use crate::config::{self, Plan};
use crate::parent::{self, Owners};
use crate::sys::plain;
use crate::vault::audit::month_file::hex;
use crate::vault::audit::visible::visible_json;
use crate::vault::restored::{MARK, UNFINISHED};
use swap::Swap;
use told::Told;

/// Octets read at once.
const PIECE: usize = 256 * 1024;

#[derive(Debug, Args)]
pub struct Restore {
    /// What gatepost backup made
    backup: PathBuf,
    /// Rename db/ and audit/ that are there to *.before-TIME, instead of refusing
    #[arg(long)]
    aside: bool,
    /// Print one object instead
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: Config,
    /// As root, when the system users are missing: use the made-up user ids the service is started with
    #[arg(long, hide = true)]
    fallback_ids: bool,
}

impl Restore {
    pub fn run(&self) -> ExitCode {
        match self.restore() {
            Ok(told) => {
                match self.json {
                    true => say!("{}", visible_json(&told.object().to_string())),
                    false => say!("{}", told.text()),
                }
                ExitCode::SUCCESS
            }
            Err(reason) => fail(&reason),
        }
    }

    fn restore(&self) -> Result<Told, String> {
        let plan = config::Config::load(&self.config.path).map_err(|errors| errors.to_string())?;
        if control::is_there(&plan.runtime_directory)? {
            return Err("the service runs: stop it first".to_owned());
        }
        control::demand_unheld(&plan)?;
        let manifest = Manifest::read(&self.backup)?;
        self.check(&manifest)?;
        let owners = parent::owners(&plan, self.fallback_ids)?;
        let state = &plan.state_directory;
        make(state, 0o755).map_err(|error| format!("{}: {error}", state.display()))?;
        let stamp = Timestamp::now().strftime("%Y%m%dT%H%M%SZ").to_string();
        let swap = Swap::look(state, stamp).map_err(|error| format!("{}: {error}", state.display()))?;
        if !swap.occupied.is_empty() && !self.aside && !swap.goes_on {
            return Err(format!(
                "there is a state in {} already, and nothing is overwritten: move db/ and audit/ away, or let --aside do it",
                state.display()
            ));
        }
        let placed = self.place(&plan, &manifest, &owners, &swap);
        placed.map_err(|error| {
            let undone = if clear(state) { "nothing of it stays" } else { "the same command goes on with it" };
            format!("restoring to {}: {error}: {undone}", state.display())
        })?;
        Ok(Told::of(&plan, manifest, &swap))
    }

    /// Every file is there, as it was, and no other.
    fn check(&self, manifest: &Manifest) -> Result<(), String> {
        let said = |error: io::Error| format!("{}: {error}", self.backup.display());
        for entry in fs::read_dir(&self.backup).map_err(said)? {
            let name = entry.map_err(said)?.file_name().to_string_lossy().into_owned();
            if name != MANIFEST && !manifest.files.iter().any(|file| file.name == name) {
                return Err(format!("{}: {name} is not in its manifest: move it away", self.backup.display()));
            }
        }
        for file in &manifest.files {
            self.copy(file, &mut io::sink()).map_err(|error| format!("{}: {error}", file.name))?;
        }
        Ok(())
    }

    /// Copies one file and insists that it is what the manifest says.
    fn copy(&self, entry: &Entry, to: &mut impl Write) -> io::Result<()> {
        let (mut from, mut digest, mut octets) = (plain::open(&self.backup.join(&entry.name))?, Sha256::new(), 0u64);
        let mut piece = vec![0; PIECE];
        loop {
            let n = from.read(&mut piece)?;
            let read = piece.get(..n).unwrap_or_default();
            if read.is_empty() {
                break;
            }
            digest.update(read);
            to.write_all(read)?;
            octets += u64::try_from(n).unwrap_or_default();
        }
        if octets != entry.octets || hex(&digest.finalize()) != entry.sha256 {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "is not what the manifest says: take another backup",
            ));
        }
        Ok(())
    }

    fn place(&self, plan: &Plan, manifest: &Manifest, owners: &Owners, swap: &Swap) -> io::Result<()> {
        let state = &plan.state_directory;
        let [db, audit] = drafts(state);
        for draft in [&db, &audit] {
            match fs::remove_dir_all(draft) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            DirBuilder::new().mode(0o700).create(draft)?;
        }
        // Before anything that could be delivered is there.
        let note = format!("backup of {} with {} events", manifest.made, manifest.size);
        let mut mark = create(&db.join(MARK), 0o600)?;
        mark.write_all(note.as_bytes())?;
        mark.sync_all()?;
        chown(db.join(MARK), owners.vault.0, owners.vault.1)?;
        for entry in &manifest.files {
            let (folder, mode, group) = match place(&entry.name) {
                Some(Place::Audit) => (&audit, 0o640, owners.auditors.or(owners.vault.1)),
                _ => (&db, 0o600, owners.vault.1),
            };
            let path = folder.join(&entry.name);
            let mut file = create(&path, mode)?;
            self.copy(entry, &mut file)?;
            file.set_permissions(fs::Permissions::from_mode(mode))?;
            file.sync_all()?;
            chown(&path, owners.vault.0, group)?;
        }
        chown(&db, owners.vault.0, owners.vault.1)?;
        chown(&audit, owners.vault.0, owners.auditors.or(owners.vault.1))?;
        // After the owner: giving a directory away drops its set-group-id bit.
        fs::set_permissions(&audit, fs::Permissions::from_mode(0o2750))?;
        for draft in [&db, &audit] {
            File::open(draft)?.sync_all()?;
        }
        swap.end(state)
    }
}

/// What is written before it takes its place.
fn drafts(state: &Path) -> [PathBuf; 2] {
    ["db.restoring", "audit.restoring"].map(|name| state.join(name))
}

/// Takes away what was written, if nothing of it has taken its place.
fn clear(state: &Path) -> bool {
    !state.join(UNFINISHED).exists()
        && drafts(state)
            .iter()
            .all(|draft| !matches!(fs::remove_dir_all(draft), Err(error) if error.kind() != io::ErrorKind::NotFound))
}

fn make(path: &Path, mode: u32) -> io::Result<()> {
    match plain::make_folder(path, mode) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made,
    }
}

fn create(path: &Path, mode: u32) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(mode).open(path)
}
