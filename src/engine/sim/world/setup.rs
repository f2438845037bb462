//! The settings of a simulated container that can change later: endpoints, limits and pause.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{Done, SimContainer, World, refused};
use crate::{
    engine::EngineError,
    name::ContainerName,
    plan::{Action, Address, Attached, CreateContainer, Cutover, EndpointSpec, reserved},
    project::NetworkMode,
    state::{Endpoint, ResourceLimits, RuntimeConfig, Status},
};

impl SimContainer {
    /// Detaches the container from a network.
    pub fn leave(&mut self, network: &str) {
        self.networks.remove(network);
        self.addresses.remove(network);
        self.setup.endpoints.remove(network);
    }

    /// Resets what a new start resets.
    pub fn begin(&mut self, now: Duration, epoch: i64) {
        self.started = now;
        self.earlier = Duration::ZERO;
        self.addresses.clear();
        self.setup.replaced_binds.clear();
        let since = i64::try_from(now.as_nanos()).ok();
        self.setup.started = since.and_then(|since| epoch.checked_add(since));
    }
}

impl World {
    /// The settings of a new container.
    pub fn setup(&self, create: &CreateContainer) -> RuntimeConfig {
        let spec = &create.spec;
        let owner = |service: &str| {
            let peer = create.peers.get(service)?;
            Some(self.containers.get(peer)?.id.clone())
        };
        let shared = |mode: &Option<String>| owner(mode.as_ref()?.strip_prefix("service:")?);
        let (endpoints, network_of) = match &spec.network {
            NetworkMode::Networks(_) => (self.endpoints(&create.endpoints), None),
            NetworkMode::Service(peer) => (BTreeMap::new(), owner(peer.as_str())),
            _ => (BTreeMap::new(), None),
        };
        RuntimeConfig {
            endpoints,
            allowance: ResourceLimits::of(spec.limit, spec.reserve),
            network_of,
            pid_of: shared(&spec.pid),
            ipc_of: shared(&spec.ipc),
            started: None,
            replaced_binds: BTreeSet::new(),
        }
    }

    fn endpoints(&self, specs: &BTreeMap<String, EndpointSpec>) -> BTreeMap<String, Endpoint> {
        let endpoint = |(network, spec): (&String, &EndpointSpec)| {
            let endpoint = Endpoint {
                network: self.network_id(network),
                aliases: spec.aliases.clone(),
                ipv4: self.address(network, spec),
                ipv6: spec.ipv6.clone(),
                mac: spec.mac.clone(),
                priority: Some(spec.priority),
                options: spec.options.clone(),
            };
            (network.clone(), endpoint)
        };
        specs.iter().map(endpoint).collect()
    }

    /// The address that an endpoint requests.
    pub fn address(&self, network: &str, spec: &EndpointSpec) -> Option<String> {
        match spec.ipv4.as_ref()? {
            Address::Given(address) => Some(address.clone()),
            Address::Reserved(number) => {
                let found = self
                    .networks
                    .get(network)
                    .filter(|it| it.takes_addresses())?;
                let mut subnets = found.subnets.iter();
                let address = subnets.find_map(|subnet| reserved(subnet, *number))?;
                Some(address.to_string())
            }
        }
    }

    /// Attaches the new container to exactly the networks of `to`, and the old one to exactly those
    /// of `from`.
    pub fn cutover(&mut self, action: &Action, cutover: &Cutover) -> Done {
        self.ours(&cutover.to.container)?;
        let mut networks = cutover.to.endpoints.keys();
        if let Some(missing) = networks.find(|it| !self.has_network(it)) {
            return Err(refused(action, 404, format!("network {missing} not found")));
        }
        if let Some(from) = &cutover.from {
            self.attach(from, true)?;
        }
        self.attach(&cutover.to, true)
    }

    /// The effect of an interrupted cutover: the old container is paused and in no network.
    pub fn half_cutover(&mut self, cutover: &Cutover) -> Done {
        if let Some(from) = &cutover.from {
            let nowhere = Attached {
                endpoints: BTreeMap::new(),
                ..from.clone()
            };
            self.attach(&nowhere, false)?;
        }
        Ok(None)
    }

