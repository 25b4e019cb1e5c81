//! A message whose sender waits: its recipients are said as they come, each answer is told at once, and the content follows.

use super::{Answers, Attempt, Known, Transaction};
use std::collections::HashSet;

use crate::courier::parcel::{Parcel, Step, Withdrawn};
use crate::courier::smtp::Patience;
use crate::courier::smtp::envelope;
use crate::courier::smtp::offers::Limits;
use crate::courier::smtp::session::Session;
use crate::mail::envelope::{Addressee, Utf8};
use crate::mail::outcome::{Outcome, Said};

/// What those are told who are more than the upstream takes at once (LIMITS, RFC 9422): their sender sends them a message of their
/// own (RFC 5321 section 4.5.3.1.10).
const TOO_MANY: &str = "the next host takes no more recipients at once";

/// Makes one attempt, with the first recipients in the parcel. As long as nobody was told anything, another can follow; the session
/// must be dropped unless it is said to be reusable. At its end each recipient who was accepted, and is still in the parcel, has
/// its outcome.
pub async fn live(session: &mut Session, parcel: &mut Parcel, patience: &Patience) -> Attempt {
    let outcomes = vec![None; parcel.recipients.len()];
    Transaction {
        session,
        parcel,
        patience,
        outcomes,
        is_live: true,
        known: Known::default(),
        is_told: false,
        has_refused: false,
    }
    .follow()
    .await
}

impl Transaction<'_> {
    async fn follow(mut self) -> Attempt {
        if let Some(unprotected) = self.unprotected() {
            return unprotected;
        }
        // Whether the header needs it shows when it is too late (rule X3).
        if !self.session.offers.utf8 && self.parcel.manner.utf8 != Utf8::None {
            let outcome = self.without_utf8();
            self.settle(&outcome);
            return self.lacking(true);
        }
        self.session.begun += 1;
        let (mut from, mut ration) = (0, Ration::new(self.session.offers.limits));
        loop {
            let beyond = ration.cut(&mut self.parcel.recipients, from);
            self.outcomes.resize(self.parcel.recipients.len(), None);
            let commands = envelope::so_far(self.parcel, &self.session.offers, from, self.is_told);
            let answers = match self.exchange(commands).await {
                Ok(answers) => answers,
                Err(attempt) => return with(attempt, &beyond),
            };
            if answers.refused.is_some() {
                return with(self.judge(answers).await, &beyond);
            }
            if from == 0 && self.is_worn(None) {
                return Attempt::Worn;
            }
            self.tell(from).await;
            self.parcel.teller.tell(put_off(&beyond)).await;
            from = self.parcel.recipients.len();
            match self.parcel.content.step().await {
                Ok(Step::Recipients(batch)) => self.parcel.recipients.extend(batch),
                Ok(Step::Content) => break,
                Err(Withdrawn) => {
                    let reusable = self.session.reset(&self.patience.brief()).await;
                    return Attempt::GivenUp { reusable };
                }
            }
        }
        let answers = match self.session.offers.chunking {
            true => Answers::default(),
            false => match self.exchange(vec![envelope::data()]).await {
                Ok(answers) => answers,
                Err(attempt) => return attempt,
            },
        };
        self.judge(answers).await
    }

    /// Tells how those from that position on were answered. Who was refused is forgotten with that.
    async fn tell(&mut self, from: usize) {
        let outcomes = self.outcomes.split_off(from);
        let recipients = self.parcel.recipients.split_off(from);
        for (recipient, outcome) in recipients.into_iter().zip(outcomes) {
            match outcome {
                Some(outcome) => self.parcel.teller.tell(vec![(recipient.0, outcome)]).await,
                None => {
                    self.parcel.teller.accept(recipient.0, true).await;
                    self.parcel.recipients.push(recipient);
                    self.outcomes.push(None);
                }
            }
        }
        self.has_refused = false;
    }
}

/// How many more recipients the upstream takes of one message.
struct Ration {
    limits: Limits,
    asked: u32,
    domains: HashSet<String>,
}

impl Ration {
    fn new(limits: Limits) -> Self {
        Self { limits, asked: 0, domains: HashSet::new() }
    }

    /// Takes those from that position on who would be too many.
    fn cut(&mut self, recipients: &mut Vec<(u32, Addressee)>, from: usize) -> Vec<(u32, Addressee)> {
        let (mut beyond, mut within) = (Vec::new(), recipients.split_off(from));
        within.retain(|recipient| {
            let fits = self.takes(recipient.1.address.domain());
            if !fits {
                beyond.push(recipient.clone());
            }
            fits
        });
        recipients.append(&mut within);
        beyond
    }

    fn takes(&mut self, domain: &str) -> bool {
        let is_room = self.limits.recipients.is_none_or(|most| self.asked < most);
        let is_known = self.domains.contains(domain);
        let domains = u32::try_from(self.domains.len()).unwrap_or(u32::MAX);
        if !is_room || (!is_known && self.limits.domains.is_some_and(|most| domains >= most)) {
            return false;
        }
        self.asked += 1;
        self.domains.insert(domain.to_owned());
        true
    }
}

fn put_off(beyond: &[(u32, Addressee)]) -> Vec<(u32, Outcome)> {
    let (enhanced, text) = (Some("4.5.3".to_owned()), TOO_MANY.to_owned());
    let outcome = Outcome::Deferred(Said { code: Some(452), enhanced, text, ..Said::default() });
    beyond.iter().map(|(number, _)| (*number, outcome.clone())).collect()
}

/// The same attempt, where those are answered, too, who were not asked for.
fn with(attempt: Attempt, beyond: &[(u32, Addressee)]) -> Attempt {
    let all = |outcomes: Vec<_>| outcomes.into_iter().chain(put_off(beyond)).collect();
    match attempt {
        Attempt::Settled { outcomes, reusable } => Attempt::Settled { outcomes: all(outcomes), reusable },
        Attempt::PutOff { outcomes, reusable } => Attempt::PutOff { outcomes: all(outcomes), reusable },
        other => other,
    }
}
