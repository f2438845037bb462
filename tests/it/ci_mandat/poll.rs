//! A client that sends requests in a loop, to see an update as its visitors do.

use std::{
    fmt,
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    sync::mpsc::{self, RecvTimeoutError, Sender},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// The interval between two requests.
const PACE: Duration = Duration::from_millis(20);
/// The timeout of a request.
const PATIENCE: Duration = Duration::from_secs(2);

/// The results of a poll.
#[derive(Debug, Clone, Copy, Default)]
pub struct Seen {
    /// Requests that were answered with 200.
    pub good: usize,
    /// Requests that were not answered with 200.
    pub bad: usize,
    /// The longest time between two good answers, or from the last one to the end.
    pub gap: Duration,
    /// Whether the last request was answered with 200.
    pub ended_well: bool,
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { good, bad, gap, .. } = self;
        let gap = gap.as_secs_f64();
        write!(
            f,
            "{good} good answers, {bad} bad ones, {gap:.2} s without a good one"
        )
    }
}

/// A thread that sends requests.
pub struct Poll {
    stop: Sender<()>,
    thread: JoinHandle<Seen>,
}

impl Poll {
    /// Requests a path on a published port of this machine, in a loop.
    pub fn start(port: u16, path: &'static str) -> Self {
        let (stop, stopped) = mpsc::channel();
        let thread = thread::spawn(move || {
            let mut seen = Seen::default();
            let mut good = Instant::now();
            loop {
                let ended = stopped.recv_timeout(PACE) != Err(RecvTimeoutError::Timeout);
                // One more request after the end, so that the final state is known.
                seen.ended_well = answers(port, path);
                seen.gap = seen.gap.max(good.elapsed());
                if seen.ended_well {
                    good = Instant::now();
                    seen.good += 1;
                } else {
                    seen.bad += 1;
                }
                if ended {
                    return seen;
                }
            }
        });
        Self { stop, thread }
    }

    /// Sends a last request, and returns the results.
    pub fn stop(self) -> Seen {
        drop(self.stop);
        self.thread.join().unwrap()
    }
}

fn answers(port: u16, path: &str) -> bool {
    let ask = || {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: localhost:{port}\r\nConnection: close\r\n\r\n"
        )?;
        let mut start = [0; 12];
        stream.read_exact(&mut start)?;
        Ok::<_, std::io::Error>(&start == b"HTTP/1.1 200")
    };
    ask().unwrap_or(false)
}
