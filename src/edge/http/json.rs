//! JSON as a tree, read strictly: bounded depth and size, no member twice.
//!
//! Structs that refuse unknown members would stop at the first mistake and would not know its place. A tree can be walked
//! to its end, so that the client learns of all mistakes at once. Texts without escapes borrow from the body.

use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;

use serde::Deserializer;
use serde::de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor};

use super::reply::{Code, Fault};

/// Far above the five levels a request needs.
const MAX_DEPTH: u8 = 16;
/// Values in one body: far above a full request (50 recipients, 30 fields, 20 attachments), and no more than some 300 KiB
/// of tree, whatever the body is.
const MAX_VALUES: u32 = 4096;
/// The same for a batch of messages, names of members counted: some 60 for each of 500, and no more than 2 MiB of tree.
const MAX_BATCH_VALUES: u32 = 32_768;
/// Members of one object: far above what any has here, and few enough to be compared with each other.
const MAX_MEMBERS: usize = 256;
/// The longest member name that is repeated to the client.
const MAX_SHOWN: usize = 40;

#[derive(Clone, Debug, PartialEq)]
pub enum Node<'a> {
    Null,
    Bool(bool),
    Number,
    Text(Cow<'a, str>),
    /// An array of numbers from 0 to 255, where those are read as octets.
    Octets(Vec<u8>),
    List(Vec<Node<'a>>),
    Map(Vec<(Cow<'a, str>, Node<'a>)>),
}

impl Node<'_> {
    /// What it is, for messages.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Number => "a number",
            Self::Text(_) => "a string",
            Self::List(_) | Self::Octets(_) => "an array",
            Self::Map(_) => "an object",
        }
    }
}

/// Reads one value that is all of the body.
pub fn parse(body: &[u8]) -> Result<Node<'_>, Fault> {
    read(body, &Tally::new(MAX_VALUES, false))
}

/// The same of a batch of messages.
pub fn parse_batch(body: &[u8]) -> Result<Node<'_>, Fault> {
    read(body, &Tally::new(MAX_BATCH_VALUES, false))
}

/// The same for the dialects: arrays of numbers are octets, as some clients write files, and take an octet each.
pub fn parse_octets(body: &[u8], is_batch: bool) -> Result<Node<'_>, Fault> {
    read(body, &Tally::new(if is_batch { MAX_BATCH_VALUES } else { MAX_VALUES }, true))
}

fn read<'b>(body: &'b [u8], tally: &Tally) -> Result<Node<'b>, Fault> {
    let mut reader = serde_json::Deserializer::from_slice(body);
    Level { depth: 0, tally }
        .deserialize(&mut reader)
        .and_then(|node| reader.end().map(|()| node))
        // serde_json's messages tell what was expected and where. They hold nothing of the body but our own words below.
        .map_err(|error| Fault::new(Code::BadRequest, format!("the body is not the JSON it should be: {error}")))
}

/// A member's name as it may be shown: a short word, or nothing.
pub fn shown(name: &str) -> Option<&str> {
    (name.len() <= MAX_SHOWN && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b))).then_some(name)
}

/// What is counted over the whole body.
#[derive(Debug)]
struct Tally {
    /// Values that there may still be.
    left: Cell<u32>,
    most: u32,
    /// Arrays of small numbers are octets.
    octets: bool,
    /// The number that was read last, if it is one.
    octet: Cell<Option<u8>>,
}

impl Tally {
    const fn new(most: u32, octets: bool) -> Self {
        Self { left: Cell::new(most), most, octets, octet: Cell::new(None) }
    }

    fn count<E: Error>(&self) -> Result<(), E> {
        let left = self.left.get().checked_sub(1);
        self.left.set(left.ok_or_else(|| E::custom(format_args!("more than {} values", self.most)))?);
        Ok(())
    }
}

#[derive(Clone, Copy)]
struct Level<'c> {
    depth: u8,
    tally: &'c Tally,
}

impl Level<'_> {
    fn deeper<E: Error>(self) -> Result<Self, E> {
        if self.depth >= MAX_DEPTH {
            return Err(E::custom(format_args!("nested deeper than {MAX_DEPTH} levels")));
        }
        Ok(Self { depth: self.depth + 1, ..self })
    }
}

