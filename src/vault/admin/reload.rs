//! `gatepost reload`: the parent does it, and whoever asked waits for what becomes of it.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};

use super::Desk;
use crate::ipc::admin::Response as Answer;
use crate::ipc::admin::reload::Response;
use crate::ipc::channel::Sender;
use crate::ipc::control::Report;
use crate::ipc::reload::{Ticket, Verdict};

/// A reload has a minute, and may wait for the end of one that has another.
const VERDICT: Duration = Duration::from_secs(150);

/// Between two that the parent is asked for: it counts a child's words, and ends one that talks without end.
const PAUSE: Duration = Duration::from_secs(1);

/// Those who asked, by their numbers.
#[derive(Default)]
pub struct Waiting {
    last: Cell<u64>,
    /// When the parent may be asked again.
    next: Cell<Option<Instant>>,
    askers: RefCell<BTreeMap<Ticket, oneshot::Sender<Verdict>>>,
}

impl Waiting {
    fn ask(&self) -> (Ticket, oneshot::Receiver<Verdict>) {
        let ticket = Ticket(self.last.get().saturating_add(1));
        self.last.set(ticket.0);
        let (sender, verdict) = oneshot::channel();
        self.askers.borrow_mut().insert(ticket, sender);
        (ticket, verdict)
    }

    /// How long the next one waits, whose turn is then taken.
    fn turn(&self, now: Instant) -> Duration {
        let at = self.next.get().unwrap_or(now).max(now);
        self.next.set(Some(at + PAUSE));
        at.duration_since(now)
    }

    fn forget(&self, ticket: Ticket) {
        self.askers.borrow_mut().remove(&ticket);
    }

    /// The parent's verdict on a reload that was for all who asked up to that one.
    pub fn tell(&self, through: Ticket, verdict: &Verdict) {
        let mut askers = self.askers.borrow_mut();
        while let Some(first) = askers.first_entry().filter(|first| *first.key() <= through) {
            // One that has gone away asks nothing any more.
            let _ = first.remove().send(verdict.clone());
        }
    }
}

/// Asks the parent, and says what changed.
///
/// Errors: why nothing did.
pub async fn perform(desk: &Desk, actor: &str, responses: &Sender<Answer>) -> Result<Answer, String> {
    tokio::time::sleep(desk.reloads.turn(Instant::now())).await;
    let (ticket, verdict) = desk.reloads.ask();
    let sent = desk.parent.send(&Report::Reload { ticket, by: actor.to_owned() }, None).await;
    if let Err(error) = sent {
        desk.reloads.forget(ticket);
        return Err(format!("the parent can't be reached: {error}"));
    }
    match timeout(VERDICT, verdict).await {
        Ok(Ok(Verdict::Done { generation, changes, more })) => {
            for change in changes {
                if responses.send(Answer::Reload(Response::Changed(change))).await.is_err() {
                    return Err("whoever asked has left".to_owned());
                }
            }
            Ok(Answer::Reload(Response::Done { generation, more }))
        }
        Ok(Ok(Verdict::Refused { reason })) => Err(reason),
        Ok(Err(_)) | Err(_) => {
            desk.reloads.forget(ticket);
            Err("the parent said nothing of it in time: its log tells what became of the reload".to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parent_is_asked_once_a_second_whoever_asks() {
        let (waiting, now) = (Waiting::default(), Instant::now());
        let waits = [0, 1, 2].map(|_| waiting.turn(now));
        assert_eq!(waits, [0, 1, 2].map(Duration::from_secs));
        assert_eq!(waiting.turn(now + Duration::from_secs(60)), Duration::ZERO);
    }

    #[test]
    fn a_verdict_is_for_all_who_asked_before_it_was_begun_and_for_nobody_else() {
        let waiting = Waiting::default();
        let (_, mut first) = waiting.ask();
        let (second, mut also) = waiting.ask();
        let (_, mut later) = waiting.ask();
        let refused = Verdict::Refused { reason: "no".into() };
        waiting.tell(second, &refused);
        assert_eq!((first.try_recv(), also.try_recv()), (Ok(refused.clone()), Ok(refused.clone())));
        assert!(later.try_recv().is_err());
        waiting.tell(Ticket(99), &refused);
        assert_eq!(later.try_recv(), Ok(refused));
        assert!(waiting.askers.borrow().is_empty());
    }
}
