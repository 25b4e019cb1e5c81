//! What a token endpoint's answer means (RFC 6749 sections 5.1 and 5.2).
//!
//! | answer | meaning |
//! |---|---|
//! | 200 with a token that can be used | it is given |
//! | 200 with anything else | route failed |
//! | 400, 401, 403, or an `error` with 200 | our login is refused, save where `error` says that it is for now |
//! | any other | route failed, for as long as Retry-After says |

use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;
use zeroize::Zeroizing;

use crate::courier::http::Reply;
use crate::courier::secrets::Secrets;
use crate::secret::Secret;

/// Beyond it the line of AUTH, with the token twice in base64 of 4 for 3 octets, would be longer than RFC 4954 section 4 allows
/// (12288 octets).
const MAX_TOKEN: usize = 8 * 1024;
/// What a token is taken to last where the answer doesn't say it.
const UNSAID: Duration = Duration::from_secs(300);
/// Longer than any provider's last. What is said beyond it is cut to this.
const LONGEST: Duration = Duration::from_secs(24 * 3600);
/// Characters of what an endpoint says that are told.
const MAX_WORDS: usize = 300;
/// Errors that pass by themselves, although they come with 400.
const FOR_NOW: [&str; 3] = ["temporarily_unavailable", "server_error", "slow_down"];

/// A token, and what came with it.
#[derive(Debug)]
pub struct Granted {
    pub token: Secret<String>,
    pub life: Duration,
    /// In the place of that which was used.
    pub refresh_token: Option<Secret<String>>,
}

/// Why there is none, in words that may be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    pub reason: String,
    /// It doesn't take what it knows us by, and will not until somebody mends it.
    pub is_login: bool,
    /// How long it wants to be left alone.
    pub rest: Option<Duration>,
}

impl From<String> for Failed {
    fn from(reason: String) -> Self {
        Self { reason, is_login: false, rest: None }
    }
}

impl From<&str> for Failed {
    fn from(reason: &str) -> Self {
        reason.to_owned().into()
    }
}

#[derive(Default, Deserialize)]
struct Body {
    access_token: Option<Secret<String>>,
    token_type: Option<String>,
    /// Some say it as text.
    expires_in: Option<Value>,
    refresh_token: Option<Secret<String>>,
    error: Option<Value>,
    error_description: Option<Value>,
}

/// Reads it. What it says back of `secrets` is hidden, and of a body that isn't JSON nothing is told: it could be anywhere in it.
pub fn judge(reply: Reply, secrets: &Secrets) -> Result<Granted, Failed> {
    let Reply { status, wait, body, whole, .. } = reply;
    let octets = Zeroizing::new(body);
    let body: Option<Body> = serde_json::from_slice(&octets).ok().filter(|_| whole);
    let error = body.as_ref().and_then(|body| body.error.as_ref()?.as_str());
    match (status, body.as_ref()) {
        (200, Some(Body { error: None, .. })) => granted(body.unwrap_or_default()),
        (200, None) => Err("its answer can't be read: it should be JSON, of no more than 32 KiB".into()),
        (200 | 400 | 401 | 403, _) => {
            let is_login = !error.is_some_and(|error| FOR_NOW.contains(&error));
            Err(Failed { reason: words(status, body.as_ref(), secrets), is_login, rest: wait.filter(|_| !is_login) })
        }
        (300..=399, _) => {
            Err(format!("HTTP {status}: it is elsewhere, where nobody follows: correct token_url").into())
        }
        _ => Err(Failed { reason: words(status, body.as_ref(), secrets), is_login: false, rest: wait }),
    }
}

fn granted(body: Body) -> Result<Granted, Failed> {
    let Some(token) = body.access_token else { return Err("its answer has no access_token".into()) };
    if !body.token_type.is_some_and(|kind| kind.eq_ignore_ascii_case("bearer")) {
        return Err("its token is of another type than bearer".into());
    }
    // RFC 6750 section 2.1 allows less; a control character would end the token within the login.
    if !is_sound(&token) || token.expose().bytes().any(|octet| octet == b' ') {
        return Err(format!("its token is none: visible ASCII, of no more than {MAX_TOKEN} octets").into());
    }
    let life = body.expires_in.as_ref().and_then(seconds).map_or(UNSAID, |life| life.min(LONGEST));
    Ok(Granted { token, life, refresh_token: body.refresh_token.filter(is_sound) })
}

/// RFC 6749 appendices A.12 and A.17.
fn is_sound(token: &Secret<String>) -> bool {
    let token = token.expose();
    !token.is_empty() && token.len() <= MAX_TOKEN && token.bytes().all(|octet| matches!(octet, b' '..=b'~'))
}

fn seconds(value: &Value) -> Option<Duration> {
    value.as_u64().or_else(|| value.as_str()?.parse().ok()).map(Duration::from_secs)
}

/// The status, and what the answer names as its error: a stranger's words.
fn words(status: u16, body: Option<&Body>, secrets: &Secrets) -> String {
    let text = |value: &Option<Value>| value.as_ref().and_then(Value::as_str).map(|text| secrets.hide(text));
    let said = body.map(|body| [text(&body.error), text(&body.error_description)]);
    let said: Vec<String> = said.into_iter().flatten().flatten().collect();
    let said = if said.is_empty() { "no error that could be read".to_owned() } else { said.join(": ") };
    let plain = said.chars().map(|c| if c.is_control() { ' ' } else { c });
    format!("HTTP {status} {}", plain.take(MAX_WORDS).collect::<String>())
}
