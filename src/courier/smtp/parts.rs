//! A message for more recipients than the upstream takes at once (LIMITS, RFC 9422): in parts, one after the other.

use std::collections::HashSet;
use std::sync::PoisonError;

use super::Upstream;
use super::offers::Limits;
use crate::courier::parcel::{Parcel, Verdict};
use crate::mail::envelope::Addressee;
use crate::mail::outcome::{Outcome, Said};

impl Limits {
    /// Takes those recipients from the front that one transaction may have; at least one, if there is one.
    fn part(&self, waiting: &mut Vec<(u32, Addressee)>) -> Vec<(u32, Addressee)> {
        let recipients = self.recipients.map_or(usize::MAX, |most| usize::try_from(most).unwrap_or(usize::MAX));
        let domains = self.domains.map_or(usize::MAX, |most| usize::try_from(most).unwrap_or(usize::MAX));
        let mut seen = HashSet::new();
        let fits = |(at, (_, to)): &(usize, &(u32, Addressee))| {
            seen.insert(to.address.domain().to_owned());
            *at < recipients && seen.len() <= domains
        };
        let count = waiting.iter().enumerate().take_while(fits).count();
        let rest = waiting.split_off(count);
        std::mem::replace(waiting, rest)
    }
}

impl Upstream {
    /// Delivers one message, or finds out why not. What its limits are an upstream says in EHLO, so the first message of all meets
    /// them unsaid: then whoever is too many is put off by its own answer.
    pub async fn deliver(&self, parcel: &mut Parcel) -> Verdict {
        let Ok(_permit) = self.free.acquire().await else { return Verdict::Withdrawn };
        let mut waiting = std::mem::take(&mut parcel.recipients);
        let mut done = Vec::new();
        let put_off = loop {
            let limits = *self.limits.lock().unwrap_or_else(PoisonError::into_inner);
            parcel.recipients = limits.part(&mut waiting);
            let verdict = self.deliver_part(parcel).await;
            if done.is_empty() && (waiting.is_empty() || !matches!(verdict, Verdict::Settled(_))) {
                return verdict;
            }
            match verdict {
                Verdict::Settled(outcomes) => done.extend(outcomes),
                Verdict::RouteFailed { reason, .. } | Verdict::LoginRefused(reason) => break ours(reason),
                Verdict::BrokenOff { heard, said } => {
                    done.extend(heard);
                    break said;
                }
                Verdict::Withdrawn => break ours("it was taken back between two parts".to_owned()),
            }
            if waiting.is_empty() {
                return Verdict::Settled(done);
            }
            if !parcel.content.rewind() {
                break ours("the upstream takes no more recipients at once; the others follow".to_owned());
            }
        };
        let heard: HashSet<u32> = done.iter().map(|(number, _)| *number).collect();
        let rest = parcel.recipients.iter().chain(&waiting).filter(|(number, _)| !heard.contains(number));
        done.extend(rest.map(|(number, _)| (*number, Outcome::Deferred(put_off.clone()))));
        Verdict::Settled(done)
    }
}

/// Our own words for those who were not said.
fn ours(text: String) -> Said {
    Said { code: None, enhanced: Some("4.5.3".to_owned()), text, host: String::new(), tls: None, reports: false }
}
