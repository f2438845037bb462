//! Hand-written streams of events as runs emit them. Times are in milliseconds.

use std::time::Duration;

use cimandat::{
    event::{
        BuildStepState, Change, Event, EventEnvelope, Failure, GateReport, LastAnswer, Outcome,
        PathSegment, Progress, Purpose, Replica, Response, ServiceSummary, VERSION,
    },
    name::{ContainerName, ProjectName, ServiceName},
    plan::{FieldChange, Reason, StepId, Subject},
    state::{ContainerStatus, Status},
};

const CREATE: &str = "creating container";
const START: &str = "starting container";
const STOP: &str = "stopping container";
const REMOVE: &str = "removing container";
const READY: &str = "waiting until ready";
const BUILD: &str = "building image";
const PULL: &str = "pulling image";

const GATE_CAUSE: &str = "`shop-backend-1.next` did not become ready: exited with code 137";

/// An event stream under construction.
struct Recording {
    events: Vec<EventEnvelope>,
}

/// One step or gate of a stream.
struct Entry<'r> {
    recording: &'r mut Recording,
    step: StepId,
    subject: Subject,
}

impl Recording {
    fn of(verb: &str, services: Vec<ServiceSummary>) -> Self {
        Self::for_purpose(verb, services, Purpose::Project)
    }

    fn for_purpose(verb: &str, services: Vec<ServiceSummary>, purpose: Purpose) -> Self {
        let project = ProjectName::new("shop").unwrap();
        let mut recording = Self { events: Vec::new() };
        recording.at(
            0,
            Event::RunStarted {
                project,
                verb: verb.into(),
                services,
                purpose,
            },
        );
        recording
    }

    fn at(&mut self, time: u64, event: Event) {
        let at = Duration::from_millis(time);
        self.events.push(EventEnvelope {
            v: VERSION,
            at,
            simulated: false,
            event,
        });
    }

    fn on(&mut self, step: usize, subject: &Subject) -> Entry<'_> {
        Entry {
            step: StepId(step),
            subject: subject.clone(),
            recording: self,
        }
    }

    fn finish(&mut self, time: u64, verdict: Outcome, end: End) {
        self.at(
            time,
            Event::RunFinished {
                outcome: verdict,
                elapsed: Duration::from_millis(time),
                critical_path: end.path,
                retained_volumes: end.kept.iter().map(|&volume| volume.to_owned()).collect(),
                retained_containers: Vec::new(),
                restored_volumes: Vec::new(),
                irreversible_jobs: Vec::new(),
                cause: end.cause.map(str::to_owned),
                unfinished: end.left.iter().map(|&left| left.to_owned()).collect(),
                recoverable: end.recoverable,
            },
        );
    }
}

/// Fields of the last event besides the outcome.
#[derive(Default)]
struct End {
    path: Vec<PathSegment>,
    kept: &'static [&'static str],
    cause: Option<&'static str>,
    left: &'static [&'static str],
    recoverable: bool,
}

