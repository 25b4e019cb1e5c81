//! What the program logs has a name, and stands in docs/logs.md with its level and fields.

use std::collections::BTreeMap;
use std::fs;

use gatepost::log::names;

use crate::source::root;

/// An event as it is logged somewhere: its text, level and fields.
struct Said {
    text: String,
    level: &'static str,
    fields: Vec<String>,
}

/// The octets within the brackets that were opened before, and not what stands in quotes.
fn within(rest: &str) -> &str {
    let (mut depth, mut quoted, mut escaped) = (1, false, false);
    for (at, octet) in rest.bytes().enumerate() {
        match octet {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'(' | b'[' | b'{' if !quoted => depth += 1,
            b')' | b']' | b'}' if !quoted => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return &rest[..at];
        }
    }
    panic!("no end: {rest}")
}

/// What stands between the commas of one level.
fn parts(inner: &str) -> Vec<String> {
    let (mut parts, mut depth, mut quoted, mut escaped) = (vec![String::new()], 0, false, false);
    for c in inner.chars() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '(' | '[' | '{' if !quoted => depth += 1,
            ')' | ']' | '}' if !quoted => depth -= 1,
            ',' if !quoted && depth == 0 => {
                parts.push(String::new());
                continue;
            }
            _ => {}
        }
        parts.last_mut().unwrap().push(c);
    }
    parts.into_iter().map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()).collect()
}

fn said() -> Vec<Said> {
    let mut found = Vec::new();
    for path in crate::source::files("src", &[".rs"]) {
        let below = path.strip_prefix(root()).unwrap().to_string_lossy().into_owned();
        if below.contains("tests") || below.starts_with("src/log") {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        let text = text.split("\nmod tests {").next().unwrap();
        for level in ["error", "warn", "info"] {
            for rest in text.split(&format!("tracing::{level}!(")).skip(1) {
                let parts = parts(within(rest));
                let at =
                    parts.iter().position(|part| part.starts_with('"')).unwrap_or_else(|| panic!("{below}: {parts:?}"));
                let words = parts[at].trim_matches('"').replace("\\\"", "\"");
                let words: Vec<&str> = words.split("\\\n").map(str::trim_start).collect();
                let fields = parts[..at].iter().map(|part| {
                    let name = part.split('=').next().unwrap().trim().trim_start_matches(['%', '?']);
                    name.rsplit('.').next().unwrap().to_owned()
                });
                found.push(Said { text: words.concat(), level, fields: fields.collect() });
            }
        }
    }
    assert!(found.len() > 200, "the lines were not found");
    found
}

#[test]
fn every_event_has_a_name_and_stands_on_the_page_with_its_fields() {
    let page = fs::read_to_string(root().join("docs/logs.md")).unwrap();
    let mut events: BTreeMap<&str, (Vec<&str>, String, Vec<String>)> = BTreeMap::new();
    let mut nameless = Vec::new();
    // A head has no other words than its own.
    for said in said().into_iter().filter(|said| !said.text.starts_with('{')) {
        let name = names::of(&said.text);
        if name == names::OTHER {
            nameless.push(said.text);
            continue;
        }
        let (levels, text, fields) = events.entry(name).or_default();
        if !levels.contains(&said.level) {
            levels.push(said.level);
        }
        *text = said.text;
        fields.extend(said.fields.into_iter().filter(|field| !fields.contains(field)).collect::<Vec<_>>());
    }
    assert!(
        said()
            .iter()
            .filter(|said| said.text.starts_with('{'))
            .all(|said| said.text == "{line}" && said.fields.is_empty())
    );
    assert_eq!(names::of_line(&format!("INFO {}gate.example 1 x y", gatepost::merkle::anchor::MARK)), "audit.head");
    for name in names::SPOKEN.map(|(name, _)| name).into_iter().chain([names::DEAD, names::OTHER]) {
        assert!(page.contains(&format!("`{name}`")), "docs/logs.md says nothing of {name}");
    }
    assert!(nameless.is_empty(), "not in src/log/names.rs: {nameless:#?}");
    let unused: Vec<&str> =
        names::NAMES.iter().map(|(name, _)| *name).filter(|name| !events.contains_key(name)).collect();
    assert!(unused.is_empty(), "src/log/names.rs names what nobody says: {unused:?}");
    let mut rows: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for line in page.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        let fields =
            cells.get(3).unwrap_or(&"").split(", ").map(|field| field.trim_matches(['`', ' ', '|']).to_owned());
        let mut row: Vec<String> = fields.filter(|field| !field.is_empty()).collect();
        row.sort();
        row.extend([cells[1].to_owned(), cells[2].to_owned()]);
        assert!(rows.insert(cells[0].trim_matches('`'), row).is_none(), "twice: {line}");
    }
    let mut wrong = Vec::new();
    for (name, (levels, text, mut fields)) in events {
        let level =
            ["error", "warn", "info"].into_iter().filter(|level| levels.contains(level)).collect::<Vec<_>>().join("/");
        fields.sort();
        let listed = fields.iter().map(|field| format!("`{field}`")).collect::<Vec<_>>().join(", ");
        let line = format!("| `{name}` | {level} | {text} | {listed} |");
        fields.extend([level, text]);
        if rows.remove(name) != Some(fields) {
            wrong.push(line);
        }
    }
    assert!(wrong.is_empty(), "docs/logs.md should say: {wrong:#?}");
    assert!(rows.is_empty(), "docs/logs.md has events that there are not: {:?}", rows.keys());
}
