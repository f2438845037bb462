//! Containers of the simulated world: made, started, ended and removed.

use std::time::Duration;

use super::{Done, Thing, World, gone, held, mounted, refused};
use crate::{
    engine::{EngineError, Happening, Notice},
    name::ContainerName,
    plan::{Action, CreateContainer},
    project::{MountKind, RestartPolicy},
    state::{Condition, HeldPort, ImageFacts, Resource, Status},
};

impl World {
    pub fn create(&mut self, action: &Action, create: &CreateContainer) -> Done {
        if let Some(there) = self.containers.get(&create.name) {
            let same = there.generation == create.generation && there.service == create.service;
            return if same {
                Ok(None)
            } else {
                Err(refused(action, 409, "name is in use"))
            };
        }
        let by_id = |facts: &&ImageFacts| facts.id == create.image.as_str();
        let image = self
            .images
            .get(&create.image)
            .or_else(|| self.images.values().find(by_id));
        let Some(image) = image.map(|facts| facts.id.clone()) else {
            let cause = "no such image".to_owned();
            return Err(EngineError::NoImage {
                image: create.image.to_string(),
                cause,
            });
        };
        if let Some(peer) = create
            .peers
            .values()
            .find(|peer| !self.containers.contains_key(*peer))
        {
            return Err(gone(peer));
        }
        if let Some(missing) = create
            .networks
            .values()
            .find(|it| !self.networks.contains_key(*it))
        {
            return Err(refused(action, 404, format!("network {missing} not found")));
        }
        self.make_volumes(create);
        self.ids += 1;
        let thing = Thing {
            id: format!("{:064x}", self.ids),
            service: create.service.clone(),
            replica: create.replica,
            generation: create.generation,
            record: create.record.clone(),
            image,
            networks: create.networks.values().cloned().collect(),
            ports: create.spec.ports.clone(),
            mounts: create.spec.mounts.clone(),
            policy: RestartPolicy::No,
            condition: Condition::default(),
            started: Duration::ZERO,
            starts: 0,
            log: Vec::new(),
            setup: self.setup(create),
        };
        self.containers.insert(create.name.clone(), thing);
        Ok(None)
    }

    /// As a real engine does: a volume that is not there is made, without any label.
    pub fn make_volumes(&mut self, create: &CreateContainer) {
        for mount in &create.spec.mounts {
            if let MountKind::Volume { engine_name, .. } = &mount.kind {
                let made = Resource {
                    project: None,
                    name: None,
                    definition: None,
                    users: 0,
                    id: None,
                    record: None,
                };
                self.volumes.entry(engine_name.clone()).or_insert(made);
            }
        }
    }

    pub fn start(&mut self, action: &Action, name: &ContainerName, now: Duration) -> Done {
        let thing = self.containers.get(name).ok_or_else(|| gone(name))?;
        if thing.condition.status.is_up() {
            return Ok(None);
        }
        if let Some(missing) = thing
            .networks
            .iter()
            .find(|it| !self.networks.contains_key(*it))
        {
            return Err(refused(action, 404, format!("network {missing} not found")));
        }
        if let Some(stale) = self.stale(thing) {
            return Err(refused(action, 404, format!("network {stale} not found")));
        }
        if let Some((port, holder)) = self.taken(thing) {
            return Err(EngineError::PortTaken { port, holder });
        }
        let rival = self.containers.iter().find(|(other, it)| {
            *other != name
                && it.condition.status.is_up()
                && (&it.service, it.replica) == (&thing.service, thing.replica)
                && it.generation != thing.generation
                && mounted(it).any(|(_, volume, writable)| {
                    mounted(thing).any(|(_, mine, also)| mine == volume && (writable || also))
                })
        });
        let rival = rival.map(|(other, _)| format!("`{name}` and `{other}` write to one volume"));
        self.breaches.extend(rival);
        let thing = self.ours(name)?;
        thing.condition.status = Status::Running;
        thing.condition.restarts = 0;
        thing.begin(now);
        thing.starts += 1;
        thing.log = vec![format!(
            "{} of generation {} started",
            thing.service, thing.generation
        )];
        Ok(Some(Notice {
            container: name.clone(),
            what: Happening::Started,
        }))
    }

