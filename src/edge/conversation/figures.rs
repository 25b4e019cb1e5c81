//! How the service is, as the vault says it to whoever answers those who watch it.

use std::sync::Arc;
use std::time::Duration;

use super::{Vault, Visit};
use crate::ipc::figures::Figures;

impl Vault {
    /// How the service is, as the vault there is now said it within that time.
    pub fn figures(&self, within: Duration) -> Option<Arc<Figures>> {
        let (said, figures) = self.current()?.figures()?;
        (said.elapsed() <= within).then_some(figures)
    }
}

impl Visit {
    /// The way to the vault that it uses.
    pub fn vault(&self) -> Vault {
        self.vault.clone()
    }
}
