//! Resolves a whole service or job: image, dependencies, gate, update, hooks.

use std::collections::BTreeMap;

use super::{gate::has_gate, process::watch, resolver::Resolver};
use crate::{
    manifest,
    name::ServiceName,
    project::{Dependency, ImageSource, Kind, PullPolicy, Service, Until, Update, UpdateOrder},
};

impl Resolver<'_> {
    /// Resolves a service; `None` if an essential part is missing and the error is reported.
    pub(super) fn service(&mut self, service: &manifest::Service) -> Option<Service> {
        // Every part is resolved before the first return, so that all errors are reported at once.
        let image = self.image(service);
        let container = self.container(service);
        let depends_on = self.dependencies(service);
        let ready = self.gate(service);
        let post_start = self.hooks(&service.post_start);
        let pre_stop = self.hooks(&service.pre_stop);
        Some(Service {
            name: service.name.value.clone(),
            kind: match service.kind {
                manifest::Kind::Service => Kind::Service,
                manifest::Kind::Job { irreversible } => Kind::Job { irreversible },
            },
            image: image?,
            pull: match service.pull.map(|pull| pull.value) {
                None | Some(manifest::Pull::Missing) => PullPolicy::Missing,
                Some(manifest::Pull::Always) => PullPolicy::Always,
                Some(manifest::Pull::Never) => PullPolicy::Never,
            },
            platform: service.platform.as_ref().map(|p| p.value.clone()),
            replicas: service.replicas.map_or(1, |replicas| replicas.value),
            container_name: service.container_name.as_ref().map(|n| n.to_string()),
            container,
            depends_on,
            ready: ready?,
            update: update(service.update),
            post_start,
            pre_stop,
            watch: service.watch.iter().map(watch).collect(),
        })
    }

    fn image(&mut self, service: &manifest::Service) -> Option<ImageSource> {
        Some(match &service.image {
            manifest::ImageSource::Reference(image) => ImageSource::Reference(image.value.clone()),
            manifest::ImageSource::Build { build, name } => {
                ImageSource::Build(Box::new(self.build(build, name.as_ref())?))
            }
            manifest::ImageSource::Of(other) => {
                self.needs(&service.name, "takes the image of", other, other.span);
                ImageSource::Of(other.value.clone())
            }
        })
    }

    /// Resolves the declared dependencies, and those implied by resources that the container
    /// shares.
    fn dependencies(&mut self, service: &manifest::Service) -> BTreeMap<ServiceName, Dependency> {
        let mut dependencies = BTreeMap::new();
        for (other, given) in &service.depends_on {
            let there = if given.required {
                self.needs(&service.name, "depends on", other, given.span)
            } else {
                self.enabled.contains(other)
            };
            if !there {
                continue;
            }
            let until = match given.until {
                None => self.default_until(other),
                Some(manifest::Until::Started) => Until::Started,
                Some(manifest::Until::Ready) => Until::Ready,
                Some(manifest::Until::Completed) => Until::Completed,
            };
            let dependency = Dependency {
                until,
                required: given.required,
                restart: given.restart,
            };
            dependencies.insert(other.clone(), dependency);
        }
        for link in &service.links {
            let other = &link.service;
            if self.needs(&service.name, "links to", other, other.span) {
                let until = self.default_until(other);
                dependencies
                    .entry(other.value.clone())
                    .or_insert_with(|| implied(until, false));
            }
        }
        for other in self.shared_with(service) {
            // The shared resources are removed with the other container.
            dependencies
                .entry(other)
                .or_insert_with(|| implied(Until::Started, true))
                .restart = true;
        }
        dependencies
    }

    /// The services with namespaces or mounts that the container shares.
    fn shared_with(&self, service: &manifest::Service) -> Vec<ServiceName> {
        let isolation = &service.isolation;
        let namespaces = [&isolation.pid, &isolation.ipc].into_iter().flatten();
        let named = namespaces.filter_map(|given| given.value.strip_prefix("service:"));
        let network = match service.network_mode.as_ref().map(|mode| &mode.value) {
            Some(manifest::NetworkMode::Service(other)) => Some(other.as_str()),
            _ => None,
        };
        let mounts = service.volumes_from.iter().map(|(other, _)| other.as_str());
        named
            .chain(network)
            .chain(mounts)
            .filter_map(|name| self.enabled.get(name).cloned())
            .collect()
    }

    /// The default condition: a job must complete, and a service with a gate must pass it.
    fn default_until(&self, other: &ServiceName) -> Until {
        match self.manifest.services.get(other) {
            Some(other) if matches!(other.kind, manifest::Kind::Job { .. }) => Until::Completed,
            Some(other) if has_gate(other) => Until::Ready,
            _ => Until::Started,
        }
    }
}

fn implied(until: Until, restart: bool) -> Dependency {
    Dependency {
        until,
        required: true,
        restart,
    }
}

fn update(update: manifest::Update) -> Update {
    Update {
        order: match update.order {
            None | Some(manifest::UpdateOrder::Auto) => UpdateOrder::Auto,
            Some(manifest::UpdateOrder::StartFirst) => UpdateOrder::StartFirst,
            Some(manifest::UpdateOrder::StopFirst) => UpdateOrder::StopFirst,
        },
        drain: update.drain,
        keeps_address: update.keeps_address.unwrap_or(false),
        parallelism: update.parallelism.unwrap_or(1),
    }
}
