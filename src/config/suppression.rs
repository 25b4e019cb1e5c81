//! `[suppression]`: whether hard bounces put an address on the list of those that nothing is sent to.

use std::time::Duration;

use super::file;
use super::findings::Findings;
use super::limits::{Bound, time, whole};
use super::slice::CountBounces;

/// A directory that is being moved, or a host that is set up wrongly, says once to everybody that nobody is there.
const AFTER: Bound<u32> = Bound { key: "after", default: 2, least: 1, most: 100 };
const DAY: u64 = 86_400;
/// A mailbox may come back, and an address may be another's: it is tried again when that is over.
const LIFETIME: Bound<Duration> = Bound {
    key: "lifetime",
    default: Duration::from_secs(90 * DAY),
    least: Duration::from_secs(60),
    most: Duration::from_secs(3650 * DAY),
};

/// None when bounces are not counted.
pub fn plan(written: &file::Suppression, findings: &mut Findings<'_>) -> Option<CountBounces> {
    let (after, lifetime) = (whole(&written.after, &AFTER, findings), time(&written.lifetime, &LIFETIME, findings));
    let counts = written.bounces.as_ref().is_some_and(|bounces| *bounces.get_ref());
    let idle = written.after.as_ref().map(|at| ("after", at.span()));
    let idle = idle.or_else(|| written.lifetime.as_ref().map(|at| ("lifetime", at.span())));
    if let Some((key, place)) = idle.filter(|_| !counts) {
        findings.warn(Some(place), format!("{key}: has no effect without bounces = true"));
    }
    counts.then_some(CountBounces { after, lifetime })
}
