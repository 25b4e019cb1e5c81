//! What a provider tells: an event of ByteSend or useSend, read once its signature was found right, and no more of it than is used.
//!
//! Every event of a message names all of `to` and nobody of `cc` and `bcc`, whoever it is about: where several recipients went with one
//! request, the words of the host that refused one may quote an address. That host may be anybody's: it is a hint, and no proof.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};

use crate::mail::address::Address;
use crate::mail::outcome::{MAX_REFERENCE, MAX_TEXT, Said, is_reference};

/// Recipients that are looked at: a request has no more.
const MOST_NAMED: usize = 50;
/// What stands for a host's answer where the provider gives none.
const GONE: &str = "5.1.1";

/// What became of a message for a recipient.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    Delivered,
    Delayed,
    /// A host refused it, or the provider gave it up.
    Bounced,
    /// Whoever reads it calls it unwanted.
    Complained,
    /// The provider itself didn't send it.
    Rejected,
    Rendering,
    Failed,
    Canceled,
    /// It is on a list of the provider's.
    Suppressed,
}

impl Kind {
    pub const ALL: [Self; 9] = [
        Self::Delivered,
        Self::Delayed,
        Self::Bounced,
        Self::Complained,
        Self::Rejected,
        Self::Rendering,
        Self::Failed,
        Self::Canceled,
        Self::Suppressed,
    ];

    /// The word for it in the log.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Delayed => "delayed",
            Self::Bounced => "bounced",
            Self::Complained => "complained",
            Self::Rejected => "rejected",
            Self::Rendering => "rendering-failure",
            Self::Failed => "failed",
            Self::Canceled => "canceled",
            Self::Suppressed => "suppressed",
        }
    }

    /// Its bit among those that were told of a recipient. A bit's meaning is never changed: they are on disks.
    pub const fn bit(self) -> u32 {
        match self {
            Self::Delivered => 1,
            Self::Delayed => 1 << 1,
            Self::Bounced => 1 << 2,
            Self::Complained => 1 << 3,
            Self::Rejected => 1 << 4,
            Self::Rendering => 1 << 5,
            Self::Failed => 1 << 6,
            Self::Canceled => 1 << 7,
            Self::Suppressed => 1 << 8,
        }
    }

    /// The bits of those behind which no delay is news.
    pub const fn ends() -> u32 {
        !(Self::Delayed.bit() | Self::Complained.bit())
    }

    /// The recipient doesn't have it, and won't.
    pub const fn is_failure(self) -> bool {
        !matches!(self, Self::Delivered | Self::Delayed | Self::Complained)
    }

    fn of(kind: &str) -> Option<Self> {
        Some(match kind {
            "email.delivered" => Self::Delivered,
            "email.delivery_delayed" => Self::Delayed,
            "email.bounced" => Self::Bounced,
            "email.complained" => Self::Complained,
            "email.rejected" => Self::Rejected,
            "email.rendering_failure" => Self::Rendering,
            "email.failed" => Self::Failed,
            "email.cancelled" => Self::Canceled,
            "email.suppressed" => Self::Suppressed,
            _ => return None,
        })
    }
}

/// One event that means something here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// The provider's name for this event, the same each time it is posted. What says so in the head of a request isn't signed.
    pub call: String,
    pub kind: Kind,
    /// Its name for the message.
    pub reference: String,
    /// Whom it names.
    pub named: Vec<Address>,
    /// What is not an address among them.
    pub strange: usize,
    /// What is known of a host's answer: a reply code and an enhanced code that say what the event says, and the words for it.
    pub code: u16,
    pub enhanced: String,
    pub text: String,
}

impl Event {
    pub fn said(&self) -> Said {
        let (code, enhanced) = (Some(self.code), Some(self.enhanced.clone()));
        Said { code, enhanced, text: self.text.clone(), ..Said::default() }
    }

    /// A host refused it for a reason that may pass, or somebody's machine answered a message that is there: one can't tell.
    pub fn is_soft(&self) -> bool {
        self.kind == Kind::Bounced && self.code < 500
    }

