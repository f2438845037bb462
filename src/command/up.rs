//! `cimandat up`: deploys the manifest, or rolls back.

use std::{collections::BTreeSet, pin::pin, sync::Arc, time::Duration};

use futures::{
    Stream, StreamExt,
    future::{Either, select},
};

use super::{
    CommandError, CommandOutcome, Console, Logs, ProjectSelector,
    deployment::Deployment,
    event_bridge::EventBridge,
    identity, load, rotate,
    session::{LockRequest, Session},
};
use crate::{
    engine::{
        StateStore,
        docker::{Docker, Settings},
    },
    event::Outcome,
    name::ProjectName,
    plan::Options,
    project::{
        Project,
        rotation::Rotation,
        vault::{StoreMode, StoreRoot},
    },
    run,
};

/// The `up` command.
#[derive(Debug)]
pub struct Up {
    /// Options of the deploy.
    pub options: Options,
    /// Readiness timeout of every gate, in place of the gate's own.
    pub ready_timeout: Option<Duration>,
    /// How long to wait for a lock that another process holds; zero: not at all.
    pub lock_timeout: Duration,
    /// Follow the logs when everything is ready.
    pub attach: bool,
    /// Keep new containers that failed, stopped, for inspection.
    pub keep_failed: bool,
    /// Secrets and certificates to rotate; empty: this is not a rotation.
    pub rotate: BTreeSet<String>,
}

impl Up {
    pub(super) async fn run(
        self,
        scope: &ProjectSelector,
        settings: &Settings,
        console: Console,
    ) -> Result<CommandOutcome, CommandError> {
        let named: Vec<_> = self.options.named().into_iter().collect();
        // Connect before a secret is created: without an engine, nothing must be left behind.
        let engine = Arc::new(Docker::connect(settings).await?);
        let request = rotate::Request {
            scope,
            settings,
            named: &named,
        };
        let mut interrupts = run::signal::interrupts().map_err(CommandError::Signals)?;
        let project = request.project(StoreMode::Create)?;
        let name = project.name.clone();
        let mut idle = None;
        if self.rotate.is_empty() && Rotation::pending(&StoreRoot::of(&project))?.is_none() {
            let deployment = self.deployment(&engine, project)?;
            idle = Box::pin(deployment.noop(console, &mut interrupts)).await?;
        }
        let done = if let Some(done) = idle {
            done
        } else {
            let work =
                self.deploy_with_rotation((&engine, &name), request, console, &mut interrupts);
            Box::pin(work).await?
        };
        if matches!(
            done,
            CommandOutcome::Run(Outcome::Converged | Outcome::Unchanged)
        ) && self.attach
        {
            let logs = Logs::following(named);
            let shown = pin!(logs.show(engine.as_ref(), &name, console));
            // Ctrl-C ends the log output, not the containers.
            return match select(shown, interrupts.next()).await {
                Either::Left((shown, _)) => shown,
                Either::Right(_) => Ok(done),
            };
        }
        Ok(done)
    }

    /// Deploys the manifest under the lock, and resolves it only there: the previous holder may
    /// have changed secrets, and the outcome of an interrupted deploy determines the active values.
    async fn deploy_with_rotation<E: StateStore>(
        &self,
        (engine, project): (&Arc<E>, &ProjectName),
        request: rotate::Request<'_>,
        console: Console,
        interrupts: impl Stream<Item = ()> + Unpin,
    ) -> Result<CommandOutcome, CommandError> {
        let work = async |session: &mut Session<E>, interrupts: &mut _| {
            let (project, turn) = request.begin(engine.as_ref(), &self.rotate).await?;
            let mut relay = EventBridge::new(console);
            relay.on_finish(turn.remark());
            let deployment = self.deployment(engine, project)?;
            let author = identity::author(request.scope, &deployment.project.directory);
            let work = deployment.apply(session, author, &mut relay, interrupts);
            let done = work.await?;
            if let CommandOutcome::Run(verdict) = done {
                turn.ended(verdict)?;
            }
            Ok(done)
        };
        let terms = self.terms(project, (request.scope, console));
        self.locked(engine, terms, interrupts, work).await
    }

    /// Deploys a given project on any engine, without a rotation.
    pub async fn on<E: StateStore>(
        &self,
        (engine, project): (&Arc<E>, Project),
        (scope, console): (&ProjectSelector, Console),
        mut interrupts: impl Stream<Item = ()> + Unpin,
    ) -> Result<CommandOutcome, CommandError> {
        let name = project.name.clone();
        let deployment = self.deployment(engine, project)?;
        if let Some(done) = Box::pin(deployment.noop(console, &mut interrupts)).await? {
            return Ok(done);
        }
        let work = async |session: &mut Session<E>, interrupts: &mut _| {
            let mut relay = EventBridge::new(console);
            let author = identity::author(scope, &deployment.project.directory);
            deployment
                .apply(session, author, &mut relay, interrupts)
                .await
        };
        let terms = self.terms(&name, (scope, console));
        self.locked(engine, terms, interrupts, work).await
    }

    /// Runs `work` under the lock, after ending an interrupted deploy.
    async fn locked<E: StateStore, I: Stream<Item = ()> + Unpin>(
        &self,
        engine: &Arc<E>,
        terms: LockRequest<'_>,
        mut interrupts: I,
        work: impl AsyncFnOnce(&mut Session<E>, &mut I) -> Result<CommandOutcome, CommandError>,
    ) -> Result<CommandOutcome, CommandError> {
        let console = terms.console;
        let begun = Session::begin_unless(engine, terms, &mut interrupts).await?;
        let Some(mut session) = begun else {
            return Ok(CommandOutcome::Run(Outcome::Cancelled));
        };
        let done = Box::pin(async {
            match session.recover_first(console, &mut interrupts).await? {
                Some(done) => Ok(done),
                None => work(&mut session, &mut interrupts).await,
            }
        })
        .await;
        session.end(done).await
    }

    fn terms<'a>(
        &self,
        project: &'a ProjectName,
        (scope, console): (&'a ProjectSelector, Console),
    ) -> LockRequest<'a> {
        LockRequest {
            scope,
            project,
            verb: self.verb(),
            patience: self.lock_timeout,
            writes: true,
            all_goes: false,
            console,
        }
    }

    fn deployment<E>(
        &self,
        engine: &Arc<E>,
        mut project: Project,
    ) -> Result<Deployment<E>, CommandError> {
        if let Some(within) = self.ready_timeout {
            load::wait_at_most(&mut project, within);
        }
        Ok(Deployment {
            engine: Arc::clone(engine),
            options: load::with_tags(&project, self.options.clone())?,
            project,
            verb: self.verb(),
            keep_failed: self.keep_failed,
        })
    }

    fn verb(&self) -> &'static str {
        if self.rotate.is_empty() {
            "up"
        } else {
            "rotate"
        }
    }
}
