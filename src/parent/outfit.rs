//! What each post is handed at its start: its slice of the configuration, its files as open descriptors, its grounds.
//! An outfit is put together anew for each process, so that a replaced one gets what is on disk now, but for the files of
//! certificates.

mod errand;

use std::cell::RefCell;
use std::fs;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use serde::Serialize;
use zeroize::Zeroizing;

use super::launched::Launcher;
use super::opened::Opened;
use super::people::People;
use super::post::Post;
use super::state;
use super::syslog::Syslog;
use crate::config::hooks;
use crate::config::plan::{Bind, Oauth2, Place, Plan, Protection};
use crate::config::slice::{CourierSlice, Hook, Protocol, TlsMode, VaultSlice};
use crate::config::source::Source;
use crate::ipc::capsule;
use crate::ipc::control::File;
use crate::role::{Generation, Life, Role, TABLE};
use crate::sandbox::{self, Grounds, ParentGrounds};
use crate::secret::Secret;
use crate::vault;
use errand::{Errand, errand, program, upstream};

/// Descriptors a role needs beside its sessions: its channels, its log, its event loop, and neighbours being replaced.
const RESERVE: u64 = 128;
/// Where systems keep the bundle of authorities to verify servers with: Debian, OpenBSD, Fedora, Alpine.
const AUTHORITIES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/ssl/cert.pem",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
];
/// More than a secret has that is read here; what is longer is none.
const MAX_SECRET: u64 = 1024;
/// What the parent made or opened before it was confined, for the children of its whole life.
#[derive(Debug)]
pub struct Kept {
    /// The key of capsules: for listener and vault, never on disk.
    capsule: Secret<[u8; capsule::KEY]>,
    /// The sealer's two state slots, open for writing; the parent itself may open nothing for writing any more.
    slots: [OwnedFd; 2],
    /// The files that the sealer appends heads to, by the numbers of their anchors.
    anchors: Vec<(u16, OwnedFd)>,
    /// Where the sealer's lines go as well, when an anchor wants that.
    pub syslog: Option<Rc<RefCell<Syslog>>>,
    pub opened: Opened,
}

impl Kept {
    pub fn new(plan: &Plan, auditors: Option<u32>) -> Result<Self, String> {
        let mut key = [0; capsule::KEY];
        getrandom::fill(&mut key).map_err(|error| format!("asking the system for random octets: {error}"))?;
        let (mut anchors, mut syslog) = (Vec::new(), None);
        for (number, anchor) in plan.near_anchors() {
            match &anchor.place {
                Place::File { path } => anchors.push((number, state::anchor(path, auditors)?)),
                Place::Syslog { socket } => syslog = Some(Rc::new(RefCell::new(Syslog::new(socket)?))),
                Place::Mail { .. } | Place::Witness(_) => {}
            }
        }
        let (slots, opened) = (state::slots(&plan.state_directory)?, Opened::default());
        Ok(Self { capsule: Secret::new(key), slots, anchors, syslog, opened })
    }
}

#[derive(Debug)]
pub struct Outfit {
    pub grounds: Grounds,
    pub slice: Vec<u8>,
    pub files: Vec<(File, OwnedFd)>,
}

impl Outfit {
    pub fn assemble(
        (generation, plan): (Generation, &Plan),
        post: &Post,
        people: &People,
        kept: &Kept,
    ) -> Result<Self, String> {
        let said = |reason: String| format!("{post}: {reason}");
        Ok(Self {
            grounds: grounds(plan, post, people).map_err(said)?,
            slice: slice(plan, post, kept).map_err(said)?,
            files: files((generation, plan), post, kept).map_err(said)?,
        })
    }
}

/// The posts this configuration needs, in the order of the table: those that answer come before those that ask.
pub fn posts(plan: &Plan) -> Vec<Post> {
    let of_role = |role: Role| -> Vec<Post> {
        let edges = |protocol| {
            let zones = plan.edges().into_iter().filter(move |(of, _)| *of == protocol);
            zones.map(|(_, zone)| Post::new(role, &zone)).collect()
        };
        match role {
            Role::Parent => Vec::new(),
            Role::Keyholder if plan.certificates.is_empty() => Vec::new(),
            Role::Dialer if plan.dialer_slice().upstreams.is_empty() => Vec::new(),
            Role::Courier => {
                let by_courier = plan.upstreams.iter().filter(|upstream| upstream.program.is_none());
                let upstreams = by_courier.map(|upstream| Post::new(role, &upstream.name));
                let witnesses = plan.witness_labels().map(|label| Post::new(role, &label));
                let webhooks = plan.webhook_labels().map(|label| Post::new(role, &label));
                let turnstile = plan.turnstile_label().map(|label| Post::new(role, label));
                upstreams.chain(witnesses).chain(webhooks).chain(turnstile).collect()
            }
            Role::Mailer => {
                let run = plan.upstreams.iter().filter(|upstream| upstream.program.is_some());
                run.map(|upstream| Post::new(role, &upstream.name)).collect()
            }
            Role::EdgeSmtp => edges(Protocol::Smtp),
            Role::EdgeHttp => edges(Protocol::Http),
            Role::Keyholder | Role::Dialer | Role::Vault | Role::Sealer | Role::Listener => vec![Post::new(role, "")],
        }
    };
    TABLE.iter().flat_map(|row| of_role(row.role)).collect()
}

