//! Which jobs were leased by the routes that there are, and which by those before: who comes back from one of these is looked at again.

use super::Schedule;

#[derive(Default)]
pub struct Routes {
    /// Looks at everybody who waits that are under way: until they end a lease may be by either.
    looks: u32,
    /// The last job that was leased before the last of them ended.
    before: u64,
}

impl Routes {
    /// Whether that job may have been leased by other routes.
    pub const fn are_others(&self, job: u64) -> bool {
        self.looks > 0 || job <= self.before
    }
}

impl Schedule {
    /// The routes are others from here on; who waits is looked at.
    pub fn look_begins(&mut self) {
        self.routes.looks += 1;
    }

    pub fn look_ended(&mut self) {
        (self.routes.looks, self.routes.before) = (self.routes.looks.saturating_sub(1), self.jobs);
    }
}
