//! `gatepost credential hash`: what the configuration file keeps of a secret instead of it.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::{show, source};
use crate::policy::derived::{self, Keys};
use crate::vault::login::{hashing, key, proof, strength};

#[derive(Debug, Args)]
pub struct Hash {
    /// A file with the secret in its only line, or "-" for standard input
    #[arg(long, value_name = "FILE", default_value = "-")]
    secret_file: PathBuf,
    /// The secret's public name: 4 to 32 letters and digits; made up when it is not given
    #[arg(long, value_name = "KEYID")]
    key: Option<String>,
    /// Also derive keys from the secret, by which a client can log in with SCRAM-SHA-256
    #[arg(long)]
    scram: bool,
    /// With --scram, beside which keys of the same credential these come: the iterations and the salt that those begin with
    #[arg(long, value_name = "COUNT:SALT", requires = "scram")]
    beside: Option<String>,
    /// Print {"key": ..., "hash": ..., "scram": ...} instead
    #[arg(long)]
    json: bool,
}

impl Hash {
    pub fn run(&self) -> Result<ExitCode, String> {
        let secret = source::line(&self.secret_file)?;
        strength::check(secret.expose())?;
        let key = match (key::id(secret.expose()), &self.key) {
            (Some(own), Some(id)) if own != id => {
                return Err(format!("the secret is a key of Gatepost's with the key id {own:?}, not {id:?}"));
            }
            (Some(own), _) => own.to_owned(),
            (None, Some(id)) => id.clone(),
            (None, None) => key::fresh_id()?,
        };
        let scram = match &self.beside {
            _ if !self.scram => None,
            None => Some(proof::derive(&secret, None)?),
            Some(text) => {
                let (iterations, salt) = derived::head(text).map_err(|why| format!("--beside: it {why}"))?;
                Some(proof::with(&secret, iterations, salt)?)
            }
        };
        show::hashed(&key, &hashing::hash_here(&secret)?, scram.as_ref().map(Keys::text).as_ref(), self.json)
    }
}