impl<'de> DeserializeSeed<'de> for Level<'_> {
    type Value = Node<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node<'de>, D::Error> {
        self.tally.count()?;
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Level<'_> {
    type Value = Node<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<Node<'de>, E> {
        Ok(Node::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Node<'de>, E> {
        Ok(Node::Bool(value))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Node<'de>, E> {
        self.tally.octet.set(u8::try_from(number).ok());
        Ok(Node::Number)
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Node<'de>, E> {
        self.tally.octet.set(None);
        Ok(Node::Number)
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Node<'de>, E> {
        self.tally.octet.set(None);
        Ok(Node::Number)
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Node<'de>, E> {
        Ok(Node::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Node<'de>, E> {
        Ok(Node::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Node<'de>, A::Error> {
        let inner = self.deeper()?;
        let (mut nodes, mut octets) = (Vec::new(), Vec::new());
        while let Some(node) = list.next_element_seed(inner)? {
            let octet = self.tally.octet.take().filter(|_| self.tally.octets && node == Node::Number);
            if let (Some(octet), true) = (octet, nodes.is_empty()) {
                octets.push(octet);
                // It is no node of the tree: the body's length bounds how many there are.
                self.tally.left.set(self.tally.left.get() + 1);
                continue;
            }
            // Something else is among them: they were numbers, each of which counts.
            for _ in octets.drain(..) {
                self.tally.count()?;
                nodes.push(Node::Number);
            }
            nodes.push(node);
        }
        Ok(if octets.is_empty() { Node::List(nodes) } else { Node::Octets(octets) })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node<'de>, A::Error> {
        let inner = self.deeper()?;
        let mut members: Vec<(Cow<'de, str>, Node<'de>)> = Vec::new();
        while let Some(Node::Text(name)) = map.next_key_seed(inner)? {
            // Two parsers may each take another one of them: the proxy's filter and we would read two requests.
            if members.iter().any(|(known, _)| *known == name) {
                let name = shown(&name).unwrap_or("a member");
                return Err(A::Error::custom(format_args!("{name} stands twice in one object")));
            }
            if members.len() == MAX_MEMBERS {
                return Err(A::Error::custom(format_args!("more than {MAX_MEMBERS} members in one object")));
            }
            members.push((name, map.next_value_seed(inner)?));
        }
        Ok(Node::Map(members))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn refused(body: &str) -> String {
        parse(body.as_bytes()).unwrap_err().message
    }

    #[test]
    fn what_is_not_strict_json_is_refused_with_its_place() {
        assert!(refused("{\"to\": }").contains("line 1 column 8"));
        assert!(refused("{\"to\":1} x").contains("trailing characters"));
        assert!(refused("{\"to\":1,\"to\":2}").contains("to stands twice"));
        assert!(refused("{\"a\":{\"\\u0062\":1,\"b\":2}}").contains("b stands twice"));
        assert!(refused("[NaN]").contains("line 1"));
        assert!(refused("\"\\ud800\"").contains("line 1"));
        assert!(refused("").contains("EOF"));
        assert!(parse(b"\"\xff\"").is_err());
        assert!(parse(b"\xef\xbb\xbf{}").is_err());
    }

    #[test]
    fn depth_and_number_of_values_are_bounded() {
        assert!(parse(format!("{}{}", "[".repeat(16), "]".repeat(16)).as_bytes()).is_ok());
        assert!(refused(&"[".repeat(17)).contains("deeper than 16"));
        assert!(refused(&"[".repeat(100_000)).contains("deeper than 16"));
        assert!(refused(&format!("[{}0]", "0,".repeat(5000))).contains("more than 4096 values"));
    }

    #[test]
    fn a_number_that_is_no_octet_is_not_taken_for_the_one_before_it() {
        for body in [r#"{"a":5,"b":[-119,80]}"#, r#"{"a":5,"b":[1.5]}"#, r#"{"a":5,"b":[300,1]}"#, "[[5],[-1,2]]"] {
            let node = parse_octets(body.as_bytes(), false).unwrap();
            assert!(!format!("{node:?}").contains("Octets([5, 80])"), "{body} {node:?}");
            let Node::Map(members) = &node else { continue };
            assert!(matches!(&members[1].1, Node::List(list) if list[0] == Node::Number), "{body} {node:?}");
        }
    }

    #[test]
    fn an_object_has_no_more_members_than_can_be_compared() {
        let of = |count: usize| {
            let members: Vec<String> = (0..count).map(|n| format!("\"{n}\":0")).collect();
            parse(format!("{{{}}}", members.join(",")).as_bytes()).map(|_| ()).map_err(|wrong| wrong.message)
        };
        assert!(of(MAX_MEMBERS).is_ok());
        assert!(of(MAX_MEMBERS + 1).unwrap_err().contains("more than 256 members"));
    }

    #[test]
    fn octets_are_numbers_from_0_to_255_alone_and_count_as_nothing() {
        let many = format!("[{}0]", "255,".repeat(100_000));
        let Node::Octets(octets) = parse_octets(many.as_bytes(), false).unwrap() else { panic!("no octets") };
        assert_eq!((octets.len(), octets.first(), octets.last()), (100_001, Some(&255), Some(&0)));
        for mixed in ["[1,256]", "[1,-1]", "[1,\"a\"]", "[\"a\",1]", "[1,1.5]", "[1,[2]]", "[[2],1]", "[]"] {
            let plain = parse(mixed.as_bytes()).unwrap();
            let (Node::List(plain), Node::List(list)) = (plain, parse_octets(mixed.as_bytes(), false).unwrap()) else {
                panic!("{mixed} is a list")
            };
            assert_eq!(plain.len(), list.len(), "{mixed}");
        }
        assert!(parse_octets(format!("[{}\"\"]", "1,".repeat(5000)).as_bytes(), false).is_err());
        let texts = format!("[{}0]", "\"\",".repeat(5000));
        assert!(parse_octets(texts.as_bytes(), false).unwrap_err().message.contains("more than 4096 values"));
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic_and_errors_repeat_no_long_text(body in prop::collection::vec(any::<u8>(), 0..300)) {
            if let Err(fault) = parse(&body) {
                prop_assert!(fault.message.len() < 200);
            }
        }
    }
}
