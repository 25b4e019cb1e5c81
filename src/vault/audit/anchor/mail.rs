//! A signed head by mail: to an auditor, through the spool and the routes like any other.

use jiff::Timestamp;
use jiff::fmt::rfc2822;
use jiff::tz::TimeZone;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::mail::address::Address;
use crate::mail::envelope::{Addressee, Manner};
use crate::mail::id::MessageId;
use crate::merkle::anchor;
use crate::merkle::note::Checkpoint;
use crate::policy::OnUnknown;
use crate::policy::principal::GATE;
use crate::policy::reports::{Delays, Reports};
use crate::vault::Vault;
use crate::vault::audit::event::{Event, Field, Name, Outcome};
use crate::vault::audit::ledger::{Note, now_us};
use crate::vault::cipher::BodyKey;
use crate::vault::store::spool::{Accepted, Body};
use crate::vault::transaction::microseconds;

/// Puts a head into the spool. It is anchored when the upstream has taken it. Gives the mail's id.
///
/// Errors: why nothing was sent.
pub async fn send(vault: &Vault, name: &str, to: &Address, from: &Address) -> Result<MessageId, String> {
    let note = vault.writer.run(|store| store.anchors.note()).await;
    let note = note.map_err(|_| "the store gives no signed head now")?.ok_or("no head is signed yet")?;
    let message = MessageId::now();
    let (content, lane, lifetime) = {
        let authority = vault.authority.borrow();
        let content = compose(&authority.slice.hostname, message, to, from, &note);
        let content = content.ok_or("the signed head is not what it should be")?;
        (content, authority.lane(GATE, &Some(from.clone()), to), authority.slice.lifetime)
    };
    if lane.is_empty() {
        return Err(format!("no route takes mail from {from} to {to}"));
    }
    let (bytes, sha256) = (u64::try_from(content.len()).unwrap_or(u64::MAX), Sha256::digest(&content).into());
    let (key, mut body) = (BodyKey::generate(), content);
    key.seal(0, true, &mut body).map_err(|error| format!("the mail can't be encrypted: {error}"))?;
    let now = now_us();
    let accepted = Accepted {
        message,
        // Nobody's connection.
        session: Uuid::nil(),
        principal: GATE.to_owned(),
        sender: Some(from.clone()),
        manner: Manner::default(),
        recipients: vec![(Addressee::from(to.clone()), lane.clone())],
        bytes,
        sha256,
        body: Body::Inline(body),
        key,
        accepted_us: now,
        due_us: now,
        expires_us: now.saturating_add(microseconds(lifetime)),
        // One that comes twice harms nobody; without it, nobody would know.
        on_unknown: OnUnknown::Retry,
        // The log says what becomes of it.
        reports: Reports::Mail,
        webhook: None,
        delays: Delays::Never,
        is_report: false,
        named: None,
        owner: None,
        label: None,
    };
    let data = serde_json::json!({ "anchor": name, "size": note.size }).to_string();
    let event = Event {
        message: Some(message),
        bytes: Some(accepted.bytes),
        rcpt_count: Some(1),
        data: Some(data),
        ..Event::new(Name::MsgAccept, Outcome::Success)
    };
    let event = event.with(Field::Account, GATE).sender(&accepted.sender).recipients([to]);
    let (name, size) = (name.to_owned(), note.size);
    let kept = vault.writer.run(move |store| {
        let seq = store.ledger.append(event)?;
        store.accept(&accepted, seq)?;
        store.anchors.mail(message, &name, size)
    });
    kept.await.map_err(|_| "the store takes nothing now")?;
    vault.schedule.borrow_mut().arrived([lane]);
    vault.poke.notify_one();
    Ok(message)
}

/// The message. Its lines are those of the note, which must arrive octet for octet, so it is 8-bit text and never encoded
/// otherwise; the line of the head alone is ASCII, for whatever the mail comes through.
fn compose(hostname: &str, message: MessageId, to: &Address, from: &Address, note: &Note) -> Option<Vec<u8>> {
    let Checkpoint { origin, size, .. } = Checkpoint::of(&note.note)?;
    let line = anchor::line(&note.note)?;
    let now = rfc2822::to_string(&Timestamp::now().to_zoned(TimeZone::UTC)).ok()?;
    let text = format!(
        "From: <{from}>\n\
         To: <{to}>\n\
         Date: {now}\n\
         Message-ID: <{message}@{hostname}>\n\
         Subject: [gatepost] signed head of {origin}, {size} events\n\
         Auto-Submitted: auto-generated\n\
         MIME-Version: 1.0\n\
         Content-Type: text/plain; charset=utf-8\n\
         Content-Transfer-Encoding: 8bit\n\
         \n\
         The first {size} events of the audit log of {hostname} can't be changed any more\n\
         without contradicting what is signed below. Keep this message where nobody can\n\
         reach it who administers the gate, and compare, with a copy of log.vkey that was\n\
         made when the gate was set up:\n\
         \n\
         gatepost audit verify --key log.vkey --against MESSAGE\n\
         \n\
         The head on one line:\n\
         \n\
         {line}\n\
         \n\
         The same as a signed note (C2SP tlog-checkpoint):\n\
         \n\
         {}",
        note.note
    );
    Some(text.replace('\n', "\r\n").into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sealer::key::LogKey;
    use crate::secret::Secret;

    #[test]
    fn the_note_and_its_line_stand_in_the_mail_octet_for_octet() {
        let key = LogKey::new("gate.example.net/audit", &Secret::new([9; 32])).unwrap();
        let note = Note { size: 77, time_us: 1, root: [3; 32], note: key.sign(77, [3; 32]) };
        let [to, from] = ["auditor@example.org", "gate@example.net"].map(|text| Address::parse(text).unwrap());
        let mail = compose("gate.example.net", MessageId::now(), &to, &from, &note).unwrap();
        let text = String::from_utf8(mail).unwrap();
        assert!(text.lines().all(|line| line.len() < 998) && text.replace("\r\n", "").bytes().all(|b| b >= 0x20));
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.is_ascii() && head.contains("To: <auditor@example.org>\r\n"), "{head}");
        let received = body.replace("\r\n", "\n");
        assert!(received.ends_with(&format!("\n\n{}", note.note)), "{received}");
        let found = received.lines().find_map(|line| anchor::find(line, "gate.example.net/audit"));
        assert_eq!(found, Some(anchor::Found::Note(note.note.clone())));
    }
}
