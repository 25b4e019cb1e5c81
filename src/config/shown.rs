//! Every setting with where it comes from, for an operator who asks: a line of the file, or the default. Secrets are counted, not shown.

pub mod change;
mod defaults;

use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::file::{Config, SECRETS};
use super::findings::Errors;
use super::plan::Plan;

/// The tables of which there can be several, and the key that names one of them.
const NAMED: [(&str, &str); 7] = [
    ("listener", "name"),
    ("credential", "id"),
    ("upstream", "name"),
    ("route", ""),
    ("anchor", "name"),
    ("webhook", "name"),
    ("secrets", "key"),
];
/// A place that is named in the part of a URL that hosts use for passwords, too.
const URLS: [&str; 2] = ["url", "token_url"];
/// Of a program, which may be told a password in them.
const ARGUMENTS: &str = "arguments";

/// Where a value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The line of the file, from 1.
    Line(usize),
    /// Nothing is written, and this holds.
    Default,
    /// Nothing is written, and nothing holds.
    Unset,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// `limits.idle`, or `listener[submission].tls`.
    pub path: String,
    /// As it is written in TOML; of a secret, that it is there.
    pub value: String,
    pub origin: Origin,
}

/// All that a file says, by tables; with `effective`, also what holds that it does not say.
///
/// Errors: everything that is wrong with the file, as a start says it.
pub fn settings(path: &Path, effective: bool) -> Result<Vec<Setting>, Errors> {
    let (text, mode) = super::open(path)?;
    let plan = Config::understand(path, &text, mode)?;
    // It was read a moment ago.
    let (tree, _) = DeTable::parse_recoverable(&text);
    Ok(of(&text, tree.get_ref(), &plan, effective))
}

fn of(text: &str, tree: &DeTable<'_>, plan: &Plan, effective: bool) -> Vec<Setting> {
    let mut found = Vec::new();
    let mut tables = vec![(String::new(), String::new())];
    walk(&Text::of(text), "", tree, &mut |setting, _| found.push(setting));
    if !effective {
        return found;
    }
    for (table, value) in tree.iter() {
        let table = table.get_ref().as_ref();
        if let DeValue::Array(list) = value.get_ref() {
            let names = list.iter().enumerate().map(|(at, one)| (table.to_owned(), element(table, at, one)));
            tables.extend(names);
        }
    }
    tables.extend(defaults::SINGLE.map(|table| (table.to_owned(), format!("{table}."))));
    let mut all = Vec::new();
    for (table, prefix) in tables {
        let own = |setting: &&Setting| match prefix.as_str() {
            "" => !setting.path.contains(['.', '[']),
            prefix => setting.path.starts_with(prefix),
        };
        let written: Vec<Setting> = found.iter().filter(own).cloned().collect();
        let kind =
            written.iter().find(|one| ["protocol", "kind"].iter().any(|key| one.path == format!("{prefix}{key}")));
        let kind = kind.map_or("", |one| one.value.trim_matches('"')).to_owned();
        all.extend(written.iter().cloned());
        for (key, value) in defaults::of(&table, &kind, plan) {
            let path = format!("{prefix}{key}");
            let is_written = written.iter().any(|one| {
                one.path == path
                    || one.path.starts_with(&format!("{path}."))
                    || one.path.starts_with(&format!("{path}["))
            });
            if !is_written {
                let origin = if value.is_some() { Origin::Default } else { Origin::Unset };
                all.push(Setting { path, value: value.unwrap_or_default(), origin });
            }
        }
    }
    all
}

/// The prefix of what stands in one of several tables.
fn element(table: &str, at: usize, value: &Spanned<DeValue<'_>>) -> String {
    let key = NAMED.iter().find(|(name, _)| *name == table).map_or("", |(_, key)| key);
    let name = match value.get_ref() {
        DeValue::Table(one) => one.get(key).and_then(|name| name.get_ref().as_str()).map(str::to_owned),
        _ => None,
    };
    format!("{table}[{}].", name.unwrap_or_else(|| (at + 1).to_string()))
}

/// Gives each setting to `visit`, with what is written there.
fn walk(text: &Text<'_>, prefix: &str, table: &DeTable<'_>, visit: &mut impl FnMut(Setting, &Spanned<DeValue<'_>>)) {
    for (key, value) in table.iter() {
        let key = key.get_ref().as_ref();
        match value.get_ref() {
            DeValue::Table(inner) => walk(text, &format!("{prefix}{key}."), inner, visit),
            DeValue::Array(list) if list.iter().any(|one| one.get_ref().is_table()) => {
                for (at, one) in list.iter().enumerate() {
                    if let DeValue::Table(inner) = one.get_ref() {
                        walk(text, &format!("{prefix}{}", element(key, at, one)), inner, visit);
                    }
                }
            }
            _ => {
                let origin = Origin::Line(text.line(value.span().start));
                let path = format!("{prefix}{key}");
                visit(Setting { path, value: shown(text.text, key, value), origin }, value);
            }
        }
    }
}

/// A value as it is written, unless it is a secret.
fn shown(text: &str, key: &str, value: &Spanned<DeValue<'_>>) -> String {
    let said = value.get_ref().as_str();
    let is_reference = said.is_some_and(|said| ["credential:", "env:"].iter().any(|kind| said.starts_with(kind)));
    let is_secret =
        (key.starts_with("password") || SECRETS.contains(&key) || key == "scram") && !key.ends_with("_file");
    match (value.get_ref(), said) {
        (DeValue::Array(list), _) if key == ARGUMENTS => format!("(set, {} arguments)", list.len()),
        _ if is_secret && !is_reference => format!("(set, {} characters)", said.map_or(0, |said| said.chars().count())),
        (_, Some(said)) if URLS.contains(&key) => match said.split_once('?') {
            Some((before, query)) => format!("{before:?} (and a query, {} characters)", query.chars().count()),
            None => format!("{said:?}"),
        },
        (DeValue::Array(list), _) => {
            let all: Vec<String> = list.iter().map(|one| shown(text, "", one)).collect();
            format!("[{}]", all.join(", "))
        }
        (_, Some(said)) => format!("{said:?}"),
        _ => text.get(value.span()).unwrap_or_default().to_owned(),
    }
}

/// A text, and where its lines end: to read all before each of many settings again would take minutes.
struct Text<'a> {
    text: &'a str,
    ends: Vec<usize>,
}

impl<'a> Text<'a> {
    fn of(text: &'a str) -> Self {
        Self { text, ends: text.match_indices('\n').map(|(at, _)| at).collect() }
    }

    /// The line of an offset, from 1.
    fn line(&self, at: usize) -> usize {
        self.ends.partition_point(|end| *end < at) + 1
    }
}

#[cfg(test)]
mod tests;
