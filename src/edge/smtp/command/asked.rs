//! The way to log in that a client names behind AUTH.

use crate::policy::mechanism::Mechanism;

/// Names of other mechanisms that clients have: those of the IANA registry and the ones that older clients never registered.
const OTHERS: [&str; 33] = [
    "ANONYMOUS",
    "CRAM-MD5",
    "DIGEST-MD5",
    "EAP-AES128",
    "EAP-AES128-PLUS",
    "GS2-KRB5",
    "GS2-KRB5-PLUS",
    "GSS-SPNEGO",
    "GSSAPI",
    "KERBEROS_V4",
    "KERBEROS_V5",
    "MSN",
    "NMAS-SAMBA-AUTH",
    "NMAS_AUTHEN",
    "NMAS_LOGIN",
    "NTLM",
    "OAUTH10A",
    "OPENID20",
    "OTP",
    "SAML20",
    "SCRAM-SHA-1",
    "SCRAM-SHA-1-PLUS",
    "SCRAM-SHA-224",
    "SCRAM-SHA-384",
    "SCRAM-SHA-512",
    "SCRAM-SHA-512-PLUS",
    "SCRAM-SHA3-512",
    "SCRAM-SHA3-512-PLUS",
    "SECURID",
    "SKEY",
    "SXOVER-PLUS",
    "XOAUTH",
    "X-EXPS",
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// One that we have, whether it is offered or not.
    Ours(Mechanism),
    Other(&'static str),
    /// A word that is nowhere a mechanism. It may be a password that was typed in the wrong place: nobody keeps it.
    Word,
}

impl Asked {
    pub fn read(word: &str) -> Self {
        let ours = Mechanism::SASL.into_iter().find(|mechanism| mechanism.name().eq_ignore_ascii_case(word));
        let other = || OTHERS.into_iter().find(|name| name.eq_ignore_ascii_case(word));
        match ours {
            Some(mechanism) => Self::Ours(mechanism),
            None => other().map_or(Self::Word, Self::Other),
        }
    }

    pub fn ours(self) -> Option<Mechanism> {
        match self {
            Self::Ours(mechanism) => Some(mechanism),
            Self::Other(_) | Self::Word => None,
        }
    }

    /// What may be shown of it.
    pub fn name(self) -> Option<&'static str> {
        match self {
            Self::Ours(mechanism) => Some(mechanism.name()),
            Self::Other(name) => Some(name),
            Self::Word => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rule_a18_a_word_that_is_no_mechanism_is_not_kept() {
        assert_eq!(Asked::read("cram-md5"), Asked::Other("CRAM-MD5"));
        assert_eq!(Asked::read("Plain"), Asked::Ours(Mechanism::Plain));
        for word in ["", "bearer", "hunter2", "CRAM-MD5x", "CRAM", "GP_2KXF7Q", "SCRAM-SHA-257"] {
            assert_eq!(Asked::read(word), Asked::Word, "{word}");
            assert_eq!(Asked::read(word).name(), None);
        }
        for name in OTHERS {
            let is_sound = |octet: u8| octet.is_ascii_uppercase() || octet.is_ascii_digit() || b"-_".contains(&octet);
            assert!(name.len() <= 20 && name.bytes().all(is_sound), "RFC 4422 section 3.1: {name}");
            assert_eq!(Asked::read(name).ours(), None);
        }
    }
}
