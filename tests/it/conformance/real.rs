//! Plays a scenario on a real engine.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    time::Duration,
};

use cimandat::{
    engine::{
        ContainerEvent, Engine, EngineError, ProbeResult,
        docker::{Docker, Settings},
        sim::ExternalAction,
    },
    name::ContainerName,
    plan::{Action, RunHook},
    project::{Hook, Probe},
    state::PublishedPort,
};
use futures::{
    FutureExt, StreamExt,
    stream::{self, BoxStream},
};
use serde_json::json;
use tokio::{
    sync::mpsc::unbounded_channel,
    time::{Instant, timeout_at},
};

use super::{
    scenario::{Call, IMAGE, Scenario, Turn, word},
    seen::{Seen, Shown, mounted, query},
};
use crate::support::{Api, Inner};

/// The timeout of any operation.
const PATIENCE: Duration = Duration::from_secs(20);

type Notices = BoxStream<'static, Result<ContainerEvent, EngineError>>;

/// A real engine on which a scenario is played.
struct Stage<'s> {
    scenario: &'s Scenario,
    docker: Docker,
    api: Api,
    /// Volumes that were mounted at some time.
    known: BTreeSet<String>,
    /// Containers that belong to no project.
    foreign: Vec<ContainerName>,
}

/// Plays a scenario; each turn has the same result as in the simulation. Without an engine it
/// prints the reason and passes; with `CIMANDAT_TEST_ENGINE=require` it fails instead.
pub fn play(scenario: &Scenario, shown: &[Shown]) {
    let _alone = scenario.alone.then(Inner::alone);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let Some(mut stage) = Stage::find(scenario).await else {
            return;
        };
        let play = async {
            for (turn, shown) in scenario.turns.iter().zip(shown) {
                stage.play(turn, shown).await;
            }
        };
        let outcome = std::panic::AssertUnwindSafe(play).catch_unwind().await;
        stage.clear().await;
        if let Err(panic) = outcome {
            std::panic::resume_unwind(panic);
        }
    });
}

impl<'s> Stage<'s> {
    async fn find(scenario: &'s Scenario) -> Option<Self> {
        let required = env::var("CIMANDAT_TEST_ENGINE").is_ok_and(|value| value == "require");
        let inner = Inner::named().map(|it| it.host);
        if scenario.alone && inner.is_none() {
            skip(scenario, "it needs an engine of its own, and none is named");
            return None;
        }
        let host = if scenario.alone {
            inner
        } else {
            env::var("DOCKER_HOST").ok()
        };
        let settings = Settings {
            host: host.clone(),
            ..Settings::default()
        };
        let found = Docker::connect(&settings)
            .await
            .map_err(|it| it.to_string());
        let found = found.and_then(|docker| Ok((docker, Api::find(host)?)));
        let (docker, api) = match found {
            Ok(found) => found,
            Err(why) => {
                assert!(!required, "{why}");
                skip(scenario, &why);
                return None;
            }
        };
        let state = docker.observe(&query(scenario, &BTreeSet::new())).await;
        if state.unwrap().images.is_empty() {
            assert!(!required, "`{IMAGE}` is not on the engine");
            skip(scenario, &format!("`{IMAGE}` is not on the engine"));
            return None;
        }
        Some(Self {
            scenario,
            docker,
            api,
            known: BTreeSet::new(),
            foreign: Vec::new(),
        })
    }

    async fn play(&mut self, turn: &Turn, shown: &Shown) {
        let mut notices = self.listen().await;
        let result = match &turn.call {
            Call::Act(action) => self.perform(action).await,
            Call::Hand(hand) => {
                self.by_hand(hand).await;
                Ok(())
            }
        };
        let brings = word(&result);
        assert_eq!(brings, shown.brings, "{:?}: {result:?}", turn.call);
        let ends = matches!(
            turn.call,
            Call::Hand(
                ExternalAction::RestartEngine
                    | ExternalAction::KillEngine
                    | ExternalAction::CutPower
            )
        );
        if ends {
            notices = self.listen_again(notices).await;
        }
        let seen = self.until(&shown.seen, notices).await;
        assert_eq!(seen, shown.seen, "after {:?}", turn.call);
    }

    async fn perform(&self, action: &Action) -> Result<(), EngineError> {
        if let Action::StopContainer { container, .. } = action {
            self.at_work(container).await;
        }
        self.docker.perform(action, &unbounded_channel().0).await
    }

