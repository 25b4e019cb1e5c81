//! Anchors: where signed heads of the audit log are kept outside of it, and how often.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::file::{self, At, Config};
use super::findings::Findings;
use super::limits::{ANCHOR_MAIL, ANCHOR_NEAR, ANCHOR_WITNESS, Bound, time};
use super::plan::{label, word};
use super::source::Source;
use super::upstreams::{self, is_loopback};
use super::url::Url;
use crate::mail::address::Address;
use crate::merkle::cosignature::Cosigner;
use crate::policy::principal;
use crate::policy::route::{self, Route};

/// Where local programs hand their lines to syslog.
const SYSLOG: &str = "/dev/log";
/// Each is a process, or a file of the sealer's: more than this was meant otherwise.
const MOST: usize = 16;

#[derive(Clone, Debug)]
pub struct Anchor {
    pub name: String,
    pub every: Duration,
    pub place: Place,
}

/// What takes the heads.
#[derive(Clone, Debug)]
pub enum Place {
    Syslog { socket: PathBuf },
    File { path: PathBuf },
    Mail { to: Address, from: Address },
    Witness(Witness),
}

/// A C2SP tlog-witness.
#[derive(Clone, Debug)]
pub struct Witness {
    pub host: String,
    pub port: u16,
    /// Its submission prefix: what comes before `/add-checkpoint`.
    pub prefix: String,
    pub tls: bool,
    /// Its verifier key.
    pub key: String,
    /// Whom to trust; the system's authorities when absent.
    pub authorities: Option<Source>,
}

impl Anchor {
    /// The sealer makes it by itself, with what it was handed at the start.
    pub fn is_near(&self) -> bool {
        matches!(self.place, Place::Syslog { .. } | Place::File { .. })
    }

    /// Where that is.
    fn near_path(&self) -> Option<&Path> {
        match &self.place {
            Place::Syslog { socket: path } | Place::File { path } => Some(path),
            Place::Mail { .. } | Place::Witness(_) => None,
        }
    }

    pub fn witness(&self) -> Option<&Witness> {
        if let Place::Witness(witness) = &self.place { Some(witness) } else { None }
    }
}

/// Whether the sealer would make the same of both. The others change with a reload.
impl PartialEq for Anchor {
    fn eq(&self, other: &Self) -> bool {
        let meant = |anchor: &Self| (anchor.name.clone(), anchor.every, anchor.near_path().map(Path::to_owned));
        meant(self) == meant(other)
    }
}

/// `overdue` is when a missing success is an alarm.
pub fn plan(config: &Config, routes: &[Route], overdue: Duration, findings: &mut Findings<'_>) -> Vec<Anchor> {
    let mut names = BTreeSet::new();
    let mut anchors: Vec<Anchor> = Vec::new();
    if let Some(beyond) = config.anchor.get(MOST) {
        findings.refuse(beyond.span(), format!("anchor: at most {MOST}"));
    }
    for table in &config.anchor {
        let written = table.get_ref();
        let name = label(written.name.as_ref(), table, "name", &mut names, findings);
        let Some((bound, place)) = place(written, table, routes, findings) else { continue };
        let every = time(&written.every, bound, findings);
        if every >= overdue {
            let at = written.every.as_ref().map_or_else(|| table.span(), At::span);
            findings.refuse(at, "every: must be shorter than anchor_overdue under [audit], or each wait is an alarm");
        }
        let twice = |other: &Anchor| match (&other.place, &place) {
            (Place::Syslog { .. }, Place::Syslog { .. }) => true,
            (Place::File { path: one }, Place::File { path: other }) => one == other,
            _ => false,
        };
        if anchors.iter().any(twice) {
            findings.refuse(table.span(), "there is an anchor to the same place already");
        }
        anchors.push(Anchor { name, every, place });
    }
    anchors
}

