//! Whether limits are set, and whether they are such that they limit anything.

use super::Look;
use super::finding::Sheet;
use crate::policy::limits::{Action, Rates};

/// More in a day, or a minute, than large senders have from one application: who means it has a reason.
const SANE_DAY: u32 = 1_000_000;
const SANE_MINUTE: u32 = 10_000;
/// More than any large receiver takes in a message is only a way to fill the disk.
const SANE_SIZE: u64 = 100 << 20;

pub fn look(look: &Look<'_>, sheet: &mut Sheet) {
    let limits = &look.plan.limits;
    let global = &limits.vault.tiers.global;
    for account in look.accounts.iter().filter(|account| account.enabled) {
        let (id, rates) = (&account.id, account.policy.limits.rates());
        if !rates.is_some() && !global.is_some() {
            sheet.warn(
                "limits.credentials",
                format!("credential {id:?} has no limit, and the gate has none for all"),
                "nothing but the upstream stops whoever gets its secret; your reputation is what it costs",
                format!("gatepost credential set {id} --per-hour 1000 --per-day 5000, or `limits` in the file"),
            );
        }
        sane(&format!("credential {id:?}"), &rates, sheet);
    }
    sane("the whole gate (limits.global)", global, sheet);
    if limits.max_size > SANE_SIZE {
        sheet.warn(
            "limits.sane",
            format!("max_size takes messages of {} MiB", limits.max_size >> 20),
            "hardly any receiver takes one over 50 MiB, so that they fill the disk and come back",
            "set max_size under [limits] to 26214400 (25 MiB)",
        );
    }
    sheet.pass_unless_told("limits.credentials", "every credential is held to a limit");
    sheet.pass_unless_told("limits.sane", "no limit is so high that it limits nothing");
    match limits.vault.anomaly.action {
        Action::Off => sheet.warn(
            "limits.anomaly",
            "nobody looks whether a credential sends far beyond its history (anomaly, action = \"off\")",
            "a stolen secret that stays below the limits is noticed by complaints alone",
            "take `action` out, or write \"event\" or \"suspend\"",
        ),
        Action::Event | Action::Suspend => {
            sheet.pass("limits.anomaly", "a credential that sends far beyond its history is noticed")
        }
    }
}

fn sane(whose: &str, rates: &Rates, sheet: &mut Sheet) {
    let values = [
        ("per_minute", rates.per_minute, SANE_MINUTE),
        ("per_day", rates.per_day, SANE_DAY),
        ("recipients_per_minute", rates.recipients_per_minute, SANE_MINUTE),
        ("recipients_per_day", rates.recipients_per_day, SANE_DAY),
    ];
    for (key, value, most) in values {
        if let Some(value) = value.filter(|value| *value > most) {
            sheet.warn(
                "limits.sane",
                format!("{key} of {whose} is {value}"),
                format!("a limit above {most} stops nobody in time"),
                "set it to some times of what is usual there",
            );
        }
    }
}
