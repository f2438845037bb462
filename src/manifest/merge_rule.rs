//! The nodes of a service, and how each is merged when it comes from several places.

/// How a node of one layer meets the same node of the layers below.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MergeRule {
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
pub(super) const NODES: &[(&str, MergeRule)] = &[
    ("annotation", MergeRule::Fields),
    ("attach", MergeRule::Once),
    ("authority", MergeRule::List),
    ("bind", MergeRule::Target),
    ("blkio", MergeRule::Deep),
    ("build", MergeRule::Deep),
    ("cap-add", MergeRule::List),
    ("cap-drop", MergeRule::List),
    ("certificate", MergeRule::First),
    ("cgroup", MergeRule::Once),
    ("cgroup-parent", MergeRule::Once),
    ("command", MergeRule::Once),
    ("config", MergeRule::First),
    ("container-name", MergeRule::Once),
    ("depends-on", MergeRule::List),
    ("device", MergeRule::First),
    ("dns", MergeRule::List),
    ("dns-opt", MergeRule::List),
    ("dns-search", MergeRule::List),
    ("domainname", MergeRule::Once),
    ("endpoint-mode", MergeRule::Once),
    ("entrypoint", MergeRule::Once),
    ("env", MergeRule::Fields),
    ("env-file", MergeRule::List),
    ("expose", MergeRule::List),
    ("external-link", MergeRule::List),
    ("extra-host", MergeRule::Lists),
    ("gpus", MergeRule::Once),
    ("group-add", MergeRule::List),
    ("healthcheck", MergeRule::Once),
    ("hostname", MergeRule::Once),
    ("image", MergeRule::Once),
    ("image-of", MergeRule::Once),
    ("init", MergeRule::Once),
    ("ipc", MergeRule::Once),
    ("label", MergeRule::Fields),
    ("label-file", MergeRule::List),
    ("limit", MergeRule::Deep),
    ("link", MergeRule::First),
    ("logging", MergeRule::Deep),
    ("mac-address", MergeRule::Once),
    ("mem-swappiness", MergeRule::Once),
    ("mode", MergeRule::Once),
    ("network", MergeRule::First),
    ("network-mode", MergeRule::Once),
    ("oom-kill-disable", MergeRule::Once),
    ("oom-score-adj", MergeRule::Once),
    ("pid", MergeRule::Once),
    ("placement", MergeRule::Deep),
    ("platform", MergeRule::Once),
    ("port", MergeRule::Port),
    ("post-start", MergeRule::Together),
    ("pre-stop", MergeRule::Together),
    ("privileged", MergeRule::Once),
    ("profile", MergeRule::List),
    ("pull", MergeRule::Once),
    ("read-only", MergeRule::Once),
    ("ready", MergeRule::Once),
    ("replicas", MergeRule::Once),
    ("reserve", MergeRule::Deep),
    ("restart", MergeRule::Once),
    ("runtime", MergeRule::Once),
    ("secret", MergeRule::First),
    ("security-opt", MergeRule::List),
    ("shm-size", MergeRule::Once),
    ("stdin-open", MergeRule::Once),
    ("stop-grace-period", MergeRule::Once),
    ("stop-signal", MergeRule::Once),
    ("storage-opt", MergeRule::Fields),
    ("sysctl", MergeRule::Fields),
    ("tmpfs", MergeRule::Target),
    ("tty", MergeRule::Once),
    ("ulimit", MergeRule::First),
    ("update", MergeRule::Deep),
    ("use", MergeRule::List),
    ("user", MergeRule::Once),
    ("userns-mode", MergeRule::Once),
    ("uts", MergeRule::Once),
    ("volume", MergeRule::Target),
    ("volumes-from", MergeRule::List),
    ("watch", MergeRule::First),
    ("working-dir", MergeRule::Once),
];

/// How a node is merged; `None` for one that a service does not have.
pub(super) fn rule(name: &str) -> Option<MergeRule> {
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
        assert_eq!(rule("env"), Some(MergeRule::Fields));
        assert_eq!(rule("environment"), None);
    }
}
