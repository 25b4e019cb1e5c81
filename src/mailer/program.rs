//! Delivery by a program: the whole message is gathered, its end is announced to the vault, and only then the program is started.
//!
//! | phase | what happens | for the message |
//! |---|---|---|
//! | before | REQUIRETLS; letters beyond ASCII that the program was not said to understand | Failed: it was not run |
//! | message | the vault takes it back or falls silent | given up: the program was not run |
//! | run | see `judgement` | |
//!
//! Recipients go together as far as one run takes them, and each run is settled on its own.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config::slice::MailerSlice;
use crate::ipc::delivery::{Line, Verified};
use crate::jobs;
use crate::jobs::parcel::{Parcel, Step, Verdict};
use crate::mail::address::{Address, ReversePath};
use crate::mail::envelope::{Addressee, Utf8};
use crate::mail::outcome::{Outcome, Said};
use crate::secret::Secret;

use super::envelope::{Part, parts, words};
use super::judgement::{self, Judgement, judge};
use super::letter;
use super::rehearsal;
use super::run::{Ended, How, Run};

/// What a second recipient of a message whose sender waits is told, because there is one answer to a run; its sender sends it a message
/// of its own (RFC 5321 section 4.5.3.1.10).
const ONE_BY_ONE: &str = "one recipient at a time";

/// One program, and how often it may run at once.
pub struct Program {
    slice: MailerSlice,
    free: Arc<Semaphore>,
}

impl Program {
    pub fn new(slice: MailerSlice) -> Self {
        let free = Arc::new(Semaphore::new(usize::from(slice.runs.max(1))));
        Self { slice, free }
    }

    /// Delivers one message, with a place of its own.
    async fn carry(&self, parcel: &mut Parcel, place: OwnedSemaphorePermit) -> Verdict {
        let place = Arc::new(place);
        let (mut unsendable, mut able) = (Vec::new(), Vec::new());
        for (number, to) in &parcel.recipients {
            match self.unfit(parcel, to) {
                Some(said) => unsendable.push((*number, Outcome::Unsendable(said))),
                None => able.push((*number, to.clone())),
            }
        }
        if able.is_empty() {
            return Verdict::Settled(unsendable);
        }
        let Ok(content) = letter::gather(&mut parcel.content).await else { return Verdict::Withdrawn };
        let content = Arc::new(content);
        parcel.teller.tell(unsendable).await;
        let mut waiting: VecDeque<Part> = parts(&able, self.slice.understands).into();
        while let Some(part) = waiting.pop_front() {
            if !parcel.content.may_end(part.iter().map(|(number, _)| *number).collect()).await {
                return Verdict::Withdrawn;
            }
            let outcome = match self.run(parcel, &part, &content, &place).await {
                Judgement::OneOf(_) if part.len() > 1 => {
                    tracing::info!(message = %parcel.message, recipients = part.len(), "one of them is refused: each is tried alone");
                    part.into_iter().rev().for_each(|one| waiting.push_front(vec![one]));
                    continue;
                }
                Judgement::All(outcome) | Judgement::OneOf(outcome) => outcome,
                // What a run meets is said of it and of those behind it: they have nothing yet.
                Judgement::PutOff(said) => return Verdict::BrokenOff { heard: Vec::new(), said },
                Judgement::Route(reason) => return Verdict::RouteFailed { reason, rest: None },
            };
            let outcomes = part.into_iter().map(|(number, _)| (number, outcome.clone())).collect();
            if waiting.is_empty() {
                return Verdict::Settled(outcomes);
            }
            parcel.teller.tell(outcomes).await;
        }
        Verdict::Settled(Vec::new())
    }

