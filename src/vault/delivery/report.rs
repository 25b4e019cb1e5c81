//! Reports to senders: what is owed is made a message of its own, in the transaction that owes it no more.
//!
//! A report goes out from nobody (`<>`), to the sender that the message was accepted from, by the route that mail takes for
//! that one, unless `bounce` of an upstream says otherwise. It is marked as one, and is not reported in its turn when it fails,
//! whoever it is from (RFC 5321 section 6.1).

use std::cell::Cell;
use std::rc::Rc;

use jiff::Timestamp;
use sha2::{Digest, Sha256};
use tokio::sync::{Mutex, MutexGuard};
use uuid::Uuid;

use super::courier::open;
use super::delay;
use super::schedule::persist;
use super::way_back::{self, WayBack};
use crate::mail::dsn::{Notify, Wish};
use crate::mail::envelope::{Addressee, Manner, Utf8};
use crate::mail::id::MessageId;
use crate::mail::notification::{Action, Fate, MAX_WHOLE, Notification, Original};
use crate::policy::reports::{Delays, Reports};
use crate::policy::simulation::LANE;
use crate::policy::{OnUnknown, Reportable};
use crate::vault::Vault;
use crate::vault::audit::event::{Event, Field, Name, Outcome};
use crate::vault::audit::ledger::now_us;
use crate::vault::cipher::BodyKey;
use crate::vault::feedback::happened::{self, Subject};
use crate::vault::store::keys::Lock;
use crate::vault::store::owed::{Occasion, Owed};
use crate::vault::store::segment::Part;
use crate::vault::store::spool::{Accepted, Body};
use crate::vault::transaction::microseconds;

/// Why none is made of what was owed when the credential still wanted reports.
const NOT_WANTED: &str = "not-wanted";
/// Why none is made where a webhook is told instead.
const BY_WEBHOOK: &str = "by-webhook";

/// From the start on: what was owed when the vault ended, and then who is late.
pub async fn begin(vault: Rc<Vault>) {
    make_all(&vault).await;
    delay::run(vault).await;
}

/// Turns to make reports, one at a time: what two find owed, one would report twice.
#[derive(Default)]
pub struct Turns {
    now: Mutex<()>,
    is_next: Cell<bool>,
}

impl Turns {
    pub async fn take(&self) -> MutexGuard<'_, ()> {
        self.now.lock().await
    }

    /// The next turn. None when somebody waits for that already: he will find what is owed by now. So each message that ends can ask
    /// for its report, however many do while one is made, and none of them stays in memory to wait for a turn of its own.
    async fn join(&self) -> Option<MutexGuard<'_, ()>> {
        if self.is_next.replace(true) {
            return None;
        }
        let _waits = Waits(&self.is_next);
        Some(self.now.lock().await)
    }
}

/// Somebody waits for the next turn, until he has it or gives up.
struct Waits<'a>(&'a Cell<bool>);

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.set(false);
    }
}

/// Makes all reports that are owed and can be made now, or leaves them to whoever is about to.
pub async fn make_all(vault: &Vault) {
    let Some(_turn) = vault.reporting.join().await else { return };
    while let Some(Some(owed)) = persist(vault, |store| store.owed()).await {
        if !make(vault, owed).await {
            return;
        }
    }
}

/// Makes one, whose turn it is. False when the store has ended.
pub async fn make(vault: &Vault, mut owed: Owed) -> bool {
    let way = match owed.manner.test {
        // A report of a test is one, too.
        true => WayBack { lane: LANE.to_owned(), keeps_tls: true, ..WayBack::default() },
        false => way_back::find(&vault.authority.borrow().slice, &owed.principal, &owed.sender),
    };
    // RFC 8689 section 5: a report is protected like the message, or tells nothing of what is in it.
    let require_tls = owed.manner.require_tls && way.keeps_tls;
    let reportable = reportable(vault, &owed);
    if reportable != Some(Reportable::Message) {
        // They are words of whoever sent it.
        owed.manner.report.envid = None;
        owed.fates.iter_mut().for_each(|(_, fate)| fate.original = None);
    }
    let original = match reportable {
        Some(Reportable::Message) if require_tls == owed.manner.require_tls && !owed.is_gone => {
            original(vault, &owed).await
        }
        _ => Original::Nothing,
    };
    let (numbers, mut fates): (Vec<u32>, Vec<Fate>) = std::mem::take(&mut owed.fates).into_iter().unzip();
    let (id, now) = (MessageId::now(), now_us());
    let (content, told) = compose(vault, &owed, &way, (&fates, &original), (id, now));
    let (accepted, sealed) = mail(vault, &owed, &way, require_tls, content, (id, now));
    let subject = way.webhook.clone().map(|webhook| Subject {
        webhook,
        instead: true,
        row: owed.row,
        message: owed.message,
        credential: owed.principal.clone(),
        sender: Some(owed.sender.clone()),
        expires_us: owed.expires_us,
        test: owed.manner.test,
    });
    let unsent = match reportable {
        None => Some(NOT_WANTED),
        _ if subject.is_some() => Some(BY_WEBHOOK),
        Some(Reportable::Nothing) => Some("recipient-not-allowed"),
        _ if way.lane.is_empty() => Some("no-route"),
        _ if !sealed => Some("not-encrypted"),
        _ => None,
    };
    if let Some(reason) = unsent.filter(|reason| ![NOT_WANTED, BY_WEBHOOK].contains(reason)) {
        tracing::error!(message = %owed.message, reason, "the sender of a message can't be told what became of it");
    }
    if unsent.is_none() {
        // The others stay owed, and have the next one.
        fates.truncate(told);
    }
    let event = event(&owed.principal, owed.message, &accepted, &fates, unsent);
    let report = Report {
        row: owed.row,
        occasion: owed.occasion,
        fates: numbers.into_iter().zip(fates).collect(),
        mail: unsent.is_none().then_some(accepted),
        subject: subject.filter(|_| unsent == Some(BY_WEBHOOK)),
        event,
    };
    keep(vault, report).await
}

