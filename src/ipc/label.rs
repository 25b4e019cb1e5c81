//! What a client says of a message beside the message: it is never sent, and told to whoever asks what became of it.

use serde::{Deserialize, Serialize};

/// Tags of one message.
pub const MOST_TAGS: usize = 10;
/// Characters of a tag's name and of its value; and of the one tag of a Postmark client, which is free text.
pub const MOST_TAG: usize = 256;
pub const MOST_FREE_TAG: usize = 1000;
/// Members of the metadata, characters of their names, and octets of all of it as JSON: with all tags beside it, it still fits into
/// the frames that tell of a message, and into what webhooks are told.
pub const MOST_MEMBERS: usize = 50;
pub const MOST_NAME: usize = 64;
pub const MOST_METADATA: usize = 4096;
/// Octets of all tags together.
const MOST_TAGGED: usize = 2 * MOST_TAG * MOST_TAGS;
/// Octets of a Message-ID, and characters of a subject.
const MOST_ID: usize = 255;
const MOST_SUBJECT: usize = 255;
/// The longest character in octets.
const WIDEST: usize = 4;
/// What a tag or a member is counted with beside its texts.
const ROW: usize = 8;

/// By which API a message came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dialect {
    #[default]
    V1,
    Send,
    Resend,
    Postmark,
    Usesend,
}

impl Dialect {
    pub const fn word(self) -> &'static str {
        match self {
            Self::V1 => "v1",
            Self::Send => "send",
            Self::Resend => "resend",
            Self::Postmark => "postmark",
            Self::Usesend => "usesend",
        }
    }
}

/// A tag: a name alone, or with a value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tag {
    pub name: String,
    pub value: Option<String>,
}

impl Tag {
    /// Whether that is what somebody looks for: the name, or the name, a colon and the value.
    pub fn is(&self, wanted: &str) -> bool {
        let rest = wanted.strip_prefix(&self.name);
        rest.is_some_and(|rest| {
            rest.is_empty() || rest.strip_prefix(':').is_some_and(|it| Some(it) == self.value.as_deref())
        })
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Label {
    pub dialect: Dialect,
    pub tags: Vec<Tag>,
    /// Names and values, in the order of the request.
    pub metadata: Vec<(String, String)>,
    /// Without its brackets. None: it has none that could be told.
    pub message_id: Option<String>,
    /// Kept, and told, where addresses are told whole.
    pub subject: Option<String>,
    /// How many of its recipients stood in To, and behind them in Cc. None: that isn't known.
    pub shown: Option<(u32, u32)>,
}

impl Label {
    /// Octets that it takes in a frame, and a little more.
    pub fn octets(&self) -> usize {
        let tags: usize =
            self.tags.iter().map(|tag| ROW + tag.name.len() + tag.value.iter().map(String::len).sum::<usize>()).sum();
        let metadata: usize = self.metadata.iter().map(|(name, value)| ROW + name.len() + value.len()).sum();
        let texts: usize = self.message_id.iter().chain(&self.subject).map(String::len).sum();
        4 * ROW + tags + metadata + texts
    }

    /// Whether it is as an edge may say it.
    pub fn is_sound(&self) -> bool {
        let Self { dialect: _, tags, metadata, message_id, subject, shown: _ } = self;
        let plain = |text: &str| !text.is_empty() && !text.chars().any(char::is_control);
        let tagged: usize =
            tags.iter().map(|tag| tag.name.len() + tag.value.iter().map(String::len).sum::<usize>()).sum();
        let has_sound_tags = tags.len() <= MOST_TAGS
            && tagged <= MOST_TAGGED
            && tags.iter().all(|tag| plain(&tag.name) && tag.value.as_deref().is_none_or(plain));
        let has_sound_metadata = metadata.len() <= MOST_MEMBERS
            && metadata.iter().all(|(name, _)| plain(name) && name.chars().count() <= MOST_NAME)
            && self.metadata_octets() <= MOST_METADATA;
        has_sound_tags
            && has_sound_metadata
            && message_id.as_deref().is_none_or(|id| plain(id) && id.len() <= MOST_ID)
            && subject.as_deref().is_none_or(|text| plain(text) && text.len() <= WIDEST * MOST_SUBJECT)
    }

    /// How long the metadata are as JSON: braces, quotes, colons and commas with them.
    pub fn metadata_octets(&self) -> usize {
        let members: usize = self.metadata.iter().map(|(name, value)| 6 + escaped(name) + escaped(value)).sum();
        members + usize::from(!self.metadata.is_empty())
    }
}

/// Octets of a text inside quotes (RFC 8259 section 7).
fn escaped(text: &str) -> usize {
    let octets = |octet: u8| match octet {
        b'"' | b'\\' | b'\n' | b'\r' | b'\t' | 0x08 | 0x0c => 2,
        0..=0x1f => 6,
        _ => 1,
    };
    text.bytes().map(octets).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tag(name: &str, value: Option<&str>) -> Tag {
        Tag { name: name.into(), value: value.map(str::to_owned) }
    }

    #[test]
    fn a_tag_is_found_by_its_name_and_by_both() {
        let with = tag("order", Some("17"));
        assert!(with.is("order") && with.is("order:17"));
        assert!(
            !with.is("order:1") && !with.is("order:") && !with.is("ord") && !with.is("17") && !with.is("order:17:")
        );
        let alone = tag("a:b", None);
        assert!(alone.is("a:b") && !alone.is("a") && !alone.is("a:b:"));
    }

    #[test]
    fn what_an_edge_may_not_say_is_not_sound() {
        let label = |change: fn(&mut Label)| {
            let mut label = Label::default();
            change(&mut label);
            label.is_sound()
        };
        assert!(label(|_| {}));
        assert!(label(|it| it.tags = vec![tag(&"x".repeat(256), Some(&"y".repeat(256))); 10]));
        assert!(label(|it| it.tags = vec![tag(&"\u{e4}".repeat(1000), None)]));
        assert!(!label(|it| it.tags = vec![tag("x", None); 11]));
        assert!(!label(|it| it.tags = vec![tag(&"x".repeat(5121), None)]));
        assert!(!label(|it| it.tags = vec![tag("", None)]));
        assert!(!label(|it| it.tags = vec![tag("a\nb", None)]));
        assert!(label(|it| it.metadata = vec![("a".into(), "x".repeat(4088))]));
        assert!(!label(|it| it.metadata = vec![("a".into(), "x".repeat(4089))]));
        // As JSON: what is written with more signs takes more.
        assert!(!label(|it| it.metadata = vec![("a".into(), "\n".repeat(2045))]));
        assert!(!label(|it| it.metadata = vec![("a\0".into(), String::new())]));
        assert!(!label(|it| it.subject = Some("x".repeat(1021))));
        assert!(!label(|it| it.message_id = Some("x".repeat(256))));
    }

    #[test]
    fn the_longest_label_leaves_room_in_a_frame() {
        let label = Label {
            tags: vec![tag(&"x".repeat(256), Some(&"y".repeat(256))); 10],
            metadata: vec![("a".into(), "x".repeat(4088))],
            message_id: Some("x".repeat(255)),
            subject: Some("x".repeat(1020)),
            ..Label::default()
        };
        let octets = crate::ipc::frame::encode(&label).unwrap().len();
        assert!(label.is_sound() && octets <= label.octets() && label.octets() < crate::ipc::inquiry::MOST_OCTETS);
    }
}
