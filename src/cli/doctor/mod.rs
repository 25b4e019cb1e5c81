//! `gatepost doctor`: the list of what is to be looked at before and after a deployment, looked at. It changes nothing.

mod alerts;
mod audit;
mod configuration;
mod disk;
mod dns;
mod domains;
mod exposure;
mod finding;
mod limits;
mod machine;
mod pages;
mod permissions;
mod policy;
mod sandbox;
mod secrets;
mod service;
mod show;
mod tls;
mod unseen;
mod upstreams;
mod users;

use std::net::SocketAddr;
use std::process::ExitCode;

use clap::Args;

use super::Config;
use crate::cli::out::say;
use crate::config::Config as Configuration;
use crate::config::plan::Plan;
use crate::ipc::admin::overview::Overview;
use crate::vault::audit::visible::visible_json;
pub use audit::taken;
use finding::{Level, Sheet};
use service::Service;

/// Nothing failed, and something is not as it should be. 1 is that something failed, as everywhere.
const WARNED: u8 = 3;

#[derive(Debug, Args)]
pub struct Doctor {
    /// Print one object instead
    #[arg(long)]
    json: bool,
    /// Ask no name server: what the domains of senders publish is not looked at
    #[arg(long)]
    offline: bool,
    /// Ask this name server, instead of those of the system
    #[arg(long, value_name = "ADDRESS:PORT", conflicts_with = "offline")]
    resolver: Option<SocketAddr>,
    /// A selector of DKIM that the upstream signs with; can be given several times
    #[arg(long, value_name = "NAME", conflicts_with = "offline")]
    dkim_selector: Vec<String>,
    #[command(flatten)]
    config: Config,
    /// As root, when the system users are missing: the service was started with made-up user ids
    #[arg(long, hide = true)]
    fallback_ids: bool,
}

/// What all of it is looked at with.
struct Look<'a> {
    doctor: &'a Doctor,
    plan: &'a Plan,
    service: Service,
    /// Those of the running vault and of the file, or of the file alone.
    accounts: Vec<service::Account>,
    /// What the running one tells of itself; else why it doesn't.
    overview: Result<Overview, String>,
}

impl Doctor {
    pub fn run(&self) -> ExitCode {
        let sheet = self.look();
        match self.json {
            true => say!("{}", visible_json(&show::object(&sheet).to_string())),
            false => show::lines(&sheet).iter().for_each(|line| say!("{line}")),
        }
        match sheet.worst() {
            Level::Pass | Level::Skip => ExitCode::SUCCESS,
            Level::Warn => WARNED.into(),
            Level::Fail => ExitCode::FAILURE,
        }
    }

    fn look(&self) -> Sheet {
        let mut sheet = Sheet::default();
        let plan = match Configuration::load(&self.config.path) {
            Ok(plan) => plan,
            Err(mistakes) => {
                configuration::refused(&self.config.path, &mistakes, &mut sheet);
                return sheet;
            }
        };
        let service = Service::find(&plan);
        let accounts = service::accounts(&plan, &service, &mut sheet);
        let overview = service::overview(&plan, &service);
        let look = Look { doctor: self, plan: &plan, service, accounts, overview };
        let families: [fn(&Look<'_>, &mut Sheet); 15] = [
            configuration::look,
            permissions::look,
            secrets::look,
            policy::look,
            limits::look,
            exposure::look,
            tls::look,
            users::look,
            sandbox::look,
            disk::look,
            audit::look,
            alerts::look,
            machine::look,
            upstreams::look,
            domains::look,
        ];
        families.iter().for_each(|family| family(&look, &mut sheet));
        sheet
    }
}
