//! Builds on a real engine: the sent files, the built image, the reports.
//!
//! Without an engine each test prints the reason and is skipped; `CIMANDAT_TEST_ENGINE=require`
//! makes that a failure. All objects are named `it-build-…` and are removed again.
#![expect(
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "a test fails by panicking, and says why it is skipped"
)]

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    process::{Command, Output},
};

use cimandat::{
    engine::{
        EngineError,
        docker::build::{Builder, Transport},
    },
    event::{BuildStepState, Progress},
    name::{ImageRef, ProjectName, ServiceName},
    plan::BuildImage,
    project::{Build, BuildSecret, BuildSecretSource, build_inputs},
    secret::Text,
};
use tokio::sync::mpsc;

/// The base image that these tests need on the engine.
const BASE: &str = "debian:trixie-slim";

fn address() -> String {
    let host = std::env::var("DOCKER_HOST").unwrap_or_default();
    if host.is_empty() {
        "unix:///var/run/docker.sock".to_owned()
    } else {
        host
    }
}

fn docker(arguments: &[&str]) -> Output {
    Command::new("docker").args(arguments).output().unwrap()
}

/// Returns whether an engine answers that has all these images.
fn engine(images: &[&str]) -> bool {
    let required = std::env::var("CIMANDAT_TEST_ENGINE").is_ok_and(|value| value == "require");
    let mut missing = images
        .iter()
        .filter(|image| !docker(&["image", "inspect", image]).status.success());
    let lack = match Command::new("docker").arg("version").output() {
        Ok(output) if output.status.success() => missing.next().map(|image| (*image).to_owned()),
        _ => Some(format!("an engine at {}", address())),
    };
    match lack {
        Some(lack) if required => panic!("{lack} is required and not there"),
        Some(lack) => {
            eprintln!("skipped: needs {lack}");
            false
        }
        None => true,
    }
}

/// A build context, and an image that is removed with it.
struct Case {
    folder: tempfile::TempDir,
    request: BuildImage,
}

impl Case {
    fn new(name: &str, dockerfile: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let context = folder.path().join("context");
        std::fs::create_dir(&context).unwrap();
        std::fs::write(context.join("Dockerfile"), dockerfile).unwrap();
        let unique = std::process::id();
        let build = Build {
            dockerfile: context.join("Dockerfile"),
            context,
            inline: None,
            target: None,
            args: BTreeMap::new(),
            secrets: BTreeMap::new(),
            ssh: false,
            contexts: BTreeMap::new(),
            network: None,
            pull: false,
            no_cache: false,
            platforms: Vec::new(),
            labels: BTreeMap::new(),
            tags: Vec::new(),
            cache_from: Vec::new(),
            cache_to: Vec::new(),
            extra_hosts: BTreeMap::new(),
            shm_size: None,
        };
        let request = BuildImage {
            project: ProjectName::new("it-build").unwrap(),
            service: ServiceName::new(name).unwrap(),
            build,
            platform: None,
            tags: vec![ImageRef::new(format!("it-build-{name}:{unique}")).unwrap()],
        };
        Self { folder, request }
    }

    fn file(&self, path: &str, content: impl AsRef<[u8]>) {
        write(&self.request.build.context.join(path), content);
    }

    fn tag(&self) -> &str {
        self.request.tags[0].as_str()
    }

    async fn build(&self) -> (Result<(), EngineError>, Vec<Progress>) {
        let (sender, mut receiver) = mpsc::unbounded_channel();
        let builder = Builder::new(Transport::new(address(), None));
        let result = builder.build(&self.request, &sender).await;
        drop(sender);
        let mut progress = Vec::new();
        while let Some(one) = receiver.recv().await {
            progress.push(one);
        }
        (result, progress)
    }

