//! Images, networks and volumes of the simulated world.

use std::collections::BTreeMap;

use super::{Done, Thing, World, mounted, refused};
use crate::{
    engine::EngineError,
    name::{ImageRef, ProjectName},
    plan::{Action, CreateNetwork},
    state::Resource,
};

impl World {
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

    pub fn create_network(&mut self, create: &CreateNetwork) -> Done {
        self.ids += 1;
        let resource = Resource {
            id: Some(format!("{:064x}", self.ids)),
            record: serde_json::to_value(&create.network).ok(),
            ..resource(&create.project, create.name.as_str(), &create.definition)
        };
        make(&mut self.networks, &create.network.engine_name, resource)
    }

    pub fn remove_network(&mut self, action: &Action, name: &str) -> Done {
        if self.networks.get(name).is_some_and(|it| !self.is_ours(it)) {
            self.breaches
                .push(format!("removing network `{name}`, which is not ours"));
            return Err(EngineError::Foreign {
                name: name.to_owned(),
            });
        }
        let used = |it: &Thing| it.condition.status.is_up() && it.networks.contains(name);
        if self.containers.values().any(used) {
            return Err(refused(action, 403, "network has active endpoints"));
        }
        self.networks.remove(name);
        Ok(None)
    }

    pub fn is_ours(&self, resource: &Resource) -> bool {
        resource.project.as_deref() == Some(self.project.as_str())
    }

    pub fn remove_volume(&mut self, action: &Action, name: &str) -> Done {
        if self.volumes.get(name).is_some_and(|it| !self.is_ours(it)) {
            self.breaches
                .push(format!("removing volume `{name}`, which is not ours"));
            return Err(EngineError::Foreign {
                name: name.to_owned(),
            });
        }
        if self
            .containers
            .values()
            .any(|it| mounted(it).any(|(_, volume, _)| volume == name))
        {
            return Err(refused(action, 409, "volume is in use"));
        }
        self.volumes.remove(name);
        Ok(None)
    }
}

pub(super) fn resource(project: &ProjectName, name: &str, definition: &str) -> Resource {
    Resource {
        project: Some(project.to_string()),
        name: Some(name.to_owned()),
        definition: Some(definition.to_owned()),
        users: 0,
        id: None,
        record: None,
    }
}

pub(super) fn make(those: &mut BTreeMap<String, Resource>, name: &str, resource: Resource) -> Done {
    match those.get(name) {
        Some(there) if there.project != resource.project => Err(EngineError::Foreign {
            name: name.to_owned(),
        }),
        _ => {
            those.entry(name.to_owned()).or_insert(resource);
            Ok(None)
        }
    }
}
