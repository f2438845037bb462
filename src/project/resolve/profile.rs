//! Which services and jobs are part of a deploy.

use super::resolver::Resolver;
use crate::{
    diagnostic::{ResolvingMistake, did_you_mean},
    manifest::Service,
    name::ServiceName,
};

/// Switches every profile on.
const EVERY_PROFILE: &str = "*";

impl<'a> Resolver<'a> {
    /// Services without a profile, those of a profile that is on, and those that were named.
    pub(super) fn enabled_services(&mut self) -> Vec<&'a Service> {
        self.refuse_unknown_services();
        self.refuse_unknown_profiles();
        let resolution = self.resolution;
        let enabled = self.manifest.services.values().filter(|service| {
            let profiles = &service.profiles;
            profiles.is_empty()
                || resolution.profiles.contains(EVERY_PROFILE)
                || profiles
                    .iter()
                    .any(|profile| resolution.profiles.contains(&profile.value))
                || resolution.services.contains(service.name.as_str())
        });
        let enabled: Vec<_> = enabled.collect();
        self.enabled = enabled
            .iter()
            .map(|service| service.name.value.clone())
            .collect();
        enabled
    }

    fn refuse_unknown_services(&mut self) {
        let services = &self.manifest.services;
        for name in &self.resolution.services {
            if services.contains_key(name.as_str()) {
                continue;
            }
            let known: Vec<_> = services.keys().map(ServiceName::as_str).collect();
            let help = meant(name, &known, "services");
            let name = name.clone();
            self.fail(ResolvingMistake::UnknownService { name, help });
        }
    }

    fn refuse_unknown_profiles(&mut self) {
        let services = self.manifest.services.values();
        let mut known: Vec<_> = services
            .flat_map(|service| &service.profiles)
            .map(|profile| profile.value.as_str())
            .collect();
        known.sort_unstable();
        known.dedup();
        for name in &self.resolution.profiles {
            if name == EVERY_PROFILE || known.contains(&name.as_str()) {
                continue;
            }
            let help = meant(name, &known, "profiles");
            let name = name.clone();
            self.fail(ResolvingMistake::UnknownProfile { name, help });
        }
    }
}

/// What was meant, or all that there is.
fn meant(written: &str, known: &[&str], kind: &str) -> Option<String> {
    did_you_mean(written, known.iter().copied()).or_else(|| {
        let all: Vec<_> = known.iter().map(|name| format!("`{name}`")).collect();
        (!all.is_empty()).then(|| format!("the {kind} are {}", all.join(", ")))
    })
}
