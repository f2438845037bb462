//! The nodes of a service, and the rule by which each is merged across layers.

/// How a node of one layer is merged with the same node of the layers below.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MergeRule {
    /// One node; it replaces the node below completely.
    Once,
    /// One node; its properties and children are merged over those below.
    Deep,
    /// Each argument is merged separately.
    List,
    /// Each first argument is merged separately.
    First,
    /// Each name is merged separately, written as `K="v"`, `{ K "v" }`, `"K" "v"` or `"K"`.
    Fields,
    /// As [`Self::Fields`], but a name may have several values: `K "v" "w"`, or a repeated `K "x"`.
    Lists,
    /// Nodes are merged by their path in the container, whatever is mounted there.
    Target,
    /// Nodes are merged by their port in the container; one layer may have several.
    Port,
    /// All nodes of one layer replace all nodes of the layers below.
    Together,
}

/// All nodes of a service or a job, in alphabetical order.
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

/// Returns the merge rule of a node; `None` if a service does not have the node.
pub(super) fn rule(name: &str) -> Option<MergeRule> {
    let found = NODES.binary_search_by_key(&name, |(known, _)| known).ok()?;
    Some(NODES[found].1)
}

/// Returns the names of all nodes of a service.
pub(super) fn names() -> Vec<&'static str> {
    NODES.iter().map(|(name, _)| *name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merge_rule_table_is_sorted() {
        assert!(NODES.is_sorted_by(|a, b| a.0 < b.0));
        assert_eq!(rule("env"), Some(MergeRule::Fields));
        assert_eq!(rule("environment"), None);
    }
}
