//! "did you mean" suggestions: the nearest known word to an unknown one.

/// Compose names whose name here is not simply the kebab-case spelling.
const FROM_COMPOSE: &[(&str, &str)] = &[
    ("addressing", "subnet"),
    ("additional_contexts", "context"),
    ("annotations", "annotation"),
    ("args", "arg"),
    ("blkio_config", "blkio"),
    ("build_args", "arg"),
    ("cap_adds", "cap-add"),
    ("certificates", "certificate"),
    ("certs", "certificate"),
    ("condition", "until"),
    ("configs", "config"),
    ("constraints", "constraint"),
    ("container_port", "to"),
    ("cpus", "limit"),
    ("deps", "depends-on"),
    ("depends", "depends-on"),
    ("develop", "watch"),
    ("device_cgroup_rules", "device"),
    ("devices", "device"),
    ("dockerfile_inline", "inline"),
    ("driver_opts", "option"),
    ("enable_ipv6", "ipv6"),
    ("environment", "env"),
    ("environments", "env"),
    ("envs", "env"),
    ("env_files", "env-file"),
    ("extends", "use"),
    ("external_links", "external-link"),
    ("extra_hosts", "extra-host"),
    ("healthchecks", "healthcheck"),
    ("healthy", "ready"),
    ("hosts", "host"),
    ("if_not_present", "missing"),
    ("images", "image"),
    ("includes", "include"),
    ("ip_range", "range"),
    ("ipam", "subnet"),
    ("ipv4_address", "ipv4"),
    ("ipv6_address", "ipv6"),
    ("jobs", "job"),
    ("label_files", "label-file"),
    ("labels", "label"),
    ("limits", "limit"),
    ("links", "link"),
    ("mem_limit", "limit"),
    ("mem_reservation", "reserve"),
    ("mounts", "volume"),
    ("name", "project"),
    ("networks", "network"),
    ("none", "no"),
    ("options", "option"),
    ("pids_limit", "limit"),
    ("platforms", "platform"),
    ("ports", "port"),
    ("profiles", "profile"),
    ("projects", "project"),
    ("published", "port"),
    ("pull_policy", "pull"),
    ("readiness", "ready"),
    ("reservations", "reserve"),
    ("resources", "limit"),
    ("restart_policy", "restart"),
    ("rollback_config", "update"),
    ("scale", "replicas"),
    ("secrets", "secret"),
    ("service_completed_successfully", "completed"),
    ("service_healthy", "ready"),
    ("service_started", "started"),
    ("services", "service"),
    ("sysctls", "sysctl"),
    ("tags", "tag"),
    ("templates", "template"),
    ("test", "command"),
    ("ulimits", "ulimit"),
    ("update_config", "update"),
    ("volumes", "volume"),
];

/// Names of earlier versions of the manifest language, with their current names.
const FORMER: &[(&str, &str)] = &[
    ("before_switch", "before-update"),
    ("keep", "history"),
    ("settle", "stabilize"),
    ("within", "timeout"),
];

/// Minimum similarity of two words (Jaro-Winkler, 0 to 1) for a suggestion.
const ALIKE: f64 = 0.83;

/// Returns the known word that was most likely meant, if one is similar enough.
#[must_use]
pub fn suggest<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let known: Vec<&str> = known.into_iter().filter(|word| *word != written).collect();
    let find = |wanted: &str| known.iter().copied().find(|word| *word == wanted);
    let plain = written.to_lowercase();
    let snake = plain.replace('-', "_");
    let kebab = plain.replace('_', "-");
    let translated = FROM_COMPOSE
        .iter()
        .chain(FORMER)
        .filter(|(theirs, _)| *theirs == snake)
        .find_map(|(_, ours)| find(ours));
    translated
        .or_else(|| find(&kebab))
        .or_else(|| find(kebab.strip_suffix('s')?))
        .or_else(|| nearest(&kebab, &known))
}

fn nearest<'a>(written: &str, known: &[&'a str]) -> Option<&'a str> {
    // One typo is allowed for each three characters, and at most three: `imgae` is `image`, but
    // `web` is not `db`.
    let slips = written.chars().count().div_ceil(3).min(3);
    known
        .iter()
        .map(|word| {
            let lowered = word.to_lowercase();
            (
                strsim::damerau_levenshtein(written, &lowered),
                strsim::jaro_winkler(written, &lowered),
                *word,
            )
        })
        .filter(|(distance, alike, _)| *distance <= slips && *alike >= ALIKE)
        .min_by(|a, b| a.0.cmp(&b.0).then(b.1.total_cmp(&a.1)))
        .map(|(_, _, word)| word)
}

/// Returns the result of [`suggest`] as a line of help.
#[must_use]
pub fn did_you_mean<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    suggest(written, known).map(|word| format!("did you mean `{word}`?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: &[&str] = &[
        "depends-on",
        "env",
        "image",
        "port",
        "pull",
        "replicas",
        "web",
    ];

    fn check(written: &str, expected: Option<&str>) {
        assert_eq!(
            suggest(written, KNOWN.iter().copied()),
            expected,
            "{written}"
        );
    }

    #[test]
    fn suggest_recognizes_typos_and_compose_names() {
        check("imgae", Some("image"));
        check("depends_on", Some("depends-on"));
        check("Depends-On", Some("depends-on"));
        check("environment", Some("env"));
        check("ports", Some("port"));
        check("pull_policy", Some("pull"));
        check("scale", Some("replicas"));
        check("db", None);
        check("quite-different", None);
    }
}
