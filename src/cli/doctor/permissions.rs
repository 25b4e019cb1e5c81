//! Who owns the files and directories, and whom their modes let in.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::Look;
use super::finding::{Level, Sheet};
use super::secrets::secrets;
use super::unseen::Unseen;
use crate::parent;
use crate::role::{Role, TABLE};
use crate::sandbox::fallback_identity;

const OWNERS: &str = "whoever may write there decides what the service does, or reads what it keeps";

pub fn look(look: &Look<'_>, sheet: &mut Sheet) {
    configuration(look, sheet);
    files_of_secrets(look, sheet);
    state(look, sheet);
}

/// The user that the service is, or would be when it is started. None where that can't be known.
pub fn user(look: &Look<'_>) -> Option<u32> {
    look.service.user(&look.plan.state_directory, nix::unistd::geteuid().as_raw())
}

/// Whether a file may belong to this user. Where the service's is not known, nobody's is wrong.
fn may_own(owner: u32, own: Option<u32>) -> bool {
    own.is_none_or(|own| [0, own].contains(&owner))
}

/// The file, and the folders on the way to it.
fn configuration(look: &Look<'_>, sheet: &mut Sheet) {
    let path = &look.doctor.config.path;
    let own = user(look);
    let Ok(whole) = path.canonicalize() else {
        return sheet.skip("permissions.configuration", path.display().to_string(), "its real path can't be found");
    };
    for place in whole.ancestors() {
        let Ok(found) = fs::metadata(place) else { continue };
        let name = place.display();
        // In a sticky folder nobody can rename what is another's. Root's group is root.
        let is_sticky = found.mode() & 0o1000 != 0;
        let is_open = !is_sticky && (found.mode() & 0o002 != 0 || found.mode() & 0o020 != 0 && found.gid() != 0);
        if is_open {
            let mode = found.mode() & 0o7777;
            sheet.fail(
                "permissions.configuration",
                format!("{name}: mode {mode:04o} lets others than its owner write"),
                OWNERS,
                format!("chmod go-w {name}"),
            );
        } else if !may_own(found.uid(), own) {
            sheet.fail(
                "permissions.configuration",
                format!("{name}: belongs to user {}, who is neither root nor the service's", found.uid()),
                OWNERS,
                format!("chown root {name}, once you know why it does"),
            );
        }
    }
    if own.is_none() {
        return skip_owners(
            "permissions.configuration",
            "the owners of the configuration and its folders",
            look,
            sheet,
        );
    }
    sheet.pass_unless_told("permissions.configuration", "nobody but its owner can change the configuration");
}

fn files_of_secrets(look: &Look<'_>, sheet: &mut Sheet) {
    let own = user(look);
    let (mut count, mut unseen) = (0, Unseen::default());
    for (what, source) in secrets(look.plan) {
        let seen = source.path().and_then(|path| {
            path.map(|path| fs::metadata(&path).map(|found| (path, found)).map_err(|error| error.to_string()))
                .transpose()
        });
        let (path, found) = match seen {
            Ok(Some(both)) => both,
            // In the environment, or in the configuration, which is looked at by itself.
            Ok(None) => continue,
            Err(why) => {
                unseen.add(&what, source, &why);
                continue;
            }
        };
        count += 1;
        let (name, mode) = (path.display(), found.mode() & 0o7777);
        if mode & 0o007 != 0 {
            sheet.fail(
                "permissions.secrets",
                format!("{name} ({what}): mode {mode:04o} lets everybody in"),
                "every program on this machine has the secret then",
                format!("chmod o= {name}, and change the secret: it may be known"),
            );
        } else if mode & 0o020 != 0 || !may_own(found.uid(), own) {
            sheet.fail(
                "permissions.secrets",
                format!(
                    "{name} ({what}): user {} and mode {mode:04o}: others can put another secret there",
                    found.uid()
                ),
                OWNERS,
                format!("chown root {name} && chmod 0600 {name}"),
            );
        }
    }
    unseen.tell(&["permissions.secrets"], sheet);
    if own.is_none() {
        return skip_owners("permissions.secrets", "the owners of files with secrets", look, sheet);
    }
    sheet.pass_unless_told("permissions.secrets", format!("{count} files with secrets are closed to others"));
}

/// That nothing else was found, and not all could be looked at.
fn skip_owners(id: &'static str, what: &str, look: &Look<'_>, sheet: &mut Sheet) {
    if !sheet.0.iter().any(|finding| finding.id == id && finding.level > Level::Skip) {
        sheet.skip(id, what, look.service.silence().unwrap_or("the user of the service can't be known"));
    }
}

/// One directory of the service: who must own it, and the bits that it must not have.
struct Directory {
    path: PathBuf,
    owner: Option<u32>,
    excess: u32,
}

