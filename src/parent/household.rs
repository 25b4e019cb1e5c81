//! The living children, and the channels between them.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::AsFd;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::child::{Child, Standing, packet_pair, stream_pair};
use super::launched::Launcher;
use super::outfit::Outfit;
use super::post::Post;
use crate::ipc::control::{Order, Peer};
use crate::role::link::{self, End, Wire};
use crate::role::{Generation, Instance, Life, Role};

/// A child must be in its sandbox by then. It takes some 30 ms; a loaded machine may need a hundred times as long.
const READY_WITHIN: Duration = Duration::from_secs(30);

#[derive(Debug, Default)]
pub struct Household {
    children: BTreeMap<Instance, Child>,
    hired: u32,
    /// What starts mailers, where there was one to be started from the beginning.
    pub launcher: Option<Rc<Launcher>>,
}

impl Household {
    pub fn with(launcher: Option<Rc<Launcher>>) -> Self {
        Self { launcher, ..Self::default() }
    }

    /// Starts a process for a post, hands it all it is to hold, and introduces it to those it talks to.
    pub fn hire(&mut self, post: Post, generation: Generation, outfit: &Outfit) -> io::Result<Instance> {
        self.hired += 1;
        let instance = Instance(self.hired);
        let mut child = Child::spawn(post, instance, generation, READY_WITHIN, self.launcher.as_ref())?;
        if let Err(error) = self.equip(&child, outfit) {
            child.end();
            return Err(error);
        }
        self.children.insert(instance, child);
        Ok(instance)
    }

    fn equip(&self, child: &Child, outfit: &Outfit) -> io::Result<()> {
        let you = Order::You {
            role: child.post.role,
            instance: child.instance,
            generation: child.generation,
            label: child.post.label.clone(),
            grounds: outfit.grounds.clone(),
        };
        child.tell(&you, None)?;
        child.tell_slice(&outfit.slice)?;
        for (file, descriptor) in &outfit.files {
            child.tell(&Order::File(file.clone()), Some(descriptor.as_fd()))?;
        }
        self.introduce(child)?;
        child.tell(&Order::Enter, None)
    }

    /// Makes the channels that the table of links allows between the new child and those who live.
    fn introduce(&self, new: &Child) -> io::Result<()> {
        for (link, end) in link::of(new.post.role) {
            let (role, other_end) = match end {
                End::Asks => (link.answers, End::Answers),
                End::Answers => (link.asks, End::Asks),
            };
            let suits = |child: &Child| link.suits(child.post.role, &child.post.label);
            let fits = |other: &&Child| other.post.role == role && may_meet(new, other) && suits(new) && suits(other);
            for other in self.children.values().filter(fits) {
                let (ours, theirs) = match link.wire {
                    Wire::Stream => stream_pair()?,
                    Wire::Packet => packet_pair()?,
                };
                let peer = |whom: &Child, end| Peer {
                    talk: link.talk,
                    end,
                    role: whom.post.role,
                    instance: whom.instance,
                    generation: whom.generation,
                    label: whom.post.label.clone(),
                };
                new.tell(&Order::Peer(peer(other, end)), Some(ours.as_fd()))?;
                // One that can't be told is dying, or stuck: it is replaced, and its successor introduced to this one.
                if other.tell(&Order::Peer(peer(new, other_end)), Some(theirs.as_fd())).is_err() {
                    other.kill();
                }
            }
        }
        Ok(())
    }

    pub fn get(&self, instance: Instance) -> Option<&Child> {
        self.children.get(&instance)
    }

    pub fn get_mut(&mut self, instance: Instance) -> Option<&mut Child> {
        self.children.get_mut(&instance)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Child> {
        self.children.values()
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Child> {
        self.children.values_mut()
    }

    pub fn remove(&mut self, instance: Instance) -> Option<Child> {
        self.children.remove(&instance)
    }

    /// The one process of a service role, when it is ready.
    pub fn the(&self, role: Role) -> Option<&Child> {
        self.children.values().find(|child| child.post.role == role && child.is_ready())
    }

    /// Whether everyone of this generation has entered the sandbox. Those of the service count with each generation.
    pub fn all_ready(&self, generation: Generation) -> bool {
        self.counted(generation).all(Child::is_ready)
    }

    /// Those for whom `all_ready` waits, by name.
    pub fn late(&self, generation: Generation) -> Vec<String> {
        self.counted(generation).filter(|child| !child.is_ready()).map(|child| child.post.to_string()).collect()
    }

    fn counted(&self, generation: Generation) -> impl Iterator<Item = &Child> {
        let counts =
            move |child: &&Child| child.generation == generation || child.post.role.row().life == Life::Service;
        self.children.values().filter(counts)
    }

    /// Tells those roles to finish what is at hand, and gives them a time.
    pub fn drain(&mut self, within: Duration, roles: &[Role]) {
        self.dismiss(&Order::Drain, within, |child| roles.contains(&child.post.role));
    }

    /// Lets a replaced generation serve its sessions to their end, up to a time.
    pub fn retire(&mut self, within: Duration, generation: Generation) {
        let of_it = |child: &Child| child.generation == generation && child.post.role.row().life == Life::Generation;
        self.dismiss(&Order::Retire, within, of_it);
    }

    /// Ends everybody of a generation that will not serve.
    pub fn undo(&mut self, generation: Generation) {
        let of_it =
            |child: &&mut Child| child.generation == generation && child.post.role.row().life == Life::Generation;
        for child in self.children.values_mut().filter(of_it) {
            child.standing = Standing::Draining { until: Instant::now() };
            child.kill();
        }
    }

    fn dismiss(&mut self, order: &Order, within: Duration, whom: impl Fn(&Child) -> bool) {
        for child in self.children.values_mut().filter(|child| whom(child)) {
            child.standing = Standing::Draining { until: Instant::now() + within };
            // One that can't be told is dying already.
            let _ = child.tell(order, None);
        }
    }
}

/// Processes of a generation keep to their own; those of the service meet everybody. Who is leaving meets nobody new.
fn may_meet(new: &Child, other: &Child) -> bool {
    let both_of_a_generation =
        new.post.role.row().life == Life::Generation && other.post.role.row().life == Life::Generation;
    let leaving = matches!(other.standing, Standing::Draining { .. });
    !leaving && (!both_of_a_generation || new.generation == other.generation)
}
