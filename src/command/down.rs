//! `cimandat down`: everything of the project goes; volumes only when asked for.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use super::{CommandError, Console, Done, Scope, load, relay::Relay};
use crate::{
    engine::{
        Engine, Query,
        docker::{Docker, Settings},
    },
    event::{Change, Participant},
    name::ServiceName,
    plan::{self, Removal},
    project::Kind,
    run::{self, OnFailure, Run},
    state::State,
};

/// Take down.
#[derive(Debug)]
pub struct Down {
    /// What is to go.
    pub removal: Removal,
}

impl Down {
    pub(super) async fn run(
        self,
        scope: &Scope,
        settings: &Settings,
        console: Console,
    ) -> Result<Done, CommandError> {
        let project = load::project_name(scope)?;
        let engine = Arc::new(Docker::connect(settings).await?);
        let query = Query {
            own_images: self.removal.images,
            ..Query::of(project.clone())
        };
        let state = engine.observe(&query).await?;
        let plan = plan::down(project.as_str(), &state, &self.removal);
        let settings = run::Settings {
            verb: "down".to_owned(),
            services: participants(&state, &self.removal),
            on_failure: OnFailure::Stay,
            origin: state,
            settle: Duration::ZERO,
            deadline: None,
            images_at_a_time: None,
            project,
        };
        let mut interrupts = run::signal::interrupts().map_err(CommandError::Signals)?;
        let outcome = Relay::new(console)
            .last(engine, Run::new(plan, settings), &mut interrupts)
            .await;
        Ok(Done::Run(outcome.verdict))
    }
}

fn participants(state: &State, removal: &Removal) -> Vec<Participant> {
    let services: BTreeSet<&ServiceName> = state
        .containers
        .values()
        .map(|container| &container.service)
        .filter(|name| removal.services.is_empty() || removal.services.contains(*name))
        .collect();
    services
        .into_iter()
        .map(|name| {
            let own = || state.containers.values().filter(|it| it.service == *name);
            let record = own().find_map(|container| container.record.as_ref());
            Participant {
                service: name.clone(),
                job: record.is_some_and(|record| matches!(record.kind, Kind::Job { .. })),
                replicas: own().map(|container| container.replica).max().unwrap_or(1),
                change: Change::Remove,
                waits_for: Vec::new(),
            }
        })
        .collect()
}
