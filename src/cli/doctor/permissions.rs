//! Who owns the files and directories, and whom their modes let in.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::Look;
use super::finding::{Level, Sheet};
use super::secrets::secrets;
use super::unseen::Unseen;
use crate::parent::{self, foreseen};

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
    for (what, fix) in whole.ancestors().filter_map(|place| way_in(place, own)) {
        sheet.fail("permissions.configuration", what, OWNERS, fix);
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

/// Who else may put something else there, in words, and what to do.
fn way_in(place: &Path, own: Option<u32>) -> Option<(String, String)> {
    let found = fs::metadata(place).ok()?;
    let name = place.display();
    // In a sticky folder nobody can rename what is another's. Root's group is root.
    let is_sticky = found.mode() & 0o1000 != 0;
    let is_open = !is_sticky && (found.mode() & 0o002 != 0 || found.mode() & 0o020 != 0 && found.gid() != 0);
    if is_open {
        let mode = found.mode() & 0o7777;
        let what = format!("{name}: mode {mode:04o} lets others than its owner write");
        return Some((what, format!("chmod go-w {name}")));
    }
    (!may_own(found.uid(), own)).then(|| {
        let what = format!("{name}: belongs to user {}, who is neither root nor the service's", found.uid());
        (what, format!("chown root {name}, once you know why it does"))
    })
}

/// The folders of what the configuration names, and those on the way to them. What the service keeps is looked at by itself, and so is
/// the configuration.
fn folders(look: &Look<'_>, sheet: &mut Sheet) {
    let plan = look.plan;
    let Ok(named) = parent::folders(plan, &look.doctor.config.path) else { return };
    let kept = [&plan.state_directory, &plan.master_directory];
    let elsewhere = look.doctor.config.path.canonicalize().unwrap_or_default();
    let places: BTreeSet<&Path> = named
        .iter()
        .filter(|folder| !kept.iter().any(|kept| folder.starts_with(kept)))
        .flat_map(|folder| folder.ancestors())
        .filter(|place| !elsewhere.starts_with(place))
        .collect();
    for (what, fix) in places.into_iter().filter_map(|place| way_in(place, user(look))) {
        sheet.fail(
            "permissions.secrets",
            what,
            "who may write there puts another key, certificate or secret there",
            fix,
        );
    }
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
    folders(look, sheet);
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

/// What a start would refuse of what is there, and what is too open.
fn state(look: &Look<'_>, sheet: &mut Sheet) {
    let state = &look.plan.state_directory;
    // Somebody else's service: whose its directories must be isn't known, and this user's they are not.
    let Some(own) = user(look) else {
        let why = look.service.silence().unwrap_or("the user of the service can't be known");
        return sheet.skip("permissions.state", state.display().to_string(), why);
    };
    let seen = foreseen::look(look.plan, own, look.doctor.fallback_ids);
    for text in seen.refused {
        sheet.fail(
            "permissions.state",
            text,
            "keys, mail or the log are there; the service does not start with it, also at the next upgrade",
            "as it says, once you know how it came to be so",
        );
    }
    for text in seen.open {
        sheet.fail(
            "permissions.state",
            text,
            "mail, or what auditors alone may read, is there",
            "as it says, once you know who has been there",
        );
    }
    for what in seen.unseen {
        sheet.skip("permissions.state", what, "it can't be looked at by this user, or without those that are missing");
    }
    match state.exists() {
        true => sheet.pass_unless_told("permissions.state", "what the service keeps is its own, and closed to others"),
        false => sheet.skip("permissions.state", state.display().to_string(), "it is made at the first start"),
    }
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
        fs::write(&path, crate::config::least(&state, "")).unwrap();
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
            let looked =
                Look { doctor: &doctor, plan: &plan, service, accounts: Vec::new(), overview: Err(String::new()) };
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