fn state(look: &Look<'_>, sheet: &mut Sheet) {
    let state = &look.plan.state_directory;
    // Somebody else's service: whose its directories must be isn't known, and this user's they are not.
    let Some(own) = user(look) else {
        let why = look.service.silence().unwrap_or("the user of the service can't be known");
        return sheet.skip("permissions.state", state.display().to_string(), why);
    };
    let vault = match own {
        0 if look.doctor.fallback_ids => Some(fallback_identity(Role::Vault).user),
        0 => vault_user(),
        own => Some(own),
    };
    let directory = |path: PathBuf, owner, excess| Directory { path, owner, excess };
    let all = [
        directory(state.clone(), Some(own), 0o022),
        directory(state.join("db"), vault, 0o077),
        directory(state.join("audit"), vault, 0o027),
        directory(state.join(parent::SEAL), Some(own), 0o077),
        directory(look.plan.master_directory.clone(), Some(own), 0o077),
        directory(look.plan.runtime_directory.clone(), Some(own), 0o077),
    ];
    for directory in &all {
        match fs::symlink_metadata(&directory.path) {
            Ok(found) => judge(directory, &found, sheet),
            Err(error) if error.kind() == io::ErrorKind::NotFound && look.service.silence().is_some() => {}
            Err(error) => sheet.skip("permissions.state", directory.path.display().to_string(), error.to_string()),
        }
    }
    match Path::new(state).exists() {
        true => sheet.pass_unless_told("permissions.state", "the directories of the service are its own, and closed"),
        false => sheet.skip("permissions.state", state.display().to_string(), "it is made at the first start"),
    }
}

fn judge(Directory { path, owner, excess }: &Directory, found: &Metadata, sheet: &mut Sheet) {
    let (name, mode) = (path.display(), found.mode() & 0o7777);
    if !found.is_dir() {
        sheet.fail(
            "permissions.state",
            format!("{name} is no directory"),
            "the service does not start",
            "move it away",
        );
    } else if mode & excess != 0 {
        sheet.fail(
            "permissions.state",
            format!("{name}: mode {mode:04o} lets others in"),
            "keys, mail or the log are there; the service refuses to start with it",
            format!("chmod {:04o} {name}, once you know who has been there", mode & !excess),
        );
    } else if let Some(owner) = owner.filter(|owner| *owner != found.uid()) {
        sheet.fail(
            "permissions.state",
            format!("{name}: belongs to user {}, and should to user {owner}", found.uid()),
            "only its process may write there; the service refuses to start with it",
            format!("chown {owner} {name}, once you know why it does"),
        );
    }
}

/// The vault's, where that user exists.
fn vault_user() -> Option<u32> {
    let row = TABLE.iter().find(|row| row.role == Role::Vault)?;
    nix::unistd::User::from_name(row.user?).ok()?.map(|user| user.uid.as_raw())
}

#[cfg(test)]
mod tests {
    use super::super::service::Service;
    use super::*;
    use crate::cli::doctor::Doctor;

    #[test]
    fn of_a_service_that_keeps_itself_to_itself_no_owner_is_wrong_and_modes_are() {
        let folder = tempfile::tempdir().unwrap();
        let (path, state) = (folder.path().join("gatepost.toml"), folder.path().join("state"));
        let text = format!(
            "version = 1\nhostname = \"gate.example.net\"\nstate_directory = {state:?}\n[[listener]]\nname = \"local\"\n\
             address = [\"127.0.0.1:2587\"]\nprotocol = \"smtp\"\ntls = \"none\"\n"
        );
        fs::write(&path, text).unwrap();
        let doctor = Doctor {
            json: false,
            offline: true,
            resolver: None,
            dkim_selector: Vec::new(),
            config: crate::cli::Config { path: path.clone() },
            fallback_ids: true,
        };
        let plan = crate::config::Config::load(&path).unwrap();
        let told = |service: Service| {
            let looked = Look { doctor: &doctor, plan: &plan, service, accounts: Vec::new() };
            let mut sheet = Sheet::default();
            look(&looked, &mut sheet);
            crate::cli::doctor::users::look(&looked, &mut sheet);
            sheet.0.iter().map(|finding| (finding.id, finding.level)).collect::<Vec<_>>()
        };
        let closed = told(Service::Closed("permission denied".to_owned()));
        let (configuration, secrets, state) = ("permissions.configuration", "permissions.secrets", "permissions.state");
        for id in [configuration, secrets, state, "users.exist"] {
            assert!(closed.contains(&(id, Level::Skip)), "{id}: {closed:?}");
        }
        assert!(told(Service::Stopped).contains(&(configuration, Level::Pass)));
        // Whoever's it is.
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o666)).unwrap();
        let closed = told(Service::Closed("permission denied".to_owned()));
        let of_it: Vec<_> = closed.iter().filter(|(id, _)| *id == configuration).collect();
        assert_eq!(of_it, [&(configuration, Level::Fail)]);
    }
}
