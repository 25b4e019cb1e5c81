//! How many instructions of the processor the ways of a message take, counted by valgrind's callgrind, beside what is kept in
//! `kept.txt`. One that takes a tenth more fails: counts, and no times, so that a busy machine changes nothing.
//!
//! `cargo run --release -p gatepost-instructions`, and with `-- --keep` it writes down what it counts now. This program runs itself below
//! valgrind, each way twice with so many rounds; what the second takes more is divided by the rounds that it has more, so that the start costs nothing.

mod support;
mod ways;

use std::collections::BTreeMap;
use std::fs;
use std::process::{Command, ExitCode, Stdio};

use support::machine::introduce;
use ways::WAYS;

/// What is kept, and where the counts are of other instructions.
const KEPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/kept.txt");
const PROCESSOR: &str = "x86_64";
/// So much more than what is kept fails, and so much less is to be kept: in percent. Compilers and libraries change some.
const MARGIN: u64 = 10;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let [flag, name, rounds] = words.as_slice()
        && flag == "--go"
    {
        let way = WAYS.iter().find(|way| way.name == name).expect("a way of that name");
        (way.go)(rounds.parse().expect("rounds"));
        return ExitCode::SUCCESS;
    }
    introduce("instructions for one message, by callgrind");
    if std::env::consts::ARCH != PROCESSOR {
        println!("NOT RUN: what is kept was counted on {PROCESSOR}");
        return ExitCode::SUCCESS;
    }
    if let Err(error) = Command::new("valgrind").arg("--version").stdout(Stdio::null()).status() {
        println!("NOT RUN: valgrind is needed (Debian: valgrind): {error}");
        return ExitCode::SUCCESS;
    }
    let counted: BTreeMap<&str, u64> = WAYS.iter().map(|way| (way.name, way.count())).collect();
    if words.iter().any(|word| word == "--keep") {
        let lines: String = counted.iter().map(|(name, count)| format!("{name} {count}\n")).collect();
        fs::write(KEPT, lines).unwrap_or_else(|error| panic!("{KEPT}: {error}"));
    }
    match compare(&counted, &kept()) {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

impl ways::Way {
    /// Instructions of one round.
    fn count(&self) -> u64 {
        let [few, many] = self.rounds;
        let more = below_valgrind(self.name, many).saturating_sub(below_valgrind(self.name, few));
        more / u64::from(many - few)
    }
}

/// Instructions of the whole program, as callgrind's last word has them.
fn below_valgrind(name: &str, rounds: u32) -> u64 {
    let program = std::env::current_exe().expect("this program has a path");
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(program)
        .args(["--go", name, &rounds.to_string()])
        .stdin(Stdio::null())
        .output()
        .expect("valgrind runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name}: {said}");
    let collected = said.lines().find_map(|line| line.split_once("Collected : "));
    collected.and_then(|(_, count)| count.trim().parse().ok()).unwrap_or_else(|| panic!("{name}: no count in {said}"))
}

fn kept() -> BTreeMap<String, u64> {
    let text = fs::read_to_string(KEPT).unwrap_or_else(|error| panic!("{KEPT}: {error}"));
    let line = |line: &str| line.split_once(' ').and_then(|(name, count)| Some((name.to_owned(), count.parse().ok()?)));
    text.lines().map(|one| line(one).unwrap_or_else(|| panic!("{KEPT}: {one}"))).collect()
}

/// Tells of each way; false when one takes too many, or isn't kept.
fn compare(counted: &BTreeMap<&str, u64>, kept: &BTreeMap<String, u64>) -> bool {
    let mut is_well = true;
    for (name, count) in counted {
        let Some(kept) = kept.get(*name) else {
            println!("{name:10} {count:9}: nothing is kept of it: `--keep` it");
            is_well = false;
            continue;
        };
        let (hundredfold, percent) = (count.saturating_mul(100), count.saturating_mul(100) / (*kept).max(1));
        let verdict = if hundredfold > kept.saturating_mul(100 + MARGIN) {
            is_well = false;
            "MORE than it may: find out why, or `--keep` it and say why"
        } else if hundredfold < kept.saturating_mul(100 - MARGIN) {
            "fewer: `--keep` it, so that it stays so"
        } else {
            "as it was"
        };
        println!("{name:10} {count:9} instructions for one, {percent} % of what is kept: {verdict}");
    }
    for name in kept.keys().filter(|name| !counted.contains_key(name.as_str())) {
        println!("{name:10} is kept, and nothing counts it any more: `--keep` what is counted, and say why");
        is_well = false;
    }
    is_well
}
