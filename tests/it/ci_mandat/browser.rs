//! A headless browser, driven over the `DevTools` protocol: JSON messages, each ended by a zero
//! byte, through a pair of pipes. It needs no open port and no driver.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{self, Receiver},
    thread,
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use tempfile::TempDir;

/// The browser's program.
pub const PROGRAM: &str = "chromium";
/// The timeout of any browser operation.
const PATIENCE: Duration = Duration::from_secs(30);
/// The browser reads commands from descriptor 3 and writes answers to 4; both become pipes of this
/// process.
const LAUNCH: &str = r#"exec "$@" 3<&0 4>&1 0</dev/null 1>&2 2>/dev/null"#;
const FLAGS: [&str; 12] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-proxy-server",
    "--remote-debugging-pipe",
    "about:blank",
];

/// A browser with one page.
pub struct Browser {
    child: Child,
    commands: ChildStdin,
    messages: Receiver<Value>,
    /// The session of the page.
    session: Option<String>,
    last_id: u64,
    /// Events since the list was last cleared.
    events: Vec<String>,
    /// The folder of the browser's profile, kept until the browser ends.
    _profile: TempDir,
}

impl Browser {
    /// Starts the browser and opens an empty page.
    pub fn start() -> Self {
        let profile = tempfile::tempdir().unwrap();
        let mut child = Command::new("sh")
            .args(["-c", LAUNCH, "sh", PROGRAM])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .args(FLAGS)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let commands = child.stdin.take().unwrap();
        let mut answers = BufReader::new(child.stdout.take().unwrap());
        let (sender, messages) = mpsc::channel();
        thread::spawn(move || {
            let mut text = Vec::new();
            while answers.read_until(0, &mut text).is_ok_and(|read| read > 0) {
                let message = serde_json::from_slice(text.strip_suffix(&[0]).unwrap_or(&text));
                if message.is_ok_and(|message| sender.send(message).is_err()) {
                    return;
                }
                text.clear();
            }
        });
        let mut browser = Self {
            child,
            commands,
            messages,
            session: None,
            last_id: 0,
            events: Vec::new(),
            _profile: profile,
        };
        browser.attach();
        browser
    }

    fn attach(&mut self) {
        let target = self.call("Target.createTarget", &json!({ "url": "about:blank" }));
        let request = json!({ "targetId": target["targetId"], "flatten": true });
        let attached = self.call("Target.attachToTarget", &request);
        self.session = attached["sessionId"].as_str().map(str::to_owned);
        self.call("Page.enable", &json!({}));
    }

    /// Opens an address, and waits until the page is loaded.
    pub fn open(&mut self, url: &str) {
        self.events.clear();
        let answer = self.call("Page.navigate", &json!({ "url": url }));
        assert_eq!(answer.get("errorText"), None, "{url}: {answer}");
        self.await_page();
    }

    /// Types a text into the element that the selector matches.
    pub fn type_into(&mut self, selector: &str, text: &str) {
        self.evaluate(&format!("{}.focus()", element(selector)));
        self.call("Input.insertText", &json!({ "text": text }));
    }

    /// Clicks the element that the selector matches, and waits until the next page is loaded.
    pub fn click(&mut self, selector: &str) {
        self.events.clear();
        self.evaluate(&format!("{}.click()", element(selector)));
        self.await_page();
    }

    /// Returns the text of the element that the selector matches, or of the whole page without a
    /// match.
    pub fn text(&mut self, selector: &str) -> String {
        let found = self.evaluate(&format!(
            "({} ?? document.body).innerText",
            element(selector)
        ));
        found.as_str().unwrap_or_default().to_owned()
    }

    /// Fetches the target of a link from within the page.
    pub fn fetch(&mut self, selector: &str) -> Vec<u8> {
        let script = format!(
            "fetch({}.href).then(async answer => {{
                if (!answer.ok) throw new Error(`answered ${{answer.status}}`);
                return (await answer.bytes()).toBase64();
            }})",
            element(selector)
        );
        let content = self.evaluate(&script);
        STANDARD.decode(content.as_str().unwrap()).unwrap()
    }

    /// Evaluates an expression in the page, and awaits the result if it is a promise.
    pub fn evaluate(&mut self, expression: &str) -> Value {
        let request =
            json!({ "expression": expression, "awaitPromise": true, "returnByValue": true });
        let answer = self.call("Runtime.evaluate", &request);
        let thrown = &answer["exceptionDetails"];
        assert!(thrown.is_null(), "`{expression}`: {thrown}");
        answer["result"]["value"].clone()
    }

    fn await_page(&mut self) {
        let until = Instant::now() + PATIENCE;
        while !self
            .events
            .iter()
            .any(|event| event == "Page.loadEventFired")
        {
            self.next_message(until);
        }
    }

    /// Sends a command, and waits for its answer.
    fn call(&mut self, method: &str, parameters: &Value) -> Value {
        self.last_id += 1;
        let mut command = json!({ "id": self.last_id, "method": method, "params": parameters });
        if let Some(session) = &self.session {
            command["sessionId"] = json!(session);
        }
        self.commands
            .write_all(command.to_string().as_bytes())
            .unwrap();
        self.commands.write_all(&[0]).unwrap();
        self.commands.flush().unwrap();
        let until = Instant::now() + PATIENCE;
        loop {
            let mut message = self.next_message(until);
            if message["id"] == self.last_id {
                assert!(message["error"].is_null(), "{method}: {}", message["error"]);
                return message["result"].take();
            }
        }
    }

    /// Returns the next message of the browser, and records it if it is an event.
    fn next_message(&mut self, until: Instant) -> Value {
        let left = until.saturating_duration_since(Instant::now());
        let message = self.messages.recv_timeout(left).unwrap();
        if let Some(event) = message["method"].as_str() {
            self.events.push(event.to_owned());
        }
        message
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        self.session = None;
        let close = json!({ "id": 0, "method": "Browser.close" }).to_string() + "\0";
        let asked = self.commands.write_all(close.as_bytes()).is_ok();
        // The pipe closes when its last process ends.
        while asked && self.messages.recv_timeout(PATIENCE).is_ok() {}
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn element(selector: &str) -> String {
    format!("document.querySelector({})", json!(selector))
}
