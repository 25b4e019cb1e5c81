//! What another configuration changes, by its settings: secrets are compared, and never shown.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};
use toml::de::DeTable;

use zeroize::Zeroizing;

use super::{Setting, Text, shown, walk};

/// Characters of a value that are shown: enough for a list of addresses, and bounded, because it goes from process to process.
const VALUE: usize = 200;

/// A setting that is another one, or there in one of the two only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub key: String,
    pub before: Option<String>,
    pub after: Option<String>,
}

/// What is written in a file: of each setting how it is shown, and the digest of what it is.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Written(BTreeMap<String, (String, [u8; 32])>);

impl std::fmt::Debug for Written {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Written({} settings)", self.0.len())
    }
}

impl Written {
    /// Of a file that was understood.
    pub fn of(text: &str) -> Self {
        let (tree, _) = DeTable::parse_recoverable(text);
        let mut all: BTreeMap<String, (String, [u8; 32])> = BTreeMap::new();
        walk(&Text::of(text), "", tree.get_ref(), &mut |Setting { path, value, .. }, written| {
            // Under no key, nothing is masked.
            let digest: [u8; 32] = Sha256::digest(Zeroizing::new(shown(text, "", written)).as_bytes()).into();
            // Two tables without a name of their own can have one path: what stands in either counts.
            all.entry(path)
                .and_modify(|(shown, known)| {
                    *shown = format!("{shown}, {value}");
                    *known = Sha256::digest([*known, digest].concat()).into();
                })
                .or_insert((value, digest));
        });
        Self(all)
    }

    /// Of all of it: two files have one digest when they say the same, whatever their order, spacing and comments.
    pub fn digest(&self) -> [u8; 32] {
        let mut whole = Sha256::new();
        for (key, (_, value)) in &self.0 {
            // A key has no line feed as it stands here, and a value's digest one length.
            whole.update(key.as_bytes());
            whole.update(b"\n");
            whole.update(value);
        }
        whole.finalize().into()
    }

    /// What is different in `after`, by key.
    pub fn changes(&self, after: &Self) -> Vec<Change> {
        let shown = |value: &(String, [u8; 32])| value.0.chars().take(VALUE).collect::<String>();
        let keys = self.0.keys().chain(after.0.keys().filter(|key| !self.0.contains_key(*key)));
        let mut changes: Vec<Change> = keys
            .map(|key| (key, self.0.get(key), after.0.get(key)))
            .filter(|(_, before, after)| before.map(|one| one.1) != after.map(|one| one.1))
            .map(|(key, before, after)| Change { key: key.clone(), before: before.map(shown), after: after.map(shown) })
            .collect();
        changes.sort_by(|a, b| a.key.cmp(&b.key));
        changes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changes(before: &str, after: &str) -> Vec<(String, Option<String>, Option<String>)> {
        let changes = Written::of(before).changes(&Written::of(after));
        changes.into_iter().map(|Change { key, before, after }| (key, before, after)).collect()
    }

    #[test]
    fn what_is_written_otherwise_is_named_and_what_only_stands_elsewhere_is_not() {
        let before =
            "hostname = \"a\"\n[limits]\nidle = \"5m\"\nsessions = 9\n[[listener]]\nname = \"x\"\ntls = \"starttls\"\n";
        let after = "# other lines\n\nhostname   = \"a\"\n[[listener]]\ntls = \"implicit\"\nname = \"x\"\n[limits]\nidle = \"5m\"\nper_address = 3\n";
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(
            changes(before, after),
            [
                ("limits.per_address".to_owned(), None, some("3")),
                ("limits.sessions".to_owned(), some("9"), None),
                ("listener[x].tls".to_owned(), some("\"starttls\""), some("\"implicit\"")),
            ]
        );
        assert!(changes(before, before).is_empty());
        let digest = |text: &str| Written::of(text).digest();
        assert_ne!(digest(before), digest(after));
        assert_eq!(digest(before), digest(&format!("# said of it\n\n{before}")));
    }

    #[test]
    fn another_secret_of_the_same_length_is_a_change_and_is_not_shown() {
        let with = |secret: &str| {
            format!(
                "[[credential]]\nid = \"app\"\nsecrets = [{{ key = \"k\", hash = \"{secret}\" }}]\n[[upstream]]\nname = \"u\"\npassword = \"{secret}\"\n"
            )
        };
        let changes = changes(&with("swordfish"), &with("trombones"));
        assert!(!changes.is_empty());
        assert!(!format!("{changes:?}").contains("fish") && !format!("{changes:?}").contains("bones"), "{changes:?}");
        assert!(changes.iter().any(|(key, ..)| key == "upstream[u].password"), "{changes:?}");
        assert_ne!(Written::of(&with("swordfish")).digest(), Written::of(&with("trombones")).digest());
    }
}
