//! Addresses in other scripts than ASCII: which local parts are taken, and what a domain is called in the DNS.
//!
//! RFC 6531 section 3.3 allows any UTF-8 in a local part. Here it must have one spelling (NFC, RFC 6532 section 3.1) and be
//! seen as what it is: two addresses that look the same are one to a policy, or one of them is no address.

use idna::uts46::{AsciiDenyList, DnsLength, Hyphens, Uts46};
use unicode_normalization::is_nfc;

use super::unseen::has_no_look;

/// Whether a local part can be taken: nothing blank, invisible, or that turns its neighbours around, no private character or
/// none at all; and in the spelling that everybody else has for it.
pub fn is_sound(local: &str) -> bool {
    !local.chars().any(has_no_look) && is_nfc(local)
}

/// A domain with U-labels as the DNS has it (RFC 5891), in lower case; none when it is no domain, or would have to be mapped
/// to become one in more than its case: a full-width letter is not the letter.
pub fn a_labels(domain: &str) -> Option<String> {
    let idna = Uts46::new();
    let ascii = idna.to_ascii(domain.as_bytes(), AsciiDenyList::STD3, Hyphens::Check, DnsLength::Verify).ok()?;
    let (back, sound) = idna.to_unicode(ascii.as_bytes(), AsciiDenyList::STD3, Hyphens::Check);
    (sound.is_ok() && back == domain.to_lowercase()).then(|| ascii.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rule_x4_a_domain_has_one_name_and_nothing_is_mapped_to_another() {
        for (given, name) in [
            ("bücher.example", "xn--bcher-kva.example"),
            ("Bücher.Example", "xn--bcher-kva.example"),
            ("straße.example", "xn--strae-oqa.example"),
            ("例え.テスト", "xn--r8jz45g.xn--zckzah"),
            ("مثال.example", "xn--mgbh0fb.example"),
        ] {
            assert_eq!(a_labels(given).as_deref(), Some(name), "{given}");
        }
        // Full width, a decomposed letter, an ideographic full stop, a soft hyphen, a mix of directions, fake punycode.
        for bad in [
            "ｅxample.net",
            "bu\u{308}cher.example",
            "bücher。example",
            "bü\u{ad}cher.example",
            "אa.example",
            "bücher..example",
            "bücher.example.",
            "-bücher.example",
            "bü cher.example",
            "bü_cher.example",
            "xn--a.bücher",
            "☃\u{fe0f}.example",
        ] {
            assert_eq!(a_labels(bad), None, "{bad}");
        }
    }

    #[test]
    fn rule_x3_a_local_part_is_seen_as_what_it_is() {
        for good in ["jörg", "用户", "δοκιμή", "पता", "ваня.петров", "ß", "Ö"] {
            assert!(is_sound(good), "{good}");
        }
        for bad in [
            "jo\u{308}rg",
            "a\u{80}",
            "a\u{85}b",
            "a\u{a0}b",
            "a\u{200b}b",
            "a\u{202e}b",
            "a\u{2066}b",
            "a\u{2028}b",
            "a\u{3000}b",
            "\u{feff}a",
            "a\u{e0041}",
            "\u{e000}",
            "\u{fffd}",
            "\u{fdd0}",
            "\u{1fffe}",
        ] {
            assert!(!is_sound(bad), "{bad:?}");
        }
    }
}
