//! Walks a folder of build inputs in the builder's order.
//!
//! Entries are sorted within their folder, and each folder comes right before its content. The
//! builder's file transfer requires this order, and it makes the digest deterministic. Only names
//! and metadata are read, never contents.

use std::{
    fs::Metadata,
    ops::ControlFlow,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use thiserror::Error;

use super::{
    super::store::ROOT as STORE,
    dockerignore::{Matches, Patterns},
};

/// A file or folder that could not be read.
#[derive(Debug, Error)]
#[error("cannot read `{}`: {cause}", path.display())]
pub struct WalkError {
    /// The path of the file or folder.
    pub path: PathBuf,
    /// The error of the system.
    pub cause: std::io::Error,
}

/// Selects the entries of a folder that belong to the inputs.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Only matching paths and their parent folders are included; empty for all paths.
    pub include: Patterns,
    /// Matching paths are excluded.
    pub exclude: Patterns,
}

/// A file, folder or symbolic link below the root.
#[derive(Debug)]
pub struct Entry {
    /// Relative to the root, `/` between components.
    pub path: String,
    /// The path on this machine.
    pub place: PathBuf,
    /// Metadata of the entry; for a link, of the link itself.
    pub metadata: Metadata,
    /// The target of a link, as written; `None` for other entries.
    pub target: Option<String>,
}

impl Entry {
    /// Returns the permission bits that the builder sees, with set-user-id, set-group-id and
    /// sticky.
    #[must_use]
    pub fn permissions(&self) -> u32 {
        self.metadata.mode() & 0o7777
    }
}

/// Walks `root` and calls `visit` for each entry. `visit` may end the walk.
///
/// Sockets, pipes and devices are ignored, as in the builder. The store of secrets next to a
/// manifest is always ignored, whatever the filter says.
pub fn walk(
    root: &Path,
    filter: &Filter,
    visit: &mut impl FnMut(Entry) -> ControlFlow<()>,
) -> Result<(), WalkError> {
    let mut walk = Walk {
        filter,
        visit,
        pending: Vec::new(),
    };
    walk.folder(root, "", &Matches::default(), &Matches::default())
        .map(|_| ())
}

struct Walk<'a, V> {
    filter: &'a Filter,
    visit: &'a mut V,
    /// Parent folders that do not match themselves. They are visited once an entry in them matches.
    pending: Vec<Entry>,
}

impl<V: FnMut(Entry) -> ControlFlow<()>> Walk<'_, V> {
    fn folder(
        &mut self,
        folder: &Path,
        prefix: &str,
        included: &Matches,
        excluded: &Matches,
    ) -> Result<ControlFlow<()>, WalkError> {
        for name in sorted_names(folder)? {
            if name == STORE {
                continue;
            }
            let path = if prefix.is_empty() {
                name.clone()
            } else {
                format!("{prefix}/{name}")
            };
            let included = self.filter.include.matches(&path, included);
            let excluded = self.filter.exclude.matches(&path, excluded);
            let chosen = (self.filter.include.is_empty() || included.matched) && !excluded.matched;
            let place = folder.join(&name);
            let Some(entry) = entry(path, place)? else {
                continue;
            };
            let flow = if entry.metadata.is_dir() {
                self.enter(entry, chosen, &included, &excluded)?
            } else if chosen {
                self.tell(entry)
            } else {
                ControlFlow::Continue(())
            };
            if flow.is_break() {
                return Ok(flow);
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    fn enter(
        &mut self,
        entry: Entry,
        chosen: bool,
        included: &Matches,
        excluded: &Matches,
    ) -> Result<ControlFlow<()>, WalkError> {
        let filter = self.filter;
        let path = entry.path.clone();
        let place = entry.place.clone();
        if chosen {
            if self.tell(entry).is_break() {
                return Ok(ControlFlow::Break(()));
            }
            return self.folder(&place, &path, included, excluded);
        }
        let worth_a_look = (!excluded.matched || filter.exclude.may_match_below(&path, true))
            && (filter.include.is_empty()
                || included.matched
                || filter.include.may_match_below(&path, false));
        if !worth_a_look {
            return Ok(ControlFlow::Continue(()));
        }
        let depth = self.pending.len();
        self.pending.push(entry);
        let flow = self.folder(&place, &path, included, excluded)?;
        self.pending.truncate(depth);
        Ok(flow)
    }

    fn tell(&mut self, entry: Entry) -> ControlFlow<()> {
        for folder in self.pending.drain(..) {
            (self.visit)(folder)?;
        }
        (self.visit)(entry)
    }
}

fn sorted_names(folder: &Path) -> Result<Vec<String>, WalkError> {
    let failed = |cause| WalkError {
        path: folder.to_owned(),
        cause,
    };
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        let name = name.into_string().map_err(|name| WalkError {
            path: folder.join(name),
            cause: std::io::Error::new(
                std::io::ErrorKind::InvalidFilename,
                "its name is not UTF-8, which the builder does not take",
            ),
        })?;
        names.push(name);
    }
    names.sort_unstable();
    Ok(names)
}

fn entry(path: String, place: PathBuf) -> Result<Option<Entry>, WalkError> {
    let failed = |cause| WalkError {
        path: place.clone(),
        cause,
    };
    let metadata = match place.symlink_metadata() {
        Ok(metadata) => metadata,
        // The entry was removed since its folder was listed.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let target = if metadata.is_symlink() {
        let target = std::fs::read_link(&place).map_err(failed)?;
        Some(target.to_string_lossy().into_owned())
    } else if metadata.is_file() || metadata.is_dir() {
        None
    } else {
        return Ok(None);
    };
    Ok(Some(Entry {
        path,
        place,
        metadata,
        target,
    }))
}
