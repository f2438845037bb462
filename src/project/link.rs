//! Dangling links: explains why a path does not exist although it is listed.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Maximum number of links to follow; more than the kernel follows for one path.
const MOST: usize = 40;

/// The link because of which a path does not exist: a part of the path, or of its target.
/// `is_whole` if the link is the path itself.
struct Broken {
    link: PathBuf,
    target: PathBuf,
    is_whole: bool,
}

/// Explains why a path does not exist because of a link; `None` if no link is the reason.
///
/// The text continues a sentence after the path: `is a link to …`, or `is not there: … is a link to
/// …`.
#[must_use]
pub fn dangling(path: &Path) -> Option<String> {
    let found = broken(path)?;
    let (link, target) = (found.link.display(), found.target.display());
    Some(if found.target == found.link {
        format!("does not exist: `{link}` is a link to itself")
    } else if found.is_whole {
        format!("is a link to `{target}`, which does not exist")
    } else {
        format!("does not exist: `{link}` is a link to `{target}`, which does not exist")
    })
}

fn broken(path: &Path) -> Option<Broken> {
    let mut path = path.to_owned();
    let mut first = None;
    for _ in 0..MOST {
        let (link, target) = dangling_link(&path)?;
        let is_whole = link == path;
        first.get_or_insert((link.clone(), is_whole));
        // In a chain of links, the target of the last one is what is missing.
        if fs::symlink_metadata(&target).is_err() && dangling_link(&target).is_none() {
            let (link, is_whole) = first?;
            return Some(Broken {
                link,
                target,
                is_whole,
            });
        }
        path = target;
    }
    let (link, is_whole) = first?;
    Some(Broken {
        target: link.clone(),
        link,
        is_whole,
    })
}

/// The first part of a path that is a dangling link, and its target.
fn dangling_link(path: &Path) -> Option<(PathBuf, PathBuf)> {
    let mut parts: Vec<&Path> = path.ancestors().collect();
    parts.reverse();
    let part = parts.into_iter().find(|part| !part.exists())?;
    let target = fs::read_link(part).ok()?;
    let folder = part.parent().unwrap_or(part);
    Some((part.to_owned(), folder.join(target)))
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::symlink;

    use tempfile::TempDir;

    use super::*;

    #[test]
    fn dangling_link_is_reported_with_target() {
        let folder = TempDir::new().unwrap();
        let at = |name: &str| folder.path().join(name);
        let check = |name: &str, expected: Option<&str>| {
            let found = dangling(&at(name));
            let found = found.map(|cause| cause.replace(&folder.path().display().to_string(), "."));
            assert_eq!(found.as_deref(), expected, "{name}");
        };
        symlink(at("gone"), at("absolute")).unwrap();
        symlink("gone", at("relative")).unwrap();
        symlink("relative", at("second")).unwrap();
        symlink("round", at("circle")).unwrap();
        symlink("circle", at("round")).unwrap();
        fs::write(at("file"), "").unwrap();
        symlink("file", at("good")).unwrap();
        let cause = Some("is a link to `./gone`, which does not exist");
        check("absolute", cause);
        check("relative", cause);
        check("second", cause);
        check(
            "relative/below",
            Some("does not exist: `./relative` is a link to `./gone`, which does not exist"),
        );
        check(
            "circle",
            Some("does not exist: `./circle` is a link to itself"),
        );
        check("gone", None);
        check("good", None);
        check("file", None);
    }
}
