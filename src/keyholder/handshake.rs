//! What a TLS server may be asked to sign: nothing but the two shapes below ever gets a signature.
//!
//! Whoever owns an edge can put anything into a question. If the key signed what it was given, it would sign certificates,
//! tokens or other protocols' messages too; shaped like this, a signature is good for one TLS handshake and nothing else.

use rustls::SignatureScheme;

/// RFC 8446 section 4.4.3: 64 spaces, the context, a zero octet, then the transcript hash.
const TLS13_PADDING: [u8; 64] = [b' '; 64];
const TLS13_CONTEXT: &[u8] = b"TLS 1.3, server CertificateVerify\0";
/// Octets of SHA-256 and SHA-384, the hashes of the TLS 1.3 cipher suites.
const TRANSCRIPTS: [usize; 2] = [32, 48];

/// Octets of the client's and of the server's random together.
const TLS12_RANDOMS: usize = 64;
/// RFC 8422 section 5.4: ECCurveType named_curve.
const NAMED_CURVE: u8 = 3;
/// The named curves a key exchange may use, with the octets of a point on each: secp256r1, secp384r1, x25519.
const CURVES: [(u16, u8); 3] = [(0x0017, 65), (0x0018, 97), (0x001d, 32)];

/// Which handshake message it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handshake {
    /// TLS 1.3 CertificateVerify.
    CertificateVerify,
    /// TLS 1.2 ServerKeyExchange with ephemeral elliptic-curve parameters.
    ServerKeyExchange,
}

impl Handshake {
    /// Recognises the content to be signed, or says that it is none.
    pub fn recognise(content: &[u8]) -> Option<Self> {
        if is_certificate_verify(content) {
            Some(Self::CertificateVerify)
        } else if is_server_key_exchange(content) {
            Some(Self::ServerKeyExchange)
        } else {
            None
        }
    }

    /// Whether the scheme belongs to that version. RFC 8446 section 4.2.3 keeps PKCS#1 v1.5 out of TLS 1.3 handshakes.
    pub fn allows(self, scheme: SignatureScheme) -> bool {
        match scheme {
            SignatureScheme::RSA_PSS_SHA256
            | SignatureScheme::RSA_PSS_SHA384
            | SignatureScheme::RSA_PSS_SHA512
            | SignatureScheme::ECDSA_NISTP256_SHA256
            | SignatureScheme::ECDSA_NISTP384_SHA384
            | SignatureScheme::ED25519 => true,
            SignatureScheme::RSA_PKCS1_SHA256
            | SignatureScheme::RSA_PKCS1_SHA384
            | SignatureScheme::RSA_PKCS1_SHA512 => self == Self::ServerKeyExchange,
            _ => false,
        }
    }
}

fn is_certificate_verify(content: &[u8]) -> bool {
    content
        .strip_prefix(&TLS13_PADDING)
        .and_then(|rest| rest.strip_prefix(TLS13_CONTEXT))
        .is_some_and(|transcript| TRANSCRIPTS.contains(&transcript.len()))
}

fn is_server_key_exchange(content: &[u8]) -> bool {
    let Some((_, [curve_type, high, low, length, point @ ..])) = content.split_at_checked(TLS12_RANDOMS) else {
        return false;
    };
    let curve = u16::from_be_bytes([*high, *low]);
    *curve_type == NAMED_CURVE && CURVES.contains(&(curve, *length)) && point.len() == usize::from(*length)
}

#[cfg(test)]
pub mod tests {
    use proptest::prelude::*;

    use super::*;

    pub fn certificate_verify(transcript: &[u8]) -> Vec<u8> {
        [&TLS13_PADDING, TLS13_CONTEXT, transcript].concat()
    }

    pub fn server_key_exchange(curve: u16, length: u8, point: &[u8]) -> Vec<u8> {
        let [high, low] = curve.to_be_bytes();
        [&[7; TLS12_RANDOMS], [NAMED_CURVE, high, low, length].as_slice(), point].concat()
    }

    #[test]
    fn both_handshakes_are_recognised_with_every_hash_and_curve() {
        for hash in TRANSCRIPTS {
            let content = certificate_verify(&vec![9; hash]);
            assert_eq!(Handshake::recognise(&content), Some(Handshake::CertificateVerify));
        }
        for (curve, length) in CURVES {
            let content = server_key_exchange(curve, length, &vec![4; usize::from(length)]);
            assert_eq!(Handshake::recognise(&content), Some(Handshake::ServerKeyExchange));
        }
    }

    #[test]
    fn what_only_looks_like_a_handshake_is_not_one() {
        let hash = [9u8; 32];
        let client = [&TLS13_PADDING, b"TLS 1.3, client CertificateVerify\0".as_slice(), &hash].concat();
        let cases: [(&str, Vec<u8>); 10] = [
            ("nothing", vec![]),
            ("a bare digest", hash.to_vec()),
            ("the client's context", client),
            ("a transcript of 33 octets", certificate_verify(&[9; 33])),
            ("no transcript", certificate_verify(&[])),
            ("63 spaces", certificate_verify(&hash).split_off(1)),
            ("a point that is too short", server_key_exchange(0x1d, 32, &[4; 31])),
            ("octets behind the point", server_key_exchange(0x1d, 32, &[4; 33])),
            ("a length that is another curve's", server_key_exchange(0x17, 32, &[4; 32])),
            ("an unknown curve", server_key_exchange(0x0100, 32, &[4; 32])),
        ];
        for (what, content) in cases {
            assert_eq!(Handshake::recognise(&content), None, "{what}");
        }
    }

    #[test]
    fn pkcs1_belongs_to_tls_12_alone() {
        assert!(Handshake::ServerKeyExchange.allows(SignatureScheme::RSA_PKCS1_SHA256));
        assert!(!Handshake::CertificateVerify.allows(SignatureScheme::RSA_PKCS1_SHA256));
        assert!(!Handshake::ServerKeyExchange.allows(SignatureScheme::RSA_PKCS1_SHA1));
    }

    proptest! {
        /// Whatever is recognised is, octet for octet, one of the two shapes.
        #[test]
        fn whatever_is_recognised_has_one_of_the_two_lengths_and_marks(
            mut content in prop::collection::vec(any::<u8>(), 0..200),
            start in prop_oneof![Just(certificate_verify(&[9; 32])), Just(server_key_exchange(0x1d, 32, &[4; 32]))],
            keep in 0usize..170,
        ) {
            let keep = keep.min(start.len());
            content.splice(0..0, start.iter().take(keep).copied());
            match Handshake::recognise(&content) {
                Some(Handshake::CertificateVerify) => {
                    prop_assert_eq!(&content[..98], &certificate_verify(&[])[..]);
                    prop_assert!(content.len() == 98 + 32 || content.len() == 98 + 48);
                }
                Some(Handshake::ServerKeyExchange) => {
                    prop_assert_eq!(content[64], 3);
                    prop_assert_eq!(content.len(), 68 + usize::from(content[67]));
                }
                None => {}
            }
        }

        /// One octet off in what is fixed, and it is refused.
        #[test]
        fn a_changed_fixed_octet_is_refused(at in 0usize..98, flip in 1u8..) {
            let mut content = certificate_verify(&[9; 32]);
            content[at] ^= flip;
            prop_assert_eq!(Handshake::recognise(&content), None);
        }
    }
}