impl Entry<'_> {
    /// Records the start and the end of a step.
    fn act(&mut self, time: (u64, u64), verb: &str, object: &str, reason: Reason) {
        self.begin(time.0, verb, object, reason);
        self.end(time, verb);
    }

    fn begin(&mut self, at: u64, verb: &str, object: &str, reason: Reason) {
        self.recording.at(
            at,
            Event::StepStarted {
                step: self.step,
                subject: self.subject.clone(),
                verb: verb.into(),
                object: object.into(),
                reason,
            },
        );
    }

    fn end(&mut self, time: (u64, u64), verb: &str) {
        self.recording.at(
            time.1,
            Event::StepFinished {
                step: self.step,
                subject: self.subject.clone(),
                verb: verb.into(),
                elapsed: Duration::from_millis(time.1 - time.0),
            },
        );
    }

    fn fail(&mut self, at: u64, verb: &str, object: &str, failure: Failure) {
        self.recording.at(
            at,
            Event::StepFailed {
                step: self.step,
                subject: self.subject.clone(),
                verb: verb.into(),
                object: object.into(),
                failure,
                non_fatal: false,
            },
        );
    }

    fn progress(&mut self, at: u64, progress: Progress) {
        let (step, subject) = (self.step, self.subject.clone());
        self.recording.at(
            at,
            Event::Progress {
                step,
                subject,
                progress,
            },
        );
    }

    fn open(&mut self, at: u64, probe: &str) {
        self.recording.at(
            at,
            Event::ReadinessStarted {
                step: self.step,
                subject: self.subject.clone(),
                probes: vec![probe.into()],
                timeout: Duration::from_mins(1),
            },
        );
    }

    fn answer(&mut self, at: u64, probe: &str, answer: &str) {
        self.recording.at(
            at,
            Event::ProbeResult {
                step: self.step,
                subject: self.subject.clone(),
                probe: probe.into(),
                answer: answer.into(),
                attempts: 1,
            },
        );
    }

    fn fail_gate(&mut self, at: u64, report: Box<GateReport>, optional: bool) {
        let (step, subject) = (self.step, self.subject.clone());
        self.recording.at(
            at,
            Event::ReadinessFailed {
                step,
                subject,
                report,
                non_fatal: optional,
            },
        );
    }

    fn pass(&mut self, time: (u64, u64)) {
        let (step, subject) = (self.step, self.subject.clone());
        let took = Duration::from_millis(time.1 - time.0);
        self.recording.at(
            time.1,
            Event::Ready {
                step,
                subject,
                elapsed: took,
            },
        );
    }
}

fn name(name: &str) -> ServiceName {
    ServiceName::new(name).unwrap()
}

fn service(service: &str) -> Subject {
    Subject::Service {
        name: name(service),
        replica: 1,
    }
}

fn image(service: &str) -> Subject {
    Subject::Image {
        name: name(service),
    }
}

fn network() -> Subject {
    Subject::Network {
        name: "default".into(),
    }
}

fn participant(service: &str, change: Change, waits_for: &[&str]) -> ServiceSummary {
    ServiceSummary {
        service: name(service),
        job: service == "migrate",
        replicas: 1,
        change,
        depends_on: waits_for.iter().map(|service| name(service)).collect(),
        containers: Vec::new(),
    }
}

/// A first deploy: a pull, a build, a job, gates.
pub fn first_deploy() -> Vec<EventEnvelope> {
    let mut recording = Recording::of(
        "up",
        vec![
            participant("postgres", Change::Create, &[]),
            participant("migrate", Change::Create, &["postgres"]),
            participant("backend", Change::Create, &["migrate", "postgres"]),
        ],
    );
    images_arrive(&mut recording);
    services_start(&mut recording);
    recording.at(
        4700,
        Event::Stabilizing {
            duration: Duration::from_secs(1),
        },
    );
    recording.at(5700, Event::Committed);
    recording.at(
        5700,
        Event::Warning {
            text: "volume `old` is no longer used".into(),
        },
    );
    let path = [
        (network(), "creating network", 39),
        (image("postgres"), PULL, 968),
        (service("postgres"), START, 340),
        (service("postgres"), READY, 1500),
        (service("migrate"), START, 300),
        (service("migrate"), READY, 700),
        (service("backend"), START, 300),
        (service("backend"), READY, 500),
    ];
    let path = path.map(|(subject, verb, took)| {
        let took = Duration::from_millis(took);
        PathSegment {
            subject,
            verb: verb.into(),
            elapsed: took,
        }
    });
    let end = End {
        path: path.to_vec(),
        ..End::default()
    };
    recording.finish(5712, Outcome::Converged, end);
    recording.events
}

