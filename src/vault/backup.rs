//! A consistent copy of all that is kept, made while the service runs, and given away file by file.
//!
//! First what auditors see and the personal values beside it, while the publisher waits; then the database, by the writer
//! between its groups; so every event is in one or the other. Bodies in segments are kept until they were given away, also
//! when they are delivered meanwhile. The copies of open files are made in `db/` and removed as they are given away.

pub mod copier;

use std::collections::VecDeque;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::Vault;
use super::audit::event::{Event, Name, Outcome};
use super::audit::publish::Pause;
use super::audit::survey;
use super::master;
use super::store::schema::VERSION;
use super::store::segment::Keep;
use crate::ipc::admin::backup::{Contents, Response, WINDOW};
use crate::ipc::bytes::Octets;
use crate::ipc::frame::MAX_CONTENT;
use copier::{Copier, Turn};

/// Names of copies under way; what an unclean end left is removed at the next start.
const PREFIX: &str = "copy-";

/// A copy that is being given away.
pub struct Backup {
    copier: Copier,
    actor: String,
    contents: Contents,
    files: VecDeque<Part>,
    /// The file that is given away now, and how much of it was.
    current: Option<(Part, u64)>,
    given: u64,
    count: u64,
    _segments: Keep,
    _turn: Turn,
}

/// One file of it.
#[derive(Clone, Debug)]
struct Part {
    /// As the copy calls it.
    name: String,
    /// Where it is now, and whether that is a copy of ours.
    path: PathBuf,
    is_copy: bool,
}

impl Drop for Backup {
    fn drop(&mut self) {
        let left = self.current.take().map(|(part, _)| part).into_iter().chain(self.files.drain(..));
        left.filter(|part| part.is_copy).for_each(|part| self.copier.remove(part.path));
    }
}

impl Backup {
    /// Makes the copy. `pause` is the publisher's, and `unmoved` why it could not move the newest events.
    ///
    /// Errors: in words.
    pub async fn make(vault: &Vault, pause: Pause, unmoved: Option<String>, actor: &str) -> Result<Self, String> {
        let copier = vault.copier.clone();
        let turn = copier.turn().ok_or("a backup is being made already: wait for its end")?;
        let segments = vault.segments.keep();
        let mut backup = Self {
            copier,
            actor: actor.to_owned(),
            contents: Contents::default(),
            files: VecDeque::new(),
            current: None,
            given: 0,
            count: 0,
            _segments: segments,
            _turn: turn,
        };
        let reserve = vault.authority.borrow().slice.reserve;
        backup.copier.room(reserve).await?;
        let kept = vault.writer.run(survey::kept_in).await;
        let kept = kept.map_err(|error| format!("the vault's database: {error:?}"))?;
        let lacks = backup.copier.survey(kept).await?;
        let unmoved = unmoved.map(|reason| format!("the newest events are in vault.db alone: {reason}"));
        let mut faults: Vec<String> = unmoved.into_iter().chain(lacks.iter().map(|lack| lack.what.clone())).collect();
        for (name, path) in backup.copier.list().await?.into_iter() {
            // What is no database can't be copied as one; the rest is worth more with a word of it than nothing.
            if lacks.iter().any(|lack| lack.unreadable.as_ref() == Some(&path)) {
                continue;
            }
            let copy = backup.place(&name);
            if let Err(reason) = backup.copier.copy(path, copy.clone()).await {
                backup.copier.remove(copy);
                faults.push(reason);
                continue;
            }
            backup.files.push_back(Part { name: name.clone(), path: copy.clone(), is_copy: true });
            faults.extend(backup.copier.check(copy).await.err().map(|reason| format!("{name}: {reason}")));
        }
        let copy = backup.place("vault.db");
        backup.files.push_front(Part { name: "vault.db".into(), path: copy.clone(), is_copy: true });
        let copied = vault.writer.copy(copy.clone()).await?;
        drop(pause);
        backup.copier.check(copy).await.map_err(|reason| {
            format!("the database: {reason}: keep db/ as it is, stop, and restore an earlier backup")
        })?;
        for name in copied.segments {
            let path = backup.copier.directory().join(&name);
            backup.files.push_back(Part { name, path, is_copy: false });
        }
        backup.contents = Contents {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            schema: u32::try_from(VERSION).unwrap_or_default(),
            size: copied.size,
            root: copied.root,
            masters: copied.masters.iter().map(master::name).collect(),
            faults,
        };
        Ok(backup)
    }

    pub fn contents(&self) -> Contents {
        self.contents.clone()
    }

    fn place(&self, name: &str) -> PathBuf {
        self.copier.directory().join(format!("{PREFIX}{name}"))
    }

    /// The next window of it. True when that was all: then the event of it is written.
    pub async fn next(&mut self, vault: &Vault, parts: &mut Vec<Response>) -> Result<bool, String> {
        for _ in 0..WINDOW {
            let Some((part, offset)) = self.current.take() else {
                let Some(part) = self.files.pop_front() else {
                    self.made(vault).await?;
                    parts.push(Response::End);
                    return Ok(true);
                };
                let octets = self.copier.length(part.path.clone()).await?;
                parts.push(Response::File { name: part.name.clone(), octets });
                (self.current, self.count) = (Some((part, 0)), self.count + 1);
                continue;
            };
            let piece = self.copier.read(part.path.clone(), offset, MAX_CONTENT).await;
            let piece = piece.map_err(|error| format!("{}: {error}", part.name))?;
            if piece.is_empty() {
                if part.is_copy {
                    self.copier.remove(part.path);
                }
                continue;
            }
            let length = u64::try_from(piece.len()).unwrap_or_default();
            self.given += length;
            self.current = Some((part, offset + length));
            parts.push(Response::Piece(Octets(piece)));
        }
        Ok(false)
    }

    async fn made(&self, vault: &Vault) -> Result<(), String> {
        let Contents { size, faults, .. } = &self.contents;
        let mut data = serde_json::json!({ "files": self.count, "octets": self.given, "size": size });
        let (outcome, severity, reason) = match faults.len() {
            0 => (Outcome::Success, 5, None),
            faults => {
                data["faults"] = faults.into();
                (Outcome::Failure, 2, Some("log-incomplete".to_owned()))
            }
        };
        let event = Event {
            actor: Some(self.actor.clone()),
            severity,
            reason,
            data: Some(data.to_string()),
            ..Event::new(Name::BackupMade, outcome)
        };
        let recorded = vault.writer.run(move |store| store.record(vec![event])).await;
        recorded.map_err(|error| format!("the event of it can't be written: {error:?}"))
    }
}

/// Removes what a backup that was broken off left in `db/`.
pub fn sweep(db: &Path) -> io::Result<()> {
    for entry in fs::read_dir(db)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(PREFIX) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}
