//! `cimandat config`: prints the resolved project, with all defaults and without secret values.
//! Needs no engine.

use serde_json::{Value, json};

use super::{CommandError, CommandOutcome, DataFormat, ProjectSelector, load, print, print_json};
use crate::engine::docker::Settings;
use crate::{
    project::{ImageSource, Kind, Project, Service, vault::StoreMode},
    report::table::table,
};

/// The `config` command.
#[derive(Debug)]
pub struct Config {
    /// Print the variables and the source of each value.
    pub environment: bool,
    /// Print only the names of the services.
    pub services: bool,
    /// Output format.
    pub format: DataFormat,
}

impl Config {
    pub(super) fn run(
        &self,
        scope: &ProjectSelector,
        engine: &Settings,
    ) -> Result<CommandOutcome, CommandError> {
        if self.environment {
            self.variables(scope)?;
            return Ok(CommandOutcome::Ok);
        }
        let store = if self.services {
            StoreMode::Check
        } else {
            StoreMode::ReadOnly
        };
        let project = load::project(scope, engine, store, &[])?;
        if self.services {
            let names: Vec<&str> = project
                .services
                .keys()
                .map(crate::name::ServiceName::as_str)
                .collect();
            match self.format {
                DataFormat::Text => print(&format!("{}\n", names.join("\n"))),
                DataFormat::Json => print_json(&names),
            }
            return Ok(CommandOutcome::Ok);
        }
        let value = resolved(&project);
        match self.format {
            DataFormat::Json => print_json(&value),
            DataFormat::Text => {
                print(&format!(
                    "{}\n",
                    serde_json::to_string_pretty(&value).unwrap_or_default()
                ));
            }
        }
        Ok(CommandOutcome::Ok)
    }

    fn variables(&self, scope: &ProjectSelector) -> Result<(), CommandError> {
        let manifest = load::manifest(scope)?;
        let names = manifest.variables.iter().map(String::as_str);
        let used: Vec<_> = manifest.environment.explain(names).collect();
        match self.format {
            DataFormat::Json => {
                let variables: Vec<Value> = used
                    .iter()
                    .map(|variable| {
                        json!({
                            "name": variable.name,
                            "value": variable.value.map(|(value, _)| value),
                            "origin": variable.value.map(|(_, origin)| origin.to_string()),
                        })
                    })
                    .collect();
                print_json(&json!({ "version": 1, "variables": variables }));
            }
            DataFormat::Text => {
                let rows: Vec<Vec<String>> = used
                    .iter()
                    .map(|variable| {
                        let (value, origin) = variable.value.map_or_else(
                            || ("-".to_owned(), "not set; the manifest's default".to_owned()),
                            |(value, origin)| (value.to_owned(), origin.to_string()),
                        );
                        vec![variable.name.to_owned(), value, origin]
                    })
                    .collect();
                print(&table(&["VARIABLE", "VALUE", "FROM"], &rows, None));
            }
        }
        Ok(())
    }
}

fn resolved(project: &Project) -> Value {
    let services: serde_json::Map<String, Value> = project
        .services
        .values()
        .map(|service| (service.name.to_string(), resolved_service(service)))
        .collect();
    json!({
        "version": 1,
        "project": project.name,
        "files": project.files,
        "networks": project.networks,
        "volumes": project.volumes,
        "services": services,
        "deploy": {
            "rollback": project.deploy.rollback,
            "stabilize": project.deploy.stabilize,
            "deadline": project.deploy.deadline,
            "history": project.deploy.history,
        },
        "verify": project.verify,
    })
}

fn resolved_service(service: &Service) -> Value {
    let image = match &service.image {
        ImageSource::Reference(image) => json!({ "reference": image }),
        ImageSource::Of(other) => json!({ "of": other }),
        ImageSource::Build(build) => json!({
            "build": build.context, "dockerfile": build.dockerfile, "target": build.target,
            "args": build.args,
        }),
    };
    let job = matches!(service.kind, Kind::Job { .. });
    let mut container = json!(service.container);
    ranges(service, &mut container);
    json!({
        "job": job,
        "image": image,
        "pull": service.pull,
        "platform": service.platform,
        "replicas": service.replicas,
        "container": container,
        "depends_on": service.depends_on,
        "ready": service.ready,
    })
}

/// Adds the last port of each published range, if a service has several replicas.
fn ranges(service: &Service, container: &mut Value) {
    let shown = container.get_mut("ports").and_then(Value::as_array_mut);
    let last = service.ports_of(service.replicas);
    for (port, last) in shown.into_iter().flatten().zip(last) {
        if let (true, Some(last)) = (service.replicas > 1, last.published) {
            port["published_last"] = json!(last);
        }
    }
}