/// The posts that each generation fills anew.
pub fn posts_of_a_generation(plan: &Plan) -> impl Iterator<Item = Post> {
    posts(plan).into_iter().filter(|post| post.role.row().life == Life::Generation)
}

/// The slice of a post, encoded.
pub fn slice(plan: &Plan, post: &Post, kept: &Kept) -> Result<Vec<u8>, String> {
    fn encode(slice: &impl Serialize) -> Result<Vec<u8>, String> {
        postcard::to_stdvec(slice).map_err(|error| format!("encoding its slice of configuration: {error}"))
    }
    match post.role {
        Role::Parent => Ok(Vec::new()),
        Role::Listener => encode(&plan.listener_slice(&kept.capsule)),
        Role::EdgeSmtp => encode(&plan.edge_slice(Protocol::Smtp, &post.label)),
        Role::EdgeHttp => encode(&plan.edge_slice(Protocol::Http, &post.label)),
        Role::Keyholder => encode(&plan.keyholder_slice()),
        Role::Vault => encode(&VaultSlice { hooks: hooks(plan)?, ..plan.vault_slice(&kept.capsule) }),
        Role::Sealer => encode(&plan.sealer_slice()),
        Role::Dialer => encode(&plan.dialer_slice()),
        Role::Courier => encode(&match errand(plan, post)? {
            Errand::Witness(witness) => plan.witness_slice(witness),
            Errand::Webhook(webhook) => CourierSlice::Webhook(webhook.slice()),
            Errand::Turnstile(turnstile) => CourierSlice::Turnstile(turnstile.slice()),
            Errand::Mail(upstream) => plan.courier_slice(upstream),
        }),
        Role::Mailer => encode(&plan.mailer_slice(upstream(plan, post)?, program(plan, post)?)),
    }
}

/// The files of a post, open for reading only, save the sealer's two slots and what it appends to.
fn files((generation, plan): (Generation, &Plan), post: &Post, kept: &Kept) -> Result<Vec<(File, OwnedFd)>, String> {
    let mut files = Vec::new();
    let open = |file, source: &Source| kept.opened.take(generation, file, source);
    // The chains of these certificates, without their keys.
    let chains = |numbers: &[u16]| {
        let named = plan.certificates.iter().filter(|certificate| numbers.contains(&certificate.number));
        named
            .map(|certificate| open(File::Chain(certificate.number), &certificate.chain))
            .collect::<Result<Vec<_>, _>>()
    };
    match post.role {
        Role::EdgeSmtp | Role::EdgeHttp => {
            let protocol = if post.role == Role::EdgeHttp { Protocol::Http } else { Protocol::Smtp };
            files.extend(chains(&plan.edge_certificates(protocol, &post.label))?);
            for (listener, authorities) in plan.asking(protocol, &post.label) {
                files.push(open(File::ClientAuthorities(listener), authorities)?);
            }
        }
        Role::Keyholder => {
            for certificate in &plan.certificates {
                files.push(open(File::Chain(certificate.number), &certificate.chain)?);
                files.push(open(File::Key(certificate.number), &certificate.key)?);
            }
        }
        Role::Sealer => {
            files.push((File::LogKey, state::log_key(&plan.state_directory)?));
            for (number, slot) in (0..).zip(&kept.slots) {
                let slot = slot.try_clone().map_err(|error| format!("handing over its state: {error}"))?;
                files.push((File::Slot(number), slot));
            }
            for (number, file) in &kept.anchors {
                let file = file.try_clone().map_err(|error| format!("handing over the file of an anchor: {error}"))?;
                files.push((File::Anchor(*number), file));
            }
        }
        Role::Courier => {
            let authorities = match errand(plan, post)? {
                Errand::Witness(witness) => authorities(&witness.authorities, witness.tls)?,
                Errand::Turnstile(turnstile) => {
                    files.push((File::Password, turnstile.secret.open()?));
                    authorities(&turnstile.authorities, turnstile.url.tls)?
                }
                Errand::Webhook(webhook) => {
                    files.push((File::Password, webhook.secret.open()?));
                    if let Some(previous) = &webhook.previous {
                        files.push((File::PreviousSecret, previous.open()?));
                    }
                    authorities(&webhook.authorities, webhook.url.tls)?
                }
                Errand::Mail(upstream) => {
                    if let Some(password) = &upstream.password {
                        files.push((File::Password, password.open()?));
                    }
                    if let Some(oauth2) = &upstream.oauth2 {
                        files.extend(for_tokens(oauth2)?);
                    }
                    let Protection { authorities: source, own, .. } = &upstream.protection;
                    if let Some((chain, key)) = own {
                        files.push((File::OwnChain, chain.open()?));
                        files.push((File::OwnKey, key.open()?));
                    }
                    authorities(source, upstream.tls != TlsMode::None && upstream.protection.by_authority())?
                }
            };
            files.extend(authorities.map(|authorities| (File::Authorities, authorities)));
        }
        Role::Vault => {
            let directory = &plan.master_directory;
            files.push((File::MasterKey { next: false }, state::master_key(directory)?));
            if let Some(next) = state::next_master_key(directory)? {
                files.push((File::MasterKey { next: true }, next));
            }
        }
        // Its own start opens nothing: what is to be run must be there, and nobody else's to change.
        Role::Mailer => drop(program(plan, post)?.look()?),
        Role::Parent | Role::Listener | Role::Dialer => {}
    }
    Ok(files)
}

