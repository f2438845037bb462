//! Resolves the settings with which a service's container is created.

use super::{
    network::hosts,
    process::{command, healthcheck, logging},
    resolver::Resolver,
};
use crate::{
    manifest::{self, Service},
    name::ServiceName,
    project::{
        ContainerSpec, Device, DeviceRequest, Limits, PortBinding, Reservation, RestartPolicy,
        Ulimit,
    },
    span::Spanned,
};

impl Resolver<'_> {
    pub(super) fn container(&mut self, service: &Service) -> ContainerSpec {
        let mut container = self.isolated(service);
        self.fill_process(service, &mut container);
        self.fill_network(service, &mut container);
        container.mounts = self.mounts(service);
        container.files = self.files(service);
        container.volumes_from = self.volumes_from(service);
        container.limit = Limits {
            cpus: service.limit.cpus,
            memory: service.limit.memory,
            pids: service.limit.pids,
        };
        container.reserve = Reservation {
            cpus: service.reservation.cpus,
            memory: service.reservation.memory,
        };
        container.devices = service.devices.iter().map(device).collect();
        container.device_requests = service.reservation.devices.iter().map(request).collect();
        container.ulimits = service
            .ulimits
            .iter()
            .map(|(name, limit)| (name.clone(), ulimit(limit)))
            .collect();
        container.shm_size = service.shm_size;
        container.restart = restart(service.restart.as_ref());
        container
    }

    fn fill_process(&mut self, service: &Service, container: &mut ContainerSpec) {
        container.command = service.command.as_ref().map(|given| command(&given.value));
        container.entrypoint = service
            .entrypoint
            .as_ref()
            .map(|given| command(&given.value));
        container.env = self.environment(service);
        container.user = owned(service.user.as_ref());
        container.working_dir = owned(service.working_dir.as_ref());
        container.hostname = owned(service.hostname.as_ref());
        container.domainname = owned(service.domainname.as_ref());
        container.labels = self.labels(service);
        container.annotations.clone_from(&service.annotations);
        container.healthcheck = service.healthcheck.as_ref().map(healthcheck);
        container.logging = service.logging.as_ref().map(logging);
        // A program that is process 1 ignores signals that it does not handle, and every stop then
        // takes the whole grace period.
        container.init = service.init.unwrap_or(true);
        container.tty = service.tty.unwrap_or(false);
        container.stdin_open = service.stdin_open.unwrap_or(false);
        container.stop_signal = owned(service.stop_signal.as_ref());
        container.stop_grace_period = service.stop_grace_period;
    }

    fn fill_network(&mut self, service: &Service, container: &mut ContainerSpec) {
        container.network = self.network_mode(service);
        container.ports = service.ports.iter().map(port).collect();
        container.ports.sort();
        container.ports.dedup();
        container.expose = service.expose.iter().map(|port| port.value).collect();
        container.expose.sort_unstable();
        container.expose.dedup();
        container.extra_hosts = hosts(&service.extra_hosts);
        container.dns.clone_from(&service.dns);
        container.dns_search.clone_from(&service.dns_search);
        container.dns_opt.clone_from(&service.dns_opt);
    }

    fn isolated(&mut self, service: &Service) -> ContainerSpec {
        let isolation = &service.isolation;
        ContainerSpec {
            read_only: isolation.read_only.unwrap_or(false),
            privileged: isolation.privileged.unwrap_or(false),
            cap_add: isolation.cap_add.clone(),
            cap_drop: isolation.cap_drop.clone(),
            security_opt: isolation.security_opt.clone(),
            group_add: isolation.group_add.clone(),
            sysctls: isolation.sysctls.clone(),
            pid: self.namespace(service, isolation.pid.as_ref()),
            ipc: self.namespace(service, isolation.ipc.as_ref()),
            uts: owned(isolation.uts.as_ref()),
            userns_mode: owned(isolation.userns_mode.as_ref()),
            cgroup: owned(isolation.cgroup.as_ref()),
            cgroup_parent: owned(isolation.cgroup_parent.as_ref()),
            runtime: owned(isolation.runtime.as_ref()),
            storage_opt: isolation.storage_opt.clone(),
            mem_swappiness: isolation.mem_swappiness,
            oom_score_adj: isolation.oom_score_adj,
            oom_kill_disable: isolation.oom_kill_disable.unwrap_or(false),
            blkio_weight: isolation.blkio_weight,
            ..ContainerSpec::default()
        }
    }

    fn namespace(&mut self, service: &Service, given: Option<&Spanned<String>>) -> Option<String> {
        let given = given?;
        let peer = given.value.strip_prefix("service:");
        if let Some(peer) = peer.and_then(|name| ServiceName::new(name).ok()) {
            self.needs(&service.name, "shares a namespace with", &peer, given.span);
        }
        Some(given.value.clone())
    }

    fn volumes_from(&mut self, service: &Service) -> Vec<String> {
        let given = service.volumes_from.iter();
        given
            .map(|(other, read_only)| {
                self.needs(&service.name, "takes the volumes of", other, other.span);
                let suffix = if *read_only { ":ro" } else { "" };
                format!("{}{suffix}", other.value)
            })
            .collect()
    }
}

fn owned(given: Option<&Spanned<String>>) -> Option<String> {
    given.map(|given| given.value.clone())
}

fn port(port: &manifest::Port) -> PortBinding {
    PortBinding {
        target: port.target,
        protocol: port.protocol,
        published: port.published,
        host_ip: port.host_ip.map(|ip| ip.to_string()).unwrap_or_default(),
    }
}

fn device(device: &manifest::Device) -> Device {
    Device {
        source: device.source.clone(),
        target: device.target.as_ref().unwrap_or(&device.source).clone(),
        permissions: device
            .permissions
            .clone()
            .unwrap_or_else(|| "rwm".to_owned()),
    }
}

fn request(request: &manifest::DeviceRequest) -> DeviceRequest {
    let capabilities = if request.capabilities.is_empty() {
        vec!["gpu".to_owned()]
    } else {
        request.capabilities.clone()
    };
    let every = -1;
    let count = if request.ids.is_empty() { every } else { 0 };
    DeviceRequest {
        driver: request.driver.clone().unwrap_or_default(),
        count: request.count.unwrap_or(count),
        ids: request.ids.clone(),
        capabilities,
        options: request.options.clone(),
    }
}

fn ulimit(limit: &manifest::Ulimit) -> Ulimit {
    Ulimit {
        soft: limit.soft,
        hard: limit.hard,
    }
}

fn restart(given: Option<&Spanned<manifest::Restart>>) -> RestartPolicy {
    match given.map(|given| given.value) {
        None | Some(manifest::Restart::No) => RestartPolicy::No,
        Some(manifest::Restart::Always) => RestartPolicy::Always,
        Some(manifest::Restart::UnlessStopped) => RestartPolicy::UnlessStopped,
        Some(manifest::Restart::OnFailure { max }) => RestartPolicy::OnFailure {
            max: max.unwrap_or(0),
        },
    }
}
