//! An engine inside a container of this machine's engine, which may be killed: `scripts/old-engine`
//! with `ENGINE_SUITE=forky`, named by `CIMANDAT_TEST_INNER_ENGINE`.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{
    env,
    process::Command,
    sync::{Mutex, MutexGuard, PoisonError},
};

use serde_json::Value;

use super::Api;

/// The engine that tests have for themselves, as `scripts/old-engine` prints it.
const NAMED_BY: &str = "CIMANDAT_TEST_INNER_ENGINE";
/// The container that it runs in.
const CONTAINER: &str = "cimandat-engine-forky";

/// Held by the one who has the engine for itself.
static ALONE: Mutex<()> = Mutex::new(());

/// An engine inside a container.
#[derive(Clone)]
pub struct Inner {
    /// The address of its socket.
    pub host: String,
}

impl Inner {
    /// The one that is named, if one is.
    pub fn named() -> Option<Self> {
        let host = env::var(NAMED_BY).ok().filter(|host| !host.is_empty())?;
        Some(Self { host })
    }

    /// Has it for itself until this goes.
    pub fn alone() -> MutexGuard<'static, ()> {
        ALONE.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its end, and another beginning: `--kill`, `--restart` or `--power-cut`. It answers again when
    /// this returns.
    pub fn end(how: &str) {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/old-engine");
        let mut command = Command::new(script);
        command.arg(how).env("ENGINE_SUITE", "forky");
        let ended = command.env_remove("DOCKER_HOST").output().unwrap();
        assert!(ended.status.success(), "{ended:?}");
    }

    /// The program on this engine: in its network, where it reaches the containers.
    pub fn command(&self, program: &str) -> Command {
        let process = holder()["State"]["Pid"].to_string();
        let mut command = Command::new("nsenter");
        command.args(["--net", "--target", &process, "--", program]);
        command.env("DOCKER_HOST", &self.host);
        command
    }

    /// Where this machine finds the ports that its containers publish.
    pub fn address() -> String {
        let holder = holder();
        let address = &holder["NetworkSettings"]["Networks"]["bridge"]["IPAddress"];
        address.as_str().unwrap().to_owned()
    }
}

/// The container, as this machine's engine knows it.
fn holder() -> Value {
    let api = Api::of_this_machine().unwrap_or_else(|why| panic!("{why}"));
    api.get(&format!("/containers/{CONTAINER}/json"))
}
