//! What `gatepost sendmail` is told: where the gate is, whom it logs in as, and who is meant by a name without a domain.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use zeroize::Zeroizing;

use crate::mail::address::Address;
use crate::secret::Secret;

/// Where the gate listens by the configuration that it comes with.
const SERVER: &str = "127.0.0.1:2525";
/// The longest such file, and the longest password in a file of its own: what is longer was named by mistake.
const MAX_FILE: u64 = 64 << 10;
const MAX_PASSWORD: u64 = 1024;
/// The alias of all names that have none.
const EVERYBODY: &str = "*";

#[derive(Debug)]
pub struct Settings {
    /// Always of this machine: what is said to it is not encrypted.
    pub server: SocketAddr,
    pub username: String,
    pub password: Secret<String>,
    /// The password is proven, and never said.
    pub scram: bool,
    /// The sender of mail that names none.
    pub from: Option<Address>,
    /// The domain of names that have none.
    pub domain: Option<String>,
    aliases: BTreeMap<String, Vec<Address>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    server: Option<String>,
    username: Option<String>,
    password: Option<Secret<String>>,
    password_file: Option<PathBuf>,
    #[serde(default)]
    scram: bool,
    from: Option<String>,
    domain: Option<String>,
    #[serde(default)]
    aliases: BTreeMap<String, Vec<String>>,
}

impl Settings {
    /// Reads them, for a user by this number.
    ///
    /// Errors: what is wrong with the file, or with who may change or read it; no secret of it.
    pub fn load(path: &Path, user: u32) -> Result<Self, String> {
        let said = |why: String| format!("{}: {why}", path.display());
        let text = read(path, user, MAX_FILE)?;
        let written: Written = toml::from_str(&text).map_err(|error| said(place(&text, &error)))?;
        Self::of(written, user).map_err(said)
    }

    fn of(written: Written, user: u32) -> Result<Self, String> {
        let text = written.server.as_deref().unwrap_or(SERVER);
        let server = text.parse::<SocketAddr>().ok().filter(|server| server.ip().is_loopback()).ok_or_else(|| {
            format!("server: {text:?}: write an address of this machine and a port, such as {SERVER:?}: what is said is not encrypted")
        })?;
        let password = match (written.password, written.password_file) {
            (Some(password), None) => password,
            (None, Some(path)) => {
                let text = read(&path, user, MAX_PASSWORD)?;
                Secret::new(text.lines().next().unwrap_or_default().to_owned())
            }
            (Some(_), Some(_)) => return Err("password and password_file: name one of the two".to_owned()),
            (None, None) => return Err("password is missing, or password_file: the secret of a credential".to_owned()),
        };
        let username = written.username.unwrap_or_default();
        if username.is_empty() {
            return Err("username is missing: the id of a credential (gatepost credential add)".to_owned());
        }
        if password.expose().is_empty() || [&username, password.expose()].iter().any(|text| text.contains('\0')) {
            return Err("username, password: neither may be empty or have a NUL".to_owned());
        }
        let from = written.from.as_deref().map(|text| address("from", text)).transpose()?;
        if let Some(domain) = &written.domain {
            address("domain", &format!("a@{domain}"))?;
        }
        let domain = written.domain.or_else(|| from.as_ref().map(|from| from.domain().to_owned()));
        let mut aliases = BTreeMap::new();
        for (name, who) in written.aliases {
            let key = format!("aliases.{name}");
            let meant = who.iter().map(|text| address(&key, text)).collect::<Result<Vec<_>, _>>()?;
            if meant.is_empty() {
                return Err(format!("{key} is empty: name at least one address, or drop it"));
            }
            aliases.insert(name.to_lowercase(), meant);
        }
        Ok(Self { server, username, password, scram: written.scram, from, domain, aliases })
    }

    /// Who is meant by a name without a domain. None where there is nobody of that name, and no domain.
    pub fn meant(&self, name: &str) -> Option<Vec<Address>> {
        let known = self.aliases.get(&name.to_lowercase()).or_else(|| self.aliases.get(EVERYBODY));
        known.cloned().or_else(|| Some(vec![self.qualified(name)?]))
    }

    /// The address of a name without a domain.
    pub fn qualified(&self, name: &str) -> Option<Address> {
        Address::parse_international(&format!("{name}@{}", self.domain.as_ref()?)).ok()
    }
}

fn address(key: &str, text: &str) -> Result<Address, String> {
    Address::parse_international(text).map_err(|why| format!("{key}: {text:?}: {why}: write \"user@domain\""))
}

