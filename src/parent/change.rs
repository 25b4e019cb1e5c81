//! A reload: a new generation beside the old one, and one switch when everybody is ready. All or nothing.
//!
//! 1. The new configuration is read and checked, new addresses are bound.
//! 2. A new generation of edges, keyholder, dialer, couriers and mailers starts and enters its sandbox.
//! 3. The vault takes its new slice, then the listener hands new connections to the new edges.
//! 4. The old generation serves its sessions to their end.
//!
//! Whatever fails before step 4 undoes all of it: the new processes end, the old ones never noticed, the reason is said.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::bind::Sockets;
use super::post::Post;
use super::{Parent, Phase, asked, outfit};
use crate::config::Plan;
use crate::config::shown::change::Change as Changed;
use crate::ipc::control::{Happening, Occasion, Order};
use crate::ipc::reload::{self, Verdict};
use crate::role::{Generation, Instance, Role};

/// A change that isn't done by then is given up.
const LONGEST_CHANGE: Duration = Duration::from_secs(60);
/// How long sessions of a replaced generation may go on; processes that are still there then are ended.
pub const LONGEST_FAREWELL: Duration = Duration::from_secs(3600);

/// What the parent must have made before it is confined.
const FIRST_PROGRAM: &str = "the first upstream of kind \"sendmail\"";
const USER_OF_PROGRAM: &str = "the user of an upstream of kind \"sendmail\"";

const HOST_NAME: &str = "hostname was changed, which names the audit log, and no start on this state takes another one: put it back, or do as \
                         docs/operations.md says under \"Another host name\"";

/// How far a change has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Hiring,
    Vault,
    Listener,
}

#[derive(Debug)]
pub struct Change {
    pub generation: Generation,
    plan: Rc<Plan>,
    sockets: Sockets,
    step: Step,
    until: Instant,
    occasion: Occasion,
}

/// Begins a reload, when the service serves and none is under way: one that is may have read the file before it was changed, so
/// another follows it.
pub fn begin(parent: &mut Parent) {
    if parent.phase != Phase::Serving {
        let reason = "the service starts or stops: ask again when that is done";
        tracing::warn!(reason, "a reload was asked for, and is not begun");
        return asked::refuse(parent, reason);
    }
    if parent.change.is_some() {
        return parent.watch.ask();
    }
    let generation = next_generation(parent);
    parent.asked.begin();
    let by = parent.asked.by();
    tracing::info!(generation = generation.0, config = %parent.config.display(), by, "reload begins");
    let prepared = parent.load().and_then(|mut plan| {
        keep(parent, &mut plan)?;
        prepare(parent, generation, Rc::new(plan), Occasion::Asked)
    });
    if let Err(reason) = prepared {
        give_up(parent, &reason);
    }
}

/// Begins a change to the same configuration with the files that it names as they are now. The caller has seen that
/// nothing else is under way.
pub fn renew(parent: &mut Parent) {
    let generation = next_generation(parent);
    let plan = Rc::clone(parent.plan());
    if let Err(reason) = prepare(parent, generation, plan, Occasion::Files) {
        undo(parent, &reason, Occasion::Files);
    }
}

fn next_generation(parent: &mut Parent) -> Generation {
    parent.last_generation = Generation(parent.last_generation.0 + 1);
    parent.last_generation
}

fn prepare(parent: &mut Parent, generation: Generation, plan: Rc<Plan>, occasion: Occasion) -> Result<(), String> {
    let sockets = parent.sockets.rebind(&plan)?;
    let until = Instant::now() + LONGEST_CHANGE;
    parent.plans.insert(generation, Rc::clone(&plan));
    // Before they are opened: what is written meanwhile is seen at the next look.
    parent.watch.learn(&plan);
    parent.change = Some(Change { generation, plan: Rc::clone(&plan), sockets, step: Step::Hiring, until, occasion });
    for post in outfit::posts_of_a_generation(&plan) {
        parent.hire(post, generation).map_err(|why| match new_folders(parent, &plan) {
            new if new.is_empty() => why,
            new => format!("{why}: {} held no such file at the start, and a new folder needs a restart", listed(&new)),
        })?;
    }
    advance(parent);
    Ok(())
}

