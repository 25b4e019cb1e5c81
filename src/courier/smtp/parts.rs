//! A message in parts, one after the other: for more recipients than the upstream takes at once (LIMITS, RFC 9422), some that one of
//! its hosts can't be told of (SMTPUTF8, RFC 6531), or one of which ends its sessions.

use std::cmp::Ordering;
use std::collections::HashSet;

use super::Upstream;
use super::offers::{Limits, Offers};
use crate::courier::parcel::{Parcel, Verdict};
use crate::mail::address::Address;
use crate::mail::envelope::{Addressee, Utf8};
use crate::mail::outcome::{Outcome, Said};

impl Offers {
    /// Leaves a part as many recipients as one transaction may have, and who can be told there, where any can; the others go beyond it.
    /// With `is_heard` some of the part have an outcome at another host, and nobody comes to it.
    pub(super) fn apply(&self, parcel: &mut Parcel, beyond: &mut Group, is_heard: bool) {
        if !is_heard {
            parcel.recipients.append(beyond);
        }
        let mut untellable = self.set_apart(parcel);
        let part = &mut parcel.recipients;
        let mut cut = part.split_off(self.limits.fitting(part));
        cut.append(&mut untellable);
        cut.append(beyond);
        *beyond = cut;
    }

    /// Whether it takes all of them at once.
    pub(super) fn fits(&self, parcel: &Parcel) -> bool {
        let part = &parcel.recipients;
        (self.utf8 || needing(parcel) == 0) && self.limits.fitting(part) == part.len()
    }

    /// Takes those out whose own address needs SMTPUTF8, where that isn't offered and others can go all the same: another host may
    /// offer it, and is asked for them alone.
    fn set_apart(&self, parcel: &mut Parcel) -> Group {
        if self.utf8 || !(1..parcel.recipients.len()).contains(&needing(parcel)) {
            return Group::new();
        }
        let all = std::mem::take(&mut parcel.recipients);
        let (untellable, part) = all.into_iter().partition(|(_, to)| to.address.is_international());
        parcel.recipients = part;
        untellable
    }
}

/// How many need SMTPUTF8 by their own address; none where the whole message does.
fn needing(Parcel { sender, manner, recipients, .. }: &Parcel) -> usize {
    let is_whole = manner.utf8 == Utf8::Needed || sender.as_ref().is_some_and(Address::is_international);
    recipients.iter().filter(|(_, to)| !is_whole && to.address.is_international()).count()
}

impl Limits {
    /// How many from the front on it takes; at least one, if there is one.
    fn fitting(&self, part: &[(u32, Addressee)]) -> usize {
        let recipients = self.recipients.map_or(usize::MAX, |most| usize::try_from(most).unwrap_or(usize::MAX));
        let domains = self.domains.map_or(usize::MAX, |most| usize::try_from(most).unwrap_or(usize::MAX));
        let mut seen = HashSet::new();
        let fits = |(at, (_, to)): &(usize, &(u32, Addressee))| {
            seen.insert(to.address.domain().to_owned());
            *at < recipients && seen.len() <= domains
        };
        part.iter().enumerate().take_while(fits).count()
    }
}

/// How the attempt at one part ended.
pub enum Part {
    Ended(Verdict),
    Over(Over),
}

/// The session was ended over one recipient of several, by position in the parcel: others may pass without it.
pub struct Over {
    pub at: usize,
    /// Its answer.
    pub said: Said,
    /// Others that have an outcome.
    pub heard: Vec<(u32, Outcome)>,
    /// For those that can't be tried any more in this attempt.
    pub reason: String,
}

impl Over {
    /// Takes the part asunder: the recipient, those before it, who were accepted, and the others from the last on, as what ends
    /// sessions may stand side by side.
    fn split(&self, part: Vec<(u32, Addressee)>) -> (Option<u32>, Group, Group) {
        let heard = numbers(&self.heard);
        let (mut which, mut accepted, mut others) = (None, Vec::new(), Vec::new());
        for (at, recipient) in part.into_iter().enumerate() {
            match at.cmp(&self.at) {
                Ordering::Equal => which = Some(recipient.0),
                _ if heard.contains(&recipient.0) => {}
                Ordering::Less => accepted.push(recipient),
                Ordering::Greater => others.push(recipient),
            }
        }
        others.reverse();
        (which, accepted, others)
    }
}

