//! The table of `docs/conformance.md` says what the tests show: no more, and no less.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
/// How many rules each section has, and how many vectors there are.
const SECTIONS: [(char, usize); 14] = [
    ('l', 16),
    ('c', 17),
    ('t', 13),
    ('a', 19),
    ('p', 18),
    ('d', 13),
    ('h', 10),
    ('s', 9),
    ('w', 13),
    ('x', 12),
    ('u', 16),
    ('q', 20),
    ('o', 4),
    ('v', 27),
];
/// Those that can't be given up for a release: the rules with a star.
const STARRED: &str = "l1 l2 l3 l4 l6 l7 l8 l10 l11 l12 l13 l14 l15 l16 c12 c15 c16 t1 t2 t3 t5 t7 t8 t12 t13 a1 a2 a5 a6 a7 a9 \
    a10 a11 a12 a13 a17 p1 p2 p3 p4 p5 p8 p9 p10 p11 p12 p16 d3 d5 d7 d8 d11 d12 h3 h8 h9 s3 s4 s5 s7 w1 w2 w3 w4 w5 w6 w13 u1 u2 u3 u4 u5 u6 u7";
/// Says that something of the rule, or all of it, is not held.
const LACKING: &str = "not yet";

struct Row {
    state: String,
    tests: BTreeSet<String>,
}

/// `rule_l1_rule_l2_vector_v4_defect_x5_...` bears l1, l2 and v4; defects are of another list.
fn ids(test: &str) -> Vec<String> {
    let words: Vec<_> = test.split('_').collect();
    let borne = words.chunks_exact(2).take_while(|pair| matches!(pair[0], "rule" | "vector" | "defect"));
    borne.filter(|pair| pair[0] != "defect").map(|pair| pair[1].to_owned()).collect()
}

/// The tests that there are: those of the library by its own word, those beside it by their source, which all of it is run.
fn tests() -> BTreeSet<String> {
    let listed = Command::new(std::env::current_exe().unwrap()).arg("--list").output().unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    let ignored = Command::new(std::env::current_exe().unwrap()).args(["--list", "--ignored"]).output().unwrap();
    let ignored = String::from_utf8(ignored.stdout).unwrap();
    let name = |line: &str| Some(line.strip_suffix(": test")?.rsplit("::").next()?.to_owned());
    let ignored: BTreeSet<_> = ignored.lines().filter_map(name).collect();
    let mut found: BTreeSet<_> = listed.lines().filter_map(name).filter(|name| !ignored.contains(name)).collect();
    for entry in fs::read_dir(Path::new(ROOT).join("tests")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(path).unwrap();
            let after = text.split("#[test]\nfn ").skip(1);
            found.extend(after.filter_map(|rest| Some(rest.split_once('(')?.0.to_owned())));
        }
    }
    found
}

fn table() -> BTreeMap<String, Row> {
    let text = fs::read_to_string(Path::new(ROOT).join("docs/conformance.md")).unwrap();
    let mut table = BTreeMap::new();
    for line in text
        .lines()
        .filter(|line| line.starts_with("| ") && !line.starts_with("| rule") && !line.starts_with("| vector"))
    {
        let cells: Vec<_> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        let [id, _, state, tests] = cells[..] else { panic!("a row has four cells: {line}") };
        let tests =
            tests.split(", ").filter(|test| *test != "-").map(|test| test.trim_matches('`').to_owned()).collect();
        let is_starred = id.ends_with('★');
        let id = id.trim_end_matches('★').to_ascii_lowercase();
        assert_eq!(is_starred, STARRED.split(' ').any(|starred| starred == id), "a star: {line}");
        assert!(table.insert(id, Row { state: state.to_owned(), tests }).is_none(), "two rows: {line}");
    }
    table
}

#[test]
fn the_table_has_a_row_for_every_rule_and_in_it_every_test_that_bears_its_id() {
    let (table, tests) = (table(), tests());
    assert!(tests.len() > 500, "the tests were not found: {}", tests.len());
    let expected: BTreeSet<_> =
        SECTIONS.iter().flat_map(|(letter, count)| (1..=*count).map(move |n| format!("{letter}{n}"))).collect();
    assert_eq!(table.keys().cloned().collect::<BTreeSet<_>>(), expected, "the rows are those of the rules");
    let mut shown: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for test in &tests {
        for id in ids(test) {
            assert!(table.contains_key(&id), "{test} bears an id that no rule has");
            shown.entry(id).or_default().insert(test.clone());
        }
    }
    for (id, row) in &table {
        assert_eq!(&row.tests, &shown.remove(id).unwrap_or_default(), "the tests of {id}");
        let (held, lacks) = (row.state.starts_with("held"), row.state.contains(LACKING));
        assert!(held != row.tests.is_empty(), "{id} is held by its tests or not at all: {}", row.state);
        assert!(held || lacks, "{id}: {}", row.state);
    }
}
