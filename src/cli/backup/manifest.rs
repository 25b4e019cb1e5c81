//! The manifest of a backup: what made it, what it holds, and each file's length and SHA-256.

use std::path::Path;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::ipc::admin::backup::Contents;
use crate::mail::id::MessageId;
use crate::sys::plain;
use crate::vault::audit::month_file::hex;
use crate::vault::store::schema::VERSION;

pub const MANIFEST: &str = "manifest.json";
/// Octets of one: a line of two hundred for each month's file of the log, and some.
const LONGEST: u64 = 16 << 20;
const FORMAT: &str = "gatepost-backup/1";

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    format: String,
    pub version: String,
    pub schema: u32,
    pub hostname: String,
    pub made: String,
    /// Events of the audit log, and the root of their tree.
    pub size: u64,
    pub root: String,
    /// The master keys that the bodies need, by name.
    pub masters: Vec<String>,
    pub files: Vec<Entry>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    pub name: String,
    pub octets: u64,
    pub sha256: String,
}

/// Where a file belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Db,
    Audit,
}

/// Where a file of that name belongs; none when no file of a backup has such a name.
pub fn place(name: &str) -> Option<Place> {
    let of_month = |start: &str| {
        let month = name.strip_prefix(start)?.strip_suffix(".db")?;
        let shape = |(at, octet): (usize, u8)| if at == 4 { octet == b'-' } else { octet.is_ascii_digit() };
        (month.len() == 7 && month.bytes().enumerate().all(shape)).then_some(())
    };
    let is_body = || name.strip_prefix("body-")?.parse::<MessageId>().ok().filter(|id| format!("body-{id}") == name);
    match name {
        "vault.db" => Some(Place::Db),
        "audit.db" => Some(Place::Audit),
        _ if of_month("personal-").is_some() || is_body().is_some() => Some(Place::Db),
        _ if of_month("audit-").is_some() => Some(Place::Audit),
        _ => None,
    }
}

impl Manifest {
    pub fn new(contents: Contents, hostname: String, files: Vec<Entry>) -> Self {
        Self {
            format: FORMAT.to_owned(),
            version: contents.version,
            schema: contents.schema,
            hostname,
            made: Timestamp::now().to_string(),
            size: contents.size,
            root: hex(&contents.root),
            masters: contents.masters,
            files,
        }
    }

    /// Reads the manifest of a backup, and refuses what this program can't restore.
    pub fn read(backup: &Path) -> Result<Self, String> {
        let path = backup.join(MANIFEST);
        let said = |what: String| format!("{}: {what}", path.display());
        let text = plain::text(&path, LONGEST).map_err(|error| said(error.to_string()))?;
        let manifest: Self =
            serde_json::from_str(&text).map_err(|error| said(format!("is no manifest of a backup: {error}")))?;
        if manifest.format != FORMAT {
            return Err(said(format!("has the format {:?}, and this Gatepost reads {FORMAT:?}", manifest.format)));
        }
        if usize::try_from(manifest.schema).is_ok_and(|schema| schema > VERSION) {
            return Err(said(format!("was made by a newer Gatepost ({}): restore it with that one", manifest.version)));
        }
        let mut names: Vec<&str> = manifest.files.iter().map(|file| file.name.as_str()).collect();
        if let Some(name) = names.iter().find(|name| place(name).is_none()) {
            return Err(said(format!("names a file {name:?}, which belongs to no backup")));
        }
        names.sort_unstable();
        if names.windows(2).any(|pair| pair.first() == pair.last()) || !names.contains(&"vault.db") {
            return Err(said("does not list each file once, and vault.db among them".to_owned()));
        }
        Ok(manifest)
    }

    pub fn text(&self) -> String {
        // It is made of texts and numbers, which always can be written.
        serde_json::to_string_pretty(self).unwrap_or_default()
    }

    pub fn octets(&self) -> u64 {
        self.files.iter().map(|file| file.octets).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_of_ours_or_none_at_all() {
        let body = format!("body-{}", MessageId::now());
        for (name, expected) in [
            ("vault.db", Some(Place::Db)),
            ("personal-2026-11.db", Some(Place::Db)),
            (body.as_str(), Some(Place::Db)),
            ("audit.db", Some(Place::Audit)),
            ("audit-2026-11.db", Some(Place::Audit)),
            ("../vault.db", None),
            ("audit-../../x.db", None),
            ("audit-2026-1x.db", None),
            ("body-", None),
            ("body-../x", None),
            ("manifest.json", None),
            ("", None),
        ] {
            assert_eq!(place(name), expected, "{name}");
        }
    }
}
