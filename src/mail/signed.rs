//! What the signatures in a header cover: those fields can be neither changed, nor removed, nor added.

use std::collections::BTreeSet;

use super::header::Field;

/// Fields that name what they sign in a tag `h=`: RFC 6376 section 3.5, and RFC 8617 section 4.1.2.
const SIGNATURES: [&str; 2] = ["DKIM-Signature", "ARC-Message-Signature"];

/// The names of the fields that some signature covers, or the absence of which it covers.
#[derive(Debug, Default)]
pub struct Signed(BTreeSet<String>);

impl Signed {
    /// Reads each signature once: there is no limit to how many there are, and no end to what each of them names.
    pub fn of(fields: &[Field<'_>]) -> Self {
        let mut names = BTreeSet::new();
        for field in fields.iter().filter(|field| SIGNATURES.iter().any(|name| field.is(name))) {
            let text = field.text();
            let tags = text.split(';').filter_map(|tag| tag.split_once('='));
            for (_, signed) in tags.filter(|(tag, _)| tag.trim() == "h") {
                names.extend(signed.split(':').map(|name| name.trim().to_ascii_lowercase()));
            }
        }
        Self(names)
    }

    /// Names compare in ASCII, whatever their case.
    pub fn has(&self, name: &str) -> bool {
        self.0.contains(&name.to_ascii_lowercase())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signed(bodies: &[(&'static str, &str)]) -> Signed {
        let wholes: Vec<_> = bodies.iter().map(|(name, body)| (*name, format!("{name}:{body}\r\n"))).collect();
        let fields: Vec<_> = wholes.iter().map(|(name, whole)| Field { name, whole: whole.as_bytes() }).collect();
        Signed::of(&fields)
    }

    #[test]
    fn rule_h5_what_any_signature_covers_is_known_of_dkim_and_of_arc() {
        let signed = signed(&[
            ("dkim-signature", " v=1; bh=date;\r\n h=From:To:\r\n Message-ID; b=x"),
            ("ARC-Message-Signature", " i=1; h = from : X-Foo ; b=y"),
            ("X-Google-DKIM-Signature", " h=subject"),
        ]);
        assert!(["message-id", "FROM", "x-foo", "to"].iter().all(|name| signed.has(name)));
        assert!(!["Date", "Bcc", "Subject", "v"].iter().any(|name| signed.has(name)));
    }
}
