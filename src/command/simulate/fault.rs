//! Faults of a simulation and their syntax: `KIND:WHAT` or `KIND:WHAT=CODE`.

use std::{fmt, str::FromStr};

use crate::{
    diagnostic::did_you_mean,
    name::ServiceName,
    project::{ImageSource, Kind as ServiceKind, Project},
};

/// Default exit code of a failing process.
const FAILED: i64 = 1;

/// A fault to inject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    pub(super) kind: Kind,
    pub(super) at: At,
}

/// Location of a fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum At {
    /// At a service. Only kinds that end a process use the code.
    Service { name: ServiceName, code: i64 },
    /// At a port of the host.
    Port(u16),
    /// At the engine call with this number, counted from 1.
    Call(u64),
}

/// Kind of a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    NotReady,
    Start,
    Create,
    Exit,
    Unhealthy,
    Job,
    Build,
    Pull,
    Stop,
    Port,
    Refuse,
    LostResponse,
    EngineCrash,
    Crash,
    Interrupt,
}

const KINDS: [(&str, Kind); 15] = [
    ("not-ready", Kind::NotReady),
    ("start", Kind::Start),
    ("create", Kind::Create),
    ("exit", Kind::Exit),
    ("unhealthy", Kind::Unhealthy),
    ("job", Kind::Job),
    ("build", Kind::Build),
    ("pull", Kind::Pull),
    ("stop", Kind::Stop),
    ("port", Kind::Port),
    ("refuse", Kind::Refuse),
    ("lost-response", Kind::LostResponse),
    ("engine-crash", Kind::EngineCrash),
    ("crash", Kind::Crash),
    ("interrupt", Kind::Interrupt),
];

impl Kind {
    fn word(self) -> &'static str {
        let known = KINDS.iter().find(|(_, kind)| *kind == self);
        known.map_or("", |(word, _)| word)
    }

    /// Whether this kind accepts an exit code.
    fn ends(self) -> bool {
        matches!(self, Self::Exit | Self::Unhealthy | Self::Job)
    }

    fn example(self) -> String {
        let word = self.word();
        match self {
            Self::Port => format!("{word}:8080"),
            Self::Refuse
            | Self::LostResponse
            | Self::EngineCrash
            | Self::Crash
            | Self::Interrupt => format!("{word}:12"),
            Self::Job => format!("{word}:migrate"),
            _ => format!("{word}:web"),
        }
    }
}

impl FromStr for Fault {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (word, what) = text.split_once(':').unwrap_or((text, ""));
        let Some((_, kind)) = KINDS.iter().find(|(known, _)| *known == word) else {
            let words = KINDS.map(|(word, _)| word);
            let help = did_you_mean(word, words)
                .unwrap_or_else(|| format!("there are {}", words.join(", ")));
            return Err(format!("there is no fault `{word}`: {help}"));
        };
        let kind = *kind;
        let wrong = |why: &str| format!("{why}, as in `{}`", kind.example());
        if what.is_empty() {
            return Err(wrong(&format!("`{word}` needs a target")));
        }
        let number = || what.parse::<u64>().ok().filter(|number| *number > 0);
        let at = match kind {
            Kind::Port => {
                let port = number().and_then(|number| u16::try_from(number).ok());
                At::Port(port.ok_or_else(|| wrong(&format!("`{what}` is not a port")))?)
            }
            Kind::Refuse
            | Kind::LostResponse
            | Kind::EngineCrash
            | Kind::Crash
            | Kind::Interrupt => {
                let call = number();
                At::Call(call.ok_or_else(|| wrong(&format!("`{what}` is not a call number")))?)
            }
            _ => {
                let (name, code) = match what.split_once('=') {
                    Some(_) if !kind.ends() => {
                        return Err(wrong(&format!("`{word}` takes no code")));
                    }
                    Some((name, code)) => {
                        let code = code.parse().ok().filter(|code| (0..=255).contains(code));
                        (
                            name,
                            code.ok_or_else(|| wrong("an exit code is between 0 and 255"))?,
                        )
                    }
                    None => (what, FAILED),
                };
                let name = ServiceName::new(name).map_err(|error| error.to_string())?;
                At::Service { name, code }
            }
        };
        if let (Kind::Job, At::Service { code: 0, .. }) = (kind, &at) {
            return Err(wrong("a job that ends with 0 has not failed"));
        }
        Ok(Self { kind, at })
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = self.kind.word();
        match &self.at {
            At::Service { name, code } if self.kind.ends() && *code != FAILED => {
                write!(f, "{word}:{name}={code}")
            }
            At::Service { name, .. } => write!(f, "{word}:{name}"),
            At::Port(port) => write!(f, "{word}:{port}"),
            At::Call(call) => write!(f, "{word}:{call}"),
        }
    }
}

