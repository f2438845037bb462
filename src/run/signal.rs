//! The signals that ask a run to stop: Ctrl-C, the polite end, and a terminal that goes away.

use std::{fs, io};

use futures::stream::{self, Stream};
use tokio::signal::unix::{SignalKind, signal};

/// One item for each `SIGINT`, `SIGTERM` or `SIGHUP` from now on. Needs a running runtime.
///
/// A lost session must not leave a deploy half done, so its `SIGHUP` counts; unless whoever
/// started the program had it ignored (`nohup`), who wants the run to go on.
///
/// # Errors
/// When the signals cannot be listened to.
pub fn interrupts() -> io::Result<impl Stream<Item = ()> + Send + Unpin> {
    let mut kinds = vec![SignalKind::interrupt(), SignalKind::terminate()];
    // Asked before anything is listened to, as listening makes it no longer ignored.
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

/// Whether this process was started with the signal ignored; where that is not told: no.
fn is_ignored(kind: SignalKind) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    // The lowest bit stands for signal 1.
    mask.is_some_and(|mask| mask >> (kind.as_raw_value() - 1) & 1 == 1)
}
