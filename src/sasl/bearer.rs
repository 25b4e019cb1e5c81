//! OAUTHBEARER (RFC 7628) and XOAUTH2 (as Google describes it): one message with a token.

use super::gs2::{self, Binding};

/// What stands between the parts.
const SEPARATOR: u8 = 1;

/// Whose token it should be, when the client says so, and the token. It may still be anything.
#[derive(Debug, PartialEq, Eq)]
pub struct Bearer<'a> {
    pub user: Vec<u8>,
    /// Empty when the client has another kind of authorization.
    pub token: &'a [u8],
}

/// `user=` name `^A` `auth=Bearer ` token `^A^A`.
pub fn xoauth2(message: &[u8]) -> Option<Bearer<'_>> {
    let inner = message.strip_suffix(&[SEPARATOR, SEPARATOR])?;
    let mut parts = inner.split(|octet| *octet == SEPARATOR);
    let (user, auth, None) = (parts.next()?, parts.next()?, parts.next()) else { return None };
    let user = user.strip_prefix(b"user=")?.to_vec();
    Some(Bearer { user, token: token(auth.strip_prefix(b"auth=")?) })
}

/// A header of RFC 5801, `^A`, pairs `key=value^A`, `^A`. Whatever key but `auth` means nothing here (section 3.1).
pub fn oauthbearer(message: &[u8]) -> Option<Bearer<'_>> {
    let (header, length) = gs2::header(message)?;
    // There is no form of it with channel binding.
    let (Binding::None | Binding::Missed) = header.binding else { return None };
    let inner = message.get(length..)?.strip_prefix(&[SEPARATOR])?.strip_suffix(&[SEPARATOR, SEPARATOR])?;
    let mut found = None;
    for pair in inner.split(|octet| *octet == SEPARATOR) {
        let at = pair.iter().position(|octet| *octet == b'=')?;
        let (key, value) = (pair.get(..at)?, pair.get(at + 1..)?);
        let sound = |octet: &u8| matches!(octet, b'\t' | b'\r' | b'\n' | b' '..=b'~');
        if key.is_empty() || !key.iter().all(u8::is_ascii_alphabetic) || !value.iter().all(sound) {
            return None;
        }
        if key == b"auth" && found.replace(value).is_some() {
            return None;
        }
    }
    Some(Bearer { user: header.behalf, token: token(found?) })
}

/// What follows `Bearer`, in any case (RFC 7235 section 2.1), and blanks.
fn token(auth: &[u8]) -> &[u8] {
    const SCHEME: &[u8] = b"bearer ";
    match auth.split_at_checked(SCHEME.len()) {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case(SCHEME) => token.trim_ascii_start(),
        _ => b"",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Read = fn(&[u8]) -> Option<Bearer<'_>>;

    #[test]
    fn row_36_a_message_has_a_user_and_a_token() {
        let says: [(Read, &str, &str, &str); 10] = [
            (xoauth2, "user=billing\x01auth=Bearer gp_x\x01\x01", "billing", "gp_x"),
            (xoauth2, "user=\x01auth=bearer  gp_x\x01\x01", "", "gp_x"),
            (xoauth2, "user=a\r\n\x01auth=Bearer a\rb\x01\x01", "a\r\n", "a\rb"),
            (xoauth2, "user=a\x01auth=Basic gp_x\x01\x01", "a", ""),
            // The example of RFC 7628 section 4.1.
            (
                oauthbearer,
                "n,a=user@example.com,\x01host=server.example.com\x01port=143\x01auth=Bearer vF9dft4qmT\x01\x01",
                "user@example.com",
                "vF9dft4qmT",
            ),
            (oauthbearer, "n,,\x01auth=Bearer gp_x\x01\x01", "", "gp_x"),
            (oauthbearer, "y,,\x01auth=BEARER gp_x\x01host=\x01\x01", "", "gp_x"),
            (oauthbearer, "n,a=b=2Cc,\x01auth=Bearer a b\x01\x01", "b,c", "a b"),
            (oauthbearer, "n,a=b,\x01auth=\x01\x01", "b", ""),
            (oauthbearer, "n,a=b,\x01auth=Bearer\x01\x01", "b", ""),
        ];
        for (read, message, user, token) in says {
            let expected = Bearer { user: user.into(), token: token.as_bytes() };
            assert_eq!(read(message.as_bytes()), Some(expected), "{message:?}");
        }
    }

    #[test]
    fn row_36_what_is_no_such_message_is_none() {
        let bad: [(Read, &[&str]); 2] = [
            (
                xoauth2,
                &[
                    "",
                    "\x01\x01",
                    "user=a",
                    "user=a\x01auth=Bearer b\x01",
                    "user=a\x01auth=Bearer b\x01c=d\x01\x01",
                    "user=a\x01\x01auth=Bearer b\x01\x01",
                    "auth=Bearer b\x01user=a\x01\x01",
                    "User=a\x01auth=Bearer b\x01\x01",
                    "user=a\x01auth=Bearer b\x01\x01\x01",
                    " user=a\x01auth=Bearer b\x01\x01",
                ],
            ),
            (
                oauthbearer,
                &[
                    "",
                    "\x01",
                    "n,,",
                    "n,,\x01\x01",
                    "n,,\x01host=a\x01\x01",
                    "n,,\x01auth=Bearer a\x01",
                    "n,,auth=Bearer a\x01\x01",
                    "n,,\x01auth=Bearer a\x01auth=Bearer b\x01\x01",
                    "n,,\x01auth=Bearer a\x01\x01host=b\x01\x01",
                    "n,,\x01auth=Bearer a\x01h1=b\x01\x01",
                    "n,,\x01auth=Bearer a\x01=b\x01\x01",
                    "n,,\x01auth=Bearer a\x01host\x01\x01",
                    "n,,\x01auth=Bearer \u{e4}\x01\x01",
                    "n,,\x01auth=Bearer \0\x01\x01",
                    "n,,\x01auth=Bearer \x7f\x01\x01",
                    "p=tls-exporter,,\x01auth=Bearer a\x01\x01",
                    "x,,\x01auth=Bearer a\x01\x01",
                ],
            ),
        ];
        for (read, messages) in bad {
            for message in messages {
                assert_eq!(read(message.as_bytes()), None, "{message:?}");
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn whatever_comes_is_read_or_refused(
            begin in proptest::sample::select(vec!["", "user=", "n,a=", "n,,\x01auth=Bearer "]),
            rest in proptest::collection::vec(proptest::num::u8::ANY, 0..60),
            end in proptest::sample::select(vec!["", "\x01", "\x01\x01"]),
        ) {
            let message = [begin.as_bytes(), &rest, end.as_bytes()].concat();
            for read in [xoauth2, oauthbearer] {
                if let Some(bearer) = read(&message) {
                    proptest::prop_assert!(!bearer.token.contains(&SEPARATOR));
                }
            }
        }
    }
}
