//! Claim: what the documents show can be done as it is shown. Links lead somewhere, configurations load, commands and their
//! options exist, and each test that a page names as its witness is there.

#[path = "support/commands.rs"]
mod commands;
#[path = "support/shell.rs"]
mod shell;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use gatepost::config::Config;
use shell::calls;

fn root() -> PathBuf {
    std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it").into()
}

/// All files below a folder with this ending.
fn below(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let (folders, files): (Vec<_>, Vec<_>) = entries.map(|entry| entry.unwrap().path()).partition(|path| path.is_dir());
    let inner = folders.iter().flat_map(|folder| below(folder, ending));
    files.into_iter().filter(|path| path.extension().is_some_and(|found| found == ending)).chain(inner).collect()
}

/// The pages for whoever runs it, by their paths. What changed once speaks of commands of its time.
fn pages() -> Vec<(String, String)> {
    let top = ["README.md", "SECURITY.md"].map(|name| root().join(name));
    let pages: Vec<_> = below(&root().join("docs"), "md")
        .into_iter()
        .chain(top)
        .map(|path| {
            let name = path.strip_prefix(root()).unwrap().display().to_string();
            (name, fs::read_to_string(&path).unwrap())
        })
        .collect();
    assert!(pages.len() > 20, "the pages were not found");
    pages
}

/// The blocks of code of a page with the word behind their fence, each line without the indentation of the fence; and all
/// else, line by line.
fn taken_apart(page: &str) -> (Vec<(String, String)>, Vec<&str>) {
    let (mut blocks, mut prose) = (Vec::new(), Vec::new());
    let mut open: Option<(usize, String, String)> = None;
    for line in page.lines() {
        let fence = line.trim_start().strip_prefix("```");
        open = match (open.take(), fence) {
            (None, Some(word)) => Some((line.len() - line.trim_start().len(), word.to_owned(), String::new())),
            (None, None) => {
                prose.push(line);
                None
            }
            (Some((_, word, block)), Some("")) => {
                blocks.push((word, block));
                None
            }
            (Some((indent, word, block)), _) => Some((indent, word, block + line.get(indent..).unwrap_or("") + "\n")),
        };
    }
    assert!(open.is_none(), "a block of code has no end: {open:?}");
    (blocks, prose)
}

/// What stands in single backquotes.
fn quoted<'a>(prose: &[&'a str]) -> Vec<&'a str> {
    prose.iter().flat_map(|line| line.split('`').skip(1).step_by(2)).collect()
}

/// A heading as a link names it, in the way of the sites that show these pages.
fn anchor(heading: &str) -> String {
    let kept = heading.to_lowercase().chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c)).collect::<String>();
    kept.trim().replace(' ', "-")
}

#[test]
fn every_link_leads_to_a_file_and_to_a_heading_in_it() {
    let pages: BTreeMap<PathBuf, String> = pages().into_iter().map(|(name, text)| (root().join(name), text)).collect();
    let anchors = |path: &Path| -> Option<Vec<String>> {
        let (_, prose) = taken_apart(pages.get(&path.canonicalize().ok()?)?);
        let headings = prose.iter().filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#'));
        Some(headings.map(|heading| anchor(heading.trim())).collect())
    };
    let (mut wrong, mut found) = (Vec::new(), 0);
    for (path, text) in &pages {
        let (_, prose) = taken_apart(text);
        let targets = prose.iter().flat_map(|line| line.split("](").skip(1)).filter_map(|rest| rest.split(')').next());
        for target in targets.filter(|target| !target.contains("://")) {
            found += 1;
            let (file, heading) = target.split_once('#').unwrap_or((target, ""));
            let to = if file.is_empty() { path.clone() } else { path.parent().unwrap().join(file) };
            let leads =
                to.exists() && (heading.is_empty() || anchors(&to).is_some_and(|all| all.iter().any(|a| a == heading)));
            if !leads {
                wrong.push(format!("{}: {target}", path.strip_prefix(root()).unwrap().display()));
            }
        }
    }
    assert!(found > 100, "the links were not found");
    assert!(wrong.is_empty(), "these lead nowhere: {wrong:#?}");
}

/// The mistakes of a configuration, as a file of which only its owner can read anything.
fn mistakes(text: &str) -> String {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("gatepost.toml");
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    Config::load(&path).map_or_else(|errors| errors.to_string(), |_| String::new())
}

/// A configuration that a page has its reader write into `gatepost.toml` by a shell, whole.
fn written(blocks: &[(String, String)]) -> Option<String> {
    let shells = blocks.iter().filter(|(word, _)| word == "sh");
    let parts = shells.flat_map(|(_, block)| block.split("gatepost.toml <<END\n").skip(1));
    let text: String =
        parts.filter_map(|rest| Some(rest.split_once("END\n")?.0.replace("$PWD", "/srv/gate"))).collect();
    (!text.is_empty()).then_some(text)
}

