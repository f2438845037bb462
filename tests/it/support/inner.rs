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

/// The variable with the separate engine of the tests, as `scripts/old-engine` prints it.
const NAMED_BY: &str = "CIMANDAT_TEST_INNER_ENGINE";
/// The container in which the engine runs.
const CONTAINER: &str = "cimandat-engine-forky";

/// Held by the test that uses the engine exclusively.
static ALONE: Mutex<()> = Mutex::new(());

/// An engine inside a container.
#[derive(Clone)]
pub struct Inner {
    /// The address of the engine's socket.
    pub host: String,
}

impl Inner {
    /// Returns the named engine, if there is one.
    pub fn named() -> Option<Self> {
        let host = env::var(NAMED_BY).ok().filter(|host| !host.is_empty())?;
        Some(Self { host })
    }

    /// Reserves the engine until the guard is dropped.
    pub fn alone() -> MutexGuard<'static, ()> {
        ALONE.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends and starts the engine: `--kill`, `--restart` or `--power-cut`. It answers again when
    /// this returns.
    pub fn end(how: &str) {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/old-engine");
        let mut command = Command::new(script);
        command.arg(how).env("ENGINE_SUITE", "forky");
        let ended = command.env_remove("DOCKER_HOST").output().unwrap();
        assert!(ended.status.success(), "{ended:?}");
    }

    /// Returns the program on this engine: in its network namespace, from which it reaches the
    /// containers.
    pub fn command(&self, program: &str) -> Command {
        let process = holder()["State"]["Pid"].to_string();
        let mut command = Command::new("nsenter");
        command.args(["--net", "--target", &process, "--", program]);
        command.env("DOCKER_HOST", &self.host);
        command
    }

    /// Returns the address on which this machine reaches the ports that its containers publish.
    pub fn address() -> String {
        let holder = holder();
        let address = &holder["NetworkSettings"]["Networks"]["bridge"]["IPAddress"];
        address.as_str().unwrap().to_owned()
    }
}

/// Returns the engine's container, as this machine's engine reports it.
fn holder() -> Value {
    let api = Api::of_this_machine().unwrap_or_else(|why| panic!("{why}"));
    api.get(&format!("/containers/{CONTAINER}/json"))
}
