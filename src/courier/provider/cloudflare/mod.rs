//! Cloudflare's Email Service, by `send_raw`: the envelope and the message as text, which no header, part or signature is lost by. Or by
//! `send`: the message as fields (`../fields/`), of which it makes one of its own.
//!
//! | code | meaning |
//! |---|---|
//! | 10001, 10201, 10202, 10003 | Failed: it can't make anything of the message |
//! | 10200 | Failed: too large |
//! | 10101, 10103, 10102, 10105, 10203 | as a login that is refused |
//! | 10000 | route failed: no such account |
//! | 10004 | route failed, for as long as it says |
//! | 10002, 10100 | the message is put off |
//! | success with errors beside it, or none and somebody who has it; somebody who has it and bounced | Unknown |
//! | any other | by the status; 502, 504, 520 and 524 come from what stands in front of it, when it may have had the message: Unknown |
//!
//! It has no idempotency key: what was sent and not answered stays unknown.

mod body;
mod header;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::judgement::{self, Judgement, NOWHERE, TOO_OFTEN, told, words};
use super::rehearsal::{Check, Finding};
use super::{Letter, everybody, fields, headers, is_same};
use crate::config::slice::Endpoint;
use crate::courier::http::{Reply, Request};
use crate::mail::address::Address;
use crate::mail::outcome::{Outcome, Said, UNANSWERED};
use crate::secret::Secret;

/// Octets of a message, attachments included.
pub const MAX_SIZE: u64 = 5 << 20;
/// Recipients of one request.
pub const MAX_RECIPIENTS: usize = 50;

pub struct Cloudflare {
    bearer: Secret<String>,
    /// Names of header fields that it is not shown.
    drop_headers: Vec<String>,
    endpoint: Endpoint,
}

#[derive(Serialize)]
struct Raw<'a> {
    from: String,
    recipients: Vec<String>,
    mime_message: &'a str,
}

#[derive(Deserialize)]
struct Answer {
    success: bool,
    #[serde(default)]
    errors: Vec<Fault>,
    #[serde(default)]
    result: Option<Fates>,
}

#[derive(Deserialize)]
struct Fault {
    #[serde(default)]
    code: Value,
    #[serde(default)]
    message: Value,
}

/// What is said of a token.
#[derive(Deserialize)]
struct Verified {
    success: bool,
    result: Option<Token>,
}

#[derive(Deserialize)]
struct Token {
    status: String,
}

/// Who is where. What it names them by is read generously: by an address, or by something that has it.
#[derive(Default, Deserialize)]
struct Fates {
    #[serde(default)]
    delivered: Vec<Value>,
    #[serde(default)]
    permanent_bounces: Vec<Value>,
    #[serde(default)]
    queued: Vec<Value>,
}

impl Answer {
    /// It says that it worked, and that it did not.
    fn contradicts_itself(&self) -> bool {
        let has_somebody = |fates: &Fates| !fates.delivered.is_empty() || !fates.queued.is_empty();
        match self.success {
            true => !self.errors.is_empty(),
            false => self.result.as_ref().is_some_and(has_somebody),
        }
    }
}

impl Cloudflare {
    /// Errors: the token is none.
    pub fn new(token: &Secret<String>, drop_headers: Vec<String>, endpoint: Endpoint) -> Result<Self, String> {
        super::bearer(token).map(|bearer| Self { bearer, drop_headers, endpoint })
    }

    /// The same, used with another token.
    pub fn with(&self, token: &Secret<String>) -> Result<Self, String> {
        Self::new(token, self.drop_headers.clone(), self.endpoint)
    }

    /// How many of these recipients go with one request.
    pub fn part(&self, recipients: &[(u32, Address)], content: &[u8]) -> usize {
        match self.endpoint {
            Endpoint::SendRaw => recipients.len().min(MAX_RECIPIENTS),
            Endpoint::Send(_) => {
                fields::part(recipients, &headers::without(content, &self.drop_headers), MAX_RECIPIENTS)
            }
        }
    }

