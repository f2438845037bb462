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
    /// Builds an image. An image with this name is kept: equal inputs build an equal image.
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

    /// The subnets of a new network: the configured ones, or one that no other network uses.
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

    /// Removes a name from an image. The last name cannot be removed while a container uses the
    /// image.
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

    /// Whether a network exists, created or built in.
    pub fn has_network(&self, name: &str) -> bool {
        ["none", "host", "bridge"].contains(&name) || self.networks.contains_key(name)
    }

    /// Only running containers keep a network in use. For containers of other projects this is
    /// unknown, so that all of them count.
    fn network_is_in_use(&self, name: &str) -> bool {
        if self.networks.get(name).is_some_and(|it| it.users > 0) {
            return true;
        }
        let used =
            |it: &SimContainer| it.condition.status.is_up() && it.networks.contains_key(name);
        self.containers.values().any(used)
    }

    /// Number of containers that are attached to a network, running or not.
    pub fn users_of_network(&self, name: &str) -> usize {
        let attached = self
            .containers
            .values()
            .filter(|it| it.networks.contains_key(name));
        attached.count()
    }

    /// Number of containers that mount a volume, running or not.
    pub fn users_of_volume(&self, name: &str) -> usize {
        let mounts = |it: &&SimContainer| it.volumes.values().any(|volume| volume.name == name);
        self.containers.values().filter(mounts).count()
    }

    /// Removes the anonymous volumes that no container mounts.
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

    /// Removes the networks without running containers.
    pub fn prune_networks(&mut self) {
        let used: Vec<String> = self
            .networks
            .keys()
            .filter(|name| self.network_is_in_use(name))
            .cloned()
            .collect();
        self.networks.retain(|name, _| used.contains(name));
    }

    /// Removes the images that no container uses.
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

/// Whether a volume name was generated by the engine.
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

/// Creates a network or a volume, unless it exists. With `exact`, an existing one must have the
/// same definition.
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