/// Where files are that were named since, and that the rules from the start may let nobody read.
fn new_folders(parent: &Parent, after: &Plan) -> BTreeSet<PathBuf> {
    let Ok(folders) = outfit::folders(after, &parent.config) else { return BTreeSet::new() };
    let is_new = |folder: &PathBuf| !parent.folders.iter().any(|known| folder.starts_with(known));
    folders.into_iter().filter(is_new).collect()
}

fn listed(folders: &BTreeSet<PathBuf>) -> String {
    folders.iter().map(|folder| folder.display().to_string()).collect::<Vec<_>>().join(", ")
}

/// Refuses what only a restart can change, all of it at once, and lets listeners that stay keep their numbers.
fn keep(parent: &Parent, after: &mut Plan) -> Result<(), String> {
    let before = parent.plan();
    let mut changed: Vec<String> = to_restart(before, parent.sources, after).map(changed_key).collect();
    changed.extend(new_ports(&parent.ports, after));
    // What starts mailers is made, and their users are looked up, before the parent is confined.
    if parent.household.launcher.is_none() && after.programs().next().is_some() {
        changed.push(changed_key(FIRST_PROGRAM));
    }
    if !parent.people.suffice(after) {
        changed.push(changed_key(USER_OF_PROGRAM));
    }
    // A start with these programs would be refused.
    if let Some(launcher) = &parent.household.launcher {
        outfit::suit(after, launcher.lets_change)?;
    }
    // Not even by a restart: it would end what serves, and not come.
    let named = (before.hostname != after.hostname).then(|| HOST_NAME.to_owned());
    let rest = (!changed.is_empty()).then(|| format!("{}: restart the service, or put it back", changed.join("; ")));
    let refused: Vec<String> = named.into_iter().chain(rest).collect();
    if !refused.is_empty() {
        return Err(refused.join("; "));
    }
    keep_numbers(before, after);
    Ok(())
}

fn changed_key(key: &str) -> String {
    format!("{key} was changed to what needs a restart")
}

/// What was changed and only a restart can change.
fn to_restart(before: &Plan, sources: bool, after: &Plan) -> impl Iterator<Item = &'static str> {
    fixed(before, sources, after).into_iter().filter(|(_, same)| !same).map(|(key, _)| key)
}

