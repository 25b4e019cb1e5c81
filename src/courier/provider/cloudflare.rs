//! Cloudflare's Email Service, by `send_raw`: the envelope and the message as text, which no header, part or signature is lost by.
//!
//! | code | meaning |
//! |---|---|
//! | 10001, 10201, 10202, 10003 | Failed: it can't make anything of the message |
//! | 10200 | Failed: too large |
//! | 10101, 10103, 10102, 10105, 10203 | as a login that is refused |
//! | 10000 | route failed: no such account |
//! | 10004 | route failed, for as long as it says |
//! | 10002, 10100 | the message is put off |
//! | any other | by the status; 502, 504, 520 and 524 come from what stands in front of it, when it may have had the message: Unknown |
//!
//! It has no idempotency key: what was sent and not answered stays unknown.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::judgement::{self, Judgement, NOWHERE, TOO_OFTEN, told, words};
use super::rehearsal::{Check, Finding};
use super::{Letter, everybody, headers, is_same};
use crate::courier::http::{Reply, Request};
use crate::mail::address::Address;
use crate::mail::outcome::{Outcome, Said};
use crate::secret::Secret;

/// Octets of a message, attachments included.
pub const MAX_SIZE: u64 = 5 << 20;
/// Recipients of one request.
pub const MAX_RECIPIENTS: usize = 50;

pub struct Cloudflare {
    bearer: Secret<String>,
    /// Names of header fields that it is not shown.
    drop_headers: Vec<String>,
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

impl Cloudflare {
    /// Errors: the token is none.
    pub fn new(token: &Secret<String>, drop_headers: Vec<String>) -> Result<Self, String> {
        super::bearer(token).map(|bearer| Self { bearer, drop_headers })
    }

    /// The same, used with another token.
    pub fn with(&self, token: &Secret<String>) -> Result<Self, String> {
        Self::new(token, self.drop_headers.clone())
    }

    pub fn request(&self, letter: &Letter<'_>) -> Result<Request, Said> {
        let unfit =
            |enhanced: &str, text: &str| Said { enhanced: Some(enhanced.into()), text: text.into(), ..Said::default() };
        let Some(from) = letter.sender else {
            let text = "it is from nobody, as reports are, and this API needs a sender; it was not sent";
            return Err(unfit("5.1.7", text));
        };
        let content = headers::without(letter.content, &self.drop_headers);
        let Ok(text) = std::str::from_utf8(&content) else {
            let text = "it has octets that are not UTF-8, which this API can't be given unchanged; it was not sent";
            return Err(unfit("5.6.3", text));
        };
        let raw = Raw {
            from: from.to_string(),
            recipients: letter.recipients.iter().map(|(_, address)| address.to_string()).collect(),
            mime_message: text,
        };
        let body = serde_json::to_vec(&raw).map_err(|error| unfit("5.6.0", &format!("it is no JSON: {error}")))?;
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
            (200..=299, Some(Answer { success: true, result, .. })) => {
                Judgement::Settled(fates(&result.unwrap_or_default(), letter))
            }
            (status, Some(answer)) => by_code(status, &answer.errors, reply, letter),
            (200..=299 | 502 | 504 | 520 | 524, None) => unknown(reply, letter),
            (_, None) => judgement::by_status(reply, letter),
        }
    }
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
mod tests {
    use super::*;
    use crate::mail::id::MessageId;

    fn cloudflare(drop: &[&str]) -> Cloudflare {
        let drop = drop.iter().map(|name| (*name).to_owned()).collect();
        Cloudflare::new(&Secret::new("sesame".into()), drop).unwrap()
    }

    fn to(text: &str) -> Address {
        Address::parse_international(text).unwrap()
    }

    #[test]
    fn rule_u16_the_envelope_is_apart_and_the_message_is_as_it_was() {
        let sender = Some(to("a@example.net"));
        let recipients = [(1, to("b@example.org")), (2, to("hidden@example.org"))];
        let content = "Received: x\r\n y\r\nSubject: \u{fc}\r\nX-Odd:\r\n\tz\r\n\r\nReceived: \"body\"\\\r\n";
        let content = content.as_bytes();
        let letter = Letter { message: MessageId::now(), sender: &sender, recipients: &recipients, content };
        let body = |cloudflare: Cloudflare| -> Value {
            let request = cloudflare.request(&letter).unwrap();
            assert_eq!(request.authorization.unwrap().expose(), "Bearer sesame");
            serde_json::from_slice(request.body.expose()).unwrap()
        };
        let whole = body(cloudflare(&[]));
        assert_eq!(whole["from"], "a@example.net");
        assert_eq!(whole["recipients"], serde_json::json!(["b@example.org", "hidden@example.org"]));
        assert_eq!(whole["mime_message"].as_str().unwrap().as_bytes(), content);
        let less = body(cloudflare(&["received", "X-ODD"]));
        assert_eq!(less["mime_message"], "Subject: \u{fc}\r\n\r\nReceived: \"body\"\\\r\n");
    }

    #[test]
    fn rule_u16_what_json_can_not_carry_and_what_nobody_sent_is_not_sent() {
        let recipients = [(1, to("b@example.org"))];
        let sender = Some(to("a@example.net"));
        let refused = |sender: &Option<Address>, content: &[u8]| {
            let letter = Letter { message: MessageId::now(), sender, recipients: &recipients, content };
            cloudflare(&[]).request(&letter).unwrap_err().enhanced.unwrap()
        };
        assert_eq!(refused(&sender, b"Subject: x\r\n\r\nf\xfcr\r\n"), "5.6.3");
        assert_eq!(refused(&None, b"Subject: x\r\n\r\n"), "5.1.7");
    }

    #[test]
    fn rule_u16_each_recipient_has_the_fate_that_it_is_named_by() {
        let sender = Some(to("a@example.net"));
        let outcomes = |recipients: &[&str], result: &str| {
            let recipients: Vec<_> = (1..).zip(recipients.iter().map(|text| to(text))).collect();
            let letter = Letter { message: MessageId::now(), sender: &sender, recipients: &recipients, content: b"" };
            let body = format!("{{\"success\":true,\"errors\":[],\"messages\":[],\"result\":{result}}}").into_bytes();
            let reply = Reply { status: 200, body, whole: true, ..Reply::default() };
            match Cloudflare::judge(&reply, &letter) {
                Judgement::Settled(outcomes) => outcomes
                    .into_iter()
                    .map(|(number, outcome)| {
                        let word = match outcome {
                            Outcome::Delivered(_) => "delivered",
                            Outcome::Failed(_) | Outcome::Unsendable(_) => "failed",
                            Outcome::Deferred(_) | Outcome::Unknown(_) => "other",
                        };
                        (number, word)
                    })
                    .collect::<Vec<_>>(),
                other => panic!("{other:?}"),
            }
        };
        let five = ["a@x.org", "b@x.org", "c@x.org", "D@x.org", "e@x.org"];
        let result = "{\"delivered\":[\"a@X.org\"],\"permanent_bounces\":[{\"email\":\"b@x.org\"}],\"queued\":[\"c@x.org\",\"d@x.org\"]}";
        let expected = [(1, "delivered"), (2, "failed"), (3, "delivered"), (4, "delivered"), (5, "failed")];
        assert_eq!(outcomes(&five, result), expected);
        assert_eq!(
            outcomes(&["a@x.org"], "{\"delivered\":[],\"permanent_bounces\":[],\"queued\":[]}"),
            [(1, "delivered")]
        );
        assert_eq!(outcomes(&["a@x.org"], "null"), [(1, "delivered")]);
    }
}
