//! One personal value with its salt: what somebody needs who is to check it against the commitment in the log.

use std::path::Path;

use rusqlite::{OptionalExtension, Result as Sql, params};

use super::erased::Erased;
use super::{parse_key, places};
use crate::merkle::Hash;
use crate::secret::Secret;
use crate::vault::audit::leaf::{self, Salt};
use crate::vault::audit::query;
use crate::vault::audit::row::{PERSONAL, PersonalRow, integer, octets};

/// A value, and all that its commitment was made from.
pub struct Disclosure {
    pub event: u64,
    /// As it stands in the leaf: `mail_from`, `rcpt_to[0]`.
    pub key: String,
    pub salt: Salt,
    pub value: Secret<String>,
    pub commitment: Hash,
}

/// Looks it up in the published files.
///
/// Errors: there is none, it was erased, or it isn't the one that was committed to.
pub fn find(home: &Path, event: u64, key: &str) -> Result<Disclosure, String> {
    let (field, n) = parse_key(key).ok_or_else(|| format!("{key} is not a personal field"))?;
    let n = n.unwrap_or(0);
    let place = places::audit(home)?.into_iter().find(|place| place.has((event, event)));
    let place = place.ok_or_else(|| format!("event {event} is not in the log, or its month was removed"))?;
    let connection = places::open(&place.path)?;
    let sql = format!("SELECT {PERSONAL} FROM personal WHERE seq = ? AND field = ? AND n = ?");
    let found = connection
        .query_row(&sql, params![integer(event), field.word(), n], PersonalRow::read)
        .optional()
        .map_err(|error| places::explain(&place.path, &error))?;
    let Some((_, row)) = found else { return Err(format!("event {event} has no {key}")) };
    let key = row.key().into_owned();
    let kept = match row.salt.zip(row.value) {
        Some(open) => Some(open),
        None => personal(home, event, field.word(), n)?,
    };
    let Some((salt, value)) = kept else {
        let files = query::files(&home.join("audit"))?;
        return Err(if Erased::read(&files).names(event, field.word(), &key) {
            format!("{key} of event {event} was erased: see `gatepost audit query --event audit.redact`")
        } else {
            format!(
                "{key} of event {event} is not here, and no event says that it was erased: db/personal-{}.db is missing, or \
                 another one. Put a copy of it back from a backup",
                place.month
            )
        });
    };
    if leaf::commit(&salt, event, &key, &value) != row.commitment {
        return Err(format!("{key} of event {event} is kept, but is not what was committed to: it was tampered with"));
    }
    Ok(Disclosure { event, key, salt, value: Secret::new(value), commitment: row.commitment })
}

fn personal(home: &Path, event: u64, field: &str, n: u32) -> Result<Option<(Salt, String)>, String> {
    for path in places::personal(home)? {
        let connection = places::open(&path)?;
        let read = |row: &rusqlite::Row<'_>| -> Sql<_> { Ok(octets(row, 0)?.zip(row.get::<_, Option<String>>(1)?)) };
        let found = connection
            .query_row(
                "SELECT salt, value FROM personal WHERE seq = ? AND field = ? AND n = ?",
                params![integer(event), field, n],
                read,
            )
            .optional();
        if let Some(found) = found.map_err(|error| places::explain(&path, &error))?.flatten() {
            return Ok(Some(found));
        }
    }
    Ok(None)
}
