//! The manifests that come with the program can be read.

use std::{collections::BTreeMap, path::PathBuf};

use cimandat::{
    diagnostic::Style,
    manifest::{Disk, Manifest, Request, load},
};

fn loaded(name: &str) -> Manifest {
    let request = Request {
        current: PathBuf::from(env!("CARGO_MANIFEST_DIR")),
        files: vec![PathBuf::from("manifests").join(name)],
        env_files: Vec::new(),
        variables: BTreeMap::new(),
    };
    load(&request, &Disk).unwrap_or_else(|report| {
        panic!(
            "{}",
            report.render(Style {
                width: 80,
                colour: false
            })
        )
    })
}

#[test]
fn the_reference_manifest_is_read() {
    let manifest = loaded("ci-mandat.kdl");
    assert_eq!(manifest.project.as_str(), "ci-mandat");
    let names: Vec<_> = manifest.services.keys().map(|name| name.as_str()).collect();
    assert_eq!(
        names,
        ["backend", "frontend", "migrate", "postgres", "redis"]
    );
    let backend = &manifest.services["backend"];
    assert_eq!(backend.isolation.read_only, Some(true));
    assert_eq!(backend.env.len(), 13);
    assert_eq!(backend.secrets.len(), 3);
    assert_eq!(backend.depends_on.len(), 3);
    assert_eq!(manifest.verify.len(), 6);
    assert_eq!(manifest.networks["data"].internal, Some(true));
}

#[test]
fn the_first_taste_is_read() {
    let manifest = loaded("hello.kdl");
    assert_eq!(manifest.services["web"].ports[0].published, Some(8080));
}
