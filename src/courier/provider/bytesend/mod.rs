//! ByteSend and useSend: one API of JSON fields, which a message is turned into (`fields/`).
//!
//! Each request has a key by which the API knows it again for a day, so that an answer that was lost is asked for once more.

mod body;

use serde::{Deserialize, Serialize};

use super::fields::Able;
use super::judgement::{self, Judgement};
use super::rehearsal::{Check, Finding};
use super::{Letter, everybody, fields, part_id};
use crate::config::slice::OnUnsupported;
use crate::courier::http::{Reply, Request};
use crate::mail::address::Address;
use crate::mail::outcome::{Outcome, Said, is_reference};
use crate::secret::Secret;

/// Recipients of one request: what is behind it (SES) takes no more.
const MAX_RECIPIENTS: usize = 50;
/// Attachments have a name and no type there; it takes no more of them.
const ABLE: Able = Able { attachments: 10, reply_to: usize::MAX, types: false, inline: false, header: |_, _| Ok(()) };

/// What it says (403) of a key that it doesn't know, or no more.
const INVALID_KEY: &str = "invalid api token";
/// Octets of a login around its key.
const LOGIN: usize = 64;

/// Whether an answer has these words.
fn says(body: &[u8], words: &str) -> bool {
    body.windows(words.len()).any(|octets| octets.eq_ignore_ascii_case(words.as_bytes()))
}

/// What its SMTP server would be shown.
#[derive(Serialize)]
struct Login<'a> {
    username: &'a str,
    password: &'a str,
}

pub struct Bytesend {
    bearer: Secret<String>,
    on_unsupported: OnUnsupported,
    /// Octets of a message.
    pub max_size: u64,
}

impl Bytesend {
    /// What tells whether the key is known: whether it is a password of its SMTP server, which not all deployments can be asked; then
    /// the domains that it may send from, which it may not be allowed to read.
    pub fn checks(&self, path: &str) -> Vec<Check> {
        let plain = path.split('?').next().unwrap_or_default();
        let Some(api) = plain.strip_suffix("/emails") else { return Vec::new() };
        let key = self.bearer.expose().strip_prefix("Bearer ").unwrap_or_default();
        // Each has one name for all who log in.
        let username = if key.starts_with("us_") { "usesend" } else { "bytesend" };
        // Escaped at worst, so that it never grows and leaves no copy behind.
        let mut body = Vec::with_capacity(2 * key.len() + LOGIN);
        if serde_json::to_writer(&mut body, &Login { username, password: key }).is_err() {
            body.clear();
        }
        let login = Check::posted(format!("{api}/smtp/auth"), Secret::new(body));
        vec![login, Check::by(format!("{api}/domains"), self.bearer.clone())]
    }

    /// A key that may do nothing but send is known and refused the domains (403, too, in other words). `is_login`: of a login, whose
    /// own answers say whether it was valid. Others learn nothing: some deployments ask whoever logs in for a key in the header first
    /// (401), and a user name may be another one there.
    pub fn finding(reply: &Reply, is_login: bool) -> Finding {
        match (reply.status, is_login.then(|| is_valid(&reply.body)).flatten()) {
            (_, Some(true)) => Finding::Taken,
            (_, Some(false)) if !says(&reply.body, "invalid username") => Finding::Refused,
            _ if is_login => Finding::Unknown,
            // It has a list of them; what stands before it may answer anything with a page of its own.
            (200..=299, _) if reply.body.trim_ascii_start().starts_with(b"[") => Finding::Taken,
            (401, _) => Finding::Refused,
            (403, _) if says(&reply.body, INVALID_KEY) => Finding::Refused,
            (400..=499, _) => Finding::Mute,
            _ => Finding::Unknown,
        }
    }

    /// Errors: the token is none.
    pub fn new(token: &Secret<String>, on_unsupported: OnUnsupported, max_size: u64) -> Result<Self, String> {
        super::bearer(token).map(|bearer| Self { bearer, on_unsupported, max_size })
    }

    /// The same, used with another token.
    pub fn with(&self, token: &Secret<String>) -> Result<Self, String> {
        Self::new(token, self.on_unsupported, self.max_size)
    }

