//! The messages of SCRAM (RFC 5802 section 7, RFC 7677): what a client says, read, and what it is told.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::gs2::{self, Header};

/// Octets of one message. What a client has to say takes a few hundred.
pub const MOST: usize = 4096;
/// Octets of a client's nonce, which is said back to it.
pub const MOST_NONCE: usize = 256;

/// How a client begins.
#[derive(Debug, PartialEq, Eq)]
pub struct First<'a> {
    pub header: Header,
    /// The header as it was said, with the comma at its end.
    pub header_text: &'a str,
    /// All that stands behind the header.
    pub bare: &'a str,
    /// It may still be anything.
    pub user: Vec<u8>,
    pub nonce: &'a str,
}

/// How it shows that it has the secret.
#[derive(Debug, PartialEq, Eq)]
pub struct Final<'a> {
    /// The header again, and behind it what the channel is bound by.
    pub binding: Vec<u8>,
    pub nonce: &'a str,
    pub proof: [u8; 32],
    /// All that stands before the proof.
    pub unproven: &'a str,
}

/// Reads client-first-message. None: it is none, or it has an extension that must be understood (`m=`).
pub fn first(message: &[u8]) -> Option<First<'_>> {
    let text = text(message)?;
    let (header, length) = gs2::header(message)?;
    let (header_text, bare) = text.split_at_checked(length)?;
    let mut parts = bare.split(',');
    let user = gs2::name(parts.next()?.strip_prefix("n=")?.as_bytes())?;
    let nonce = parts.next()?.strip_prefix("r=")?;
    let sound = nonce.len() <= MOST_NONCE && is_nonce(nonce) && parts.all(is_extension);
    sound.then_some(First { header, header_text, bare, user, nonce })
}

/// Reads client-final-message. None: it is none.
pub fn last(message: &[u8]) -> Option<Final<'_>> {
    let text = text(message)?;
    let (unproven, proof) = text.rsplit_once(',')?;
    let proof = STANDARD.decode(proof.strip_prefix("p=")?).ok()?.try_into().ok()?;
    let mut parts = unproven.split(',');
    let binding = STANDARD.decode(parts.next()?.strip_prefix("c=")?).ok()?;
    let nonce = parts.next()?.strip_prefix("r=")?;
    (is_nonce(nonce) && parts.all(is_extension)).then_some(Final { binding, nonce, proof, unproven })
}

/// server-first-message: the nonces, and how the secret is to be stretched.
pub fn challenge(client: &str, server: &str, salt: &[u8], iterations: u32) -> String {
    format!("r={client}{server},s={},i={iterations}", STANDARD.encode(salt))
}

/// server-final-message of a login that was right.
pub fn verdict(signature: &[u8]) -> String {
    format!("v={}", STANDARD.encode(signature))
}

fn text(message: &[u8]) -> Option<&str> {
    std::str::from_utf8(message).ok().filter(|text| text.len() <= MOST)
}

/// `printable`: ASCII without the comma.
pub(super) fn is_nonce(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|octet| matches!(octet, b'!'..=b'~') && octet != b',')
}

