//! Resolves commands, health checks, logging, hooks, and the actions of a development session.

use super::{cleaned, resolver::Resolver};
use crate::{
    manifest::{self, Command},
    project::{HealthTest, Healthcheck, Hook, Logging, Watch},
};

/// Returns a program and its arguments. A shell command runs as in the shell form of an image.
pub(super) fn command(command: &Command) -> Vec<String> {
    match command {
        Command::Exec(words) => words.clone(),
        Command::Shell(line) => vec!["/bin/sh".to_owned(), "-c".to_owned(), line.clone()],
    }
}

pub(super) fn healthcheck(check: &manifest::Healthcheck) -> Healthcheck {
    Healthcheck {
        test: match &check.test {
            manifest::HealthTest::Disabled => HealthTest::Disabled,
            manifest::HealthTest::Image => HealthTest::Image,
            manifest::HealthTest::Command(Command::Exec(words)) => {
                HealthTest::Command(words.clone())
            }
            manifest::HealthTest::Command(Command::Shell(line)) => HealthTest::Shell(line.clone()),
        },
        interval: check.interval,
        timeout: check.timeout,
        retries: check.retries,
        start_period: check.start_period,
        start_interval: check.start_interval,
    }
}

pub(super) fn logging(logging: &manifest::Logging) -> Logging {
    Logging {
        driver: logging.driver.value.clone(),
        options: logging.options.clone(),
    }
}

pub(super) fn watch(watch: &manifest::Watch) -> Watch {
    Watch {
        path: cleaned(&watch.path.value),
        action: watch.action.clone(),
        target: watch.target.clone(),
        ignore: watch.ignore.clone(),
    }
}

impl Resolver<'_> {
    pub(super) fn hooks(&mut self, hooks: &[manifest::Hook]) -> Vec<Hook> {
        hooks
            .iter()
            .map(|hook| Hook {
                command: command(&hook.command),
                user: hook.user.clone(),
                working_dir: hook.working_dir.clone(),
                privileged: hook.privileged,
                env: self.variables(&hook.env),
            })
            .collect()
    }
}
