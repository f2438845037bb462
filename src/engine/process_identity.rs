//! The identity of this process, by which other processes on this machine can find it.

use std::{fs, io, path::Path};

/// Identifies a process on a machine across reuse of its pid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessIdentity {
    /// Boot id and pid namespace; empty if they are unknown.
    pub boot: String,
    /// Process id in the namespace.
    pub pid: u32,
    /// Start time, in clock ticks since the boot; 0 if it is unknown.
    pub started: u64,
}

impl ProcessIdentity {
    /// Returns the identity of the current process.
    #[must_use]
    pub fn here() -> Self {
        let pid = std::process::id();
        Self {
            boot: boot().unwrap_or_default(),
            pid,
            started: started(pid).unwrap_or(0),
        }
    }

    /// Returns whether the process is known to have ended. For a process of another machine this is
    /// never known.
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

/// Reads the 22nd field of the process's `stat` file. The second field may contain anything between
/// its brackets. A zombie process counts as ended.
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
    fn ended_process_is_gone_and_own_is_not() {
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
        // A later process with the same pid is another process.
        let recycled = ProcessIdentity {
            started: here.started + 1,
            ..here
        };
        assert!(recycled.is_gone());
    }
}
