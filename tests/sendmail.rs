//! Claims: what is submitted reaches the program of an upstream of kind sendmail whole, with its envelope and nothing that a sender
//! could make an option; how the program ends decides what becomes of the message; and neither a stop nor the death of the mailer
//! loses one or hands half of one over.

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use gatepost::role::Role;
use gatepost::sandbox::fallback_identity;
use nix::sys::signal::Signal;
use support::inventory::Inventory;
use support::postfix::Postfix;
use support::{Service, Setting, await_that, is_root, open_folder, processes, programs};

const MAILER: &str = "mailer sink";

/// A folder for everybody's eyes with a program in it, and one that the program may write to.
struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    /// `OUT` in the script is where it may write.
    fn with(script: &str) -> Self {
        let place = Self { folder: tempfile::Builder::new().prefix("gatepost-test-").tempdir().unwrap() };
        open_folder(place.folder.path());
        fs::create_dir(place.out("")).unwrap();
        fs::set_permissions(place.out(""), fs::Permissions::from_mode(0o777)).unwrap();
        fs::write(
            place.program(),
            format!("#!/bin/sh\n{}\n", script.replace("OUT", &place.out("").display().to_string())),
        )
        .unwrap();
        fs::set_permissions(place.program(), fs::Permissions::from_mode(0o755)).unwrap();
        place
    }

    fn program(&self) -> PathBuf {
        self.folder.path().join("mail")
    }

    fn out(&self, name: &str) -> PathBuf {
        self.folder.path().join("out").join(name)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.out(name)).unwrap_or_default()
    }

    fn await_file(&self, name: &str) {
        await_that(&format!("the program has written {name}"), || self.out(name).exists());
    }

    fn setting(&self, lines: &str) -> Setting {
        let way = format!("kind = \"sendmail\"\ncommand = \"{}\"\n{lines}", self.program().display());
        Setting { way: Some(way), upstream: String::new(), ..Setting::default() }
    }

    fn serve(&self, lines: &str) -> Service {
        Service::start_with(&self.setting(lines))
    }
}

fn submit(service: &Service, secret: &str, sender: &str, recipients: &[&str], content: &str) {
    let mut session = service.log_in(secret);
    assert_eq!(session.say(&format!("MAIL FROM:<{sender}>")), 250);
    for recipient in recipients {
        assert_eq!(session.say(&format!("RCPT TO:<{recipient}>")), 250);
    }
    assert_eq!(session.say("DATA"), 354);
    let letter = format!("From: {sender}\r\nTo: b@example.org\r\nSubject: x\r\n\r\n{content}\r\n.");
    assert_eq!(session.say(&letter), 250);
}

/// The process that starts mailers, and the mailer of the one upstream.
fn mailer(service: &Service) -> (u32, u32) {
    let launcher = processes::child(service.pid(), "launcher");
    (launcher, processes::child(launcher, MAILER))
}

fn states(service: &Service) -> String {
    String::from_utf8_lossy(&service.command(&["queue", "list", "--json"]).stdout).into_owned()
}

fn said(output: &Output) -> String {
    programs::said(output)
}