fn images_arrive(recording: &mut Recording) {
    recording.on(0, &network()).act(
        (2, 41),
        "creating network",
        "shop_default",
        Reason::NotFound,
    );
    recording
        .on(1, &image("postgres"))
        .begin(42, PULL, "postgres:17", Reason::NotFound);
    let mut build = recording.on(2, &image("backend"));
    build.begin(43, BUILD, "shop/backend:1", Reason::BuildInputsChanged);
    build.progress(60, Progress::Context { sent: 123_456 });
    let layers = |done, layers_done| Progress::Pull {
        done,
        total: 20_000_000,
        layers_done,
        layers: 2,
    };
    let mut pull = recording.on(1, &image("postgres"));
    pull.progress(120, layers(1_250_000, 0));
    pull.progress(130, layers(2_250_000, 0));
    let mut build = recording.on(2, &image("backend"));
    build.progress(
        140,
        build_step("a", "[build 2/3] COPY . .", BuildStepState::Cached),
    );
    build.progress(
        150,
        build_step("b", "[build 3/3] RUN npm ci", BuildStepState::Running),
    );
    let line = "\u{1b}[32madded 212 packages\u{1b}[0m in 2s".to_owned();
    build.progress(
        900,
        Progress::BuildOutput {
            digest: "b".into(),
            line,
        },
    );
    let mut pull = recording.on(1, &image("postgres"));
    pull.progress(1000, layers(20_000_000, 2));
    pull.end((42, 1010), PULL);
}

fn services_start(recording: &mut Recording) {
    let (postgres, migrate, backend) =
        (service("postgres"), service("migrate"), service("backend"));
    recording
        .on(3, &postgres)
        .act((1010, 1060), CREATE, "shop-postgres-1", Reason::NotFound);
    recording
        .on(4, &postgres)
        .act((1060, 1400), START, "shop-postgres-1", Reason::NotFound);
    let mut gate = recording.on(5, &postgres);
    let probe = "postgres 5432";
    gate.open(1400, probe);
    gate.answer(1405, probe, "connection refused");
    gate.answer(1600, probe, "connection refused");
    gate.answer(1800, probe, "57P03: the database system is starting up");
    let mut build = recording.on(2, &image("backend"));
    build.progress(
        2150,
        build_step("b", "[build 3/3] RUN npm ci", BuildStepState::Done(2.0)),
    );
    build.end((43, 2400), BUILD);
    recording.on(5, &postgres).pass((1400, 2900));
    recording
        .on(6, &migrate)
        .act((2900, 3200), START, "shop-migrate-1", Reason::NotFound);
    recording.on(7, &migrate).open(3200, "exit 0");
    recording.on(7, &migrate).pass((3200, 3900));
    recording
        .on(8, &backend)
        .act((3900, 4200), START, "shop-backend-1", Reason::NotFound);
    recording.on(9, &backend).open(4200, "http 3001 /health");
    recording.on(9, &backend).pass((4200, 4700));
}

fn build_step(digest: &str, name: &str, state: BuildStepState) -> Progress {
    Progress::BuildStep {
        digest: digest.into(),
        name: name.into(),
        state,
    }
}

fn report() -> Box<GateReport> {
    Box::new(GateReport {
        container: ContainerName::new("shop-backend-1.next").unwrap(),
        cause: "exited with code 137".into(),
        after: Duration::from_millis(8210),
        answers: vec![LastAnswer {
            probe: "http 3001 /health".into(),
            answer: "connection refused".into(),
            attempts: 37,
            passed: false,
        }],
        condition: Some(ContainerStatus {
            status: Status::Exited,
            exit_code: Some(137),
            oom_killed: true,
            restarts: 1,
            ..ContainerStatus::default()
        }),
        log: vec![
            "loading the model".into(),
            "\u{1b}[31mheap\u{1b}[0m\tout of memory".into(),
        ],
        unread: None,
        help: Vec::new(),
    })
}

/// An update whose gate fails, up to the removal of the new container in the rollback.
fn update_that_fails() -> Recording {
    let mut recording = Recording::of(
        "up",
        vec![
            participant("postgres", Change::NoOp, &[]),
            participant("backend", Change::Replace, &["postgres"]),
            participant("frontend", Change::Replace, &["backend"]),
        ],
    );
    let backend = service("backend");
    let changes = ["env.MODEL", "image"].map(|field| FieldChange {
        field: field.into(),
        from: None,
        to: Some("1".into()),
    });
    let reason = Reason::Changed {
        changes: changes.to_vec(),
    };
    let (old, new) = ("shop-backend-1", "shop-backend-1.next");
    recording.on(0, &backend).act((5, 60), CREATE, new, reason);
    recording
        .on(1, &backend)
        .act((60, 400), STOP, old, Reason::Superseded);
    recording
        .on(2, &backend)
        .act((400, 700), START, new, Reason::Superseded);
    recording.on(3, &backend).open(700, "http 3001 /health");
    recording
        .on(3, &backend)
        .answer(705, "http 3001 /health", "connection refused");
    recording.on(3, &backend).fail_gate(8910, report(), false);
    recording.at(
        8911,
        Event::RollbackStarted {
            cause: GATE_CAUSE.into(),
        },
    );
    recording
        .on(4, &backend)
        .act((8911, 9000), REMOVE, new, Reason::Rollback);
    recording
}