/// What takes the place of what was owed.
#[derive(Clone)]
struct Report {
    row: i64,
    occasion: Occasion,
    /// Of the recipients that it tells of, by their numbers.
    fates: Vec<(u32, Fate)>,
    /// None when no mail goes out.
    mail: Option<Accepted>,
    /// Whom a webhook is told of in its place.
    subject: Option<Subject>,
    event: Event,
}

/// The report as it is read, and of how many of the recipients it tells.
fn compose(
    vault: &Vault,
    owed: &Owed,
    way: &WayBack,
    (fates, original): (&[Fate], &Original),
    (id, now): (MessageId, u64),
) -> (Vec<u8>, usize) {
    let time = |us: u64| i64::try_from(us).ok().and_then(|us| Timestamp::from_microsecond(us).ok()).unwrap_or_default();
    let authority = vault.authority.borrow();
    let notification = Notification {
        hostname: &authority.slice.hostname,
        id,
        from: way.from.as_ref(),
        to: &owed.sender,
        now: time(now),
        about: owed.message,
        accepted: time(owed.accepted_us),
        until: time(owed.expires_us),
        envid: owed.manner.report.envid.as_ref(),
        fates,
        original,
    };
    notification.compose_within()
}

/// The report as a message of its own, and whether its body could be encrypted.
fn mail(
    vault: &Vault,
    owed: &Owed,
    way: &WayBack,
    require_tls: bool,
    content: Vec<u8>,
    (id, now): (MessageId, u64),
) -> (Accepted, bool) {
    let (bytes, sha256) = (u64::try_from(content.len()).unwrap_or(u64::MAX), Sha256::digest(&content).into());
    let (key, mut body) = (BodyKey::generate(), content);
    let sealed = key.seal(0, true, &mut body).is_ok();
    // What another host makes of a report that has a sender would come here as mail, and be reported in its turn.
    let notify = way.from.is_some().then(Notify::never);
    let to = Addressee { wish: Wish { notify, orcpt: None }, ..Addressee::from(owed.sender.clone()) };
    let utf8 = if owed.sender.is_international() { Utf8::Needed } else { Utf8::None };
    let over = now.saturating_add(microseconds(vault.authority.borrow().slice.lifetime));
    let accepted = Accepted {
        message: id,
        // Nobody's connection.
        session: Uuid::nil(),
        principal: owed.principal.clone(),
        sender: way.from.clone(),
        manner: Manner { utf8, require_tls, test: owed.manner.test, ..Manner::default() },
        recipients: vec![(to, way.lane.clone())],
        body: Body::Inline(body),
        key,
        bytes,
        sha256,
        accepted_us: now,
        due_us: now,
        // A delay is no news any more when its message has come to its end.
        expires_us: if owed.occasion == Occasion::Delay { over.min(owed.expires_us) } else { over },
        // One that comes twice harms nobody; without it, nobody would know.
        on_unknown: OnUnknown::Retry,
        reports: Reports::None,
        webhook: None,
        delays: Delays::Never,
        is_report: true,
        named: None,
        owner: None,
        label: None,
    };
    (accepted, sealed)
}

