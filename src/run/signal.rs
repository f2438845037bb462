//! The signals that ask a run to stop: Ctrl-C, the termination request, and a closed terminal.

use std::{fs, io};

use futures::stream::{self, Stream};
use tokio::signal::unix::{SignalKind, signal};

/// Returns a stream with one item for each `SIGINT`, `SIGTERM` or `SIGHUP` from now on. Requires a
/// running Tokio runtime.
///
/// `SIGHUP` counts so that a lost session does not leave a deploy half done. It is ignored if the
/// process was started with `SIGHUP` ignored (`nohup`), which means that the run has to continue.
///
/// # Errors
/// Returns an error if a signal handler cannot be installed.
pub fn interrupts() -> io::Result<impl Stream<Item = ()> + Send + Unpin> {
    let mut kinds = vec![SignalKind::interrupt(), SignalKind::terminate()];
    // Must be checked first: installing a handler means that the signal is no longer ignored.
    if !is_ignored(SignalKind::hangup()) {
        kinds.push(SignalKind::hangup());
    }
    let signals = kinds.into_iter().map(|kind| {
        let signal = signal(kind)?;
        let signals = stream::unfold(signal, async |mut signal| {
            signal.recv().await.map(|()| ((), signal))
        });
        Ok(Box::pin(signals))
    });
    Ok(stream::select_all(signals.collect::<io::Result<Vec<_>>>()?))
}

/// Whether this process was started with the signal ignored; `false` if that is unknown.
fn is_ignored(kind: SignalKind) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    // The lowest bit is signal 1.
    mask.is_some_and(|mask| mask >> (kind.as_raw_value() - 1) & 1 == 1)
}