/// Recipients with their numbers in the message.
pub type Group = Vec<(u32, Addressee)>;

/// So many sessions that end over a recipient before one was accepted, and no more are tried: it is hardly for them.
const IN_A_ROW: u32 = 3;
/// Sessions that may end over recipients in one attempt: each costs a login. Those who are left are tried with the next attempt.
const MOST: u32 = 16;

impl Upstream {
    /// Delivers one message, or finds out why not. Who ends a session is put off by that, and others are tried without, those first
    /// who were accepted.
    pub async fn deliver(&self, parcel: &mut Parcel) -> Verdict {
        let Ok(_permit) = self.free.acquire().await else { return Verdict::Withdrawn };
        // The last is next.
        let mut groups: Vec<Group> = vec![std::mem::take(&mut parcel.recipients)];
        // Who ended a session is put off by that, if it turns out that others pass.
        let mut over = Vec::new();
        let (mut ended, mut in_a_row) = (0, 0);
        let put_off = loop {
            let Some(group) = groups.pop() else { return Verdict::Settled(over) };
            parcel.recipients = group;
            let mut beyond = Group::new();
            let part = self.deliver_part(parcel, &mut beyond).await;
            if !beyond.is_empty() {
                groups.push(beyond);
            }
            match part {
                Part::Over(part) => {
                    let (which, accepted, others) = part.split(std::mem::take(&mut parcel.recipients));
                    in_a_row = if accepted.is_empty() { in_a_row + 1 } else { 0 };
                    ended += 1;
                    over.extend(which.map(|number| (number, Outcome::Deferred(part.said))));
                    parcel.teller.tell(part.heard).await;
                    groups.extend([others, accepted].into_iter().filter(|group| !group.is_empty()));
                    if in_a_row >= IN_A_ROW || ended >= MOST {
                        break Said { enhanced: Some("4.4.2".to_owned()), ..ours(part.reason) };
                    }
                }
                Part::Ended(Verdict::Settled(outcomes)) if groups.is_empty() => {
                    over.extend(outcomes);
                    return Verdict::Settled(over);
                }
                Part::Ended(Verdict::Settled(outcomes)) => {
                    in_a_row = 0;
                    parcel.teller.tell(outcomes).await;
                    parcel.recipients.clear();
                }
                Part::Ended(Verdict::RouteFailed { reason, .. } | Verdict::LoginRefused(reason))
                    if parcel.teller.told().is_empty() && !over.is_empty() =>
                {
                    break ours(reason);
                }
                Part::Ended(Verdict::BrokenOff { heard, said })
                    if !(parcel.teller.told().is_empty() && over.is_empty()) =>
                {
                    groups.push(without(std::mem::take(&mut parcel.recipients), &heard));
                    parcel.teller.tell(heard).await;
                    break said;
                }
                Part::Ended(verdict) => {
                    // Those who are left have met this and nothing else.
                    if !parcel.teller.told().is_empty() {
                        parcel.teller.tell(over).await;
                    }
                    return verdict;
                }
            }
            if !groups.is_empty() && !parcel.content.rewind().await {
                break ours("the upstream takes no more recipients at once; the others follow".to_owned());
            }
        };
        if parcel.teller.told().is_empty() {
            // Whoever ended a session may be any of them.
            return Verdict::BrokenOff { heard: Vec::new(), said: put_off };
        }
        let rest = groups.iter().flatten();
        over.extend(rest.map(|(number, _)| (*number, Outcome::Deferred(put_off.clone()))));
        Verdict::Settled(over)
    }
}

fn numbers(heard: &[(u32, Outcome)]) -> HashSet<u32> {
    heard.iter().map(|(number, _)| *number).collect()
}

/// Those who have no outcome.
fn without(part: Group, heard: &[(u32, Outcome)]) -> Group {
    let heard = numbers(heard);
    part.into_iter().filter(|(number, _)| !heard.contains(number)).collect()
}

/// Our own words for those who were not said.
fn ours(text: String) -> Said {
    Said { enhanced: Some("4.5.3".to_owned()), text, ..Said::default() }
}
