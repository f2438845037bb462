//! What happens to a simulated world past the one who deploys: people, the engine's own ends, and
//! the end of the asking program.

use std::time::Duration;

use tokio::{sync::oneshot, time::sleep};

use super::{Inner, Sim, When, call::Call, world::EngineEnd};
use crate::{
    engine::EngineError,
    name::{ContainerName, ImageRef},
    plan::Action,
    state::{Foreign, HeldPort},
};

/// How long an engine that ended is away.
const AWAY: Duration = Duration::from_millis(500);

/// What somebody does past `cimandat`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hand {
    /// Runs a container that is nobody's, and publishes these ports.
    Run {
        /// Its name.
        container: ContainerName,
        /// What it holds from then on.
        ports: Vec<HeldPort>,
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
    pub fn meddle(&self, hand: &Hand) {
        match hand {
            Hand::Run { container, ports } => {
                let foreign = Foreign {
                    project: None,
                    running: true,
                    ports: ports.clone(),
                };
                self.add_foreign(container.clone(), foreign);
            }
            Hand::Start(name) => self.try_to(&Action::StartContainer(name.clone())),
            Hand::Stop(container) => self.try_to(&Action::StopContainer {
                container: container.clone(),
                grace: None,
            }),
            Hand::Kill(name) => self.lock().kill(name),
            Hand::Pause(name) => self.try_to(&paused(name, true)),
            Hand::Unpause(name) => self.try_to(&paused(name, false)),
            Hand::Remove(name) => {
                let mut inner = self.lock();
                inner.kill(name);
                inner.world.discard(name);
            }
            Hand::End {
                container,
                exit_code,
            } => self.kill(container, *exit_code),
            Hand::PruneContainers => self.lock().world.prune_containers(),
            Hand::PruneNetworks => self.lock().world.prune_networks(),
            Hand::PruneVolumes => self.lock().world.prune_volumes(),
            Hand::PruneImages => self.lock().world.prune_images(),
            Hand::RemoveImage(image) => self.try_to(&Action::RemoveImage(image.clone())),
            Hand::RestartEngine => self.end_engine(EngineEnd::Stopped),
            Hand::KillEngine => self.end_engine(EngineEnd::Killed),
            Hand::CutPower => self.end_engine(EngineEnd::PowerCut),
        }
    }

    /// What a hand cannot do, it does not do: nobody asks why.
    fn try_to(&self, action: &Action) {
        let _ = self.effect(action);
    }

    /// The engine ends and comes back: every stream breaks off, nothing answers in between.
    fn end_engine(&self, how: EngineEnd) {
        let mut inner = self.lock();
        inner.world.engine_ends(how);
        inner.listeners.clear();
        inner.life += 1;
        inner.away = true;
        let (life, sim) = (inner.life, self.clone());
        drop(inner);
        tokio::spawn(async move {
            sleep(AWAY).await;
            let mut inner = sim.lock();
            if inner.life != life {
                return;
            }
            inner.away = false;
            let notices = inner.world.engine_returns(sim.now());
            let begun: Vec<ContainerName> = notices.into_iter().map(|it| it.container).collect();
            for name in begun {
                sim.live_on(&inner, &name);
            }
        });
    }

    /// Which of its lives the engine is in.
    ///
    /// # Errors
    /// [`EngineError::Unreachable`] while it is away.
    pub(super) fn reach(&self) -> Result<u64, EngineError> {
        let inner = self.lock();
        if inner.away {
            return Err(EngineError::Unreachable {
                address: inner.world.engine.address.clone(),
                cause: "connection refused".to_owned(),
                help: "wait until it is back".to_owned(),
            });
        }
        Ok(inner.life)
    }

    /// A hand does something at this call, counted from 0, while it is carried out.
    pub fn meddle_at(&self, call: u64, when: When, hand: Hand) {
        self.plot(call, when, Event::Hand(hand));
    }

    /// What this gives is ready when this call, counted from 0, is carried out.
    pub fn tell_at(&self, call: u64, when: When) -> oneshot::Receiver<()> {
        let (tell, told) = oneshot::channel();
        self.plot(call, when, Event::Word(tell));
        told
    }

    fn plot(&self, call: u64, when: When, event: Event) {
        self.lock().plots.push(Plot { call, when, event });
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
        self.meet(call.number, When::Before).await;
        let life = self.reach()?;
        if let Some(fault) = call.fault.as_ref().filter(|it| it.when == When::Before) {
            return Err(fault.error.clone());
        }
        let result = effect(self);
        self.meet(call.number, When::After).await;
        sleep(call.after).await;
        // An answer comes from the life of the engine that was asked, or not at all.
        if self.lock().life != life {
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
    pub fn crash_at(&self, call: u64, when: When) -> oneshot::Receiver<()> {
        let (tell, told) = oneshot::channel();
        let another = |it: &Plot| !matches!(it.event, Event::Death(_));
        self.lock().plots.retain(another);
        self.plot(call, when, Event::Death(tell));
        told
    }

    /// What is to happen at a call happens. Does not return if the one who asks is to die here.
    async fn meet(&self, call: u64, when: When) {
        let here = |it: &mut Plot| (it.call, it.when) == (call, when);
        let plots: Vec<Plot> = self.lock().plots.extract_if(.., here).collect();
        let mut dies = false;
        for plot in plots {
            let told = match plot.event {
                Event::Hand(hand) => {
                    self.meddle(&hand);
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
pub(super) struct Plot {
    call: u64,
    when: When,
    event: Event,
}

enum Event {
    /// The one who asks dies, and somebody is told.
    Death(oneshot::Sender<()>),
    /// Somebody does something.
    Hand(Hand),
    /// Somebody is told.
    Word(oneshot::Sender<()>),
}

impl Inner {
    fn kill(&mut self, name: &ContainerName) {
        if let Some(notice) = self.world.kill(name) {
            self.tell(&notice);
        }
    }
}
