//! Where the service is by files with mistakes: what is plainly written, what has its default, and what is refused.

use std::fs;

use super::*;

const STATE_LINE: &str = "state_directory = \"/srv/g\"\n";
const RUNTIME_LINE: &str = "runtime_directory = \"/run/g\"\n";
const MISPLACED: &str = "[limits]\nruntime_directory = \"/run/b\"\n";

fn find(text: &str) -> Result<Places, String> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("f");
    fs::write(&path, text).unwrap();
    Places::find(&path).map(|(places, mistakes)| {
        assert!(mistakes.is_some(), "{text}");
        places
    })
}

#[test]
fn a_mistake_elsewhere_in_the_file_hides_no_directory() {
    let good = format!("version = 1\nhostname = \"Gate.example.net\"\n{STATE_LINE}{RUNTIME_LINE}");
    for mistake in
        ["", "sesions = 4\n", "[limits]\nsessions = \"many\"\n", "[[credential]]\nid = \"a\nenabled = no\n", "["]
    {
        let places = find(&format!("{good}{mistake}[spol]")).unwrap();
        assert_eq!(places.runtime_directory, Path::new("/run/g"), "{mistake}");
        assert_eq!(places.state_directory, Path::new("/srv/g"), "{mistake}");
        assert_eq!(places.hostname, "gate.example.net", "{mistake}");
    }
    let elsewhere = "[spool]\nmaster_key_directory = \"/srv/key\"\nreserv = 4\n[limits]\nsesions = 4\n[limits]\n";
    assert_eq!(find(&format!("{good}{elsewhere}")).unwrap().master_directory.unwrap(), Path::new("/srv/key"));
}

#[test]
fn the_defaults_are_those_of_a_file_whose_mistakes_can_be_no_directory() {
    for mistake in ["", "[limits]\nsesions = 4\n", "[[listener]]\nadress = [\"127.0.0.1:25\"]\ntls = \"sometimes\"\n"] {
        let places = find(&format!("version = 1\n{mistake}")).unwrap();
        assert_eq!(places.state_directory, Path::new(STATE), "{mistake}");
        assert_eq!(places.runtime_directory, Path::new(RUNTIME), "{mistake}");
        assert_eq!(places.master_directory.unwrap(), Path::new(STATE).join(MASTER), "{mistake}");
    }
}

#[test]
fn what_would_be_a_guess_is_refused_with_its_line_and_with_what_to_do() {
    for (mistake, line) in [
        ("runtime_dir = \"/run/b\"\n", "f:2:1: "),
        ("runtime_directory = 7\n", "f:2:21: "),
        ("runtime_directory = \"run\"\n", "f:2:21: "),
        ("rundir = \"/run/b\"\n", "f:2:1: "),
        ("runtime = { directory = \"/run/b\" }\n", "f:2:1: "),
        (MISPLACED, "f:3:1: "),
        ("[limits]\nwhere = { run = \"/run/b\" }\n", "f:3:1: "),
        ("[[listener]\n", "f:2:"),
        ("hostname = gate\n", "f:2:"),
        ("runtime_directory = \"/run/b\n", "f:2:"),
        ("runtime_directory = \"/run/a\"\nruntime_directory = \"/run/b\"\n", "f:3:1: "),
        ("runtime_directory = \"/srv/g\"\n", "f: state_directory and"),
        ("[limits]\nx = \"a\n[ops]\nruntime_directory = \"/run/b\"\n", "f:3:"),
    ] {
        let what = "runtime_directory is not plainly written in ";
        let said = find(&format!("{STATE_LINE}{mistake}")).unwrap_err();
        assert!(
            said.contains(line) && said.contains(what) && said.contains("or write runtime_directory at its top"),
            "{mistake}{said}"
        );
    }
    let said = find(&format!("{RUNTIME_LINE}state_dir = \"/srv/b\"\n")).unwrap_err();
    assert!(said.contains("state_directory is not plainly written in "), "{said}");
    // Its keys may be others.
    assert!(find("version = 2\n").is_err() && find(&format!("version = 2\n{STATE_LINE}{RUNTIME_LINE}")).is_ok());
    assert!(Places::find(Path::new("/nonexistent/f")).unwrap_err().contains("can't be read"));
}

#[test]
fn where_the_master_key_is_and_the_name_of_the_host_are_no_guess_either() {
    let good = format!("version = 1\n{STATE_LINE}{RUNTIME_LINE}");
    for mistake in [
        "[spool]\nmaster_key_dir = \"/srv/key\"\n",
        "[spool]\nmaster_key = \"key\"\n",
        "[spol]\nmaster_key_directory = \"/srv/key\"\n",
        "[limits]\nsesions = \"4\n[spool]\nmaster_key_directory = \"/srv/key\"\n",
    ] {
        let said = find(&format!("{good}{mistake}")).unwrap().master_directory.unwrap_err();
        assert!(said.contains("master_key_directory is not plainly written"), "{mistake}{said}");
    }
    assert_eq!(find(&format!("{good}hostname = gate\n")).unwrap().hostname, "");
}
