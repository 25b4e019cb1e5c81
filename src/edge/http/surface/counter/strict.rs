//! Batches that are to go whole or not at all.
//!
//! All that an edge can know is judged before the first message is asked for, and the vault keeps room in the credential's limits for
//! all of them. What may come into the middle after that is told with what is kept; and the same request goes on from there, by its
//! key, or, without one, by what it asks for (`cuts`).

use std::collections::HashMap;

use super::super::{Call, bulk};
use super::Customer;
use crate::edge::http::cuts::Begun;
use crate::edge::http::idempotency::{self, fingerprint_of_all};
use crate::edge::http::letter::Letter;
use crate::edge::http::login::away;
use crate::edge::http::parcel::Kept;
use crate::edge::http::refusal;
use crate::edge::http::reply::{Code, Fault, Issue};
use crate::edge::http::submit::{self, Draft};
use crate::ipc::inquiry::{Batch, MOST_DOMAINS, OfDomain};
use crate::ipc::once::Once;
use crate::mail::id::MessageId;
use crate::policy::refusal::Refusal;

/// What became of a message of a batch that was taken whole. One to nobody but addresses that nothing is sent to was refused, under
/// an id of its own.
pub type Done = Result<Kept, (MessageId, Fault)>;

/// One that was kept before.
const fn before(id: MessageId) -> Kept {
    Kept { id, octets: 0, repeated: true, suppressed: Vec::new() }
}

/// A message of a batch that isn't kept yet.
type Part = (Letter, Draft);

/// A fault of the message with this number, as this call's clients read it.
fn numbered(call: Call, n: usize, mut fault: Fault) -> Fault {
    if call == Call::Bulk {
        return bulk::placed(n, fault);
    }
    for issue in &mut fault.issues {
        issue.pointer.insert_str(0, &format!("/{n}"));
    }
    fault.message = format!("message {n}: {}", fault.message);
    fault
}

/// A fault that came when these messages of its batch were kept.
fn but_for(begun: &Begun, mut fault: Fault) -> Fault {
    let numbers: Vec<String> = begun.keys().map(ToString::to_string).collect();
    let kept = match numbers.len() {
        0 => return fault,
        1 => format!("message {} is", numbers.concat()),
        _ => format!("messages {} are", numbers.join(", ")),
    };
    fault.message += &format!(" ({kept} kept and will be sent)");
    fault
}

/// What the parts need of the limits.
fn needs(parts: &[(usize, Part)]) -> Batch {
    let mut batch = Batch::default();
    let mut domains: HashMap<String, OfDomain> = HashMap::new();
    for (_, (letter, draft)) in parts {
        let recipients = submit::recipients(letter);
        batch.messages = batch.messages.saturating_add(1);
        batch.recipients = batch.recipients.saturating_add(u32::try_from(recipients.len()).unwrap_or(u32::MAX));
        batch.octets = batch.octets.saturating_add(u64::try_from(draft.octets).unwrap_or(u64::MAX));
        let mut own: HashMap<&str, u32> = HashMap::new();
        recipients.iter().for_each(|to| *own.entry(to.domain()).or_default() += 1);
        for (domain, recipients) in own {
            let new = || OfDomain { domain: domain.to_owned(), messages: 0, recipients: 0 };
            let of = domains.entry(domain.to_owned()).or_insert_with(new);
            of.messages = of.messages.saturating_add(1);
            of.recipients = of.recipients.saturating_add(recipients);
        }
    }
    batch.domains = domains.into_values().collect();
    batch.domains.sort_unstable_by(|a, b| (b.recipients, &a.domain).cmp(&(a.recipients, &b.domain)));
    batch.domains.truncate(MOST_DOMAINS);
    batch.first = parts.first().and_then(|(_, (_, draft))| draft.once());
    batch
}

