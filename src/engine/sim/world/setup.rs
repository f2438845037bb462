//! What a hand can change of a simulated container: its endpoints, limits and pause.

use std::{collections::BTreeMap, time::Duration};

use super::{Done, Thing, World, refused};
use crate::{
    name::ContainerName,
    plan::{Action, CreateContainer},
    project::NetworkMode,
    state::{Allowance, Endpoint, Setup, Status},
};

impl Thing {
    /// It is taken out of a network.
    pub fn leave(&mut self, network: &str) {
        self.networks.remove(network);
        self.addresses.remove(network);
        self.setup.endpoints.remove(network);
    }

    /// It is started.
    pub fn begin(&mut self, now: Duration, epoch: i64) {
        self.started = now;
        self.earlier = Duration::ZERO;
        self.addresses.clear();
        let since = i64::try_from(now.as_nanos()).ok();
        self.setup.started = since.and_then(|since| epoch.checked_add(since));
    }
}

impl World {
    /// How a new container is set up.
    pub fn setup(&self, create: &CreateContainer) -> Setup {
        let spec = &create.spec;
        let owner = |service: &str| {
            let peer = create.peers.get(service)?;
            Some(self.containers.get(peer)?.id.clone())
        };
        let shared = |mode: &Option<String>| owner(mode.as_ref()?.strip_prefix("service:")?);
        let (endpoints, network_of) = match &spec.network {
            NetworkMode::Networks(_) => (self.endpoints(create), None),
            NetworkMode::Service(peer) => (BTreeMap::new(), owner(peer.as_str())),
            _ => (BTreeMap::new(), None),
        };
        Setup {
            endpoints,
            allowance: Allowance::of(spec.limit, spec.reserve),
            network_of,
            pid_of: shared(&spec.pid),
            ipc_of: shared(&spec.ipc),
            started: None,
        }
    }

    fn endpoints(&self, create: &CreateContainer) -> BTreeMap<String, Endpoint> {
        let NetworkMode::Networks(attached) = &create.spec.network else {
            return BTreeMap::new();
        };
        let endpoint = |(name, attachment): (_, &crate::project::Attachment)| {
            let engine_name: &String = create.networks.get(name)?;
            let mut aliases = vec![create.service.to_string()];
            aliases.extend(attachment.aliases.iter().cloned());
            aliases.sort();
            aliases.dedup();
            let endpoint = Endpoint {
                network: self.network_id(engine_name),
                aliases,
                ipv4: attachment.ipv4.clone(),
                ipv6: attachment.ipv6.clone(),
                mac: attachment.mac.clone(),
                priority: Some(attachment.priority),
                options: attachment.options.clone(),
            };
            Some((engine_name.clone(), endpoint))
        };
        attached.iter().filter_map(endpoint).collect()
    }

    fn network_id(&self, name: &str) -> String {
        let network = self.networks.get(name);
        network.and_then(|it| it.id.clone()).unwrap_or_default()
    }

    /// An endpoint's network that was removed since, though another may have its name.
    pub fn stale<'t>(&self, thing: &'t Thing) -> Option<&'t String> {
        let mut endpoints = thing.setup.endpoints.iter();
        let stale = endpoints.find(|(name, it)| it.network != self.network_id(name));
        stale.map(|(name, _)| name)
    }

    pub fn set_allowance(&mut self, name: &ContainerName, allowance: Allowance) -> Done {
        let has = &mut self.ours(name)?.setup.allowance;
        *has = Allowance {
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

    /// Somebody takes a container out of a network.
    pub fn detach(&mut self, name: &ContainerName, network: &str) {
        if let Some(thing) = self.containers.get_mut(name) {
            thing.leave(network);
        }
    }
}