/// An update whose gate fails, and that is rolled back.
pub fn failing_update() -> Vec<EventEnvelope> {
    let mut recording = update_that_fails();
    let backend = service("backend");
    recording
        .on(5, &backend)
        .act((9000, 9400), START, "shop-backend-1", Reason::Rollback);
    recording.on(6, &backend).open(9400, "http 3001 /health");
    recording.on(6, &backend).pass((9400, 9900));
    let end = End {
        cause: Some(GATE_CAUSE),
        ..End::default()
    };
    recording.finish(9910, Outcome::RolledBack, end);
    recording.events
}

/// An update whose gate fails, and whose rollback fails too.
pub fn stuck_update() -> Vec<EventEnvelope> {
    let mut recording = update_that_fails();
    let mut start = recording.on(5, &service("backend"));
    start.begin(9000, START, "shop-backend-1", Reason::Rollback);
    let failure = Failure {
        message: "starting container `shop-backend-1`: port 3001 of this host is already in use \
                  by container `other`"
            .into(),
        help: Some(
            "stop the program that uses the port, or publish another port of the host".into(),
        ),
        output: Vec::new(),
    };
    start.fail(9100, START, "shop-backend-1", failure);
    let end = End {
        cause: Some(GATE_CAUSE),
        left: &["starting container `shop-backend-1` failed: port 3001 is already in use"],
        recoverable: true,
        ..End::default()
    };
    recording.finish(9110, Outcome::RollbackFailed, end);
    recording.events
}

/// A first deploy whose build fails.
pub fn failing_build() -> Vec<EventEnvelope> {
    let mut recording = Recording::of("up", vec![participant("web", Change::Create, &[])]);
    let mut build = recording.on(0, &image("web"));
    build.begin(10, BUILD, "shop/web:1", Reason::BuildInputsChanged);
    let failure = Failure {
        message: "the build of `web` failed at `RUN npm ci`: exit code 1".into(),
        help: None,
        output: vec![
            "npm error code E404".into(),
            "npm error 404 left-pad".into(),
        ],
    };
    build.fail(3000, BUILD, "shop/web:1", failure);
    recording.finish(3010, Outcome::Aborted, End::default());
    recording.events
}

/// A `down` that removes two services, one after the other.
pub fn down() -> Vec<EventEnvelope> {
    let mut recording = Recording::of(
        "down",
        vec![
            participant("postgres", Change::Remove, &["backend"]),
            participant("backend", Change::Remove, &[]),
        ],
    );
    for (index, name) in [(0, "backend"), (1, "postgres")] {
        let object = format!("shop-{name}-1");
        let at = 10 + 500 * index;
        let mut step = recording.on(2 * usize::from(name == "postgres"), &service(name));
        step.act((at, at + 400), STOP, &object, Reason::Teardown);
        step.act((at + 400, at + 450), REMOVE, &object, Reason::Teardown);
    }
    let mut step = recording.on(4, &network());
    step.act(
        (960, 1100),
        "removing network",
        "shop_default",
        Reason::Teardown,
    );
    recording.finish(1105, Outcome::Converged, End::default());
    recording.events
}

/// A gate report with only what is known when the engine no longer responds.
fn bare_report(container: &str, cause: &str, after: Duration) -> Box<GateReport> {
    Box::new(GateReport {
        container: ContainerName::new(container).unwrap(),
        cause: cause.into(),
        after,
        answers: Vec::new(),
        condition: None,
        log: Vec::new(),
        unread: None,
        help: Vec::new(),
    })
}