    /// The first of a container's ports that somebody else holds, and who.
    pub fn taken(&self, thing: &Thing) -> Option<(String, String)> {
        let ours = self
            .containers
            .iter()
            .filter(|(_, it)| it.condition.status.is_up())
            .map(|(name, it)| (name, held(it)));
        let others = self.foreign.iter().filter(|(_, it)| it.running);
        let others = others.map(|(name, it)| (name, it.ports.clone()));
        let holders: Vec<(&ContainerName, Vec<HeldPort>)> = ours.chain(others).collect();
        held(thing).into_iter().find_map(|wanted| {
            let clash =
                |it: &HeldPort| it.published == wanted.published && it.protocol == wanted.protocol;
            let holder = holders.iter().find(|(_, ports)| ports.iter().any(clash))?;
            Some((
                wanted.published.to_string(),
                format!("container `{}`", holder.0),
            ))
        })
    }

    pub fn stop(&mut self, name: &ContainerName) -> Done {
        let thing = self.ours(name)?;
        if !thing.condition.status.is_up() {
            return Ok(None);
        }
        thing.condition.status = Status::Exited;
        thing.condition.exit_code = Some(0);
        Ok(Some(Notice {
            container: name.clone(),
            what: Happening::Died { exit_code: 0 },
        }))
    }

    pub fn rename(&mut self, action: &Action, from: &ContainerName, to: &ContainerName) -> Done {
        if self.foreign.contains_key(to) {
            return Err(EngineError::Foreign {
                name: to.to_string(),
            });
        }
        match (
            self.containers.contains_key(from),
            self.containers.contains_key(to),
        ) {
            (true, true) => return Err(refused(action, 409, "name is in use")),
            (false, false) => return Err(gone(from)),
            (false, true) => {}
            (true, false) => {
                if let Some(thing) = self.containers.remove(from) {
                    self.containers.insert(to.clone(), thing);
                }
            }
        }
        Ok(None)
    }

    pub fn remove(&mut self, action: &Action, name: &ContainerName) -> Done {
        match self.containers.get(name) {
            Some(thing) if thing.condition.status.is_up() => {
                Err(refused(action, 409, "container is running"))
            }
            _ => {
                self.containers.remove(name);
                Ok(None)
            }
        }
    }
    /// A container ends by itself, unless its start is over already.
    pub fn end(
        &mut self,
        id: &str,
        starts: u64,
        exit_code: i64,
        out_of_memory: bool,
    ) -> Vec<Notice> {
        let found = self
            .containers
            .iter_mut()
            .find(|(_, it)| it.id == id && it.starts == starts);
        let Some((name, thing)) = found.filter(|(_, it)| it.condition.status.is_up()) else {
            return Vec::new();
        };
        let again = match thing.policy {
            RestartPolicy::No => false,
            RestartPolicy::Always | RestartPolicy::UnlessStopped => true,
            RestartPolicy::OnFailure { max } => {
                exit_code != 0 && (max == 0 || thing.condition.restarts < max)
            }
        };
        thing.condition.status = if again {
            Status::Restarting
        } else {
            Status::Exited
        };
        thing.condition.exit_code = Some(exit_code);
        thing.condition.oom_killed = out_of_memory;
        thing.log.push(format!("exiting with code {exit_code}"));
        let notice = |what| Notice {
            container: name.clone(),
            what,
        };
        let killed = out_of_memory.then(|| notice(Happening::OutOfMemory));
        killed
            .into_iter()
            .chain([notice(Happening::Died { exit_code })])
            .collect()
    }

    /// The engine starts a container again that ended by itself.
    pub fn restart(&mut self, id: &str, now: Duration) -> Option<Notice> {
        let found = self.containers.iter_mut().find(|(_, it)| it.id == id);
        let (name, thing) = found.filter(|(_, it)| it.condition.status == Status::Restarting)?;
        thing.condition.status = Status::Running;
        thing.condition.restarts += 1;
        thing.begin(now);
        thing.starts += 1;
        Some(Notice {
            container: name.clone(),
            what: Happening::Started,
        })
    }
}