    /// Those of them whom it is about. Where several went with one request, those whom the refusing host's words name, which are no
    /// proof, or else all, as it may be any of them. `false`: it is not known which.
    pub fn about<'a>(&self, recipients: &[&'a Address]) -> (Vec<&'a Address>, bool) {
        if let [only] = recipients {
            let is_named = self.named.is_empty() || self.names(only);
            return (if is_named { vec![*only] } else { Vec::new() }, true);
        }
        let is_theirs = self.named.is_empty() || recipients.iter().any(|one| self.names(one));
        let quoted: Vec<&Address> = recipients.iter().copied().filter(|one| quotes(&self.text, one)).collect();
        let about = match (is_theirs, quoted.is_empty()) {
            (false, _) => Vec::new(),
            (true, true) => recipients.to_vec(),
            (true, false) => quoted,
        };
        (about, false)
    }

    /// How many it names who are none of these.
    pub fn strangers(&self, recipients: &[&Address]) -> usize {
        let is_one = |named: &&Address| recipients.iter().any(|one| is_same(one, named));
        self.strange + self.named.iter().filter(|named| !is_one(named)).count()
    }

    fn names(&self, address: &Address) -> bool {
        self.named.iter().any(|named| is_same(named, address))
    }
}

/// Whether both are one mailbox, as a person would say.
fn is_same(one: &Address, other: &Address) -> bool {
    one.domain() == other.domain() && one.local().eq_ignore_ascii_case(other.local())
}

/// Whether the words have that address in them, and not as the end of a longer one.
fn quotes(text: &str, address: &Address) -> bool {
    let (text, address) = (text.to_ascii_lowercase(), address.to_string().to_ascii_lowercase());
    let is_part = |c: char| c.is_alphanumeric() || "!#$%&'*+-/=?^_`{|}~.@".contains(c);
    text.match_indices(&address).any(|(at, _)| {
        let before = text.get(..at).and_then(|text| text.chars().next_back());
        let after = text.get(at + address.len()..).unwrap_or_default().trim_start_matches('.').chars().next();
        !before.is_some_and(is_part) && !after.is_some_and(is_part)
    })
}

/// What a body turns out to be.
#[derive(Debug, PartialEq, Eq)]
pub enum Read {
    Event(Box<Event>),
    /// One that means nothing here: that a message was queued or opened, or something of contacts or domains.
    Other,
    /// None at all.
    Unreadable,
}

#[derive(Deserialize)]
struct Wire {
    id: String,
    r#type: String,
    #[serde(default)]
    data: serde_json::Value,
}

