//! Whether a provider has said it: HMAC-SHA256 over the moment and the octets as they came, under the secret of its webhook.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::{Choice, ConstantTimeEq};

use crate::config::slice::Hook;
use crate::ipc::hook::Posted;
use crate::secret::Secret;

/// What a signature begins with.
const VERSION: &str = "v1=";
/// How far a moment may be from now, each way.
const WINDOW_MS: u64 = 300_000;
/// What is compared where there is no such hook, so that the answer takes as long.
const NOBODY: &str = "whsec_0000000000000000000000000000000000000000000000000000000000000000";

/// The hook, where what was posted is signed with one of its secrets; and, where it is signed for another time, by how many seconds
/// that is off.
pub fn verified(known: Option<Hook>, posted: &Posted, body: &[u8], now_ms: u64) -> Option<(Hook, Option<u64>)> {
    let nobody = [Secret::new(NOBODY.to_owned())];
    let secrets = known.as_ref().map_or(&nobody[..], |hook| &hook.secrets);
    let given = posted.signature.strip_prefix(VERSION).and_then(octets);
    let mut is_signed = Choice::from(0);
    for secret in secrets {
        #[allow(clippy::expect_used)] // RFC 2104 section 2
        let mut mac =
            Hmac::<Sha256>::new_from_slice(secret.expose().as_bytes()).expect("HMAC takes a key of any length");
        [posted.timestamp.as_bytes(), b".", body].iter().for_each(|part| mac.update(part));
        let right: [u8; 32] = mac.finalize().into_bytes().into();
        is_signed |= right.ct_eq(&given.unwrap_or_default()) & Choice::from(u8::from(given.is_some()));
    }
    let hook = known.filter(|_| bool::from(is_signed))?;
    let signed_ms = moment(&posted.timestamp)?;
    let off = signed_ms.abs_diff(now_ms);
    Some((hook, (off > WINDOW_MS).then_some(off / 1000)))
}

/// Milliseconds since 1970, as digits and nothing else.
fn moment(text: &str) -> Option<u64> {
    text.bytes().all(|octet| octet.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

/// 64 hexadecimal digits.
fn octets(text: &str) -> Option<[u8; 32]> {
    let digit = |octet: &u8| char::from(*octet).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let mut octets = [0; 32];
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if pairs.len() != octets.len() || !rest.is_empty() {
        return None;
    }
    for (octet, [high, low]) in octets.iter_mut().zip(pairs) {
        *octet = digit(high)? << 4 | digit(low)?;
    }
    Some(octets)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_800_000_000_000;

    fn hook(secrets: &[&str]) -> Hook {
        let secrets = secrets.iter().map(|secret| Secret::new((*secret).to_owned())).collect();
        Hook { name: "b".into(), upstream: "bytesend".into(), secrets }
    }

    fn sign(secret: &str, timestamp: &str, body: &[u8]) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
        mac.update(format!("{timestamp}.").as_bytes());
        mac.update(body);
        let hex: String = mac.finalize().into_bytes().iter().map(|octet| format!("{octet:02x}")).collect();
        format!("v1={hex}")
    }

    #[test]
    fn a_signature_is_what_others_make_of_the_same() {
        // printf '1800000000000.{"a":1}' | openssl dgst -sha256 -hmac whsec_sesame_sesame_sesame
        let known = "v1=1cc7c4c300bee613ce31e683485e4aaeeacba114071715e33a3a0a2bb587f072";
        let made = sign("whsec_sesame_sesame_sesame", "1800000000000", b"{\"a\":1}");
        assert_eq!(made, known);
    }

    #[test]
    fn only_what_is_signed_with_one_of_the_secrets_for_now_is_believed() {
        let now = NOW.to_string();
        let posted =
            |timestamp: &str, signature: String| Posted { timestamp: timestamp.into(), signature, ..Posted::default() };
        let is = |secrets: &[&str], posted: &Posted, body: &[u8]| {
            verified(Some(hook(secrets)), posted, body, NOW).map(|found| found.1)
        };
        let right = posted(&now, sign("new", &now, b"{}"));
        assert_eq!(is(&["new"], &right, b"{}"), Some(None));
        assert_eq!(is(&["newer", "new"], &right, b"{}"), Some(None), "while it changes");
        assert_eq!(is(&["newer"], &right, b"{}"), None);
        assert_eq!(is(&["new"], &right, b"{ }"), None);
        assert_eq!(verified(None, &right, b"{}", NOW).map(|found| found.1), None);
        let empty = posted(&now, sign(NOBODY, &now, b"{}"));
        assert!(verified(None, &empty, b"{}", NOW).is_none(), "there is no such hook, whatever is signed with");
        for wrong in ["", "v1=", "v1=00", &right.signature.replace("v1=", "v2="), &format!("{}0", right.signature)] {
            assert_eq!(is(&["new"], &posted(&now, wrong.to_owned()), b"{}"), None, "{wrong}");
        }
        let capitals = format!("v1={}", right.signature.trim_start_matches("v1=").to_uppercase());
        assert_eq!(is(&["new"], &posted(&now, capitals), b"{}"), Some(None));
        for (at, off) in
            [(NOW - 300_000, None), (NOW + 300_000, None), (NOW - 300_001, Some(300)), (NOW + 3_600_000, Some(3600))]
        {
            let at = at.to_string();
            assert_eq!(is(&["new"], &posted(&at, sign("new", &at, b"{}")), b"{}"), Some(off), "{at}");
        }
        for odd in ["", "+1800000000000", "1.8e12", "18000000000000000000000"] {
            assert_eq!(is(&["new"], &posted(odd, sign("new", odd, b"{}")), b"{}"), None, "{odd}");
        }
    }
}
