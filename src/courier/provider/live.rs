//! A message whose sender waits, to a provider: no API has an answer before the message, so what is said to RCPT is our own, and
//! what the provider says is said to the dot. One recipient goes with each, because there is but one answer.

use super::Provider;
use crate::courier::parcel::{Parcel, Step, Verdict};
use crate::mail::outcome::{Outcome, Said};

/// What a second recipient is told; its sender sends it a message of its own (RFC 5321 section 4.5.3.1.10).
const ONE_BY_ONE: &str = "one recipient at a time";

impl Provider {
    /// Delivers one message while it comes.
    pub async fn deliver_live(&self, parcel: &mut Parcel) -> Verdict {
        let Ok(_permit) = self.free.acquire().await else { return Verdict::Withdrawn };
        loop {
            let batch = match parcel.content.step().await {
                Ok(Step::Recipients(batch)) => batch,
                Ok(Step::Content) if parcel.recipients.is_empty() => return Verdict::Settled(Vec::new()),
                Ok(Step::Content) => return self.carry(parcel).await,
                Err(_) => return Verdict::Withdrawn,
            };
            for (number, to) in batch {
                let refused = match self.unfit(parcel, parcel.size) {
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
}
