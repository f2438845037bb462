//! Internal networks for services that publish a port and start first.
//!
//! A new container can take over a port only after its gate passed without the port. For this it
//! needs an internal network in which it reaches its dependencies. If the manifest sets `update
//! order="start-first"` and has no such network, one is added.

use std::collections::BTreeMap;

use crate::{
    name::{NetworkName, ServiceName},
    project::{Attachment, Kind, Network, NetworkMode, Project, Service, UpdateOrder},
};

/// Adds the required networks that do not exist.
pub(super) fn add_networks(project: &mut Project) {
    let asking: Vec<ServiceName> = project
        .services
        .values()
        .filter(|service| is_asked_for(project, service))
        .map(|service| service.name.clone())
        .collect();
    for name in asking {
        let Ok(network) = NetworkName::new(format!("{name}-cutover")) else {
            continue;
        };
        let engine_name = format!("{}_{network}", project.name);
        let internal = Network {
            engine_name,
            external: false,
            driver: "bridge".to_owned(),
            internal: true,
            attachable: false,
            ipv6: false,
            options: BTreeMap::new(),
            subnets: Vec::new(),
            labels: BTreeMap::new(),
            service_names: None,
        };
        project.networks.entry(network.clone()).or_insert(internal);
        let mut members = dependencies(project, &name);
        members.push(name);
        for member in members {
            let service = project.services.get_mut(&member);
            if let Some(NetworkMode::Networks(attached)) =
                service.map(|service| &mut service.container.network)
            {
                attached.insert(network.clone(), Attachment::default());
            }
        }
    }
}

fn is_asked_for(project: &Project, service: &Service) -> bool {
    let NetworkMode::Networks(attached) = &service.container.network else {
        return false;
    };
    let inner: Vec<&NetworkName> = attached
        .keys()
        .filter(|name| {
            let network = project.networks.get(*name);
            network.is_some_and(|it| it.internal && !it.external)
        })
        .collect();
    let reaches = |other: &ServiceName| {
        let other = project.services.get(other).map(|it| &it.container.network);
        matches!(other, Some(NetworkMode::Networks(its))
            if inner.iter().any(|name| its.contains_key(*name)))
    };
    let dependencies = dependencies(project, &service.name);
    let publishes = service
        .container
        .ports
        .iter()
        .any(|it| it.published.is_some());
    let arranged = !inner.is_empty() && dependencies.iter().all(reaches);
    service.update.order == UpdateOrder::StartFirst
        && publishes
        && !attached.is_empty()
        && !arranged
}

/// The services that a service depends on and must reach.
fn dependencies(project: &Project, service: &ServiceName) -> Vec<ServiceName> {
    let service = project.services.get(service);
    let needs = service.into_iter().flat_map(|it| it.depends_on.keys());
    let kept = |name: &&ServiceName| {
        let other = project.services.get(*name);
        other.is_some_and(|it| it.kind == Kind::Service)
    };
    needs.filter(kept).cloned().collect()
}
