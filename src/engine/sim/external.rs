//! Events in a simulated world besides the deploy: manual changes, restarts of the engine, and the
//! death of the calling program.

use std::time::Duration;

use tokio::{sync::oneshot, time::sleep};

use super::{FaultTiming, Inner, Sim, call::Call, world::EngineEnd};
use crate::{
    engine::EngineError,
    name::{ContainerName, ImageRef},
    plan::Action,
    state::{PublishedPort, UnmanagedContainer},
};

/// Downtime of an engine that is restarted.
const ENGINE_RESTART: Duration = Duration::from_millis(500);

/// A change to the world without `cimandat`, such as a manual change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExternalAction {
    /// Runs a container without a project, and publishes these ports.
    Run {
        /// The name of the container.
        container: ContainerName,
        /// The ports that the container holds.
        ports: Vec<PublishedPort>,
    },
    /// Starts a container.
    Start(ContainerName),
    /// Stops a container gracefully.
    Stop(ContainerName),
    /// Kills a container.
    Kill(ContainerName),
    /// Pauses a container.
    Pause(ContainerName),
    /// Resumes a paused container.
    Unpause(ContainerName),
    /// Removes a container in any state, with its anonymous volumes.
    Remove(ContainerName),
    /// A container exits by itself.
    End {
        /// The container.
        container: ContainerName,
        /// The exit code.
        exit_code: i64,
    },
    /// Removes all stopped containers.
    PruneContainers,
    /// Removes all networks without running containers.
    PruneNetworks,
    /// Removes all anonymous volumes that no container mounts.
    PruneVolumes,
    /// Removes all images that no container uses.
    PruneImages,
    /// Removes the name of an image.
    RemoveImage(ImageRef),
    /// The engine is stopped gracefully and started again.
    RestartEngine,
    /// The engine is killed and started again. Its containers run on until the engine is back.
    KillEngine,
    /// The engine's host loses power and boots again.
    CutPower,
}

impl Sim {
    /// Performs an external action. Requires a running Tokio runtime, because the action may have
    /// later consequences.
    pub fn external(&self, hand: &ExternalAction) {
        match hand {
            ExternalAction::Run { container, ports } => {
                let foreign = UnmanagedContainer {
                    project: None,
                    running: true,
                    ports: ports.clone(),
                };
                self.add_foreign(container.clone(), foreign);
            }
            ExternalAction::Start(name) => self.attempt(&Action::StartContainer(name.clone())),
            ExternalAction::Stop(container) => self.attempt(&Action::StopContainer {
                container: container.clone(),
                grace: None,
            }),
            ExternalAction::Kill(name) => self.lock().kill(name),
            ExternalAction::Pause(name) => self.attempt(&paused(name, true)),
            ExternalAction::Unpause(name) => self.attempt(&paused(name, false)),
            ExternalAction::Remove(name) => {
                let mut inner = self.lock();
                inner.kill(name);
                inner.world.discard(name);
            }
            ExternalAction::End {
                container,
                exit_code,
            } => self.kill(container, *exit_code),
            ExternalAction::PruneContainers => self.lock().world.prune_containers(),
            ExternalAction::PruneNetworks => self.lock().world.prune_networks(),
            ExternalAction::PruneVolumes => self.lock().world.prune_volumes(),
            ExternalAction::PruneImages => self.lock().world.prune_images(),
            ExternalAction::RemoveImage(image) => self.attempt(&Action::RemoveImage(image.clone())),
            ExternalAction::RestartEngine => self.end_engine(EngineEnd::Stopped),
            ExternalAction::KillEngine => self.end_engine(EngineEnd::Killed),
            ExternalAction::CutPower => self.end_engine(EngineEnd::PowerCut),
        }
    }

    /// An external action that the engine refuses has no effect, and nothing reports the error.
    fn attempt(&self, action: &Action) {
        let _ = self.effect(action);
    }

    /// The engine ends and comes back. Every event stream ends, and all calls fail in between.
    fn end_engine(&self, how: EngineEnd) {
        let mut inner = self.lock();
        inner.world.engine_ends(how);
        inner.listeners.clear();
        inner.boot_count += 1;
        inner.down = true;
        let (life, sim) = (inner.boot_count, self.clone());
        drop(inner);
        tokio::spawn(async move {
            sleep(ENGINE_RESTART).await;
            let mut inner = sim.lock();
            if inner.boot_count != life {
                return;
            }
            inner.down = false;
            let notices = inner.world.engine_returns(sim.now());
            let begun: Vec<ContainerName> = notices.into_iter().map(|it| it.container).collect();
            for name in begun {
                sim.resume(&inner, &name);
            }
        });
    }

