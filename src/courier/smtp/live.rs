//! A message whose sender waits, to whichever host takes it. Until a recipient is answered the next host can be tried; behind that
//! the sender is told how it went, and tries again itself.

use std::time::Duration;

use tokio::time::timeout;

use super::doors::Caller;
use super::session::{Refused, Session};
use super::transaction::{self, Attempt};
use super::{Patience, Upstream, failed, perhaps_elsewhere};
use crate::courier::parcel::{Parcel, Step, Verdict};
use crate::ipc::waits::END;
use crate::mail::outcome::{Outcome, Said};

/// For a session with a host that lets us in, all tried hosts together, and for the answer to a command: with both, a client hears of
/// its recipient within the minute that the vault waits.
const OPENING: Duration = Duration::from_secs(25);
const COMMAND: Duration = Duration::from_secs(25);
impl Patience {
    /// While somebody waits.
    fn of_a_sender(&self) -> Self {
        Self {
            command: self.command.min(COMMAND),
            data: self.data.min(COMMAND),
            block: self.block.min(END),
            dot: self.dot.min(END),
            ..*self
        }
    }
}

impl Upstream {
    /// Delivers one message while it comes, or finds out why not.
    pub async fn deliver_live(&self, parcel: &mut Parcel) -> Verdict {
        let first = match parcel.content.step().await {
            Ok(Step::Recipients(first)) => first,
            Ok(Step::Content) => return Verdict::Settled(Vec::new()),
            Err(_) => return Verdict::Withdrawn,
        };
        let Ok(Ok(_permit)) = timeout(OPENING, self.free.acquire()).await else { return Verdict::Withdrawn };
        let patience = self.settings.patience.of_a_sender();
        let mut tour = self.settings.hosts.tour();
        let mut reused = self.pool.take().await;
        let (mut reasons, mut put_off, mut lacking, mut broken_off) = (Vec::<Refused>::new(), None, None, None);
        loop {
            let (mut session, is_reused) = match reused.take() {
                Some(session) => (session, true),
                None => match timeout(OPENING, self.open(&mut tour, &mut reasons)).await {
                    Ok(Some(session)) => (session, false),
                    Ok(None) => break,
                    Err(_) => {
                        // Whoever comes next doesn't wait for the same host.
                        if let Some(index) = tour.trying() {
                            self.settings.hosts.failed(index);
                        }
                        reasons.push(format!("nobody let us in within {} s", OPENING.as_secs()).into());
                        break;
                    }
                },
            };
            parcel.recipients.clone_from(&first);
            self.speak_of_chunks(&mut session);
            let ended = transaction::live(&mut session, parcel, &patience).await;
            self.speak_of_chunks(&mut session);
            let is_over = parcel.teller.has_spoken();
            match ended {
                Attempt::Settled { outcomes, reusable } => {
                    return self.settled(session, parcel, outcomes, reusable);
                }
                Attempt::PutOff { outcomes, reusable } => {
                    let reached = session.index;
                    if is_over || put_off.is_some() {
                        return self.settled(session, parcel, outcomes, reusable);
                    }
                    if is_reused {
                        tour.reached(reached, reached);
                    }
                    self.let_go(session, reusable);
                    put_off = Some(outcomes);
                }
                Attempt::Lacking { outcomes, reusable } => {
                    if is_reused {
                        tour.reached(session.index, session.index);
                    }
                    self.let_go(session, reusable);
                    lacking = Some(outcomes);
                }
                Attempt::Worn => {
                    tracing::debug!("a kept connection takes nothing more; trying a fresh one");
                    session.quit(&patience).await;
                }
                Attempt::Withdrawn => return Verdict::Withdrawn,
                Attempt::GivenUp { reusable } => {
                    self.let_go(session, reusable);
                    return Verdict::Withdrawn;
                }
                Attempt::Route { stale: true, .. } | Attempt::BrokenOff { stale: true, .. }
                    if is_reused && !is_over =>
                {
                    tracing::debug!("a kept connection had ended; trying a fresh one");
                }
                ended => {
                    if is_reused {
                        tour.reached(session.index, session.index);
                    }
                    self.settings.hosts.failed(session.index);
                    let (reason, verdict) = self.broken(ended, parcel).await;
                    if parcel.teller.has_spoken()
                        && let Some(verdict) = verdict
                    {
                        return verdict;
                    }
                    reasons.push(reason);
                    broken_off = verdict.or(broken_off);
                }
            }
        }
        let is_for_good = reasons.is_empty() && !tour.misses_one();
        if let Some(outcomes) = lacking.as_ref().filter(|_| !is_for_good && broken_off.is_none()) {
            broken_off = Some(perhaps_elsewhere(outcomes, &reasons));
        }
        match put_off.or(lacking.filter(|_| is_for_good)) {
            Some(outcomes) => Verdict::Settled(outcomes),
            None => broken_off.unwrap_or_else(|| {
                self.doors.failed();
                failed(&reasons)
            }),
        }
    }

    fn settled(&self, session: Session, parcel: &Parcel, outcomes: Vec<(u32, Outcome)>, reusable: bool) -> Verdict {
        self.let_go(session, reusable);
        self.doors.passed(parcel, &outcomes);
        Verdict::Settled(outcomes)
    }

    /// A session that can't go on: why, and the verdict if it was over a message.
    async fn broken(&self, ended: Attempt, parcel: &mut Parcel) -> (Refused, Option<Verdict>) {
        let broken_off = |heard, said: Said| {
            let reason = said.text.clone().into();
            (reason, Some(Verdict::BrokenOff { heard, said }))
        };
        match ended {
            Attempt::BrokenOff { heard, said, .. } => broken_off(heard, *said),
            Attempt::Over { at, said, heard, reason } => {
                parcel.teller.tell(heard).await;
                // It is answered by that, and those behind it by what became of the session.
                if let Some((number, _)) = parcel.recipients.get(at) {
                    parcel.teller.tell(vec![(*number, Outcome::Deferred(*said.clone()))]).await;
                }
                broken_off(Vec::new(), Said { text: reason, enhanced: Some("4.4.2".to_owned()), code: None, ..*said })
            }
            Attempt::Unwelcome { door, said } => {
                let caller = Caller::of(parcel);
                let is_of_the_caller = self.doors.are_of(&caller, door);
                self.doors.refused(&caller, door);
                match is_of_the_caller {
                    true => broken_off(Vec::new(), Said { enhanced: Some("4.7.0".to_owned()), ..*said }),
                    false => (said.text.into(), None),
                }
            }
            Attempt::Route { reason, .. } => (reason.into(), None),
            _ => ("the session ended".into(), None),
        }
    }
}
