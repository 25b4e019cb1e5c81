//! Requests that are done once, however often they are sent: the key that a client gives, and what makes two requests the same.
//!
//! draft-ietf-httpapi-idempotency-key-header-07, and the bare form that clients of providers send.

use hyper::header::HeaderMap;
use sha2::{Digest, Sha256};

use super::letter::{Letter, Mailbox};
use super::reply::{Code, Fault};
use crate::ipc::label::{Label, Tag};
use crate::ipc::once::Once;
use crate::mail::address::Address;

const FIELD: &str = "idempotency-key";
/// The longest key; providers take as long ones.
const MAX_KEY: usize = 256;

/// A client's key, and for what of its request.
#[derive(Clone, Debug)]
pub struct Key(Sha256);

impl Key {
    /// The key of a request, if it has one.
    pub fn of(headers: &HeaderMap) -> Result<Option<Self>, Fault> {
        let Some(value) = headers.get(FIELD) else { return Ok(None) };
        let text = value.as_bytes();
        let text = text.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")).unwrap_or(text);
        // What is inside quotes could be escaped, and then two forms would be one key.
        let is_plain = |octet: &u8| octet.is_ascii_graphic() && *octet != b'"' && *octet != b'\\';
        let is_sound = (1..=MAX_KEY).contains(&text.len()) && text.iter().all(is_plain);
        if !is_sound {
            let message = format!(
                "Idempotency-Key must be 1 to {MAX_KEY} visible ASCII characters but quotes and backslashes, such as order-17"
            );
            return Err(Fault::new(Code::IdempotencyKeyInvalid, message));
        }
        Ok(Some(Self(sized(Sha256::new(), text))))
    }

    /// What the vault is told of each message of a batch, in which some may not be sound. Each is done once, and each knows the
    /// whole batch: with a message more, or another one, the key is used for something else.
    pub fn onces<'l>(&self, letters: impl Iterator<Item = Option<&'l Letter>>) -> Vec<Once> {
        let prints: Vec<_> = letters.map(|letter| letter.map(fingerprint).unwrap_or_default()).collect();
        let whole = prints.iter().fold(counted(Sha256::new(), prints.len()), |hash, print| hash.chain_update(print));
        let once = |(index, print): (usize, &[u8; 32])| Once {
            key: counted(self.0.clone().chain_update(b"at"), index).finalize().into(),
            fingerprint: whole.clone().chain_update(print).finalize().into(),
        };
        prints.iter().enumerate().map(once).collect()
    }

    /// What the vault is told, of a message that its client wrote whole: a key is for one kind of request.
    pub fn once_raw(&self, from: &Address, to: &[Mailbox], content: &[u8]) -> Once {
        let mut hash = sized(Sha256::new(), from.to_string().as_bytes());
        hash = to.iter().fold(counted(hash, to.len()), mailbox);
        let key = self.0.clone().chain_update(b"raw").finalize().into();
        Once { key, fingerprint: sized(hash, content).finalize().into() }
    }

    /// What the vault is told, of a letter as its client wrote it.
    pub fn once(&self, letter: &Letter) -> Once {
        Once { key: self.0.clone().finalize().into(), fingerprint: fingerprint(letter) }
    }
}

/// The same for batches that ask for the same, of one credential.
pub fn fingerprint_of_all<'l>(principal: &str, letters: impl ExactSizeIterator<Item = &'l Letter>) -> [u8; 32] {
    let hash = counted(sized(Sha256::new(), principal.as_bytes()), letters.len());
    letters.fold(hash, |hash, letter| hash.chain_update(fingerprint(letter))).finalize().into()
}

/// Whether a refusal is about the key of a request, and so about all of that.
pub const fn is_of_the_key(fault: &Fault) -> bool {
    matches!(fault.code, Code::IdempotencyInProgress | Code::IdempotencyMismatch)
}