    pub fn request(&self, letter: &Letter<'_>) -> Result<Request, Said> {
        let content = &headers::without(letter.content, &self.drop_headers);
        let letter = &Letter { content, ..*letter };
        let body = match self.endpoint {
            Endpoint::SendRaw => raw(letter)?,
            Endpoint::Send(on_unsupported) => {
                let fields = fields::of(letter, body::ABLE, on_unsupported)?;
                header::keep_to(&fields.headers).map_err(|why| fields::unfit(format!("{why}; it was not sent")))?;
                json(&body::Body::of(&fields))?
            }
        };
        let authorization = Some(self.bearer.clone());
        Ok(Request { kind: "application/json", authorization, body: Secret::new(body), ..Request::default() })
    }

    /// What tells whether our own token is in force, for messages that are posted to `path`: of a user's token, and of an account's.
    pub fn checks(&self, path: &str) -> Vec<Check> {
        let of_a_user = path.split_once("/accounts/").map(|(api, _)| self.check(format!("{api}/user/tokens/verify")));
        of_a_user.into_iter().chain(self.own_checks(path)).collect()
    }

    /// What tells whether a token is one of the account that messages are posted for. Every user of Cloudflare has tokens that
    /// are in force.
    pub fn own_checks(&self, path: &str) -> Vec<Check> {
        let Some((api, rest)) = path.split_once("/accounts/") else { return Vec::new() };
        let account = rest.split(['/', '?']).next().unwrap_or_default();
        vec![self.check(format!("{api}/accounts/{account}/tokens/verify"))]
    }

    fn check(&self, path: String) -> Check {
        Check::by(path, self.bearer.clone())
    }

    /// Whether that is said of it, by nobody but its API: what stands before that answers with any status, and says nothing of a token.
    pub fn is_in_force(reply: &Reply) -> Finding {
        match (reply.status, serde_json::from_slice::<Verified>(&reply.body)) {
            (200..=299, Ok(Verified { success: true, result: Some(Token { status }) })) if status == "active" => {
                Finding::Taken
            }
            (200..=299, Ok(Verified { success: true, result: Some(_) })) => Finding::Refused,
            (400 | 401 | 403, Ok(Verified { success: false, .. })) => Finding::Refused,
            _ => Finding::Unknown,
        }
    }

    pub fn judge(reply: &Reply, letter: &Letter<'_>) -> Judgement {
        let answer = serde_json::from_slice::<Answer>(&reply.body).ok().filter(|_| reply.whole);
        match (reply.status, answer) {
            (_, Some(answer)) if answer.contradicts_itself() => unknown(reply, letter),
            (200..=299, Some(Answer { success: true, result, .. })) => {
                Judgement::Settled(fates(&result.unwrap_or_default(), letter))
            }
            (status, Some(answer)) => by_code(status, &answer.errors, reply, letter),
            (200..=299 | 502 | 504 | 520 | 524, None) => unknown(reply, letter),
            (_, None) => judgement::by_status(reply, letter),
        }
    }
}

/// The envelope, and the message as it is.
fn raw(letter: &Letter<'_>) -> Result<Vec<u8>, Said> {
    let Some(from) = letter.sender else {
        let text = "it is from nobody, as reports are, and this API needs a sender; it was not sent";
        return Err(Said { enhanced: Some("5.1.7".into()), text: text.into(), ..Said::default() });
    };
    let Ok(text) = std::str::from_utf8(letter.content) else {
        let text = "it has octets that are not UTF-8, which this API can't be given unchanged; it was not sent";
        return Err(fields::unfit(text.to_owned()));
    };
    let recipients = letter.recipients.iter().map(|(_, address)| address.to_string()).collect();
    json(&Raw { from: from.to_string(), recipients, mime_message: text })
}

fn json(body: &impl Serialize) -> Result<Vec<u8>, Said> {
    serde_json::to_vec(body).map_err(|error| fields::unfit(format!("it is no JSON: {error}")))
}