impl Fault {
    /// Whether the fault kills `cimandat` itself.
    pub(super) fn is_a_crash(&self) -> bool {
        self.kind == Kind::Crash
    }

    /// Checks that the fault can occur in this project.
    ///
    /// # Errors
    /// Returns a message with the invalid part and a suggestion.
    pub(super) fn suits(&self, project: &Project) -> Result<(), String> {
        match &self.at {
            At::Call(_) => Ok(()),
            At::Port(port) => {
                let services = project.services.values();
                let mut ports = services
                    .flat_map(|it| (1..=it.replicas).flat_map(|replica| it.ports_of(replica)));
                if ports.any(|it| it.published == Some(*port)) {
                    return Ok(());
                }
                Err(format!("`{self}`: no service publishes port {port}"))
            }
            At::Service { name, .. } => self.suits_service(project, name),
        }
    }

    fn suits_service(&self, project: &Project, name: &ServiceName) -> Result<(), String> {
        let Some(service) = project.services.get(name) else {
            let known = project.services.keys().map(ServiceName::as_str);
            let all = || {
                let all: Vec<String> = known.clone().map(|it| format!("`{it}`")).collect();
                format!("there are {}", all.join(", "))
            };
            let help = did_you_mean(name.as_str(), known.clone()).unwrap_or_else(all);
            return Err(format!("`{self}`: there is no service `{name}`: {help}"));
        };
        let job = matches!(service.kind, ServiceKind::Job { .. });
        let built = matches!(service.image, ImageSource::Build(_));
        let named = matches!(service.image, ImageSource::Reference(_));
        let instead = match self.kind {
            Kind::NotReady | Kind::Exit | Kind::Unhealthy if job => Some(("is a job", "job")),
            Kind::Job if !job => Some(("is no job", "exit")),
            Kind::Build if named => Some(("is not built here", "pull")),
            Kind::Pull if built => Some(("is built here", "build")),
            _ => None,
        };
        match instead {
            None => Ok(()),
            Some((why, word)) => Err(format!(
                "`{self}`: `{name}` {why}; did you mean `{word}:{name}`?"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let shown = match text.parse::<Fault>() {
            Ok(fault) => fault.to_string(),
            Err(error) => format!("error: {error}"),
        };
        assert_eq!(shown, expected);
    }

    #[test]
    fn faults_round_trip_through_text() {
        for (word, kind) in KINDS {
            assert_eq!(kind.word(), word);
            check(&kind.example(), &kind.example());
        }
        check("exit:web=137", "exit:web=137");
    }

    #[test]
    fn invalid_faults_are_reported() {
        check(
            "not-redy:web",
            "error: there is no fault `not-redy`: did you mean `not-ready`?",
        );
        check(
            "not-ready",
            "error: `not-ready` needs a target, as in `not-ready:web`",
        );
        check(
            "crash:soon",
            "error: `soon` is not a call number, as in `crash:12`",
        );
        check(
            "port:70000",
            "error: `70000` is not a port, as in `port:8080`",
        );
        check(
            "not-ready:web=3",
            "error: `not-ready` takes no code, as in `not-ready:web`",
        );
        check(
            "exit:web=x",
            "error: an exit code is between 0 and 255, as in `exit:web`",
        );
        check(
            "job:migrate=0",
            "error: a job that ends with 0 has not failed, as in `job:migrate`",
        );
    }
}
