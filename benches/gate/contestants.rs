//! The relays that are compared, each set to do the same work, and what it was set to.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use crate::devices;
use crate::drain::Drain;
use crate::relay::CONNECTIONS;
use crate::support::LIMITS;
use crate::trial::postfix::Postfix;
use crate::trial::{Service, Setting, await_that, free_port};

pub struct Contestant {
    pub name: &'static str,
    pub port: u16,
    /// What it does for durability and how wide it works, in its own words.
    pub settings: String,
    house: House,
}

enum House {
    Gatepost(Box<Service>),
    Postfix(Box<Postfix>),
    Node(Node),
}

struct Node(Child);

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Contestant {
    /// The process from which all of its others come.
    pub fn parent(&self) -> u32 {
        match &self.house {
            House::Gatepost(service) => service.pid(),
            House::Postfix(postfix) => postfix.pid(),
            House::Node(node) => node.0.id(),
        }
    }
}

pub fn spool(drain: &Drain) -> Contestant {
    gatepost("gatepost", drain, "spool")
}

pub fn direct(drain: &Drain) -> Contestant {
    gatepost("gatepost", drain, "direct")
}

/// As it is installed: every message synced before 250, the audit log on, limits counted. Only the limits themselves are wide.
fn gatepost(name: &'static str, drain: &Drain, delivery: &str) -> Contestant {
    let port = free_port();
    let more = devices::listener(port) + &devices::credential("billing", "127.0.0.0/8", delivery);
    // One for each of the client's; so have the other relays.
    let upstream = format!("tls = \"none\"\nconnections = {CONNECTIONS}");
    let setting = Setting {
        host: Some(format!("127.0.0.1:{}", drain.port)),
        upstream,
        more,
        limits: LIMITS.to_owned(),
        ..Setting::default()
    };
    let service = Service::start_with(&setting);
    let settings = format!(
        "delivery = \"{delivery}\", synchronous=FULL, {CONNECTIONS} connections to the sink, audit log and limits on"
    );
    Contestant { name, port, settings, house: House::Gatepost(Box::new(service)) }
}

/// With the settings of Debian's package (100 processes of a kind), in a private place (no chroot, its log by postlogd); with the sink as its
/// relay host, and with as many connections there as the others
/// have, instead of 20.
pub fn postfix(drain: &Drain) -> Contestant {
    let sink = drain.port;
    let postfix = Postfix::launch(|_| {
        format!(
            "mynetworks = 127.0.0.0/8\nrelayhost = [127.0.0.1]:{sink}\nsmtp_host_lookup = native\nmyhostname = relay.test.example\n\
             default_destination_concurrency_limit = {CONNECTIONS}\n"
        )
    });
    let words = [
        "mail_version",
        "default_process_limit",
        "default_destination_concurrency_limit",
        "smtp_connection_cache_on_demand",
    ];
    let said = postfix.command("postconf", &words);
    let settings =
        String::from_utf8_lossy(&said.stdout).trim().replace('\n', ", ") + "; it syncs each queue file before 250";
    Contestant { name: "postfix", port: postfix.port(), settings, house: House::Postfix(Box::new(postfix)) }
}

/// A relay as one writes it in an afternoon, without a queue.
pub fn node(drain: &Drain) -> Result<Contestant, String> {
    let place = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/clients");
    if !place.join("node_modules/smtp-server").exists() {
        return Err("`tools/test.sh --no-run` installs what it needs".into());
    }
    // Its libraries are looked for from where the program is.
    let program = place.join("relay.mjs");
    fs::write(&program, include_str!("node.mjs")).map_err(|error| format!("{}: {error}", program.display()))?;
    let port = free_port();
    let child = Command::new("node")
        .arg(&program)
        .args([port.to_string(), drain.port.to_string(), CONNECTIONS.to_string()])
        .stdin(Stdio::null())
        .spawn()
        .map_err(|error| format!("node: {error}"))?;
    let node = Node(child);
    await_that("the Node relay listens", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
    let settings = format!("smtp-server and nodemailer's pool of {CONNECTIONS} connections; nothing is kept anywhere");
    Ok(Contestant { name: "node", port, settings, house: House::Node(node) })
}