    /// One run. It goes on when nobody waits for it any more, and keeps its place until it has ended.
    async fn run(
        &self,
        parcel: &Parcel,
        part: &Part,
        content: &Arc<Vec<u8>>,
        place: &Arc<OwnedSemaphorePermit>,
    ) -> Judgement {
        let MailerSlice { command, time_limit: limit, .. } = &self.slice;
        let words = words(&self.slice, parcel, part);
        let run = Run { command: command.clone(), words, letter: Arc::clone(content), limit: *limit };
        let place = Arc::clone(place);
        let running = tokio::spawn(async move {
            let ended = run.finish().await;
            drop(place);
            ended
        });
        let size = u64::try_from(content.len()).unwrap_or(u64::MAX);
        // A task that fell, and nobody knows how far it came: as one whose time was over.
        let fell = |_| Ended { how: How::Late, read: size, output: "the run fell in the mailer".to_owned() };
        let judgement = judge(&running.await.unwrap_or_else(fell), size, *limit);
        match judgement {
            Judgement::Route(reason) => Judgement::Route(judgement::words(&format!("{}: {reason}", command.display()))),
            Judgement::All(outcome) => Judgement::All(outcome.map(|said| self.reported(said))),
            other => other,
        }
    }

    /// Whether the program tells its sender what becomes of it.
    fn reported(&self, said: Said) -> Said {
        Said { reports: self.slice.understands.dsn, ..said }
    }

    /// Why the program is not even run for this recipient.
    fn unfit(&self, parcel: &Parcel, to: &Addressee) -> Option<Said> {
        let said = |enhanced: &str, text: &str| {
            let (enhanced, text) = (Some(enhanced.to_owned()), text.to_owned());
            Some(Said { enhanced, text, ..Said::default() })
        };
        if parcel.manner.require_tls {
            return said("5.7.30", "it needs REQUIRETLS, which no program can promise; it was not sent");
        }
        let is_beyond = parcel.sender.as_ref().is_some_and(Address::is_international)
            || parcel.manner.utf8 == Utf8::Needed
            || to.address.is_international();
        if is_beyond && !self.slice.understands.utf8 {
            return said("5.6.7", "it needs SMTPUTF8, which this upstream's options do not have; it was not sent");
        }
        None
    }

    async fn place(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.free).acquire_owned().await.ok()
    }
}

impl jobs::Upstream for Program {
    fn slots(&self) -> u16 {
        self.slice.runs.max(1)
    }

    async fn deliver(&self, parcel: &mut Parcel) -> Verdict {
        let Some(place) = self.place().await else { return Verdict::Withdrawn };
        self.carry(parcel, place).await
    }

    async fn deliver_live(&self, parcel: &mut Parcel) -> Verdict {
        let Some(place) = self.place().await else { return Verdict::Withdrawn };
        loop {
            let batch = match parcel.content.step().await {
                Ok(Step::Recipients(batch)) => batch,
                Ok(Step::Content) if parcel.recipients.is_empty() => return Verdict::Settled(Vec::new()),
                Ok(Step::Content) => return self.carry(parcel, place).await,
                Err(_) => return Verdict::Withdrawn,
            };
            for (number, to) in batch {
                let refused = match self.unfit(parcel, &to) {
                    Some(said) => Some(Outcome::Unsendable(said)),
                    None if parcel.recipients.is_empty() => None,
                    None => Some(Outcome::Deferred(Said {
                        code: Some(452),
                        enhanced: Some("4.5.3".to_owned()),
                        text: ONE_BY_ONE.to_owned(),
                        ..Said::default()
                    })),
                };
                match refused {
                    Some(outcome) => parcel.teller.tell(vec![(number, outcome)]).await,
                    None => {
                        parcel.recipients.push((number, to));
                        parcel.teller.accept(number, false).await;
                    }
                }
            }
        }
    }

    async fn rehearse(&self, _: &[ReversePath], lines: &UnboundedSender<Line>) -> bool {
        rehearsal::rehearse(&self.slice, lines)
    }

    /// The vault asks no other but a provider.
    async fn verify(&self, _: &Secret<String>) -> Verified {
        Verified::Unknown("it has no keys of providers".to_owned())
    }
}