/// Takes it in, and owes it no more. False when the store has ended.
async fn keep(vault: &Vault, report: Report) -> bool {
    let lane = report.mail.as_ref().and_then(|mail| mail.recipients.first()).map(|(_, lane)| lane.clone());
    let made = persist(vault, move |store| {
        let Report { row, occasion, fates, mail, subject, event } = report;
        let numbers: Vec<u32> = fates.iter().map(|(number, _)| *number).collect();
        if !store.told(row, &numbers, occasion)? {
            return Ok((false, None));
        }
        let event = match subject {
            Some(subject) => by_webhook(event, &subject, happened::report(store, &subject, fates)?),
            None => event,
        };
        let seq = store.ledger.append(event)?;
        if let Some(mail) = &mail {
            store.accept(mail, seq)?;
        }
        Ok((mail.is_some(), store.finish(row, now_us())?))
    });
    let Some((is_sent, segment)) = made.await else { return false };
    if let Some(lane) = lane.filter(|_| is_sent) {
        vault.schedule.borrow_mut().arrived([lane]);
        vault.poke.notify_one();
    }
    if let Some(segment) = segment {
        vault.segments.remove(segment).await;
    }
    true
}

/// What may be told of it; none where the credential wants no reports by now. Whose credential is gone has no rules; what became
/// of the message harms nobody.
fn reportable(vault: &Vault, owed: &Owed) -> Option<Reportable> {
    let authority = vault.authority.borrow();
    let Some(credential) = authority.credentials.get(&owed.principal) else { return Some(Reportable::Outcome) };
    (credential.policy.reports != Reports::None).then(|| credential.policy.reportable(&owed.sender))
}

/// What can be given back of a message.
async fn original(vault: &Vault, owed: &Owed) -> Original {
    let beginning = match open(&owed.lock, &owed.body, owed.bytes) {
        Ok(Body::Inline(content)) => Ok(content),
        Ok(Body::Segment(name)) => {
            let key = if let Lock::Key(key) = &owed.lock { Some(key.clone()) } else { None };
            let length = usize::try_from(owed.bytes.min(MAX_WHOLE)).unwrap_or_default();
            vault.segments.read(Part { name, key, octets: owed.bytes, offset: 0, length }).await
        }
        Err(error) => Err(error),
    };
    match beginning {
        Ok(beginning) => {
            // RFC 3461 section 4.3: what doesn't tell of a failure gives back no more than the header.
            let harmless = |fate: &(u32, Fate)| matches!(fate.1.action, Action::Delayed | Action::Relayed);
            let ret = owed.manner.report.ret.filter(|_| !owed.fates.iter().all(harmless));
            Original::of(&beginning, owed.bytes, ret)
        }
        Err(error) => {
            tracing::error!(message = %owed.message, %error, "a report is made without its message, which can't be read");
            Original::Nothing
        }
    }
}

/// The event of a report: its own id, and in its data that of the message it is about.
fn event(principal: &str, about: MessageId, report: &Accepted, fates: &[Fate], unsent: Option<&str>) -> Event {
    let all = |action| fates.iter().all(|fate| fate.action == action);
    let outcome = match unsent {
        None => Outcome::Success,
        Some(NOT_WANTED | BY_WEBHOOK) => Outcome::Info,
        Some(_) => Outcome::Failure,
    };
    let reason = unsent.unwrap_or(match () {
        () if all(Action::Relayed) => "relayed",
        () if all(Action::Unknown) => "unknown",
        () if all(Action::Delayed) => "delayed",
        () => "failed",
    });
    let event = Event {
        message: Some(report.message),
        bytes: Some(report.bytes),
        rcpt_count: Some(1),
        reason: Some(reason.to_owned()),
        data: Some(serde_json::json!({ "about": about, "recipients": fates.len() }).to_string()),
        ..Event::new(Name::DsnSent, outcome)
    };
    let to = report.recipients.iter().map(|(to, _)| &to.address);
    event.with(Field::Account, principal).sender(&report.sender).recipients(to)
}

/// The event of what a webhook was told instead: of some it may want to know nothing.
fn by_webhook(event: Event, subject: &Subject, told: usize) -> Event {
    let data = serde_json::json!({ "about": subject.message, "webhook": subject.webhook, "events": told });
    Event { data: Some(data.to_string()), ..event }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    #[tokio::test(flavor = "current_thread")]
    async fn whoever_comes_while_one_waits_for_a_turn_leaves_it_to_him() {
        let (turns, mut nobody) = (Turns::default(), Context::from_waker(Waker::noop()));
        let turn = turns.take().await;
        let mut first = pin!(turns.join());
        assert!(first.as_mut().poll(&mut nobody).is_pending());
        for _ in 0..100 {
            assert!(turns.join().await.is_none());
        }
        drop(turn);
        let turn = first.await.expect("it was his turn");
        {
            // What is owed from now on he may have passed by: there is a next one, who may give up.
            let mut second = pin!(turns.join());
            assert!(second.as_mut().poll(&mut nobody).is_pending());
            assert!(turns.join().await.is_none());
        }
        let mut third = pin!(turns.join());
        assert!(third.as_mut().poll(&mut nobody).is_pending());
        drop(turn);
        assert!(matches!(third.as_mut().poll(&mut nobody), Poll::Ready(Some(_))));
    }
}
