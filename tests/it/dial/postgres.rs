//! Probes of a real PostgreSQL server, and the complaints about them in its log.

use std::{
    fs::{self, OpenOptions},
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use cimandat::{
    engine::ProbeResult,
    project::{Probe, Tls},
};

use super::{
    ask, first_word, never, not_yet, ready,
    servers::{self, Certificate, Home, Server},
    until,
};

pub fn probe(port: u16, user: &str, database: &str, tls: Option<Tls>) -> Probe {
    Probe::Postgres {
        port,
        user: user.to_owned(),
        database: database.to_owned(),
        tls,
    }
}

/// Access by user: `owner` without a password, `locked` with one, `barred` not at all.
const ACCESS: &str = "host all barred all reject\nhost all locked all scram-sha-256\n\
                      host all all all trust\n";

/// A separate database cluster, with the programs of its version.
struct Cluster {
    programs: PathBuf,
    home: Home,
    port: u16,
}

impl Cluster {
    /// `None`: PostgreSQL is not installed, and is not required.
    fn new() -> Option<Self> {
        // Debian keeps each version in a separate folder, and puts no server on the search path.
        let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
        let folders: Vec<_> = versions
            .flatten()
            .map(|version| version.path().join("bin"))
            .collect();
        let initdb = servers::program("initdb", &folders)?;
        let home = Home::of("postgres");
        let data = home.path("data");
        let status = home
            .command(&initdb)
            .args([
                "--no-sync",
                "--no-locale",
                "--encoding=UTF8",
                "--username=owner",
            ])
            .arg(&data)
            .stdout(Stdio::null())
            .status();
        assert!(status.expect("initdb").success());
        home.write("data/pg_hba.conf", ACCESS);
        Some(Self {
            programs: initdb.parent().map(Path::to_owned).expect("its folder"),
            home,
            port: servers::free_port(),
        })
    }

    fn start(&self, settings: &[&str]) -> Running {
        let log = fs::File::create(self.home.path("log")).expect("a log");
        let mut command = self.home.command(&self.programs.join("postgres"));
        command.arg("-D").arg(self.home.path("data"));
        command.args([
            "-p",
            &self.port.to_string(),
            "-k",
            "",
            "-h",
            "127.0.0.1",
            "-F",
        ]);
        for setting in settings {
            command.args(["-c", setting]);
        }
        let child = command.stdout(Stdio::null()).stderr(log).spawn();
        let mut stop = self.home.command(&self.programs.join("pg_ctl"));
        stop.args(["stop", "-s", "-m", "fast", "-D"])
            .arg(self.home.path("data"));
        Running {
            stop,
            _server: Server(child.expect("a server")),
        }
    }

    fn probe(&self, user: &str, database: &str, tls: Option<Tls>) -> Probe {
        probe(self.port, user, database, tls)
    }

    /// Returns the complaints in the server's log, without their times.
    fn complaints(&self) -> Vec<String> {
        let log = fs::read_to_string(self.home.path("log")).expect("its log");
        ["FATAL: ", "ERROR: ", "WARNING: ", "could not", "unexpected"]
            .iter()
            .flat_map(|word| log.lines().filter(move |line| line.contains(word)))
            .map(|line| {
                line.split_once("] ")
                    .map_or(line, |(_, rest)| rest)
                    .to_owned()
            })
            .collect()
    }
}

/// A server that is stopped before it is killed, so that it leaves no shared memory behind.
struct Running {
    stop: Command,
    _server: Server,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.stop.status();
    }
}

/// Returns whether the server is starting up, which it reports in several forms.
fn is_starting(answer: &ProbeResult) -> bool {
    matches!(answer, ProbeResult::Pending(said) if said.ends_with("(57P03)"))
}

