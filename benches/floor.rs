//! A lower bound for the deployment time of `stack.kdl`: deploys it with only the required engine
//! calls, each as early as possible. No program that waits until the stack is ready can be much
//! faster.
//!
//! It does not plan, does not observe the existing state, reports nothing and rolls back nothing.
//! It panics if the engine refuses a request. Its gates are the shortest requests of the protocols,
//! sent every 5 ms. It is not a part of the product; `against.sh` uses it as a baseline.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a yardstick tells when each service was ready, and where it failed"
)]

use std::{
    env,
    io::{self, Read, Write},
    net::{IpAddr, SocketAddr, TcpStream},
    os::unix::net::UnixStream,
    sync::{Condvar, Mutex},
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

const PROJECT: &str = "cimandat-bench-floor";
/// Pause between two probes of a service that is not ready.
const PACE: Duration = Duration::from_millis(5);
/// Timeout of one probe, and of a service until it is ready.
const PATIENCE: (Duration, Duration) = (Duration::from_secs(3), Duration::from_secs(90));

/// A service, and the probe for its readiness.
struct Service {
    name: &'static str,
    body: Value,
    port: u16,
    ready: fn(&mut TcpStream) -> io::Result<bool>,
}

fn main() {
    let start = Instant::now();
    let [postgres, redis, backend, frontend] = &services();
    let networks = &Latch::new(4);
    let (begin, stores, api, end) = (
        &Latch::new(0),
        &Latch::new(2),
        &Latch::new(1),
        &Latch::new(1),
    );
    let connect = |network: &str, internal: bool| {
        let name = format!("{PROJECT}_{network}");
        let body = json!({ "Name": name, "Internal": internal });
        call("POST", "/networks/create", &body);
        networks.open();
    };
    let deploy = |service: &Service, after: &Latch, then: &Latch| {
        // The engine creates a container even while its networks and volumes are being created.
        create(service);
        networks.wait();
        after.wait();
        let address = start_container(service);
        until_ready(service, address);
        then.open();
        let at = start.elapsed().as_secs_f64();
        println!("{at:.3} {}", service.name);
    };
    thread::scope(|scope| {
        scope.spawn(|| connect("frontend", false));
        scope.spawn(|| connect("backend", false));
        scope.spawn(|| connect("app", true));
        scope.spawn(|| connect("data", true));
        scope.spawn(|| deploy(postgres, begin, stores));
        scope.spawn(|| deploy(redis, begin, stores));
        scope.spawn(|| deploy(backend, stores, api));
        deploy(frontend, api, end);
    });
}

/// A latch that opens after the expected number of events.
struct Latch(Mutex<usize>, Condvar);

impl Latch {
    fn new(expected: usize) -> Self {
        Self(Mutex::new(expected), Condvar::new())
    }

    fn open(&self) {
        *self.0.lock().unwrap() -= 1;
        self.1.notify_all();
    }

    fn wait(&self) {
        let missing = self.0.lock().unwrap();
        let waited = self
            .1
            .wait_timeout_while(missing, PATIENCE.1, |missing| *missing > 0);
        assert!(
            !waited.unwrap().1.timed_out(),
            "something before this one has failed"
        );
    }
}

// --- The engine -----------------------------------------------------------------------------------

/// Sends one request on its own connection. Returns the body of the response.
fn call(method: &str, path: &str, body: &Value) -> Value {
    let address = env::var("DOCKER_HOST").unwrap_or_default();
    let socket = address
        .strip_prefix("unix://")
        .unwrap_or("/var/run/docker.sock");
    let mut stream = UnixStream::connect(socket).unwrap();
    let body = if body.is_null() {
        String::new()
    } else {
        body.to_string()
    };
    // HTTP/1.0, so that the response is not chunked and ends with the connection.
    let head = format!(
        "{method} {path} HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all((head + &body).as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, content) = answer.split_once("\r\n\r\n").unwrap();
    assert_eq!(
        head.as_bytes().get(9),
        Some(&b'2'),
        "{method} {path}: {answer}"
    );
    serde_json::from_str(content).unwrap_or_default()
}

fn create(service: &Service) {
    let path = format!("/containers/create?name={PROJECT}-{}", service.name);
    call("POST", &path, &service.body);
}

/// Starts a container. Returns the address on which its service will listen.
fn start_container(service: &Service) -> SocketAddr {
    let path = format!("/containers/{PROJECT}-{}", service.name);
    call("POST", &format!("{path}/start"), &Value::Null);
    let found = call("GET", &format!("{path}/json"), &Value::Null);
    let networks = found["NetworkSettings"]["Networks"].as_object().unwrap();
    let mut addresses = networks
        .values()
        .filter_map(|network| network["IPAddress"].as_str());
    let address: IpAddr = addresses.find_map(|text| text.parse().ok()).unwrap();
    SocketAddr::new(address, service.port)
}

// --- The gates ------------------------------------------------------------------------------------

fn until_ready(service: &Service, address: SocketAddr) {
    let (answer, ready) = PATIENCE;
    let until = Instant::now() + ready;
    let ask = || {
        let mut stream = TcpStream::connect_timeout(&address, answer)?;
        stream.set_read_timeout(Some(answer))?;
        (service.ready)(&mut stream)
    };
    while !ask().unwrap_or(false) {
        assert!(
            Instant::now() < until,
            "{} does not become ready",
            service.name
        );
        thread::sleep(PACE);
    }
}

/// A startup message without TLS. The server refuses it with an error of class 28 as soon as it
/// would accept a connection with TLS, and with 57P03 before.
fn postgres(stream: &mut TcpStream) -> io::Result<bool> {
    let parameters = b"\0\x03\0\0user\0bench\0database\0bench\0\0";
    let length = u32::try_from(parameters.len() + 4).unwrap();
    stream.write_all(&[&length.to_be_bytes(), &parameters[..]].concat())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(answer.windows(3).any(|code| code == b"C28"))
}

fn redis(stream: &mut TcpStream) -> io::Result<bool> {
    let password = env::var("BENCH_REDIS_PASSWORD").unwrap();
    write!(stream, "AUTH {password}\r\nPING\r\n")?;
    let mut answer = [0; 12];
    stream.read_exact(&mut answer)?;
    Ok(&answer == b"+OK\r\n+PONG\r\n")
}

fn api(stream: &mut TcpStream) -> io::Result<bool> {
    get(stream, "/api/v1/health")
}

fn page(stream: &mut TcpStream) -> io::Result<bool> {
    get(stream, "/")
}

fn get(stream: &mut TcpStream, path: &str) -> io::Result<bool> {
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    )?;
    let mut answer = [0; 12];
    stream.read_exact(&mut answer)?;
    Ok(&answer == b"HTTP/1.1 200")
}

// --- The stack ------------------------------------------------------------------------------------

fn variable(name: &str) -> String {
    env::var(format!("BENCH_{name}")).unwrap()
}

fn services() -> [Service; 4] {
    let secrets = |file: &str, name: &str| format!("{name}=/run/secrets/{file}");
    let mut postgres_body = body("postgres", &["data"], (1.0, 512, 128));
    postgres_body["Env"] = json!([
        "POSTGRES_USER=bench",
        "POSTGRES_DB=bench",
        secrets("db_password", "POSTGRES_PASSWORD_FILE"),
        secrets("tls.crt", "PG_TLS_CERT_FILE"),
        secrets("tls.key", "PG_TLS_KEY_FILE"),
    ]);
    postgres_body["HostConfig"]["ShmSize"] = json!(128 << 20);
    volume(
        &mut postgres_body,
        "postgres_data",
        "/var/lib/postgresql/data",
    );
    tmpfs(&mut postgres_body, "/run/postgresql", "size=4m,mode=1777");

    let mut redis_body = body("redis", &["data"], (0.5, 256, 64));
    redis_body["Env"] = json!([secrets("redis_password", "REDIS_PASSWORD_FILE")]);
    volume(&mut redis_body, "redis_data", "/data");
    tmpfs(&mut redis_body, "/run/redis", "size=1m,mode=1777");

    let mut backend_body = body("backend", &["backend", "app", "data"], (1.0, 512, 200));
    backend_body["Env"] = json!([
        "DB_HOST=postgres",
        "DB_NAME=bench",
        "DB_USER=bench",
        secrets("db_password", "DB_PASSWORD_FILE"),
        secrets("ca.crt", "DB_SSL_CA"),
        "REDIS_HOST=redis",
        secrets("redis_password", "REDIS_PASSWORD_FILE"),
        secrets("encryption_key", "ENCRYPTION_KEY_FILE"),
    ]);
    volume(&mut backend_body, "pdf_storage", "/app/storage/pdfs");
    publish(&mut backend_body, 3001, &variable("BACKEND_PORT"));

    let mut frontend_body = body("frontend", &["frontend", "app"], (1.0, 384, 128));
    frontend_body["Env"] = json!(["BACKEND_URL=http://backend:3001"]);
    publish(&mut frontend_body, 3000, &variable("FRONTEND_PORT"));

    let service = |name, body, port, ready| Service {
        name,
        body,
        port,
        ready,
    };
    [
        service("postgres", postgres_body, 5432, postgres),
        service("redis", redis_body, 6379, redis),
        service("backend", backend_body, 3001, api),
        service("frontend", frontend_body, 3000, page),
    ]
}

/// Returns the settings that all containers share. Limits are processors, MiB of memory and
/// processes.
fn body(service: &str, networks: &[&str], (cpus, memory, pids): (f64, u64, u64)) -> Value {
    let endpoints: serde_json::Map<String, Value> = networks
        .iter()
        .map(|network| {
            (
                format!("{PROJECT}_{network}"),
                json!({ "Aliases": [service] }),
            )
        })
        .collect();
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a few processors, to the thousandth"
    )]
    let nano_cpus = (cpus * 1e9) as i64;
    json!({
        "Image": variable(&service.to_uppercase()),
        "HostConfig": {
            "NetworkMode": format!("{PROJECT}_{}", networks[0]),
            "RestartPolicy": { "Name": "unless-stopped" },
            "ReadonlyRootfs": true,
            "CapDrop": ["ALL"],
            "SecurityOpt": ["no-new-privileges"],
            "Init": true,
            "Tmpfs": { "/tmp": "size=64m" },
            "LogConfig": { "Type": "json-file", "Config": { "max-size": "10m", "max-file": "5" } },
            "Mounts": [{
                "Type": "bind", "Source": variable("SECRETS"), "Target": "/run/secrets",
                "ReadOnly": true,
            }],
            "NanoCpus": nano_cpus,
            "Memory": memory << 20,
            "PidsLimit": pids,
        },
        "NetworkingConfig": { "EndpointsConfig": endpoints },
    })
}

fn volume(body: &mut Value, name: &str, target: &str) {
    let source = format!("{PROJECT}_{name}");
    let mount = json!({ "Type": "volume", "Source": source, "Target": target });
    body["HostConfig"]["Mounts"]
        .as_array_mut()
        .unwrap()
        .push(mount);
}

fn tmpfs(body: &mut Value, target: &str, options: &str) {
    body["HostConfig"]["Tmpfs"][target] = json!(options);
}

fn publish(body: &mut Value, port: u16, on: &str) {
    let port = format!("{port}/tcp");
    body["ExposedPorts"] = json!({ &port: {} });
    body["HostConfig"]["PortBindings"] =
        json!({ port: [{ "HostIp": "127.0.0.1", "HostPort": on }] });
}
