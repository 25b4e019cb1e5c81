//! Declared gaps: what the signed heads say was given up, against the events that say it, too.

use super::{Fault, altered};
use crate::merkle::gap::Gap;
use crate::vault::audit::event::Name;
use crate::vault::audit::month_file::unhex;
use crate::vault::audit::row::Row;

/// A gap that is declared by an event and in a signed head behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeclaredGap {
    /// The event that says so.
    pub seq: u64,
    pub gap: Gap,
    /// Events that are in no file any more: from the first, before the end.
    pub missing: Vec<(u64, u64)>,
    /// In the administrator's words.
    pub why: String,
}

/// The gaps as far as the log was read.
#[derive(Debug, Default)]
pub struct Gaps {
    /// What events say, whether or not a head says it, too.
    told: Vec<DeclaredGap>,
    pub declared: Vec<DeclaredGap>,
}

impl Gaps {
    pub fn event(&mut self, row: &Row) -> Result<(), Fault> {
        if row.event != Name::AuditResume.word() {
            return Ok(());
        }
        let told = read(row).ok_or_else(|| altered(format!("event {} declares a gap that can't be read", row.seq)))?;
        self.told.push(told);
        Ok(())
    }

    /// A signed head declares it. `first` is the first event that was given: what was declared before is the head's word alone.
    pub fn head(&mut self, size: u64, gap: Gap, first: u64) -> Result<(), Fault> {
        if self.declared.iter().any(|declared| declared.gap == gap) {
            return Ok(());
        }
        let declared = match self.told.iter().find(|told| told.gap == gap) {
            Some(told) => told.clone(),
            None if gap.resumed <= first => DeclaredGap {
                seq: gap.resumed.saturating_sub(1),
                gap,
                missing: Vec::new(),
                why: "its event is in an earlier month".to_owned(),
            },
            None => return Err(altered(format!("the head of {size} events declares a gap that no event tells of"))),
        };
        self.declared.push(declared);
        Ok(())
    }

    /// Alone, in their order.
    pub fn all(&self) -> Vec<Gap> {
        self.declared.iter().map(|declared| declared.gap).collect()
    }
}

fn read(row: &Row) -> Option<DeclaredGap> {
    declared(row.seq, &row.event, row.text("data")?)
}

/// What an event declares. None when it isn't one that does, or can't be read.
pub fn declared(seq: u64, event: &str, data: &str) -> Option<DeclaredGap> {
    if event != Name::AuditResume.word() {
        return None;
    }
    let data: serde_json::Value = serde_json::from_str(data).ok()?;
    let number = |key: &str| data.get(key)?.as_u64();
    let old_root = unhex(data.get("old_root")?.as_str()?)?;
    let gap = Gap { kept: number("kept")?, old_size: number("old_size")?, old_root, resumed: seq + 1 };
    let why = data.get("why").and_then(|why| why.as_str()).unwrap_or_default().to_owned();
    let range = |range: &serde_json::Value| Some((range.get(0)?.as_u64()?, range.get(1)?.as_u64()?.checked_add(1)?));
    let missing = match data.get("missing") {
        Some(ranges) => ranges.as_array()?.iter().map(range).collect::<Option<_>>()?,
        None => Vec::new(),
    };
    gap.is_possible().then_some(DeclaredGap { seq, gap, missing, why })
}
