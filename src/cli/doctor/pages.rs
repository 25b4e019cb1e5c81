//! Where the pages that a finding names are on this machine: a package has them elsewhere than the source.

use std::path::Path;

/// As the source has it, where all that is looked at is explained.
pub const PAGE: &str = "docs/checklist.md";
/// As texts name a page.
const SOURCE: &str = "docs/";
/// Where the Debian package and the OpenBSD port put them. A test holds them to that.
const INSTALLED: [&str; 2] = ["/usr/share/doc/gatepost/docs/", "/usr/local/share/doc/gatepost/"];

/// A text with the pages that it names where they are installed; as it was where they are not.
pub fn located(text: &str) -> String {
    let folder = INSTALLED.iter().find(|folder| Path::new(folder).is_dir());
    folder.map_or_else(|| text.to_owned(), |folder| moved(text, folder))
}

/// A path that somebody else gave is whole: only what begins a word is a page.
fn moved(text: &str, folder: &str) -> String {
    let word = |word: &str| {
        let bare = word.strip_prefix('(').unwrap_or(word);
        let open = if bare.len() < word.len() { "(" } else { "" };
        bare.strip_prefix(SOURCE).map_or_else(|| word.to_owned(), |page| format!("{open}{folder}{page}"))
    };
    text.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_page_is_named_where_it_is_and_nothing_else_is_moved() {
        let text = "keep it (docs/operations.md, \"Backup\"), not in /srv/docs/x: docs/audit-log.md#heads";
        let told = "keep it (/d/operations.md, \"Backup\"), not in /srv/docs/x: /d/audit-log.md#heads";
        assert_eq!(moved(text, "/d/"), told);
        assert_eq!(moved(PAGE, "/d/"), "/d/checklist.md");
    }

    #[test]
    fn the_packages_put_them_there() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let [debian, openbsd] = INSTALLED;
        let manifest = fs::read_to_string(root.join("Cargo.toml")).unwrap();
        assert!(manifest.contains(&format!("[\"docs/*.md\", \"{}\"", debian.trim_start_matches('/'))));
        let list = fs::read_to_string(root.join("packaging/openbsd/pkg/PLIST")).unwrap();
        let page = format!("{}checklist.md", openbsd.trim_start_matches("/usr/local/"));
        assert!(list.lines().any(|line| line == page), "{page}");
    }
}
