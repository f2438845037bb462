//! Restores the secret values of a project that was read from a record, as far as they are
//! available: a record contains secrets only by name and digest.
//!
//! A value that is not found stays sealed. The code that needs the value reports the error.

use super::{InjectedFile, Probe, Project, Service, authority::Authority, vault::SecretStore};
use crate::secret::{Secret, Text};

/// Fills in the values that are still in the stores.
pub fn unseal(project: &mut Project, vault: &SecretStore, authority: &Authority) {
    let values = Values { vault, authority };
    for service in project.services.values_mut() {
        values.fill(service);
    }
}

struct Values<'a> {
    vault: &'a SecretStore,
    authority: &'a Authority,
}

impl Values<'_> {
    fn fill(&self, service: &mut Service) {
        for text in texts_of(service) {
            self.text(text);
        }
        for file in files_of(service) {
            if file.content.is_none() {
                file.content = self.content(&file.digest);
            }
        }
    }

    fn text(&self, text: &mut Text) {
        if let Text::Sealed {
            shown,
            digest,
            value: value @ None,
        } = text
        {
            // A store that cannot be read has no values available.
            *value = self.vault.unsealed(shown, digest).ok().flatten();
        }
    }

    fn content(&self, digest: &str) -> Option<Secret<Vec<u8>>> {
        let secret = self.vault.content(digest).ok().flatten();
        secret.or_else(|| self.authority.content(digest).ok().flatten())
    }
}

/// The strings of a service that may contain secrets.
pub(super) fn texts_of(service: &mut Service) -> impl Iterator<Item = &mut Text> {
    let variables = service.container.env.values_mut();
    let before = service.pre_stop.iter_mut();
    let hooks = before.chain(&mut service.post_start);
    let probes = service.ready.probes.iter_mut().flat_map(texts);
    let hooks = hooks.flat_map(|hook| hook.env.values_mut());
    variables.chain(hooks).chain(probes)
}

/// The files that are injected into the containers of a service.
pub(super) fn files_of(service: &mut Service) -> impl Iterator<Item = &mut InjectedFile> {
    let sets = service.container.files.iter_mut();
    sets.flat_map(|set| &mut set.files)
}

/// The parts of a probe that may be secret.
fn texts(probe: &mut Probe) -> Vec<&mut Text> {
    match probe {
        Probe::Http { headers, .. } => headers.values_mut().collect(),
        Probe::Redis { password, .. } => password.iter_mut().collect(),
        Probe::Tcp { .. }
        | Probe::Postgres { .. }
        | Probe::Grpc { .. }
        | Probe::Exec { .. }
        | Probe::Log { .. }
        | Probe::File { .. }
        | Probe::Healthcheck
        | Probe::Exit
        | Probe::Started => Vec::new(),
    }
}
