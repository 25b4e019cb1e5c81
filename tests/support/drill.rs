//! The drills of docs/runbook.md as somebody does them who has that page alone.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::gatepost;

/// "Each done in under five minutes."
const AT_MOST: Duration = Duration::from_secs(300);

/// What stands below a heading of the page.
pub struct Drill {
    heading: &'static str,
    text: String,
}

impl Drill {
    pub fn of(heading: &'static str) -> Self {
        let page = Path::new(&std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it")).join("docs/runbook.md");
        let page = fs::read_to_string(page).unwrap();
        let (_, below) = page.split_once(&format!("\n## {heading}\n")).unwrap_or_else(|| panic!("no {heading}"));
        // The test's upstream has another name than the page's.
        Self { heading, text: below.split("\n## ").next().unwrap().replace("smarthost", "sink") }
    }

    /// What is to be typed, with these words in the place of others, each of which is there.
    pub fn typed(&self, words: &[(&str, &str)]) -> String {
        self.blocks(words).concat()
    }

    /// As `typed`, for a drill that waits for something between its blocks.
    pub fn blocks(&self, words: &[(&str, &str)]) -> Vec<String> {
        let rests = self.text.split("```sh\n").skip(1);
        let mut blocks: Vec<String> = rests.map(|rest| rest.split("```").next().unwrap().to_owned()).collect();
        for (page, test) in words {
            assert!(blocks.iter().any(|text| text.contains(page)), "the page has no {page} any more:\n{blocks:?}");
            for text in &mut blocks {
                *text = text.replace(page, test);
            }
        }
        blocks
    }

    /// Insists that the page says it, and not the test alone.
    pub fn says(&self, words: &str) {
        let flat = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(flat(&self.text).contains(&flat(words)), "the page doesn't say {words}");
    }

    /// From the first word that is typed until all is shown that the page says: prints how long it took, and insists on the page's
    /// own claim.
    pub fn timed<T>(&self, play: impl FnOnce() -> T) -> T {
        let since = Instant::now();
        let outcome = play();
        let took = since.elapsed();
        println!("drill: {}: done in {:.1} s", self.heading, took.as_secs_f64());
        assert!(took < AT_MOST, "{} took {took:?}", self.heading);
        outcome
    }
}

/// Somebody at the gate: in the service's folder, with a `gatepost` that finds this one's configuration where the page finds that
/// of the machine.
fn shell(folder: &Path) -> Command {
    let bin = folder.join("bin");
    if !bin.exists() {
        fs::create_dir(&bin).unwrap();
        let program = PathBuf::from(gatepost().get_program());
        let (program, config) = (program.display(), folder.join("gatepost.toml"));
        let text = format!(
            "#!/bin/sh\ncase \"$1\" in serve | restore | check) set -- \"$@\" --fallback-ids;; esac\nexec {program} \"$@\" --config {}\n",
            config.display()
        );
        fs::write(bin.join("gatepost"), text).unwrap();
        fs::set_permissions(bin.join("gatepost"), fs::Permissions::from_mode(0o755)).unwrap();
    }
    let mut bash = Command::new("bash");
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    bash.args(["-e", "-o", "pipefail"]).env("PATH", path).current_dir(folder);
    bash
}

/// Types it, answers what asks, and gives what is printed and how it ended.
pub fn attempt(folder: &Path, typed: &str, answers: &str) -> (String, Option<i32>) {
    let file = folder.join("typed");
    fs::write(&file, format!("exec 2>&1\n{typed}")).unwrap();
    let mut bash = shell(folder).arg(file).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    bash.stdin.take().unwrap().write_all(answers.as_bytes()).unwrap();
    let output = bash.wait_with_output().unwrap();
    (String::from_utf8(output.stdout).unwrap(), output.status.code())
}

pub fn done(folder: &Path, typed: &str, answers: &str) -> String {
    let (said, code) = attempt(folder, typed, answers);
    assert_eq!(code, Some(0), "{typed}\n{said}");
    said
}