    /// Attaches a container to exactly these networks. A missing container is not an error. Only an
    /// interrupted cutover leaves a container paused.
    fn attach(&mut self, attached: &Attached, goes_on: bool) -> Done {
        let endpoints = self.endpoints(&attached.endpoints);
        let specs = attached.endpoints.iter();
        let networks: BTreeMap<String, String> = specs
            .map(|(name, spec)| (name.clone(), self.address(name, spec).unwrap_or_default()))
            .collect();
        let Some(thing) = self.containers.get_mut(&attached.container) else {
            return Ok(None);
        };
        thing
            .addresses
            .retain(|name, _| networks.get(name).is_some_and(String::is_empty));
        thing.networks = networks;
        thing.setup.endpoints = endpoints;
        match (thing.condition.status, goes_on) {
            (Status::Paused, true) => thing.condition.status = Status::Running,
            (Status::Running, false) => thing.condition.status = Status::Paused,
            _ => {}
        }
        self.publish(&attached.container)
    }

    /// A running container holds its ports of the host while it is in a network with external
    /// access.
    fn publish(&mut self, name: &ContainerName) -> Done {
        let Some(thing) = self.containers.get(name) else {
            return Ok(None);
        };
        let publishes = thing.condition.status.is_up() && self.publishes(thing);
        if publishes && thing.holds.is_empty() {
            if let Some((port, holder)) = self.taken(name, thing).or_else(|| self.grabbed(thing)) {
                return Err(EngineError::PortTaken { port, holder });
            }
            self.hold(name);
        } else if !publishes {
            self.ours(name)?.holds.clear();
        }
        Ok(None)
    }

    /// Whether a container is in a network in which ports of the host are published.
    pub fn publishes(&self, thing: &SimContainer) -> bool {
        let is_internal = |name: &str| {
            let record = self.networks.get(name).and_then(|it| it.record.as_ref());
            let internal = record.and_then(|it| it.get("internal")?.as_bool());
            internal.unwrap_or(false)
        };
        let mut networks = thing.networks.keys();
        networks.any(|it| it != "none" && it != "host" && !is_internal(it))
    }

    fn network_id(&self, name: &str) -> String {
        let network = self.networks.get(name);
        network.and_then(|it| it.id.clone()).unwrap_or_default()
    }

    /// The first network of an endpoint that was removed since, although another one may have its
    /// name.
    pub fn stale<'t>(&self, thing: &'t SimContainer) -> Option<&'t String> {
        let mut endpoints = thing.setup.endpoints.iter();
        let stale = endpoints.find(|(name, it)| it.network != self.network_id(name));
        stale.map(|(name, _)| name)
    }

    pub fn set_allowance(&mut self, name: &ContainerName, allowance: ResourceLimits) -> Done {
        let has = &mut self.ours(name)?.setup.allowance;
        *has = ResourceLimits {
            nano_cpus: allowance.nano_cpus.or(has.nano_cpus),
            memory: allowance.memory.or(has.memory),
            swap: allowance.swap.or(has.swap),
            reserved: allowance.reserved.or(has.reserved),
            pids: allowance.pids.or(has.pids),
        };
        Ok(None)
    }

    pub fn set_paused(&mut self, action: &Action, name: &ContainerName, paused: bool) -> Done {
        let status = &mut self.ours(name)?.condition.status;
        match (*status, paused) {
            (Status::Running, true) => *status = Status::Paused,
            (Status::Paused, false) => *status = Status::Running,
            (Status::Paused, true) | (Status::Running, false) => {}
            _ => return Err(refused(action, 409, "container is not running")),
        }
        Ok(None)
    }

    /// Another program removes a container and creates one with the same name and labels.
    pub fn recreate(&mut self, name: &ContainerName) {
        let id = self.next_id();
        if let Some(thing) = self.containers.get_mut(name) {
            thing.id = id;
        }
    }

    /// The source of a bind mount is replaced on the host.
    pub fn replace_bound(&mut self, name: &ContainerName, target: &str) {
        if let Some(thing) = self.containers.get_mut(name) {
            thing.setup.replaced_binds.insert(target.to_owned());
        }
    }

    /// Another client detaches a container from a network.
    pub fn detach(&mut self, name: &ContainerName, network: &str) {
        if let Some(thing) = self.containers.get_mut(name) {
            thing.leave(network);
        }
    }
}