/// A file of the user's own, which nobody else may read, or one of root's. Nobody else may change either: whoever could, would read
/// all mail.
fn read(path: &Path, user: u32, most: u64) -> Result<Zeroizing<String>, String> {
    let said = |why: String| format!("{}: {why}", path.display());
    let file = File::open(path).map_err(|error| said(format!("can't be read: {error}")))?;
    let found = file.metadata().map_err(|error| said(format!("can't be read: {error}")))?;
    if !found.is_file() || found.len() > most {
        return Err(said(format!("is no file of at most {most} octets")));
    }
    if found.uid() != user && found.uid() != 0 {
        return Err(said("belongs to somebody else: chown it".to_owned()));
    }
    if found.mode() & 0o022 != 0 {
        return Err(said("can be changed by others: chmod go-w".to_owned()));
    }
    if found.uid() != 0 && found.mode() & 0o077 != 0 {
        return Err(said("can be read by others: chmod 600".to_owned()));
    }
    let mut text = Zeroizing::new(String::new());
    file.take(most).read_to_string(&mut text).map_err(|error| said(format!("can't be read: {error}")))?;
    Ok(text)
}

/// Where a file can't be understood, and why, without a value of it, which may be the password.
fn place(text: &str, error: &toml::de::Error) -> String {
    let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    let is_about_a_key = error.message().starts_with("unknown field");
    let why = if is_about_a_key { error.message() } else { "is not what can stand here, as TOML" };
    format!("line {line}: {why}")
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn understood(text: &str) -> Result<Settings, String> {
        let written = toml::from_str(text).map_err(|error| place(text, &error))?;
        Settings::of(written, 0)
    }

    const WHOLE: &str = "username = \"cron\"\npassword = \"hunter2\"\n";

    #[test]
    fn names_without_a_domain_are_who_the_file_says() {
        let more = "from = \"cron@example.net\"\n[aliases]\nRoot = [\"ops@example.net\", \"b@example.org\"]\n";
        let settings = understood(&format!("{WHOLE}{more}")).unwrap();
        let texts = |name| settings.meant(name).unwrap().iter().map(Address::to_string).collect::<Vec<_>>();
        assert_eq!(settings.server.to_string(), SERVER);
        assert_eq!(texts("rOOT"), ["ops@example.net", "b@example.org"]);
        assert_eq!(texts("www-data"), ["www-data@example.net"]);
        let everybody = understood(&format!("{WHOLE}[aliases]\n\"*\" = [\"ops@example.net\"]")).unwrap();
        assert_eq!(everybody.meant("x").unwrap()[0].to_string(), "ops@example.net");
        assert_eq!(understood(WHOLE).unwrap().meant("x"), None);
    }

    #[test]
    fn what_is_wrong_is_said_and_no_secret() {
        for (text, why) in [
            ("password = \"hunter2\"", "username is missing"),
            ("username = \"cron\"", "password is missing"),
            (&format!("{WHOLE}password_file = \"/x\""), "one of the two"),
            (&format!("{WHOLE}server = \"192.0.2.1:25\""), "an address of this machine"),
            (&format!("{WHOLE}server = \"mail.example.net\""), "an address of this machine"),
            (&format!("{WHOLE}from = \"cron\""), "from: \"cron\": no @"),
            (&format!("{WHOLE}domain = \"a b\""), "domain: "),
            (&format!("{WHOLE}[aliases]\nroot = [\"ops\"]"), "aliases.root: "),
            (&format!("{WHOLE}[aliases]\nroot = []"), "aliases.root is empty"),
            (&format!("{WHOLE}sever = \"127.0.0.1:25\""), "line 3: unknown field `sever`, expected one of `server`"),
            ("username = \"cron\"\npassword = hunter2", "line 2: "),
            ("username = \"cron\"\nscram = \"hunter2\"", "line 2: "),
        ] {
            let said = understood(text).unwrap_err();
            assert!(said.contains(why) && !said.contains("hunter2"), "{text}: {said}");
        }
    }

    #[test]
    fn a_file_that_others_can_change_is_not_believed_and_a_users_own_is_for_nobody_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sendmail.conf");
        let me = nix::unistd::geteuid().as_raw();
        fs::write(&path, WHOLE).unwrap();
        let loaded = |mode| {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            Settings::load(&path, me)
        };
        assert!(loaded(0o600).is_ok());
        assert!(loaded(0o620).unwrap_err().contains("can be changed by others"));
        assert!(loaded(0o602).unwrap_err().contains("can be changed by others"));
        // One of root's is for whom root lets read it.
        assert_eq!(loaded(0o644).is_ok(), me == 0);
        assert!(Settings::load(folder.path(), me).unwrap_err().contains("is no file"));
        fs::write(&path, "username = \"cron\"\npassword_file = \"NOWHERE\"\n").unwrap();
        assert!(loaded(0o600).unwrap_err().contains("NOWHERE: can't be read"));
        if me == 0 {
            std::os::unix::fs::chown(&path, Some(4711), None).unwrap();
            assert!(Settings::load(&path, 4712).unwrap_err().contains("belongs to somebody else"));
            assert!(Settings::load(&path, 4711).unwrap_err().contains("NOWHERE"));
            fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
            assert!(Settings::load(&path, 4711).unwrap_err().contains("can be read by others"));
        }
    }
}
