//! Jobs that have done their work: when they run again.
//!
//! Pure. A job runs once per change, and once more when the data that it worked on is gone: when it,
//! or a service that it depends on, gets a volume that is new and empty. A volume counts as new for a
//! job until a deploy that the job is part of has been committed with it, so that a deploy that fails
//! leaves the question open.

use std::collections::BTreeSet;

use super::{
    Decision, Options, PreflightError, Reason, RerunJobs, diff, image_of, prepare::volumes_of,
};
use crate::{
    name::ServiceName,
    project::{Kind, MountKind, Project, Service},
    state::{Container, State},
};

/// Jobs about which only the history can say whether they run: those without a container, and those
/// beside a volume that was made after they had run.
#[must_use]
pub fn jobs_in_question(project: &Project, state: &State) -> BTreeSet<ServiceName> {
    let jobs = project.services.values().filter(|it| is_job(it));
    jobs.filter(|job| match diff::current(project, state, job, 1) {
        None => true,
        Some((_, container)) => {
            let made_later = |volume: &String| {
                let made = state.volume_generations.get(volume);
                made.is_some_and(|made| *made > container.generation)
            };
            data_of(project, job).iter().any(|service| {
                let volumes = volumes_of(service).filter_map(|name| project.volumes.get(name));
                volumes.map(|it| &it.engine_name).any(made_later)
            })
        }
    })
    .map(|job| job.name.clone())
    .collect()
}

/// What is asked about a job.
#[derive(Clone, Copy)]
pub(super) struct Question<'a> {
    pub project: &'a Project,
    pub state: &'a State,
    pub options: &'a Options,
    /// Services of which new containers are made.
    pub made: &'a BTreeSet<&'a ServiceName>,
    pub job: &'a Service,
}

impl Question<'_> {
    /// Why a job without a container runs; `None`: it has done its work.
    pub fn without_container(self) -> Option<Reason> {
        let name = &self.job.name;
        match self.state.job_records.get(name) {
            Some(record) if record.done => self.new_volume(record.generation),
            None if self.state.unrecorded_jobs.contains(name) => {
                (self.options.rerun != RerunJobs::Never).then_some(Reason::Unrecorded)
            }
            _ => Some(Reason::NotFound),
        }
    }

    /// Why a job runs again whose container has done its work.
    pub fn with_container(self, container: &Container) -> Option<Reason> {
        let record = self.state.job_records.get(&self.job.name);
        let recorded = record.map_or(0, |it| it.generation);
        self.new_volume(recorded.max(container.generation))
    }

    /// A volume that a job has never worked with: it is not there yet, or is younger than the last
    /// committed generation that the job was part of.
    fn new_volume(self, since: u64) -> Option<Reason> {
        // An earlier generation comes back without its jobs.
        if self.options.restart_kept || self.options.rerun == RerunJobs::Never {
            return None;
        }
        let state = self.state;
        data_of(self.project, self.job).into_iter().find_map(|it| {
            let volumes =
                volumes_of(it).filter_map(|name| self.project.volumes.get_key_value(name));
            let mut new = volumes.filter(|(_, volume)| {
                let name = &volume.engine_name;
                let made = state.volume_generations.get(name);
                let later = made.is_some_and(|made| *made > since);
                !volume.external && (later || !state.volumes.contains_key(name))
            });
            let named = new.next().map(|(name, _)| name.to_string());
            let volume = named.or_else(|| self.new_nameless_volume(it))?;
            let service = it.name.clone();
            Some(Reason::NewVolume { service, volume })
        })
    }

    /// The target of a volume without a name that a new container gets and the one before did not
    /// have.
    fn new_nameless_volume(self, service: &Service) -> Option<String> {
        let spec = &service.container;
        // What comes from another container cannot be told from here. A job's own are as new as its
        // container each time.
        if is_job(service) || !self.made.contains(&service.name) || !spec.volumes_from.is_empty() {
            return None;
        }
        let image = image_of(self.project, &self.options.tags, service);
        let image = image.and_then(|image| self.state.images.get(&image));
        let declared = spec.mounts.iter();
        let declared = declared.filter(|it| it.kind == MountKind::Anonymous);
        let of_image = image.into_iter().flat_map(|it| &it.volumes);
        // Where something else is mounted there, or below, that has the data.
        let of_image = of_image.filter(|target| {
            let below = format!("{}/", target.trim_end_matches('/'));
            let mounts = spec.mounts.iter().map(|it| &it.target);
            let mut others = mounts.chain(spec.files.iter().map(|it| &it.folder));
            !others.any(|it| it == *target || it.starts_with(&below))
        });
        let current = diff::current(self.project, self.state, service, 1);
        let carried = |target: &String| {
            let volume = current.and_then(|(_, container)| container.volumes.get(target));
            volume.is_some_and(|it| it.anonymous)
        };
        let mut targets = declared.map(|it| &it.target).chain(of_image);
        targets.find(|it| !carried(it)).cloned()
    }
}

/// A job and everything that it depends on: whose data it may have worked on.
fn data_of<'a>(project: &'a Project, job: &'a Service) -> Vec<&'a Service> {
    let mut found = vec![job];
    let mut seen = BTreeSet::from([job.name.clone()]);
    let mut next = 0;
    while let Some(service) = found.get(next).copied() {
        let mut others = diff::shared(service);
        others.extend(service.depends_on.keys().cloned());
        others.retain(|it| seen.insert(it.clone()));
        found.extend(others.iter().filter_map(|name| project.services.get(name)));
        next += 1;
    }
    found
}

fn is_job(service: &Service) -> bool {
    matches!(service.kind, Kind::Job { .. })
}

/// Jobs that would run again and whose work no rollback undoes: somebody has to say so.
pub(super) fn refusals(project: &Project, decisions: &[Decision]) -> Vec<PreflightError> {
    let asked = decisions.iter().filter_map(|decision| {
        let service = project.services.get(&decision.service)?;
        let reason = decision.reason.as_ref()?;
        let again = matches!(reason, Reason::NewVolume { .. } | Reason::Unrecorded);
        let irreversible = service.kind == (Kind::Job { irreversible: true });
        (again && irreversible).then(|| PreflightError::JobAgain {
            job: service.name.clone(),
            reason: reason.clone(),
        })
    });
    asked.collect()
}