#[test]
fn a_program_is_handed_the_message_and_its_envelope_and_no_option_of_a_senders() {
    let place = Place::with(
        "printf '%s\\n' \"$@\" >OUT/words.part\ncat >OUT/letter\nid -u >OUT/user\nls /proc/self/fd | tr '\\n' ' ' >OUT/descriptors\nmv OUT/words.part OUT/words",
    );
    let service = place.serve("arguments = [\"-G\"]");
    let secret = service.add_credential();
    submit(
        &service,
        &secret,
        "-oQ/tmp@example.net",
        &["-C@example.org", "hidden@example.org"],
        "h\u{e9}llo\r\n..\r\n..a",
    );
    service.await_log(0, "delivered=2");
    assert_eq!(place.read("words"), "-G\n-i\n-f\n-oQ/tmp@example.net\n--\n-C@example.org\nhidden@example.org\n");
    let letter = place.read("letter");
    assert!(letter.starts_with("Received: ") && letter.ends_with("\n\nh\u{e9}llo\n.\n.a\n"), "{letter}");
    assert!(!letter.contains('\r') && !letter.contains("hidden@"), "{letter}");
    assert!(states(&service).is_empty() || !states(&service).contains("ready"), "{}", states(&service));
    let trail = service.command(&["audit", "query", "--event", "deliver.success", "--json"]);
    assert_eq!(said(&trail).lines().count(), 2, "{trail:?}");
    // Its input and its output, and the folder that is listed.
    assert_eq!(place.read("descriptors"), "0 1 2 3 ");
    let status = service.command(&["status"]);
    assert!(said(&status).contains("weakest    upstream=sink runs a program"), "{}", said(&status));
    assert!(said(&status).contains("missing=-"), "{}", said(&status));
    let doctor = service.command(&["doctor", "--json", "--fallback-ids"]);
    let doctor: serde_json::Value = serde_json::from_slice(&doctor.stdout).unwrap();
    let of_sandbox = |one: &&serde_json::Value| one["id"].as_str().is_some_and(|id| id.starts_with("sandbox."));
    let all: Vec<_> = doctor["findings"].as_array().unwrap().iter().filter(of_sandbox).collect();
    assert!(all.len() == 6 && all.iter().all(|one| one["level"] == "pass"), "{all:#?}");
    // Its user, and what it may: nothing of the parent's, but to become what the program's file says.
    let (launcher, mailer) = mailer(&service);
    let held = Inventory::of(mailer);
    assert!(!held.no_new_privs && held.filters == Inventory::of(std::process::id()).filters);
    assert_eq!(held.core_limit, ("0".into(), "0".into()));
    if is_root() {
        assert_eq!(place.read("user").trim(), fallback_identity(Role::Mailer).user.to_string());
        assert_eq!(held.users, [fallback_identity(Role::Mailer).user; 4]);
        assert_eq!((held.capabilities, held.groups), ([0; 5], vec![]));
        // KILL, SETGID, SETUID, SETPCAP
        let [_, permitted, effective, bounding, _] = Inventory::of(launcher).capabilities;
        assert_eq!([permitted, effective, bounding], [0x1e0; 3]);
    }
    let log = service.stop();
    assert!(log.contains("it is the weakest process here"), "{log}");
}

#[test]
fn how_the_program_ends_decides_what_becomes_of_the_message() {
    let place = Place::with("cat >/dev/null; echo \"no: $1\" >&2; read code <OUT/code; exit $code");
    let service = place.serve("");
    let secret = service.add_credential();
    let mut from = 0;
    for (code, said) in [
        ("67", "failed=1"),
        ("75", "reason=\"exit 75 (temporary failure): no: -i\""),
        ("64", "exit 64 (usage: see arguments and options): no: -i"),
    ] {
        fs::write(place.out("code"), code).unwrap();
        submit(&service, &secret, "a@example.net", &["b@example.org"], code);
        from = service.await_log(from, said);
    }
    // One credential's messages rest nobody's route, and what waits is delivered when the program is well.
    assert!(!service.log().contains("route failed"), "{}", service.log());
    fs::write(place.out("code"), "0").unwrap();
    assert!(service.command(&["queue", "retry", "--all"]).status.success());
    service.await_log(from, "delivered=1");
    service.stop();
}

#[test]
fn of_several_whom_the_program_refuses_together_each_is_tried_alone() {
    let place = Place::with(
        "cat >/dev/null; for last; do :; done; echo \"$# $last\" >>OUT/runs; case \"$*\" in *gone@*) exit 65;; esac",
    );
    let service = place.serve("");
    let secret = service.add_credential();
    submit(&service, &secret, "a@example.net", &["b@example.org", "gone@example.org", "c@example.org"], "x");
    service.await_log(0, "delivered=2 deferred=0 failed=1");
    let runs = place.read("runs");
    // The report about whom it refused goes the same way to the sender, sooner or later than the log is read here.
    let mut runs: Vec<&str> = runs.lines().filter(|run| !run.ends_with(" a@example.net")).collect();
    assert!(runs.remove(0).starts_with("7 "), "all together first");
    runs.sort_unstable();
    assert_eq!(runs, ["5 b@example.org", "5 c@example.org", "5 gone@example.org"]);
    service.stop();
}

#[test]
fn nothing_is_believed_delivered_that_was_not_read_and_of_what_was_nobody_knows_when_its_time_is_over() {
    let hangs = Place::with("cat >/dev/null; sleep 600");
    let service = hangs.serve("time_limit = \"1s\"");
    submit(&service, &service.add_credential(), "a@example.net", &["b@example.org"], "x");
    service.await_log(0, "unknown=1");
    service.stop();
    for (script, said) in [("exit 0", "unknown=1"), ("sleep 600", "not done within 1 s, with 0 of")] {
        let place = Place::with(script);
        let service = place.serve("time_limit = \"1s\"");
        submit(&service, &service.add_credential(), "a@example.net", &["b@example.org"], "x");
        service.await_log(0, said);
        let taken = service.command(&["audit", "query", "--event", "deliver.success", "--json"]);
        assert_eq!(programs::said(&taken), "");
        assert!(!states(&service).trim().is_empty(), "it waits");
        service.stop();
    }
}

