//! A client that requests a published port in a loop, as a visitor would.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{
    io::{Read, Write},
    net::TcpStream,
    sync::mpsc::{self, Sender},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// The interval between two requests, which leaves processor time to the engine.
const PACE: Duration = Duration::from_millis(5);
/// The timeout of one answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// Sends requests until it is stopped.
pub struct Client {
    stop: Sender<()>,
    asking: JoinHandle<Vec<(Instant, Option<String>)>>,
}

impl Client {
    /// Requests a port of this host; `None` without an answer.
    pub fn ask(port: u16) -> Option<String> {
        Self::ask_at("127.0.0.1", port)
    }

    /// As [`Self::ask`], for another host.
    pub fn ask_at(host: &str, port: u16) -> Option<String> {
        let (_, body) = Self::exchange((host, port), "GET / HTTP/1.0\r\n\r\n")?;
        Some(body.trim().to_owned())
    }

    /// Sends a request in HTTP 1.0; returns the status and the body of the answer.
    pub fn exchange(address: (&str, u16), request: &str) -> Option<(u16, String)> {
        let mut stream = TcpStream::connect(address).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        stream.write_all(request.as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        let status = head.split(' ').nth(1)?.parse().ok()?;
        Some((status, body.to_owned()))
    }

    /// Starts to send requests.
    pub fn begin(port: u16) -> Self {
        let (stop, stopped) = mpsc::channel();
        let asking = thread::spawn(move || {
            let mut heard = Vec::new();
            while let Err(mpsc::RecvTimeoutError::Timeout) = stopped.recv_timeout(PACE) {
                let answer = Self::ask(port);
                heard.push((Instant::now(), answer));
            }
            heard
        });
        Self { stop, asking }
    }

    /// Stops; returns the longest time without an answer, and all answers without repetitions.
    pub fn end(self) -> (Duration, Vec<String>) {
        self.stop.send(()).unwrap();
        let heard = self.asking.join().unwrap();
        let mut served = heard.first().unwrap().0;
        let (mut gap, mut answers) = (Duration::ZERO, Vec::new());
        for (at, answer) in heard {
            if let Some(answer) = answer {
                gap = gap.max(at - served);
                served = at;
                answers.push(answer);
            }
        }
        answers.dedup();
        (gap, answers)
    }
}