/// The same for letters that mean the same, in whatever order and form they were written: all that the message is made of, and
/// nothing else.
fn fingerprint(letter: &Letter) -> [u8; 32] {
    let mut hash = Sha256::new();
    let Letter { from, to, cc, bcc, reply_to, subject, text, html, fields, attachments, .. } = letter;
    let Letter { scheduled_at, scheduled_in, message_id, test, label, changes: _, .. } = letter;
    for list in [std::slice::from_ref(from), to, cc, bcc, reply_to] {
        hash = counted(hash, list.len());
        hash = list.iter().fold(hash, mailbox);
    }
    for part in [subject.as_ref().map(|subject| subject.as_str()), text.as_deref(), html.as_deref()] {
        hash = optional(hash, part);
    }
    // No name is there twice, and many clients keep them in no order.
    let fields = fields.iter().map(|field| (field.name.to_ascii_lowercase(), field.value.as_str()));
    hash = named(hash, fields);
    hash = counted(hash, attachments.len());
    for attachment in attachments {
        hash = sized(hash, attachment.filename.as_str().as_bytes());
        hash = sized(hash, attachment.media.essence.as_bytes());
        hash = named(
            hash,
            attachment.media.parameters.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.as_str())),
        );
        hash = optional(hash, attachment.content_id.as_deref());
        hash = sized(hash.chain_update([u8::from(attachment.inline)]), &attachment.content);
    }
    // Said again, "in 1 hour" is another time and the same request.
    let ahead = scheduled_in.map(|ahead| format!("in {} s", ahead.as_secs()));
    let release = ahead.or_else(|| scheduled_at.map(|time| time.as_microsecond().to_string()));
    for part in [release.as_deref(), message_id.as_deref()] {
        hash = optional(hash, part);
    }
    // What older versions didn't know is there only where it is said: their keys are known on.
    let Label { tags, metadata, .. } = label;
    if !tags.is_empty() || !metadata.is_empty() {
        let tag =
            |tag: &Tag| (tag.name.clone(), tag.value.as_deref().map(|value| format!("={value}")).unwrap_or_default());
        let tags: Vec<_> = tags.iter().map(tag).collect();
        hash = named(hash, tags.iter().map(|(name, value)| (name.clone(), value.as_str())));
        hash = named(hash, metadata.iter().map(|(name, value)| (name.clone(), value.as_str())));
    }
    if *test {
        hash = sized(hash, b"test");
    }
    hash.finalize().into()
}

/// Names with values, in the order of the names.
fn named<'v>(hash: Sha256, pairs: impl Iterator<Item = (String, &'v str)>) -> Sha256 {
    let mut pairs: Vec<_> = pairs.collect();
    pairs.sort_unstable();
    let pair = |hash, (name, value): &(String, &str)| sized(sized(hash, name.as_bytes()), value.as_bytes());
    pairs.iter().fold(counted(hash, pairs.len()), pair)
}

fn mailbox(hash: Sha256, mailbox: &Mailbox) -> Sha256 {
    let hash = optional(hash, mailbox.name.as_ref().map(|name| name.as_str()));
    sized(hash, mailbox.address.to_string().as_bytes())
}

fn optional(hash: Sha256, text: Option<&str>) -> Sha256 {
    let hash = hash.chain_update([u8::from(text.is_some())]);
    sized(hash, text.unwrap_or_default().as_bytes())
}

/// Its length first, so that what follows can't be taken for a part of it.
fn sized(hash: Sha256, octets: &[u8]) -> Sha256 {
    counted(hash, octets.len()).chain_update(octets)
}

