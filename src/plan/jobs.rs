//! Completed jobs: when they run again.
//!
//! Pure. A job runs once per change. It runs once more if the data that it worked on is lost, that
//! is, if the job or a service that it depends on gets a new and empty volume. A volume counts as
//! new for a job until a deploy that includes the job is committed with the volume, so that a
//! failed deploy does not count.

use std::collections::BTreeSet;

use super::{
    Decision, Options, PreflightError, Reason, RerunJobs, diff, image_of, prepare::volumes_of,
};
use crate::{
    name::ServiceName,
    project::{Kind, MountKind, Project, Service},
    state::{Container, State},
};

/// Returns the jobs for which only the history determines whether they run: jobs without a
/// container, and jobs with a volume that was created after they had run.
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

/// Inputs for the decision whether a job runs.
#[derive(Clone, Copy)]
pub(super) struct Question<'a> {
    pub project: &'a Project,
    pub state: &'a State,
    pub options: &'a Options,
    /// Services that get new containers.
    pub made: &'a BTreeSet<&'a ServiceName>,
    pub job: &'a Service,
}

impl Question<'_> {
    /// Returns the reason to run a job without a container; `None` if the job is completed.
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

    /// Returns the reason to run a job with a completed container again.
    pub fn with_container(self, container: &Container) -> Option<Reason> {
        let record = self.state.job_records.get(&self.job.name);
        let recorded = record.map_or(0, |it| it.generation);
        self.new_volume(recorded.max(container.generation))
    }

    /// Returns a reason if the job has never worked with a volume: the volume does not exist yet,
    /// or it is newer than the last committed generation that included the job.
    fn new_volume(self, since: u64) -> Option<Reason> {
        // A rollback to an earlier generation does not run its jobs.
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

    /// Returns the target of an anonymous volume that a new container gets and the previous one did
    /// not have.
    fn new_nameless_volume(self, service: &Service) -> Option<String> {
        let spec = &service.container;
        // Volumes of another container cannot be determined here. A job's own volumes are always as
        // new as its container.
        if is_job(service) || !self.made.contains(&service.name) || !spec.volumes_from.is_empty() {
            return None;
        }
        let image = image_of(self.project, &self.options.tags, service);
        let image = image.and_then(|image| self.state.images.get(&image));
        let declared = spec.mounts.iter();
        let declared = declared.filter(|it| it.kind == MountKind::Anonymous);
        let of_image = image.into_iter().flat_map(|it| &it.volumes);
        // A mount at this target, or below it, contains the data instead.
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

/// Returns a job and all its dependencies. The job may have worked on the data of each.
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

/// Returns an error for each irreversible job that would run again. A user has to confirm it.
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
