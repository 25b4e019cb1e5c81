//! What is fuzzed is what is shipped: both stand on the same versions.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use crate::source::root;

/// Said to whoever changes one lock and not the other.
const WHAT_TO_DO: &str =
    "cp Cargo.lock fuzz/Cargo.lock && cargo metadata --format-version 1 --manifest-path fuzz/Cargo.toml > /dev/null";

/// What fuzzing alone needs.
const ONLY_THERE: [&str; 4] = ["arbitrary", "gatepost-fuzz", "jobserver", "libfuzzer-sys"];
/// What tests need and fuzzing doesn't.
const ONLY_HERE: [&str; 3] = ["ct-merkle", "proptest", "tempfile"];

type Packages = BTreeMap<String, BTreeSet<String>>;

/// Each package and its versions; and what the gate itself depends on.
fn lock(path: &str) -> (Packages, BTreeSet<String>) {
    let text = fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
    let lock: toml::Table = text.parse().unwrap();
    let (mut packages, mut direct) = (Packages::new(), BTreeSet::new());
    for package in lock["package"].as_array().unwrap() {
        let of = |key: &str| package[key].as_str().unwrap().to_owned();
        if of("name") == "gatepost" {
            // A version stands behind a name of which there are several.
            let names = package["dependencies"].as_array().unwrap().iter();
            direct = names.map(|name| name.as_str().unwrap().split(' ').next().unwrap().to_owned()).collect();
        }
        packages.entry(of("name")).or_default().insert(of("version"));
    }
    (packages, direct)
}

/// What is wrong with the lock of the fuzzing package.
fn strays(here: &(Packages, BTreeSet<String>), there: &(Packages, BTreeSet<String>)) -> Vec<String> {
    let known = |name: &str, version: &str| here.0.get(name).is_some_and(|versions| versions.contains(version));
    let other = there.0.iter().flat_map(|(name, versions)| versions.iter().map(move |version| (name, version)));
    let other = other.filter(|(name, version)| !known(name, version) && !ONLY_THERE.contains(&name.as_str()));
    let missing = here.1.difference(&there.1).filter(|name| !ONLY_HERE.contains(&name.as_str()));
    let other = other.map(|(name, version)| format!("{name} {version} is another version"));
    other.chain(missing.map(|name| format!("{name} is missing"))).collect()
}

#[test]
fn what_is_fuzzed_stands_on_the_versions_that_are_shipped() {
    let (here, there) = (lock("Cargo.lock"), lock("fuzz/Cargo.lock"));
    let strays = strays(&here, &there);
    assert!(strays.is_empty(), "fuzz/Cargo.lock does not follow Cargo.lock: {strays:?}\nmend it: {WHAT_TO_DO}");
    assert!(here.1.len() > 30 && here.1.is_superset(&ONLY_HERE.map(str::to_owned).into()));
}

#[test]
fn another_version_and_a_missing_dependency_are_seen() {
    let (here, there) = (lock("Cargo.lock"), lock("fuzz/Cargo.lock"));
    let (mut older, mut fewer) = (there.clone(), there);
    older.0.insert("tokio".into(), ["1.0.0".to_owned()].into());
    assert_eq!(strays(&here, &older), ["tokio 1.0.0 is another version"]);
    fewer.1.remove("rustls");
    assert_eq!(strays(&here, &fewer), ["rustls is missing"]);
}
