//! Claims: whatever is wrong with the configuration file by now, commands reach the service that runs, and never another one.

mod support;

use std::fs;
use std::path::Path;
use std::process::Command;

use support::{CREDENTIAL, Service};

#[test]
fn a_leaked_key_is_ended_whatever_is_wrong_with_the_configuration_by_now() {
    let mut service = Service::start();
    service.add_credential();
    let good = fs::read_to_string(service.config()).unwrap();
    let said = |service: &Service, words: &[&str]| {
        let output = service.command(words);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.success(), text)
    };
    for mistake in ["[limits]\nsesions = 4\n", "[[credential]]\nid = \"unfinished\n"] {
        fs::write(service.config(), format!("{good}\n{mistake}")).unwrap();
        for words in [
            &["credential", "disable", CREDENTIAL][..],
            &["credential", "enable", CREDENTIAL],
            &["queue", "hold", "--all"],
            &["audit", "query"],
        ] {
            let (done, text) = said(&service, words);
            assert!(done && text.contains("has mistakes"), "{words:?}: {text}");
        }
        let socket = service.folder.path().join("run/control.sock");
        assert!(said(&service, &["audit", "query"]).1.contains(socket.to_str().unwrap()), "which service is asked");
        let (done, text) = said(&service, &["queue", "rekey", "--yes"]);
        assert!(!done && text.contains("master_key_directory is not plainly written"), "{text}");
        let key = format!("[spool]\nmaster_key_directory = \"{}/state/master\"\n", service.folder.path().display());
        fs::write(service.config(), format!("{good}{key}\n{mistake}")).unwrap();
        let (done, text) = said(&service, &["queue", "rekey", "--yes"]);
        assert!(done && text.contains("has mistakes"), "{text}");
        let copy = service.folder.path().join("copy");
        let (done, text) = said(&service, &["backup", copy.to_str().unwrap()]);
        assert!(done && text.contains("has mistakes"), "{text}");
        fs::remove_dir_all(copy).unwrap();
    }
    let (done, text) = said(&service, &["queue", "rekey", "--lost", "--yes"]);
    assert!(!done && text.contains("gatepost.toml:"), "where the key is would be a guess: {text}");
    service.end();
    let (done, text) = said(&service, &["credential", "disable", CREDENTIAL]);
    assert!(!done && text.contains("gatepost.toml:"), "nobody runs who could be asked: {text}");
    fs::write(service.config(), good).unwrap();
}

/// The service that stands where the defaults are is another one.
#[test]
fn a_mistaken_file_leads_to_no_other_service() {
    if !support::is_root() {
        eprintln!("not tried: only root can have another service at the default directories");
        return;
    }
    let (default, other) = (Service::start(), Service::start());
    default.add_credential();
    other.add_credential();
    let good = fs::read_to_string(other.config()).unwrap();
    // In a view of the machine of its own, where the defaults are.
    let command = |words: &str| {
        let own = default.folder.path().display();
        let config = other.config();
        let script = format!(
            "set -e; for one in /run /var/lib; do mount -t tmpfs none $one; mkdir $one/gatepost; done
             mount --bind {own}/run /run/gatepost; mount --bind {own}/state /var/lib/gatepost
             exec \"$0\" {words} --config {}",
            config.display()
        );
        let program = support::gatepost().get_program().to_owned();
        Command::new("unshare").args(["--mount", "sh", "-c", &script]).arg(program).output().unwrap()
    };
    let events = || {
        let log = default.command(&["audit", "query", "--json"]);
        let text = String::from_utf8(log.stdout).unwrap();
        text.lines().filter(|line| !line.contains("\"audit.")).count()
    };
    let before = events();
    fs::write(other.config(), good.replace("runtime_directory", "runtime_dir")).unwrap();
    let copy = other.folder.path().join("copy");
    let backup = format!("backup {}", copy.display());
    for words in [
        "queue drop --all --yes",
        "queue rekey --yes",
        &format!("credential disable {CREDENTIAL}"),
        &format!("credential rotate {CREDENTIAL}"),
        "audit verify",
        "audit query",
        &backup,
    ] {
        let output = command(words);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{words}: {said}");
        let line = format!("{}:3:1: unknown key \"runtime_dir\"", other.config().display());
        assert!(said.contains(&line) && said.contains("write runtime_directory at its top"), "{words}: {said}");
    }
    assert!(!copy.exists());
    fs::write(other.config(), good.replace("state_directory", "state_dir")).unwrap();
    assert!(!command("audit verify").status.success());
    assert_eq!(events(), before, "{}", default.log());
    // The view is what it is meant to be: a file that is understood and names no directory means that service.
    let lines = |line: &&str| !line.contains("_directory = ");
    fs::write(other.config(), good.lines().filter(lines).collect::<Vec<_>>().join("\n")).unwrap();
    let output = command(&format!("credential disable {CREDENTIAL}"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(events() > before);
    default.stop();
    other.stop();
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

#[test]
fn a_master_key_is_not_changed_in_another_folder_than_the_services() {
    let service = Service::start();
    let right = service.folder.path().join("state/master");
    let wrong = service.folder.path().join("elsewhere");
    copy(&right, &wrong);
    let good = fs::read_to_string(service.config()).unwrap();
    let names = || {
        let mut names: Vec<_> = fs::read_dir(&wrong).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        (names, fs::read(wrong.join("master.key")).unwrap())
    };
    let before = names();
    let rekey = || {
        let output = service.command(&["queue", "rekey", "--yes"]);
        assert!(!output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        assert_eq!(names(), before, "what was made there is taken back");
        String::from_utf8(output.stderr).unwrap()
    };
    let key = format!("{good}\n[spool]\nmaster_key_directory = \"{}\"\n", wrong.display());
    fs::write(service.config(), key).unwrap();
    let said = rekey();
    assert!(said.contains("does not keep its master key in") && said.contains("no next key"), "{said}");
    // A change that was broken off in the right one.
    fs::copy(right.join("master.key"), right.join("next.key")).unwrap();
    fs::write(right.join("next.key"), [7; 32]).unwrap();
    let said = rekey();
    assert!(said.contains("the next key ") && said.contains("lies in its own"), "{said}");
    fs::write(service.config(), &good).unwrap();
    let output = service.command(&["queue", "rekey", "--yes"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(fs::read(right.join("master.key")).unwrap(), [7; 32]);
    service.stop();
}
