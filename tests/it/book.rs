//! The documents: each KDL block of the README and the book is a valid manifest.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

/// The Markdown files with examples.
fn documents() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut open = vec![root.join("docs")];
    let mut found = vec![root.join("README.md")];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).expect("a folder of the book") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|it| it == "md") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// The blocks of code in a language, each with the number of its first line.
fn blocks(text: &str, language: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((_, line)) = lines.next() {
        if line.trim() == format!("```{language}") {
            let mut block = lines.by_ref().take_while(|(_, line)| line.trim() != "```");
            let Some((first, line)) = block.next() else {
                continue;
            };
            let rest = block.map(|(_, line)| line);
            let lines: Vec<&str> = [line].into_iter().chain(rest).collect();
            found.push((first + 1, lines.join("\n")));
        } else if line.trim_start().starts_with("```") {
            lines.by_ref().find(|(_, line)| line.trim() == "```");
        }
    }
    found
}

#[test]
fn kdl_blocks_of_the_documents_are_valid_manifests() {
    let mut checked = 0;
    let mut broken = Vec::new();
    for path in documents() {
        let text = fs::read_to_string(&path).expect("a document");
        for (line, block) in blocks(&text, "kdl") {
            let folder = TempDir::new().expect("a folder");
            fs::write(folder.path().join("cimandat.kdl"), block).expect("a manifest");
            let mut check = Command::new(env!("CARGO_BIN_EXE_cimandat"));
            let ended = check.arg("check").current_dir(folder.path()).output();
            let ended = ended.expect("the program");
            checked += 1;
            if !ended.status.success() {
                let errors = String::from_utf8_lossy(&ended.stderr).into_owned();
                broken.push(format!("{}:{line}\n{errors}", path.display()));
            }
        }
    }
    assert!(checked > 20, "{checked} blocks");
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}
