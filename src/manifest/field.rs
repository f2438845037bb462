//! Fields of a service: a service with empty fields, and access to fields of a simple shape by node
//! name.

use std::collections::BTreeMap;

use super::{ImageSource, Isolation, Kind, Limits, Placement, Reservation, Service, Update};
use crate::{name::ServiceName, span::Spanned};

/// Returns a service with only these fields set.
pub(super) fn blank(name: Spanned<ServiceName>, kind: Kind, image: ImageSource) -> Service {
    Service {
        name,
        kind,
        image,
        pull: None,
        platform: None,
        profiles: Vec::new(),
        replicas: None,
        container_name: None,
        depends_on: BTreeMap::new(),
        ready: None,
        update: Update::default(),
        placement: Placement::default(),
        restart: None,
        post_start: Vec::new(),
        pre_stop: Vec::new(),
        watch: Vec::new(),
        attach: None,
        command: None,
        entrypoint: None,
        env: BTreeMap::new(),
        env_files: Vec::new(),
        user: None,
        working_dir: None,
        hostname: None,
        domainname: None,
        labels: BTreeMap::new(),
        label_files: Vec::new(),
        annotations: BTreeMap::new(),
        healthcheck: None,
        logging: None,
        init: None,
        tty: None,
        stdin_open: None,
        stop_signal: None,
        stop_grace_period: None,
        ports: Vec::new(),
        expose: Vec::new(),
        networks: BTreeMap::new(),
        network_mode: None,
        links: Vec::new(),
        external_links: Vec::new(),
        extra_hosts: BTreeMap::new(),
        dns: Vec::new(),
        dns_search: Vec::new(),
        dns_opt: Vec::new(),
        mac_address: None,
        mounts: Vec::new(),
        volumes_from: Vec::new(),
        secrets: Vec::new(),
        configs: Vec::new(),
        certificates: Vec::new(),
        authorities: Vec::new(),
        limit: Limits::default(),
        reservation: Reservation::default(),
        devices: Vec::new(),
        ulimits: BTreeMap::new(),
        shm_size: None,
        isolation: Isolation::default(),
    }
}

impl Service {
    /// Returns the text field for a node name.
    pub(super) fn text(&mut self, name: &str) -> Option<&mut Option<Spanned<String>>> {
        Some(match name {
            "cgroup" => &mut self.isolation.cgroup,
            "cgroup-parent" => &mut self.isolation.cgroup_parent,
            "domainname" => &mut self.domainname,
            "ipc" => &mut self.isolation.ipc,
            "pid" => &mut self.isolation.pid,
            "platform" => &mut self.platform,
            "runtime" => &mut self.isolation.runtime,
            "user" => &mut self.user,
            "userns-mode" => &mut self.isolation.userns_mode,
            "uts" => &mut self.isolation.uts,
            _ => return None,
        })
    }

    /// Returns the boolean field for a node name.
    pub(super) fn switch(&mut self, name: &str) -> Option<&mut Option<bool>> {
        Some(match name {
            "attach" => &mut self.attach,
            "init" => &mut self.init,
            "oom-kill-disable" => &mut self.isolation.oom_kill_disable,
            "privileged" => &mut self.isolation.privileged,
            "read-only" => &mut self.isolation.read_only,
            "stdin-open" => &mut self.stdin_open,
            "tty" => &mut self.tty,
            _ => return None,
        })
    }

    /// Returns the list field for a node name.
    pub(super) fn words(&mut self, name: &str) -> Option<&mut Vec<String>> {
        Some(match name {
            "cap-add" => &mut self.isolation.cap_add,
            "cap-drop" => &mut self.isolation.cap_drop,
            "dns-opt" => &mut self.dns_opt,
            "dns-search" => &mut self.dns_search,
            "group-add" => &mut self.isolation.group_add,
            "security-opt" => &mut self.isolation.security_opt,
            _ => return None,
        })
    }

    /// Returns the map field, from names to values, for a node name.
    pub(super) fn pairs(&mut self, name: &str) -> Option<&mut BTreeMap<String, String>> {
        Some(match name {
            "annotation" => &mut self.annotations,
            "label" => &mut self.labels,
            "storage-opt" => &mut self.isolation.storage_opt,
            "sysctl" => &mut self.isolation.sysctls,
            _ => return None,
        })
    }
}
