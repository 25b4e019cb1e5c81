//! A signed head by mail: to an auditor, through the spool and the routes like any other.

use crate::mail::address::Address;
use crate::mail::id::MessageId;
use crate::merkle::anchor;
use crate::merkle::note::Checkpoint;
use crate::vault::Vault;
use crate::vault::audit::ledger::Note;
use crate::vault::own_mail::{OwnMail, header, is_kept};

/// Puts a head into the spool. It is anchored when the upstream has taken it. Gives the mail's id.
///
/// Errors: why nothing was sent.
pub async fn send(vault: &Vault, name: &str, to: &Address, from: &Address) -> Result<MessageId, String> {
    let note = vault.writer.run(|store| store.anchors.note()).await;
    let note = note.map_err(|_| "the store gives no signed head now")?.ok_or("no head is signed yet")?;
    let data = serde_json::json!({ "anchor": name, "size": note.size }).to_string();
    let mail = OwnMail::make(vault, from, std::slice::from_ref(to), data, |message, hostname| {
        compose(hostname, message, to, from, &note).ok_or_else(|| "the signed head is not what it should be".to_owned())
    })?;
    let (message, lanes) = (mail.message, mail.lanes());
    let (name, size) = (name.to_owned(), note.size);
    let kept = vault.writer.run(move |store| {
        mail.keep(store)?;
        store.anchors.mail(message, &name, size)
    });
    kept.await.map_err(|_| "the store takes nothing now")?;
    is_kept(vault, lanes);
    Ok(message)
}

/// The message. Its lines are those of the note, which must arrive octet for octet, so it is 8-bit text and never encoded
/// otherwise; the line of the head alone is ASCII, for whatever the mail comes through.
fn compose(hostname: &str, message: MessageId, to: &Address, from: &Address, note: &Note) -> Option<Vec<u8>> {
    let Checkpoint { origin, size, .. } = Checkpoint::of(&note.note)?;
    let line = anchor::line(&note.note)?;
    let subject = format!("[gatepost] signed head of {origin}, {size} events");
    let header = header(hostname, message, std::slice::from_ref(to), from, &subject)?;
    let text = format!(
        "{header}\n\
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
