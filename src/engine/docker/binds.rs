//! Bind mounts whose source on the host was replaced after the container started.
//!
//! A bind mount shows the file that was at its source when the container started. When an editor
//! writes a new file and renames it, or when a symbolic link is redirected, the container keeps the
//! old file. Which file a container sees is known only on the engine's own machine, and only to
//! root, because it is read from the container's processes. Elsewhere nothing is reported.

use std::{
    collections::BTreeSet,
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use bollard::models::ContainerInspectResponse;

/// Types of file systems that are not checked: they may never answer, or their inodes may change.
const REMOTE: [&str; 9] = [
    "nfs", "cifs", "smb", "fuse", "9p", "ceph", "gluster", "afs", "virtiofs",
];

/// Returns the targets of the bind mounts of a running container whose source on the host is now a
/// different file or folder.
pub(super) fn replaced(inspected: &ContainerInspectResponse) -> BTreeSet<String> {
    let mounts = inspected.mounts.iter().flatten();
    let binds: Vec<(&str, &str)> = mounts
        .filter(|mount| mount.typ.as_deref() == Some("bind"))
        .filter_map(|mount| Some((mount.source.as_deref()?, mount.destination.as_deref()?)))
        .collect();
    let state = inspected.state.as_ref();
    let pid = state.and_then(|state| state.pid).filter(|pid| *pid > 0);
    let (Some(pid), Some(id), false) = (pid, inspected.id.as_deref(), binds.is_empty()) else {
        return BTreeSet::new();
    };
    let process = Path::new("/proc").join(pid.to_string());
    let found = replaced_of(&process, id, &binds);
    found.unwrap_or_default()
}

fn replaced_of(process: &Path, id: &str, binds: &[(&str, &str)]) -> io::Result<BTreeSet<String>> {
    // The pid belongs to the container only if the process's control group names the container.
    let is_its_own = fs::read_to_string(process.join("cgroup"))?.contains(id);
    if !is_its_own || !sees_the_same_files(process)? {
        return Ok(BTreeSet::new());
    }
    let mounted = fs::read_to_string(process.join("mountinfo"))?;
    let root = process.join("root");
    let found = binds.iter().filter(|(source, target)| {
        is_local_mount(&mounted, target) && differ(Path::new(source), &inside(&root, target))
    });
    Ok(found.map(|(_, target)| (*target).to_owned()).collect())
}

/// Returns whether paths mean the same to this process as to the parent of the container's first
/// process, which resolved the bind sources.
fn sees_the_same_files(process: &Path) -> io::Result<bool> {
    let status = fs::read_to_string(process.join("status"))?;
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:"));
    let parent = Path::new("/proc").join(parent.unwrap_or_default().trim());
    let files = Path::new("ns/mnt");
    Ok(fs::read_link(parent.join(files))? == fs::read_link(Path::new("/proc/self").join(files))?)
}

/// Returns whether a file system that answers promptly is mounted exactly at this target.
fn is_local_mount(table: &str, target: &str) -> bool {
    let mut kinds = table.lines().filter_map(|line| {
        let (mount, source) = line.split_once(" - ")?;
        let at = unescaped(mount.split(' ').nth(4)?);
        (at == target).then(|| source.split(' ').next().unwrap_or_default())
    });
    // The last mount at a target covers the earlier ones.
    kinds
        .next_back()
        .is_some_and(|kind| !REMOTE.iter().any(|remote| kind.starts_with(remote)))
}

/// Decodes the octal escapes of the kernel for spaces, tabs, newlines and backslashes.
fn unescaped(path: &str) -> String {
    ["\\040 ", "\\011\t", "\\012\n", "\\134\\"]
        .iter()
        .fold(path.to_owned(), |path, pair| {
            let (escape, plain) = pair.split_at(4);
            path.replace(escape, plain)
        })
}

fn inside(root: &Path, target: &str) -> PathBuf {
    root.join(target.trim_start_matches('/'))
}

/// Returns whether both paths exist and are different files.
fn differ(source: &Path, mounted: &Path) -> bool {
    let identity = |path: &Path| {
        let found = fs::metadata(path).ok()?;
        Some((found.dev(), found.ino()))
    };
    match (identity(source), identity(mounted)) {
        (Some(source), Some(mounted)) => source != mounted,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "\
95 78 254:0 /srv/app.conf /etc/app.conf ro,relatime - ext4 /dev/vda rw
96 78 0:40 / /srv/far rw - nfs4 there:/far rw
97 78 254:0 /srv/a /srv/a\\040b rw shared:1 - ext4 /dev/vda rw
98 78 0:41 / /etc/covered rw - fuse.sshfs there rw
99 78 254:0 /srv/c /etc/covered rw - xfs /dev/vdb rw
";

    fn check_mount(target: &str, expected: bool) {
        assert_eq!(is_local_mount(TABLE, target), expected, "{target}");
    }

    #[test]
    fn only_local_file_system_mounts_are_checked() {
        check_mount("/etc/app.conf", true);
        check_mount("/etc/app", false);
        check_mount("/srv/far", false);
        check_mount("/srv/a b", true);
        check_mount("/etc/covered", true);
    }

    #[test]
    fn replaced_source_differs_from_mounted_file() {
        let folder = tempfile::tempdir().unwrap();
        let [source, kept, new] = ["source", "kept", "new"].map(|name| folder.path().join(name));
        fs::write(&source, "1").unwrap();
        fs::hard_link(&source, &kept).unwrap();
        fs::write(&source, "2").unwrap();
        assert!(!differ(&source, &kept), "written in place");
        fs::write(&new, "3").unwrap();
        fs::rename(&new, &source).unwrap();
        assert!(differ(&source, &kept));
        fs::remove_file(&source).unwrap();
        assert!(!differ(&source, &kept), "gone");
    }

    #[test]
    fn process_of_another_container_is_skipped() {
        let own = Path::new("/proc/self");
        let found = replaced_of(own, "no-such-id", &[("/", "/proc")]);
        assert_eq!(found.unwrap(), BTreeSet::new());
    }
}
