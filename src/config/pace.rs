//! The pace of an upstream: how many messages it is given in a second, in a minute, and in a day.

use super::file::{self, At};
use super::findings::Findings;
use super::limits::{Bound, whole};
use crate::policy::limits::Pace;

/// More than one gate delivers says nothing.
const PER_SECOND: Bound<u32> = Bound { key: "per_second", default: 0, least: 1, most: 10_000 };
const PER_MINUTE: Bound<u32> = Bound { key: "per_minute", default: 0, least: 1, most: 600_000 };
const PER_DAY: Bound<u32> = Bound { key: "per_day", default: 0, least: 1, most: 1_000_000_000 };

pub fn plan(written: &Option<At<file::Pace>>, findings: &mut Findings<'_>) -> Pace {
    let Some(written) = written else { return Pace::default() };
    let file::Pace { per_second, per_minute, per_day } = written.get_ref();
    let mut limit = |value: &Option<At<i64>>, bound: &Bound<u32>| value.as_ref().map(|_| whole(value, bound, findings));
    let pace = Pace {
        per_second: limit(per_second, &PER_SECOND),
        per_minute: limit(per_minute, &PER_MINUTE),
        per_day: limit(per_day, &PER_DAY),
    };
    if !pace.is_some() {
        findings.refuse(written.span(), "pace: says nothing: give per_second, per_minute or per_day");
    }
    let longer = [(per_minute, "per_minute", pace.per_minute), (per_day, "per_day", pace.per_day)];
    let mut shorter = pace.per_second.map(|limit| ("per_second", limit));
    for (place, key, limit) in longer {
        let (Some(place), Some(limit)) = (place, limit) else { continue };
        if let Some((other, least)) = shorter.filter(|(_, least)| limit < *least) {
            let text = format!("pace: {key} is less than the {least} of {other}, which are never reached then");
            findings.warn(Some(place.span()), text);
        }
        shorter = Some((key, limit));
    }
    pace
}