/// A block that has `version` is a whole configuration and loads. A block of tables is a part of one, and has no key that
/// there isn't. What is neither is a few keys of a table that the text names.
#[test]
fn configurations_load_and_their_parts_have_keys_that_there_are() {
    let (mut whole, mut parts, mut wrong) = (0, 0, Vec::new());
    for (name, text) in pages() {
        let mut blocks = taken_apart(&text).0;
        blocks.extend(written(&blocks).map(|text| ("toml".to_owned(), text)));
        for (word, block) in blocks {
            let first = block.lines().find(|line| !line.is_empty() && !line.starts_with('#')).unwrap_or_default();
            let found = match (word.as_str(), block.contains("version = 1"), first.starts_with('[')) {
                ("toml", true, _) => {
                    whole += 1;
                    mistakes(&block)
                }
                ("toml", false, true) => {
                    parts += 1;
                    let all = mistakes(&format!("version = 1\nhostname = \"gate.example.net\"\n{block}"));
                    all.lines().filter(|line| line.contains("unknown key") || line.contains("TOML")).collect()
                }
                _ => String::new(),
            };
            if !found.is_empty() {
                wrong.push(format!("{name}: {found}\n{block}"));
            }
        }
    }
    assert!(whole > 4 && parts > 12, "the configurations were not found: {whole}, {parts}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What the manual pages show as it is typed, by page.
fn typed() -> Vec<(String, String)> {
    let typed = |text: &str| {
        let mut is_open = false;
        let mut lines = Vec::new();
        for line in text.lines() {
            match line.strip_prefix(".Dl ") {
                Some(shown) => lines.push(shown),
                None if line.starts_with(".Bd -literal") => is_open = true,
                None if line == ".Ed" => is_open = false,
                None if is_open => lines.push(line),
                None => {}
            }
        }
        lines.join("\n").replace("\\e", "\\").replace("\\-", "-")
    };
    let pages = ["gatepost.8", "gatepost-audit.8", "gatepost-sendmail.8", "gatepost.toml.5"]
        .map(|name| format!("docs/man/{name}"));
    pages.map(|name| (name.clone(), typed(&fs::read_to_string(root().join(&name)).unwrap()))).to_vec()
}

/// What the program's own command line says against a call that is shown to be typed as it is.
fn misunderstood(name: &str, words: &[String]) -> Option<String> {
    let error = gatepost::cli::understand(words).err().filter(|_| !words.is_empty())?;
    Some(format!("{name}: `gatepost {}`: {error}", words.join(" ")))
}

#[test]
fn each_command_that_is_shown_is_one_and_has_its_options() {
    let mut known: BTreeMap<Vec<String>, Option<String>> = BTreeMap::new();
    let (mut found, mut wrong, mut all) = (0, Vec::new(), Vec::new());
    for (name, text) in pages() {
        let (blocks, prose) = taken_apart(&text);
        let shells = ["sh", "console", "text", ""];
        let shown = blocks.iter().filter(|(word, _)| shells.contains(&word.as_str())).map(|(_, block)| block.as_str());
        let shown: Vec<_> = shown.flat_map(calls).collect();
        wrong.extend(shown.iter().filter_map(|words| misunderstood(&name, words)));
        all.push((name, [shown, quoted(&prose).into_iter().flat_map(calls).collect()].concat()));
    }
    for (name, text) in typed() {
        let shown = calls(&text);
        wrong.extend(shown.iter().filter_map(|words| misunderstood(&name, words)));
        assert!(!name.contains("t.8") || shown.len() > 4, "{name}: the commands were not found");
        all.push((name, shown));
    }
    for (name, shown) in all {
        for words in shown {
            let mut command = Vec::new();
            let mut help = known.entry(Vec::new()).or_insert_with(|| commands::help(&[])).clone().unwrap();
            let mut rest = words.iter().peekable();
            while let Some(word) =
                rest.next_if(|word| !word.starts_with('-') && commands::commands(&help).next().is_some())
            {
                command.push(word.clone());
                match known.entry(command.clone()).or_insert_with(|| commands::help(&command)) {
                    Some(text) => help = text.clone(),
                    None => {
                        wrong.push(format!("{name}: there is no `gatepost {}`", command.join(" ")));
                        break;
                    }
                }
            }
            found += 1;
            let asked =
                rest.filter_map(|word| word.strip_prefix("--")).map(|word| word.split('=').next().unwrap_or(word));
            let there: Vec<&str> = commands::options(&help).chain(["help", "version"]).collect();
            wrong.extend(
                asked
                    .filter(|option| !option.is_empty() && !there.contains(option))
                    .map(|option| format!("{name}: `gatepost {}` has no --{option}", command.join(" "))),
            );
        }
    }
    assert!(found > 150, "the commands were not found: {found}");
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The pages that name tests as their witnesses, in backquotes, and nothing else of that form but in a link or a path.
const WITNESSED: [&str; 2] = ["docs/known-attacks.md", "docs/features.md"];

#[test]
fn the_tests_that_pages_name_as_witnesses_are_there() {
    let sources = ["src", "tests"].iter().flat_map(|folder| below(&root().join(folder), "rs"));
    let code: String = sources.map(|path| fs::read_to_string(path).unwrap()).collect();
    let tests: BTreeSet<&str> = code.split("fn ").filter_map(|rest| rest.split('(').next()).collect();
    for page in WITNESSED {
        let text = fs::read_to_string(root().join(page)).unwrap();
        let (_, prose) = taken_apart(&text);
        let is_name = |word: &&str| {
            word.matches('_').count() > 2
                && word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        };
        let named: Vec<&str> = quoted(&prose).into_iter().filter(is_name).collect();
        assert!(named.len() > 20, "{page}: the tests were not found");
        let missing: Vec<&&str> = named.iter().filter(|name| !tests.contains(**name)).collect();
        assert!(missing.is_empty(), "{page} names tests that there are not: {missing:#?}");
        let rows = prose.iter().filter(|line| line.starts_with('|') && !line.starts_with("|--")).skip(1);
        let bare: Vec<&&str> = rows
            .filter(|row| !quoted(&[row]).iter().any(|word| is_name(word) || word.starts_with("tests/")))
            .filter(|row| !["not yet", "on purpose", "by hand", " | test"].iter().any(|word| row.contains(word)))
            .collect();
        assert!(bare.is_empty(), "{page} has rows without a witness, that don't say so either: {bare:#?}");
    }
}