    /// By its status, with the name that it is known by there if it was taken: without that nobody can tell who said so, and it is asked
    /// once more by the key. Its 409 has two meanings: the same is being sent at this
    /// moment, which is over soon; or another one was sent under this key, which it stays for a day.
    pub fn judge(reply: &Reply, letter: &Letter<'_>) -> Judgement {
        let is_suppressed = is_suppressed(&reply.body);
        let named = |outcome| match (outcome, reference(&reply.body)) {
            (Outcome::Delivered(said), _) if is_suppressed => {
                let text = "it has all recipients on its suppression list, and sends nothing".to_owned();
                Outcome::Failed(Said { enhanced: Some("5.7.1".to_owned()), text, ..said })
            }
            (Outcome::Delivered(said), Some(name)) => Outcome::Delivered(Said { reference: Some(name), ..said }),
            (Outcome::Delivered(_), None) => judgement::unknown(reply),
            (other, _) => other,
        };
        match judgement::by_status(reply, letter) {
            // It has one status for a key that is none and for what a key may not.
            Judgement::Unwelcome(text) if says(&reply.body, INVALID_KEY) => Judgement::Login(text),
            Judgement::Settled(_) if reply.status == 409 && is_another(&reply.body) => {
                let text = judgement::told(reply);
                let said = Said { enhanced: Some("5.0.0".to_owned()), text, ..Said::default() };
                Judgement::Settled(everybody(letter.recipients, &Outcome::Failed(said)))
            }
            Judgement::Settled(all) => {
                Judgement::Settled(all.into_iter().map(|(number, one)| (number, named(one))).collect())
            }
            other => other,
        }
    }

    /// How many of these recipients may be named in one request.
    pub fn part(recipients: &[(u32, Address)], content: &[u8]) -> usize {
        fields::part(recipients, content, MAX_RECIPIENTS)
    }

    /// Why these recipients can't be told of it as it is.
    pub fn refuses(&self, letter: &Letter<'_>) -> Option<Said> {
        match self.on_unsupported {
            OnUnsupported::Fail => fields::of(letter, ABLE, OnUnsupported::Fail).err(),
            OnUnsupported::Drop => None,
        }
    }

    pub fn request(&self, letter: &Letter<'_>) -> Result<Request, Said> {
        let fields = fields::of(letter, ABLE, self.on_unsupported)?;
        let body = serde_json::to_vec(&body::Body::of(&fields))
            .map_err(|error| fields::unfit(format!("it is no JSON: {error}")))?;
        let headers = vec![("idempotency-key", part_id(letter.message, letter.recipients))];
        let authorization = Some(self.bearer.clone());
        Ok(Request { kind: "application/json", headers, authorization, body: Secret::new(body), ..Request::default() })
    }
}

/// Whether the answer to a login says no, whatever its status.
fn is_valid(body: &[u8]) -> Option<bool> {
    #[derive(Deserialize)]
    struct Answer {
        valid: bool,
    }
    serde_json::from_slice::<Answer>(body).ok().map(|answer| answer.valid)
}

/// Whether a 409 says that the key is another message's. What can't be read is put off: to ask again by the same key harms nobody.
fn is_another(body: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Refused {
        error: Error,
    }
    #[derive(Deserialize)]
    struct Error {
        code: Box<str>,
        #[serde(default)]
        message: Box<str>,
    }
    let refused: Option<Refused> = serde_json::from_slice(body).ok();
    refused.is_some_and(|Refused { error }| &*error.code == "NOT_UNIQUE" && !error.message.contains("in progress"))
}

/// Whether a 200 says that nobody gets it.
fn is_suppressed(body: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Answer {
        status: Box<str>,
    }
    serde_json::from_slice::<Answer>(body).is_ok_and(|answer| answer.status.eq_ignore_ascii_case("suppressed"))
}

/// What an answer calls the message, by which webhooks tell of it later.
fn reference(body: &[u8]) -> Option<Box<str>> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Taken {
        email_id: Box<str>,
    }
    let taken: Taken = serde_json::from_slice(body).ok()?;
    Some(taken.email_id).filter(|id| is_reference(id))
}

#[cfg(test)]
mod tests;
