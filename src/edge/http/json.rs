//! JSON as a tree, read strictly: bounded depth and size, no member twice.
//!
//! Structs that refuse unknown members would stop at the first mistake and would not know its place. A tree can be walked
//! to its end, so that the client learns of all mistakes at once. Texts without escapes borrow from the body.

use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserializer, de};

use super::reply::{Code, Fault};

/// Far above the five levels a request needs.
const MAX_DEPTH: u8 = 16;
/// Values in one body: far above a full request (50 recipients, 30 fields, 20 attachments), and no more than some 300 KiB
/// of tree, whatever the body is.
const MAX_VALUES: u32 = 4096;
/// The longest member name that is repeated to the client.
const MAX_SHOWN: usize = 40;

#[derive(Clone, Debug, PartialEq)]
pub enum Node<'a> {
    Null,
    Bool,
    Number,
    Text(Cow<'a, str>),
    List(Vec<Node<'a>>),
    Map(Vec<(Cow<'a, str>, Node<'a>)>),
}

impl Node<'_> {
    /// What it is, for messages.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool => "a boolean",
            Self::Number => "a number",
            Self::Text(_) => "a string",
            Self::List(_) => "an array",
            Self::Map(_) => "an object",
        }
    }
}

/// Reads one value that is all of the body.
pub fn parse(body: &[u8]) -> Result<Node<'_>, Fault> {
    let values = Cell::new(0);
    let mut reader = serde_json::Deserializer::from_slice(body);
    Level { depth: 0, values: &values }
        .deserialize(&mut reader)
        .and_then(|node| reader.end().map(|()| node))
        // serde_json's messages tell what was expected and where. They hold nothing of the body but our own words below.
        .map_err(|error| Fault::new(Code::BadRequest, format!("the body is not the JSON it should be: {error}")))
}

/// A member's name as it may be shown: a short word, or nothing.
pub fn shown(name: &str) -> Option<&str> {
    (name.len() <= MAX_SHOWN && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b))).then_some(name)
}

#[derive(Clone, Copy)]
struct Level<'c> {
    depth: u8,
    values: &'c Cell<u32>,
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
        self.values.set(self.values.get() + 1);
        if self.values.get() > MAX_VALUES {
            return Err(de::Error::custom(format_args!("more than {MAX_VALUES} values")));
        }
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

    fn visit_bool<E: Error>(self, _: bool) -> Result<Node<'de>, E> {
        Ok(Node::Bool)
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Node<'de>, E> {
        Ok(Node::Number)
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Node<'de>, E> {
        Ok(Node::Number)
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Node<'de>, E> {
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
        let mut nodes = Vec::new();
        while let Some(node) = list.next_element_seed(inner)? {
            nodes.push(node);
        }
        Ok(Node::List(nodes))
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

    proptest! {
        #[test]
        fn nothing_makes_it_panic_and_errors_repeat_no_long_text(body in prop::collection::vec(any::<u8>(), 0..300)) {
            if let Err(fault) = parse(&body) {
                prop_assert!(fault.message.len() < 200);
            }
        }
    }
}
