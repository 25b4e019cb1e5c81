//! The source as these tests see it.

use std::fs;
use std::path::PathBuf;

pub fn root() -> PathBuf {
    std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it").into()
}

/// One source file: its path from `src/` on, its text, and its code without comments and unit tests.
pub struct Source {
    pub path: String,
    pub text: String,
    pub code: String,
}

impl Source {
    /// The module of the first level it belongs to.
    pub fn room(&self) -> &str {
        let first = self.path.split('/').next().unwrap();
        first.strip_suffix(".rs").unwrap_or(first)
    }

    /// Compiled for tests alone, or for them and for fuzzing.
    pub fn is_test(&self) -> bool {
        self.path.ends_with("/tests.rs") || self.path.contains("/tests/") || self.is_below("fuzzing")
    }

    pub fn is_below(&self, prefix: &str) -> bool {
        let rest = self.path.strip_prefix(prefix);
        rest.is_some_and(|rest| rest.is_empty() || rest == ".rs" || rest.starts_with('/'))
    }

    /// Whether the code has this word, not as the end of a longer name or path.
    pub fn has(&self, word: &str) -> bool {
        let inner = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
        self.code.match_indices(word).any(|(at, _)| !self.code[..at].ends_with(inner))
    }

    /// Whether the code has this text, be it in a longer path or in pieces in a `use` tree.
    pub fn calls(&self, call: &str) -> bool {
        let outside = || self.paths("std::").into_iter().chain(self.paths("tokio::"));
        self.code.contains(call) || outside().any(|path| path.contains(call))
    }

    /// Every path into our own crate, with `use` trees taken apart: `ipc::control::Order`.
    pub fn names(&self) -> Vec<String> {
        let mut names = self.paths("crate::");
        if self.path.matches('/').count() == usize::from(self.path.ends_with("/mod.rs")) {
            names.extend(self.paths("super::"));
        }
        names
    }

    /// What follows this start of a path.
    fn paths(&self, start: &str) -> Vec<String> {
        let mut paths = Vec::new();
        for (at, _) in self.code.match_indices(start) {
            if !self.code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':') {
                take_tree(&self.code[at + start.len()..], "", &mut paths);
            }
        }
        paths
    }
}

/// Reads one use tree and returns what follows it.
fn take_tree<'a>(text: &'a str, prefix: &str, names: &mut Vec<String>) -> &'a str {
    let mut rest = text.trim_start();
    let mut path = prefix.to_owned();
    loop {
        if let Some(mut inner) = rest.strip_prefix('{') {
            while !inner.trim_start().starts_with('}') {
                inner = take_tree(inner, &path, names).trim_start().trim_start_matches(',');
            }
            return &inner.trim_start()[1..];
        }
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        if end == 0 {
            // `*`, or something this reader does not know: step over it.
            names.push(path.trim_end_matches("::").to_owned());
            return rest.get(1..).unwrap_or_default();
        }
        path.push_str(&rest[..end]);
        rest = &rest[end..];
        match rest.strip_prefix("::") {
            Some(more) => {
                path.push_str("::");
                rest = more;
            }
            None => {
                names.push(path);
                let rest = rest.trim_start();
                return rest.strip_prefix("as ").map_or(rest, |alias| {
                    alias.trim_start().trim_start_matches(|c: char| c.is_alphanumeric() || c == '_')
                });
            }
        }
    }
}

/// Every file of ours with one of these endings, by its path from the root.
pub fn files(under: &str, endings: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![root().join(under)];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(&directory).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if endings.iter().any(|ending| path.to_str().unwrap().ends_with(ending)) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// Everything under `src/`.
pub fn sources() -> Vec<Source> {
    let sources: Vec<Source> = files("src", &[".rs"])
        .into_iter()
        .map(|path| {
            let text = fs::read_to_string(&path).unwrap();
            let path = path.strip_prefix(root().join("src")).unwrap().to_str().unwrap().to_owned();
            Source { path, code: code(&text), text }
        })
        .collect();
    assert!(sources.len() > 20, "the source was not found");
    sources
}

fn code(text: &str) -> String {
    // Unit tests come last, below `mod tests {` or `pub mod tests {`.
    let tests = text.match_indices("#[cfg(test)]").find(|(at, _)| {
        let mut below = text[*at..].lines().skip(1).skip_while(|line| line.starts_with('#') || line.starts_with("//"));
        below.next().is_some_and(|line| line.ends_with("mod tests {"))
    });
    let lines =
        text[..tests.map_or(text.len(), |(at, _)| at)].lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.map(|line| line.split(" // ").next().unwrap().to_owned() + "\n").collect()
}

#[test]
fn the_reader_of_these_tests_takes_use_trees_apart() {
    let text = "use crate::ipc::{self, control::{Order, Report as R}, frame::*};\nlet x = crate::vault::open();\n\
                // crate::comment\n#[cfg(test)]\nmod tests {\n use crate::edge;\n";
    let source = Source { path: "a/b.rs".into(), text: text.into(), code: code(text) };
    let names = ["ipc::self", "ipc::control::Order", "ipc::control::Report", "ipc::frame", "vault::open"];
    assert_eq!(source.names(), names);
    assert!(source.has("crate::vault") && !source.has("vault::open") && !source.has("comment"));
}
