//! Code conventions as tests: layers, confinement of libraries, file sizes, module docs.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on fails by panicking"
)]

use std::{
    fs,
    path::{Path, PathBuf},
};

use regex::Regex;

/// Modules by layer, lowest first. A module references modules of lower layers only.
const LAYERS: [&[&str]; 14] = [
    &["name", "span", "unit", "secret"],
    &["diagnostic"],
    &["manifest"],
    &["compose"],
    &["project"],
    &["graph", "state"],
    &["plan"],
    &["event"],
    &["journal"],
    &["engine"],
    &["run", "report"],
    &["command"],
    &["cli", "exit"],
    &["main", "lib"],
];

/// Patterns that are allowed only in files under these paths.
const CONFINED: [(&str, &[&str]); 10] = [
    (r"\bkdl::", &["src/manifest/"]),
    (r"\bpetgraph::", &["src/graph/"]),
    (r"\bbollard(_buildkit_proto)?::", &["src/engine/docker/"]),
    (r"\bindicatif::", &["src/report/live"]),
    (r"\bclap(_complete|_mangen)?::", &["src/cli/"]),
    (r"\btokio::select!|\bselect! *\{", &["src/run/driver.rs"]),
    // Besides the clock of a run: the timeout of one probe, and the time of the simulated engine.
    (
        r"\bInstant::now\b|\bSystemTime::now\b",
        &["src/run/driver.rs", "src/engine/probe/", "src/engine/sim/"],
    ),
    (
        r"\benv::(var|vars|args|current_dir)|\bIsTerminal\b",
        &["src/cli/"],
    ),
    (r"\bprocess::exit\b", &[]),
    (r"\bTimestamp::now\b", &["src/command/"]),
];

/// Maximum lines of code in a file, without tests.
const LONGEST_FILE: usize = 450;

struct File {
    path: String,
    code: Vec<(usize, String)>,
    text: String,
}

impl File {
    /// Top-level module that the file belongs to.
    fn module(&self) -> &str {
        let below = self.path.trim_start_matches("src/");
        below.split(['/', '.']).next().unwrap_or_default()
    }
}

fn sources() -> Vec<File> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let paths = rust_files(&root.join("src"));
    paths.iter().map(|path| read(root, path)).collect()
}

/// The Rust files in a folder and below it, sorted.
fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut open = vec![folder.to_owned()];
    let mut paths: Vec<PathBuf> = Vec::new();
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                paths.push(path);
            }
        }
    }
    paths.sort();
    paths
}

/// Reads a file. `code` excludes comments and everything from the unit tests on.
fn read(root: &Path, path: &Path) -> File {
    let text = fs::read_to_string(path).unwrap();
    let shown = path
        .strip_prefix(root)
        .unwrap()
        .to_string_lossy()
        .into_owned();
    let tests = shown.ends_with("/tests.rs");
    let code = text
        .lines()
        .enumerate()
        .take_while(|(_, line)| !tests && !line.starts_with("#[cfg(test)]"))
        .filter(|(_, line)| !line.trim_start().starts_with("//"))
        .map(|(index, line)| (index + 1, line.to_owned()))
        .collect();
    File {
        path: shown,
        code,
        text,
    }
}

fn layer(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&module))
}

fn check(broken: &[String]) {
    assert!(broken.is_empty(), "\n{}\n", broken.join("\n"));
}

#[test]
fn modules_reference_lower_layers_only() {
    let mut broken = Vec::new();
    let named = Regex::new(r"\bcrate::(?:\{|([a-z_]+))").unwrap();
    for file in sources() {
        let module = file.module();
        let Some(own) = layer(module) else {
            broken.push(format!("{}: module `{module}` has no layer", file.path));
            continue;
        };
        let mut inside = false;
        for (number, line) in &file.code {
            let mut modules: Vec<String> = named
                .captures_iter(line)
                .filter_map(|found| Some(found.get(1)?.as_str().to_owned()))
                .collect();
            // `use crate::{` spans several lines. Its direct children are indented by one step.
            if inside && line.starts_with("    ") && !line.starts_with("     ") {
                modules.extend(
                    line.trim()
                        .split([':', ',', ';', ' '])
                        .next()
                        .map(str::to_owned),
                );
            }
            if line.starts_with("use crate::{") {
                modules.extend(
                    line.trim_start_matches("use crate::{")
                        .split(", ")
                        .filter_map(|name| name.split([':', '}', ';']).next().map(str::to_owned)),
                );
                inside = !line.contains("};");
            } else if inside && line.starts_with('}') {
                inside = false;
            }
            for name in modules {
                let Some(other) = layer(&name) else { continue };
                if name != module && other >= own {
                    broken.push(format!("{}:{number}: `{module}` names `{name}`", file.path));
                }
            }
        }
    }
    check(&broken);
}