    /// Observes after each event, until the state is as expected or the timeout is over; returns
    /// the last state.
    async fn until(&mut self, wanted: &Seen, mut notices: Notices) -> Seen {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let seen = self.look().await;
            if seen == *wanted {
                return seen;
            }
            match timeout_at(deadline, notices.next()).await {
                Ok(Some(Ok(_))) => {}
                Ok(other) => panic!("the event stream ended: {other:?}"),
                Err(_) => return seen,
            }
        }
    }

    async fn look(&mut self) -> Seen {
        let state = self
            .docker
            .observe(&query(self.scenario, &self.known))
            .await;
        self.known.extend(mounted(&state.unwrap()));
        let state = self
            .docker
            .observe(&query(self.scenario, &self.known))
            .await;
        Seen::of(self.scenario, &state.unwrap())
    }

    /// Waits for the event stream to end with its engine, and opens a new one.
    async fn listen_again(&self, mut notices: Notices) -> Notices {
        let deadline = Instant::now() + PATIENCE;
        let broken = async { while let Some(Ok(_)) = notices.next().await {} };
        timeout_at(deadline, broken).await.unwrap();
        self.listen().await
    }

    /// Opens an event stream, and buffers its events while they are not read.
    async fn listen(&self) -> Notices {
        let mut notices = self.docker.watch(&self.scenario.project).await.unwrap();
        let (tell, mut told) = unbounded_channel();
        tokio::spawn(async move {
            while let Some(notice) = notices.next().await {
                let _ = tell.send(notice);
            }
        });
        stream::poll_fn(move |context| told.poll_recv(context)).boxed()
    }

    /// Waits until the container's program runs, as its reaction to a signal is defined only then.
    async fn at_work(&self, container: &ContainerName) {
        let probe = Probe::Log {
            pattern: "at work".to_owned(),
            times: 1,
        };
        let running = self.docker.inspect(container, 1).await;
        let running = running.is_ok_and(|it| it.condition.status.is_up());
        if running {
            let answer = self.docker.probe(container, &probe, PATIENCE).await;
            assert!(matches!(answer, ProbeResult::Passed(_)), "{answer:?}");
        }
    }

    async fn by_hand(&mut self, hand: &ExternalAction) {
        let post = |path: String| self.post(&path);
        match hand {
            ExternalAction::Run { container, ports } => self.run(container, ports),
            ExternalAction::Start(name) => post(format!("/containers/{name}/start")),
            ExternalAction::Stop(name) => {
                self.at_work(name).await;
                post(format!("/containers/{name}/stop"));
            }
            ExternalAction::Kill(name) => post(format!("/containers/{name}/kill")),
            ExternalAction::Pause(name) => {
                self.at_work(name).await;
                post(format!("/containers/{name}/pause"));
            }
            ExternalAction::Unpause(name) => post(format!("/containers/{name}/unpause")),
            ExternalAction::Remove(name) => {
                let path = format!("/containers/{name}?force=1&v=1");
                assert_eq!(self.api.ask("DELETE", &path, None).status, 204);
            }
            ExternalAction::End {
                container,
                exit_code,
            } => self.end(container, *exit_code).await,
            ExternalAction::PruneContainers => post("/containers/prune".to_owned()),
            ExternalAction::PruneNetworks => post("/networks/prune".to_owned()),
            ExternalAction::PruneVolumes => post("/volumes/prune".to_owned()),
            ExternalAction::PruneImages => {
                post("/images/prune?filters=%7B%22dangling%22%3A%5B%22false%22%5D%7D".to_owned());
            }
            ExternalAction::RemoveImage(image) => {
                self.api.ask("DELETE", &format!("/images/{image}"), None);
            }
            ExternalAction::RestartEngine => self.end_engine("--restart").await,
            ExternalAction::KillEngine => self.end_engine("--kill").await,
            ExternalAction::CutPower => self.end_engine("--power-cut").await,
        }
    }

    fn post(&self, path: &str) {
        let reply = self.api.ask("POST", path, None);
        let said = String::from_utf8_lossy(&reply.body).into_owned();
        assert!(matches!(reply.status, 200..=304), "{path}: {said}");
    }

    /// Runs a container that belongs to no project.
    fn run(&mut self, container: &ContainerName, ports: &[PublishedPort]) {
        let bindings = ports.iter().map(|port| {
            let binding = json!([{"HostPort": port.published.to_string()}]);
            (format!("{}/tcp", port.target), binding)
        });
        let bindings: serde_json::Map<_, _> = bindings.collect();
        let exposed = bindings.keys().map(|port| (port.clone(), json!({})));
        let exposed: serde_json::Map<_, _> = exposed.collect();
        let body = json!({
            "Image": IMAGE,
            "Cmd": ["sleep", "600"],
            "ExposedPorts": exposed,
            "HostConfig": {"PortBindings": bindings},
        });
        self.foreign.push(container.clone());
        self.api.create(container.as_str(), &body);
        self.post(&format!("/containers/{container}/start"));
    }

    /// Ends a container by itself: by a signal from inside, as a signal by the engine counts as a
    /// manual stop.
    async fn end(&self, container: &ContainerName, exit_code: i64) {
        self.at_work(container).await;
        let signal = if exit_code == 0 { "USR2" } else { "USR1" };
        let command = ["perl", "-e", &format!("kill {signal} => 1")];
        let hook = Hook {
            command: command.map(str::to_owned).to_vec(),
            user: None,
            working_dir: None,
            privileged: false,
            env: BTreeMap::new(),
        };
        let container = container.clone();
        let run = Action::RunHook(Box::new(RunHook { container, hook }));
        // The container may stop before the command in it has ended.
        let _ = self.docker.perform(&run, &unbounded_channel().0).await;
    }

    /// Ends the engine, after all running containers have started their programs.
    async fn end_engine(&self, how: &str) {
        let query = query(self.scenario, &BTreeSet::new());
        for (name, it) in self.docker.observe(&query).await.unwrap().containers {
            if it.condition.status == cimandat::state::Status::Running {
                self.at_work(&name).await;
            }
        }
        let how = how.to_owned();
        let ended = tokio::task::spawn_blocking(move || Inner::end(&how));
        ended.await.unwrap();
    }

    async fn clear(&mut self) {
        let query = query(self.scenario, &self.known);
        let state = self.docker.observe(&query).await.unwrap();
        let foreign = self.foreign.iter();
        for name in state.containers.keys().chain(foreign) {
            let path = format!("/containers/{name}?force=1&v=1");
            self.api.ask("DELETE", &path, None);
        }
        for name in state.networks.keys() {
            self.api.ask("DELETE", &format!("/networks/{name}"), None);
        }
        for name in state.volumes.keys() {
            self.api.ask("DELETE", &format!("/volumes/{name}"), None);
        }
    }
}

#[expect(
    clippy::print_stderr,
    reason = "a skipped test must not pass in silence"
)]
fn skip(scenario: &Scenario, why: &str) {
    eprintln!("skipped `{}` on the real engine: {why}", scenario.project);
}