impl Customer<'_> {
    /// All messages of a batch or none: the first that is not sound, may not go or is too long refuses them all before one is kept,
    /// and so does a limit of the credential's that has no room for all of them. A full disk, a lost vault or what others use up
    /// between two of them refuses the rest, and says which are kept; the same request goes on from there. One to nobody but
    /// suppressed addresses refuses nothing: it will not be taken next time either, and the others were to go without it.
    pub(super) async fn all(&mut self, letters: Vec<Result<Letter, Fault>>, id: MessageId) -> Result<Vec<Done>, Fault> {
        // Before the credential's wishes change them.
        let onces = self.onces(&letters);
        let print = match self.key {
            Some(_) => None,
            None => letters.iter().map(|letter| letter.as_ref().ok()).collect::<Option<Vec<&Letter>>>(),
        };
        let print = print.map(|letters| fingerprint_of_all(&self.grant.principal, letters.into_iter()));
        let parts = self.parts(letters, onces, id)?;
        let cuts = &self.session.front.cuts;
        let mut begun = print.map(|print| cuts.take(&print)).unwrap_or_default();
        let done = self.rest(parts, &mut begun, id).await;
        if let (Err(_), Some(print), false) = (&done, print, begun.is_empty()) {
            cuts.put(print, begun);
        }
        done
    }

    /// Each message as it would be kept; the first that can't be refuses them all.
    fn parts(
        &self,
        letters: Vec<Result<Letter, Fault>>,
        onces: Vec<Option<Once>>,
        id: MessageId,
    ) -> Result<Vec<Part>, Fault> {
        let mut parts = Vec::new();
        for (n, (letter, once)) in letters.into_iter().zip(onces).enumerate() {
            let drafted = letter.and_then(|mut letter| {
                let draft = submit::draft(self.seat, self.session, self.grant, &mut letter, once, id)?;
                // They are in the draft.
                letter.attachments.clear();
                Ok((letter, draft))
            });
            parts.push(drafted.map_err(|fault| numbered(self.call, n, fault))?);
        }
        Ok(parts)
    }

    /// What isn't begun yet, which becomes so one after the other.
    async fn rest(&mut self, parts: Vec<Part>, begun: &mut Begun, id: MessageId) -> Result<Vec<Done>, Fault> {
        let mut results: Vec<Done> =
            (0..parts.len()).map(|n| Ok(before(begun.get(&n).copied().unwrap_or(id)))).collect();
        let mut parts: Vec<_> = parts.into_iter().enumerate().filter(|(n, _)| !begun.contains_key(n)).collect();
        // One that can't leave when it is to goes on only if it was kept before, and that the vault alone knows: it is asked of
        // those first.
        parts.sort_by_key(|(_, (letter, draft))| !draft.is_late(letter, &self.session.front.desk));
        // One alone is asked for room where it is asked for.
        let is_batch = parts.len() > 1;
        if is_batch {
            self.room(&parts).await.map_err(|fault| but_for(begun, fault))?;
        }
        let kept = self.keep_all(parts, &mut results, begun, id).await;
        if is_batch {
            self.seat.visit.leave_room().await;
        }
        kept.map(|()| results)
    }

    /// Has the vault keep room for all of it.
    async fn room(&mut self, parts: &[(usize, Part)]) -> Result<(), Fault> {
        let Err(refusal) = self.seat.visit.room(needs(parts)).await.map_err(away)? else { return Ok(()) };
        let too_many = |message: &str| {
            let issue = Issue { code: "too_many", pointer: String::new(), message: message.to_owned() };
            Fault::of(Code::ValidationFailed, vec![issue])
        };
        Err(match refusal {
            Refusal::TooManyRecipients => {
                too_many("holds more messages, or recipients, than this key may ever send at once: send it in parts")
            }
            Refusal::TooBig => too_many("holds more octets than this key may send in a day: send less"),
            other => {
                let mut fault = submit::refused(other, self.session, self.grant, "", "");
                fault.message += " (nothing more of this batch is kept)";
                fault
            }
        })
    }

    async fn keep_all(
        &mut self,
        parts: Vec<(usize, Part)>,
        results: &mut [Done],
        begun: &mut Begun,
        id: MessageId,
    ) -> Result<(), Fault> {
        for (n, (letter, draft)) in parts {
            let mut own = id;
            let done = match submit::keep(self.seat, self.session, self.grant, &letter, draft, &mut own).await {
                Ok(kept) => {
                    let kept = self.accepted(kept);
                    begun.insert(n, kept.id);
                    Ok(kept)
                }
                Err(fault) if fault.issues.iter().any(|issue| issue.code == submit::SUPPRESSED) => {
                    refusal::tell(
                        &self.session.front,
                        self.session.peer,
                        own,
                        self.call.path(),
                        &fault,
                        self.correlation,
                    );
                    Err((own, fault))
                }
                Err(fault) if begun.is_empty() && idempotency::is_of_the_key(&fault) => return Err(fault),
                Err(fault) => return Err(but_for(begun, numbered(self.call, n, fault))),
            };
            if let Some(result) = results.get_mut(n) {
                *result = done;
            }
        }
        Ok(())
    }
}
