//! The sandbox as it is, read off the processes that run: what the kernel holds them to, and not what was asked of it.

use super::Look;
use super::finding::Sheet;
use super::service::Service;
use crate::ipc::admin::load::Obstacle;
use crate::parent::launcher::LAUNCHER;
use crate::parent::{self, TITLE};
use crate::role::Role;
use crate::sandbox::fallback_identity;
use crate::sandbox::policy::LAUNCHER_KEEPS;
use crate::sys::running::Process;

const IDS: [&str; 5] =
    ["sandbox.roles", "sandbox.users", "sandbox.privileges", "sandbox.seccomp", "sandbox.capabilities"];
const RESTART: &str = "stop it, find out what started it so, and start it anew; its log names what this kernel lacks";

pub fn look(look: &Look<'_>, sheet: &mut Sheet) {
    match &look.service {
        Service::Runs(family, obstacles) => {
            obstacles.iter().for_each(|obstacle| tell(*obstacle, sheet));
            let what = match family {
                Some((head, children)) => {
                    format!("the service runs as process {} and {} others", head.pid, children.len())
                }
                None => "the service runs".to_owned(),
            };
            sheet.pass_unless_told("sandbox.running", what);
        }
        Service::Silent(_, why) => sheet.fail(
            "sandbox.running",
            "the service runs, and does not answer",
            format!("{why}; it takes no mail so, and what only it can tell was not looked at"),
            "look at its log and at its disk, then restart it",
        ),
        Service::Stopped => {
            sheet.warn(
                "sandbox.running",
                "the service does not run",
                "nothing of what only a running process shows was looked at, and no mail is taken",
                "start it, and run this again",
            );
            return skip("the service does not run", sheet);
        }
        Service::Closed(why) => {
            sheet.warn(
                "sandbox.running",
                "the service can't be asked",
                why.clone(),
                "run this as root, or as its user",
            );
            return skip("the service can't be asked", sheet);
        }
    }
    let Some((head, children)) = look.service.family() else {
        return skip("this system does not show its processes, or they are out of sight", sheet);
    };
    roles(look, head, children, sheet);
    judge(head, children, |role, name| expected(look, role, name), sheet);
}

/// What keeps mail out, or the log unsigned, as the service itself knows.
fn tell(obstacle: Obstacle, sheet: &mut Sheet) {
    let what = match obstacle {
        Obstacle::Sealer => "mail is taken, and nothing signs the audit log".to_owned(),
        other => format!("the service takes no mail: {}", other.word()),
    };
    let (why, fix) = (
        "gatepost(8) says under status what each of these is",
        "look at gatepost status and at the log; docs/runbook.md has what to do",
    );
    match obstacle {
        // Both pass by themselves.
        Obstacle::Draining | Obstacle::Load => sheet.warn("sandbox.running", what, why, fix),
        Obstacle::Store | Obstacle::Room | Obstacle::AuditMaxBytes | Obstacle::Sealer => {
            sheet.fail("sandbox.running", what, why, fix);
        }
    }
}

fn skip(why: &str, sheet: &mut Sheet) {
    IDS.iter().for_each(|id| sheet.skip(id, "the sandbox of each process", why));
}

/// Every process that the configuration asks for.
fn roles(look: &Look<'_>, head: &Process, children: &[Process], sheet: &mut Sheet) {
    let missing: Vec<String> = parent::posts(look.plan)
        .iter()
        .map(|post| post.to_string())
        .filter(|post| !children.iter().any(|child| child.title.strip_prefix(TITLE) == Some(post)))
        .collect();
    if !missing.is_empty() {
        sheet.fail(
            "sandbox.roles",
            format!("these processes are not there: {}", missing.join(", ")),
            "what they do is not done, or the configuration was changed and not loaded",
            "look at the log for why; after a change: gatepost reload",
        );
    }
    for stopped in std::iter::once(head).chain(children).filter(|process| process.stopped) {
        let (title, pid) = (stopped.title.strip_prefix(TITLE).unwrap_or("parent"), stopped.pid);
        sheet.fail(
            "sandbox.roles",
            format!("{title} ({pid}) is stopped: a signal, or a debugger"),
            "it is there and does nothing, and whoever needs it waits",
            format!("kill -CONT {pid}, once you know who stopped it; or restart the service"),
        );
    }
    sheet.pass_unless_told("sandbox.roles", "every process that the configuration asks for is there");
}

/// The user that a role is to be; a mailer may be another for its upstream, of this name.
fn expected(look: &Look<'_>, role: Role, name: &str) -> Option<u32> {
    let known = |name: &str| nix::unistd::User::from_name(name).ok()?.map(|user| user.uid.as_raw());
    let upstream = look.plan.upstreams.iter().find(|upstream| role == Role::Mailer && upstream.name == name);
    match upstream.and_then(|upstream| upstream.program.as_ref()?.user.as_deref()) {
        Some(named) => known(named),
        None if look.doctor.fallback_ids => Some(fallback_identity(role).user),
        None => known(role.row().user?),
    }
}

