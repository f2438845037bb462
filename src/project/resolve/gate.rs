//! Resolves the readiness gate of a service, including the default gate.

use std::{collections::BTreeMap, fs, path::Path, time::Duration};

use super::{deploy::statuses, resolver::Resolver};
use crate::{
    diagnostic::ResolveError,
    manifest::{self, HealthTest, Kind, Service},
    project::{Gate, Method, Probe, Tls},
    secret::Text,
    span::{Span, Spanned},
};

/// Default timeout of a gate.
const WITHIN: Duration = Duration::from_mins(1);
/// Time that a container must keep running if there is no other probe: a program that cannot read
/// its configuration has ended by then.
const STARTED_SETTLE: Duration = Duration::from_secs(1);

/// Whether a service has a gate beyond the check that it runs.
pub(super) fn has_gate(service: &Service) -> bool {
    service.ready.is_some() || health_check(service).is_some()
}

/// The health check that the manifest declares, if it is enabled.
fn health_check(service: &Service) -> Option<&manifest::Healthcheck> {
    let check = service.healthcheck.as_ref()?;
    (check.test != HealthTest::Disabled).then_some(check)
}

impl Resolver<'_> {
    /// Resolves the gate of a service.
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
            timeout: given.timeout.unwrap_or_else(|| within(service)),
            stabilize: given.stabilize.unwrap_or(settle),
        })
    }

    fn probe(&mut self, service: &Service, probe: &manifest::Probe, at: Span) -> Option<Probe> {
        let tls = match given_tls(probe) {
            Some(tls) => Some(self.tls(service, tls, at)?),
            None => None,
        };
        Some(match probe {
            manifest::Probe::Tcp { port } => Probe::Tcp { port: *port },
            manifest::Probe::Http {
                port,
                path,
                method,
                status,
                headers,
                contains,
                ..
            } => Probe::Http {
                port: *port,
                path: path.clone().unwrap_or_else(|| "/".to_owned()),
                method: http_method(*method),
                status: statuses(status.as_ref()),
                headers: self.headers(headers)?,
                contains: contains.clone(),
                tls,
            },
            manifest::Probe::Postgres {
                port,
                user,
                database,
                ..
            } => postgres(*port, user.as_ref(), database.as_ref(), tls),
            manifest::Probe::Redis {
                port,
                user,
                password,
                ..
            } => self.redis(*port, user.as_ref(), password.as_ref(), tls)?,
            manifest::Probe::Grpc { port, service, .. } => Probe::Grpc {
                port: *port,
                service: service.clone().unwrap_or_default(),
                tls,
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

    fn redis(
        &mut self,
        port: u16,
        user: Option<&String>,
        password: Option<&Spanned<manifest::Template>>,
        tls: Option<Tls>,
    ) -> Option<Probe> {
        let password = match password {
            Some(password) => Some(self.text(&password.value, password.span)?),
            None => None,
        };
        Some(Probe::Redis {
            port,
            user: user.cloned(),
            password,
            tls,
        })
    }

    fn headers(&mut self, headers: &manifest::Headers) -> Option<BTreeMap<String, Text>> {
        let headers = headers.iter();
        headers
            .map(|(name, value)| Some((name.clone(), self.text(&value.value, value.span)?)))
            .collect()
    }

    fn tls(&mut self, service: &Service, tls: &manifest::Tls, at: Span) -> Option<Tls> {
        Some(match tls {
            manifest::Tls::Require => Tls::Require,
            manifest::Tls::Verify { authority, host } => Tls::Verify {
                authority: match authority {
                    Some(file) => self.authority_file(&file.value, file.span)?,
                    None => self.authority(at)?,
                },
                host: host.clone().unwrap_or_else(|| service.name.to_string()),
            },
        })
    }

    fn authority_file(&mut self, path: &Path, at: Span) -> Option<String> {
        match fs::read_to_string(path) {
            Ok(pem) => Some(pem),
            Err(error) => {
                self.fail(ResolveError::MissingPath {
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
            self.fail(ResolveError::GateWithoutCheck {
                service: service.name.to_string(),
                at,
                first: check.span,
            });
        }
    }
}

fn given_tls(probe: &manifest::Probe) -> Option<&manifest::Tls> {
    match probe {
        manifest::Probe::Http { tls, .. }
        | manifest::Probe::Postgres { tls, .. }
        | manifest::Probe::Redis { tls, .. }
        | manifest::Probe::Grpc { tls, .. } => tls.as_ref(),
        _ => None,
    }
}

fn http_method(given: Option<manifest::Method>) -> Method {
    match given {
        None | Some(manifest::Method::Get) => Method::Get,
        Some(manifest::Method::Head) => Method::Head,
        Some(manifest::Method::Post) => Method::Post,
        Some(manifest::Method::Options) => Method::Options,
    }
}

/// Resolves a `postgres` probe. The default role is `postgres` and the default database is that of
/// the role, as with PostgreSQL's own programs.
fn postgres(
    port: u16,
    user: Option<&String>,
    database: Option<&String>,
    tls: Option<Tls>,
) -> Probe {
    let user = user.map_or("postgres", String::as_str);
    Probe::Postgres {
        port,
        user: user.to_owned(),
        database: database.map_or(user, String::as_str).to_owned(),
        tls,
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
        timeout: within(service),
        stabilize: settle,
    }
}

/// The default timeout. Failures in a start period do not count, so it is added to the timeout.
fn within(service: &Service) -> Duration {
    let start = health_check(service).and_then(|check| check.start_period);
    WITHIN + start.unwrap_or_default()
}