#[test]
fn who_cannot_be_run_is_refused_before_anything_starts_and_tried_without_a_message() {
    let place = Place::with("echo >OUT/ran");
    let service = place.serve("");
    let check = |words: &[&str]| {
        let mut command = support::gatepost();
        command.arg("check").args(words).arg("--config").arg(service.config());
        command.output().unwrap()
    };
    assert!(check(&[]).status.success(), "{}", said(&check(&[])));
    let connected = check(&["--connect", "--fallback-ids"]);
    assert!(
        connected.status.success() && said(&connected).contains("is there, and may be run by the user"),
        "{}",
        said(&connected)
    );
    let tested = service.command(&["route", "test", "sink"]);
    assert!(tested.status.success() && said(&tested).contains("it was not run"), "{}", said(&tested));
    fs::set_permissions(place.program(), fs::Permissions::from_mode(0o777)).unwrap();
    let refused = check(&[]);
    assert!(
        !refused.status.success() && said(&refused).contains("others than its owner may write to"),
        "{}",
        said(&refused)
    );
    service.signal(Signal::SIGHUP);
    service.await_log(0, "reload refused");
    fs::set_permissions(place.program(), fs::Permissions::from_mode(0o750)).unwrap();
    assert_eq!(check(&["--connect", "--fallback-ids"]).status.success(), !is_root(), "its user may not run it");
    assert!(!place.out("ran").exists());
    service.stop();
}

#[test]
fn a_stop_waits_for_the_program_that_runs() {
    let place = Place::with("cat >OUT/part; >OUT/begun; sleep 3; mv OUT/part OUT/letter");
    let service = place.serve("");
    submit(&service, &service.add_credential(), "a@example.net", &["b@example.org"], "to the end");
    place.await_file("begun");
    let log = service.stop();
    assert!(log.contains("delivered=1"), "{log}");
    assert!(place.read("letter").ends_with("to the end\n"));
}

#[test]
fn a_mailer_that_is_killed_is_replaced_and_its_program_has_the_whole_message_or_none() {
    let place = Place::with(
        ">OUT/begun; while [ ! -e OUT/go ]; do sleep 0.05; done; cat >OUT/part.$$; mv OUT/part.$$ OUT/letter.$$",
    );
    let service = place.serve("");
    let secret = service.add_credential();
    let body = "a line of the body\r\n".repeat(20_000);
    submit(&service, &secret, "a@example.net", &["b@example.org"], body.trim_end());
    place.await_file("begun");
    let (launcher, first) = mailer(&service);
    processes::signal(first, Signal::SIGKILL);
    service.await_log(0, "a process fell");
    let from = service.await_log(0, "a fallen process is replaced");
    let letters = || -> Vec<String> {
        let names = fs::read_dir(place.out("")).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.starts_with("letter.")).collect()
    };
    // The program may have taken it: it is tried again behind its wait, as its credential says, and not at once.
    await_that("its outcome is written down", || {
        let trail = service.command(&["audit", "query", "--event", "deliver.unknown", "--json"]);
        said(&trail).contains("deliver.unknown")
    });
    fs::write(place.out("go"), "").unwrap();
    await_that("the program is done", || letters().len() == 1);
    assert!(place.read(&letters()[0]).ends_with(&format!("\n\n{}", body.replace("\r\n", "\n"))));
    submit(&service, &secret, "a@example.net", &["c@example.org"], "the next one");
    service.await_log(from, "delivered=1");
    assert_eq!(letters().len(), 2);
    // Without what starts them, the one there is goes on.
    processes::signal(launcher, Signal::SIGKILL);
    let from = service.await_log(from, "the launcher fell");
    submit(&service, &secret, "a@example.net", &["d@example.org"], "without a launcher");
    service.await_log(from, "delivered=1");
    service.signal(Signal::SIGHUP);
    service.await_log(from, "what starts mailers is gone: restart the service");
    service.stop();
}

