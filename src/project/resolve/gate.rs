//! When a service counts as ready, also when its manifest does not say.

use std::{collections::BTreeMap, fs, path::Path, time::Duration};

use super::{deploy::statuses, resolver::Resolver};
use crate::{
    diagnostic::ResolvingMistake,
    manifest::{self, HealthTest, Kind, Service},
    project::{Gate, Method, Probe, Tls},
    secret::Text,
    span::Span,
};

/// The deadline of a gate that names none.
const WITHIN: Duration = Duration::from_secs(60);
/// How long a container must keep running when nothing else is known of it: a program that cannot
/// read its configuration has ended by then.
const STARTED_SETTLE: Duration = Duration::from_secs(1);

/// Whether there is more to know of a service than that it runs.
pub(super) fn has_gate(service: &Service) -> bool {
    service.ready.is_some() || health_check(service).is_some()
}

/// The health check that the manifest declares, if it is on.
fn health_check(service: &Service) -> Option<&manifest::Healthcheck> {
    let check = service.healthcheck.as_ref()?;
    (check.test != HealthTest::Disabled).then_some(check)
}

impl Resolver<'_> {
    /// What a service must pass.
    pub(super) fn gate(&mut self, service: &Service) -> Option<Gate> {
        let Some(given) = &service.ready else {
            return Some(default_gate(service));
        };
        let mut probes = Vec::with_capacity(given.probes.len());
        for probe in &given.probes {
            probes.push(self.probe(service, &probe.value, probe.span));
        }
        let probes: Vec<_> = probes.into_iter().collect::<Option<_>>()?;
        let settle = if probes.contains(&Probe::Started) {
            STARTED_SETTLE
        } else {
            Duration::ZERO
        };
        Some(Gate {
            probes,
            within: given.within.unwrap_or_else(|| within(service)),
            settle: given.settle.unwrap_or(settle),
        })
    }

    fn probe(&mut self, service: &Service, probe: &manifest::Probe, at: Span) -> Option<Probe> {
        Some(match probe {
            manifest::Probe::Tcp { port } => Probe::Tcp { port: *port },
            manifest::Probe::Http { .. } => return self.http(service, probe, at),
            manifest::Probe::Postgres {
                port,
                user,
                database,
                tls,
            } => {
                let user = user.clone().unwrap_or_else(|| "postgres".to_owned());
                Probe::Postgres {
                    port: *port,
                    // As PostgreSQL's own programs do.
                    database: database.clone().unwrap_or_else(|| user.clone()),
                    user,
                    tls: self.tls(service, tls.as_ref(), at)?,
                }
            }
            manifest::Probe::Redis {
                port,
                user,
                password,
                tls,
            } => Probe::Redis {
                port: *port,
                user: user.clone(),
                password: match password {
                    Some(password) => Some(self.text(&password.value, password.span)?),
                    None => None,
                },
                tls: self.tls(service, tls.as_ref(), at)?,
            },
            manifest::Probe::Grpc {
                port,
                service: asked,
                tls,
            } => Probe::Grpc {
                port: *port,
                service: asked.clone().unwrap_or_default(),
                tls: self.tls(service, tls.as_ref(), at)?,
            },
            manifest::Probe::Exec { command } => Probe::Exec {
                command: command.clone(),
            },
            manifest::Probe::Log { pattern, times } => Probe::Log {
                pattern: pattern.clone(),
                times: times.unwrap_or(1),
            },
            manifest::Probe::File { path } => Probe::File { path: path.clone() },
            manifest::Probe::Healthcheck => {
                self.refuse_disabled_check(service, at);
                Probe::Healthcheck
            }
            manifest::Probe::Exit => Probe::Exit,
            manifest::Probe::Started => Probe::Started,
        })
    }

    fn http(&mut self, service: &Service, probe: &manifest::Probe, at: Span) -> Option<Probe> {
        let manifest::Probe::Http {
            port,
            path,
            method,
            status,
            headers,
            contains,
            tls,
        } = probe
        else {
            return None;
        };
        let mut values = BTreeMap::<String, Text>::new();
        for (name, value) in headers {
            values.insert(name.clone(), self.text(&value.value, value.span)?);
        }
        Some(Probe::Http {
            port: *port,
            path: path.clone().unwrap_or_else(|| "/".to_owned()),
            method: match method {
                None | Some(manifest::Method::Get) => Method::Get,
                Some(manifest::Method::Head) => Method::Head,
                Some(manifest::Method::Post) => Method::Post,
                Some(manifest::Method::Options) => Method::Options,
            },
            status: statuses(status.as_ref()),
            headers: values,
            contains: contains.clone(),
            tls: self.tls(service, tls.as_ref(), at)?,
        })
    }

    /// The outer `None`: a mistake.
    fn tls(
        &mut self,
        service: &Service,
        tls: Option<&manifest::Tls>,
        at: Span,
    ) -> Option<Option<Tls>> {
        Some(match tls {
            None => None,
            Some(manifest::Tls::Require) => Some(Tls::Require),
            Some(manifest::Tls::Verify { authority, host }) => Some(Tls::Verify {
                authority: match authority {
                    Some(file) => self.authority_file(&file.value, file.span)?,
                    None => self.authority(at)?,
                },
                host: host.clone().unwrap_or_else(|| service.name.to_string()),
            }),
        })
    }

    fn authority_file(&mut self, path: &Path, at: Span) -> Option<String> {
        match fs::read_to_string(path) {
            Ok(pem) => Some(pem),
            Err(error) => {
                self.fail(ResolvingMistake::MissingPath {
                    what: "authority",
                    path: path.display().to_string(),
                    cause: format!("cannot be read: {error}"),
                    at,
                    help: Some("leave `authority=` out for the project's own authority".to_owned()),
                });
                None
            }
        }
    }

    fn refuse_disabled_check(&mut self, service: &Service, at: Span) {
        if let Some(check) = &service.healthcheck
            && check.test == HealthTest::Disabled
        {
            self.fail(ResolvingMistake::GateWithoutCheck {
                service: service.name.to_string(),
                at,
                first: check.span,
            });
        }
    }
}

fn default_gate(service: &Service) -> Gate {
    let (probe, settle) = match service.kind {
        Kind::Job { .. } => (Probe::Exit, Duration::ZERO),
        Kind::Service if health_check(service).is_some() => (Probe::Healthcheck, Duration::ZERO),
        Kind::Service => (Probe::Started, STARTED_SETTLE),
    };
    Gate {
        probes: vec![probe],
        within: within(service),
        settle,
    }
}

/// A start period is time in which failures do not count yet, so the deadline begins after it.
fn within(service: &Service) -> Duration {
    let start = health_check(service).and_then(|check| check.start_period);
    WITHIN + start.unwrap_or_default()
}