/// A first deploy whose job fails: everything that it created is removed, except the volume.
pub fn failing_job() -> Vec<EventEnvelope> {
    let mut recording = Recording::of(
        "up",
        vec![
            participant("postgres", Change::Create, &[]),
            participant("migrate", Change::Create, &["postgres"]),
            participant("mail", Change::Create, &[]),
        ],
    );
    let (postgres, migrate, mail) = (service("postgres"), service("migrate"), service("mail"));
    recording
        .on(0, &postgres)
        .act((5, 300), START, "shop-postgres-1", Reason::NotFound);
    recording.on(1, &postgres).open(300, "postgres 5432");
    recording.on(1, &postgres).pass((300, 900));
    recording
        .on(2, &mail)
        .act((5, 950), START, "shop-mail-1", Reason::NotFound);
    let report = bare_report(
        "shop-mail-1",
        "not ready within 60 s",
        Duration::from_mins(1),
    );
    recording.on(3, &mail).fail_gate(60_950, report, true);
    recording
        .on(4, &migrate)
        .act((61_000, 61_200), START, "shop-migrate-1", Reason::NotFound);
    recording
        .on(5, &migrate)
        .fail_gate(61_280, report_of_the_job(), false);
    let cause = "`shop-migrate-1` did not become ready: exited with code 1";
    recording.at(
        61_281,
        Event::RollbackStarted {
            cause: cause.into(),
        },
    );
    recording
        .on(6, &migrate)
        .act((61_281, 61_300), REMOVE, "shop-migrate-1", Reason::Rollback);
    recording.on(7, &postgres).act(
        (61_300, 61_400),
        REMOVE,
        "shop-postgres-1",
        Reason::Rollback,
    );
    let end = End {
        cause: Some(cause),
        kept: &["shop_data"],
        ..End::default()
    };
    recording.finish(61_410, Outcome::Aborted, end);
    recording.events
}

fn report_of_the_job() -> Box<GateReport> {
    let mut report = bare_report(
        "shop-migrate-1",
        "exited with code 1",
        Duration::from_millis(80),
    );
    report.log.push("relation `users` exists already".into());
    report.condition = Some(ContainerStatus {
        status: Status::Exited,
        exit_code: Some(1),
        ..ContainerStatus::default()
    });
    report
}

/// A `down` that fails in the middle.
pub fn half_way_down() -> Vec<EventEnvelope> {
    let mut recording = Recording::of("down", vec![participant("web", Change::Remove, &[])]);
    recording
        .on(0, &service("web"))
        .act((5, 300), STOP, "shop-web-1", Reason::Teardown);
    let stranger = Failure {
        message: "`shop_default` is still in use by container `stranger`".into(),
        help: Some("detach it".into()),
        output: Vec::new(),
    };
    recording
        .on(1, &network())
        .fail(310, "removing network", "shop_default", stranger);
    let end = End {
        cause: Some("removing network `shop_default` failed: it is in use"),
        left: &["network `shop_default`"],
        ..End::default()
    };
    recording.finish(320, Outcome::RemovalIncomplete, end);
    recording.events
}

fn asked_to(response: Response) -> Event {
    Event::Interrupted { response }
}

/// A deploy that the user interrupts before anything has changed.
pub fn interrupted() -> Vec<EventEnvelope> {
    let mut recording = Recording::of("up", vec![participant("web", Change::Create, &[])]);
    recording.at(700, asked_to(Response::Stop));
    let end = End {
        cause: Some("interrupted"),
        ..End::default()
    };
    recording.finish(710, Outcome::Cancelled, end);
    recording.events
}

/// A deploy in which a service exits during the stabilization window, after it was ready.
pub fn unhealthy_after_ready() -> Vec<EventEnvelope> {
    let mut recording = Recording::of("up", vec![participant("backend", Change::Replace, &[])]);
    let backend = service("backend");
    recording.on(0, &backend).open(100, "started");
    recording.on(0, &backend).pass((100, 200));
    recording.at(
        200,
        Event::Stabilizing {
            duration: Duration::from_secs(5),
        },
    );
    recording.at(
        900,
        Event::UnhealthyAfterReady {
            subject: backend,
            report: report(),
        },
    );
    recording.events
}

