//! The engine, queried without any of the code under test: HTTP 1.0 over its socket.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{
    env,
    io::{self, Read, Write},
    net::TcpStream,
    os::unix::net::UnixStream,
    sync::{Mutex, PoisonError},
};

use serde_json::{Value, json};

const SOCKET: &str = "/var/run/docker.sock";
const PROJECT: &str = "io.cimandat.project";

/// The engine of the tests: that of `DOCKER_HOST`, or the one of this machine.
pub struct Api {
    host: String,
}

/// An answer of the engine.
pub struct Reply {
    pub status: u16,
    pub body: Vec<u8>,
}

impl Reply {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }
}

impl Api {
    /// Finds the engine of this machine's tests. The error is the reason why none answers.
    pub fn of_this_machine() -> Result<Self, String> {
        Self::find(env::var("DOCKER_HOST").ok())
    }

    /// Finds the engine at an address. The error is the reason why none answers.
    pub fn find(host: Option<String>) -> Result<Self, String> {
        let host = host.filter(|host| !host.is_empty());
        let host = host.unwrap_or_else(|| format!("unix://{SOCKET}"));
        let api = Self { host };
        match api.send("GET", "/_ping", None) {
            Ok(reply) if reply.status == 200 => Ok(api),
            Ok(reply) => Err(format!("{} answers with {}", api.host, reply.status)),
            Err(error) => Err(format!("{}: {error}", api.host)),
        }
    }

    /// Sends a request, and returns any answer.
    pub fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Reply {
        self.send(method, path, body).unwrap()
    }

    /// Requests an object that must exist.
    pub fn get(&self, path: &str) -> Value {
        let reply = self.ask("GET", path, None);
        let said = String::from_utf8_lossy(&reply.body);
        assert_eq!(reply.status, 200, "GET {path}: {said}");
        reply.json()
    }

    /// Returns whether the engine supports version 1.MINOR of its API: 1.44 came with Engine 25.
    pub fn speaks(&self, minor: u32) -> bool {
        let version = self.get("/version")["ApiVersion"].clone();
        let its = version.as_str().and_then(|it| it.strip_prefix("1."));
        its.and_then(|it| it.parse().ok()) >= Some(minor)
    }

    /// Creates a container that belongs to no project; returns its ID.
    pub fn create(&self, name: &str, body: &Value) -> String {
        let path = format!("/containers/create?name={name}");
        let reply = self.ask("POST", &path, Some(body)).json();
        reply["Id"]
            .as_str()
            .unwrap_or_else(|| panic!("{reply}"))
            .to_owned()
    }

    /// Sends a signal to a container's process.
    pub fn signal(&self, container: &str, signal: &str) {
        let path = format!("/containers/{container}/kill?signal={signal}");
        assert_eq!(self.ask("POST", &path, None).status, 204, "{path}");
    }

    /// Removes all containers of a project that do not run, as `docker container prune` does. An
    /// engine refuses a concurrent second prune.
    pub fn prune(&self, project: &str) {
        static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
        let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let path = format!("/containers/prune?filters={}", filter(project));
        assert_eq!(self.ask("POST", &path, None).status, 200, "{path}");
    }

    /// Returns all containers of a project, as the engine lists them.
    pub fn containers(&self, project: &str) -> Vec<Value> {
        let listed = self.get(&format!(
            "/containers/json?all=1&filters={}",
            filter(project)
        ));
        listed.as_array().unwrap().clone()
    }

    /// Returns the names under which images are kept for a project's generations.
    pub fn generations(&self, project: &str) -> Vec<String> {
        let images = self.get("/images/json");
        let tags = images.as_array().unwrap().iter();
        tags.flat_map(|it| it["RepoTags"].as_array().cloned().unwrap_or_default())
            .filter_map(|tag| tag.as_str().map(str::to_owned))
            .filter(|tag| tag.starts_with(&format!("{project}-")) && tag.contains(":g"))
            .collect()
    }

    /// Returns the names of all networks of a project.
    pub fn networks(&self, project: &str) -> Vec<String> {
        names(&self.get(&format!("/networks?filters={}", filter(project))))
    }

    /// Returns the names of all volumes of a project.
    pub fn volumes(&self, project: &str) -> Vec<String> {
        let listed = self.get(&format!("/volumes?filters={}", filter(project)));
        names(&listed["Volumes"])
    }

    fn send(&self, method: &str, path: &str, body: Option<&Value>) -> io::Result<Reply> {
        match self.host.split_once("://") {
            Some(("unix", socket)) => exchange(UnixStream::connect(socket)?, method, path, body),
            Some(("tcp" | "http", address)) => {
                exchange(TcpStream::connect(address)?, method, path, body)
            }
            _ => Err(io::Error::other(
                "the tests speak to sockets and plain TCP only",
            )),
        }
    }
}

fn exchange(
    mut stream: impl Read + Write,
    method: &str,
    path: &str,
    body: Option<&Value>,
) -> io::Result<Reply> {
    let body = body.map(Value::to_string).unwrap_or_default();
    let length = body.len();
    write!(
        stream,
        "{method} {path} HTTP/1.0\r\nHost: engine\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    )?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let broken = || io::Error::other("not an answer in HTTP");
    let head = answer
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .ok_or_else(broken)?;
    let status = answer
        .get(9..12)
        .and_then(|code| str::from_utf8(code).ok()?.parse().ok());
    let body = answer.split_off(head + 4);
    Ok(Reply {
        status: status.ok_or_else(broken)?,
        body,
    })
}

/// Returns the filter for a project's label, encoded for an address.
fn filter(project: &str) -> String {
    let filter = json!({ "label": [format!("{PROJECT}={project}")] }).to_string();
    filter
        .bytes()
        .fold(String::new(), |encoded, byte| match byte {
            b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => encoded + &char::from(byte).to_string(),
            _ => encoded + &format!("%{byte:02X}"),
        })
}

fn names(listed: &Value) -> Vec<String> {
    let listed = listed.as_array().into_iter().flatten();
    let mut names: Vec<String> = listed
        .map(|it| it["Name"].as_str().unwrap().to_owned())
        .collect();
    names.sort();
    names
}
