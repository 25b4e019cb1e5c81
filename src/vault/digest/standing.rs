//! How the gate stands now, from what the vault knows.

use std::time::{Duration, Instant};

use rustls::pki_types::UnixTime;

use crate::certificate::validity;
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
    let today = UnixTime::since_unix_epoch(Duration::from_micros(now_us));
    let shown = overview.shown.into_iter().take(MOST);
    let certificates = shown.map(|(listener, ends)| (listener, validity::days_until(ends, today)));
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
