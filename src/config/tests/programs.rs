//! Upstreams that are programs: what is taken, and what is refused and why.

use std::os::unix::fs::{lchown, symlink};

use nix::unistd::geteuid;

use super::*;
use crate::config::plan::Program;
use crate::config::slice::Understands;

const RUN: &str = "[[upstream]]\nname = \"local\"\nkind = \"sendmail\"\ncommand = \"/usr/sbin/sendmail\"\narguments = [\"-G\"]\n\
                   user = \"mailout\"\noptions = [\"dsn\", \"8bitmime\"]\ntime_limit = \"90s\"\nconnections = 2\n\
                   [[route]]\nto = \"local@example.org\"\nvia = [\"local\"]\n";

#[test]
fn a_program_is_told_what_its_operator_says_it_understands() {
    let plan = load(&format!("{FULL}\n{RUN}")).unwrap();
    let upstream = plan.upstreams.last().unwrap();
    let slice = plan.mailer_slice(upstream, upstream.program.as_ref().unwrap());
    assert_eq!(
        (slice.command.as_path(), slice.arguments.as_slice()),
        (Path::new("/usr/sbin/sendmail"), &["-G".to_owned()][..])
    );
    assert_eq!(slice.understands, Understands { eight_bit: true, dsn: true, utf8: false });
    assert_eq!((slice.time_limit, slice.runs), (Duration::from_secs(90), 2));
    assert_eq!(plan.programs().next().unwrap().user.as_deref(), Some("mailout"));
    assert!(plan.dialer_slice().upstreams.iter().all(|known| known.name != "local"), "nobody connects for it");
    assert!(load(FULL).unwrap().programs().next().is_none());
}

#[test]
fn a_program_that_could_not_be_run_or_would_be_told_otherwise_is_refused_with_its_place() {
    let command = "command = \"/usr/sbin/sendmail\"\n";
    for (from, to, why) in [
        (command, "", "command is missing"),
        ("/usr/sbin/sendmail", "sendmail", "write the whole path of one program"),
        ("/usr/sbin/sendmail", "/usr/sbin/sendmail\\n", "write the whole path of one program"),
        ("\"-G\"", "\"-t\"", "said by the gate"),
        ("\"-G\"", "\"-fx@example.net\"", "said by the gate"),
        ("\"-G\"", "\"--\"", "said by the gate"),
        ("\"-G\"", "\"-ti\"", "said by the gate"),
        ("\"-G\"", "\"-it\"", "said by the gate"),
        ("\"-G\"", "\"-rx@example.net\"", "said by the gate"),
        ("\"-G\"", "\"--read-recipients\"", "said by the gate"),
        ("\"-G\"", "\"--from=x@example.net\"", "said by the gate"),
        ("\"-G\"", "\"\"", "one word of 1 to 1024 octets"),
        ("\"mailout\"", "\"root\"", "that is not root"),
        ("\"mailout\"", "\"-x\"", "that is not root"),
        ("\"dsn\"", "\"dsnn\"", "did you mean \"dsn\"?"),
        ("\"90s\"", "\"0s\"", "time_limit"),
        ("connections = 2", "connections = 65", "connections: must be from 1 to 64"),
        (command, &format!("{command}hosts = [\"a:25\"]\n"), "hosts: only an upstream of kind \"smtp\" has it"),
        (command, &format!("{command}pin = []\n"), "pin: only an upstream of kind \"smtp\" or"),
        (command, &format!("{command}source_address = [\"192.0.2.1\"]\n"), "source_address: only an upstream of kind"),
        (command, &format!("{command}authorities_file = \"/a\"\n"), "authorities_file: only an upstream of kind"),
    ] {
        let errors = load(&format!("{FULL}\n{}", RUN.replacen(from, to, 1))).unwrap_err().0;
        assert!(errors.iter().any(|error| error.contains(why)), "{why}: {errors:?}");
    }
    let smtp = complaint("kind = \"smtp\"\n", "kind = \"smtp\"\ncommand = \"/bin/true\"\n");
    assert!(smtp.contains("command: only an upstream of kind \"sendmail\" has it"), "{smtp}");
}

#[test]
fn a_file_that_others_could_change_is_not_run() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let mode = |name: &str, mode| fs::set_permissions(at(name), fs::Permissions::from_mode(mode)).unwrap();
    let look = |name: &str| {
        let (arguments, understands) = (Vec::new(), Understands::default());
        Program { command: at(name), arguments, user: None, understands, time_limit: Duration::ZERO }.look()
    };
    fs::create_dir(at("bin")).unwrap();
    fs::write(at("bin/mail"), "#!/bin/sh\n").unwrap();
    symlink("bin/mail", at("link")).unwrap();
    for (program, folder, why) in [
        (0o755, 0o755, ""),
        (0o644, 0o755, "can't be executed by anybody"),
        (0o775, 0o755, "others than its owner may write to"),
        (0o757, 0o755, "others than its owner may write to"),
        (0o755, 0o777, "others than its owner may write to"),
        (0o755, 0o1777, ""),
    ] {
        mode("bin/mail", program);
        mode("bin", folder);
        for name in ["bin/mail", "link"] {
            match look(name) {
                Ok(_) => assert_eq!(why, "", "{name} {program:o} {folder:o}"),
                Err(said) => assert!(!why.is_empty() && said.contains(why), "{name} {program:o} {folder:o}: {said}"),
            }
        }
    }
    // A link in the middle, of another link and of one that goes up again; each folder on the way counts.
    fs::create_dir(at("open")).unwrap();
    mode("bin/mail", 0o755);
    mode("bin", 0o755);
    symlink("open/../bin", at("way")).unwrap();
    symlink("way/mail", at("over")).unwrap();
    assert_eq!(look("over"), Ok(Vec::new()));
    mode("open", 0o777);
    assert!(look("over").unwrap_err().contains("open: chmod go-w"), "it lies on the way of a link alone");
    symlink("round", at("round")).unwrap();
    assert!(look("round").is_err());
    if geteuid().is_root() {
        // In a sticky folder, as /tmp is one, anybody may put a link, and point it elsewhere later.
        mode("bin", 0o1777);
        symlink("bin/mail", at("theirs")).unwrap();
        assert_eq!(look("theirs"), Ok(Vec::new()));
        lchown(at("theirs"), Some(12345), None).unwrap();
        assert!(look("theirs").unwrap_err().contains("theirs belongs to user 12345"), "its owner says what is run");
    }
    assert!(look("bin").unwrap_err().contains("is no file"));
    assert!(look("none").unwrap_err().contains("No such file"));
}
