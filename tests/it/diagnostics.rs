//! Every error in a manifest, as rendered for users.
//!
//! The whole text of each message is compared: width 80, without colour.

mod engine;
mod habit;
mod many;
mod reading;
mod reference;
mod structure;
mod value;

use std::{collections::BTreeMap, path::PathBuf};

use cimandat::{
    diagnostic::{Report, Style},
    manifest::{Manifest, Request, load},
};

/// Loads files in memory. `cimandat.kdl` and every file whose name starts with `+` are passed as
/// with `-f`; the first of them is the main manifest.
fn load_files(files: &[(&str, &str)]) -> Result<Manifest, Report> {
    let folder = PathBuf::from("/shop");
    let named = files
        .iter()
        .filter(|(name, _)| *name == "cimandat.kdl" || name.starts_with('+'));
    let request = Request {
        current: folder.clone(),
        files: named.map(|(name, _)| PathBuf::from(name)).collect(),
        variables: BTreeMap::from([("SET".to_owned(), "3".to_owned())]),
        ..Request::default()
    };
    let files: BTreeMap<PathBuf, String> = files
        .iter()
        .map(|(name, text)| (folder.join(name), (*text).to_owned()))
        .collect();
    load(&request, &files)
}

/// Asserts the report for a manifest with errors.
fn check_mistake(manifest: &str, expected: &str) {
    check_files(&[("cimandat.kdl", manifest)], expected);
}

/// Asserts the report for several files with errors.
fn check_files(files: &[(&str, &str)], expected: &str) {
    let report = load_files(files).expect_err("a manifest with a mistake");
    let told = report.render(Style {
        width: 80,
        colour: false,
    });
    assert_eq!(
        told.trim_end(),
        expected.trim(),
        "\n--- told:\n{told}\n--- expected:\n{expected}"
    );
}