/// A deploy with nothing to do.
pub fn unchanged() -> Vec<EventEnvelope> {
    let mut recording = Recording::of("up", vec![participant("web", Change::NoOp, &[])]);
    recording.finish(120, Outcome::Unchanged, End::default());
    recording.events
}

/// A deploy that scales four workers down to one, removes a service and adds another.
pub fn scaled_down() -> Vec<EventEnvelope> {
    let several = |change: &[Change]| {
        let numbered = (1..).zip(change);
        let replicas = numbered.map(|(replica, &change)| Replica { replica, change });
        replicas.collect::<Vec<_>>()
    };
    let (keep, remove) = (Change::NoOp, Change::Remove);
    let worker = ServiceSummary {
        containers: several(&[keep, remove, remove, remove]),
        ..participant("worker", Change::NoOp, &[])
    };
    let api = ServiceSummary {
        containers: several(&[remove, remove]),
        ..participant("api", remove, &[])
    };
    let web = participant("web", Change::Create, &[]);
    let mut recording = Recording::of("up", vec![worker, web, api]);
    recording
        .on(0, &service("web"))
        .act((5, 100), START, "shop-web-1", Reason::NotFound);
    recording.at(100, Event::Committed);
    let second = Subject::Service {
        name: name("worker"),
        replica: 2,
    };
    recording
        .on(1, &second)
        .act((100, 200), REMOVE, "shop-worker-2", Reason::Orphan);
    recording.finish(900, Outcome::Converged, End::default());
    recording.events
}

/// A deploy that only removes a network and changes no container.
pub fn without_a_network() -> Vec<EventEnvelope> {
    let mut recording = Recording::of("up", vec![participant("web", Change::NoOp, &[])]);
    recording
        .on(0, &network())
        .act((5, 100), "removing network", "shop_default", Reason::Orphan);
    recording.finish(110, Outcome::Converged, End::default());
    recording.events
}

/// A deploy that replaces a service after all, once its image is pulled.
pub fn replanned() -> Vec<EventEnvelope> {
    let web = |change| participant("web", change, &[]);
    let mut recording = Recording::of("up", vec![web(Change::NoOp)]);
    recording
        .on(0, &image("web"))
        .act((5, 100), PULL, "web:1", Reason::NotFound);
    let services = vec![web(Change::Replace)];
    recording.at(110, Event::Replanned { services });
    let check = "http http://localhost/";
    recording
        .on(4, &Subject::Project)
        .act((300, 339), "verifying", check, Reason::Verify);
    recording.finish(400, Outcome::Converged, End::default());
    recording.events
}

/// A recovery that rolls back an interrupted deploy, which had not reached one of its services.
pub fn recovered() -> Vec<EventEnvelope> {
    let services = vec![
        participant("db", Change::NoOp, &[]),
        participant("web", Change::Restart, &["db"]),
    ];
    let purpose = Purpose::RollBack { deploy: 9 };
    let mut recording = Recording::for_purpose("recover", services, purpose);
    let cause = "deploy 9 was interrupted".to_owned();
    recording.at(1, Event::RollbackStarted { cause });
    for (step, of) in [(0, "db"), (1, "web")] {
        let container = format!("shop-{of}-1");
        recording
            .on(step, &service(of))
            .act((5, 100), START, &container, Reason::Rollback);
        recording.on(step + 2, &service(of)).open(100, "started");
        recording.on(step + 2, &service(of)).pass((100, 200));
    }
    recording.finish(210, Outcome::RolledBack, End::default());
    recording.events
}

/// A deploy whose rollback the user interrupts.
pub fn interrupted_twice() -> Vec<EventEnvelope> {
    let mut recording = Recording::of("up", vec![participant("web", Change::Replace, &[])]);
    recording
        .on(0, &service("web"))
        .act((5, 100), STOP, "shop-web-1", Reason::Superseded);
    recording.at(700, asked_to(Response::RollBack));
    let cause = "interrupted".to_owned();
    recording.at(701, Event::RollbackStarted { cause });
    recording.at(3000, asked_to(Response::Leave));
    let end = End {
        cause: Some("interrupted"),
        recoverable: true,
        ..End::default()
    };
    recording.finish(3001, Outcome::RollbackInterrupted, end);
    recording.events
}
