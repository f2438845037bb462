//! Identity of the process that runs a command, for the lock and the history.

use std::{fs, os::unix::fs::MetadataExt, path::Path, process::Stdio, time::Duration};

use jiff::Timestamp;
use tokio::{process::Command, time::timeout};

use super::ProjectSelector;
use crate::{engine::ProcessIdentity, journal::Author, state::Holder};

/// Timeout for reading the revision from version control.
const PATIENCE: Duration = Duration::from_secs(2);

/// Returns the lock holder record of this process.
pub(super) fn holder(scope: &ProjectSelector, verb: &str) -> Holder {
    let presence = ProcessIdentity::here();
    Holder {
        user: user(scope),
        host: host(scope),
        boot: presence.boot,
        pid: presence.pid,
        started: presence.started,
        verb: verb.to_owned(),
        at: Timestamp::now(),
    }
}

/// Returns the author record for a deploy of the given folder.
pub(super) async fn author(scope: &ProjectSelector, folder: &Path) -> Author {
    Author {
        user: user(scope),
        host: host(scope),
        at: Timestamp::now(),
        revision: revision(folder).await,
        program: env!("CARGO_PKG_VERSION").to_owned(),
    }
}

fn variable(scope: &ProjectSelector, names: &[&str]) -> String {
    let mut set = names.iter().filter_map(|name| scope.environment.get(*name));
    set.find(|value| !value.is_empty())
        .cloned()
        .unwrap_or_default()
}

/// Cron jobs and service managers may not set a user variable. The fallback is the process's user.
fn user(scope: &ProjectSelector) -> String {
    let said = variable(scope, &["USER", "LOGNAME", "USERNAME"]);
    if !said.is_empty() {
        return said;
    }
    let Ok(process) = fs::metadata("/proc/self") else {
        return said;
    };
    let accounts = fs::read_to_string("/etc/passwd").unwrap_or_default();
    account(&accounts, process.uid())
}

/// Returns the name of an account, or its number if `accounts` does not list it.
fn account(accounts: &str, uid: u32) -> String {
    let number = uid.to_string();
    let mut accounts = accounts.lines().map(|line| line.split(':'));
    let found = accounts.find_map(|mut fields| {
        let name = fields.next()?;
        (fields.nth(1)? == number).then(|| name.to_owned())
    });
    found.unwrap_or(number)
}

fn host(scope: &ProjectSelector) -> String {
    match fs::read_to_string("/proc/sys/kernel/hostname") {
        Ok(name) => name.trim().to_owned(),
        Err(_) => variable(scope, &["HOSTNAME", "COMPUTERNAME"]),
    }
}

/// Returns the checked-out revision, with the suffix `+` if files have changed since.
async fn revision(folder: &Path) -> Option<String> {
    if !folder.is_dir() {
        return None;
    }
    let asked = Command::new("git")
        .args([
            "describe",
            "--always",
            "--abbrev=12",
            "--exclude=*",
            "--dirty=+",
        ])
        .current_dir(folder)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .output();
    let told = timeout(PATIENCE, asked).await.ok()?.ok()?;
    let revision = String::from_utf8(told.stdout).ok()?;
    let revision = revision.trim();
    (told.status.success() && !revision.is_empty()).then(|| revision.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACCOUNTS: &str = "root:x:0:0:root:/root:/bin/bash\nann:x:1000:1000::/home/ann:/bin/sh\n";

    #[test]
    fn account_name_is_found_by_uid() {
        assert_eq!(account(ACCOUNTS, 0), "root");
        assert_eq!(account(ACCOUNTS, 1000), "ann");
        assert_eq!(account(ACCOUNTS, 10), "10");
        assert_eq!(account("", 7), "7");
    }
}
