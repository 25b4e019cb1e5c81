//! `[audit]`: what of the log is seen by whom, how long it is kept, how large it may be, and when its anchors are overdue.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::file::{self, At};
use super::findings::Findings;
use super::limits::{ANCHOR_OVERDUE, Bound, days, duration, time, whole};
use super::plan::word;
use crate::policy::mask::Mask;

/// Personal values: long enough for complaints and for bounces that come late.
const RETAIN_PERSONAL: Bound<Duration> =
    Bound { key: "retain_personal", default: days(90), least: days(1), most: AGES };
/// Events: twelve months, as PCI DSS and others ask for, and some weeks in which nobody noticed that they are over.
const RETAIN_EVENTS: Bound<Duration> = Bound { key: "retain_events", default: days(400), least: days(1), most: AGES };
/// Leaf hashes of removed events: for ever unless it is set, because they are small and heads of long ago are proven by them.
const RETAIN_HASHES: Bound<Duration> = Bound { key: "retain_hashes", default: AGES, least: days(1), most: AGES };
/// A century; who wants more writes "forever".
const AGES: Duration = days(36_500);
/// The log's files together: at least a few weeks of an idle gate. There is no bound unless one is set, because a full disk
/// is noticed in any case, and a bound makes either mail or evidence yield before that.
const MAX_BYTES: Bound<u64> = Bound { key: "max_bytes", default: 1 << 40, least: 1 << 20, most: 1 << 50 };
/// What never goes for want of room, because whoever floods the log could have the record of his deed go: as long as it
/// takes to notice one, and as long as personal values are there by default.
const LEAST_KEPT: Bound<Duration> = Bound { key: "least_kept", default: days(90), least: days(1), most: AGES };

/// What yields when the log is as large as it may be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum WhenFull {
    /// New mail is refused until there is room.
    #[default]
    Mail,
    /// The oldest months go early, as far as they are anchored and no younger than `least_kept`; then mail is refused.
    Oldest,
}

const WHEN_FULL: [(&str, WhenFull); 2] = [("mail", WhenFull::Mail), ("oldest", WhenFull::Oldest)];

/// How long the log is kept, and how large it may be. None is without end.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retention {
    pub personal: Option<Duration>,
    pub events: Option<Duration>,
    /// As long as the events in any case.
    pub hashes: Option<Duration>,
    pub max_octets: Option<u64>,
    pub when_full: WhenFull,
    /// Since its end, for a month that could go for want of room.
    pub least_kept: Duration,
}

/// The audit log as it is meant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Audit {
    pub mask: Mask,
    pub retention: Retention,
    /// An anchor that has not succeeded for so long is an alarm.
    pub anchor_overdue: Duration,
}

pub fn plan(written: &file::Audit, findings: &mut Findings<'_>) -> Audit {
    let mask = written.mask.as_ref().and_then(|mask| word(mask, "mask", &Mask::WORDS, &[], findings));
    let anchor_overdue = time(&written.anchor_overdue, &ANCHOR_OVERDUE, findings);
    let retention = retention(written, findings);
    Audit { retention, mask: mask.unwrap_or_default(), anchor_overdue }
}

fn retention(written: &file::Audit, findings: &mut Findings<'_>) -> Retention {
    let when_full = written.when_full.as_ref().and_then(|text| word(text, "when_full", &WHEN_FULL, &[], findings));
    Retention {
        personal: keep(written.retain_personal.as_ref(), &RETAIN_PERSONAL, findings),
        hashes: written.retain_hashes.as_ref().and_then(|text| keep(Some(text), &RETAIN_HASHES, findings)),
        events: keep(written.retain_events.as_ref(), &RETAIN_EVENTS, findings),
        max_octets: written.max_bytes.is_some().then(|| whole(&written.max_bytes, &MAX_BYTES, findings)),
        when_full: when_full.unwrap_or_default(),
        least_kept: time(&written.least_kept, &LEAST_KEPT, findings),
    }
}

/// A length of time, or for ever.
fn keep(written: Option<&At<String>>, bound: &Bound<Duration>, findings: &mut Findings<'_>) -> Option<Duration> {
    match written {
        Some(text) if text.get_ref() == "forever" => None,
        Some(text) => Some(duration(text, bound, findings)),
        None => Some(bound.default),
    }
}
