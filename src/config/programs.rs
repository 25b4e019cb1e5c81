//! Upstreams that are programs: which one is run, as whom, and what it understands.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use nix::unistd::geteuid;

use super::file::{self, At};
use super::findings::Findings;
use super::limits::{RUNS, TIME_LIMIT, time, whole};
use super::plan::{Plan, Upstream, word};
use super::slice::{Auth, Family, Keep, MailerSlice, TlsMode, Understands};
use super::{name, pace};

/// Words before ours, and octets of each: more is another program's affair, a script's.
const MOST_ARGUMENTS: usize = 32;
const LONGEST_ARGUMENT: usize = 1024;
/// Bits of a file's mode: it is its owner's or its group's when it runs; others than its owner may write to it; anybody may run it.
const CHANGES: u32 = 0o6000;
const IS_ROOTS: u32 = 0o4000;
const WRITABLE: u32 = 0o022;
const STICKY: u32 = 0o1000;
const RUNS_AT_ALL: u32 = 0o111;
/// Links that are followed on the way to a program: as many as the systems themselves follow.
const MOST_LINKS: usize = 32;

/// What a program may be told beside sender and recipients, by its word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Extension {
    EightBit,
    Dsn,
    Utf8,
}

const EXTENSIONS: [(&str, Extension); 3] =
    [("8bitmime", Extension::EightBit), ("dsn", Extension::Dsn), ("smtputf8", Extension::Utf8)];

/// What is run for each message.
#[derive(Clone, Debug)]
pub struct Program {
    /// Its whole path.
    pub command: PathBuf,
    /// What it is told before our own words.
    pub arguments: Vec<String>,
    /// The system user it runs as, where it isn't the mailer's own.
    pub user: Option<String>,
    pub understands: Understands,
    /// How long it may take over one message.
    pub time_limit: Duration,
}

impl Program {
    /// Whether its file is nobody's to change but root's or ours, and can be run. Gives what is odd.
    ///
    /// Errors: what is wrong, and what to do.
    pub fn look(&self) -> Result<Vec<String>, String> {
        let path = self.command.display();
        let wrong = |why: String| format!("command: {path}: {why}");
        // A link is followed: /usr/sbin/sendmail often is one.
        let found = self.command.metadata().map_err(|error| wrong(error.to_string()))?;
        if !found.is_file() {
            return Err(wrong("is no file".to_owned()));
        }
        if found.mode() & RUNS_AT_ALL == 0 {
            return Err(wrong("can't be executed by anybody: chmod a+x, or name another".to_owned()));
        }
        let is_ours = |owner: u32| owner == 0 || owner == geteuid().as_raw();
        for place in way(&self.command).map_err(wrong)? {
            let found = place.symlink_metadata().map_err(|error| wrong(format!("{}: {error}", place.display())))?;
            if !is_ours(found.uid()) {
                return Err(wrong(format!(
                    "{} belongs to user {}, who could put another program there: chown it to root",
                    place.display(),
                    found.uid()
                )));
            }
            // In a sticky folder everybody's files are their own: /tmp. The mode of a link means nothing.
            if !found.is_symlink() && found.mode() & WRITABLE != 0 && !(found.is_dir() && found.mode() & STICKY != 0) {
                return Err(wrong(format!("others than its owner may write to {}: chmod go-w", place.display())));
            }
        }
        let is_roots = found.mode() & IS_ROOTS != 0 && found.uid() == 0 && geteuid().is_root();
        let odd = format!(
            "command: {path} is setuid root, and would be a root without any of root's capabilities here: most such programs fail. Use \
             kind = \"smtp\" with hosts = [\"127.0.0.1:25\"]"
        );
        Ok(is_roots.then_some(odd).into_iter().collect())
    }

    /// Whether it runs as somebody else than who runs it.
    pub fn changes(&self) -> bool {
        self.command.metadata().is_ok_and(|found| found.mode() & CHANGES != 0)
    }
}

/// All that is passed on the way to a file, with each link and all on the way to what it points to: whoever owns one of them says what
/// is run. None twice.
fn way(path: &Path) -> Result<BTreeSet<PathBuf>, String> {
    let (mut passed, mut here, mut links) = (BTreeSet::new(), PathBuf::from("/"), 0);
    let pieces = |path: &Path| -> Vec<PathBuf> {
        path.components().rev().map(|piece| PathBuf::from(piece.as_os_str())).collect()
    };
    let mut ahead = pieces(path);
    while let Some(piece) = ahead.pop() {
        match piece.components().next() {
            Some(Component::RootDir) => here = PathBuf::from("/"),
            Some(Component::ParentDir) => _ = here.pop(),
            Some(Component::Normal(name)) => here.push(name),
            _ => continue,
        }
        if let Ok(target) = here.read_link() {
            links += 1;
            if links > MOST_LINKS {
                return Err(format!(
                    "there are more than {MOST_LINKS} links on the way to it: name the program itself"
                ));
            }
            passed.insert(here.clone());
            here.pop();
            ahead.extend(pieces(&target));
        } else {
            passed.insert(here.clone());
        }
    }
    Ok(passed)
}