/// Where providers tell what became of mail, with what they sign with: to be told with the slice, as it changes with that.
fn hooks(plan: &Plan) -> Result<Vec<Hook>, String> {
    let read = |source: &Source, key: &str| {
        let mut octets = Zeroizing::new(Vec::new());
        let read = fs::File::from(source.open()?).take(MAX_SECRET).read_to_end(&mut octets);
        read.map_err(|error| format!("{source}: can't be read: {error}"))?;
        hooks::secret(&octets, key)
    };
    let all = plan.upstreams.iter().filter_map(|upstream| Some(upstream.hook.as_ref()?.slice(&upstream.name, read)));
    all.collect()
}

/// What a courier asks for tokens with, and whom it trusts then.
fn for_tokens(oauth2: &Oauth2) -> Result<Vec<(File, OwnedFd)>, String> {
    let secrets = [(File::ClientSecret, &oauth2.client_secret), (File::RefreshToken, &oauth2.refresh_token)];
    let opened = secrets.into_iter().filter_map(|(file, source)| Some(source.as_ref()?.open().map(|it| (file, it))));
    let mut files = opened.collect::<Result<Vec<_>, _>>()?;
    let trusted = authorities(&oauth2.authorities, oauth2.url.tls)?;
    files.extend(trusted.map(|authorities| (File::TokenAuthorities, authorities)));
    Ok(files)
}

/// What starts mailers, if there is one to be started. To be called before the parent is confined.
///
/// Errors: no program can do here what its file's owner or group may, and one has to.
pub fn launcher(plan: &Plan) -> Result<Option<Rc<Launcher>>, String> {
    let lets_change = sandbox::lets_programs_change();
    suit(plan, lets_change)?;
    if plan.programs().next().is_none() {
        return Ok(None);
    }
    let launcher = Launcher::start(lets_change).map_err(|error| format!("starting the launcher: {error}"))?;
    tracing::debug!(pid = launcher.pid(), "the launcher is started");
    Ok(Some(Rc::new(launcher)))
}

/// Looks whether all programs can be run here: at the start, and at a reload, which may name others. `lets_change`: they may become
/// their file's user or group.
///
/// Errors: one of them can't.
pub fn suit(plan: &Plan, lets_change: bool) -> Result<(), String> {
    for upstream in &plan.upstreams {
        let Some(program) = &upstream.program else { continue };
        let odd = program.look().map_err(|reason| format!("upstream {:?}: {reason}", upstream.name))?;
        for text in odd {
            tracing::warn!(upstream = upstream.name, warning = text, "something about an upstream's program is odd");
        }
        if lets_change {
            continue;
        }
        let remedy = "no_new_privs is set for this service: write NoNewPrivileges=no in its unit, and see systemd.exec(5) for what else \
                      sets it";
        if program.changes() {
            let path = program.command.display();
            return Err(format!(
                "upstream {:?}: command: {path} is setuid or setgid, and can't be here: {remedy}",
                upstream.name
            ));
        }
        tracing::warn!(
            upstream = upstream.name,
            "a program that is setuid or setgid, as Postfix's postdrop is, fails here: {remedy}"
        );
    }
    Ok(())
}

