//! `cimandat recover`: ends an interrupted deploy, and starts the containers that should run.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures::Stream;

use super::{
    CommandError, CommandOutcome, Console, ProjectSelector, history, load, print,
    session::{LockRequest, Session},
    unfinished::{self, Unfinished},
};
use crate::{
    engine::{
        Engine, Query, StateStore,
        docker::{Docker, Settings},
    },
    event::{Change, Outcome, Purpose, ServiceSummary},
    journal::UnfinishedDeploy,
    name::{ProjectName, ServiceName},
    plan::{self, Plan, StepKind, Subject},
    run::{self, FailurePolicy, Run},
    state::State,
};

/// The `recover` command.
#[derive(Debug)]
pub struct Recover {
    /// Only show what would be done.
    pub plan: bool,
    /// Discard the journal instead, and rely on the observed state.
    pub discard_journal: bool,
    /// How long to wait for a lock that another process holds; zero: not at all.
    pub lock_timeout: Duration,
}

impl Recover {
    pub(super) async fn run(
        self,
        scope: &ProjectSelector,
        settings: &Settings,
        console: Console,
    ) -> Result<CommandOutcome, CommandError> {
        let project = load::project_name(scope)?;
        let engine = Arc::new(Docker::connect(settings).await?);
        if self.plan {
            return show(engine.as_ref(), &project).await;
        }
        let interrupts = run::signal::interrupts().map_err(CommandError::Signals)?;
        self.on((&engine, &project), (scope, console), interrupts)
            .await
    }

    /// Runs the command on any engine, real or simulated.
    pub async fn on<E: StateStore>(
        &self,
        (engine, project): (&Arc<E>, &ProjectName),
        (scope, console): (&ProjectSelector, Console),
        mut interrupts: impl Stream<Item = ()> + Unpin,
    ) -> Result<CommandOutcome, CommandError> {
        let terms = LockRequest {
            scope,
            project,
            verb: "recover",
            patience: self.lock_timeout,
            writes: false,
            all_goes: false,
            console,
        };
        if self.discard_journal {
            let session = Session::begin_discarding_journal(engine, terms).await?;
            console.eprint(
                "the journal was discarded; the next deploy starts from the observed state\n",
            );
            return session.end(Ok(CommandOutcome::Ok)).await;
        }
        let begun = Session::begin_unless(engine, terms, &mut interrupts).await?;
        let Some(mut session) = begun else {
            return Ok(CommandOutcome::Run(Outcome::Cancelled));
        };
        let done = recover(&mut session, (engine, project), console, &mut interrupts).await;
        session.end(done).await
    }
}

/// Ends an interrupted deploy, if there is one, and starts the containers that should run.
pub(super) async fn recover<E: StateStore>(
    session: &mut Session<E>,
    (engine, project): (&Arc<E>, &ProjectName),
    console: Console,
    mut interrupts: impl Stream<Item = ()> + Unpin,
) -> Result<CommandOutcome, CommandError> {
    let ended = session.recover(console, &mut interrupts).await?;
    if let Some(outcome) = &ended
        && (outcome.interrupted || outcome.outcome == Outcome::RollbackFailed)
    {
        return Ok(CommandOutcome::Run(outcome.outcome));
    }
    let ended = ended.map(|outcome| outcome.outcome);
    let state = engine.observe(&Query::of(project.clone())).await?;
    let revival = revival(engine.as_ref(), project, &state).await?;
    if revival.steps.is_empty() {
        if ended.is_none() {
            console.eprint(&format!(
                "`{project}` was not interrupted, and everything that should run does\n"
            ));
        }
        return Ok(ended.map_or(CommandOutcome::Ok, CommandOutcome::Run));
    }
    let settings = run::Settings {
        project: project.clone(),
        verb: "recover".to_owned(),
        services: participants(&revival),
        purpose: Purpose::Project,
        origin: state,
        on_failure: FailurePolicy::Leave,
        stabilization: run::Stabilization::NONE,
        deadline: None,
        journal: None,
        keep_failed: false,
        images_at_a_time: None,
    };
    let mut relay = super::event_bridge::EventBridge::new(console);
    let run = Run::new(revival, settings);
    let outcome = session.carry_out(&mut relay, run, interrupts).await?;
    // The outcome of the ended deploy says which generation is active. This run only completes it.
    Ok(match outcome.outcome {
        Outcome::Converged | Outcome::Unchanged => {
            ended.map_or(CommandOutcome::Ok, CommandOutcome::Run)
        }
        verdict => CommandOutcome::Run(verdict),
    })
}

