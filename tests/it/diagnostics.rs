//! Every mistake in a manifest, as a person reads it.
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

/// Loads files of memory; the first named is the main one, all that are called `.kdl` and begin
/// with `+` are given with `-f` too.
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

/// Checks what is told about a manifest with mistakes.
fn check_mistake(manifest: &str, expected: &str) {
    check_files(&[("cimandat.kdl", manifest)], expected);
}

/// Checks what is told about several files with mistakes.
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