fn by_code(status: u16, errors: &[Fault], reply: &Reply, letter: &Letter<'_>) -> Judgement {
    let code = errors.first().and_then(|error| error.code.as_u64().or_else(|| error.code.as_str()?.parse().ok()));
    let message = errors.first().and_then(|error| error.message.as_str()).unwrap_or_default();
    let text = match code {
        Some(code) => words(format!("HTTP {status} {code} {message}").as_bytes()),
        None => told(reply),
    };
    let failed = |enhanced: &str| {
        let said = Said { enhanced: Some(enhanced.to_owned()), text: text.clone(), ..Said::default() };
        Judgement::Settled(everybody(letter.recipients, &Outcome::Failed(said)))
    };
    match (code, status) {
        (Some(10_001 | 10_201 | 10_202 | 10_003), _) => failed("5.6.0"),
        (Some(10_200), _) => failed("5.3.4"),
        (Some(10_101 | 10_103), _) => Judgement::Login(text),
        // Of a domain of the sender, too.
        (Some(10_102 | 10_105 | 10_203), _) => Judgement::Unwelcome(text),
        (Some(10_000), _) => Judgement::Route { reason: text, rest: Some(NOWHERE) },
        (Some(10_004), _) => Judgement::Route { reason: text, rest: Some(reply.wait.unwrap_or(TOO_OFTEN)) },
        (Some(10_002 | 10_100), _) => Judgement::PutOff(Said { text, ..Said::default() }),
        (_, 502 | 504 | 520 | 524) => unknown(reply, letter),
        // It says that it did not work, under a status of success.
        (_, 200..=299) => Judgement::PutOff(Said { text, ..Said::default() }),
        _ => judgement::by_status(reply, letter),
    }
}

fn unknown(reply: &Reply, letter: &Letter<'_>) -> Judgement {
    Judgement::Settled(everybody(letter.recipients, &judgement::unknown(reply)))
}

/// Each recipient as it is named. Whoever is named nowhere beside others that are gets nothing; where nobody is, the whole was taken.
fn fates(fates: &Fates, letter: &Letter<'_>) -> Vec<(u32, Outcome)> {
    let said = |enhanced: &str, text: &str| Said {
        enhanced: Some(enhanced.to_owned()),
        text: text.to_owned(),
        ..Said::default()
    };
    let has = |list: &[Value], address: &Address| list.iter().any(|value| names(value, address));
    let names_nobody = [&fates.delivered, &fates.permanent_bounces, &fates.queued].iter().all(|list| list.is_empty());
    let fate = |address: &Address| match () {
        () if has(&fates.permanent_bounces, address)
            && (has(&fates.delivered, address) || has(&fates.queued, address)) =>
        {
            let text = format!("{UNANSWERED}: it is said to have bounced for good, and not to have");
            Outcome::Unknown(said("4.4.2", &text))
        }
        () if has(&fates.permanent_bounces, address) => Outcome::Failed(said("5.0.0", "it bounced for good")),
        () if has(&fates.delivered, address) => Outcome::Delivered(said("2.0.0", "delivered")),
        () if has(&fates.queued, address) => Outcome::Delivered(said("2.0.0", "queued")),
        () if names_nobody => Outcome::Delivered(said("2.0.0", "taken; it names no recipient")),
        () => Outcome::Failed(said(
            "5.7.1",
            "the message was taken, but its answer does not name this recipient, who may be on its suppression list",
        )),
    };
    letter.recipients.iter().map(|(number, address)| (*number, fate(address))).collect()
}

fn names(value: &Value, address: &Address) -> bool {
    match value {
        Value::String(text) => Address::parse_international(text).is_ok_and(|named| is_same(&named, address)),
        Value::Object(fields) => fields.values().any(|value| value.is_string() && names(value, address)),
        _ => false,
    }
}

#[cfg(test)]
mod tests;