#[derive(Deserialize)]
struct Data {
    id: String,
    #[serde(default, deserialize_with = "lenient")]
    to: Option<Vec<serde_json::Value>>,
    #[serde(default, deserialize_with = "lenient")]
    bounce: Option<Bounce>,
    #[serde(default, deserialize_with = "lenient")]
    failed: Option<Reasoned>,
    #[serde(default, deserialize_with = "lenient")]
    suppression: Option<Reasoned>,
    #[serde(default, deserialize_with = "lenient")]
    metadata: Option<Metadata>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Bounce {
    #[serde(default, deserialize_with = "lenient")]
    r#type: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    sub_type: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    message: Option<String>,
}

#[derive(Deserialize)]
struct Reasoned {
    #[serde(default, deserialize_with = "lenient")]
    reason: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    #[serde(default, deserialize_with = "lenient")]
    diagnostic_code: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    reason: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    error_message: Option<String>,
}

/// What an event can do without: of a type that isn't ours it is as if it weren't there. The rest of the event is worth more.
fn lenient<'de, D: Deserializer<'de>, T: DeserializeOwned>(source: D) -> Result<Option<T>, D::Error> {
    let value = serde_json::Value::deserialize(source)?;
    Ok(serde_json::from_value(value).ok())
}

/// Reads a body.
pub fn read(body: &[u8]) -> Read {
    let Ok(wire) = serde_json::from_slice::<Wire>(body) else { return Read::Unreadable };
    if !is_reference(&wire.id) {
        return Read::Unreadable;
    }
    let Some(kind) = Kind::of(&wire.r#type) else { return Read::Other };
    let Ok(data) = serde_json::from_value::<Data>(wire.data) else { return Read::Unreadable };
    if !is_reference(&data.id) {
        return Read::Unreadable;
    }
    let to = data.to.as_deref().unwrap_or_default();
    let (mut named, mut strange) = (Vec::new(), to.len().saturating_sub(MOST_NAMED));
    for one in to.iter().take(MOST_NAMED) {
        match one.as_str().and_then(|text| Address::parse_international(text.trim()).ok()) {
            Some(address) => named.push(address),
            None => strange += 1,
        }
    }
    let words = words(kind, &data);
    let (code, enhanced) = codes(kind, data.bounce.as_ref(), words.as_deref());
    let text = match words {
        Some(words) => format!("told later: {}: {words}", kind.word()),
        None => format!("told later: {}", kind.word()),
    };
    let (call, reference) = (wire.id, data.id);
    Read::Event(Box::new(Event { call, kind, reference, named, strange, code, enhanced, text }))
}

/// A stranger's words of why, on one line.
fn words(kind: Kind, data: &Data) -> Option<String> {
    let metadata = data.metadata.as_ref();
    let said = match kind {
        Kind::Bounced => {
            let message = data.bounce.as_ref().and_then(|bounce| bounce.message.as_ref());
            message.or_else(|| metadata.and_then(|metadata| metadata.diagnostic_code.as_ref()))
        }
        Kind::Failed => data.failed.as_ref().and_then(|failed| failed.reason.as_ref()),
        Kind::Suppressed => data.suppression.as_ref().and_then(|suppression| suppression.reason.as_ref()),
        Kind::Rejected => metadata.and_then(|metadata| metadata.reason.as_ref()),
        Kind::Rendering => metadata.and_then(|metadata| metadata.error_message.as_ref()),
        Kind::Delivered | Kind::Delayed | Kind::Complained | Kind::Canceled => None,
    }?;
    let plain: String = said.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_TEXT / 2).collect();
    let plain = plain.trim().to_owned();
    (!plain.is_empty()).then_some(plain)
}

/// What SMTP would say: code and enhanced code.
fn codes(kind: Kind, bounce: Option<&Bounce>, words: Option<&str>) -> (u16, String) {
    let (code, enhanced) = match kind {
        Kind::Delivered => (250, "2.0.0"),
        Kind::Delayed => (450, "4.4.7"),
        Kind::Complained => (250, "2.0.0"),
        Kind::Suppressed => (550, "5.7.1"),
        Kind::Rejected | Kind::Rendering | Kind::Failed | Kind::Canceled => (554, "5.0.0"),
        Kind::Bounced => return bounced(bounce, words),
    };
    (code, enhanced.to_owned())
}

/// By the host's own code where the provider passes it on, and by the kind of bounce where it doesn't.
fn bounced(bounce: Option<&Bounce>, words: Option<&str>) -> (u16, String) {
    let is = |text: Option<&String>, word: &str| text.is_some_and(|text| text.eq_ignore_ascii_case(word));
    let (kind, part) = (bounce.and_then(|one| one.r#type.as_ref()), bounce.and_then(|one| one.sub_type.as_ref()));
    let host = words.and_then(|words| words.split([' ', ';', ':', ',', '(', ')']).find(|word| is_enhanced(word)));
    if !is(kind, "Permanent") {
        // No host takes it any more, for a reason that may pass.
        let host = host.filter(|host| host.starts_with('4'));
        return (450, host.unwrap_or("4.0.0").to_owned());
    }
    let host = host.filter(|host| host.starts_with('5'));
    // Blocked, or for some other reason: the mailbox may well be there.
    let is_gone = is(part, "NoEmail");
    (550, if is_gone { GONE } else { host.unwrap_or("5.0.0") }.to_owned())
}

/// RFC 3463 section 2.
fn is_enhanced(word: &str) -> bool {
    let mut parts = word.split('.');
    let is_number = |part: Option<&str>, most: usize| {
        part.is_some_and(|part| (1..=most).contains(&part.len()) && part.bytes().all(|octet| octet.is_ascii_digit()))
    };
    matches!(parts.next(), Some("4" | "5"))
        && is_number(parts.next(), 3)
        && is_number(parts.next(), 3)
        && parts.next().is_none()
}

const _: () = assert!(MAX_REFERENCE <= 128);

#[cfg(test)]
mod tests;