    /// Returns the files of the image.
    fn files(&self) -> BTreeMap<String, String> {
        let created = docker(&["create", "--label", "it-build", self.tag(), "none"]);
        assert!(created.status.success(), "{created:?}");
        let container = String::from_utf8(created.stdout).unwrap();
        let export = docker(&["export", container.trim()]);
        assert!(docker(&["rm", container.trim()]).status.success());
        let mut archive = tar::Archive::new(export.stdout.as_slice());
        let entries = archive.entries().unwrap().map(Result::unwrap);
        entries
            .filter(|entry| entry.header().entry_type().is_file())
            .map(|mut entry| {
                let mut content = Vec::new();
                std::io::Read::read_to_end(&mut entry, &mut content).unwrap();
                let path = entry.path().unwrap().display().to_string();
                (path, String::from_utf8_lossy(&content).into_owned())
            })
            .collect()
    }

    /// As [`Self::files`], without the files that the engine itself adds to every container.
    fn own_files(&self) -> BTreeSet<String> {
        let files = self.files().into_keys();
        files
            .filter(|path| {
                !["dev/", "etc/", ".dockerenv"]
                    .iter()
                    .any(|own| path.starts_with(own))
            })
            .collect()
    }
}

impl Drop for Case {
    fn drop(&mut self) {
        for tag in &self.request.tags {
            docker(&["image", "rm", "--force", tag.as_str()]);
        }
    }
}

fn write(path: &Path, content: impl AsRef<[u8]>) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, content).unwrap();
}

fn set<const N: usize>(paths: [&str; N]) -> BTreeSet<String> {
    paths.into_iter().map(str::to_owned).collect()
}

fn sent(progress: &[Progress]) -> u64 {
    let sent = progress.iter().filter_map(|progress| match progress {
        Progress::Context { sent } => Some(*sent),
        _ => None,
    });
    sent.max().unwrap_or(0)
}

/// Returns the Dockerfile's own steps with their final states.
fn ended(progress: &[Progress]) -> BTreeMap<String, BuildStepState> {
    let steps = progress.iter().filter_map(|progress| match progress {
        Progress::BuildStep { name, state, .. }
            if *state != BuildStepState::Running && !name.contains("[internal]") =>
        {
            Some((name.clone(), *state))
        }
        _ => None,
    });
    steps.collect()
}