/// Whom to trust: what the configuration names, else the system's bundle.
fn authorities(source: &Option<Source>, tls: bool) -> Result<Option<OwnedFd>, String> {
    match source {
        Some(source) => source.open().map(Some),
        None if !tls => Ok(None),
        None => {
            let bundle = AUTHORITIES.iter().find_map(|path| fs::File::open(path).ok());
            let missing = || {
                "no bundle of certificate authorities was found: install ca-certificates, or set authorities_file"
                    .to_owned()
            };
            bundle.map(|file| Some(OwnedFd::from(file))).ok_or_else(missing)
        }
    }
}

/// Errors: a mailer's user was not looked up at the start.
pub fn grounds(plan: &Plan, post: &Post, people: &People) -> Result<Grounds, String> {
    let run = if post.role == Role::Mailer { Some(program(plan, post)?) } else { None };
    let identity = match run {
        Some(program) if people.are_separate() => {
            let known = people.mailer(program.user.as_deref()).cloned();
            Some(known.ok_or("its user was not looked up at the start: restart the service")?)
        }
        _ => people.identity(post.role).cloned(),
    };
    let empty = || Some(state::empty_directory(&plan.runtime_directory));
    let root = match post.role {
        _ if identity.is_none() => None,
        Role::Vault => Some(plan.state_directory.clone()),
        // It reads the resolver's files: /etc/hosts, resolv.conf, NSS modules.
        Role::Dialer => None,
        // A program needs whatever it needs.
        Role::Mailer => None,
        _ => empty(),
    };
    let sessions = u64::from(plan.limits.sessions);
    let descriptors = match post.role {
        Role::EdgeSmtp | Role::EdgeHttp | Role::Listener => sessions + RESERVE,
        Role::Courier | Role::Dialer => plan.connections() + 2 * RESERVE,
        _ => 2 * RESERVE,
    };
    let ports = if post.role == Role::Dialer { plan.ports().into_iter().collect() } else { Vec::new() };
    let home = (post.role == Role::Vault).then(|| plan.state_directory.clone());
    let sources = post.role == Role::Dialer && plan.has_sources();
    let program = run.map(|program| program.command.clone());
    Ok(Grounds { identity, root, home, ports, sources, program, descriptors })
}

/// The most descriptors any role of this configuration may have open.
pub fn descriptors(plan: &Plan) -> u64 {
    u64::from(plan.limits.sessions).max(plan.connections() + RESERVE) + RESERVE
}

/// Opens everything once, to say what is wrong before anything starts.
pub fn try_files((generation, plan): (Generation, &Plan), kept: &Kept) -> Result<(), String> {
    let files = |post| files((generation, plan), post, kept);
    posts(plan).iter().try_for_each(|post| files(post).map(drop).map_err(|reason| format!("{post}: {reason}")))
}

/// The folders of the configuration and of all files that it names: where each stands, and where a link leads.
pub fn folders(plan: &Plan, config: &Path) -> Result<Vec<PathBuf>, String> {
    parent_grounds(plan, config).map(|grounds| grounds.read)
}

/// What the parent may touch from its start on: what it and all its children need, and no more.
pub fn parent_grounds(plan: &Plan, config: &Path) -> Result<ParentGrounds, String> {
    let mut read: Vec<PathBuf> = AUTHORITIES.iter().map(PathBuf::from).filter(|path| path.exists()).collect();
    let mut folders = |path: &Path| {
        // A link is opened where it stands and read where it leads: certificates are often kept that way.
        let target = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        read.extend([path, &target].into_iter().filter_map(Path::parent).map(Path::to_owned));
    };
    folders(config);
    folders(&plan.master_directory.join(vault::master::CURRENT));
    for source in plan.sources() {
        source.path()?.iter().for_each(|path| folders(path));
    }
    let addresses = plan.listeners.iter().flat_map(|listener| &listener.addresses);
    let bind = addresses.filter_map(|address| match address {
        Bind::Address(address) => Some(address.port()),
        Bind::Systemd(_) => None,
    });
    Ok(ParentGrounds {
        read,
        write: vec![plan.state_directory.clone(), plan.runtime_directory.clone()],
        // A dialer that has a source address takes any free port.
        bind: bind.chain(plan.has_sources().then_some(0)).collect(),
        connect: plan.ports().into_iter().collect(),
    })
}
