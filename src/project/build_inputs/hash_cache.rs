//! File hashes, and a persistent cache of them.
//!
//! A file with unchanged size, times and inode is not read again. The cache is a separate file that
//! may be lost, truncated or corrupt at any time: it is then treated as empty.

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

/// A cache of the hashes of file contents.
#[derive(Debug, Default)]
pub struct HashCache {
    /// The path of the cache file, if the cache is persistent.
    memory: Option<PathBuf>,
    known: HashMap<PathBuf, (FileStamp, Hash)>,
    changed: bool,
}

/// The metadata that changes when a file is written. It includes the time of the last status
/// change, because tools that unpack archives set the modification time freely.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct FileStamp {
    size: u64,
    /// In nanoseconds since the Unix epoch.
    modified: i128,
    /// In nanoseconds since the Unix epoch.
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

/// A file that was written this shortly before the cache file may have been written again without a
/// visible change of its times (their resolution is the kernel's tick, at most 10 ms), so its entry
/// is not trusted. In nanoseconds.
const RACY: i128 = 50_000_000;

/// Fewer files than this are hashed on one thread: more threads would cost more than they gain.
const WORTH_THREADS: usize = 32;

impl HashCache {
    /// Loads the cache from a file. A missing or corrupt file is an empty cache.
    #[must_use]
    pub fn remembered(memory: &Path) -> Self {
        Self {
            known: load(memory).unwrap_or_default(),
            memory: Some(memory.to_owned()),
            changed: false,
        }
    }

    /// Writes the cache to its file, if it changed. A failure is harmless.
    pub fn remember(&self) -> std::io::Result<()> {
        match &self.memory {
            Some(memory) if self.changed => store(memory, &self.known),
            _ => Ok(()),
        }
    }

    /// Returns the hash of each entry that is a file, in the order of the entries.
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

    /// Without this, removed files would stay in the cache for ever.
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

/// The first line of the cache file, followed by the checksum of the rest.
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
    // Renamed into place, so that a reader never sees a partial file.
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

    /// Creates a folder of files and its cache after one run. The modification time of the cache
    /// file is `later` than that of the first file.
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
    fn unchanged_files_are_not_hashed_again() {
        let (folder, memory) = remembered(Duration::from_mins(10));
        let root = folder.path().join("root");
        let mut contents = HashCache::remembered(&memory);
        let first = contents.hashes(&root, &entries(&root)).unwrap();
        assert!(!contents.changed, "nothing was hashed");
        assert_eq!(
            first,
            HashCache::default().hashes(&root, &entries(&root)).unwrap()
        );

        // The same size, and a modification time that was reset.
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
    fn racy_file_is_not_cached() {
        let (_folder, memory) = remembered(Duration::ZERO);
        assert!(HashCache::remembered(&memory).known.is_empty());
    }

    #[test]
    fn corrupt_cache_is_empty() {
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