    /// Returns the boot count of the engine.
    ///
    /// # Errors
    /// [`EngineError::Unreachable`] while the engine is down.
    pub(super) fn reach(&self) -> Result<u64, EngineError> {
        let inner = self.lock();
        if inner.down {
            return Err(EngineError::Unreachable {
                address: inner.world.engine.address.clone(),
                cause: "connection refused".to_owned(),
                help: "wait until it is back".to_owned(),
            });
        }
        Ok(inner.boot_count)
    }

    /// Performs an external action during this call, counted from 0.
    pub fn meddle_at(&self, call: u64, when: FaultTiming, hand: ExternalAction) {
        self.plot(call, when, Event::Hand(hand));
    }

    /// Returns a receiver that is notified during this call, counted from 0.
    pub fn notify_at(&self, call: u64, when: FaultTiming) -> oneshot::Receiver<()> {
        let (tell, told) = oneshot::channel();
        self.plot(call, when, Event::Word(tell));
        told
    }

    fn plot(&self, call: u64, when: FaultTiming, event: Event) {
        self.lock().plots.push(Scheduled { call, when, event });
    }

    /// Runs the effect of a call on the engine and returns the result, with latency and faults.
    ///
    /// # Errors
    /// The errors of the connection and of injected faults. The result contains the errors of the
    /// engine itself.
    pub(super) async fn carry<T>(
        &self,
        call: Call,
        (verb, object): (&str, &str),
        effect: impl FnOnce(&Self) -> T,
    ) -> Result<T, EngineError> {
        sleep(call.before).await;
        self.meet(call.number, FaultTiming::Before).await;
        let life = self.reach()?;
        if let Some(fault) = call
            .fault
            .as_ref()
            .filter(|it| it.when == FaultTiming::Before)
        {
            return Err(fault.error.clone());
        }
        let result = effect(self);
        self.meet(call.number, FaultTiming::After).await;
        sleep(call.after).await;
        // An answer arrives only if the engine was not restarted since the call.
        if self.lock().boot_count != life {
            return Err(EngineError::Transport {
                verb: verb.to_owned(),
                object: object.to_owned(),
                cause: "the connection broke".to_owned(),
            });
        }
        match call.fault {
            Some(fault) => Err(fault.error),
            None => Ok(result),
        }
    }

    /// The caller crashes at this call, counted from 0, before or after the effect. The call never
    /// returns, and the returned receiver is notified.
    pub fn crash_at(&self, call: u64, when: FaultTiming) -> oneshot::Receiver<()> {
        let (tell, told) = oneshot::channel();
        let another = |it: &Scheduled| !matches!(it.event, Event::Death(_));
        self.lock().plots.retain(another);
        self.plot(call, when, Event::Death(tell));
        told
    }

    /// Triggers the events that are scheduled at a call. Never returns if the caller crashes here.
    async fn meet(&self, call: u64, when: FaultTiming) {
        let here = |it: &mut Scheduled| (it.call, it.when) == (call, when);
        let plots: Vec<Scheduled> = self.lock().plots.extract_if(.., here).collect();
        let mut dies = false;
        for plot in plots {
            let told = match plot.event {
                Event::Hand(hand) => {
                    self.external(&hand);
                    continue;
                }
                Event::Word(tell) => tell,
                Event::Death(tell) => {
                    dies = true;
                    tell
                }
            };
            // The receiver may have been dropped, because the test is over.
            let _ = told.send(());
        }
        if dies {
            std::future::pending::<()>().await;
        }
    }
}

fn paused(container: &ContainerName, paused: bool) -> Action {
    Action::SetPaused {
        container: container.clone(),
        paused,
    }
}

/// An event that is scheduled at a call.
pub(super) struct Scheduled {
    call: u64,
    when: FaultTiming,
    event: Event,
}

enum Event {
    /// The caller crashes, and a receiver is notified.
    Death(oneshot::Sender<()>),
    /// An external action.
    Hand(ExternalAction),
    /// A receiver is notified.
    Word(oneshot::Sender<()>),
}

impl Inner {
    fn kill(&mut self, name: &ContainerName) {
        if let Some(notice) = self.world.kill(name) {
            self.publish(&notice);
        }
    }
}
