//! `cimandat up`: from what is there to what the manifest says, or back.

use std::{collections::BTreeSet, pin::pin, sync::Arc, time::Duration};

use futures::{
    StreamExt,
    future::{Either, select},
};

use super::{
    CommandError, Console, Done, Logs, Scope, deployment::Deployment, load, relay::Relay, rotate,
};
use crate::{
    engine::docker::{Docker, Settings},
    event::Verdict,
    plan::Options,
    run,
};

/// Deploy.
#[derive(Debug)]
pub struct Up {
    /// What it is told.
    pub options: Options,
    /// The longest that any gate may take, instead of its own deadline.
    pub wait_timeout: Option<Duration>,
    /// How long a lock that somebody has is waited for.
    pub lock_wait: Duration,
    /// Follow the logs when all is ready.
    pub attach: bool,
    /// Secrets and certificates that get new values; with some, this is a rotation.
    pub rotate: BTreeSet<String>,
}

impl Up {
    pub(super) async fn run(
        self,
        scope: &Scope,
        settings: &Settings,
        console: Console,
    ) -> Result<Done, CommandError> {
        let named: Vec<_> = self.options.named().into_iter().collect();
        // The engine is asked for before a secret is made: without one nothing is to be left behind.
        let engine = Arc::new(Docker::connect(settings).await?);
        let request = rotate::Request {
            scope,
            settings,
            named: &named,
        };
        let (mut project, turn) = request.begin(engine.as_ref(), &self.rotate).await?;
        if let Some(within) = self.wait_timeout {
            project
                .services
                .values_mut()
                .for_each(|service| service.ready.within = within);
        }
        let options = load::with_tags(&project, self.options)?;
        let mut interrupts = run::signal::interrupts().map_err(CommandError::Signals)?;
        let mut relay = Relay::new(console);
        relay.before_the_end(turn.remark());
        let deployment = Deployment {
            engine: Arc::clone(&engine),
            project,
            options,
            verb: if self.rotate.is_empty() {
                "up"
            } else {
                "rotate"
            },
            lock_wait: self.lock_wait,
        };
        let done = deployment
            .carry_out(scope, (console, &mut relay), &mut interrupts)
            .await?;
        if let Done::Run(verdict) = done {
            turn.ended(verdict)?;
        }
        if matches!(done, Done::Run(Verdict::Converged | Verdict::Unchanged)) && self.attach {
            drop(relay);
            let logs = Logs::following(named);
            let shown = pin!(logs.show(engine.as_ref(), &deployment.project.name, console));
            // Ctrl-C ends the watching, not what is watched.
            return match select(shown, interrupts.next()).await {
                Either::Left((shown, _)) => shown,
                Either::Right(_) => Ok(done),
            };
        }
        Ok(done)
    }
}
