//! argon2: one password and its hash.

use argon2::password_hash::phc::{self, Output, PasswordHash};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use subtle::ConstantTimeEq;

use super::proof;
use crate::policy::derived::{ITERATIONS, Keys, Salt};
use crate::policy::phc::MOST_MEMORY;
use crate::secret::Secret;

/// 19 MiB, two passes, one lane: what OWASP recommends; about 15 ms on a slow core.
const MEMORY: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;
const OUTPUT: usize = 32;
/// What a thread works in, and keeps.
pub type Memory = Vec<Block>;

/// Whether the password is the one of this PHC string.
pub fn fits(password: &Secret<String>, phc: &Secret<String>, memory: &mut Memory) -> bool {
    let Ok(parsed) = PasswordHash::new(phc.expose()) else { return false };
    let (Some(salt), Some(expected)) = (parsed.salt, parsed.hash) else { return false };
    let Ok(algorithm) = Algorithm::try_from(parsed.algorithm.as_str()) else { return false };
    let Ok(params) = Params::try_from(&parsed) else { return false };
    let version = parsed.version.map_or(Ok(Version::default()), Version::try_from);
    let Ok(version) = version else { return false };
    if params.m_cost() > MOST_MEMORY {
        return false;
    }
    let blocks = params.block_count();
    if memory.len() < blocks {
        memory.resize(blocks, Block::default());
    }
    let mut output = Secret::new(vec![0; expected.as_bytes().len()]);
    let argon = Argon2::new(algorithm, version, params);
    let done = argon.hash_password_into_with_memory(password.expose().as_bytes(), &salt, output.expose_mut(), memory);
    done.is_ok() && bool::from(output.expose().as_slice().ct_eq(expected.as_bytes()))
}

/// Whether keys for SCRAM are derived from a secret, too.
#[derive(Clone, Debug)]
pub enum Scram {
    No,
    /// With this salt.
    Alone(Salt),
    /// With the salt of these, so that one challenge serves both secrets.
    Beside(Box<Keys>),
}

/// What is kept of a secret.
#[derive(Debug)]
pub struct Hashed {
    pub phc: Secret<String>,
    /// As text.
    pub scram: Option<Secret<String>>,
}

/// All that is kept of a password.
pub fn make(password: &Secret<String>, scram: &Scram, memory: &mut Memory) -> Result<Hashed, String> {
    let keys = match scram {
        Scram::No => None,
        Scram::Alone(salt) => Some(proof::with(password, ITERATIONS, *salt)?),
        Scram::Beside(other) => Some(proof::derive(password, Some(other))?),
    };
    Ok(Hashed { phc: hash(password, memory)?, scram: keys.as_ref().map(Keys::text) })
}

/// As `make`, without threads: for a command that opens the vault itself.
pub fn make_here(password: &Secret<String>, scram: &Scram) -> Result<Hashed, String> {
    make(password, scram, &mut Memory::new())
}

/// The PHC string of a password.
pub fn hash(password: &Secret<String>, memory: &mut Memory) -> Result<Secret<String>, String> {
    let wrong = |error: &dyn std::fmt::Display| format!("the key can't be hashed: {error}");
    let mut salt = [0; 16];
    getrandom::fill(&mut salt).map_err(|error| wrong(&error))?;
    let params = Params::new(MEMORY, PASSES, LANES, Some(OUTPUT)).map_err(|error| wrong(&error))?;
    let mut output = Secret::new([0; OUTPUT]);
    let blocks = params.block_count();
    if memory.len() < blocks {
        memory.resize(blocks, Block::default());
    }
    let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, params.clone());
    argon
        .hash_password_into_with_memory(password.expose().as_bytes(), &salt, output.expose_mut(), memory)
        .map_err(|error| wrong(&error))?;
    let phc = PasswordHash {
        algorithm: Algorithm::Argon2id.ident(),
        version: Some(Version::V0x13.into()),
        params: (&params).try_into().map_err(|error: argon2::password_hash::Error| wrong(&error))?,
        salt: Some(phc::Salt::new(&salt).map_err(|error| wrong(&error))?),
        hash: Some(Output::new(output.expose()).map_err(|error| wrong(&error))?),
    };
    Ok(Secret::new(phc.to_string()))
}

/// As `hash`, without threads.
pub fn hash_here(password: &Secret<String>) -> Result<Secret<String>, String> {
    hash(password, &mut Memory::new())
}

/// As `fits`, without threads.
pub fn fits_here(password: &Secret<String>, phc: &Secret<String>) -> bool {
    fits(password, phc, &mut Memory::new())
}
