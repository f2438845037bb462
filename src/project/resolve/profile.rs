//! Selects the services and jobs of a deploy.

use std::collections::BTreeMap;

use super::resolver::Resolver;
use crate::{
    diagnostic::{ResolveError, did_you_mean},
    manifest::{ImageSource, Service},
    name::ServiceName,
};

/// Enables every profile.
const EVERY_PROFILE: &str = "*";

impl<'a> Resolver<'a> {
    /// Returns the services without a profile, those of an enabled profile, and those that the user
    /// named. A named service also enables the services that it needs from its own profiles.
    pub(super) fn enabled_services(&mut self) -> Vec<&'a Service> {
        self.refuse_unknown_services();
        self.refuse_unknown_profiles();
        let services = &self.manifest.services;
        let profiles = &self.resolution.profiles;
        let on = services.values().filter(|service| {
            let own = &service.profiles;
            own.is_empty()
                || profiles.contains(EVERY_PROFILE)
                || own.iter().any(|profile| profiles.contains(&profile.value))
        });
        let mut enabled: BTreeMap<_, _> =
            on.map(|service| (&service.name.value, service)).collect();
        let named = self.resolution.services.iter();
        let mut pulled: Vec<_> = named
            .filter_map(|name| services.get(name.as_str()))
            .collect();
        while let Some(service) = pulled.pop() {
            if enabled.insert(&service.name.value, service).is_none() {
                let needed = needs(service).filter_map(|name| services.get(name));
                pulled.extend(needed.filter(|other| share_profile(service, other)));
            }
        }
        self.enabled = enabled.keys().map(|name| (*name).clone()).collect();
        enabled.into_values().collect()
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
            self.fail(ResolveError::UnknownService { name, help });
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
            self.fail(ResolveError::UnknownProfile { name, help });
        }
    }
}

fn needs(service: &Service) -> impl Iterator<Item = &ServiceName> {
    let image = match &service.image {
        ImageSource::Of(other) => Some(&other.value),
        _ => None,
    };
    service.depends_on.keys().chain(image)
}

fn share_profile(one: &Service, other: &Service) -> bool {
    let has = |profile: &str| other.profiles.iter().any(|own| own.value == profile);
    one.profiles.iter().any(|profile| has(&profile.value))
}

/// A suggestion for a misspelled name, or else the list of all names.
fn meant(written: &str, known: &[&str], kind: &str) -> Option<String> {
    did_you_mean(written, known.iter().copied()).or_else(|| {
        let all: Vec<_> = known.iter().map(|name| format!("`{name}`")).collect();
        (!all.is_empty()).then(|| format!("the {kind} are {}", all.join(", ")))
    })
}