/// One of kind sendmail.
pub fn plan(
    (number, name): (u16, String),
    table: &At<file::Upstream>,
    findings: &mut Findings<'_>,
) -> Option<Upstream> {
    let written = table.get_ref();
    let program = Program {
        arguments: arguments(written, findings),
        user: user(written, findings),
        understands: understands(written, findings),
        time_limit: time(&written.time_limit, &TIME_LIMIT, findings),
        command: command(written, table, findings)?,
    };
    Some(Upstream {
        number,
        name,
        provider: None,
        program: Some(program),
        hosts: Vec::new(),
        tls: TlsMode::None,
        username: None,
        password: None,
        auth: Auth::default(),
        oauth2: None,
        protection: super::plan::Protection::default(),
        requiretls: false,
        connections: whole(&written.connections, &RUNS, findings),
        pace: pace::plan(&written.pace, findings),
        keep: Keep::default(),
        helo: None,
        family: Family::default(),
        sources: Vec::new(),
        hook: None,
    })
}

fn command(written: &file::Upstream, table: &At<file::Upstream>, findings: &mut Findings<'_>) -> Option<PathBuf> {
    let Some(command) = &written.command else {
        findings
            .refuse(table.span(), "command is missing: the whole path of the program, such as \"/usr/sbin/sendmail\"");
        return None;
    };
    let path = Path::new(command.get_ref());
    if !path.is_absolute() || command.get_ref().contains(char::is_control) {
        let text = format!(
            "command: {:?}: write the whole path of one program, from / on; what it is told stands in arguments",
            command.get_ref()
        );
        findings.refuse(command.span(), text);
        return None;
    }
    Some(path.to_owned())
}

fn arguments(written: &file::Upstream, findings: &mut Findings<'_>) -> Vec<String> {
    let Some(list) = &written.arguments else { return Vec::new() };
    if let Some(beyond) = list.get(MOST_ARGUMENTS) {
        findings.refuse(beyond.span(), format!("arguments: at most {MOST_ARGUMENTS}"));
    }
    for argument in list {
        let text = argument.get_ref();
        if text.is_empty() || text.len() > LONGEST_ARGUMENT || text.contains(char::is_control) {
            let why =
                format!("arguments: each is one word of 1 to {LONGEST_ARGUMENT} octets, without control characters");
            findings.refuse(argument.span(), why);
        } else if says_the_envelope(text) {
            let why = format!(
                "arguments: {text:?}: sender and recipients are the envelope's, and said by the gate: take it away"
            );
            findings.refuse(argument.span(), why);
        }
    }
    list.iter().map(|argument| argument.get_ref().clone()).collect()
}

/// Whether a word takes sender or recipients from elsewhere, in any of the ways that programs of this kind know: alone, behind flags
/// that take no value (`-ti`), or by a long name.
fn says_the_envelope(word: &str) -> bool {
    let Some(flags) = word.strip_prefix('-') else { return false };
    if let Some(long) = flags.strip_prefix('-') {
        return ["", "read-recipients", "from", "read-envelope-from"]
            .iter()
            .any(|name| long.split('=').next() == Some(name));
    }
    let meant = flags.trim_start_matches(['G', 'i', 'm', 'n', 'v', 'U']);
    flags == "i" || meant.starts_with(['t', 'f', 'r'])
}

fn user(written: &file::Upstream, findings: &mut Findings<'_>) -> Option<String> {
    let user = written.user.as_ref()?;
    if user.get_ref() == "root" || !name::is_user(user.get_ref()) {
        let why = format!(
            "user: {:?}: name a system user that is not root, or leave it out for the mailer's own",
            user.get_ref()
        );
        findings.refuse(user.span(), why);
    }
    Some(user.get_ref().clone())
}

fn understands(written: &file::Upstream, findings: &mut Findings<'_>) -> Understands {
    let list = written.options.as_deref().unwrap_or_default();
    let words = list.iter().filter_map(|it| word(it, "options", &EXTENSIONS, &[], findings));
    let words: BTreeSet<Extension> = words.collect();
    Understands {
        eight_bit: words.contains(&Extension::EightBit),
        dsn: words.contains(&Extension::Dsn),
        utf8: words.contains(&Extension::Utf8),
    }
}

impl Plan {
    /// The programs that are run.
    pub fn programs(&self) -> impl Iterator<Item = &Program> {
        self.upstreams.iter().filter_map(|upstream| upstream.program.as_ref())
    }

    /// The slice of the mailer of one upstream.
    pub fn mailer_slice(&self, upstream: &Upstream, program: &Program) -> MailerSlice {
        MailerSlice {
            upstream: upstream.name.clone(),
            command: program.command.clone(),
            arguments: program.arguments.clone(),
            understands: program.understands,
            time_limit: program.time_limit,
            runs: upstream.connections,
        }
    }
}
