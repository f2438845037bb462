//! Hashes of files, and the memory of them.
//!
//! A file whose size, times and inode are as remembered is not read again. The memory is a file of
//! its own that may be lost, torn or damaged at any time: it is then as if it had never been.

use std::{
    collections::{BTreeMap, HashMap},
    io::{Read, Write},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
};

use sha2::{Digest, Sha256};

use super::walk::{Entry, WalkError};

type Hash = [u8; 32];

/// Hashes of files' contents.
#[derive(Debug, Default)]
pub struct HashCache {
    /// Where they are remembered, if anywhere.
    memory: Option<PathBuf>,
    known: HashMap<PathBuf, (FileStamp, Hash)>,
    changed: bool,
}

/// What changes when a file is written to. The time of the last status change is in it too, as
/// tools that unpack archives set the time of the last modification to what they like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct FileStamp {
    size: u64,
    /// In nanoseconds since the epoch.
    modified: i128,
    /// In nanoseconds since the epoch.
    touched: i128,
    inode: u64,
}

impl FileStamp {
    fn of(metadata: &std::fs::Metadata) -> Self {
        let nanoseconds =
            |seconds: i64, rest: i64| i128::from(seconds) * 1_000_000_000 + i128::from(rest);
        Self {
            size: metadata.size(),
            modified: nanoseconds(metadata.mtime(), metadata.mtime_nsec()),
            touched: nanoseconds(metadata.ctime(), metadata.ctime_nsec()),
            inode: metadata.ino(),
        }
    }
}

/// A file written this short before the memory may have been written to once more without its
/// times showing it (their grain is the kernel's tick, at most 10 ms), so it is not trusted.
const RACY: i128 = 50_000_000;

/// Files below this many are hashed on one thread: starting more would cost more than it gives.
const WORTH_THREADS: usize = 32;

impl HashCache {
    /// Takes up what is remembered in a file; one that is missing or damaged is an empty memory.
    #[must_use]
    pub fn remembered(memory: &Path) -> Self {
        Self {
            known: load(memory).unwrap_or_default(),
            memory: Some(memory.to_owned()),
            changed: false,
        }
    }

    /// Writes down what is known, if it is more than before. Its failure does no harm.
    pub fn remember(&self) -> std::io::Result<()> {
        match &self.memory {
            Some(memory) if self.changed => store(memory, &self.known),
            _ => Ok(()),
        }
    }

    /// The hash of each entry that is a file, in the entries' order.
    pub(super) fn hashes(
        &mut self,
        root: &Path,
        entries: &[Entry],
    ) -> Result<Vec<Option<Hash>>, WalkError> {
        let mut hashes = Vec::with_capacity(entries.len());
        let mut unknown = Vec::new();
        for (index, entry) in entries.iter().enumerate() {
            let stamp = FileStamp::of(&entry.metadata);
            let known = self.known.get(&entry.place);
            let known = known.filter(|(at, _)| *at == stamp).map(|(_, hash)| *hash);
            if known.is_none() && entry.metadata.is_file() {
                unknown.push(index);
            }
            hashes.push(known.filter(|_| entry.metadata.is_file()));
        }
        for (index, hash) in hash_all(entries, &unknown)? {
            let entry = &entries[index];
            hashes[index] = Some(hash);
            let stamp = FileStamp::of(&entry.metadata);
            self.known.insert(entry.place.clone(), (stamp, hash));
            self.changed = true;
        }
        self.forget_all_but(root, entries);
        Ok(hashes)
    }

    /// Files that are gone from a folder would else be remembered for ever.
    fn forget_all_but(&mut self, root: &Path, entries: &[Entry]) {
        let below = self.known.keys().filter(|path| path.starts_with(root));
        if below.count() <= entries.len() {
            return;
        }
        let present: std::collections::HashSet<_> =
            entries.iter().map(|entry| entry.place.as_path()).collect();
        self.known
            .retain(|path, _| !path.starts_with(root) || present.contains(path.as_path()));
        self.changed = true;
    }
}

fn hash_all(entries: &[Entry], chosen: &[usize]) -> Result<BTreeMap<usize, Hash>, WalkError> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        while let Some(&index) = chosen.get(next.fetch_add(1, Ordering::Relaxed)) {
            let place = &entries[index].place;
            let hash = hash(place).map_err(|cause| WalkError {
                path: place.clone(),
                cause,
            })?;
            done.push((index, hash));
        }
        Ok(done)
    };
    if chosen.len() < WORTH_THREADS {
        return Ok(work()?.into_iter().collect());
    }
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let results: Vec<_> = std::thread::scope(|scope| {
        let handles: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        handles
            .into_iter()
            .map(std::thread::ScopedJoinHandle::join)
            .collect()
    });
    let mut all = BTreeMap::new();
    for result in results {
        match result {
            Ok(done) => all.extend(done?),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
    Ok(all)
}

fn hash(path: &Path) -> std::io::Result<Hash> {
    let mut file = std::fs::File::open(path)?;
    let mut sum = Sha256::new();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok(sum.finalize().into());
        }
        sum.update(&buffer[..read]);
    }
}

/// The first line of the memory, before the checksum of the rest.
const HEADER: &str = "cimandat inputs 1 ";