/// `attr-val`, of no meaning here. That of `m` would have to be understood.
pub(super) fn is_extension(text: &str) -> bool {
    let mut octets = text.bytes();
    let begins = octets.next().is_some_and(|name| name.is_ascii_alphabetic() && name != b'm');
    begins && octets.next() == Some(b'=') && text.len() > 2 && !text.contains('\0')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sasl::gs2::Binding;

    /// The example of RFC 7677 section 3.
    const FIRST: &str = "n,,n=user,r=rOprNGfwEbeRWgbNEkqO";
    const SERVER: &str = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
    const LAST: &str =
        "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";

    #[test]
    fn rule_a17_the_messages_of_the_rfc_are_read_and_written() {
        let first = first(FIRST.as_bytes()).unwrap();
        assert_eq!((first.header_text, first.bare), ("n,,", "n=user,r=rOprNGfwEbeRWgbNEkqO"));
        assert_eq!((first.user.as_slice(), first.nonce), (&b"user"[..], "rOprNGfwEbeRWgbNEkqO"));
        let salt = STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        assert_eq!(
            challenge(first.nonce, SERVER, &salt, 4096),
            "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
        );
        let last = last(LAST.as_bytes()).unwrap();
        assert_eq!((last.binding.as_slice(), last.nonce), (&b"n,,"[..], &*format!("{}{SERVER}", first.nonce)));
        assert_eq!(last.unproven, LAST.split_once(",p=").unwrap().0);
    }

    #[test]
    fn rule_a17_names_binding_and_extensions_of_a_beginning() {
        let read = |text: &'static str| {
            first(text.as_bytes())
                .map(|first| (first.header.binding, String::from_utf8(first.user).unwrap(), first.bare))
        };
        let bound = Binding::Named("tls-exporter".into());
        assert_eq!(read("y,,n=a=2Cb=3Dc,r=x"), Some((Binding::Missed, "a,b=c".into(), "n=a=2Cb=3Dc,r=x")));
        assert_eq!(read("p=tls-exporter,a=a,n=a,r=x,f=1,g=h=i"), Some((bound, "a".into(), "n=a,r=x,f=1,g=h=i")));
        let bad = [
            "",
            "n",
            "n,,",
            "n,,n=a",
            "n,,r=x",
            "n,,n=,r=x",
            "n,,n=a,r=",
            "n,,r=x,n=a",
            "n,,n=a=,r=x",
            "n,,n=a=2c,r=x",
            "n,,n=a=2D,r=x",
            "n,,N=a,r=x",
            "n,,n=a,R=x",
            "n,,n=a,r=x,",
            "n,,n=a,r=x,f",
            "n,,n=a,r=x,f=",
            "n,,n=a,r=x,1=a",
            "n,,n=a,r=x,m=a",
            "n,,m=a,n=a,r=x",
            "n,,n=a,r=x y",
            "n,,n=a,r=\u{e4}",
            "n,,n=a,r=x\u{7f}",
            "n,,n=a\0,r=x",
            "n,,n=a,r=x,f=\0",
            "x,,n=a,r=x",
            "n,b=c,n=a,r=x",
            "n,n=a,r=x",
            ",,n=a,r=x",
            " n,,n=a,r=x",
            "n,,n=a,r=x\r\n",
        ];
        for bad in bad {
            assert_eq!(first(bad.as_bytes()), None, "{bad:?}");
        }
        let nonce = |length| format!("n,,n=a,r={}", "x".repeat(length));
        assert!(first(nonce(MOST_NONCE).as_bytes()).is_some() && first(nonce(MOST_NONCE + 1).as_bytes()).is_none());
        assert_eq!(first(format!("n,,n=a,r=x,f={}", "x".repeat(MOST)).as_bytes()), None);
        assert_eq!(first(b"n,,n=\xff,r=x"), None);
    }

    #[test]
    fn rule_a17_a_proof_stands_at_the_end_and_is_whole() {
        let proof = STANDARD.encode([7; 32]);
        let good = format!("c=biws,r=xy,f=g,p={proof}");
        assert_eq!(last(good.as_bytes()).map(|last| (last.proof, last.unproven)), Some(([7; 32], "c=biws,r=xy,f=g")));
        let bad = [
            String::new(),
            format!("p={proof}"),
            format!("c=biws,p={proof}"),
            format!("r=xy,c=biws,p={proof}"),
            format!("c=biws,r=,p={proof}"),
            format!("c=biw,r=xy,p={proof}"),
            format!("c=bi ws,r=xy,p={proof}"),
            format!("c=biws,r=xy,m=z,p={proof}"),
            format!("c=biws,r=xy,p={proof},f=g"),
            format!("c=biws,r=xy,p={proof} "),
            format!("c=biws,r=xy,p={}", &proof[1..]),
            format!("c=biws,r=xy,p={}", STANDARD.encode([7; 31])),
            format!("c=biws,r=xy,p={}", STANDARD.encode([7; 33])),
            "c=biws,r=xy".to_owned(),
            "e=other-error".to_owned(),
        ];
        for bad in bad {
            assert_eq!(last(bad.as_bytes()), None, "{bad:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn whatever_comes_is_read_or_refused(
            begin in proptest::sample::select(vec!["", "n,,n=a,r=", "y,a=b,n=", "c=biws,r=", "c="]),
            rest in proptest::collection::vec(proptest::num::u8::ANY, 0..60),
        ) {
            let message = [begin.as_bytes(), &rest].concat();
            if let Some(first) = first(&message) {
                proptest::prop_assert!(message == [first.header_text, first.bare].concat().as_bytes());
            }
            if let Some(last) = last(&message) {
                proptest::prop_assert!(message.starts_with(last.unproven.as_bytes()));
            }
        }
    }
}
