//! What can be read of a file whatever else is in it, and what had to be left out for that.

use std::ops::Range;

use serde::Deserialize;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::file::{Config, MOST_REPORTED};

/// What can be read of a file with mistakes, and what can't.
pub struct Salvaged {
    pub config: Config,
    /// Where the line of its first mistake begins that is no TOML: what stands from there on may have been meant otherwise.
    pub broken: Option<usize>,
    /// What was left out.
    pub cuts: Vec<Cut>,
    /// Not even so could it be read.
    pub given_up: bool,
}

/// A key that was left out of the tree.
pub struct Cut {
    pub key: String,
    /// The table at top level that it stands in, somewhere; none for a key of the top level.
    pub table: Option<String>,
    /// Its value is a table, or has a slash in it as a path has.
    has_path: bool,
}

impl Cut {
    /// Whether it may be a key of the top level, misspelled or put in the wrong place, whose value is a path.
    pub fn may_be_a_directory(&self) -> bool {
        self.table.is_none() || self.has_path || self.key.contains("dir")
    }
}

/// Reads as much of a file as can be read, whatever else is in it.
pub fn salvage(text: &str) -> Salvaged {
    let (mut tree, mistakes) = DeTable::parse_recoverable(text);
    let first = mistakes.iter().map(|mistake| mistake.span().unwrap_or_default().start).min();
    let line = |at: usize| text.get(..at).and_then(|before| before.rfind('\n')).map_or(0, |end| end + 1);
    let mut salvaged =
        Salvaged { config: Config::default(), broken: first.map(line), cuts: Vec::new(), given_up: false };
    for _ in 0..MOST_REPORTED {
        let span = match Config::deserialize(toml::Deserializer::from(tree.clone())) {
            Ok(config) => return Salvaged { config, ..salvaged },
            Err(mistake) => mistake.span().unwrap_or_default(),
        };
        let Some(found) = cut(tree.get_mut(), &span) else { break };
        salvaged.cuts.push(found);
    }
    Salvaged { given_up: true, ..salvaged }
}

/// Removes the key that stands at this place, or whose value or list member does, and tells which it was.
pub(super) fn cut(table: &mut DeTable<'_>, span: &Range<usize>) -> Option<Cut> {
    for (name, value) in table.iter_mut() {
        let inner = match value.get_mut() {
            DeValue::Table(table) => cut(table, span),
            DeValue::Array(list) => list.iter_mut().find_map(|member| match member.get_mut() {
                DeValue::Table(table) => cut(table, span),
                _ => None,
            }),
            _ => None,
        };
        if let Some(cut) = inner {
            return Some(Cut { table: Some(name.get_ref().to_string()), ..cut });
        }
    }
    let faulty = |value: &Spanned<DeValue<'_>>| value.span() == *span;
    let (key, value) = table.iter().find(|(key, value)| {
        let member = || value.get_ref().as_array().is_some_and(|list| list.iter().any(faulty));
        key.span() == *span || faulty(value) || member()
    })?;
    let has_path = match value.get_ref() {
        DeValue::Table(_) => true,
        DeValue::String(text) => text.contains('/'),
        _ => false,
    };
    let found = Cut { key: key.get_ref().to_string(), table: None, has_path };
    table.remove(found.key.as_str());
    Some(found)
}