/// What holds from the start to the end, and whether it is the same. `gatepost(8)` lists it.
fn fixed(before: &Plan, sources: bool, after: &Plan) -> [(&'static str, bool); 9] {
    [
        ("state_directory", before.state_directory == after.state_directory),
        ("runtime_directory", before.runtime_directory == after.runtime_directory),
        ("spool.master_key_directory", before.master_directory == after.master_directory),
        ("[log]", before.log == after.log),
        ("an anchor of kind syslog or file", before.near_anchors().eq(after.near_anchors())),
        ("spool.reserve", before.spool.reserve == after.spool.reserve),
        ("spool.ballast", before.spool.ballast == after.spool.ballast),
        ("limits.sessions", after.limits.sessions <= before.limits.sessions),
        // The parent's own rules, which all below it inherit, are from its start.
        ("the first source_address of an upstream", sources || !after.has_sources()),
    ]
}

/// Whose ports are not among those that the rules from the start let anybody connect to: in words.
fn new_ports(ports: &BTreeSet<u16>, after: &Plan) -> BTreeSet<String> {
    let new = after.dialed().filter(|(_, port)| !ports.contains(port));
    new.map(|(whose, port)| format!("port {port} of {whose} is new, and a new port needs a restart")).collect()
}

/// Gives listeners that stay their old numbers: a capsule made before the switch and shown after it still means the same listener.
fn keep_numbers(before: &Plan, after: &mut Plan) {
    let number_of = |name: &str| before.listeners.iter().find(|old| old.name == name).map(|old| old.number);
    let mut next = before.listeners.iter().map(|old| old.number).max().map_or(0, |most| most.saturating_add(1));
    for listener in &mut after.listeners {
        listener.number = number_of(&listener.name).unwrap_or_else(|| {
            next = next.saturating_add(1);
            next - 1
        });
    }
}

/// Goes on when everyone who is needed for the next step is ready.
pub fn advance(parent: &mut Parent) {
    let Some(change) = &mut parent.change else { return };
    if change.step != Step::Hiring || !parent.household.all_ready(change.generation) {
        return;
    }
    change.step = Step::Vault;
    let generation = change.generation;
    if let Err(reason) = tell_vault(parent, generation) {
        give_up(parent, &reason);
    }
}

fn tell_vault(parent: &Parent, generation: Generation) -> Result<(), String> {
    let plan = parent.plans.get(&generation).ok_or("the plan is gone")?;
    let vault = parent.household.the(Role::Vault).ok_or("the vault is not there to take the new configuration")?;
    let slice = outfit::slice(plan, &Post::new(Role::Vault, ""), &parent.kept)?;
    let told = vault.tell_slice(&slice).and_then(|()| vault.tell(&Order::Switch(generation), None));
    told.map_err(|error| format!("telling the vault: {error}"))
}

/// A service role has taken the new generation.
pub fn switched(parent: &mut Parent, instance: Instance, generation: Generation) {
    let role = parent.household.get(instance).map(|child| child.post.role);
    let Some(change) = parent.change.as_mut().filter(|change| change.generation == generation) else { return };
    match (change.step, role) {
        (Step::Vault, Some(Role::Vault)) => {
            change.step = Step::Listener;
            let told = parent.open_doors(generation);
            if let Err(reason) = told {
                give_up(parent, &reason);
            }
        }
        (Step::Listener, Some(Role::Listener)) => finish(parent),
        _ => tracing::warn!(?role, "a switch that nobody waits for was ignored"),
    }
}

fn finish(parent: &mut Parent) {
    let Some(change) = parent.change.take() else { return };
    let changes = parent.plan().written.changes(&change.plan.written);
    let before = std::mem::replace(&mut parent.generation, change.generation);
    parent.sockets = change.sockets;
    parent.notifier.keep(parent.sockets.own());
    // Those of older generations that fall are not replaced: nobody needs their configuration any more.
    parent.plans.retain(|generation, _| *generation == change.generation);
    parent.household.retire(LONGEST_FAREWELL, before);
    tracing::info!(
        generation = change.generation.0,
        changed = changes.len(),
        at = change.plan.addresses(),
        "reload done: new sessions use the new configuration"
    );
    let (generation, digest, occasion) = (change.generation, change.plan.digest.clone(), change.occasion);
    let changed = changes.iter().map(|change| change.key.clone()).collect();
    let by = parent.asked.by().filter(|_| occasion == Occasion::Asked);
    parent.record(Happening::Loaded { generation, digest, occasion, changed, by });
    if occasion == Occasion::Asked {
        let told = |Changed { key, before, after }| reload::Change { key, before, after };
        asked::tell(parent, Verdict::done(generation.0.into(), changes.into_iter().map(told).collect()));
    }
}

/// The vault can't take the new configuration.
pub fn refused(parent: &mut Parent, reason: &str) {
    if parent.change.is_some() {
        give_up(parent, reason);
    } else {
        tracing::error!(reason, "a process that serves reported a failure");
    }
}

/// Undoes what was begun. The old generation goes on as if nothing had happened.
pub fn give_up(parent: &mut Parent, reason: &str) {
    let occasion = parent.change.as_ref().map_or(Occasion::Asked, |change| change.occasion);
    undo(parent, reason, occasion);
}

/// The same of what was begun on this occasion, and may have failed before there was anything to undo.
fn undo(parent: &mut Parent, reason: &str, occasion: Occasion) {
    match occasion {
        Occasion::Files => tracing::error!(
            reason,
            "reload refused: the changed certificate files can't be used; those of before stay in use until the files change again"
        ),
        Occasion::Asked => tracing::error!(reason, "reload refused: nothing was changed"),
    }
    if let Some(change) = parent.change.take() {
        if change.occasion == Occasion::Asked {
            parent.watch.unlearn();
        }
        parent.household.undo(change.generation);
        parent.plans.remove(&change.generation);
        let current = parent.generation;
        if change.is_switching() {
            // A vault that is away comes back with the old configuration by itself.
            let vault = parent.household.the(Role::Vault).map_or(Ok(()), |_| tell_vault(parent, current));
            for error in [vault, parent.open_doors(current)].into_iter().filter_map(Result::err) {
                tracing::error!(error, "the old configuration could not be put back: restart the service");
            }
        }
    }
    let by = parent.asked.by().filter(|_| occasion == Occasion::Asked);
    parent.record(Happening::Rejected { reason: reason.to_owned(), occasion, by });
    if occasion == Occasion::Asked {
        asked::tell(parent, asked::refusal(reason));
    }
}

/// Gives up a change that takes too long.
pub fn expire(parent: &mut Parent, now: Instant) {
    let Some(change) = parent.change.as_ref().filter(|change| change.until <= now) else { return };
    let late = match change.step {
        Step::Hiring => parent.household.late(change.generation).join(", "),
        Step::Vault => Role::Vault.to_string(),
        Step::Listener => Role::Listener.to_string(),
    };
    give_up(parent, &format!("not everybody was ready in time: {late}"));
}

impl Change {
    /// The generation the listener is to serve already, when it is its turn.
    pub fn at_the_door(&self) -> Option<Generation> {
        (self.step == Step::Listener).then_some(self.generation)
    }

    /// Vault and listener are being told.
    pub fn is_switching(&self) -> bool {
        self.step != Step::Hiring
    }

    /// The sockets this change would listen on.
    pub fn sockets(&self) -> &Sockets {
        &self.sockets
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::config::Config;

    fn plan(more: &str) -> Plan {
        let text = format!(
            "version = 1\nhostname = \"gate.example.net\"\n[[listener]]\nname = \"local\"\n\
             address = [\"127.0.0.1:2587\"]\nprotocol = \"smtp\"\ntls = \"none\"\n\
             [[upstream]]\nname = \"smarthost\"\nkind = \"smtp\"\n\
             hosts = [\"smtp.example.net:587\"]\ntls = \"starttls\"\n[[route]]\nvia = [\"smarthost\"]\n{more}"
        );
        Config::foresee(Path::new("gatepost.toml"), &text).unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn a_new_port_is_said_with_its_number_and_whose_it_is() {
        let before = plan("");
        let hook = "[[webhook]]\nname = \"pager\"\nurl = \"https://pager.example.net:8443/\"\nsecret_file = \"/etc/gatepost/pager\"\n";
        let said: Vec<String> = new_ports(&before.ports(), &plan(hook)).into_iter().collect();
        assert_eq!(said, ["port 8443 of webhook \"pager\" is new, and a new port needs a restart"]);
        assert!(new_ports(&before.ports(), &plan(&hook.replace(":8443", ":587"))).is_empty());
    }

    /// The list of the page without its macros.
    fn listed() -> String {
        let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/man/gatepost.8")).unwrap();
        let (_, list) = page.split_once("So these changes need a restart").unwrap();
        let (list, _) = list.split_once(".El").unwrap();
        let words = list.split_whitespace().filter(|word| !word.starts_with('.'));
        words.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn the_page_lists_all_that_needs_a_restart() {
        let (plan, page) = (plan(""), listed());
        let keys = fixed(&plan, false, &plan).map(|(key, _)| key);
        for key in keys.into_iter().chain([FIRST_PROGRAM, USER_OF_PROGRAM]) {
            // A key is listed under its table, and a thing in words.
            let parts: Vec<String> = match key.split_once('.') {
                Some((table, key)) => vec![format!("[{table}]"), key.to_owned()],
                None => {
                    let bare = ["the ", "an "].iter().find_map(|article| key.strip_prefix(article)).unwrap_or(key);
                    vec![bare.replace('"', "")]
                }
            };
            for part in parts {
                assert!(page.contains(&part), "{key}: {part:?} is not in: {page}");
            }
        }
        for whose in ["an upstream", "token endpoint", "webhook", "witness"] {
            assert!(page.contains(whose), "{whose}: {page}");
        }
        assert!(!page.contains("hostname"), "no restart takes another one: {page}");
    }
}