#[tokio::test]
async fn ignored_files_are_neither_sent_nor_built() {
    if !engine(&[]) {
        return;
    }
    let case = Case::new("ignored", "FROM scratch\nCOPY . /\n");
    case.file(
        ".dockerignore",
        "*.log\nnode_modules\n!keep.log\nDockerfile\n.dockerignore\n",
    );
    case.file("kept.txt", "kept");
    case.file("keep.log", "kept too");
    case.file("secret.log", "no");
    case.file("node_modules/big", vec![7; 3 << 20]);
    case.file("deep/er/file.log", "kept: `*` does not reach so deep");
    std::os::unix::fs::symlink("kept.txt", case.request.build.context.join("link")).unwrap();
    let (result, progress) = case.build().await;
    result.unwrap();
    assert_eq!(
        case.own_files(),
        set(["deep/er/file.log", "keep.log", "kept.txt"])
    );
    assert!(sent(&progress) < 1000, "{}", sent(&progress));
    let listed = build_inputs::context(&case.request.build).unwrap();
    let listed: Vec<_> = listed.iter().map(|entry| entry.path.as_str()).collect();
    assert_eq!(
        listed,
        [
            "deep",
            "deep/er",
            "deep/er/file.log",
            "keep.log",
            "kept.txt",
            "link"
        ]
    );
    let inspect = docker(&[
        "image",
        "inspect",
        "--format",
        "{{json .Config.Labels}}",
        case.tag(),
    ]);
    let labels = String::from_utf8(inspect.stdout).unwrap();
    assert_eq!(labels.trim(), r#"{"io.cimandat.project":"it-build"}"#);
}

#[tokio::test]
async fn build_supports_stages_arguments_secrets_and_caches() {
    if !engine(&[BASE]) {
        return;
    }
    let mut case = Case::new(
        "stages",
        &format!(
            "FROM {BASE} AS first\n\
             ARG WORD\n\
             RUN --mount=type=cache,target=/cache \
             --mount=type=secret,id=key,target=/run/key \
             --mount=type=secret,id=absent,target=/run/absent \
             test ! -e /run/absent && echo \"$WORD\" > /word && sha256sum < /run/key > /sum\n\
             FROM scratch AS wanted\n\
             COPY --from=first /word /sum /\n\
             FROM scratch AS unwanted\n\
             COPY missing /\n"
        ),
    );
    let build = &mut case.request.build;
    build.target = Some("wanted".to_owned());
    build.args.insert("WORD".to_owned(), Text::from("hello"));
    let value = Text::sealed("${secret:key}".to_owned(), "hunter2".to_owned());
    let secret = |source| BuildSecret {
        source,
        required: false,
    };
    build
        .secrets
        .insert("key".to_owned(), secret(BuildSecretSource::Value(value)));
    let nowhere = BuildSecretSource::File(case.folder.path().join("nowhere"));
    build.secrets.insert("absent".to_owned(), secret(nowhere));
    let second = ImageRef::new(format!("{}-also", case.tag())).unwrap();
    case.request.tags.push(second.clone());

    let (result, progress) = case.build().await;
    result.unwrap();
    let files = case.files();
    assert_eq!(files["word"], "hello\n");
    // sha256 of `hunter2`
    let sum = "f52fbd32b2b3b86ff88ef6c490628285f482af15ddcb29541f94bcf526a3f6c7";
    assert!(files["sum"].starts_with(sum), "{}", files["sum"]);
    assert!(
        docker(&["image", "inspect", second.as_str()])
            .status
            .success()
    );
    assert!(!format!("{progress:?}").contains("hunter2"));

    let (result, progress) = case.build().await;
    result.unwrap();
    let ended = ended(&progress);
    let run = ended.iter().find(|(name, _)| name.contains("RUN")).unwrap();
    assert_eq!(*run.1, BuildStepState::Cached, "{ended:?}");
    assert_eq!(sent(&progress), 0, "nothing changed, so nothing is sent");
}

#[tokio::test]
async fn failed_step_shows_its_last_lines() {
    if !engine(&[BASE]) {
        return;
    }
    let case = Case::new(
        "failing",
        &format!("FROM {BASE}\nRUN (seq 1 40; echo the reason) >&2; exit 3\n"),
    );
    let (result, progress) = case.build().await;
    let Err(EngineError::Build {
        service,
        step,
        cause,
        output,
    }) = result
    else {
        panic!("{result:?}")
    };
    assert_eq!(service, "failing");
    assert!(step.contains("RUN (seq 1 40"), "{step}");
    assert!(cause.contains("exit code: 3"), "{cause}");
    assert_eq!(output.len(), 20);
    assert!(output.contains(&"the reason".to_owned()), "{output:?}");
    assert!(output.contains(&"40".to_owned()), "{output:?}");
    let failed = ended(&progress)
        .into_values()
        .filter(|state| *state == BuildStepState::Failed);
    assert_eq!(failed.count(), 1);
}

#[tokio::test]
async fn dockerfile_may_be_outside_context_or_inline() {
    if !engine(&[]) {
        return;
    }
    let mut case = Case::new("elsewhere", "FROM scratch\nCOPY wrong /\n");
    case.file(".dockerignore", "*");
    case.file("a", "a");
    case.file("b", "b");
    let elsewhere = case.folder.path().join("elsewhere");
    write(&elsewhere.join("Dockerfile.it"), "FROM scratch\nCOPY . /\n");
    // Takes precedence over the context's `.dockerignore`, which would exclude everything.
    write(&elsewhere.join("Dockerfile.it.dockerignore"), "*\n!a\n");
    write(&elsewhere.join("neighbour"), vec![0; 1 << 20]);
    case.request.build.dockerfile = elsewhere.join("Dockerfile.it");
    let (result, progress) = case.build().await;
    result.unwrap();
    assert_eq!(case.own_files(), set(["a"]));
    assert!(
        sent(&progress) < 1000,
        "of the Dockerfile's folder only the Dockerfile is sent"
    );

    case.file(".dockerignore", "Dockerfile");
    case.request.build.inline = Some("FROM scratch\nCOPY b /from-inline\n".to_owned());
    let (result, _) = case.build().await;
    result.unwrap();
    assert_eq!(case.own_files(), set(["from-inline"]));
}

#[tokio::test]
async fn rebuild_sends_only_changed_files() {
    if !engine(&[]) {
        return;
    }
    let case = Case::new(
        "changed",
        "FROM scratch\nCOPY wide /wide\nCOPY link /copied\n",
    );
    for number in 0..200 {
        case.file(&format!("wide/{number:03}"), vec![b'x'; 10_000]);
    }
    case.file("unused/heavy", vec![1; 1 << 20]);
    case.file("hidden/target", "behind a link");
    std::os::unix::fs::symlink("hidden/target", case.request.build.context.join("link")).unwrap();
    let (result, progress) = case.build().await;
    result.unwrap();
    let all = sent(&progress);
    assert!(
        (2_000_000..2_500_000).contains(&all),
        "{all}: without what no step copies"
    );
    assert_eq!(case.files()["copied"], "behind a link");

    case.file("wide/100", "changed");
    let (result, progress) = case.build().await;
    result.unwrap();
    assert_eq!(sent(&progress), 7);
    assert_eq!(case.files()["wide/100"], "changed");
}

/// A change of a context, with its name.
type Change = (&'static str, fn(&Path));

/// Changes that are applied one after the other.
const CHANGES: [Change; 16] = [
    ("nothing", |_| {}),
    ("content", |at| write(&at.join("page"), "other")),
    ("mode of a file", |at| mode(&at.join("page"), 0o600)),
    ("mode of a file for others", |at| {
        mode(&at.join("page"), 0o604);
    }),
    ("executable bit", |at| mode(&at.join("page"), 0o704)),
    ("set user id", |at| mode(&at.join("page"), 0o4704)),
    ("mode of a folder", |at| mode(&at.join("folder"), 0o700)),
    ("sticky folder", |at| mode(&at.join("folder"), 0o1700)),
    ("time of a file", |at| touch(&at.join("page"))),
    ("owner of a file", |at| {
        // Only root may change a file's owner, and that clears its set-user-ID bit.
        let _ = std::os::unix::fs::chown(at.join("page"), Some(1234), Some(5678));
        mode(&at.join("page"), 0o4704);
    }),
    ("target of a link", |at| {
        std::fs::remove_file(at.join("link")).unwrap();
        std::os::unix::fs::symlink("folder", at.join("link")).unwrap();
    }),
    ("link to file", |at| {
        std::fs::remove_file(at.join("link")).unwrap();
        write(&at.join("link"), "");
    }),
    ("file to folder", |at| {
        std::fs::remove_file(at.join("link")).unwrap();
        std::fs::create_dir(at.join("link")).unwrap();
    }),
    ("name", |at| {
        std::fs::rename(at.join("link"), at.join("renamed")).unwrap();
    }),
    ("empty folder", |at| {
        std::fs::create_dir(at.join("folder/empty")).unwrap();
    }),
    ("ignored file", |at| {
        write(&at.join("noise.log"), "other noise");
    }),
];

fn mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

fn touch(path: &Path) {
    let file = std::fs::File::options().append(true).open(path).unwrap();
    let hour = std::time::Duration::from_hours(1);
    file.set_modified(std::time::SystemTime::UNIX_EPOCH + hour)
        .unwrap();
}

#[tokio::test]
async fn digest_changes_where_the_builder_misses_its_cache() {
    if !engine(&[BASE]) {
        return;
    }
    let unique = std::process::id();
    let case = Case::new(
        "digest",
        &format!(
            "FROM {BASE}\nCOPY . /context-{unique}\n\
             RUN cat /proc/sys/kernel/random/uuid > /run-of-this-step\n"
        ),
    );
    case.file(".dockerignore", "*.log\n");
    case.file("page", "text");
    case.file("folder/inside", "text");
    case.file("noise.log", "noise");
    let context = &case.request.build.context;
    std::os::unix::fs::symlink("page", context.join("link")).unwrap();
    mode(&context.join("page"), 0o644);
    mode(&context.join("folder"), 0o755);
    let mut before = None;
    for (what, change) in CHANGES {
        change(context);
        let digest = build_inputs::digest(&case.request.build, None).unwrap();
        case.build().await.0.unwrap();
        let image = docker(&["image", "inspect", "--format", "{{.Id}}", case.tag()]).stdout;
        let image = String::from_utf8(image).unwrap();
        if let Some((its_digest, its_image)) = before.replace((digest.clone(), image.clone())) {
            // A step that is not taken from the cache writes another text.
            let built = image != its_image;
            assert_eq!(digest != its_digest, built, "{what}: rebuilt: {built}");
        }
    }
}

#[tokio::test]
async fn builds_of_one_context_run_concurrently() {
    if !engine(&[]) {
        return;
    }
    let case = Case::new(
        "parallel",
        "FROM scratch AS a\nCOPY a /\nFROM scratch AS b\nCOPY b /\n",
    );
    let mut requests = Vec::new();
    for name in ["a", "b"] {
        case.file(name, name);
        let mut request = case.request.clone();
        request.build.target = Some(name.to_owned());
        request.tags = vec![ImageRef::new(format!("{}-{name}", case.tag())).unwrap()];
        let folder = tempfile::tempdir().unwrap();
        requests.push(Case { folder, request });
    }
    let results = futures::future::join_all(requests.iter().map(Case::build)).await;
    for ((result, _), request) in results.into_iter().zip(&requests) {
        result.unwrap();
        let name = request.request.build.target.as_deref().unwrap();
        assert_eq!(request.own_files(), set([name]));
    }
}

#[tokio::test]
async fn named_contexts_are_separate_folders() {
    if !engine(&[]) {
        return;
    }
    let mut case = Case::new("named", "FROM scratch\nCOPY --from=dockerfile . /\n");
    let more = case.folder.path().join("more");
    write(&more.join("note"), "from a named context");
    write(&more.join("ignored"), "");
    write(&more.join(".dockerignore"), "ignored\n.dockerignore");
    // A name that the builder uses internally.
    let more = more.display().to_string();
    case.request
        .build
        .contexts
        .insert("dockerfile".to_owned(), more);
    let (result, _) = case.build().await;
    let version = docker(&["version", "--format", "{{.Server.APIVersion}}"]).stdout;
    if String::from_utf8(version).unwrap().trim() == "1.41" {
        let Err(EngineError::Build { cause, .. }) = result else {
            panic!("{result:?}")
        };
        assert!(cause.contains("need Engine 23.0 or newer"), "{cause}");
    } else {
        result.unwrap();
        assert_eq!(case.own_files(), set(["note"]));
    }
}

#[tokio::test]
async fn dropped_build_ends_on_the_engine() {
    if !engine(&[BASE]) {
        return;
    }
    let unique = std::process::id();
    // The cache folder is free again only when the step that holds it has ended.
    let step = |command: &str| {
        format!(
            "FROM {BASE}\nRUN --mount=type=cache,id=it-build-{unique},target=/held,sharing=locked \
             {command}\n"
        )
    };
    let endless = Case::new("endless", &step("echo begun; sleep 600"));
    let (sender, mut receiver) = mpsc::unbounded_channel();
    let builder = Builder::new(Transport::new(address(), None));
    {
        let build = std::pin::pin!(builder.build(&endless.request, &sender));
        let begun = std::pin::pin!(async {
            while let Some(progress) = receiver.recv().await {
                if matches!(progress, Progress::BuildOutput { line, .. } if line == "begun") {
                    return;
                }
            }
        });
        let first = futures::future::select(build, begun).await;
        assert!(matches!(first, futures::future::Either::Right(_)));
    }
    let after = Case::new("after", &step("echo free"));
    let patience = std::time::Duration::from_mins(1);
    let (result, _) = tokio::time::timeout(patience, after.build()).await.unwrap();
    result.unwrap();
}

#[tokio::test]
async fn missing_required_secret_fails_before_build() {
    let mut case = Case::new("required", "FROM scratch\n");
    let source = BuildSecretSource::File(case.folder.path().join("nowhere"));
    let required = true;
    let secret = BuildSecret { source, required };
    case.request.build.secrets.insert("ca".to_owned(), secret);
    let (result, progress) = case.build().await;
    let Err(EngineError::Build { cause, .. }) = result else {
        panic!("{result:?}")
    };
    assert!(cause.ends_with("nowhere` does not exist"), "{cause}");
    assert_eq!(progress, []);
}

#[tokio::test]
async fn ssh_agent_is_forwarded_when_configured() {
    if !engine(&[BASE]) {
        return;
    }
    let script = r#"socket(S,PF_UNIX,SOCK_STREAM,0); connect(S,sockaddr_un($ENV{SSH_AUTH_SOCK})) or die $!; syswrite(S,"ping"); sysread(S,$x,4); print "got $x\n"; exit($x ne "pong")"#;
    let mut case = Case::new(
        "ssh",
        &format!("FROM {BASE}\nRUN --mount=type=ssh perl -MSocket -e '{script}'\n"),
    );
    case.request.build.ssh = true;
    case.request.build.no_cache = true;
    let socket = case.folder.path().join("agent");
    let listener = tokio::net::UnixListener::bind(&socket).unwrap();
    let agent = async {
        loop {
            use tokio::io::{AsyncReadExt, AsyncWriteExt};
            let (mut connection, _) = listener.accept().await.unwrap();
            let mut question = [0; 4];
            connection.read_exact(&mut question).await.unwrap();
            assert_eq!(&question, b"ping");
            connection.write_all(b"pong").await.unwrap();
        }
    };
    let (sender, _receiver) = mpsc::unbounded_channel();
    let builder = Builder::new(Transport::new(address(), None)).with_ssh_agent(socket.clone());
    let build = std::pin::pin!(builder.build(&case.request, &sender));
    let agent = std::pin::pin!(agent);
    let futures::future::Either::Left((result, _)) = futures::future::select(build, agent).await;
    result.unwrap();
}

/// Runs in a separate process, as other tests of this process also use memory.
#[tokio::test]
async fn a_large_context_is_never_held_in_memory() {
    const CHILD: &str = "CIMANDAT_IT_CHILD";
    if !engine(&[]) {
        return;
    }
    if std::env::var_os(CHILD).is_none() {
        let program = std::env::current_exe().unwrap();
        let name = "build::a_large_context_is_never_held_in_memory";
        let child = Command::new(program)
            .args(["--exact", name])
            .env(CHILD, "1")
            .output();
        let child = child.unwrap();
        assert!(child.status.success(), "{child:?}");
        return;
    }
    let case = Case::new("large", "FROM scratch\nCOPY large /\n");
    case.file("large", "");
    let large = case.request.build.context.join("large");
    let large = std::fs::File::options().write(true).open(large).unwrap();
    large.set_len(200 << 20).unwrap();
    let (result, progress) = case.build().await;
    result.unwrap();
    assert_eq!(sent(&progress), 200 << 20);
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .unwrap();
    let peak: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(peak < 60 << 10, "{peak} KiB");
}
