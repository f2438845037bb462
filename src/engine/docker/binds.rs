//! Bound files and folders of the host that were replaced after their container was started.
//!
//! A bind mount shows the file that stood at its source when the container was started. An editor
//! that writes a new file and renames it, or a link that is set to another file, leaves the
//! container with the old one. Which file a container sees is known on the engine's own machine only,
//! and only to root, as it takes a look into the container's processes. Elsewhere nothing is reported.

use std::{
    collections::BTreeSet,
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use bollard::models::ContainerInspectResponse;

/// Types of file systems that are not asked: an answer may take for ever, or inodes change.
const REMOTE: [&str; 9] = [
    "nfs", "cifs", "smb", "fuse", "9p", "ceph", "gluster", "afs", "virtiofs",
];

/// The targets of those bind mounts of a running container whose source on the host is another
/// file or folder by now.
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
    // The number means the container's process only where its control group says so.
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

/// Whether paths mean to this process what they mean to the one that started the container's first
/// process, and that resolved the sources.
fn sees_the_same_files(process: &Path) -> io::Result<bool> {
    let status = fs::read_to_string(process.join("status"))?;
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:"));
    let parent = Path::new("/proc").join(parent.unwrap_or_default().trim());
    let files = Path::new("ns/mnt");
    Ok(fs::read_link(parent.join(files))? == fs::read_link(Path::new("/proc/self").join(files))?)
}

/// Whether something is mounted exactly here, and from a file system that answers at once.
fn is_local_mount(table: &str, target: &str) -> bool {
    let mut kinds = table.lines().filter_map(|line| {
        let (mount, source) = line.split_once(" - ")?;
        let at = unescaped(mount.split(' ').nth(4)?);
        (at == target).then(|| source.split(' ').next().unwrap_or_default())
    });
    // The last one covers the others.
    kinds
        .next_back()
        .is_some_and(|kind| !REMOTE.iter().any(|remote| kind.starts_with(remote)))
}

/// The kernel writes spaces and the like as octal numbers.
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

/// Whether both are there and are not the same.
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
    fn only_mounts_of_local_file_systems_are_looked_at() {
        check_mount("/etc/app.conf", true);
        check_mount("/etc/app", false);
        check_mount("/srv/far", false);
        check_mount("/srv/a b", true);
        check_mount("/etc/covered", true);
    }

    #[test]
    fn a_file_that_took_the_place_of_another_differs() {
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
    fn a_process_of_another_container_is_not_looked_into() {
        let own = Path::new("/proc/self");
        let found = replaced_of(own, "no-such-id", &[("/", "/proc")]);
        assert_eq!(found.unwrap(), BTreeSet::new());
    }
}
