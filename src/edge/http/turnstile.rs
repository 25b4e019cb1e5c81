//! What proves that a person wrote a message of `/send`: the token that Turnstile's widget has put into a page's form. The vault
//! has it asked of; here it is found, and said why one doesn't do.

use hyper::header::HeaderMap;

use super::json::Node;
use super::reply::{Code, Fault, Issue};
use crate::ipc::token::{MAX_TOKEN, Token};
use crate::policy::refusal::Refusal;

/// The member of the body, as the widget names its field, and the header.
pub const FIELD: &str = "cf-turnstile-response";
const POINTER: &str = "/cf-turnstile-response";
/// Seconds until Turnstile may be there again.
const AGAIN: u32 = 5;

/// The token of a request, in the one place or the other, or in both when it is the same. An empty one is none: so a form says that
/// its widget isn't done.
pub fn token(body: &Node<'_>, headers: &HeaderMap) -> Result<Option<Token>, Fault> {
    let member = match member(body) {
        None | Some(Node::Null) => None,
        Some(Node::Text(text)) if text.is_empty() => None,
        Some(Node::Text(text)) => Some(text.as_ref()),
        Some(other) => {
            return Err(invalid("wrong_type", &format!("must be a string and is {}", other.kind())));
        }
    };
    let mut fields = headers.get_all(FIELD).iter();
    let field = match (fields.next().map(|value| value.to_str()), fields.next()) {
        (None, _) => None,
        (Some(Ok("")), None) => None,
        (Some(Ok(text)), None) => Some(text),
        _ => return Err(Fault::new(Code::BadRequest, "send one CF-Turnstile-Response, as the widget gave it")),
    };
    let text = match (member, field) {
        (Some(one), Some(other)) if one != other => {
            let message =
                "the member cf-turnstile-response and the header CF-Turnstile-Response differ: send one of them";
            return Err(Fault::new(Code::BadRequest, message));
        }
        (member, field) => member.or(field),
    };
    let Some(text) = text else { return Ok(None) };
    let odd = || invalid("invalid_token", &format!("is no token: at most {MAX_TOKEN} visible ASCII characters"));
    Token::new(text).map(Some).ok_or_else(odd)
}

fn member<'n, 'a>(body: &'n Node<'a>) -> Option<&'n Node<'a>> {
    let Node::Map(members) = body else { return None };
    members.iter().find(|(name, _)| name == FIELD).map(|(_, node)| node)
}

fn invalid(code: &'static str, message: &str) -> Fault {
    let issue = Issue { code, pointer: POINTER.to_owned(), message: message.to_owned() };
    Fault::of(Code::ValidationFailed, vec![issue])
}

/// Why a message is not taken. Other refusals are of other matters.
pub fn fault(refusal: Refusal) -> Fault {
    let why = match refusal {
        Refusal::TurnstileUnavailable => {
            let message = "whether a person wrote this can't be found out now: send it again, with a new token if that is refused";
            return Fault::new(Code::TurnstileUnavailable, message).after(AGAIN);
        }
        Refusal::TurnstileRefused => {
            "the Turnstile token is not valid, is older than five minutes, or was used before: have the widget make a new one"
        }
        Refusal::TurnstileHostname => {
            "the Turnstile token was solved on a page that this key is not for; its operator lists hostnames"
        }
        Refusal::TurnstileAction => {
            "the Turnstile token was solved for another action than this key is for; its operator names it"
        }
        _ => {
            "this key needs a Turnstile token: send it to POST /send, as the member cf-turnstile-response or the header \
             CF-Turnstile-Response"
        }
    };
    Fault::new(Code::TurnstileFailed, why)
}

#[cfg(test)]
mod tests {
    use super::super::json::parse;
    use super::*;

    fn found(body: &str, fields: &[&str]) -> Result<Option<String>, Code> {
        let mut headers = HeaderMap::new();
        for field in fields {
            headers.append(FIELD, field.parse().unwrap());
        }
        let token = token(&parse(body.as_bytes()).unwrap(), &headers);
        token.map(|token| token.map(|token| token.expose().to_owned())).map_err(|fault| fault.code)
    }

    #[test]
    fn a_token_stands_in_the_body_or_in_the_header_or_the_same_in_both() {
        let one = Ok(Some("0.abc".to_owned()));
        let member = r#"{"cf-turnstile-response":"0.abc"}"#;
        assert_eq!(found(member, &[]), one);
        assert_eq!(found("{}", &["0.abc"]), one);
        assert_eq!(found(member, &["0.abc"]), one);
        for none in ["{}", r#"{"cf-turnstile-response":""}"#, r#"{"cf-turnstile-response":null}"#, "[]"] {
            assert_eq!((found(none, &[]), found(none, &[""])), (Ok(None), Ok(None)), "{none}");
        }
        assert_eq!(found(member, &["0.other"]), Err(Code::BadRequest));
        assert_eq!(found("{}", &["0.abc", "0.abc"]), Err(Code::BadRequest));
        let long = "x".repeat(MAX_TOKEN + 1);
        for bad in ["7", "[]", "\"two words\"", &format!("\"{long}\"")] {
            let body = format!("{{\"cf-turnstile-response\":{bad}}}");
            assert_eq!(found(&body, &[]), Err(Code::ValidationFailed), "{bad}");
        }
        assert_eq!(found("{}", &[&long]), Err(Code::ValidationFailed));
        assert!(found(&format!("{{\"cf-turnstile-response\":\"{}\"}}", "x".repeat(MAX_TOKEN)), &[]).is_ok());
    }

    #[test]
    fn no_refusal_of_turnstile_is_told_as_another_and_none_quotes_anything() {
        for refusal in Refusal::ALL.into_iter().filter(|refusal| refusal.word().starts_with("turnstile-")) {
            let fault = fault(refusal);
            let expected = match refusal {
                Refusal::TurnstileUnavailable => (Code::TurnstileUnavailable, Some(AGAIN)),
                _ => (Code::TurnstileFailed, None),
            };
            assert_eq!((fault.code, fault.retry_after), expected, "{refusal:?}");
        }
    }
}
