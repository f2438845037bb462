//! Images, networks and volumes of the simulated world.

use std::collections::{BTreeMap, BTreeSet};

use super::{Done, SimContainer, World, refused};
use crate::{
    engine::EngineError,
    name::{ImageRef, ProjectName},
    plan::{Action, BuildImage, CreateNetwork, halved},
    project::{Network, Subnet},
    state::Resource,
};

impl World {
    /// Builds an image. One of this name is there: built from the same, it is the same.
    pub fn build(&mut self, build: &BuildImage) {
        let there = build.tags.first().and_then(|tag| self.images.get(tag));
        let there = there.map(|facts| facts.id.clone());
        self.ids += 1;
        let id = there.unwrap_or_else(|| format!("sha256:built{}", self.ids));
        for tag in &build.tags {
            self.built.insert(tag.clone());
            self.add_image(tag.clone(), id.clone());
        }
    }

    pub fn pull(&mut self, image: &ImageRef) -> Done {
        if self.registry.contains(image) {
            self.add_image(
                image.clone(),
                format!(
                    "sha256:{}",
                    crate::secret::digest(image.as_str().as_bytes())
                ),
            );
            Ok(None)
        } else {
            let cause = "not found".to_owned();
            Err(EngineError::NoImage {
                image: image.to_string(),
                cause,
            })
        }
    }

    pub fn create_network(&mut self, action: &Action, create: &CreateNetwork) -> Done {
        self.ids += 1;
        let resource = Resource {
            id: Some(format!("{:064x}", self.ids)),
            record: serde_json::to_value(&create.network).ok(),
            subnets: self.subnets(&create.network),
            ..resource(&create.project, create.name.as_str(), &create.definition)
        };
        make(action, &mut self.networks, resource, true)
    }

    /// The ranges of a new network: as given, or one that no other network has.
    fn subnets(&self, network: &Network) -> Vec<Subnet> {
        if !network.subnets.is_empty() || network.driver != "bridge" || network.ipv6 {
            return network.subnets.clone();
        }
        let taken: BTreeSet<&String> = self
            .networks
            .values()
            .flat_map(|it| &it.subnets)
            .map(|it| &it.subnet)
            .collect();
        let mut ranges = (18..=255).map(|index| format!("172.{index}.0.0/16"));
        let free = ranges.find(|range| !taken.contains(range));
        free.and_then(|range| halved(&range)).into_iter().collect()
    }

    /// Takes a name away from an image; the last one not while a container is made from it.
    pub fn remove_image(&mut self, action: &Action, image: &ImageRef) -> Done {
        if let Some(facts) = self.images.get(image) {
            let named = self.images.values().filter(|it| it.id == facts.id).count();
            let used = self.containers.values().any(|it| it.image == facts.id);
            if named == 1 && used {
                return Err(refused(action, 409, "a container is using the image"));
            }
        }
        self.images.remove(image);
        self.built.remove(image);
        Ok(None)
    }

    pub fn remove_network(&mut self, name: &str) -> Done {
        if self.networks.get(name).is_some_and(|it| !self.is_ours(it)) {
            self.violations
                .push(format!("removing network `{name}`, which is not ours"));
            return Err(EngineError::NotOwned {
                name: name.to_owned(),
            });
        }
        if self.network_is_in_use(name) {
            return Err(in_use(format!("network `{name}`")));
        }
        self.networks.remove(name);
        Ok(None)
    }

    pub fn is_ours(&self, resource: &Resource) -> bool {
        resource.project.as_deref() == Some(self.project.as_str())
    }

    pub fn remove_volume(&mut self, name: &str) -> Done {
        if self.volumes.get(name).is_some_and(|it| !self.is_ours(it)) {
            self.violations
                .push(format!("removing volume `{name}`, which is not ours"));
            return Err(EngineError::NotOwned {
                name: name.to_owned(),
            });
        }
        let others = self.volumes.get(name).map_or(0, |it| it.users);
        if others + self.users_of_volume(name) > 0 {
            return Err(in_use(format!("volume `{name}`")));
        }
        self.volumes.remove(name);
        self.volume_generations.remove(name);
        self.data.remove(name);
        Ok(None)
    }

    /// Whether there is a network: one that was made, or one of the engine's own.
    pub fn has_network(&self, name: &str) -> bool {
        ["none", "host", "bridge"].contains(&name) || self.networks.contains_key(name)
    }

    /// Only what runs holds on to a network; of others' containers it is not known.
    fn network_is_in_use(&self, name: &str) -> bool {
        if self.networks.get(name).is_some_and(|it| it.users > 0) {
            return true;
        }
        let used =
            |it: &SimContainer| it.condition.status.is_up() && it.networks.contains_key(name);
        self.containers.values().any(used)
    }

    /// How many containers are attached to a network, running or not.
    pub fn users_of_network(&self, name: &str) -> usize {
        let attached = self
            .containers
            .values()
            .filter(|it| it.networks.contains_key(name));
        attached.count()
    }

    /// How many containers mount a volume, running or not.
    pub fn users_of_volume(&self, name: &str) -> usize {
        let mounts = |it: &&SimContainer| it.volumes.values().any(|volume| volume.name == name);
        self.containers.values().filter(mounts).count()
    }

    /// Anonymous volumes that nobody mounts go.
    pub fn prune_volumes(&mut self) {
        let unused = |name: &String| is_anonymous(name) && self.users_of_volume(name) == 0;
        let gone: Vec<String> = self
            .volumes
            .keys()
            .filter(|it| unused(it))
            .cloned()
            .collect();
        self.volumes.retain(|name, _| !gone.contains(name));
    }

    /// Networks that nothing running is attached to go.
    pub fn prune_networks(&mut self) {
        let used: Vec<String> = self
            .networks
            .keys()
            .filter(|name| self.network_is_in_use(name))
            .cloned()
            .collect();
        self.networks.retain(|name, _| used.contains(name));
    }

    /// Images that no container was made from go.
    pub fn prune_images(&mut self) {
        let used: Vec<&String> = self.containers.values().map(|it| &it.image).collect();
        self.images.retain(|_, facts| used.contains(&&facts.id));
        self.built.retain(|name| self.images.contains_key(name));
    }
}

fn in_use(thing: String) -> EngineError {
    EngineError::InUse {
        thing,
        users: "a container".to_owned(),
        help: "remove the container first".to_owned(),
    }
}

/// What nobody named.
pub(in crate::engine::sim) fn is_anonymous(volume: &str) -> bool {
    volume.len() == 64 && volume.bytes().all(|byte| byte.is_ascii_hexdigit())
}

pub(super) fn resource(project: &ProjectName, name: &str, definition: &str) -> Resource {
    Resource {
        project: Some(project.to_string()),
        name: Some(name.to_owned()),
        definition: Some(definition.to_owned()),
        users: 0,
        id: None,
        record: None,
        subnets: Vec::new(),
    }
}

/// Makes a network or a volume, unless it is there; `exact`: as it is asked for.
pub(super) fn make(
    action: &Action,
    those: &mut BTreeMap<String, Resource>,
    resource: Resource,
    exact: bool,
) -> Done {
    let name = action.object();
    match those.get(name) {
        Some(there) if there.project != resource.project => Err(EngineError::NotOwned {
            name: name.to_owned(),
        }),
        Some(there) if exact && there.definition != resource.definition => Err(refused(
            action,
            409,
            "it exists already with another definition",
        )),
        _ => {
            those.entry(name.to_owned()).or_insert(resource);
            Ok(None)
        }
    }
}
