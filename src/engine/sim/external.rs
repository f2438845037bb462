//! What happens to a simulated world past the one who deploys: people, the engine's own ends, and
//! the end of the asking program.

use std::time::Duration;

use tokio::{sync::oneshot, time::sleep};

use super::{FaultTiming, Inner, Sim, call::Call, world::EngineEnd};
use crate::{
    engine::EngineError,
    name::{ContainerName, ImageRef},
    plan::Action,
    state::{PublishedPort, UnmanagedContainer},
};

/// How long an engine that ended is away.
const ENGINE_RESTART: Duration = Duration::from_millis(500);

/// What somebody does past `cimandat`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExternalAction {
    /// Runs a container that is nobody's, and publishes these ports.
    Run {
        /// Its name.
        container: ContainerName,
        /// What it holds from then on.
        ports: Vec<PublishedPort>,
    },
    /// Starts a container.
    Start(ContainerName),
    /// Stops a container, in good order.
    Stop(ContainerName),
    /// Kills a container.
    Kill(ContainerName),
    /// Freezes a container.
    Pause(ContainerName),
    /// Thaws a container.
    Unpause(ContainerName),
    /// Removes a container, whatever it does, and its anonymous volumes.
    Remove(ContainerName),
    /// Not a hand at all: a container ends by itself.
    End {
        /// Which.
        container: ContainerName,
        /// With this code.
        exit_code: i64,
    },
    /// Removes all containers that do not run.
    PruneContainers,
    /// Removes all networks that nothing running is attached to.
    PruneNetworks,
    /// Removes all anonymous volumes that nobody mounts.
    PruneVolumes,
    /// Removes all images that no container was made from.
    PruneImages,
    /// Removes an image's name.
    RemoveImage(ImageRef),
    /// The engine is stopped in good order, and started again.
    RestartEngine,
    /// The engine is killed, and started again; its containers live on until it is back.
    KillEngine,
    /// The engine's host goes down, and comes up again.
    CutPower,
}

impl Sim {
    /// Somebody does something. Needs a running runtime, as it may have consequences.
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

    /// What a hand cannot do, it does not do: nobody asks why.
    fn attempt(&self, action: &Action) {
        let _ = self.effect(action);
    }

    /// The engine ends and comes back: every stream breaks off, nothing answers in between.
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

    /// Which of its lives the engine is in.
    ///
    /// # Errors
    /// [`EngineError::Unreachable`] while it is away.
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

    /// A hand does something at this call, counted from 0, while it is carried out.
    pub fn meddle_at(&self, call: u64, when: FaultTiming, hand: ExternalAction) {
        self.plot(call, when, Event::Hand(hand));
    }

    /// What this gives is ready when this call, counted from 0, is carried out.
    pub fn notify_at(&self, call: u64, when: FaultTiming) -> oneshot::Receiver<()> {
        let (tell, told) = oneshot::channel();
        self.plot(call, when, Event::Word(tell));
        told
    }

    fn plot(&self, call: u64, when: FaultTiming, event: Event) {
        self.lock().plots.push(Scheduled { call, when, event });
    }

    /// Carries a call to the engine and its answer back, as far as both come there.
    ///
    /// # Errors
    /// Those of the way; what the engine itself answers is the result.
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
        // An answer comes from the life of the engine that was asked, or not at all.
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

    /// The one who asks dies at this call, counted from 0: the call never returns, and what this
    /// gives is then ready. Before the effect, or after it.
    pub fn crash_at(&self, call: u64, when: FaultTiming) -> oneshot::Receiver<()> {
        let (tell, told) = oneshot::channel();
        let another = |it: &Scheduled| !matches!(it.event, Event::Death(_));
        self.lock().plots.retain(another);
        self.plot(call, when, Event::Death(tell));
        told
    }

    /// What is to happen at a call happens. Does not return if the one who asks is to die here.
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
            // Nobody waits for a word any more: then it is over already.
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

/// Something that is to happen at a call.
pub(super) struct Scheduled {
    call: u64,
    when: FaultTiming,
    event: Event,
}

enum Event {
    /// The one who asks dies, and somebody is told.
    Death(oneshot::Sender<()>),
    /// Somebody does something.
    Hand(ExternalAction),
    /// Somebody is told.
    Word(oneshot::Sender<()>),
}

impl Inner {
    fn kill(&mut self, name: &ContainerName) {
        if let Some(notice) = self.world.kill(name) {
            self.publish(&notice);
        }
    }
}