/// `expected`: the user that a role of that name is to be, when the parent is root.
fn judge(head: &Process, children: &[Process], expected: impl Fn(Role, &str) -> Option<u32>, sheet: &mut Sheet) {
    let post = |child: &Process| child.title.strip_prefix(TITLE).map(str::to_owned);
    let is_launcher = |child: &Process| post(child).as_deref() == Some(LAUNCHER);
    let is_expected = |child: &Process| {
        post(child).is_some_and(|post| {
            let (role, name) = post.split_once(' ').unwrap_or((&post, ""));
            Role::named(role).is_some_and(|role| expected(role, name).is_none_or(|user| user == child.user))
        })
    };
    let is_right = |child: &Process| match head.user {
        // It makes mailers other users.
        0 if is_launcher(child) => child.user == 0,
        0 => child.user != 0 && is_expected(child),
        // Nobody can become another.
        own => child.user == own,
    };
    // docs/sandbox.md: what a program may inherit, these two can't have.
    let is_held = |child: &Process| {
        let is_mailer = post(child).is_some_and(|post| post.split(' ').next() == Some(Role::Mailer.name()));
        !is_launcher(child) && !is_mailer
    };
    let everybody = || std::iter::once(head).chain(children.iter().filter(|child| is_held(child)));
    let held = everybody().count();
    let kept = |child: &Process| if head.user == 0 && is_launcher(child) { LAUNCHER_KEEPS } else { 0 };
    let without = |fits: &dyn Fn(&Process) -> bool, all: &mut dyn Iterator<Item = &Process>| -> Vec<String> {
        let name = |process: &Process| match process.pid == head.pid {
            true => format!("parent ({})", process.pid),
            false => format!("{} ({})", process.title.strip_prefix(TITLE).unwrap_or(&process.title), process.pid),
        };
        all.filter(|process| !fits(process)).map(name).collect()
    };
    let rows = [
        ("sandbox.users", "is of the wrong user", children.len() + 1, without(&is_right, &mut children.iter())),
        (
            "sandbox.privileges",
            "could gain privileges (NoNewPrivs 0)",
            held,
            without(&|p| p.no_new_privileges, &mut everybody()),
        ),
        ("sandbox.seccomp", "has no system call filter (Seccomp)", held, without(&|p| p.filtered, &mut everybody())),
        (
            "sandbox.capabilities",
            "has capabilities (CapEff)",
            children.len() + 1,
            without(&|p| p.capabilities & !kept(p) == 0, &mut children.iter()),
        ),
    ];
    for (id, what, count, wrong) in rows {
        match wrong.is_empty() {
            true => sheet.pass(id, format!("none of {count} processes {what}")),
            false => sheet.fail(
                id,
                format!("{}: {what}", wrong.join(", ")),
                "an intruder in it has more of this machine than its role needs",
                RESTART,
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Level;
    use super::*;

    fn process(title: &str, user: u32) -> Process {
        let title = title.to_owned();
        Process { pid: 7, title, user, no_new_privileges: true, filtered: true, ..Process::default() }
    }

    fn failed(head: &Process, child: Process) -> Vec<&'static str> {
        let mut sheet = Sheet::default();
        let expected = |role: Role, name: &str| Some(if role == Role::Mailer && name == "own" { 43 } else { 42 });
        judge(head, &[process("gatepost: sealer", 42), child], expected, &mut sheet);
        sheet.0.iter().filter(|finding| finding.level == Level::Fail).map(|finding| finding.id).collect()
    }

    #[test]
    fn each_thing_that_a_process_lacks_is_told_by_itself() {
        let head = process("gatepost", 0);
        let child = || process("gatepost: edge-smtp main", 42);
        assert!(failed(&head, child()).is_empty());
        assert_eq!(failed(&head, process("gatepost: edge-smtp main", 0)), ["sandbox.users"]);
        assert_eq!(failed(&head, process("gatepost: edge-smtp main", 43)), ["sandbox.users"]);
        assert_eq!(failed(&head, process("sh", 42)), ["sandbox.users"], "it is no role");
        assert_eq!(failed(&head, Process { no_new_privileges: false, ..child() }), ["sandbox.privileges"]);
        assert_eq!(failed(&head, Process { filtered: false, ..child() }), ["sandbox.seccomp"]);
        assert_eq!(failed(&head, Process { capabilities: 1, ..child() }), ["sandbox.capabilities"]);
        // Without root all are one user, and another one is as wrong.
        let head = process("gatepost", 1000);
        assert_eq!(failed(&head, process("gatepost: vault", 1000)), ["sandbox.users"], "the sealer is 42");
        let head = process("gatepost", 0);
        let weak = |title: &str, user, capabilities| {
            let process = process(title, user);
            failed(&head, Process { no_new_privileges: false, filtered: false, capabilities, ..process })
        };
        // What they can't have, they lack; what they are to have, they have.
        assert!(weak("gatepost: launcher", 0, 0x1e0).is_empty());
        assert_eq!(weak("gatepost: launcher", 42, 0x1e0), ["sandbox.users"]);
        assert_eq!(weak("gatepost: launcher", 0, 0x21e0), ["sandbox.capabilities"]);
        assert!(weak("gatepost: mailer prog", 42, 0).is_empty() && weak("gatepost: mailer own", 43, 0).is_empty());
        assert_eq!(weak("gatepost: mailer own", 42, 0), ["sandbox.users"]);
        assert_eq!(weak("gatepost: mailer prog", 0, 0), ["sandbox.users"]);
        assert_eq!(weak("gatepost: mailer prog", 42, 0x1e0), ["sandbox.capabilities"]);
        let open = Process { filtered: false, ..process("gatepost", 0) };
        assert_eq!(failed(&open, child()), ["sandbox.seccomp"], "the parent has one, too");
    }
}