fn participants(plan: &Plan) -> Vec<ServiceSummary> {
    let mut services: BTreeMap<&ServiceName, u32> = BTreeMap::new();
    for step in &plan.steps {
        if let Subject::Service { name, replica } = &step.subject {
            let most = services.entry(name).or_default();
            *most = (*most).max(*replica);
        }
    }
    services
        .into_iter()
        .map(|(service, replicas)| ServiceSummary {
            service: service.clone(),
            job: false,
            replicas,
            change: Change::Start,
            depends_on: Vec::new(),
            containers: Vec::new(),
        })
        .collect()
}

/// Plans the start of the stopped containers that should run according to the last deploy.
async fn revival(
    engine: &impl StateStore,
    project: &ProjectName,
    state: &State,
) -> Result<Plan, CommandError> {
    let entries = history::entries(engine, project).await?;
    let mut entries = entries.iter().rev();
    let last = entries.find(|entry| entry.has_live_containers());
    let wanted = last.map(|entry| entry.project.services.keys().cloned().collect());
    Ok(plan::restart_stopped(state, wanted.as_ref()))
}

/// Shows what a recovery would do. Changes nothing and needs no lock.
async fn show(engine: &Docker, project: &ProjectName) -> Result<CommandOutcome, CommandError> {
    let (_, unfinished) = unfinished::standing(engine, project).await?;
    let state = engine.observe(&Query::of(project.clone())).await?;
    if let Some(Unfinished { open, holder }) = unfinished {
        if let Some(lock) = holder {
            return Err(CommandError::Locked(Box::new(lock)));
        }
        print(&describe(&open, &state));
        // The recovery itself would return the same outcome.
        let verdict = if open.committed && open.split.is_none() {
            Outcome::Converged
        } else {
            Outcome::RolledBack
        };
        return Ok(CommandOutcome::Run(verdict));
    }
    let revival = revival(engine, project, &state).await?;
    print(&if revival.steps.is_empty() {
        format!("`{project}` was not interrupted, and everything that should run does\n")
    } else {
        format!(
            "`{project}` was not interrupted; it would be\n{}",
            steps(&revival)
        )
    });
    Ok(CommandOutcome::Ok)
}

fn describe(open: &UnfinishedDeploy, now: &State) -> String {
    let planned = &open.planned;
    let (author, generation) = (&planned.author, planned.generation);
    let began = format!(
        "deploy {generation} (`{}` of {}@{}, {}) was interrupted",
        planned.verb,
        author.user,
        author.host,
        author.at.strftime("%Y-%m-%d %H:%M:%SZ")
    );
    if open.committed {
        return format!(
            "{began} after its commit; it would be rolled forward:\n{}",
            steps(&run::remaining(open, now))
        );
    }
    let back = plan::recovery_plan(&planned.plan, &open.attempted(), &planned.origin);
    format!(
        "{began} before its commit; it would be rolled back:\n{}",
        steps(&back.plan)
    )
}

fn steps(plan: &Plan) -> String {
    plan.steps
        .iter()
        .map(|step| match &step.kind {
            StepKind::Action(action) => format!("  {} `{}`\n", action.verb(), action.object()),
            StepKind::AwaitReady { container, .. } => {
                format!("  waiting until `{container}` is ready\n")
            }
            StepKind::Drain { object, .. } => format!("  draining `{object}`\n"),
            StepKind::Verify(check) => format!("  verifying {check}\n"),
        })
        .collect()
}