fn load(memory: &Path) -> Option<HashMap<PathBuf, (FileStamp, Hash)>> {
    let written = FileStamp::of(&memory.metadata().ok()?).modified;
    let text = std::fs::read_to_string(memory).ok()?;
    let (header, body) = text.split_once('\n')?;
    if header.strip_prefix(HEADER)? != crate::secret::digest(body.as_bytes()) {
        return None;
    }
    body.lines()
        .map(line)
        .filter(|entry| {
            let settled = |(_, (stamp, _)): &(PathBuf, (FileStamp, Hash))| {
                stamp.modified.max(stamp.touched) + RACY < written
            };
            entry.as_ref().is_none_or(settled)
        })
        .collect()
}

fn line(line: &str) -> Option<(PathBuf, (FileStamp, Hash))> {
    let mut fields = line.splitn(6, ' ');
    let mut field = || fields.next();
    let mut hash = [0; 32];
    let digits = field()?.as_bytes();
    if digits.len() != 64 {
        return None;
    }
    for (byte, pair) in hash.iter_mut().zip(digits.chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    let stamp = FileStamp {
        size: field()?.parse().ok()?,
        modified: field()?.parse().ok()?,
        touched: field()?.parse().ok()?,
        inode: field()?.parse().ok()?,
    };
    Some((PathBuf::from(field()?), (stamp, hash)))
}

fn store(memory: &Path, known: &HashMap<PathBuf, (FileStamp, Hash)>) -> std::io::Result<()> {
    use std::fmt::Write as _;
    let mut body = String::new();
    for (path, (stamp, hash)) in known {
        let Some(path) = path.to_str().filter(|path| !path.contains('\n')) else {
            continue;
        };
        for byte in hash {
            let _ = write!(body, "{byte:02x}");
        }
        let FileStamp {
            size,
            modified,
            touched,
            inode,
        } = stamp;
        let _ = writeln!(body, " {size} {modified} {touched} {inode} {path}");
    }
    let folder = memory.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    // Renamed into place, so that a reader never sees half of it.
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    writeln!(file, "{HEADER}{}", crate::secret::digest(body.as_bytes()))?;
    file.write_all(body.as_bytes())?;
    file.persist(memory)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::{
        ops::ControlFlow,
        time::{Duration, SystemTime},
    };

    use super::*;
    use crate::project::build_inputs::{Filter, walk};

    fn entries(root: &Path) -> Vec<Entry> {
        let mut entries = Vec::new();
        walk(root, &Filter::default(), &mut |entry| {
            entries.push(entry);
            ControlFlow::Continue(())
        })
        .unwrap();
        entries
    }

    /// A folder of files, and what is remembered of it after one look, with the memory's own time
    /// this much later than the first file's.
    fn remembered(later: Duration) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("root");
        std::fs::create_dir(&root).unwrap();
        for number in 0..2 * WORTH_THREADS {
            std::fs::write(root.join(number.to_string()), number.to_string()).unwrap();
        }
        let memory = folder.path().join("state/inputs");
        let mut contents = HashCache::remembered(&memory);
        let hashes = contents.hashes(&root, &entries(&root)).unwrap();
        assert!(hashes.iter().all(Option::is_some));
        contents.remember().unwrap();
        let first = root.join("0").metadata().unwrap().modified().unwrap();
        let file = std::fs::File::open(&memory).unwrap();
        file.set_modified(first + later).unwrap();
        (folder, memory)
    }

    #[test]
    fn what_has_not_changed_is_not_read_again() {
        let (folder, memory) = remembered(Duration::from_mins(10));
        let root = folder.path().join("root");
        let mut contents = HashCache::remembered(&memory);
        let first = contents.hashes(&root, &entries(&root)).unwrap();
        assert!(!contents.changed, "nothing was hashed");
        assert_eq!(
            first,
            HashCache::default().hashes(&root, &entries(&root)).unwrap()
        );

        // The same size, and a time of modification that was set back.
        let file = root.join("7");
        let time = file.metadata().unwrap().modified().unwrap();
        std::fs::write(&file, "x").unwrap();
        std::fs::File::open(&file)
            .unwrap()
            .set_modified(time)
            .unwrap();
        std::fs::remove_file(root.join("8")).unwrap();
        let second = contents.hashes(&root, &entries(&root)).unwrap();
        assert!(contents.changed);
        assert_eq!(
            second,
            HashCache::default().hashes(&root, &entries(&root)).unwrap()
        );
        assert!(!contents.known.contains_key(&root.join("8")));
    }

    #[test]
    fn what_was_written_at_the_same_moment_is_not_trusted() {
        let (_folder, memory) = remembered(Duration::ZERO);
        assert!(HashCache::remembered(&memory).known.is_empty());
    }

    #[test]
    fn a_damaged_memory_is_none() {
        let (_folder, memory) = remembered(Duration::from_mins(10));
        let whole = std::fs::read(&memory).unwrap();
        assert!(!HashCache::remembered(&memory).known.is_empty());
        let mut flipped = whole.clone();
        flipped[100] ^= 1;
        for damaged in [&flipped[..], &whole[..whole.len() / 2], b"", b"\xff\n"] {
            std::fs::write(&memory, damaged).unwrap();
            let time = SystemTime::now() + Duration::from_secs(10);
            std::fs::File::open(&memory)
                .unwrap()
                .set_modified(time)
                .unwrap();
            assert!(HashCache::remembered(&memory).known.is_empty());
        }
    }
}
