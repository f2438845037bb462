//! This process as others can find it again on this machine.

use std::{fs, io, path::Path};

/// Where and since when a process runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessIdentity {
    /// The machine's boot and the process namespace; empty where that cannot be told.
    pub boot: String,
    /// The process.
    pub pid: u32,
    /// When it began, in ticks since the boot; 0 where that cannot be told.
    pub started: u64,
}

impl ProcessIdentity {
    /// Of this process.
    #[must_use]
    pub fn here() -> Self {
        let pid = std::process::id();
        Self {
            boot: boot().unwrap_or_default(),
            pid,
            started: started(pid).unwrap_or(0),
        }
    }

    /// Whether it is known that this process is not there any more: only one of this machine can
    /// be asked for.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        let here = boot().is_ok_and(|boot| boot == self.boot);
        if !here || self.boot.is_empty() || self.started == 0 {
            return false;
        }
        match started(self.pid) {
            Ok(started) => started != self.started,
            Err(error) => error.kind() == io::ErrorKind::NotFound,
        }
    }
}

fn boot() -> io::Result<String> {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    let namespace = fs::read_link("/proc/self/ns/pid")?;
    Ok(format!("{} {}", boot.trim(), namespace.display()))
}

/// The 22nd field of the process's status; the second may hold anything between its brackets. A
/// process that has ended and was not asked for yet counts as gone.
fn started(pid: u32) -> io::Result<u64> {
    let stat = fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat"))?;
    let gone = || io::Error::from(io::ErrorKind::NotFound);
    let (_, rest) = stat.rsplit_once(')').ok_or_else(gone)?;
    let mut fields = rest.split_whitespace();
    if fields.next() == Some("Z") {
        return Err(gone());
    }
    let started = fields.nth(18).ok_or_else(gone)?;
    started.parse().map_err(|_| gone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_there_and_an_ended_one_is_not() {
        let here = ProcessIdentity::here();
        assert!(!here.is_gone(), "{here:?}");
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let pid = child.id();
        let started = started(pid).unwrap_or(1);
        child.wait().unwrap();
        let ended = ProcessIdentity {
            pid,
            started,
            ..here.clone()
        };
        assert!(ended.is_gone());
        let elsewhere = ProcessIdentity {
            boot: "another".to_owned(),
            ..ended
        };
        assert!(!elsewhere.is_gone());
        // A later process of that number is another one.
        let recycled = ProcessIdentity {
            started: here.started + 1,
            ..here
        };
        assert!(recycled.is_gone());
    }
}