/// The kind, and what only it needs. A key of another kind is a misunderstanding.
fn place(
    written: &file::Anchor,
    table: &At<file::Anchor>,
    routes: &[Route],
    findings: &mut Findings<'_>,
) -> Option<(&'static Bound<Duration>, Place)> {
    let Some(kind) = &written.kind else {
        findings.refuse(table.span(), "kind is missing: syslog, file, mail or witness");
        return None;
    };
    let kinds = ["syslog", "file", "mail", "witness"].map(|kind| (kind, kind));
    let kind = word(kind, "kind", &kinds, &[], findings)?;
    let keys = [
        ("socket", &written.socket, "syslog"),
        ("path", &written.path, "file"),
        ("to", &written.to, "mail"),
        ("from", &written.from, "mail"),
        ("url", &written.url, "witness"),
        ("key", &written.key, "witness"),
        ("authorities_file", &written.authorities_file, "witness"),
    ];
    for (key, value, of) in keys {
        if let Some(value) = value.as_ref().filter(|_| of != kind) {
            findings.refuse(value.span(), format!("{key}: only an anchor of kind {of:?} has it"));
        }
    }
    match kind {
        "syslog" => {
            let socket = written.socket.as_ref().map(|path| absolute(path, "socket", findings));
            Some((&ANCHOR_NEAR, Place::Syslog { socket: socket.unwrap_or_else(|| SYSLOG.into()) }))
        }
        "file" => {
            let path = needed(&written.path, "path", table, findings)?;
            Some((&ANCHOR_NEAR, Place::File { path: absolute(path, "path", findings) }))
        }
        "mail" => mail(written, table, routes, findings).map(|place| (&ANCHOR_MAIL, place)),
        _ => witness(written, table, findings).map(|place| (&ANCHOR_WITNESS, place)),
    }
}

fn needed<'a>(
    written: &'a Option<At<String>>,
    key: &str,
    table: &At<file::Anchor>,
    findings: &mut Findings<'_>,
) -> Option<&'a At<String>> {
    if written.is_none() {
        findings.refuse(table.span(), format!("{key} is missing"));
    }
    written.as_ref()
}

fn absolute(written: &At<String>, key: &str, findings: &mut Findings<'_>) -> PathBuf {
    let path = PathBuf::from(written.get_ref());
    if !path.is_absolute() {
        findings.refuse(written.span(), format!("{key}: write the whole path, from / on"));
    }
    path
}

fn mail(
    written: &file::Anchor,
    table: &At<file::Anchor>,
    routes: &[Route],
    findings: &mut Findings<'_>,
) -> Option<Place> {
    let mut address = |written: &Option<At<String>>, key: &str| {
        let written = needed(written, key, table, findings)?;
        let parsed = Address::parse(written.get_ref()).ok().filter(Address::is_qualified);
        if parsed.is_none() {
            findings.refuse(written.span(), format!("{key}: {:?} is not an address", written.get_ref()));
        }
        parsed
    };
    let (to, from) = (address(&written.to, "to"), address(&written.from, "from"));
    let (to, from) = (to?, from?);
    if route::find(routes, principal::GATE, &Some(from.clone()), &to).is_none() {
        findings.refuse(table.span(), format!("no route takes mail from {from} to {to}: the head would never leave"));
    }
    Some(Place::Mail { to, from })
}