#[tokio::test]
async fn postgres_probe_reports_startup_readiness_and_refusals() {
    let Some(cluster) = Cluster::new() else {
        return;
    };
    // Recovery runs a command to get files; this command waits for a byte from the test.
    let gate = cluster.home.path("gate");
    let made = Command::new("mkfifo")
        .args(["-m", "666"])
        .arg(&gate)
        .status();
    assert!(made.expect("mkfifo").success());
    let (path, open) = (gate.display(), cluster.home.path("open"));
    let restore = format!(
        "restore_command=[ -e {} ] || head -c 1 {path} >/dev/null; exit 1",
        open.display()
    );
    cluster.home.write("data/recovery.signal", "");
    let running = cluster.start(&[&restore]);

    let owner = cluster.probe("owner", "postgres", None);
    let starting = not_yet("the database system is starting up (57P03)");
    assert_eq!(first_word(&owner).await, starting);
    fs::write(&open, "").expect("a file");
    // Opened for reading and writing, as an open for writing alone waits for a reader; and kept
    // open, as the byte is lost when no process has the pipe open.
    let pipe = OpenOptions::new().read(true).write(true).open(&gate);
    let mut pipe = pipe.expect("the pipe");
    pipe.write_all(b".").expect("a word");
    let open = until(&owner, |answer| !is_starting(answer)).await;
    assert_eq!(open, ready("up, accepts queries"));

    let locked = cluster.probe("locked", "postgres", None);
    assert_eq!(ask(&locked).await, ready("up, asks for a password"));
    let nowhere = cluster.probe("owner", "nowhere", None);
    let expected = never("up, but refuses: database \"nowhere\" does not exist (3D000)");
    assert_eq!(ask(&nowhere).await, expected);
    let nobody = cluster.probe("nobody", "postgres", None);
    let expected = never("up, but refuses: role \"nobody\" does not exist (28000)");
    assert_eq!(ask(&nobody).await, expected);
    let secure = cluster.probe("owner", "postgres", Some(Tls::Require));
    assert_eq!(ask(&secure).await, never("the server does not offer TLS"));

    drop(running);
    let mut complaints = cluster.complaints();
    complaints.retain(|line| !line.contains("the database system is "));
    assert_eq!(
        complaints,
        [
            "FATAL:  database \"nowhere\" does not exist",
            "FATAL:  role \"nobody\" does not exist",
        ]
    );
}

#[tokio::test]
async fn postgres_probe_works_over_tls() {
    let Some(cluster) = Cluster::new() else {
        return;
    };
    let certificate = Certificate::of("db");
    let chain = cluster.home.write("chain.pem", &certificate.chain);
    let key = cluster.home.write("key.pem", &certificate.key);
    let running = cluster.start(&[
        "ssl=on",
        &format!("ssl_cert_file={}", chain.display()),
        &format!("ssl_key_file={}", key.display()),
    ]);
    let owner = cluster.probe("owner", "postgres", Some(Tls::Require));
    first_word(&owner).await;
    let open = until(&owner, |answer| !is_starting(answer)).await;
    assert_eq!(open, ready("up, accepts queries"));

    let verify = |host: &str| {
        Some(Tls::Verify {
            authority: certificate.authority.clone(),
            host: host.to_owned(),
        })
    };
    let locked = cluster.probe("locked", "postgres", verify("db"));
    assert_eq!(ask(&locked).await, ready("up, asks for a password"));
    let other = cluster.probe("owner", "postgres", verify("other"));
    let expected = not_yet("TLS: the certificate is not for `other`");
    assert_eq!(ask(&other).await, expected);
    let barred = ask(&cluster.probe("barred", "postgres", verify("db"))).await;
    assert!(
        matches!(&barred, ProbeResult::Impossible(said) if said.ends_with("(28000)")),
        "{barred:?}"
    );
    drop(running);
    let mut complaints = cluster.complaints();
    // Expected complaints: a connection before readiness, a user without access, a certificate for
    // another name.
    for expected in [
        "the database system is ",
        "\"barred\"",
        "alert bad certificate",
    ] {
        complaints.retain(|line| !line.contains(expected));
    }
    assert_eq!(complaints, Vec::<String>::new());
}
