//! The nodes of a service, and how each is merged when it comes from several places.

/// How a node of one layer meets the same node of the layers below.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rule {
    /// There is one; it replaces the one below whole.
    Once,
    /// There is one; its properties and children are laid over those below.
    Deep,
    /// Each argument stands for itself.
    List,
    /// Each first argument stands for itself.
    First,
    /// Each name in it stands for itself, written as `K="v"`, `{ K "v" }`, `"K" "v"` or `"K"`.
    Fields,
    /// As [`Self::Fields`], and each name may have several values: `K "v" "w"`, or again `K "x"`.
    Lists,
    /// By the path in the container, whatever is mounted there.
    Target,
    /// By the port in the container; several may stand in one layer.
    Port,
    /// All of one layer replace all of the layers below.
    Together,
}

/// Every node of a service or a job, in alphabetical order.
pub(super) const NODES: &[(&str, Rule)] = &[
    ("annotation", Rule::Fields),
    ("attach", Rule::Once),
    ("authority", Rule::List),
    ("bind", Rule::Target),
    ("blkio", Rule::Deep),
    ("build", Rule::Deep),
    ("cap-add", Rule::List),
    ("cap-drop", Rule::List),
    ("certificate", Rule::First),
    ("cgroup", Rule::Once),
    ("cgroup-parent", Rule::Once),
    ("command", Rule::Once),
    ("config", Rule::First),
    ("container-name", Rule::Once),
    ("depends-on", Rule::List),
    ("device", Rule::First),
    ("dns", Rule::List),
    ("dns-opt", Rule::List),
    ("dns-search", Rule::List),
    ("domainname", Rule::Once),
    ("endpoint-mode", Rule::Once),
    ("entrypoint", Rule::Once),
    ("env", Rule::Fields),
    ("env-file", Rule::List),
    ("expose", Rule::List),
    ("external-link", Rule::List),
    ("extra-host", Rule::Lists),
    ("gpus", Rule::Once),
    ("group-add", Rule::List),
    ("healthcheck", Rule::Once),
    ("hostname", Rule::Once),
    ("image", Rule::Once),
    ("image-of", Rule::Once),
    ("init", Rule::Once),
    ("ipc", Rule::Once),
    ("label", Rule::Fields),
    ("label-file", Rule::List),
    ("limit", Rule::Deep),
    ("link", Rule::First),
    ("logging", Rule::Deep),
    ("mac-address", Rule::Once),
    ("mem-swappiness", Rule::Once),
    ("mode", Rule::Once),
    ("network", Rule::First),
    ("network-mode", Rule::Once),
    ("oom-kill-disable", Rule::Once),
    ("oom-score-adj", Rule::Once),
    ("pid", Rule::Once),
    ("placement", Rule::Deep),
    ("platform", Rule::Once),
    ("port", Rule::Port),
    ("post-start", Rule::Together),
    ("pre-stop", Rule::Together),
    ("privileged", Rule::Once),
    ("profile", Rule::List),
    ("pull", Rule::Once),
    ("read-only", Rule::Once),
    ("ready", Rule::Once),
    ("replicas", Rule::Once),
    ("reserve", Rule::Deep),
    ("restart", Rule::Once),
    ("runtime", Rule::Once),
    ("secret", Rule::First),
    ("security-opt", Rule::List),
    ("shm-size", Rule::Once),
    ("stdin-open", Rule::Once),
    ("stop-grace-period", Rule::Once),
    ("stop-signal", Rule::Once),
    ("storage-opt", Rule::Fields),
    ("sysctl", Rule::Fields),
    ("tmpfs", Rule::Target),
    ("tty", Rule::Once),
    ("ulimit", Rule::First),
    ("update", Rule::Deep),
    ("use", Rule::List),
    ("user", Rule::Once),
    ("userns-mode", Rule::Once),
    ("uts", Rule::Once),
    ("volume", Rule::Target),
    ("volumes-from", Rule::List),
    ("watch", Rule::First),
    ("working-dir", Rule::Once),
];

/// How a node is merged; `None` for one that a service does not have.
pub(super) fn rule(name: &str) -> Option<Rule> {
    let found = NODES.binary_search_by_key(&name, |(known, _)| known).ok()?;
    Some(NODES[found].1)
}

/// The names of all nodes of a service.
pub(super) fn names() -> Vec<&'static str> {
    NODES.iter().map(|(name, _)| *name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_as_the_search_needs_it() {
        assert!(NODES.is_sorted_by(|a, b| a.0 < b.0));
        assert_eq!(rule("env"), Some(Rule::Fields));
        assert_eq!(rule("environment"), None);
    }
}
