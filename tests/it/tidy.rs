//! The house rules, as tests: layers, confinement of libraries, sizes, first paragraphs.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on fails by panicking"
)]

use std::{
    fs,
    path::{Path, PathBuf},
};

use regex::Regex;

/// Modules by layer, lowest first. A module names modules of lower layers only.
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

/// What may be named only in some places.
const CONFINED: [(&str, &[&str]); 10] = [
    (r"\bkdl::", &["src/manifest/"]),
    (r"\bpetgraph::", &["src/graph/"]),
    (r"\bbollard(_buildkit_proto)?::", &["src/engine/docker/"]),
    (r"\bindicatif::", &["src/report/live"]),
    (r"\bclap(_complete|_mangen)?::", &["src/cli/"]),
    (r"\btokio::select!|\bselect! *\{", &["src/run/drive.rs"]),
    // Beside the run's own clock: the patience of one question, and the simulated engine's time.
    (
        r"\bInstant::now\b|\bSystemTime::now\b",
        &["src/run/drive.rs", "src/engine/dial/", "src/engine/sim/"],
    ),
    (
        r"\benv::(var|vars|args|current_dir)|\bIsTerminal\b",
        &["src/cli/"],
    ),
    (r"\bprocess::exit\b", &[]),
    (r"\bTimestamp::now\b", &["src/command/"]),
];

/// Lines of code in a file, tests apart.
const LONGEST_FILE: usize = 450;

struct File {
    path: String,
    code: Vec<(usize, String)>,
    text: String,
}

impl File {
    /// The module at the top of the crate that it belongs to.
    fn module(&self) -> &str {
        let below = self.path.trim_start_matches("src/");
        below.split(['/', '.']).next().unwrap_or_default()
    }
}

fn sources() -> Vec<File> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut open = vec![root.join("src")];
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
    paths.iter().map(|path| read(root, path)).collect()
}

/// Reads a file; `code` leaves out comments and everything from the unit tests on.
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
fn every_module_has_its_layer_and_names_lower_ones_only() {
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
            // `use crate::{` spreads over lines: its direct children are indented by one step.
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
fn libraries_stay_where_they_belong() {
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
fn every_file_says_what_it_is_for() {
    let silent = sources()
        .into_iter()
        .filter(|file| !file.text.starts_with("//! "));
    check(&silent.map(|file| file.path).collect::<Vec<_>>());
}

#[test]
fn no_file_is_too_long() {
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
fn no_file_is_called_after_nothing() {
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
