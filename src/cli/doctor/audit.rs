//! What the audit log is worth: its anchors, when they last took a head, what it shows of people, and its last backup.

use std::path::Path;
use std::time::Duration;

use super::Look;
use super::finding::Sheet;
use crate::config::Plan;
use crate::config::plan::{Anchor, Place};
use crate::policy::mask::Mask;
use crate::vault::audit::event::{Name, Outcome};
use crate::vault::audit::ledger::now_us;
use crate::vault::audit::query::{Cursor, Filter, Found};

/// The log tells of each anchor's success once in a day: so much later than it may be, one is late.
const TOLD: Duration = Duration::from_secs(86_400);
/// Events of anchors that are looked through: those of all of them for a week and more.
const EVENTS: u64 = 200;
/// A backup each week, and a day for it to be late.
const BACKUP: Duration = Duration::from_secs(8 * 86_400);
const DAY_US: u64 = 86_400_000_000;

pub fn look(look: &Look<'_>, sheet: &mut Sheet) {
    let log = look.plan.state_directory.join("audit");
    backups(&log, sheet);
    anchors(look, &log, sheet);
    masks(look, sheet);
}

fn backups(log: &Path, sheet: &mut Sheet) {
    let why = "what the disk takes with it is gone: the queue, the credentials, and the proof of what was sent";
    let fix = "gatepost backup DIRECTORY, each night, and keep it on another machine (docs/operations.md, \"Backup\")";
    // One that lacks files of the log is none.
    let (event, outcome) = (Some(Name::BackupMade.word().to_owned()), Some(Outcome::Success.word().to_owned()));
    let made = Filter { event, outcome, limit: Some(1), ..Filter::default() };
    match events(log, &made).map(|found| found.first().map(age_us)) {
        Ok(Some(age)) if age <= micros(BACKUP) => {
            sheet.pass("backups.age", format!("the last backup is {} days old", age / DAY_US))
        }
        Ok(Some(age)) => sheet.warn("backups.age", format!("the last backup is {} days old", age / DAY_US), why, fix),
        Ok(None) => sheet.warn("backups.age", "the audit log tells of no backup", why, fix),
        Err(error) => sheet.skip("backups.age", "when the last backup was made, by the audit log", error),
    }
}

/// How long ago each anchor took a head, in microseconds, as far as the log tells.
pub fn taken(plan: &Plan) -> Result<Vec<(String, Option<u64>)>, String> {
    // Of none all is known, also before there is a log.
    let found = if plan.anchors.is_empty() { Vec::new() } else { anchored(&plan.state_directory.join("audit"))? };
    let last = |name: &str| found.iter().filter(|event| is_of(event, name)).map(age_us).min();
    Ok(plan.anchors.iter().map(|anchor| (anchor.name.clone(), last(&anchor.name))).collect())
}

/// The heads that anchors took lately.
fn anchored(log: &Path) -> Result<Vec<Found>, String> {
    let name = Some(Name::AuditAnchor.word().to_owned());
    events(log, &Filter { event: name, limit: Some(EVENTS), ..Filter::default() })
}

fn anchors(look: &Look<'_>, log: &Path, sheet: &mut Sheet) {
    let all = &look.plan.anchors;
    let is_elsewhere = |anchor: &&Anchor| matches!(anchor.place, Place::Mail { .. } | Place::Witness(_));
    let count = all.iter().filter(is_elsewhere).count();
    if count == 0 {
        sheet.warn(
            "audit.anchors",
            match all.len() {
                0 => "no signed head of the audit log is kept anywhere else".to_owned(),
                near => format!("{near} anchors keep the heads of the audit log, all of them on this machine"),
            },
            "whoever has this machine can set the log back, and nobody can show that it was longer",
            "add an [[anchor]] of kind \"witness\" or \"mail\": docs/audit-log.md",
        );
    } else {
        sheet.pass("audit.anchors", format!("{count} anchors keep the heads of the audit log elsewhere"));
    }
    let found = match anchored(log) {
        Ok(found) => found,
        Err(error) => return sheet.skip("audit.anchored", "when heads were last kept, by the audit log", error),
    };
    for anchor in all {
        let name = &anchor.name;
        let may = look.plan.audit.anchor_overdue.max(anchor.every) + TOLD;
        let what = match found.iter().filter(|event| is_of(event, name)).map(age_us).min() {
            Some(age) if age <= micros(may) => continue,
            Some(age) => format!("anchor {name:?} took its last head {} days ago", age / DAY_US),
            None => format!("anchor {name:?} took no head yet, as far as the log tells"),
        };
        sheet.warn(
            "audit.anchored",
            what,
            "what happened since can be rewritten unseen",
            format!("gatepost audit anchor --to {name}, which says what is in the way"),
        );
    }
    if !all.is_empty() {
        sheet.pass_unless_told("audit.anchored", "every anchor took a head lately");
    }
}

fn masks(look: &Look<'_>, sheet: &mut Sheet) {
    let mut open: Vec<String> = Vec::new();
    if look.plan.audit.mask == Mask::None {
        open.push("[audit]".to_owned());
    }
    let bare = look.accounts.iter().filter(|account| account.policy.mask == Some(Mask::None));
    open.extend(bare.map(|account| format!("credential {:?}", account.id)));
    match open.is_empty() {
        true => sheet.pass("audit.mask", "addresses are masked in the log"),
        false => sheet.warn(
            "audit.mask",
            format!("the log shows addresses whole: mask = \"none\" of {}", open.join(", ")),
            "auditors see who wrote to whom, and what clients and upstreams said",
            "mask = \"local-part\", unless those who read the log may know that",
        ),
    }
}

fn events(log: &Path, filter: &Filter) -> Result<Vec<Found>, String> {
    let mut cursor = Cursor::start(log, filter)?;
    let mut all = Vec::new();
    loop {
        let page = cursor.page()?;
        if page.is_empty() {
            // A failure to anchor is none of a head that was kept.
            let success = |event: &Found| event.get("outcome") == Some(Outcome::Success.word());
            all.retain(success);
            return Ok(all);
        }
        all.extend(page);
    }
}

fn is_of(event: &Found, anchor: &str) -> bool {
    let data: Option<serde_json::Value> = event.get("data").and_then(|data| serde_json::from_str(data).ok());
    data.is_some_and(|data| data.get("anchor").and_then(|name| name.as_str()) == Some(anchor))
}

fn age_us(event: &Found) -> u64 {
    let time = event.get("time_us").and_then(|time| time.parse().ok()).unwrap_or(0);
    now_us().saturating_sub(time)
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
