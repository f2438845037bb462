//! Finds the entries of a folder that a path needs: the path itself, and the targets of the
//! symbolic links along it.
//!
//! The builder names the paths that a Dockerfile copies. Without the targets of their links, it
//! would copy dangling links. Links never lead out of the folder: the folder's root is their `/`.

use std::{collections::BTreeSet, path::Path};

use crate::project::build_inputs::{Matches, Patterns};

/// Returns the paths to send, relative to `root`. An empty list means all paths.
pub(super) fn follow(root: &Path, paths: &[String]) -> Vec<String> {
    let mut search = Search {
        root,
        found: BTreeSet::new(),
    };
    for path in paths {
        search.path(&components(path));
    }
    if search.found.contains("") {
        return Vec::new();
    }
    search.found.into_iter().collect()
}

struct Search<'a> {
    root: &'a Path,
    found: BTreeSet<String>,
}

impl Search<'_> {
    fn path(&mut self, components: &[String]) {
        let mut current = String::new();
        for (index, component) in components.iter().enumerate() {
            let targets = self.targets(&current, component);
            if !current.is_empty() {
                current.push('/');
            }
            current.push_str(component);
            if targets.is_empty() {
                continue;
            }
            // A link that was already found is not followed again, so a cycle ends.
            if self.found.insert(current.clone()) {
                for mut target in targets {
                    target.extend_from_slice(&components[index + 1..]);
                    self.path(&target);
                }
            }
            return;
        }
        self.found.insert(current);
    }

    /// Returns the targets of the links that a component of a path, which may be a pattern,
    /// matches.
    fn targets(&self, folder: &str, component: &str) -> Vec<Vec<String>> {
        let names = if component.contains(['*', '?', '[', '\\']) {
            self.names(folder, component)
        } else {
            vec![component.to_owned()]
        };
        let links = names.iter().filter_map(|name| {
            let link = std::fs::read_link(self.root.join(folder).join(name)).ok()?;
            let link = link.to_str()?;
            Some(components(&if link.starts_with('/') {
                link.to_owned()
            } else {
                format!("{folder}/{link}")
            }))
        });
        links.collect()
    }

    fn names(&self, folder: &str, pattern: &str) -> Vec<String> {
        let Ok(pattern) = Patterns::new([pattern]) else {
            return Vec::new();
        };
        let entries = std::fs::read_dir(self.root.join(folder))
            .into_iter()
            .flatten();
        entries
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter(|name| pattern.matches(name, &Matches::default()).matched)
            .collect()
    }
}

/// Splits a path into components and resolves `.` and `..`; the parent of the root is the root.
fn components(path: &str) -> Vec<String> {
    let mut components: Vec<String> = Vec::new();
    for component in path.split('/') {
        match component {
            "" | "." => {}
            ".." => {
                components.pop();
            }
            component => components.push(component.to_owned()),
        }
    }
    components
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn symlinks_never_lead_out_of_the_folder() {
        let root = tempfile::tempdir().unwrap();
        let at = |path: &str| root.path().join(path);
        std::fs::create_dir_all(at("real/deep")).unwrap();
        std::fs::write(at("real/deep/file"), "x").unwrap();
        symlink("real", at("folder")).unwrap();
        symlink("/real/deep/file", at("absolute")).unwrap();
        symlink("../../../../etc/passwd", at("out")).unwrap();
        symlink("circle", at("circle")).unwrap();
        let follow = |paths: &[&str]| {
            let paths: Vec<_> = paths.iter().map(|&path| path.to_owned()).collect();
            follow(root.path(), &paths)
        };
        assert_eq!(follow(&["plain/file"]), ["plain/file"]);
        assert_eq!(follow(&["folder/deep/file"]), ["folder", "real/deep/file"]);
        assert_eq!(follow(&["/absolute"]), ["absolute", "real/deep/file"]);
        assert_eq!(follow(&["out"]), ["etc/passwd", "out"]);
        assert_eq!(follow(&["circle"]), ["circle"]);
        assert_eq!(follow(&["abs*"]), ["abs*", "real/deep/file"]);
        assert!(follow(&["real", "."]).is_empty());
        assert!(follow(&[]).is_empty());
    }
}
