//! How the gate stands now, from what the vault knows.

use std::time::Instant;

use crate::ipc::admin::digest::{MOST, Standing};
use crate::ipc::admin::load::Measure;
use crate::vault::Vault;
use crate::vault::admin::overview;

/// Errors: the store gives no answer.
pub async fn look(vault: &Vault, now_us: u64) -> Result<Standing, String> {
    let asked =
        vault.writer.run(move |store| Ok((store.oldest_waiting(now_us)?, store.anchors.note()?, store.alerts.all()?)));
    let (oldest_us, note, told) = asked.await.map_err(|_| "the store gives no answer now".to_owned())?;
    let overview = overview::look(vault);
    let load = vault.writer.load().told();
    let messages = load.figures.iter().find(|figure| figure.measure == Measure::Messages).map_or(0, |found| found.now);
    let (authority, schedule) = (vault.authority.borrow(), vault.schedule.borrow());
    let now = Instant::now();
    let days = |ends: u64| {
        i64::try_from(ends).unwrap_or(i64::MAX).saturating_sub_unsigned(now_us / 1_000_000).div_euclid(86_400)
    };
    let certificates = overview.shown.into_iter().take(MOST).map(|(listener, ends)| (listener, days(ends)));
    let upstreams = authority.slice.upstreams.iter();
    Ok(Standing {
        hostname: authority.slice.hostname.clone(),
        free: vault.writer.room().free(),
        reserve: authority.slice.reserve,
        messages,
        oldest_us,
        certificates: certificates.collect(),
        upstreams: upstreams
            .take(MOST)
            .map(|name| (name.clone(), schedule.state(name, now).standing.word().to_owned()))
            .collect(),
        edges: overview.edges,
        more: overview.more,
        head: note.map(|note| (note.size, note.time_us)),
        alerts: told
            .into_iter()
            .take(MOST)
            .map(|told| format!("{} {}", told.kind, told.subject).trim_end().to_owned())
            .collect(),
    })
}