fn witness(written: &file::Anchor, table: &At<file::Anchor>, findings: &mut Findings<'_>) -> Option<Place> {
    let (url, key) = (needed(&written.url, "url", table, findings), needed(&written.key, "key", table, findings));
    let (url, key) = (url?, key?);
    if let Err(why) = key.get_ref().parse::<Cosigner>() {
        findings.refuse(key.span(), format!("key: {why}"));
    }
    let parsed = Url::parse(url.get_ref()).filter(|url| !url.path.contains('?'));
    let Some(Url { tls, host, port, path }) = parsed else {
        let text = format!(
            "url: {:?}: write its submission prefix, such as \"https://witness.example.net/log\"",
            url.get_ref()
        );
        findings.refuse(url.span(), text);
        return None;
    };
    if !tls && !is_loopback(&host) {
        findings.refuse(url.span(), "url: http is for this machine only: write https");
    }
    if let Some(file) = written.authorities_file.as_ref().filter(|_| !tls) {
        findings.refuse(file.span(), "authorities_file: nobody's certificate is checked over http");
    }
    let authorities = upstreams::authorities(&written.authorities_file, findings);
    let prefix = path.trim_end_matches('/').to_owned();
    Some(Place::Witness(Witness { host, port, prefix, tls, key: key.get_ref().clone(), authorities }))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::config::Errors;

    #[test]
    fn an_anchor_that_could_not_work_is_refused_with_its_place() {
        let key = "witness.example.net/w1+0721e632+BJDvE95RcGRA8asbzKp6GVhnCZhVfIC3BHoYo8aS1Ojh";
        let good = format!(
            "[[anchor]]\nname = \"a\"\nkind = \"syslog\"\n\
             [[anchor]]\nname = \"b\"\nkind = \"file\"\npath = \"/heads\"\nevery = \"10m\"\n\
             [[anchor]]\nname = \"c\"\nkind = \"mail\"\nto = \"x@example.org\"\nfrom = \"y@example.net\"\n\
             [[anchor]]\nname = \"d\"\nkind = \"witness\"\nurl = \"https://w.example:8443/l\"\nkey = \"{key}\"\n"
        );
        let whole = |anchors: &str| {
            format!(
                "version = 1\nhostname = \"gate.example.net\"\n\
                 [[listener]]\nname = \"l\"\naddress = [\"127.0.0.1:2525\"]\nprotocol = \"smtp\"\n\
                 [[upstream]]\nname = \"u\"\nkind = \"smtp\"\nhosts = [\"smtp.example.net:587\"]\n\
                 [[route]]\nto = \"@example.org\"\nvia = [\"u\"]\n{anchors}"
            )
        };
        let load = |anchors: &str| {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("gatepost.toml");
            fs::write(&path, whole(anchors)).unwrap();
            Config::load(&path)
        };
        let plan = load(&good).unwrap();
        assert_eq!(plan.near_anchors().count(), 2);
        assert_eq!(plan.witness_labels().collect::<Vec<_>>(), ["anchor/d"]);
        assert!(plan.ports().contains(&8443) && plan.witness_of("u").unwrap().is_none());
        assert_eq!(plan.witness_of("anchor/d").unwrap().unwrap().prefix, "/l");
        for (from, to, why) in [
            ("kind = \"syslog\"", "kind = \"sylog\"", "did you mean \"syslog\"?"),
            ("kind = \"syslog\"", "", "kind is missing"),
            ("path = \"/heads\"", "path = \"heads\"", "write the whole path"),
            ("path = \"/heads\"", "", "path is missing"),
            ("every = \"10m\"", "every = \"1s\"", "every: must be from"),
            ("every = \"10m\"", "every = \"3d\"", "shorter than anchor_overdue"),
            ("every = \"10m\"", "to = \"x@example.org\"", "only an anchor of kind \"mail\" has it"),
            ("to = \"x@example.org\"", "to = \"x@example.com\"", "no route takes mail from y@example.net"),
            ("to = \"x@example.org\"", "to = \"nobody\"", "is not an address"),
            ("https://w.example:8443/l", "http://w.example:8443/l", "http is for this machine only"),
            ("https://w.example:8443/l", "w.example", "write its submission prefix"),
            ("https://w.example:8443/l", "https://w.example:8443/l?q", "write its submission prefix"),
            ("+0721e632+", "+0721e633+", "is not a witness' verifier key"),
            ("name = \"b\"", "name = \"a\"", "used twice"),
            (
                "name = \"b\"\nkind = \"file\"\npath = \"/heads\"",
                "name = \"b\"\nkind = \"syslog\"",
                "the same place already",
            ),
        ] {
            let Errors(errors) = load(&good.replacen(from, to, 1)).unwrap_err();
            assert!(errors.len() == 1 && errors[0].contains(why), "{why}: {errors:?}");
        }
    }
}
