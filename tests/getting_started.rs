//! Claim: docs/getting-started.md can be followed as it stands. Its blocks are typed into one shell, from the first to the last, none
//! of their commands fails, and what the page says that they print is printed; times, ids and ports differ.
//!
//! A block with `<!-- not run: WHY -->` above it needs what no test has.

mod support;

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use support::{await_that, free_port, gatepost, is_root};

/// The page is for users without rights: nobody's number, where the test is root.
const NOBODY: u32 = 65534;

/// A block of the page: what is typed, and what the page says that it prints.
struct Block {
    text: String,
    prints: Vec<String>,
}

/// The blocks to be typed, in order, each with the output that follows it.
fn blocks(page: &str) -> Vec<Block> {
    let (mut blocks, mut left_out): (Vec<Block>, _) = (Vec::new(), 0);
    let (mut open, mut is_left) = (None, false);
    for line in page.lines() {
        match (open, line) {
            (None, line) if line.starts_with("<!-- not run: ") => is_left = true,
            (None, "```sh") if is_left => (open, left_out) = (Some("left out"), left_out + 1),
            (None, "```sh") => {
                blocks.push(Block { text: String::new(), prints: Vec::new() });
                open = Some("sh");
            }
            (None, line) if line.starts_with("```") => open = Some(if line == "```text" { "text" } else { "other" }),
            (None, line) => is_left &= line.is_empty(),
            (Some(_), "```") => (open, is_left) = (None, false),
            (Some("sh"), line) => blocks.last_mut().unwrap().text += &format!("{line}\n"),
            (Some("text"), line) if !line.is_empty() => blocks.last_mut().unwrap().prints.push(line.to_owned()),
            _ => {}
        }
    }
    assert!(blocks.len() > 8 && left_out < 3, "{} blocks are run, {left_out} are not", blocks.len());
    blocks
}

/// A line without what differs each time: words with a digit in them, and how much room there is between them.
fn alike(line: &str) -> String {
    let line = match line.split_once("key id ") {
        Some((before, after)) => format!("{before}key id #{}", after.trim_start_matches(|c: char| c.is_alphanumeric())),
        None => line.to_owned(),
    };
    let in_word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let words = line.split_inclusive(|c| !in_word(c)).map(|part| {
        let word = part.trim_end_matches(|c| !in_word(c));
        if word.contains(|c: char| c.is_ascii_digit()) { format!("#{}", &part[word.len()..]) } else { part.to_owned() }
    });
    words.collect::<String>().split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Somebody's shell in a home of its own, in which `pkill` and `pgrep` see no other test's processes.
struct Shell {
    bash: Child,
    home: tempfile::TempDir,
}

impl Shell {
    fn start() -> Self {
        let home = tempfile::Builder::new().prefix("gatepost-test-").tempdir().unwrap();
        support::open_folder(home.path());
        let bin = home.path().join("bin");
        fs::create_dir(&bin).unwrap();
        fs::copy(gatepost().get_program(), bin.join("gatepost")).unwrap();
        for name in ["pkill", "pgrep"] {
            fs::write(bin.join(name), format!("#!/bin/sh\nexec /usr/bin/{name} -g \"$OURS\" \"$@\"\n")).unwrap();
            fs::set_permissions(bin.join(name), fs::Permissions::from_mode(0o755)).unwrap();
        }
        let mut bash = Command::new("bash");
        if is_root() {
            std::os::unix::fs::chown(home.path(), Some(NOBODY), Some(NOBODY)).unwrap();
            bash = Command::new("setpriv");
            let id = NOBODY.to_string();
            bash.args(["--reuid", &id, "--regid", &id, "--clear-groups", "--no-new-privs", "bash"]);
        }
        let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
        bash.env("HOME", home.path()).env("PATH", path).env("LC_ALL", "C.UTF-8").current_dir(home.path());
        let mut bash = bash.stdin(Stdio::piped()).process_group(0).spawn().unwrap();
        // What is printed goes through a pipe of this user's own, as on its terminal, which it can open by name.
        let head = "exec > >(exec cat > printed) 2>&1\nset -o pipefail\nexport OURS=$$\n\
                    trap 'echo \"@failed: $BASH_COMMAND\"' ERR\n";
        bash.stdin.as_mut().unwrap().write_all(head.as_bytes()).unwrap();
        Self { bash, home }
    }

    fn printed(&self) -> String {
        fs::read(self.home.path().join("printed"))
            .map_or_else(|_| String::new(), |text| String::from_utf8_lossy(&text).into_owned())
    }

    /// Types a block, and waits until it has printed what the page says.
    fn run(&mut self, at: usize, block: &Block) {
        let before = self.printed().len();
        let file = self.home.path().join(format!("block{at}"));
        fs::write(&file, &block.text).unwrap();
        let line = format!(". {} < /dev/null\necho; echo @done {at}\n", file.display());
        self.bash.stdin.as_mut().unwrap().write_all(line.as_bytes()).unwrap();
        let done = format!("\n@done {at}\n");
        let starts = block.text.contains("gatepost serve");
        let home = self.home.path().display().to_string();
        let wanted: Vec<String> = block.prints.iter().map(|line| alike(&line.replace("/home/you", &home))).collect();
        await_that(&format!("all that the page says is printed by\n{}{wanted:#?}", block.text), || {
            let all = self.printed();
            let new = &all[before..];
            assert!(!new.contains("@failed: "), "{}\n{all}", block.text);
            let lines: Vec<String> = new.lines().map(alike).collect();
            let is_told = wanted.iter().all(|wanted| lines.iter().any(|line| line.contains(wanted)));
            all.contains(&done) && is_told && (!starts || new.contains(" serving "))
        });
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("it printed:\n{}", self.printed());
        }
        let _ = killpg(Pid::from_raw(i32::try_from(self.bash.id()).unwrap()), Signal::SIGKILL);
        let _ = self.bash.wait();
    }
}

fn page() -> PathBuf {
    Path::new(&std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it")).join("docs/getting-started.md")
}

#[test]
fn the_page_on_getting_started_can_be_followed_as_it_stands() {
    let mut text = fs::read_to_string(page()).unwrap();
    for port in ["2525", "2526", "2587", "8080"] {
        assert!(text.contains(port), "the page has no port {port} any more");
        text = text.replace(port, &free_port().to_string());
    }
    // Nobody but this machine is to reach a test.
    let text = text.replace("0.0.0.0:", "127.0.0.1:");
    let mut shell = Shell::start();
    for (at, block) in blocks(&text).iter().enumerate() {
        shell.run(at, block);
    }
}