#[test]
fn a_reload_changes_what_a_program_is_told_and_the_first_program_needs_a_restart() {
    let place = Place::with("cat >/dev/null; echo \"$1\" >>OUT/words");
    let service = place.serve("arguments = [\"-before\"]");
    let secret = service.add_credential();
    let config = fs::read_to_string(service.config()).unwrap();
    fs::write(service.config(), config.replace("-before", "-after")).unwrap();
    service.signal(Signal::SIGHUP);
    let from = service.await_log(0, "reload done");
    submit(&service, &secret, "a@example.net", &["b@example.org"], "x");
    let from = service.await_log(from, "delivered=1");
    assert_eq!(place.read("words"), "-after\n");
    fs::write(service.config(), config.replace("kind = \"sendmail\"", "kind = \"sendmail\"\nuser = \"nobody\""))
        .unwrap();
    service.signal(Signal::SIGHUP);
    match is_root() {
        true => service.await_log(from, "was changed to what needs a restart"),
        false => service.await_log(from, "reload done"),
    };
    service.stop();
    let service = Service::start();
    let config = fs::read_to_string(service.config()).unwrap();
    let more =
        format!("[[upstream]]\nname = \"late\"\nkind = \"sendmail\"\ncommand = \"{}\"\n", place.program().display());
    fs::write(service.config(), config + &more).unwrap();
    service.signal(Signal::SIGHUP);
    service.await_log(0, "was changed to what needs a restart");
    service.stop();
}

/// The system's own program, setgid postdrop and all, which takes its configuration from one place alone: a Postfix of the test's own
/// stands in that place for the processes of the service.
#[test]
fn postfix_takes_what_its_sendmail_is_handed_and_passes_it_on() {
    if !is_root() {
        println!("NOT RUN: Postfix's master must be root; the run as root does it");
        return;
    }
    let mut at = PathBuf::new();
    let postfix = Postfix::launch(|folder| {
        folder.clone_into(&mut at);
        "myhostname = local.test.example\ndefault_transport = discard\n".to_owned()
    });
    let mount = format!("mount --bind {} /etc/postfix && exec \"$@\"", at.join("config").display());
    let under = ["unshare", "--mount", "sh", "-c", &mount, "sh"].map(str::to_owned).to_vec();
    let way = "kind = \"sendmail\"\ncommand = \"/usr/sbin/sendmail\"\noptions = [\"8bitmime\", \"dsn\"]";
    let (way, upstream) = (Some(way.to_owned()), String::new());
    let service = Service::start_with(&Setting { way, upstream, under, ..Setting::default() });
    let secret = service.add_credential();
    submit(&service, &secret, "-dash@example.net", &["b@example.org", "\"c d\"@example.org"], "h\u{e9}llo\r\n..");
    service.await_log(0, "delivered=2");
    let user = fallback_identity(Role::Mailer).user;
    postfix.await_log(&["pickup", &format!("uid={user} from=<-dash@example.net>")]);
    postfix.await_log(&["to=<b@example.org>", "relay=none", "status=sent"]);
    postfix.await_log(&["to=<\"c d\"@example.org>", "relay=none", "status=sent"]);
    // What the program itself says no to is known at once.
    assert!(postfix.command("postconf", &["-e", "authorized_submit_users=root"]).status.success());
    submit(&service, &secret, "a@example.net", &["b@example.org"], "x");
    service.await_log(0, "is not allowed to submit mail");
    service.stop();
    assert!(Path::new("/etc/postfix").exists());
}

/// Where programs can't become what their files say, that is said before mail is lost to it.
#[test]
fn a_setgid_program_is_refused_where_no_program_may_gain_anything() {
    let place = Place::with("cat >/dev/null");
    let under: Vec<String> = ["setpriv", "--no-new-privs"].map(str::to_owned).to_vec();
    let mut service = Service::start_with(&Setting { under, ..place.setting("") });
    assert!(service.log().contains("NoNewPrivileges=no"), "{}", service.log());
    submit(&service, &service.add_credential(), "a@example.net", &["b@example.org"], "x");
    service.await_log(0, "delivered=1");
    fs::set_permissions(place.program(), fs::Permissions::from_mode(0o2755)).unwrap();
    let reload = service.command(&["reload"]);
    let text = said(&reload);
    assert!(!reload.status.success() && text.contains("is setuid or setgid, and can't be here"), "{text}");
    service.end();
    let program = support::gatepost().get_program().to_owned();
    let mut command = Command::new("setpriv");
    command.arg("--no-new-privs").arg(program).args(["serve", "--fallback-ids", "--config"]).arg(service.config());
    let refused = said(&command.output().unwrap());
    assert!(refused.contains("is setuid or setgid, and can't be here"), "{refused}");
}
