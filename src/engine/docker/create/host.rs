//! The create body: settings that concern the engine's host. Limits, namespaces, permissions,
//! devices.

use std::collections::HashMap;

use bollard::models::{
    DeviceMapping, DeviceRequest, HostConfig, HostConfigCgroupnsModeEnum, HostConfigLogConfig,
    PortBinding, PortMap, ResourcesUlimits,
};

use super::{CreateRequest, mounts, networks};
use crate::{
    engine::{
        EngineError,
        docker::{Api, container::restart_policy},
    },
    project::{ContainerSpec, RestartPolicy, hosts},
    state::ResourceLimits,
    unit::ByteSize,
};

pub(super) fn config(order: CreateRequest<'_>) -> Result<HostConfig, EngineError> {
    let spec = &order.request.spec;
    let mut config = HostConfig {
        network_mode: Some(networks::mode(order)?),
        port_bindings: Some(port_bindings(spec)),
        mounts: Some(mounts::mounts(order)),
        tmpfs: mounts::tmpfs(order),
        binds: mounts::binds_of_old_engines(order),
        volumes_from: Some(volumes_from(order)?),
        // The declared policy is set when the deploy is committed.
        restart_policy: Some(restart_policy(RestartPolicy::No)),
        log_config: spec.logging.as_ref().map(|logging| HostConfigLogConfig {
            typ: Some(logging.driver.clone()),
            config: Some(logging.options.clone().into_iter().collect()),
        }),
        init: spec.init.then_some(true),
        extra_hosts: some(
            hosts::lines(&spec.extra_hosts).map(|(host, address)| format!("{host}:{address}")),
        ),
        dns: some(spec.dns.iter().cloned()),
        dns_search: some(spec.dns_search.iter().cloned()),
        dns_options: some(spec.dns_opt.iter().cloned()),
        annotations: map(&spec.annotations),
        runtime: spec.runtime.clone(),
        storage_opt: map(&spec.storage_opt),
        ..HostConfig::default()
    };
    mounts::check(order)?;
    if !spec.annotations.is_empty() {
        order.demand(Api::ANNOTATIONS, "an annotation")?;
    }
    limit(spec, &mut config);
    confine(spec, &mut config);
    share(order, &mut config)?;
    give_devices(spec, &mut config);
    Ok(config)
}

/// Returns `None` for an empty list, so that an old engine gets no field that it does not know.
fn some<T>(items: impl Iterator<Item = T>) -> Option<Vec<T>> {
    let items: Vec<T> = items.collect();
    (!items.is_empty()).then_some(items)
}

fn map(entries: &std::collections::BTreeMap<String, String>) -> Option<HashMap<String, String>> {
    (!entries.is_empty()).then(|| entries.clone().into_iter().collect())
}

/// Returns a size as the engine accepts it, in bytes.
pub(in crate::engine::docker) fn bytes(size: ByteSize) -> i64 {
    i64::try_from(size.0).unwrap_or(i64::MAX)
}

fn limit(spec: &ContainerSpec, config: &mut HostConfig) {
    let allowance = ResourceLimits::of(spec.limit, spec.reserve);
    config.nano_cpus = allowance.nano_cpus;
    config.memory = allowance.memory.map(bytes);
    config.memory_swap = allowance.swap.map(bytes);
    config.memory_reservation = allowance.reserved.map(bytes);
    config.memory_swappiness = spec.mem_swappiness.map(i64::from);
    config.pids_limit = spec.limit.pids;
    config.oom_kill_disable = spec.oom_kill_disable.then_some(true);
    config.oom_score_adj = spec.oom_score_adj.map(i64::from);
    config.blkio_weight = spec.blkio_weight;
    config.shm_size = spec.shm_size.map(bytes);
    config.ulimits = some(spec.ulimits.iter().map(|(name, limit)| ResourcesUlimits {
        name: Some(name.clone()),
        soft: Some(limit.soft),
        hard: Some(limit.hard),
    }));
    config.sysctls = map(&spec.sysctls);
}

fn confine(spec: &ContainerSpec, config: &mut HostConfig) {
    config.readonly_rootfs = Some(spec.read_only);
    config.privileged = Some(spec.privileged);
    config.cap_add = some(spec.cap_add.iter().cloned());
    config.cap_drop = some(spec.cap_drop.iter().cloned());
    config.security_opt = some(spec.security_opt.iter().cloned());
    config.group_add = some(spec.group_add.iter().cloned());
}

fn share(order: CreateRequest<'_>, config: &mut HostConfig) -> Result<(), EngineError> {
    let spec = &order.request.spec;
    config.pid_mode = namespace(order, spec.pid.as_deref())?;
    config.ipc_mode = namespace(order, spec.ipc.as_deref())?;
    config.uts_mode.clone_from(&spec.uts);
    config.userns_mode.clone_from(&spec.userns_mode);
    config.cgroupns_mode = match spec.cgroup.as_deref() {
        Some("host") => Some(HostConfigCgroupnsModeEnum::HOST),
        Some("private") => Some(HostConfigCgroupnsModeEnum::PRIVATE),
        _ => None,
    };
    config.cgroup_parent.clone_from(&spec.cgroup_parent);
    Ok(())
}

/// Converts `service:NAME` to the service's container. Other values are already in the engine's
/// syntax.
fn namespace(order: CreateRequest<'_>, asked: Option<&str>) -> Result<Option<String>, EngineError> {
    asked
        .map(|asked| match asked.strip_prefix("service:") {
            Some(service) => Ok(format!("container:{}", order.peer(service)?)),
            None => Ok(asked.to_owned()),
        })
        .transpose()
}

fn volumes_from(order: CreateRequest<'_>) -> Result<Vec<String>, EngineError> {
    let sources = order.request.spec.volumes_from.iter();
    sources
        .map(|source| {
            if let Some(container) = source.strip_prefix("container:") {
                return Ok(container.to_owned());
            }
            let (service, mode) = match source.split_once(':') {
                Some((service, mode)) => (service, Some(mode)),
                None => (source.as_str(), None),
            };
            let peer = order.peer(service)?;
            Ok(mode.map_or_else(|| peer.to_owned(), |mode| format!("{peer}:{mode}")))
        })
        .collect()
}

fn port_bindings(spec: &ContainerSpec) -> PortMap {
    let mut bindings = PortMap::new();
    for port in &spec.ports {
        let target = format!("{}/{}", port.target, port.protocol);
        let binding = PortBinding {
            host_ip: Some(port.host_ip.clone()),
            host_port: Some(
                port.published
                    .map_or_else(String::new, |published| published.to_string()),
            ),
        };
        bindings
            .entry(target)
            .or_default()
            .get_or_insert_default()
            .push(binding);
    }
    bindings
}

fn give_devices(spec: &ContainerSpec, config: &mut HostConfig) {
    config.devices = some(spec.devices.iter().map(|device| DeviceMapping {
        path_on_host: Some(device.source.clone()),
        path_in_container: Some(device.target.clone()),
        cgroup_permissions: Some(device.permissions.clone()),
    }));
    config.device_requests = some(spec.device_requests.iter().map(|request| DeviceRequest {
        driver: Some(request.driver.clone()),
        count: Some(request.count),
        device_ids: some(request.ids.iter().cloned()),
        capabilities: Some(vec![request.capabilities.clone()]),
        options: map(&request.options),
    }));
}