#[test]
fn libraries_are_confined_to_their_modules() {
    let mut broken = Vec::new();
    let files = sources();
    for (pattern, places) in CONFINED {
        let pattern = Regex::new(pattern).unwrap();
        for file in &files {
            if places.iter().any(|place| file.path.starts_with(place)) {
                continue;
            }
            for (number, line) in &file.code {
                if pattern.is_match(line) {
                    broken.push(format!("{}:{number}: {}", file.path, line.trim()));
                }
            }
        }
    }
    check(&broken);
}

#[test]
fn files_start_with_module_doc() {
    let silent = sources()
        .into_iter()
        .filter(|file| !file.text.starts_with("//! "));
    check(&silent.map(|file| file.path).collect::<Vec<_>>());
}

#[test]
fn files_stay_below_size_limit() {
    let long = sources()
        .into_iter()
        .filter(|file| file.code.len() > LONGEST_FILE);
    check(
        &long
            .map(|file| format!("{}: {}", file.path, file.code.len()))
            .collect::<Vec<_>>(),
    );
}

#[test]
fn file_names_are_specific() {
    let empty = [
        "utils", "util", "helpers", "helper", "common", "misc", "types", "manager",
    ];
    let named = sources().into_iter().filter(|file| {
        file.path
            .split(['/', '.'])
            .any(|part| empty.contains(&part))
    });
    check(&named.map(|file| file.path).collect::<Vec<_>>());
}

/// Words that must not return, each with the term to use instead. The vocabulary is that of Kubernetes,
/// Terraform, systemd and Docker.
const FORBIDDEN: [(&str, &str); 22] = [
    (r"\bway back\b", "rollback"),
    (r"\bway (on|forward)\b", "roll forward, deploy"),
    (r"\bdeeds?\b", "applied changes, calls"),
    (r"\brehears", "simulate, simulation"),
    (r"\bwished\b", "desired"),
    (r"\bcut off\b", "interrupted"),
    (r"\bat hand\b", "available"),
    (r"\bby hand\b", "manually"),
    (r"\bany (more|longer)\b", "no longer"),
    (r"\bmade anew\b", "recreated"),
    (r"\bput right\b", "repaired"),
    (r"\bpassed over\b", "ignored"),
    (r"\bin force\b", "active"),
    (r"\bis gone\b", "does not exist, was removed"),
    (r"\btaken away\b", "removed, broken (a lock)"),
    (r"\bcannot be had\b", "is unavailable"),
    (r"\bcannot stand\b", "is not allowed"),
    (r"\bfor want of\b", "OOM-killed, without"),
    (r"\bwhoever\b", "the process, the client"),
    (r"\bsomebody\b", "another process, a user"),
    (r"\brelapse", "unhealthy after ready"),
    (r"\bshel(f|ves)\b", "collection"),
];

#[test]
fn vocabulary_is_standard() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    let mut texts = rust_files(&root.join("src"));
    texts.extend(rust_files(&root.join("tests")));
    texts.retain(|path| !path.ends_with("tidy.rs"));
    for (pattern, instead) in FORBIDDEN {
        let pattern = Regex::new(&format!("(?i){pattern}")).unwrap();
        for path in &texts {
            let text = fs::read_to_string(path).unwrap();
            for (index, line) in text.lines().enumerate() {
                if let Some(word) = pattern.find(line) {
                    let (path, word) = (path.display(), word.as_str());
                    let number = index + 1;
                    found.push(format!("{path}:{number}: `{word}`, better: {instead}"));
                }
            }
        }
    }
    check(&found);
}

#[test]
fn dependencies_are_used() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let manifest = fs::read_to_string(root.join("Cargo.toml")).unwrap();
    let mut texts = rust_files(&root.join("src"));
    texts.extend(rust_files(&root.join("tests")));
    texts.extend(rust_files(&root.join("benches")));
    let texts: Vec<String> = texts
        .iter()
        .map(|path| fs::read_to_string(path).unwrap())
        .collect();
    let mut section = "";
    let mut unused = Vec::new();
    for line in manifest.lines() {
        if line.starts_with('[') {
            section = line;
            continue;
        }
        let Some((name, _)) = line.split_once(" = ") else {
            continue;
        };
        if !section.ends_with("dependencies]") {
            continue;
        }
        let used = Regex::new(&format!(r"\b{}(::|!)", name.replace('-', "_"))).unwrap();
        if !texts.iter().any(|text| used.is_match(text)) {
            unused.push(name.to_owned());
        }
    }
    check(&unused);
}
