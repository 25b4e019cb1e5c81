//! Claims: the packages name what there is to install, no more and no less: manual pages, documents, units, examples, and the
//! users of the process table; and their versions are the program's.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use gatepost::role;

/// From where OpenBSD's ports may take numbers that its own list has not given away.
const NUMBERS: std::ops::Range<u32> = 900..1000;

fn shipped(name: &str) -> PathBuf {
    Path::new(&std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it")).join(name)
}

fn read(name: &str) -> String {
    fs::read_to_string(shipped(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The names of the files in a folder.
fn names(folder: &str) -> BTreeSet<String> {
    let entries = fs::read_dir(shipped(folder)).unwrap_or_else(|error| panic!("{folder}: {error}")).map(Result::unwrap);
    let files = entries.filter(|entry| entry.file_type().unwrap().is_file());
    files.map(|entry| entry.file_name().into_string().unwrap()).collect()
}

fn plist() -> Vec<String> {
    read("packaging/openbsd/pkg/PLIST").lines().map(str::to_owned).collect()
}

/// What the packing list has in a folder, whatever the kind of the line.
fn packed(folder: &str) -> BTreeSet<String> {
    let paths = plist().into_iter().filter(|line| !line.starts_with("@sample"));
    let paths = paths.filter_map(|line| Some(line.rsplit(' ').next()?.strip_prefix(folder)?.to_owned()));
    paths.filter(|name| !name.is_empty() && !name.contains('/')).collect()
}

#[test]
fn the_packing_list_names_what_the_port_installs() {
    let makefile = read("packaging/openbsd/Makefile");
    for page in names("docs/man") {
        let folder = format!("man/man{}/", page.rsplit('.').next().unwrap());
        assert!(packed(&folder).contains(&page), "{page}");
        assert!(makefile.contains(&format!("docs/man/{page} ${{PREFIX}}/{}", folder.trim_end_matches('/'))), "{page}");
    }
    assert_eq!(
        packed("man/man8/").len() + packed("man/man5/").len(),
        names("docs/man").len(),
        "a page that there is not"
    );
    assert_eq!(packed("share/doc/gatepost/"), names("docs"), "documents");
    assert_eq!(packed("share/doc/gatepost/recipes/"), names("docs/recipes"), "recipes");
    for line in ["docs/*.md ${PREFIX}/share/doc/gatepost", "docs/recipes/*.md ${PREFIX}/share/doc/gatepost/recipes"] {
        assert!(makefile.contains(&format!("${{WRKSRC}}/{line}\n")), "{line}");
    }
    let list = makefile.split(".for f in ").nth(1).unwrap().lines().next().unwrap();
    let mut samples: BTreeSet<String> = list.split_whitespace().map(str::to_owned).collect();
    assert_eq!(samples, names("packaging/openbsd/files"));
    for name in ["gatepost.toml", "sendmail.conf"] {
        assert!(makefile.contains(&format!("${{WRKSRC}}/etc/{name} ")), "{name}");
        samples.insert(name.into());
    }
    assert_eq!(packed("share/examples/gatepost/"), samples);
    for line in ["@bin bin/gatepost", "@rcscript ${RCDIR}/gatepost", "@sample ${SYSCONFDIR}/gatepost/gatepost.toml"] {
        assert!(plist().iter().any(|found| found == line), "{line}");
    }
    // A sample is a copy of the line before it.
    let lines = plist();
    for (place, line) in
        lines.iter().enumerate().filter(|(_, line)| line.starts_with("@sample") && !line.ends_with('/'))
    {
        assert!(lines[place - 1].starts_with("share/examples/"), "{line}");
    }
    // The sample has the directories of OpenBSD: the lines that are replaced are there.
    for line in ["state_directory = \"/var/lib/gatepost\"", "runtime_directory = \"/run/gatepost\""] {
        assert_eq!(read("etc/gatepost.toml").lines().filter(|found| found == &line).count(), 1, "{line}");
    }
}

#[test]
fn both_packages_install_what_the_shells_complete_where_they_look() {
    let (makefile, list) = (read("packaging/openbsd/Makefile"), plist());
    let manifest = read("Cargo.toml");
    for (shell, port, debian) in [
        ("bash", "bash-completion/completions/gatepost", "usr/share/bash-completion/completions/gatepost"),
        ("zsh", "zsh/site-functions/_gatepost", "usr/share/zsh/vendor-completions/_gatepost"),
        ("fish", "fish/vendor_completions.d/gatepost.fish", "usr/share/fish/vendor_completions.d/gatepost.fish"),
    ] {
        assert!(makefile.contains(&format!("{shell} {port}")), "{shell}");
        assert!(list.contains(&format!("share/{port}")), "{shell}");
        for (end, _) in port.match_indices('/') {
            assert!(list.contains(&format!("share/{}/", &port[..end])), "{port}");
        }
        let asset = format!("[\"target/packaging/completions/gatepost.{shell}\", \"{debian}\", \"644\"]");
        assert!(manifest.contains(&asset), "{asset}");
    }
    assert!(read("tools/package.sh").contains("target/release/gatepost completions \"$shell\""));
}

#[test]
fn the_port_makes_the_users_of_the_process_table_under_numbers_of_their_own() {
    let (mut users, mut groups) = (BTreeMap::new(), BTreeMap::new());
    for line in plist() {
        if let Some(rest) = line.strip_prefix("@newgroup ") {
            let (name, number) = rest.split_once(':').unwrap();
            groups.insert(name.to_owned(), number.parse::<u32>().unwrap());
        } else if let Some(rest) = line.strip_prefix("@newuser ") {
            let fields: Vec<&str> = rest.split(':').collect();
            assert_eq!(fields.len(), 7, "{line}");
            assert_eq!((fields[2], fields[5], fields[6]), (fields[0], "/var/empty", "/sbin/nologin"), "{line}");
            users.insert(fields[0].to_owned(), fields[1].parse::<u32>().unwrap());
        }
    }
    let table: BTreeSet<&str> = role::TABLE.iter().filter_map(|row| row.user).collect();
    assert_eq!(users.keys().map(String::as_str).collect::<BTreeSet<_>>(), table);
    let with_auditors: BTreeSet<&str> = table.into_iter().chain([role::AUDIT_GROUP]).collect();
    assert_eq!(groups.keys().map(String::as_str).collect::<BTreeSet<_>>(), with_auditors);
    assert!(users.iter().all(|(name, number)| groups[name] == *number), "a user and its group share a number");
    assert_eq!(groups.values().collect::<BTreeSet<_>>().len(), groups.len(), "two have the same number");
    assert!(groups.values().all(|number| NUMBERS.contains(number)), "{groups:?}");
    let page = read("docs/installation.md");
    for (name, number) in &groups {
        let named = if name == role::AUDIT_GROUP { format!("`{name}` (group)") } else { format!("`{name}`") };
        assert!(page.contains(&format!("{named} | {number} |")), "{name} is not in docs/installation.md");
    }
    let pf = read("packaging/openbsd/files/pf.conf");
    let out = pf.split("block return out").nth(2).unwrap();
    for user in users.keys().filter(|user| *user != "_gatepost-dial") {
        assert!(out.split([' ', ',', '\n', '\t']).any(|word| word == user), "pf.conf lets {user} connect");
    }
}

#[test]
fn the_versions_of_the_packages_are_the_programs() {
    let version = env!("CARGO_PKG_VERSION");
    assert!(read("packaging/openbsd/Makefile").contains(&format!("\nV =\t\t{version}\n")));
    assert!(read("packaging/deb/changelog").starts_with(&format!("gatepost ({version}-1) ")));
}

#[test]
fn the_debian_package_has_every_unit_page_and_document() {
    let manifest: toml::Table = read("Cargo.toml").parse().unwrap();
    let deb = &manifest["package"]["metadata"]["deb"];
    let assets = deb["assets"].as_array().unwrap();
    let sources: BTreeSet<&str> = assets.iter().map(|asset| asset[0].as_str().unwrap()).collect();
    for folder in ["systemd", "docs/man"] {
        for name in names(folder) {
            assert!(sources.contains(format!("{folder}/{name}").as_str()), "{folder}/{name} is not in the package");
        }
    }
    assert!(sources.contains("docs/*.md") && names("docs").iter().all(|name| name.ends_with(".md")));
    for source in sources.iter().filter(|source| !source.starts_with("target/") && !source.contains('*')) {
        assert!(shipped(source).is_file(), "{source} is not there");
    }
    let program = assets.iter().find(|asset| asset[0].as_str() == Some("target/release/gatepost")).unwrap();
    for unit in ["gatepost.service", "gatepost-unprivileged.service"] {
        let start = format!("\nExecStart=/{}gatepost serve\n", program[1].as_str().unwrap());
        assert!(read(&format!("systemd/{unit}")).contains(&start), "{unit} starts another program");
    }
}

#[test]
fn the_name_sendmail_is_a_package_of_its_own_so_that_the_gate_can_live_beside_another_mail_server() {
    let manifest: toml::Table = read("Cargo.toml").parse().unwrap();
    let deb = &manifest["package"]["metadata"]["deb"];
    for relation in ["provides", "conflicts", "replaces"] {
        assert!(deb.get(relation).is_none(), "gatepost {relation}: it must be installable beside Postfix");
    }
    // Debian policy 11.6.
    let control = read("packaging/deb/mta.control");
    for relation in ["Provides", "Conflicts", "Replaces"] {
        assert!(control.contains(&format!("\n{relation}: mail-transport-agent\n")), "{relation}");
    }
    // Links alone, and one version of them does for all of the gate: with an equal one, an upgrade of the gate takes sendmail away.
    assert!(control.contains("\nVersion: @VERSION@\n") && control.contains("\nDepends: gatepost (>= 0.1.0)\n"));
    let script = read("tools/package.sh");
    for (to, name) in
        [("../bin/gatepost", "usr/sbin/sendmail"), ("gatepost", "usr/bin/mailq"), ("gatepost", "usr/bin/newaliases")]
    {
        assert!(script.contains(&format!("ln -s {to} \"$mta/{name}\"\n")), "{name}");
    }
}

#[test]
fn the_scripts_parse() {
    let deb = ["preinst", "postinst", "prerm", "postrm"].map(|name| format!("packaging/deb/{name}"));
    let scripts = deb.into_iter().filter(|name| shipped(name).exists());
    let mut parsed = 0;
    for script in scripts.chain(["rc.d/gatepost".into()]) {
        let output = Command::new("sh").arg("-n").arg(shipped(&script)).output().unwrap();
        assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
        parsed += 1;
    }
    for script in names("tools").iter().filter(|name| name.ends_with(".sh")) {
        let output = Command::new("bash").arg("-n").arg(shipped("tools").join(script)).output().unwrap();
        assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
    }
    assert_eq!(parsed, 5, "four scripts of the package, and the one of OpenBSD");
    // What an older package asks a newer program for is the form that it has itself.
    let form = format!("\nFORM={}\n", gatepost::vault::store::schema::VERSION);
    assert!(read("packaging/deb/preinst").contains(&form), "packaging/deb/preinst needs{form}");
    let rc = read("rc.d/gatepost");
    assert!(rc.starts_with("#!/bin/ksh\n\ndaemon=\"/usr/local/bin/gatepost\"\n"));
    assert!(
        rc.find(". /etc/rc.d/rc.subr").unwrap() > rc.find("daemon_timeout=").unwrap(),
        "rc.subr reads what is before"
    );
}

#[test]
fn the_flags_that_rcctl_sets_are_options_of_serve_with_the_word_or_without() {
    // What rc.subr is to the script: it sets the flags, runs what it is given and finds it again by pexp.
    let rc_subr = "daemon_flags=$FLAGS; rc_exec() { echo \"$*\"; }; rc_cmd() { rc_start; echo \"$pexp\"; }";
    let script = read("rc.d/gatepost").replace(". /etc/rc.d/rc.subr", rc_subr);
    for (flags, words) in [
        ("", "serve"),
        ("serve", "serve"),
        ("--config /x.toml", "serve --config /x.toml"),
        ("serve --config /x.toml", "serve --config /x.toml"),
    ] {
        let output =
            Command::new("sh").args(["-c", &script, "gatepost", "start"]).env("FLAGS", flags).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let lines: Vec<&str> = said.lines().map(str::trim_end).collect();
        let line = format!("/usr/local/bin/gatepost {words}");
        assert_eq!(lines, [line.as_str(), line.as_str()], "{flags:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
}
