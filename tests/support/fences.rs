//! The blocks of code in a page, each with the mark above it.

use std::path::{Path, PathBuf};

/// What a mark begins with: a comment that readers of the page don't see, with the reason behind it.
const MARK: &str = "<!-- not run: ";

/// A block of code.
pub struct Fence {
    /// The line its fence is on, from 1.
    pub line: usize,
    /// The word behind the fence.
    pub word: String,
    /// The heading of the second level that it stands under.
    pub heading: String,
    /// Without the indentation of the fence.
    pub text: String,
    /// Why no test types it.
    pub mark: Option<String>,
}

impl Fence {
    /// Whether it is there to be typed.
    pub fn is_typed(&self) -> bool {
        ["sh", "bash", "shell", "console", "powershell", "sql", "bat"].contains(&self.word.as_str())
    }
}

/// All of a page. A mark is of the block behind it, with nothing between but empty lines.
pub fn fences(page: &str) -> Vec<Fence> {
    let (mut found, mut mark, mut heading): (Vec<Fence>, Option<String>, _) = (Vec::new(), None, String::new());
    let mut indent = None;
    for (at, line) in page.lines().enumerate() {
        let bare = line.trim_start();
        match (indent, bare.strip_prefix("```")) {
            (None, Some(word)) => {
                indent = Some(line.len() - bare.len());
                let (word, heading, mark) = (word.to_owned(), heading.clone(), mark.take());
                found.push(Fence { line: at + 1, word, heading, text: String::new(), mark });
            }
            (Some(_), Some("")) => indent = None,
            (Some(indent), _) => {
                found.last_mut().unwrap().text += &format!("{}\n", line.get(indent..).unwrap_or_default());
            }
            (None, None) if bare.starts_with(MARK) => {
                let reason = bare[MARK.len()..].strip_suffix(" -->");
                mark = Some(reason.unwrap_or_else(|| panic!("a mark is one line: {line}")).to_owned());
            }
            (None, None) => {
                if let Some(words) = line.strip_prefix("## ") {
                    words.clone_into(&mut heading);
                }
                if !bare.is_empty() {
                    assert!(mark.is_none(), "a mark without a block: {mark:?}");
                }
            }
        }
    }
    assert!(indent.is_none(), "a block of code has no end");
    assert!(mark.is_none(), "a mark without a block: {mark:?}");
    found
}

pub fn root() -> PathBuf {
    std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it").into()
}

/// The names of all pages: those under `docs/`, and those at the top that say how something is done.
pub fn pages() -> Vec<String> {
    fn below(folder: &Path) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        entries.flat_map(|path| if path.is_dir() { below(&path) } else { vec![path] }).collect()
    }
    let root = root();
    let docs = below(&root.join("docs")).into_iter().filter(|path| path.extension().is_some_and(|word| word == "md"));
    let top = ["README.md", "SECURITY.md"].map(|name| root.join(name));
    let mut names: Vec<String> =
        docs.chain(top).map(|path| path.strip_prefix(&root).unwrap().display().to_string()).collect();
    names.sort();
    names
}
