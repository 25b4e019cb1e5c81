//! `[audit]`: what of the log is seen by whom, and when its anchors are overdue.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::file;
use super::findings::Findings;
use super::limits::{ANCHOR_OVERDUE, time};
use super::plan::word;

/// What auditors see of mail addresses and of clients' addresses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mask {
    /// The domain of a mailbox, and the network of a client: enough to count and group by, too little to know who.
    #[default]
    LocalPart,
    /// That there was one.
    Full,
    /// Everything, also what clients and upstreams said of themselves.
    None,
}

const MASK: [(&str, Mask); 3] = [("local-part", Mask::LocalPart), ("full", Mask::Full), ("none", Mask::None)];

/// The audit log as it is meant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Audit {
    pub mask: Mask,
    /// An anchor that has not succeeded for so long is an alarm.
    pub anchor_overdue: Duration,
}

pub fn plan(written: &file::Audit, findings: &mut Findings<'_>) -> Audit {
    let mask = written.mask.as_ref().and_then(|mask| word(mask, "mask", &MASK, &[], findings));
    let anchor_overdue = time(&written.anchor_overdue, &ANCHOR_OVERDUE, findings);
    Audit { mask: mask.unwrap_or_default(), anchor_overdue }
}
