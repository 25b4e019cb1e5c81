//! A message whose sender waits, for as long as that can be waited for: nothing that an upstream does, or leaves undone, keeps its
//! place for longer.

use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

use super::Upstream;
use super::parcel::{Parcel, Verdict};
use crate::ipc::waits::LEAVING;
use crate::mail::outcome::{Outcome, Said, UNANSWERED};

/// What is said where the upstream took longer than its sender is waited for.
const SILENT: &str = "it said nothing in time";

/// Delivers it. When its time is over its session ends with it: before its last octets nothing was delivered, and behind them
/// nobody knows.
pub async fn deliver(
    upstream: &impl Upstream,
    parcel: &mut Parcel,
    until: watch::Receiver<Option<Instant>>,
) -> Verdict {
    let verdict = tokio::select! {
        verdict = upstream.deliver_live(parcel) => Some(verdict),
        () = over(until) => None,
    };
    match verdict {
        // Its session stood idle, or was fed in drops: many end such a one, and no other message has to wait for that.
        Some(Verdict::BrokenOff { heard, said }) if parcel.content.has_dawdled() => {
            tracing::warn!(message = %parcel.message, reason = said.text, "the upstream left while the sender had it wait");
            parcel.teller.tell(heard).await;
            Verdict::Withdrawn
        }
        Some(verdict) => verdict,
        None if parcel.content.has_gone() => {
            let (enhanced, text) = (Some("4.4.2".to_owned()), format!("{UNANSWERED}: {SILENT}"));
            let unknown = Outcome::Unknown(Said { enhanced, text, ..Said::default() });
            Verdict::Settled(parcel.recipients.iter().map(|(number, _)| (*number, unknown.clone())).collect())
        }
        None => Verdict::Withdrawn,
    }
}

/// Until the moment that was said last has come, or the vault is gone for a while.
async fn over(mut until: watch::Receiver<Option<Instant>>) {
    loop {
        let moment = *until.borrow_and_update();
        let come = async {
            match moment {
                Some(moment) => sleep_until(moment).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = come => return,
            changed = until.changed() => if changed.is_err() {
                return sleep(LEAVING).await;
            },
        }
    }
}