fn counted(hash: Sha256, count: usize) -> Sha256 {
    hash.chain_update(count.to_be_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edge::http::v1;

    fn headers(value: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(FIELD, value.parse().unwrap());
        headers
    }

    fn once(key: &str, body: &str) -> Once {
        let key = Key::of(&headers(key)).unwrap().unwrap();
        key.once(&v1::letter(body.as_bytes(), None).unwrap())
    }

    const BODY: &str = r#"{"from": "A <a@example.net>", "to": ["b@example.org"], "subject": "x", "text": "hello"}"#;

    #[test]
    fn a_key_is_visible_ascii_bare_or_in_quotes() {
        for key in [
            "order-17",
            "\"order-17\"",
            "a b\tc",
            "",
            "\"\"",
            "caf\u{e9}",
            "\"",
            "\"a",
            "a\"b",
            "a\\b",
            &"x".repeat(257),
        ] {
            let Ok(value) = hyper::header::HeaderValue::from_bytes(key.as_bytes()) else { continue };
            let mut headers = HeaderMap::new();
            headers.insert(FIELD, value);
            let read = Key::of(&headers);
            let expected = key.contains("order-17");
            assert_eq!(read.is_ok(), expected, "{key:?}");
            if let Err(fault) = read {
                assert_eq!(fault.code, Code::IdempotencyKeyInvalid);
            }
        }
        assert!(Key::of(&headers(&"x".repeat(256))).is_ok() && Key::of(&HeaderMap::new()).unwrap().is_none());
        assert_eq!(once("order-17", BODY), once("\"order-17\"", BODY));
        assert_ne!(once("order-17", BODY).key, once("order-18", BODY).key);
    }

    #[test]
    fn each_message_of_a_batch_has_a_key_of_its_own_and_knows_the_whole_of_it() {
        let key = Key::of(&headers("order-17")).unwrap().unwrap();
        let letter = |body: &str| v1::letter(body.as_bytes(), None).unwrap();
        let (one, two) = (letter(BODY), letter(&BODY.replace("hello", "hullo")));
        let of = |letters: &[Option<&Letter>]| key.onces(letters.iter().copied());
        let both = of(&[Some(&one), Some(&two)]);
        assert_eq!(both, of(&[Some(&one), Some(&two)]));
        let keys = [key.once(&one).key, both[0].key, both[1].key];
        assert!(keys[0] != keys[1] && keys[1] != keys[2] && keys[0] != keys[2]);
        for other in
            [vec![Some(&one)], vec![Some(&one), Some(&one)], vec![Some(&one), None], vec![Some(&one), Some(&two), None]]
        {
            let other = of(&other);
            assert_eq!(other[0].key, both[0].key);
            assert_ne!(other[0].fingerprint, both[0].fingerprint);
        }
    }

    #[test]
    fn two_requests_are_the_same_when_their_messages_are() {
        let print = |body: &str| once("k", body).fingerprint;
        let same =
            r#"{ "text":"hello","subject":"x","to":"b@example.org","from":{"name":"A","email":"a@example.net"} }"#;
        assert_eq!(print(BODY), print(same));
        let with = |fields: &str| print(&BODY.replace('}', &format!(", \"headers\": {{{fields}}}}}")));
        assert_eq!(with(r#""X-A": "1", "X-B": "2""#), with(r#""x-b": "2", "X-A": "1""#));
        assert_ne!(with(r#""X-A": "1", "X-B": "2""#), with(r#""X-A": "2", "X-B": "1""#));
        let others = [
            ("A <a@example.net>", "a@example.net"),
            ("\"subject\"", "\"reply_to\": \"r@example.net\", \"subject\""),
            ("hello", "hullo"),
            ("\"x\"", "\"y\""),
            ("b@example.org", "c@example.org"),
            ("A <", "B <"),
            ("\"text\"", "\"html\""),
            ("\"to\": [\"b@example.org\"]", "\"to\": [\"b@example.org\"], \"cc\": [\"c@example.org\"]"),
            ("\"to\"", "\"bcc\""),
            ("}", ", \"scheduled_at\": \"2030-01-01T00:00:00Z\"}"),
            ("}", ", \"message_id\": \"<x@shop.example>\"}"),
            ("}", ", \"headers\": {\"X-A\": \"1\"}}"),
            ("}", ", \"tags\": [\"a\"]}"),
            ("}", ", \"test\": true}"),
            ("}", ", \"metadata\": {\"a\": \"1\"}}"),
            ("}", ", \"attachments\": [{\"filename\": \"a.txt\", \"content\": \"aGk=\"}]}"),
        ];
        for (part, other) in others {
            assert_ne!(print(BODY), print(&BODY.replacen(part, other, 1)), "{other}");
        }
        let with = |members: &str| print(&BODY.replace('}', &format!(", {members}}}")));
        assert_eq!(
            with(r#""tags": {"a": "1", "b": "2"}"#),
            with(r#""tags": [{"name": "b", "value": "2"}, {"name": "a", "value": "1"}]"#)
        );
        assert_ne!(with(r#""tags": {"a": "1"}"#), with(r#""metadata": {"a": "1"}"#));
        assert_ne!(with(r#""tags": ["a"]"#), with(r#""tags": {"a": "a"}"#));
        let with = |attachment: &str| print(&BODY.replace('}', &format!(", \"attachments\": [{attachment}]}}")));
        let one = with(r#"{"filename": "a.txt", "content": "aGk="}"#);
        assert_ne!(one, with(r#"{"filename": "a.txt", "content": "aGo="}"#));
        assert_ne!(one, with(r#"{"filename": "b.txt", "content": "aGk="}"#));
        assert_ne!(one, with(r#"{"filename": "a.txt", "content": "aGk=", "content_id": "a"}"#));
    }
}
