//! Resolves networks, volumes, and the attachment of containers to networks.

use std::collections::{BTreeMap, BTreeSet};

use super::{default_network, resolver::Resolver};
use crate::{
    manifest,
    name::{NetworkName, VolumeName},
    project::{
        Attachment, ContainerSpec, Network, NetworkMode, Subnet, Volume,
        hosts::{Addresses, Hosts},
    },
    span::Spanned,
};

/// The networks that a container is attached to.
pub(super) fn used(container: &ContainerSpec) -> Vec<NetworkName> {
    match &container.network {
        NetworkMode::Networks(networks) => networks.keys().cloned().collect(),
        _ => Vec::new(),
    }
}

impl Resolver<'_> {
    /// Resolves the declared networks, and the default one if it is used.
    pub(super) fn networks(&self, used: &BTreeSet<NetworkName>) -> BTreeMap<NetworkName, Network> {
        let declared = &self.manifest.networks;
        let mut networks: BTreeMap<_, _> = declared
            .iter()
            .map(|(name, network)| (name.clone(), self.network(network)))
            .collect();
        for name in used {
            networks
                .entry(name.clone())
                .or_insert_with(|| undeclared(self.engine_name(name.as_str())));
        }
        networks
    }

    fn network(&self, network: &manifest::Network) -> Network {
        let subnets = network.subnets.iter().map(|subnet| Subnet {
            subnet: subnet.subnet.clone(),
            range: subnet.range.clone(),
            gateway: subnet.gateway.clone(),
        });
        let name = network.name.as_str();
        Network {
            engine_name: match &network.engine_name {
                Some(given) => given.value.clone(),
                None if network.external => name.to_owned(),
                None => self.engine_name(name),
            },
            external: network.external,
            driver: driver(network.driver.as_ref(), "bridge"),
            internal: network.internal.unwrap_or(false),
            attachable: network.attachable.unwrap_or(false),
            ipv6: network.ipv6.unwrap_or(false),
            options: network.options.clone(),
            subnets: subnets.collect(),
            labels: network.labels.clone(),
            service_names: network.service_names,
        }
    }

    /// Resolves the declared volumes.
    pub(super) fn volumes(&self) -> BTreeMap<VolumeName, Volume> {
        let volumes = self.manifest.volumes.iter();
        volumes
            .map(|(name, volume)| {
                let resolved = Volume {
                    engine_name: self.volume_engine_name(volume),
                    external: volume.external,
                    driver: driver(volume.driver.as_ref(), "local"),
                    options: volume.options.clone(),
                    labels: volume.labels.clone(),
                    snapshot: volume.snapshot,
                    shared: volume.shared,
                };
                (name.clone(), resolved)
            })
            .collect()
    }

    pub(super) fn volume_engine_name(&self, volume: &manifest::Volume) -> String {
        let name = volume.name.as_str();
        match &volume.engine_name {
            Some(given) => given.value.clone(),
            None if volume.external => name.to_owned(),
            None => self.engine_name(name),
        }
    }

    /// The same names as in Compose, so that a project can migrate with its volumes.
    pub(super) fn engine_name(&self, name: &str) -> String {
        format!("{}_{name}", self.project)
    }

    /// Resolves the network stack of a service's container.
    pub(super) fn network_mode(&mut self, service: &manifest::Service) -> NetworkMode {
        if let Some(mode) = &service.network_mode {
            return match &mode.value {
                manifest::NetworkMode::Host => NetworkMode::Host,
                manifest::NetworkMode::None => NetworkMode::None,
                manifest::NetworkMode::Container(name) => NetworkMode::Container(name.clone()),
                manifest::NetworkMode::Service(peer) => {
                    self.needs(&service.name, "shares the network of", peer, mode.span);
                    NetworkMode::Service(peer.clone())
                }
            };
        }
        let mut networks: BTreeMap<_, _> = service
            .networks
            .iter()
            .map(|(name, given)| (name.clone(), attachment(given)))
            .collect();
        if networks.is_empty() {
            networks.extend(default_network().map(|name| (name, Attachment::default())));
        }
        for (name, attachment) in &mut networks {
            attachment.aliases.extend(self.linked_names(service, name));
            attachment.aliases.sort();
            attachment.aliases.dedup();
            attachment.links = external_links(service);
        }
        if let Some(mac) = &service.mac_address {
            // The first network by priority is the one with the default route.
            let first = networks.values_mut().rev().max_by_key(|one| one.priority);
            if let Some(first) = first {
                first.mac.get_or_insert_with(|| mac.value.clone());
            }
        }
        NetworkMode::Networks(networks)
    }

    /// The names that other services give this one by `link`, in a network that they share with it.
    fn linked_names(&self, service: &manifest::Service, network: &NetworkName) -> Vec<String> {
        let attached = |other: &manifest::Service| {
            let by_default =
                other.networks.is_empty() && Some(network) == default_network().as_ref();
            other.network_mode.is_none() && (by_default || other.networks.contains_key(network))
        };
        let others = self.manifest.services.values();
        others
            .filter(|other| self.enabled.contains(other.name.as_str()) && attached(other))
            .flat_map(|other| &other.links)
            .filter(|link| link.service.value == service.name.value)
            .filter_map(|link| link.alias.clone())
            .collect()
    }
}

pub(super) fn hosts(given: &BTreeMap<String, Vec<String>>) -> Hosts {
    let given = given.iter();
    given
        .map(|(host, addresses)| (host.clone(), Addresses(addresses.clone())))
        .collect()
}

fn driver(given: Option<&Spanned<String>>, usual: &str) -> String {
    given.map_or_else(|| usual.to_owned(), |given| given.value.clone())
}

fn undeclared(engine_name: String) -> Network {
    Network {
        engine_name,
        external: false,
        driver: "bridge".to_owned(),
        internal: false,
        attachable: false,
        ipv6: false,
        options: BTreeMap::new(),
        subnets: Vec::new(),
        labels: BTreeMap::new(),
        service_names: None,
    }
}

fn attachment(given: &manifest::Attachment) -> Attachment {
    Attachment {
        aliases: given.aliases.clone(),
        ipv4: given.ipv4.map(|address| address.to_string()),
        ipv6: given.ipv6.map(|address| address.to_string()),
        mac: given.mac.clone(),
        priority: given.priority.unwrap_or(0),
        links: Vec::new(),
        options: given.options.clone(),
    }
}

/// External links, always with an alias, even if it equals the name of the container.
fn external_links(service: &manifest::Service) -> Vec<String> {
    let links = service.external_links.iter();
    links
        .map(|link| match link.value.split_once(':') {
            Some(_) => link.value.clone(),
            None => format!("{0}:{0}", link.value),
        })
        .collect()
}
