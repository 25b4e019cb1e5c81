//! A plan that is only tried: the same upstreams, and nothing else of what a service does.

use std::path::Path;

use super::plan::Plan;

impl Plan {
    /// Nobody can come in, nothing is anchored, and what is kept is kept in that folder.
    #[must_use]
    pub fn rehearsed(self, folder: &Path) -> Self {
        let (state, runtime) = (folder.join("state"), folder.join("run"));
        Self {
            master_directory: state.join("master"),
            state_directory: state,
            runtime_directory: runtime,
            listeners: Vec::new(),
            certificates: Vec::new(),
            credentials: Vec::new(),
            anchors: Vec::new(),
            ..self
        }
    }
}
