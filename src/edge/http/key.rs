//! The key of a request, in whichever of the forms it comes. It names its credential itself, so no user goes with it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::header::{self, HeaderMap, HeaderValue};

use super::reply::{Code, Fault};
use crate::secret::Secret;

/// The longest key: ours have some 70 octets, imported ones may be longer.
const MAX_KEY: usize = 512;
/// The longest user before the key in a Basic login: those of SMTP are no longer.
const MAX_USER: usize = 255;
/// The field that clients use who know no schemes.
const API_KEY: &str = "x-api-key";

/// The one key that the request has, if it has any. Two are refused even when they are the same: whoever sends two, such as a
/// proxy that adds one, may mean either.
pub fn read(headers: &HeaderMap) -> Result<Option<Secret<String>>, Fault> {
    let mut authorizations = headers.get_all(header::AUTHORIZATION).iter();
    let mut keys = headers.get_all(API_KEY).iter();
    let key = match (authorizations.next(), keys.next()) {
        (None, None) => return Ok(None),
        (Some(value), None) if authorizations.next().is_none() => authorization(value),
        (None, Some(value)) if keys.next().is_none() => value.to_str().ok().and_then(sound),
        _ => {
            let message = "send one key, once: as Authorization or as X-API-Key";
            return Err(Fault::new(Code::BadRequest, message));
        }
    };
    key.map(Some).ok_or_else(unauthorized)
}

/// What is said to who has no key, or one in no form that is known.
pub fn unauthorized() -> Fault {
    Fault::new(Code::Unauthorized, "a key is needed: send \"Authorization: Bearer KEY\" or \"X-API-Key: KEY\"")
}

/// `Bearer KEY` (RFC 6750 section 2.1), or `Basic` with the key as its password (RFC 7617 section 2).
fn authorization(value: &HeaderValue) -> Option<Secret<String>> {
    let (scheme, rest) = value.to_str().ok()?.split_once(' ')?;
    let rest = rest.trim_start_matches(' ');
    if scheme.eq_ignore_ascii_case("bearer") {
        sound(rest)
    } else if scheme.eq_ignore_ascii_case("basic") {
        basic(rest)
    } else {
        None
    }
}

/// The password of `USER:PASSWORD` in base64. The user is passed over.
fn basic(text: &str) -> Option<Secret<String>> {
    const MOST: usize = MAX_USER + 1 + MAX_KEY;
    if text.len() > MOST.div_ceil(3) * 4 {
        return None;
    }
    let mut pair = Secret::new(Vec::with_capacity(text.len()));
    STANDARD.decode_vec(text, pair.expose_mut()).ok()?;
    let (user, key) = std::str::from_utf8(pair.expose()).ok()?.split_once(':')?;
    if user.len() > MAX_USER { None } else { sound(key) }
}

/// A key, if it has only what a bearer's may have: then it is the same key in all forms.
fn sound(key: &str) -> Option<Secret<String>> {
    let is_sound = !key.is_empty()
        && key.len() <= MAX_KEY
        && key.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~+/=".contains(&b));
    is_sound.then(|| Secret::new(key.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keyed(fields: &[(&'static str, String)]) -> Result<Option<String>, Code> {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, value.parse().unwrap());
        }
        read(&headers).map(|key| key.map(|key| key.expose().clone())).map_err(|fault| fault.code)
    }

    fn login(pair: &str) -> (&'static str, String) {
        ("authorization", format!("Basic {}", STANDARD.encode(pair)))
    }

    fn bearer(key: &str) -> (&'static str, String) {
        ("authorization", format!("Bearer {key}"))
    }

    fn api_key(key: &str) -> (&'static str, String) {
        ("x-api-key", key.to_owned())
    }

    #[test]
    fn a_key_is_the_same_in_all_forms() {
        let fields = [bearer("gp_live_1"), api_key("gp_live_1"), login("ann:gp_live_1"), login(":gp_live_1")];
        for field in fields {
            assert_eq!(keyed(std::slice::from_ref(&field)), Ok(Some("gp_live_1".into())), "{field:?}");
        }
        assert_eq!(keyed(&[]), Ok(None));
        let longest = "k".repeat(MAX_KEY);
        for field in [bearer(&longest), api_key(&longest), login(&format!("{}:{longest}", "u".repeat(MAX_USER)))] {
            assert_eq!(keyed(&[field]), Ok(Some(longest.clone())));
        }
    }

    #[test]
    fn what_has_no_key_in_it_is_no_login() {
        let long = "k".repeat(MAX_KEY + 1);
        let fields = [
            bearer(""),
            bearer("two words"),
            bearer(&long),
            api_key(""),
            api_key("two words"),
            api_key("Bearer gp_live_1"),
            api_key(&long),
            login("ann"),
            login("ann:"),
            login("ann:two words"),
            login("ann:k\u{e9}y"),
            login("ann:a:b"),
            login(&format!("ann:{long}")),
            login(&format!("{}:gp_live_1", "u".repeat(MAX_USER + 1))),
            ("authorization", "Basic ???".into()),
            ("authorization", "Basic".into()),
            ("authorization", "Digest gp_live_1".into()),
            ("authorization", format!("Basic {}", STANDARD.encode(b"ann:\xff"))),
        ];
        for field in fields {
            assert_eq!(keyed(std::slice::from_ref(&field)), Err(Code::Unauthorized), "{field:?}");
        }
    }

    #[test]
    fn two_keys_are_none_even_when_they_are_the_same() {
        let pairs = [
            [bearer("gp_live_1"), api_key("gp_live_1")],
            [login("ann:gp_live_1"), api_key("gp_live_2")],
            [bearer("gp_live_1"), bearer("gp_live_1")],
            [api_key("gp_live_1"), api_key("gp_live_1")],
            [("authorization", String::new()), api_key("gp_live_1")],
        ];
        for pair in pairs {
            assert_eq!(keyed(&pair), Err(Code::BadRequest), "{pair:?}");
        }
    }
}
